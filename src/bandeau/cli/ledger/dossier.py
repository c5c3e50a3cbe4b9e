"""`bandeau ledger dossier`: what a regulator asks for, in one file (see `desk.dossier`)."""

from __future__ import annotations

from collections import deque
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bandeau.cli.ledger.opening import ledger_option, reading
from bandeau.desk.dossier import packed
from bandeau.desk.pictures import pictured


@click.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day, UTC.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The zip file to write."
)
@click.option("--with-records", is_flag=True, help="Add the records of these days, a line each.")
@click.option("--no-pictures", is_flag=True, help="No screenshots of the notice's versions.")
@ledger_option
def dossier(
    first: datetime | None,
    last: datetime | None,
    out: Path,
    url: str,
    *,
    with_records: bool,
    no_pictures: bool,
) -> None:
    """Pack notices, recipients, modes, audits, counts and proofs of some days into one file."""
    low = first.date() if first else date.min
    high = last.date() if last else date.max
    if high < low:
        raise click.UsageError("--to is before --from")
    with reading(url) as log, TemporaryDirectory() as scratch:
        pictures = None if no_pictures else Path(scratch)
        if pictures:
            deque(pictured(log, pictures), maxlen=0)
        files, problems = packed(log, out, low, high, with_records=with_records, pictures=pictures)
    click.echo(f"{out}: {files} files; {'all of it fits' if not problems else 'SEE fsck.txt'}")
