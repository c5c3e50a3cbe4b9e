"""Cookies at the gate: what may be set, what may be sent on, what has to go; never a value.

A cookie that is sent is read (S3), so the filter of requests matters as much as that of responses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from bandeau.gate.verdict import Allowance, Names
from bandeau.wire.cookies import PREFIXES, Removal, expiry, name_value, pairs, removes
from bandeau.wire.headers import RawHeaders

OURS = frozenset({
    b"__Host-bandeau",
    b"__Secure-bandeau",
    b"bandeau",
    b"__Host-bandeau-audience",
    b"bandeau-audience",
    b"__Secure-bandeau-receipt",
    b"bandeau-receipt",
})  # fmt: skip
SWEEP_LINES = (
    60  # Set-Cookie lines of one response: about 4 kB, half of a proxy's usual 8 kB of head
)


@dataclass(frozen=True, slots=True)
class Filtered:
    """Headers after the filter, and the names that were held back, each once, in order."""

    headers: RawHeaders
    held: tuple[bytes, ...]


def request(sent: Iterable[bytes], allowance: Allowance) -> Filtered:
    """Take from a request's Cookie headers all that may not be read; ours is nobody else's business."""
    allowed = allowance.names["cookie"]
    out: RawHeaders = []
    held: tuple[bytes, ...] = ()
    for header in sent:
        value, names = _read(header, allowed)
        if value:
            out.append((b"cookie", value))
        held += names
    return Filtered(out, tuple(dict.fromkeys(held)))


def response(headers: RawHeaders, allowance: Allowance) -> Filtered:
    """Take from a response every Set-Cookie that may not be stored; deletions may always pass."""
    allowed = allowance.names["cookie"]
    out: RawHeaders = []
    held: dict[bytes, None] = {}
    for name, value in headers:
        if name == b"set-cookie":
            read = name_value(value)
            if read is None or read[0] in OURS:
                continue
            if _text(read[0]) not in allowed and not removes(value):
                held[read[0]] = None
                continue
        out.append((name, value))
    return Filtered(out, tuple(held))


def sweep(held: Iterable[bytes], host: str, path: str, *, secure: bool) -> RawHeaders:
    """Return the Set-Cookie headers that remove cookies of which only the name is known.

    A request shows a name, not Domain or Path, and a removal must match both (RFC 6265bis 5.7): so
    host-only and every parent domain, `/` and every prefix of the path, without and with the slash
    that some write after it, and Partitioned. The likeliest come first for every name; what is
    beyond the limit follows with the next response.
    """
    wanted = [name for name in held if name and name not in OURS]
    if not wanted:
        return []
    lines: list[bytes] = []
    for place, domain, partitioned, plain in _rounds(host, path, secure):
        lines += [
            Removal(name, place, domain, partitioned).line(secure=secure)
            if name.lower().startswith(PREFIXES)
            else name + plain
            for name in wanted
        ]
    return [(b"set-cookie", line) for line in lines[:SWEEP_LINES]]


@lru_cache(maxsize=256)
def _rounds(
    host: str,
    path: str,
    secure: bool,  # noqa: FBT001 (a cache key has no names)
) -> list[tuple[bytes, str | None, bool, bytes]]:
    """Return places where a cookie may be, the likeliest first, and the lines that remove it there."""
    labels = host.split(".")
    named = not host.startswith("[") and not labels[-1].isdigit()
    domains = [".".join(labels[n:]) for n in range(max(len(labels) - 1, 1))] if named else []
    steps = path.split("/")[1:-1]
    prefixes = [
        "/" + "/".join(steps[: n + 1]) + end for n in range(len(steps[:6])) for end in ("", "/")
    ]
    rounds: list[tuple[bytes, str | None, bool]] = [(b"/", None, False)]
    rounds += [(b"/", domain, False) for domain in domains]
    rounds += [(b"/", None, True)] if secure else []
    rounds += [(p.encode("latin-1", "ignore"), None, False) for p in prefixes if ";" not in p]
    return [
        (place, domain, parted, expiry(place, domain, partitioned=parted, secure=secure))
        for place, domain, parted in rounds
    ]


def _read(header: bytes, allowed: Names) -> tuple[bytes, tuple[bytes, ...]]:
    """Return what may be read of one Cookie header, and the names that may not."""
    kept: list[bytes] = []
    held: dict[bytes, None] = {}
    for name, raw in pairs(header):
        if name in OURS:
            continue
        if _text(name) in allowed:
            kept.append(raw)
        else:
            held[name] = None
    return b"; ".join(kept), tuple(held)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
