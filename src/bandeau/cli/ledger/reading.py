"""`bandeau ledger export | history | prove | snapshot | stats`: nothing here needs the key."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click

from bandeau.cli.ledger.opening import chosen_by, index_of, ledger_option, reading, writing
from bandeau.errors import BandeauError
from bandeau.ledger import record
from bandeau.ledger.entry import Kind
from bandeau.ledger.export import DpvExport, as_csv
from bandeau.ledger.log import Noted
from bandeau.ledger.receipt import SUFFIX


@click.command()
@ledger_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json"]),
    default="text",
    show_default=True,
    help="json: one consent record (ISO/IEC TS 27560 in DPV terms, JSON-LD) a line.",
)
def export(url: str, form: str) -> None:
    """Print every record that is kept, the oldest first."""
    with reading(url) as log:
        if form == "text":
            for noted in log.decisions():
                click.echo(f"{noted.index} {record.encode(noted.decision).decode('ascii')}")
        elif form == "csv":
            asked = dict.fromkeys(p for one in log.decisions() for p, _ in one.decision.choices)
            for line in as_csv(log.decisions(), asked):
                click.echo(line, nl=False)
        else:
            written = DpvExport(log)
            for noted in log.decisions():
                click.echo(json.dumps(written.record(noted), ensure_ascii=False))


@click.command()
@click.argument("which", metavar="INDEX|RECEIPT", required=False)
@click.option("--account", metavar="ID", help="Instead: an account's choice; this needs the key.")
@ledger_option
def history(which: str | None, account: str | None, url: str) -> None:
    """Print a decision with what it replaced and what replaced it, the oldest first."""
    if (which is None) == (account is None):
        raise click.UsageError("name a record, or --account")
    found: list[Noted] = []
    if account:
        with writing(url) as ledger:
            found = chosen_by(ledger, account)
    elif which:
        with reading(url) as log:
            found = log.history(index_of(which))
            if not found:
                raise BandeauError(f"there is no record {which}, or it was erased")
    for noted in found:
        held = " (on hold)" if noted.held else ""
        click.echo(f"{noted.index} {record.encode(noted.decision).decode('ascii')}{held}")


@click.command()
@click.argument("which", metavar="INDEX")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="File; else bandeau-INDEX.tlog-proof."
)
@ledger_option
def prove(which: str, out: Path | None, url: str) -> None:
    """Write the receipt of a decision, under the newest checkpoint."""
    with reading(url) as log:
        found = log.receipt(index_of(which))
        if found is None:
            raise BandeauError(f"there is no record {which}, or it was erased")
        path = out or Path(f"bandeau-{found.index}{SUFFIX}")
        path.write_bytes(found.encode())
        click.echo(f"{path}; check it with: bandeau ledger verify {path} --key {log.head.vkey}")


@click.command()
@click.argument("sha256")
@ledger_option
def snapshot(sha256: str, url: str) -> None:
    """Print what visitors were shown, by the start of its hash, or by its place in the log."""
    with reading(url) as log:
        found = [
            event
            for event in log.store.events([Kind.SNAPSHOT])
            if sha256 and (event.detail.split()[1].startswith(sha256) or str(event.index) == sha256)
        ]
        content = log.document(found[0].detail.split()[1]) if len(found) == 1 else None
    if content is None:
        click.echo(f"there is no one snapshot {sha256!r}", err=True)
        sys.exit(1)
    click.echo(content.decode("utf-8"))


@click.command()
@ledger_option
def stats(url: str) -> None:
    """Print how many decisions there are of each kind, and how often each purpose was granted."""
    counted: Counter[tuple[str, str]] = Counter()
    asked: Counter[str] = Counter()
    granted: Counter[str] = Counter()
    total = 0
    with reading(url) as log:
        for noted in log.decisions():
            one, total = noted.decision, total + 1
            counted["event", one.event.value] += 1
            counted["layer", one.layer] += 1
            counted["language", one.language] += 1
            counted["device", one.device] += 1
            for purpose, yes in one.choices:
                asked[purpose] += 1
                granted[purpose] += yes
        entries = log.head.tree.size
    click.echo(f"{total} decisions are kept; the log has {entries} entries")
    for (name, value), count in sorted(counted.items()):
        click.echo(f"{name} {value}: {count}")
    for purpose, count in sorted(asked.items()):
        click.echo(f"purpose {purpose}: {granted[purpose]} of {count} granted")
