"""The TC string of the Transparency and Consent Framework, 2.0 to 2.3, read; not what it means here.

    string    = core *("." segment)          base64url, most significant bit first, no padding sign
    core      = version 6 (2), created 36, updated 36, cmp 12, cmp version 12, screen 6, language 2 x 6,
                vendor list 12, policy 6, service specific 1, other texts 1, special features 12,
                purposes 24, purposes by interest 24, purpose one 1, country 2 x 6,
                vendors, vendors by interest, restrictions
    vendors   = max 16, ranged 1, then max bits or ranges
    ranges    = count 12 x (several 1, first 16, [last 16])
    restrictions = count 12 x (purpose 6, kind 2, ranges)
    segment   = type 3 (1), vendors          disclosed vendors
              / type 3 (3), purposes 24, by interest 24, n 6, own purposes n, by interest n
              / type 3, anything             another type: passed over (2, allowed vendors, is of old)

    CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA

Times are tenths of seconds since 1970 UTC, 65,535 the largest vendor. One set of vendors has many
spellings, and all of them are read: whoever writes these strings is not us. A string that breaks off,
names letters that are none, a range backwards or a segment twice is None. Nobody signs it.

IAB Tech Lab, "Consent string and vendor list format", as of February 2026.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LENGTH = 32_768  # characters; 4,095 ranges need 22,523, a browser's cookie holds 4,096
_STRING = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_A = 65  # letters count from A
_LETTERS = 26
_DISCLOSED, _PUBLISHER = 1, 3
NOT_ALLOWED, REQUIRE_CONSENT, REQUIRE_INTEREST = 0, 1, 2
# Strings made from 1 March 2026 UTC on must say which vendors were disclosed (TCF 2.3).
DISCLOSED_SINCE = 17_723_232_000  # tenths of seconds


@dataclass(frozen=True, slots=True)
class Ids:
    """A set of ids as the string has it: as bits, or as ranges; never spread out.

    65,535 vendors, or 4,095 ranges of as many, so cost no more than the characters they came in.
    """

    bits: str = ""  # "1" at place n - 1: n is in the set
    ranges: tuple[tuple[int, int], ...] = ()  # first and last

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or number < 1:
            return False
        return self.bits[number - 1 : number] == "1" or any(
            first <= number <= last for first, last in self.ranges
        )

    def __iter__(self) -> Iterator[int]:
        """Give the ids, each once, in order."""
        yield from (place for place, bit in enumerate(self.bits, 1) if bit == "1")
        after = 0
        for first, last in sorted(self.ranges):
            yield from range(max(first, after), last + 1)
            after = max(after, last + 1)


@dataclass(frozen=True, slots=True)
class Restriction:
    """What the publisher restricts vendors to for one purpose; `kind` as the constants above."""

    purpose: int
    kind: int
    vendors: Ids


@dataclass(frozen=True, slots=True)
class Publisher:
    """What was consented to for the publisher itself; `own` are purposes of its own making."""

    purposes: Ids
    purposes_by_interest: Ids
    own: Ids
    own_by_interest: Ids


@dataclass(frozen=True, slots=True)
class TCString:
    """A decoded string: all of its fields. Ids that are not set are not consented to."""

    created: int  # tenths of seconds since 1970 UTC, as is `updated`
    updated: int
    cmp: int
    cmp_version: int
    screen: int
    language: str  # two capital letters, as is `country`
    vendor_list: int
    policy: int
    service_specific: bool
    other_texts: bool
    special_features: Ids
    purposes: Ids
    purposes_by_interest: Ids
    purpose_one_treatment: bool
    country: str
    vendors: Ids
    vendors_by_interest: Ids
    restrictions: tuple[Restriction, ...]
    disclosed: Ids | None = None
    publisher: Publisher | None = None


class _UnreadableError(Exception):
    pass


def decode(text: str) -> TCString | None:
    """Return what a string says, or None where it is unreadable or the framework holds it invalid.

    Invalid is what is not of one service alone, and what was made from 1 March 2026 on without the
    vendors that were disclosed. Never raises.
    """
    found = parse(text)
    if found is None or not found.service_specific:
        return None
    return None if found.disclosed is None and found.created >= DISCLOSED_SINCE else found


def parse(text: str) -> TCString | None:
    """Return what a string says, valid or not; None where it is unreadable. Never raises."""
    if len(text) > MAX_LENGTH or not _STRING.fullmatch(text):
        return None
    core, *segments = map(_Bits, text.split("."))
    try:
        named = {segment.number(3): segment for segment in segments}
        if len(named) < len(segments) or core.number(6) != 2:  # noqa: PLR2004 (the version)
            return None
        disclosed, publisher = named.get(_DISCLOSED), named.get(_PUBLISHER)
        return TCString(
            created=core.number(36),
            updated=core.number(36),
            cmp=core.number(12),
            cmp_version=core.number(12),
            screen=core.number(6),
            language=core.letters(),
            vendor_list=core.number(12),
            policy=core.number(6),
            service_specific=core.flag(),
            other_texts=core.flag(),
            special_features=core.ids(12),
            purposes=core.ids(24),
            purposes_by_interest=core.ids(24),
            purpose_one_treatment=core.flag(),
            country=core.letters(),
            vendors=core.vendors(),
            vendors_by_interest=core.vendors(),
            restrictions=tuple(core.restriction() for _ in range(core.number(12))),
            disclosed=disclosed.vendors() if disclosed else None,
            publisher=publisher.publisher() if publisher else None,
        )
    except _UnreadableError:
        return None


class _Bits:
    """The bits of one segment, taken from the front."""

    def __init__(self, text: str) -> None:
        whole = text + "A" * (-len(text) % 4)  # zeros, cut off again: nothing is read past the end
        number = int.from_bytes(base64.urlsafe_b64decode(whole))
        self._bits = f"{number:0{6 * len(whole)}b}"[: 6 * len(text)]
        self._at = 0

    def take(self, count: int) -> str:
        start, self._at = self._at, self._at + count
        if self._at > len(self._bits):
            raise _UnreadableError
        return self._bits[start : self._at]

    def number(self, count: int) -> int:
        return int(self.take(count), 2)

    def flag(self) -> bool:
        return self.take(1) == "1"

    def ids(self, count: int) -> Ids:
        return Ids(self.take(count))

    def letters(self) -> str:
        codes = (self.number(6), self.number(6))
        if max(codes) >= _LETTERS:
            raise _UnreadableError
        return "".join(chr(_A + code) for code in codes)

    def vendors(self) -> Ids:
        largest = self.number(16)
        return self.ranges(largest) if self.flag() else self.ids(largest)

    def ranges(self, largest: int) -> Ids:
        """Return as many ranges as are announced: one loop, for this is where the time goes."""
        found = []
        count, bits, at = self.number(12), self._bits, self._at
        for _ in range(count):
            first = last = int(bits[at + 1 : at + 17] or "0", 2)
            if bits[at : at + 1] == "1":
                last = int(bits[at + 17 : at + 33] or "0", 2)
                at += 16
            at += 17
            if not 0 < first <= last <= largest:
                raise _UnreadableError
            found.append((first, last))
        self.take(at - self._at)  # were they all there
        return Ids(ranges=tuple(found))

    def restriction(self) -> Restriction:
        return Restriction(self.number(6), self.number(2), self.ranges(0xFFFF))

    def publisher(self) -> Publisher:
        purposes, by_interest, own = self.ids(24), self.ids(24), self.number(6)
        return Publisher(purposes, by_interest, self.ids(own), self.ids(own))
