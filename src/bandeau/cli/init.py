"""`bandeau init`: a first policy for a site that runs, out of what a real browser meets there."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("url")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bandeau.toml"),
    show_default=True,
    help="The file to write; one that exists is left alone.",
)
@click.option("--language", default="fr-FR", show_default=True, help="Of the browser.")
@click.option("--thorough", is_flag=True, help="Three pages, and longer on each.")
@click.option("--quiet", is_flag=True, help="No progress, only what it came to.")
def init(url: str, out: Path, language: str, *, thorough: bool, quiet: bool) -> None:
    """Browse a site before a choice and after accepting, and draft its policy."""
    try:
        from bandeau.audit.draft import draft  # noqa: PLC0415 (keeps --help quick)
        from bandeau.audit.scenario import Plan, apart  # noqa: PLC0415
        from bandeau.audit.watch import Setting  # noqa: PLC0415
        from bandeau.cli.audit import address, walked  # noqa: PLC0415
        from bandeau.cli.progress import Progress  # noqa: PLC0415
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[audit]' ({error})", err=True)
        sys.exit(2)
    url = address(url)
    if out.exists():
        click.echo(f"{out}: it exists; name another with -o", err=True)
        sys.exit(2)
    plan = Plan(url, Setting(language=language), thorough=thorough)
    with Progress(url, quiet=quiet) as progress:
        runs = apart(walked(plan, ["no-choice", "accept"], 2, progress))
    if all(run.reason in ("error", "bot-wall") for run in runs):
        click.echo(f"{url}: {runs[0].facts.get('error', 'nothing was seen')}", err=True)
        sys.exit(2)
    text = draft(url, runs)
    out.write_text(text, "utf-8")
    click.echo(f"{out}: {text.count('# check:')} lines to check; then: bandeau check {out}")
