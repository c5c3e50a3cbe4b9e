"""A site's own strict CSP, and what bandeau needs in it: a nonce, or our exact hashes; no more.

This is the only change ever made to the site's policy. Where the page already lets our parts run,
its header passes byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from bandeau.wire import csp
from bandeau.wire.headers import RawHeaders, every


@dataclass(frozen=True, slots=True)
class Parts:
    """What is put into a page: hash sources of the inline parts, and where the rest comes from."""

    script_hashes: tuple[str, ...]
    style_hashes: tuple[str, ...]
    origin: str
    prefix: str


def admit(headers: RawHeaders, parts: Parts) -> tuple[RawHeaders, str | None]:
    """Return the headers with our parts admitted, and the nonce to put on them if there is one."""
    policies = [
        directives
        for value in every(headers, b"content-security-policy")
        for directives in csp.parse(value.decode("latin-1"))
    ]
    nonces = [csp.nonce(d, "script-src-elem") or csp.nonce(d, "style-src-elem") for d in policies]
    nonce = next(filter(None, nonces), None)
    out: RawHeaders = []
    for name, value in headers:
        if name == b"content-security-policy":
            before = csp.parse(value.decode("latin-1"))
            after = [_admitting(directives, parts, nonce) for directives in before]
            if after != before:
                value = ", ".join(map(csp.serialise, after)).encode("latin-1")  # noqa: PLW2901
        out.append((name, value))
    return out, nonce


def _admitting(
    directives: dict[str, tuple[str, ...]], parts: Parts, nonce: str | None
) -> dict[str, tuple[str, ...]]:
    ours = f"{parts.origin}{parts.prefix}/"
    inline = {"script-src-elem": parts.script_hashes, "style-src-elem": parts.style_hashes}
    for name, hashes in inline.items():
        if csp.nonce(directives, name) != nonce or nonce is None:
            if not csp.allows_inline(directives, name):
                directives = csp.with_sources(directives, name, hashes)
            if not _self(directives, name):
                directives = csp.with_sources(directives, name, (f"{ours}static/",))
    for name in ("connect-src", "form-action"):
        if not _self(directives, name):
            directives = csp.with_sources(directives, name, (ours,))
    return directives


def _self(directives: dict[str, tuple[str, ...]], name: str) -> bool:
    entry = csp.governing(directives, name)
    sources = {source.lower() for source in directives[entry]} if entry else {"*"}
    return bool(sources & {"'self'", "*"}) and "'strict-dynamic'" not in sources
