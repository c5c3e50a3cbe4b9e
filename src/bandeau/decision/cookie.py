"""The visitor's cookie: what was chosen, for which policy, when; signed, and without any visitor id.

    value     = "1." policy "." granted "." decided "." minute "." seal
    policy    = 10 hex digits, the start of the policy's digest
    granted   = base 36, bit n = purpose n of that policy's order
    decided   = base 36, likewise: what the visitor was asked and answered
    minute    = base 36, minutes since 1970 UTC
    seal      = 16 characters base64url, HMAC-SHA-256 of all before the last ".", cut to 96 bits

    1.0f3c99a1b2.1.v.hq3k2e.Zb0T1sJ8m3hQx0aP

One spelling only: lower case, no leading zero. Whatever is not exactly that, forged, out of date or
of a policy this site never published is None, which means undecided.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from bandeau.decision.model import Published

POLICY_DIGITS = 10
_SKEW_MINUTES = 10  # clocks of several machines behind one name
_VALUE = re.compile(
    r"1\.([0-9a-f]{10})\.(0|[1-9a-z][0-9a-z]{0,24})\.(0|[1-9a-z][0-9a-z]{0,24})"
    r"\.([1-9a-z][0-9a-z]{0,7})\.([A-Za-z0-9_-]{16})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a cookie says: the policy it answers, purposes granted and decided, the minute."""

    policy: str
    granted: frozenset[str]
    decided: frozenset[str]
    minute: int


@lru_cache(
    maxsize=1024
)  # nothing of a visitor is in it: who chooses alike in a minute gets the same
def encode(choice: Choice, order: tuple[str, ...], key: bytes) -> str:
    """Return the cookie's value; `order` are the purposes of the policy that was answered."""
    body = ".".join(
        (
            "1",
            choice.policy[:POLICY_DIGITS],
            _base36(_mask(choice.granted, order)),
            _base36(_mask(choice.decided, order)),
            _base36(choice.minute),
        )
    )
    return f"{body}.{_seal(body, key)}"


def decode(
    value: bytes,
    published: Mapping[str, Published],
    keys: Iterable[bytes],
    *,
    now: int,
    valid_days: int,
) -> Choice | None:
    """Return the choice in a cookie's value, or None. `published` is keyed by the policy's start.

    `now` is in minutes since 1970 UTC; any of the keys may have sealed it. Never raises.
    """
    try:
        match = _VALUE.fullmatch(value.decode("ascii"))
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    policy, granted, decided, minute_text, seal = match.groups()
    body = match.string[: match.start(5) - 1]
    if not any(hmac.compare_digest(_seal(body, key), seal) for key in keys):
        return None
    known, minute = published.get(policy), int(minute_text, 36)
    if known is None or not now - valid_days * 1440 < minute <= now + _SKEW_MINUTES:
        return None
    return Choice(
        known.digest,
        _named(int(granted, 36), known.order),
        _named(int(decided, 36), known.order),
        minute,
    )


def _seal(body: str, key: bytes) -> str:
    digest = hmac.digest(key, body.encode("ascii"), "sha256")
    return base64.urlsafe_b64encode(digest[:12]).decode("ascii")


def _mask(purposes: frozenset[str], order: tuple[str, ...]) -> int:
    return sum(1 << place for place, purpose in enumerate(order) if purpose in purposes)


def _named(mask: int, order: tuple[str, ...]) -> frozenset[str]:
    return frozenset(purpose for place, purpose in enumerate(order) if mask >> place & 1)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
