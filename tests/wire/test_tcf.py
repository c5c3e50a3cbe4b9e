"""TC strings: whatever is sent, decoding ends, in time, with a string's fields or with None."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bandeau.wire import tcf
from bandeau.wire.tcf import Ids, Publisher, Restriction, TCString, decode, parse
from wire.tcf_strings import BASE, DAY, encode, ids, made, ranges, text, vendors

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
STRINGS = 100_000  # of the official library
VECTOR = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA"
FULL = replace(
    BASE,
    purposes=ids((1, 3, 24), 24),
    special_features=ids((2,), 12),
    vendors=ids((1, 2, 3, 755)),
    vendors_by_interest=ids((9, 40)),
    restrictions=(
        Restriction(3, tcf.NOT_ALLOWED, Ids(ranges=((5, 9), (11, 11)))),
        Restriction(4, tcf.REQUIRE_INTEREST, Ids(ranges=((1, 1),))),
    ),
    disclosed=ids((1, 2, 3, 9, 40, 755)),
    publisher=Publisher(ids((1,), 24), ids((), 24), ids((2,), 3), ids((1,), 3)),
)


def values(string: TCString) -> dict[str, Any]:
    """Return a string's fields with each set of ids as a list: it has many spellings."""

    def plain(value: Any) -> Any:
        if isinstance(value, Ids):
            return list(value)
        if isinstance(value, Restriction):
            return value.purpose, value.kind, list(value.vendors)
        if isinstance(value, Publisher):
            return [plain(getattr(value, field.name)) for field in fields(value)]
        return [plain(one) for one in value] if isinstance(value, tuple) else value

    return {field.name: plain(getattr(string, field.name)) for field in fields(string)}


def bits(segment: str) -> str:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(f"{digits.index(one):06b}" for one in segment)


def test_the_vector_of_the_specification() -> None:
    found = decode(VECTOR)
    assert found
    assert (found.created, found.cmp, found.language, found.country) == (
        17_489_088_000,
        880,
        "EN",
        "DE",
    )
    assert list(found.vendors) == [1, 2, 3, 4]
    assert found.disclosed
    assert list(found.disclosed) == [1, 2, 3, 4, 5, 100, 404]
    assert found.publisher
    assert encode(found) == VECTOR


def test_every_field_comes_back() -> None:
    found = decode(encode(FULL))
    assert found
    assert values(found) == values(FULL)


@pytest.mark.parametrize("seed", range(4))
def test_strings_by_chance_come_back(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        string = by_chance(chance)
        found = parse(encode(string))
        assert found
        assert values(found) == values(string)
        assert encode(found) == encode(string)


def by_chance(chance: random.Random) -> TCString:
    def some(most: int) -> Ids:
        share = chance.choice((0, 0.01, 0.5, 1))
        return ids(n for n in range(1, chance.randint(1, most) + 1) if chance.random() < share)

    def fixed(size: int) -> Ids:
        return ids((n for n in range(1, size + 1) if chance.random() < 0.5), size)

    own = chance.choice((0, 1, 63))
    return TCString(
        created=chance.randrange(1 << 36),
        updated=chance.randrange(1 << 36),
        cmp=chance.randrange(1 << 12),
        cmp_version=chance.randrange(1 << 12),
        screen=chance.randrange(1 << 6),
        language="".join(chance.choices("ABYZ", k=2)),
        vendor_list=chance.randrange(1 << 12),
        policy=chance.randrange(1 << 6),
        service_specific=chance.random() < 0.5,
        other_texts=chance.random() < 0.5,
        special_features=fixed(12),
        purposes=fixed(24),
        purposes_by_interest=fixed(24),
        purpose_one_treatment=chance.random() < 0.5,
        country="".join(chance.choices("ABYZ", k=2)),
        vendors=some(60),
        vendors_by_interest=some(1200),
        restrictions=tuple(
            Restriction(chance.randint(1, 24), chance.randint(0, 2), some(200))
            for _ in range(chance.choice((0, 0, 3)))
        ),
        disclosed=chance.choice((None, some(900))),
        publisher=chance.choice((None, Publisher(fixed(24), fixed(24), fixed(own), fixed(own)))),
    )


@pytest.mark.parametrize("segment", range(3))
def test_cut_at_any_bit_it_is_unreadable(segment: int) -> None:
    parts = encode(FULL).split(".")
    whole = bits(parts[segment])
    end = len(whole.rstrip("0"))  # what follows fills up, or may be zeros of the last field
    for length in range(0, len(whole), 6):
        cut = ".".join([*parts[:segment], parts[segment][: length // 6], *parts[segment + 1 :]])
        if length < end:
            assert parse(cut) is None, length
    for length in range(end):
        # what is cut inside of a character is filled with zeros, so a count there is too small or large
        found = parse(
            ".".join([*parts[:segment], text(whole[:length] or "0"), *parts[segment + 1 :]])
        )
        assert found is None or values(found) != values(FULL), length


def core(**changes: Any) -> str:
    """Return a core with what no encoder writes in place of some of its last sections."""
    whole = bits(encode(replace(BASE, disclosed=None)))
    start = whole[:213]
    sections = {"vendors": vendors(Ids()), "interest": vendors(Ids()), "restrictions": "0" * 12}
    return text(start + "".join({**sections, **changes}.values()))


def section(largest: int, *runs: tuple[int, int]) -> str:
    return f"{largest:016b}1" + ranges(list(runs))


WRONG = {
    "empty": "",
    "a dot alone": ".",
    "an empty segment": encode(FULL) + ".",
    "of version 1": text(f"{1:06b}" + bits(VECTOR.partition(".")[0])[6:]),
    "of version 3": text(f"{3:06b}" + bits(VECTOR.partition(".")[0])[6:]),
    "in the other alphabet, plus": VECTOR.replace("Q", "+", 1),
    "in the other alphabet, slash": VECTOR.replace("Q", "/", 1),
    "padded": VECTOR.replace(".", "=.", 1),
    "with a space": VECTOR + " ",
    "with a line end": VECTOR + "\n",
    "of other digits": VECTOR.replace("4", "\N{ARABIC-INDIC DIGIT FOUR}", 1),
    "a language that has no letters": text(
        bits(encode(BASE).partition(".")[0])[:108] + f"{26:06b}" + bits(encode(BASE).partition(".")[0])[114:]
    ),
    "a range backwards": core(vendors=section(900, (9, 9), (20, 30)).replace(f"{30:016b}", f"{19:016b}")),
    "a range from nothing": core(vendors=section(900, (0, 4))),
    "a range beyond its largest": core(vendors=section(10, (4, 11))),
    "a restriction backwards": core(
        restrictions=f"{1:012b}{1:06b}00" + ranges([(5, 9)]).replace(f"{9:016b}", f"{4:016b}")
    ),
    "restrictions that are not there": core(restrictions=f"{4095:012b}"),
    "a segment twice": f"{encode(BASE)}.{text('001' + vendors(Ids()))}",
    "disclosed vendors that break off": f"{encode(replace(BASE, disclosed=None))}.{text('001' + f'{500:016b}0')}",
    "too long": encode(BASE) + ".g" + "A" * tcf.MAX_LENGTH,
}  # fmt: skip


def test_what_those_are_made_of_is_readable() -> None:
    assert parse(core()) == parse(encode(replace(BASE, disclosed=None)))
    assert parse(core(vendors=section(900, (9, 9), (20, 30))))
    assert parse(core(restrictions=f"{1:012b}{1:06b}00" + ranges([(5, 9)])))


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_unreadable_is_none(wrong: str) -> None:
    assert parse(wrong) is None
    assert decode(wrong) is None


def test_one_set_of_vendors_has_many_spellings() -> None:
    spellings = [
        section(9, (2, 4), (9, 9)),
        section(9, (9, 9), (3, 4), (2, 3)),  # overlapping, in no order
        section(65_535, (2, 2), (3, 3), (4, 4), (9, 9)),
        f"{9:016b}0011100001",
        f"{12:016b}0011100001000",
    ]
    for spelt in spellings:
        found = parse(core(vendors=spelt))
        assert found
        assert list(found.vendors) == [2, 3, 4, 9]
        assert [n for n in range(-1, 20) if n in found.vendors] == [2, 3, 4, 9]


@pytest.mark.parametrize("largest", [1, 45, 46, 65_535])
def test_the_largest_vendor_is_in_its_set(largest: int) -> None:
    for numbers in ((largest,), range(1, largest + 1)):
        found = decode(encode(replace(BASE, vendors=ids(numbers))))
        assert found
        assert largest in found.vendors
        assert largest + 1 not in found.vendors


def test_other_segments_are_passed_over_in_any_order() -> None:
    first, *rest = encode(FULL).split(".")
    other = [text("010" + vendors(ids((1, 2)))), text("111" + "1" * 40), "g"]
    found = decode(".".join([first, other[0], rest[1], other[1], rest[0], other[2]]))
    assert found
    assert values(found) == values(FULL)


def test_what_was_disclosed_must_be_said_from_march_2026_on() -> None:
    first = tcf.DISCLOSED_SINCE
    for created, valid in ((first - DAY, True), (first - 1, True), (first, False)):
        for updated in (first - DAY, first, first + DAY):
            string = replace(BASE, created=created, updated=updated)
            assert decode(encode(string))
            assert bool(decode(encode(replace(string, disclosed=None)))) is valid


def test_what_is_not_of_one_service_is_invalid() -> None:
    elsewhere = encode(replace(BASE, service_specific=False))
    assert parse(elsewhere)
    assert decode(elsewhere) is None


def test_large_sets_cost_little() -> None:
    """Not timed closely: spread out, the ranges alone were 268 million ids."""
    wide = f"{65_535:016b}1{4095:012b}" + f"1{1:016b}{65_535:016b}" * 4095
    many = f"{4095:012b}" + f"{1:06b}00{1:012b}1{1:016b}{65_535:016b}" * 2000
    began = time.process_time()
    for string in (core(vendors=wide), core(vendors=f"{65_535:016b}0" + "10" * 32_767 + "1")):
        found = parse(string)
        assert found
        assert 65_535 in found.vendors
        assert 65_536 not in found.vendors
    assert parse(core(restrictions=many.replace(f"{4095:012b}", f"{2000:012b}", 1)))
    assert time.process_time() - began < 5


def test_no_mutated_string_raises_or_takes_long() -> None:
    """5,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    whole = [encode(FULL), VECTOR, made(range(1, 12), range(1, 900, 3))]
    readable, longest = 0, 0.0
    for _ in range(1_000_000 if PROVE else 5_000):
        string = mutated(chance.choice(whole), chance)
        began = time.process_time()
        found = parse(string)
        longest = max(longest, time.process_time() - began)
        if found:
            readable += 1
            assert values(found), (seed, string)
            assert 755 in found.vendors or 755 not in found.vendors
    assert readable, seed
    assert longest < 1, seed


def mutated(string: str, chance: random.Random) -> str:
    letters = list(string)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(letters))
        match chance.randrange(5):
            case 0:
                letters[at] = chance.choice("ABQgw_-9.+=\x00é")
            case 1:
                letters.insert(at, chance.choice("A_.g"))
            case 2:
                letters[at:] = letters[at : at + chance.randrange(40)] or ["A"]
            case 3:
                letters[at:at] = letters[: chance.randrange(1, 60)]
            case _:
                letters[at] = chr(ord(letters[at]) ^ 1 << chance.randrange(6))
    return "".join(letters)


# -- The official library ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driver(shared: Path, request: pytest.FixtureRequest) -> list[str]:
    """The command that runs the official library; it is installed once, outside of the repository."""
    if not PROVE:
        pytest.skip("BANDEAU_PROVE=1 installs and runs the official library")
    if not shutil.which("npm"):
        pytest.skip("there is no npm here")
    home = Path(request.config.cache.mkdir("tcf"))
    folder = shared / "tools" / "interop"
    environment = {**os.environ, "INTEROP_HOME": str(home)}
    done = subprocess.run(["sh", folder / "install.sh"], env=environment, check=False)
    if done.returncode and subprocess.run(["npm", "ping"], check=False, timeout=60).returncode:
        pytest.skip("no npm registry can be reached")
    done.check_returncode()
    return ["env", f"INTEROP_HOME={home}", "node", str(folder / "tcf.cjs")]


def official(driver: list[str]) -> Iterator[dict[str, Any]]:
    """Give strings of the official library, each with what it made them of."""
    for seed in range(2026, 2036):
        ask = [*driver, "gen", str(STRINGS // 10), str(seed)]
        lines = subprocess.run(ask, capture_output=True, check=True).stdout.splitlines()
        yield from map(json.loads, lines)


def test_the_official_library_s_strings_are_read_and_written_alike(driver: list[str]) -> None:
    count = 0
    for count, one in enumerate(official(driver), 1):  # noqa: B007 (how many there were)
        found = parse(one["string"])
        assert found, one
        assert values(found) == meant(one["model"]), one
        assert encode(found) == one["string"], one
        assert bool(decode(one["string"])) is valid(one["model"]), one
    assert count == STRINGS


def meant(model: dict[str, Any]) -> dict[str, Any]:
    """Return the official library's model as our fields."""
    disclosed, publisher = (one in model["segments"] for one in ("vendorsDisclosed", "publisherTC"))
    return {
        "created": model["created"],
        "updated": model["lastUpdated"],
        "cmp": model["cmpId"],
        "cmp_version": model["cmpVersion"],
        "screen": model["consentScreen"],
        "language": model["consentLanguage"],
        "vendor_list": model["vendorListVersion"],
        "policy": model["policyVersion"],
        "service_specific": model["isServiceSpecific"],
        "other_texts": model["useNonStandardTexts"],
        "special_features": model["specialFeatureOptins"],
        "purposes": model["purposeConsents"],
        "purposes_by_interest": model["purposeLegitimateInterests"],
        "purpose_one_treatment": model["purposeOneTreatment"],
        "country": model["publisherCountryCode"],
        "vendors": model["vendorConsents"],
        "vendors_by_interest": model["vendorLegitimateInterests"],
        "restrictions": [
            (one["purposeId"], one["restrictionType"], one["vendors"])
            for one in model["publisherRestrictions"]
        ],
        "disclosed": model["vendorsDisclosed"] if disclosed else None,
        "publisher": [
            model["publisherConsents"],
            model["publisherLegitimateInterests"],
            model["publisherCustomConsents"],
            model["publisherCustomLegitimateInterests"],
        ]
        if publisher
        else None,
    }


def valid(model: dict[str, Any]) -> bool:
    told = "vendorsDisclosed" in model["segments"] or model["created"] < tcf.DISCLOSED_SINCE
    return bool(model["isServiceSpecific"] and told)


def test_what_we_write_the_official_library_reads(driver: list[str]) -> None:
    chance = random.Random(2026)
    strings = [
        replace(by_chance(chance), cmp=chance.randint(2, 4095), created=DAY * n, updated=DAY * n)
        for n in range(10_000, 12_000)
    ]
    sent = "".join(f"{encode(string)}\n" for string in strings)
    done = subprocess.run(
        [*driver, "decode"], input=sent, capture_output=True, text=True, check=True
    )
    answers = done.stdout.splitlines()
    assert len(answers) == len(strings)
    for string, answer in zip(strings, answers, strict=True):
        model = json.loads(answer)
        model["publisherRestrictions"] = [
            {"purposeId": one.purpose, "restrictionType": one.kind, "vendors": list(one.vendors)}
            for one in string.restrictions
        ]  # the library merges those of one purpose and kind
        assert meant(model) == values(string), answer
