"""`bandeau explain`: what a rule of the inspector asks, by which source, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from textwrap import fill
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bandeau.audit.ruleset import Rule

_WIDTH = 100
_LABEL = 14
_MOST_NEAR = 6
_WORD = 4  # letters from which on a name is looked for among the requirements


@click.command()
@click.argument("rules", nargs=-1, metavar="RULE-ID…")
@click.option("--list", "listing", is_flag=True, help="Every rule, one a line.")
def explain(rules: tuple[str, ...], *, listing: bool) -> None:
    """Explain rules of the inspector, by their ids: A3, g3 …; 2 where there is no such rule."""
    from bandeau.audit.ruleset import load  # noqa: PLC0415 (keeps --help quick)

    known = load()
    if not rules and not listing:
        raise click.UsageError("name a rule, such as A3, or say --list")
    for name in rules:
        if name.upper() not in known:
            click.echo(f"there is no rule {name}; {_near(name, known)}", err=True)
            sys.exit(2)
    for rule in known.values() if listing else ():
        click.echo(f"{rule.id} {'★' if rule.starred else ' '} {rule.requirement}")
    for number, name in enumerate(rules):
        click.echo("\n".join((*([""] if number else []), *_lines(known[name.upper()]))))


def _lines(rule: Rule) -> Iterator[str]:
    from bandeau.audit.ruleset import FORCES, REACHES, SEVERITIES  # noqa: PLC0415 (as above)

    star = " ★" if rule.starred else ""
    yield _filled(rule.requirement, f"{rule.id}{star}  ")
    yield ""
    facts = {
        "severity": SEVERITIES[rule.severity],
        "force": f"{FORCES[rule.force]} ({', '.join(rule.jurisdictions)})",
        "decided on": REACHES[rule.reach],
        "scenarios": ", ".join(rule.scenarios) or "none of the browser's: tests of their own",
        "sources": "; ".join(rule.sources),
        "a failure is": rule.failure,
        "fails when": rule.decision.fails,
        "passes when": rule.decision.passes,
        "unknown when": rule.decision.unknown,
        "changed by": rule.evidence,
        "remedy": rule.remedy,
        "with bandeau": rule.remedy_bandeau,
        "for a person": rule.question,
        "headline": "one of the behaviours that get sites fined first" if rule.headline else None,
        "version": str(rule.version),
    }
    for label, text in facts.items():
        if text:
            start = f"  {label:<{_LABEL}}"
            yield _filled(text, start)


def _filled(text: str, start: str) -> str:
    indent = " " * len(start)
    return fill(
        text, _WIDTH, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False
    )


def _near(name: str, known: Mapping[str, Rule]) -> str:
    word = name.casefold()
    near = get_close_matches(name.upper(), known, _MOST_NEAR, 0.5) or [
        rule.id
        for rule in known.values()
        if len(word) >= _WORD and word in rule.requirement.casefold()
    ]
    return (
        f"near it: {', '.join(sorted(near)[:_MOST_NEAR])}"
        if near
        else "bandeau explain --list has all"
    )
