"""What the commands of `bandeau ledger` share: the ledger they are asked about, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bandeau.errors import BandeauError, LedgerError
from bandeau.ledger import receipt
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log, Noted
from bandeau.ledger.place import POSTGRESQL, key_file, store_at
from bandeau.ledger.sqlite import path_of
from bandeau.ledger.store import Store

ledger_option = click.option(
    "--ledger",
    "url",
    default="sqlite:///bandeau.db",
    show_default=True,
    envvar="BANDEAU_LEDGER",
    show_envvar=True,
    help="Where it is.",
)


@contextmanager
def reading(url: str) -> Iterator[Log]:
    """Open a ledger that exists, to read it; one line and exit code 2 otherwise."""
    with failing():
        store = _existing(url)
        try:
            yield Log(store)
        finally:
            store.close()


@contextmanager
def writing(url: str, *, recovering: bool = False) -> Iterator[Ledger]:
    """Open a ledger that exists, with its key; one line and exit code 2 otherwise.

    `recovering` takes a new key where there is none, and what would be refused.
    """
    with failing():
        store = _existing(url)
        try:
            keys = Keys(key_file(url), new=recovering)
            opened = Ledger(store, keys, Log(store).head.origin, recovering=recovering)
        except BaseException:
            store.close()
            raise
        try:
            yield opened
        finally:
            opened.close()


def index_of(which: str) -> int:
    """Read a decision's index: a number, or the file of a receipt."""
    if which.isdecimal():
        return int(which)
    try:
        return receipt.parse(Path(which).read_bytes()).index
    except (OSError, receipt.ReceiptError) as error:
        raise BandeauError(f"{which}: neither a place in the log nor a receipt: {error}") from None


def chosen_by(ledger: Ledger, account: str) -> list[Noted]:
    """Return the records of an account's choice and of those that it replaced. Raises LedgerError."""
    index = ledger.account(ledger.hashed(account)).index
    if index is None:
        raise LedgerError("no choice of this account is kept")
    return ledger.history(index)


@contextmanager
def failing() -> Iterator[None]:
    """Say what fails in one line, and exit with 2."""
    try:
        yield
    except (BandeauError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def _existing(url: str) -> Store:
    if not url.startswith(POSTGRESQL) and not path_of(url).exists():
        raise BandeauError(f"{path_of(url)}: there is no ledger")
    return store_at(url)
