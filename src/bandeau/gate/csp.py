"""The second Content-Security-Policy: a typed allow-list of hosts for one set of granted purposes.

It stands beside whatever the site sends and only narrows (CSP3 8.1, "multiple policies"). Inline
code, `eval`, `data:` and `blob:` stay with the site's own policy: they reach nobody by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from bandeau.gate.verdict import Allowance
from bandeau.wire.csp import serialise
from bandeau.wire.hosts import is_loopback

_DIRECTIVES = {
    "script": "script-src",
    "style": "style-src",
    "image": "img-src",
    "font": "font-src",
    "media": "media-src",
    "frame": "frame-src",
    "connect": "connect-src",
    "object": "object-src",
}
_KINDS = {directive: kind for kind, directive in _DIRECTIVES.items()} | {
    "form-action": "form",
    "worker-src": "script",
}
_BASE = ("'self'", "data:", "blob:", "'unsafe-inline'", "'unsafe-eval'")
_FRAME_SANDBOX = (
    "allow-scripts",
    "allow-forms",
    "allow-popups",
    "allow-popups-to-escape-sandbox",
)


def policy(allowance: Allowance, own: Iterable[str] = (), *, plain: bool = False) -> str:
    """Return the header's value: one policy, or two parted by a comma where that is shorter.

    `own` are the site's other origins' hosts, allowed for everything. `plain` says that the site is
    served over http, where `open` services may be too.
    """
    anywhere = ("https:", "http:") if plain else ("https:",)
    lists: dict[str, tuple[str, ...]] = {}
    for kind, directive in _DIRECTIVES.items():
        hosts = anywhere if kind in allowance.opened else _sources(allowance.hosts[kind])
        lists[directive] = (*_sources(sorted(own)), *hosts)
    form = ("'self'", *_sources(sorted(own)), *_sources(allowance.hosts["form"]))
    rest = {"worker-src": ("'self'", "blob:"), "form-action": form}
    one, two = _single(lists, rest), _crossed(lists, rest)
    return one if len(one) <= len(two) else two


def frame_policy(allowance: Allowance, kinds: Iterable[str], *, plain: bool = False) -> str:
    """Return the policy of an `open = "frame"` document: any host for its kinds, in a sandbox.

    The sandbox has an opaque origin: what runs there cannot read the page, its cookies or storage.
    """
    anywhere = ("https:", "http:") if plain else ("https:",)
    lists = {
        directive: anywhere if kind in kinds else _sources(allowance.hosts[kind])
        for kind, directive in _DIRECTIVES.items()
    }
    rest: dict[str, tuple[str, ...]] = {
        "worker-src": ("blob:",),
        "form-action": anywhere,
        "sandbox": _FRAME_SANDBOX,
    }
    return _single(lists, rest)


def reported(policy: bytes, to: str) -> bytes:
    """Return a policy's value for Content-Security-Policy-Report-Only, with reports to a path of ours.

    `report-uri` (CSP3 6.5.1) is the one way that every engine knows.
    """
    where = b"; report-uri " + to.encode("ascii")
    return b", ".join(one + where for one in policy.split(b", "))


def kind_of(directive: str) -> str:
    """Return the kind of host that a violated directive is about (CSP3 5.3, "effective directive")."""
    return _KINDS.get(directive.removesuffix("-elem").removesuffix("-attr"), "connect")


def _sources(hosts: Iterable[str]) -> tuple[str, ...]:
    """A host source without a port means the default port; loopback names have none to speak of."""
    return tuple(host + ":*" if is_loopback(host) else host for host in hosts)


def _single(lists: dict[str, tuple[str, ...]], rest: dict[str, tuple[str, ...]]) -> str:
    """One policy: `default-src` carries the list that is dearest to repeat."""
    common = _dearest(lists.values())
    differing = {name: (*_BASE, *hosts) for name, hosts in lists.items() if hosts != common}
    return serialise({"default-src": (*_BASE, *common), **differing, **rest})


def _crossed(lists: dict[str, tuple[str, ...]], rest: dict[str, tuple[str, ...]]) -> str:
    """Two policies, of which both must allow: everything for all kinds, and each kind's own list.

    A kind whose list is everything needs only `*` in the second one: with many own hosts for
    pictures and many services for the rest this says each host at most twice.
    """
    union = tuple(dict.fromkeys(host for hosts in lists.values() for host in hosts))
    whole = [name for name, hosts in lists.items() if set(hosts) == set(union)]
    narrower = {name: hosts for name, hosts in lists.items() if name not in whole}
    common = _dearest(narrower.values())
    second = {name: (*_BASE, *hosts) for name, hosts in narrower.items() if hosts != common}
    second |= dict.fromkeys(whole, ("*", *_BASE[1:]))
    first = serialise({"default-src": (*_BASE, *union), **rest})
    return f"{first}, {serialise({'default-src': (*_BASE, *common), **second})}"


def _dearest(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the list that costs most bytes when every directive that has it must print it."""
    cost: dict[tuple[str, ...], int] = {}
    for hosts in lists:
        cost[hosts] = cost.get(hosts, 0) + sum(map(len, hosts)) + len(hosts)
    return max(cost, key=lambda hosts: cost[hosts], default=())
