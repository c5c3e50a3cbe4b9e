"""Strict network mode: the Connection-Allowlist of a page, and its outbound links; not the default.

The header (WICG draft, shipped in Chromium 152) is the wall behind the policy: what it does not list
is not even connected to, whoever asks. It stops ordinary links too, so those go through a redirect of
our own, signed that it is no open one. Engines that do not know the header ignore it.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from urllib.parse import quote

from bandeau.gate.verdict import Allowance


def allowlist(allowance: Allowance, link_hosts: Iterable[str], *, plain: bool) -> str:
    """Return the header's value: a structured-field list (RFC 9651 3.1) of URL patterns.

    Never empty: `()` would deny the site itself. `plain` says that the site is served over http.
    """
    schemes = ("https", "http") if plain else ("https",)
    hosts = sorted({*allowance.reachable(), *link_hosts} - {"*"})
    if "*" in allowance.reachable():
        hosts = ["*"]
    patterns = [f'"{scheme}://{host}:*/*"' for host in hosts for scheme in schemes]
    return f"({' '.join(('response-origin', *patterns))})"


def seal(url: str, key: bytes) -> str:
    """Return the signature of an outbound address: HMAC-SHA-256 cut to 96 bits, base64url."""
    digest = hmac.digest(key, url.encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(digest[:12]).decode("ascii")


def outbound(url: str, prefix: str, key: bytes) -> str:
    """Return the address of ours that leads to another one."""
    return f"{prefix}/out?u={quote(url, safe='')}&s={seal(url, key)}"
