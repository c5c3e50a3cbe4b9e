"""`bandeau ledger`: what the ledger holds, for those who answer for it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bandeau.errors import LedgerError

if TYPE_CHECKING:
    from bandeau.ledger.sqlite import Ledger

_LEDGER = click.option(
    "--ledger", "url", default="sqlite:///bandeau.db", show_default=True, help="Where it is."
)


@click.group()
def ledger() -> None:
    """Read the decisions that are stored."""


@ledger.command()
@_LEDGER
def export(url: str) -> None:
    """Print every decision, a line each, the oldest first."""
    from bandeau.decision.record import line  # noqa: PLC0415 (keeps --help quick)

    with _opened(url) as opened:
        for decision in opened.decisions():
            click.echo(line(decision))


@ledger.command()
@_LEDGER
def stats(url: str) -> None:
    """Print how many decisions there are of each kind, and how often each purpose was granted."""
    with _opened(url) as opened:
        decisions = opened.decisions()
    click.echo(f"{len(decisions)} decisions")
    for name in ("event", "layer", "language", "device"):
        counted = Counter(str(getattr(decision, name)) for decision in decisions)
        for value, count in sorted(counted.items()):
            click.echo(f"{name} {value}: {count}")
    granted = Counter(purpose for one in decisions for purpose, yes in one.choices if yes)
    asked = Counter(purpose for one in decisions for purpose, _ in one.choices)
    for purpose, count in sorted(asked.items()):
        click.echo(f"purpose {purpose}: {granted[purpose]} of {count} granted")


@ledger.command()
@click.argument("sha256")
@_LEDGER
def snapshot(sha256: str, url: str) -> None:
    """Print what visitors were shown, by the start of its hash as decisions quote it."""
    with _opened(url) as opened:
        whole = {one.snapshot for one in opened.decisions() if one.snapshot.startswith(sha256)}
        found = opened.snapshot(whole.pop()) if len(whole) == 1 and sha256 else None
    if found is None:
        click.echo(f"no decision quotes one snapshot that begins with {sha256!r}", err=True)
        sys.exit(1)
    click.echo(found.decode("utf-8"))


@contextmanager
def _opened(url: str) -> Iterator[Ledger]:
    """Open a ledger that exists; one line and exit code 2 otherwise."""
    from bandeau.ledger.sqlite import Ledger, path_of  # noqa: PLC0415 (keeps --help quick)

    try:
        path: Path = path_of(url)
        opened = Ledger(path) if path.exists() else None
    except LedgerError as error:
        click.echo(error, err=True)
        sys.exit(2)
    if opened is None:
        click.echo(f"{path}: there is no ledger", err=True)
        sys.exit(2)
    try:
        yield opened
    finally:
        opened.close()
