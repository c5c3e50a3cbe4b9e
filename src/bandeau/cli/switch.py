"""`bandeau switch`: an owner's way out, without a restart: cookies alone are filtered from then on."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from bandeau.errors import BandeauError

_option = partial(click.option, show_envvar=True)


@click.command(context_settings={"auto_envvar_prefix": "BANDEAU"})
@click.argument("what", type=click.Choice(["cookies", "all"]))
@_option("--policy", required=True, type=click.Path(path_type=Path), help="The policy file.")
@_option("--ledger", default="sqlite:///bandeau.db", show_default=True, help="Where decisions go.")
def switch(what: str, policy: Path, ledger: str) -> None:
    """Leave only cookies filtered, or enforce all that the policy says again; running sites follow.

    The change stands in the log as a MODE entry. On each machine that serves the site, once.
    """
    from bandeau.ledger.keys import Keys  # noqa: PLC0415 (keeps --help quick)
    from bandeau.ledger.ledger import Ledger  # noqa: PLC0415
    from bandeau.ledger.place import key_file, store_at  # noqa: PLC0415
    from bandeau.ledger.switch import LEFT, switch_file  # noqa: PLC0415
    from bandeau.policy.file import load  # noqa: PLC0415
    from bandeau.site import mode, origin  # noqa: PLC0415

    key = key_file(ledger)
    file = switch_file(key)
    try:
        declared = load(policy)
        layers = frozenset(declared.rollout.layers)
        if what == "cookies":
            file.touch()  # first what counts: a ledger that is down must not keep the site down
            layers &= LEFT
        else:
            file.unlink(missing_ok=True)
        store = store_at(ledger)
        try:
            keys = Keys(key, new=False)
            book = Ledger(store, keys, origin(declared), keep_days=declared.proof.keep_days)
            book.enforced(mode(declared, layers))
            book.close()
        finally:
            store.close()
    except (BandeauError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    click.echo(
        f"{file} is there: cookies alone are filtered, within a second. Back: bandeau switch all"
        if what == "cookies"
        else f"{file} is gone: everything that {policy} says is enforced, within a second"
    )
