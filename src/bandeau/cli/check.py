"""`bandeau check`: everything that is wrong with a policy, at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from bandeau.errors import PolicyError, Problem


@click.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to say it."
)
def check(policy: Path, style: str) -> None:
    """Say everything that is wrong with a policy file: 0 good, 1 problems."""
    from bandeau.policy.file import load_with_warnings  # noqa: PLC0415 (keeps --help quick)

    problems: list[Problem]
    try:
        problems = load_with_warnings(policy)[1]
    except PolicyError as error:
        problems = list(error.problems)
    if style == "json":
        click.echo(
            json.dumps([asdict(problem) for problem in problems], ensure_ascii=False, indent=1)
        )
    else:
        for problem in problems:
            click.echo(f"{problem.level} {problem}")
    errors = sum(problem.level == "error" for problem in problems)
    if style == "text":
        click.echo(f"{policy}: {f'{errors} to correct' if errors else 'good'}")
    sys.exit(1 if errors else 0)
