"""`bandeau edge`: what computes the state key where the cache is, without asking the gate.

What is printed holds the key that seals choices, and what the running version rewrites pages by: it is
made anew with each version, policy and key. It never decides what passes: an edge keeps a page only
where the gate has named the same state with it.
"""

from __future__ import annotations

import base64
import json
import string
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import jinja2

from bandeau.decision.cookie import POLICY_DIGITS
from bandeau.decision.model import Published
from bandeau.errors import BandeauError
from bandeau.gate.guard import script_hash
from bandeau.gate.signals import Signals
from bandeau.ledger.keys import Keys
from bandeau.ledger.log import Log
from bandeau.ledger.place import key_file, store_at
from bandeau.notice import Notice
from bandeau.policy.digest import digest, fingerprints
from bandeau.policy.file import load
from bandeau.policy.model import Policy


@click.command()
@click.argument("kind", type=click.Choice(["worker", "njs", "vcl"]))
@click.option("--policy", required=True, type=click.Path(path_type=Path), help="The policy file.")
@click.option(
    "--ledger", default="sqlite:///bandeau.db", show_default=True, help="Where decisions go."
)
def edge(kind: str, policy: Path, ledger: str) -> None:
    """Print a module for an edge's cache: a worker (Web Crypto), njs, or VCL. It holds a secret."""
    try:
        declared = load(policy)
        wanted = declared.site.edge_cache and declared.choice.source == "notice"
        if not wanted or declared.account.enabled:  # an account's choice is not in the cookie
            needed = '[site] edge_cache = true, [choice] source = "notice" and without [account]'
            raise BandeauError(f"{policy}: an edge computes states where {needed}")  # noqa: TRY301
        store = store_at(ledger)
        try:
            click.echo(module(kind, declared, Keys(key_file(ledger)), Log(store)), nl=False)
        finally:
            store.close()
    except BandeauError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def module(kind: str, policy: Policy, keys: Keys, log: Log) -> str:
    """Return the module's text: constants, what computes a state, and what a kind of edge needs."""
    site, prints = policy.site, fingerprints(policy)
    current = Published(digest(policy), policy.consentable, prints)
    known = {**log.published_policies(), current.digest[:POLICY_DIGITS]: current}
    if not policy.rollout.layers or "/*" not in policy.rollout.paths:
        raise BandeauError("an edge computes states where [rollout] enforces on every path")
    data = {
        "versions": [
            current.digest,
            script_hash(),
            Notice(policy).style_hash,
            Signals(policy).hash,
        ],
        "rollout": [*filter(None, (policy.rollout.state,))],
        "origins": site.origins,
        "prefix": f"{site.prefix}/",
        "cookie": "__Secure-bandeau" if site.choice_scope == "site" else "__Host-bandeau",
        "languages": site.languages,
        "validMinutes": site.valid_days * 1440,
        "purposes": policy.consentable,
        "policies": {
            start: {
                "order": one.order,
                "same": [p for p in one.order if one.fingerprints.get(p) == prints.get(p, "")],
            }
            for start, one in sorted(known.items())
        },
        "keys": [key.hex() for key in keys.derived("choice")],
    }
    if kind == "vcl":
        return _vcl(data)
    here = files("bandeau.cli.edge")
    parts = [(here / f"{name}.js").read_text("utf-8") for name in ("state", kind)]
    return "".join([f"const DATA = {json.dumps(data, indent=1)};\n", *parts])


_DIGITS = "".join(
    f"{digit}{number:02}" for number, digit in enumerate(string.digits + string.ascii_lowercase)
)
_MOST = 48  # purposes: VCL's integers have 15 decimal digits


def _vcl(data: dict[str, Any]) -> str:
    """Return the subroutines for Varnish: its module takes keys for text, which ends at a zero byte."""
    keys = [key for key in map(bytes.fromhex, data["keys"]) if 0 not in key]
    if bytes.fromhex(data["keys"][0]) not in keys:
        raise BandeauError(
            "varnish-vmod-digest cannot use this key, which has a zero byte in it, as one in nine has:"
            " `bandeau ledger rotate`, restart the site, print it again"
        )
    if any(len(one["order"]) > _MOST for one in data["policies"].values()):
        raise BandeauError(f"VCL computes states of at most {_MOST} purposes")
    names = {
        "http": ("bandeau", "bandeau-audience"),
        "https": (data["cookie"], "__Host-bandeau-audience"),
    }
    used = sorted({origin.partition(":")[0] for origin in data["origins"]})
    text = (files("bandeau.cli.edge") / "state.vcl").read_text("utf-8")
    template = jinja2.Environment(
        autoescape=False,  # noqa: S701 (it is no markup)
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    ).from_string(text)
    return template.render(
        **{**data, "keys": [base64.b64encode(key).decode() for key in keys]},
        cookies={scheme: names[scheme] for scheme in used},
        digits=_DIGITS,
        every="".join(f",{one}" for one in sorted(data["purposes"])),
        valid_minutes=data["validMinutes"],
        unread=len(keys) < len(data["keys"]),
    )
