"""Invariant: whatever bytes come as the choice's cookie, nothing raises and nothing is granted."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.decision.cookie import Choice, decode, encode
from bandeau.decision.model import Published

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
DIGEST = "0f3c99a1b2" + "d" * 54
ORDER = ("social", "profiles", "audience", "ads", "video")
PUBLISHED = {DIGEST[:10]: Published(DIGEST, ORDER, {})}
NOW = 29_900_000
DAYS = 182
VALID = Choice(DIGEST, frozenset({"social", "ads"}), frozenset(ORDER), NOW)


def read(value: bytes, now: int = NOW) -> Choice | None:
    return decode(value, PUBLISHED, (b"other", KEY), now=now, valid_days=DAYS)


@given(st.frozensets(st.sampled_from(ORDER)), st.frozensets(st.sampled_from(ORDER)))
def test_what_is_written_is_read(granted: frozenset[str], decided: frozenset[str]) -> None:
    choice = Choice(DIGEST, granted, decided, NOW)
    value = encode(choice, ORDER, KEY).encode()
    assert read(value) == choice
    assert len(value) <= 64


def test_a_choice_is_valid_for_its_days_and_not_a_day_longer() -> None:
    value = encode(VALID, ORDER, KEY).encode()
    assert read(value, NOW + 181 * 1440) == VALID
    assert read(value, NOW + 183 * 1440) is None


def test_a_choice_from_the_future_is_none() -> None:
    assert read(encode(VALID, ORDER, KEY).encode(), NOW - 11) is None


def test_another_key_another_policy_or_another_version_is_none() -> None:
    assert read(encode(VALID, ORDER, OTHER_KEY).encode()) is None
    unknown = Choice("f" * 64, VALID.granted, VALID.decided, NOW)
    assert read(encode(unknown, ORDER, KEY).encode()) is None
    assert read(b"2" + encode(VALID, ORDER, KEY).encode()[1:]) is None


@pytest.mark.parametrize(
    "value", [b"", b"null", b"%7Bnot-json", b"1", b"1.....", b"\xff\xfe", b"a" * 4096]
)
def test_garbage_is_none(value: bytes) -> None:
    assert read(value) is None


def test_every_flipped_bit_is_none() -> None:
    value = bytearray(encode(VALID, ORDER, KEY).encode())
    for place in range(len(value) * 8):
        value[place // 8] ^= 1 << place % 8
        assert read(bytes(value)) is None
        value[place // 8] ^= 1 << place % 8


def mutated(value: bytes, chance: random.Random) -> bytes:
    """Change a cookie as accidents and forgers do: flips, cuts, doubles, swaps, noise, refills."""
    data = bytearray(value)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0 if data:
                data[place % len(data)] = chance.randrange(256)
            case 1:
                del data[place : place + chance.randint(1, 9)]
            case 2:
                data[place:place] = chance.randbytes(chance.randint(1, 9))
            case 3:
                data[place:place] = data[: chance.randint(0, len(data))]
            case 4:
                fields = bytes(data).split(b".")
                chance.shuffle(fields)
                data = bytearray(b".".join(fields))
            case _:
                fields = bytes(data).split(b".")
                fields[chance.randrange(len(fields))] = chance.choice(
                    [b"v", b"0", b"zz", b"-1", b""]
                )
                data = bytearray(b".".join(fields))
    return bytes(data)


def test_no_mutated_cookie_raises_or_grants() -> None:
    """100,000 of them; 1,000,000 with BANDEAU_PROVE=1 (`./dev prove`)."""
    refused = Choice(DIGEST, frozenset(), frozenset(ORDER), NOW)
    originals = [encode(choice, ORDER, KEY).encode() for choice in (VALID, refused)]
    rounds = 1_000_000 if os.environ.get("BANDEAU_PROVE") else 100_000
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    granting = {originals[0]}
    for _ in range(rounds):
        value = mutated(chance.choice(originals), chance)
        choice = read(value)
        assert choice is None or not choice.granted or value in granting, (seed, value)
