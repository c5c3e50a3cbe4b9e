"""What `bandeau init` makes of what was seen: planted observations, no browser."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audit.cases import walked
from bandeau.audit.draft import draft
from bandeau.audit.observe import Observation
from bandeau.audit.scenario import Run
from bandeau.policy.file import loads
from bandeau.policy.model import Policy

PAGE = "https://paper.test/news/1"
SLOT = "https://paper.test/ads/slot"
TAG = "https://tags.test/t.js"


def asked(url: str, kind: str, *chain: str, third: bool = True) -> Observation:
    host = url.split("/")[2]
    return Observation("request", "arrive", 1, url, host, third, chain, {"type": kind})


def load(*bidders: str, slot: str = SLOT) -> Run:
    """One load of a page whose slot brings a tag, and that tag the hosts whose turn it is."""
    seen = [
        asked(PAGE, "Document", PAGE, third=False),
        asked(slot, "Document", f"{PAGE}:40", PAGE, third=False),
        asked(TAG, "Script", f"{slot}:9", slot, f"{PAGE}:40", PAGE),
    ]
    seen += [
        asked(f"https://{one}/b.js", "Script", f"{TAG}:3:1", f"{slot}:9", slot, PAGE)
        for one in bidders
    ]
    return walked("no-choice", *seen)


def drafted(*runs: Run) -> Policy:
    numbered = [replace(one, number=place) for place, one in enumerate(runs)]
    return loads(draft(PAGE, numbered))


def test_hosts_that_a_frame_brings_by_turns_are_one_service_that_opens_that_frame() -> None:
    made = drafted(load("one.test", "two.test"), load("three.test"))
    (service,) = made.services
    assert (service.id, service.open, tuple(service.routes)) == ("tags", "frame", ("/ads/slot",))
    assert {one.host for one in service.hosts} == {"tags.test"}


def test_a_host_that_every_load_of_the_frame_brings_is_listed() -> None:
    made = drafted(load("one.test", "always.test"), load("two.test", "always.test"))
    assert {one.id for one in made.services} == {"tags", "always"}


def test_of_one_load_nobody_can_say_who_takes_turns() -> None:
    made = drafted(load("one.test", "two.test"))
    assert {one.id for one in made.services} == {"tags", "one", "two"}
    assert {one.open for one in made.services} == {None}


def test_a_host_that_the_page_itself_brings_too_is_listed() -> None:
    first = load("one.test", "two.test")
    first.observations.append(asked("https://one.test/x.js", "Script", f"{PAGE}:2", PAGE))
    made = drafted(first, load("three.test"))
    assert {one.id for one in made.services} == {"tags", "one"}


def test_frames_of_several_paths_have_each_their_own_service() -> None:
    other = "https://paper.test/ads/foot"
    made = drafted(
        load("one.test"),
        load("two.test"),
        load("six.test", slot=other),
        load("ten.test", slot=other),
    )
    assert sorted(path for one in made.services for path in one.routes) == [
        "/ads/foot",
        "/ads/slot",
    ]


@pytest.mark.parametrize(
    ("name", "declared"),
    [("half \ud83d", "half ?"), ('a"b\\', 'a"b\\'), ("a\nb\x7f", "a\nb\x7f"), ("clé", "clé")],
)
def test_a_page_may_call_what_it_keeps_as_it_likes(name: str, declared: str) -> None:
    detail = {"area": "local_storage", "by": "script"}
    chain = (f"http://site.test/{name}.js:1:1",)
    seen = Observation(
        "storage_kept", "arrive", 1, name, "site.test", third=False, chain=chain, detail=detail
    )
    text = draft("http://site.test/", [walked("no-choice", seen)])
    made = loads(text.encode().decode())  # as it is written to a file
    assert [one.name for one in made.trackers] == [declared]
