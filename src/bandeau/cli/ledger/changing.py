"""The commands of `bandeau ledger` that change it: all of them need the key."""

from __future__ import annotations

from pathlib import Path

import click

from bandeau.cli.ledger.opening import chosen_by, failing, index_of, ledger_option, writing
from bandeau.errors import LedgerError
from bandeau.ledger.entry import Reason

_which = click.argument("which", metavar="INDEX|RECEIPT")


@click.command()
@click.argument("which", metavar="INDEX|RECEIPT", required=False)
@click.option("--account", metavar="ID", help="Instead: an account's choice, and its records.")
@click.option(
    "--reason",
    type=click.Choice([reason.name.lower() for reason in Reason]),
    default="request",
    show_default=True,
    help="request: of the person (GDPR art. 17); order: of a court or an authority.",
)
@ledger_option
def erase(which: str | None, account: str | None, reason: str, url: str) -> None:
    """Remove a record and its salt for good; the log goes on to verify, and says that it was erased.

    Backups that hold the record are the owner's to expire (docs/ledger.md).
    """
    if (which is None) == (account is None):
        raise click.UsageError("name a record, or --account")
    with writing(url) as ledger:
        noted = chosen_by(ledger, account) if account else []
        for one in noted:
            if one.held:
                raise LedgerError(f"record {one.index} is held; release it first")
        for index in [one.index for one in noted] if which is None else [index_of(which)]:
            entry = ledger.erase(index, Reason[reason.upper()])
            click.echo(f"record {index} is erased; entry {entry} says so")
        if account:
            ledger.forget(account)
            click.echo("the account's choice is forgotten: it is asked again")


@click.command()
@_which
@click.option("--because", required=True, help="Why, for those who read it later.")
@ledger_option
def hold(which: str, because: str, url: str) -> None:
    """Keep a record from erasure and removal (GDPR art. 17(3)(e), 18(2))."""
    with writing(url) as ledger:
        ledger.hold(index_of(which), because)


@click.command()
@_which
@ledger_option
def release(which: str, url: str) -> None:
    """Lift a hold."""
    with writing(url) as ledger:
        ledger.release(index_of(which))


@click.command()
@click.option("--days", required=True, type=click.IntRange(1), help="As [proof] keep_days says.")
@ledger_option
def retain(days: int, url: str) -> None:
    """Remove the records that are older; a site that runs does it by itself, once a day."""
    with writing(url) as ledger:
        first = ledger.retain(days)
        click.echo(
            "nothing is old enough" if first is None else f"records before {first} are removed"
        )


@click.command()
@click.option("--lost", is_flag=True, help="The old key is gone: begin with a new key file.")
@click.option(
    "--restored", is_flag=True, help="The ledger is an older backup: go on under a new name."
)
@ledger_option
def rotate(url: str, *, lost: bool, restored: bool) -> None:
    """Let a new key sign from now on. Restart the site afterwards, so that it seals choices with it.

    With --lost all choices of visitors become unreadable: they are asked again.
    """
    if lost and restored:
        raise click.UsageError("--lost and --restored are two things; begin with --restored")
    with writing(url, recovering=lost or restored) as ledger:
        if lost or restored:
            ledger.recover(renamed=restored)
        else:
            ledger.rotate()
        click.echo(f"{ledger.origin} is signed by {ledger.vkey} from now on")


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True))
@ledger_option
def log_audit(manifest: Path, url: str) -> None:
    """Log an audit's report by the hash of its manifest, so that it cannot be changed afterwards."""
    with writing(url) as ledger:
        index = ledger.audited(manifest.read_bytes())
        click.echo(f"logged as entry {index}")


@click.command()
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True),
    help="The policy file, which names the log: for a ledger from before there was one.",
)
@ledger_option
def migrate(policy: Path | None, url: str) -> None:
    """Bring a ledger of an earlier version up to date; stop what writes to it before.

    A ledger from before there was a log is kept beside the new one. One that is up to date is counted
    anew where its tally is not what its records give.
    """
    from bandeau.cli.ledger.migration import migrated  # noqa: PLC0415 (rarely needed)

    with failing():
        click.echo(migrated(url, policy))
