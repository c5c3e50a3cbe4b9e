"""A Content-Security-Policy as data (CSP Level 3): parse, change, print in one fixed order.

It knows the grammar and the fallbacks between directives; what a site may load is not its matter.
Directives keep the order of `ORDER`, then the alphabet; sources keep the order they were given.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping

Directives = Mapping[str, tuple[str, ...]]

ORDER = (
    "default-src",
    *("script-src", "script-src-elem", "script-src-attr"),
    *("style-src", "style-src-elem", "style-src-attr"),
    *("img-src", "font-src", "media-src", "frame-src", "child-src", "connect-src"),
    *("worker-src", "manifest-src", "object-src"),
    *("base-uri", "form-action", "frame-ancestors", "sandbox"),
)
FALLBACKS = {  # CSP3 6.8.3, "get fetch directive fallback list"
    "script-src-elem": ("script-src-elem", "script-src", "default-src"),
    "style-src-elem": ("style-src-elem", "style-src", "default-src"),
    "script-src": ("script-src", "default-src"),
    "style-src": ("style-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
    "form-action": ("form-action",),
}
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_=-]+)'", re.IGNORECASE)
_HASH = re.compile(r"'sha(?:256|384|512)-[A-Za-z0-9+/_=-]+'", re.IGNORECASE)
_SPACE = "\t\n\f\r "  # CSP3 2.2.1: ASCII white space


def parse(header: str) -> list[dict[str, tuple[str, ...]]]:
    """Return the policies of a header's value; commas part policies, a repeated directive is ignored."""
    policies = []
    for text in header.split(","):
        directives: dict[str, tuple[str, ...]] = {}
        for part in text.split(";"):
            name, *sources = part.strip(_SPACE).split() or [""]
            if name:
                directives.setdefault(name.lower(), tuple(sources))
        if directives:
            policies.append(directives)
    return policies


def serialise(directives: Directives) -> str:
    """Return one policy as text: the same directives always give the same bytes."""
    rank = {name: place for place, name in enumerate(ORDER)}
    names = sorted(directives, key=lambda name: (rank.get(name, len(ORDER)), name))
    return "; ".join(" ".join((name, *directives[name])) for name in names)


def governing(directives: Directives, name: str) -> str | None:
    """Return the directive that decides for `name`, by the fallback list; None where nothing does."""
    return next((entry for entry in FALLBACKS[name] if entry in directives), None)


def nonce(directives: Directives, name: str) -> str | None:
    """Return the nonce that the directive deciding for `name` carries."""
    found = _NONCE.search(" ".join(directives.get(governing(directives, name) or "", ())))
    return found[1] if found else None


def hash_source(content: bytes) -> str:
    """Return the hash source of an inline script or style (CSP3 2.3.1; integrity has it unquoted)."""
    digest = hashlib.sha256(content).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def allows_inline(directives: Directives, name: str) -> bool:
    """Say whether inline content passes unmarked: 'unsafe-inline' without nonce, hash, 'strict-dynamic'.

    CSP3 6.7.3.2, "does a source list allow all inline behavior".
    """
    entry = governing(directives, name)
    if entry is None:
        return True
    sources = " ".join(directives[entry]).lower()
    strict = _NONCE.search(sources) or _HASH.search(sources) or "'strict-dynamic'" in sources
    return "'unsafe-inline'" in sources and not strict


def with_sources(
    directives: Directives, name: str, sources: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return the policy with sources added for `name`; where it inherits, the list is copied down.

    `'none'` gives way, since it means nothing beside another source (CSP3 6.7.2.6).
    """
    entry = governing(directives, name)
    if entry is None:
        return dict(directives)
    held = tuple(source for source in directives[entry] if source.lower() != "'none'")
    added = tuple(source for source in sources if source not in held)
    return {**directives, (entry if entry != "default-src" else name): held + added}
