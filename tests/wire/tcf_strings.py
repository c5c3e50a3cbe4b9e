"""TC strings as the official library writes them, bit for bit; the product itself only reads."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from bandeau.wire.tcf import Ids, Publisher, Restriction, TCString

DAY = 864_000  # tenths of seconds


def ids(numbers: Iterable[int], size: int = 0) -> Ids:
    """Return a set of ids as bits, `size` of them or as many as it needs."""
    found = frozenset(numbers)
    return Ids("".join("01"[n in found] for n in range(1, max([size, *found], default=size) + 1)))


BASE = TCString(
    created=20_600 * DAY,  # 27 May 2026
    updated=20_600 * DAY,
    cmp=880,
    cmp_version=1,
    screen=1,
    language="FR",
    vendor_list=100,
    policy=5,
    service_specific=True,
    other_texts=False,
    special_features=ids((), 12),
    purposes=ids((), 24),
    purposes_by_interest=ids((), 24),
    purpose_one_treatment=False,
    country="FR",
    vendors=Ids(),
    vendors_by_interest=Ids(),
    restrictions=(),
    disclosed=Ids(),
)


def made(
    purposes: Iterable[int] = (),
    vendors: Iterable[int] = (),
    *,
    disclosed: Iterable[int] | None = range(1, 1001),
    special_features: Iterable[int] = (),
    **more: Any,
) -> str:
    """Return a string that consents to purposes and vendors; by default 1,000 were disclosed."""
    return encode(
        replace(
            BASE,
            purposes=ids(purposes, 24),
            vendors=ids(vendors),
            special_features=ids(special_features, 12),
            disclosed=None if disclosed is None else ids(disclosed),
            **more,
        )
    )


def encode(string: TCString) -> str:
    """Return the string as `@iabtechlabtcf/core` 1.5.21 writes it."""
    core = [
        _number(2, 6),
        _number(string.created, 36),
        _number(string.updated, 36),
        _number(string.cmp, 12),
        _number(string.cmp_version, 12),
        _number(string.screen, 6),
        _letters(string.language),
        _number(string.vendor_list, 12),
        _number(string.policy, 6),
        _number(string.service_specific, 1),
        _number(string.other_texts, 1),
        string.special_features.bits,
        string.purposes.bits,
        string.purposes_by_interest.bits,
        _number(string.purpose_one_treatment, 1),
        _letters(string.country),
        vendors(string.vendors),
        vendors(string.vendors_by_interest),
        _number(len(string.restrictions), 12),
        *map(_restriction, string.restrictions),
    ]
    segments = [core]
    if string.disclosed is not None:
        segments.append([_number(1, 3), vendors(string.disclosed)])
    if string.publisher is not None:
        segments.append([_number(3, 3), _publisher(string.publisher)])
    return ".".join(text("".join(bits)) for bits in segments)


def text(bits: str) -> str:
    """Return bits as text. The library fills every segment up to 24 bits."""
    bits += "0" * (-len(bits) % 24)
    return base64.urlsafe_b64encode(int(bits, 2).to_bytes(len(bits) // 8)).decode("ascii")


def vendors(found: Ids) -> str:
    """Return a set of vendors, as bits or as ranges: what the library thinks shorter.

    It leaves the tail of the last range out of the account, and takes a single id for a bit less than it
    is; at 45 ids and fewer it does not ask.
    """
    numbers = list(found)
    largest = numbers[-1] if numbers else 0
    runs = _runs(numbers)
    cost = 29 + sum(33 if last > first else 16 for first, last in runs) - 16
    ranged = largest > 45 and cost < 17 + largest
    return (
        _number(largest, 16)
        + _number(ranged, 1)
        + (ranges(runs) if ranged else ids(numbers, largest).bits)
    )


def ranges(runs: list[tuple[int, int]]) -> str:
    """Return ranges, a single id as one that has no last."""
    return _number(len(runs), 12) + "".join(
        _number(last > first, 1) + _number(first, 16) + (_number(last, 16) if last > first else "")
        for first, last in runs
    )


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    if not numbers:
        return []
    breaks = [(one, two) for one, two in pairwise(numbers) if two > one + 1]
    return list(
        zip(
            [numbers[0], *(two for _, two in breaks)],
            [*(one for one, _ in breaks), numbers[-1]],
            strict=True,
        )
    )


def _restriction(found: Restriction) -> str:
    runs = ranges(_runs(list(found.vendors)))
    return _number(found.purpose, 6) + _number(found.kind, 2) + runs


def _publisher(found: Publisher) -> str:
    count = _number(len(found.own.bits), 6)
    fixed = found.purposes.bits + found.purposes_by_interest.bits
    return fixed + count + found.own.bits + found.own_by_interest.bits


def _letters(two: str) -> str:
    return "".join(_number(ord(letter) - ord("A"), 6) for letter in two)


def _number(value: int, bits: int) -> str:
    return f"{value:0{bits}b}"
