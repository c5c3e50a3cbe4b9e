"""Several instances on one PostgreSQL: a policy that changes by and by, and a key that is rotated."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bandeau.decision.model import Published, State
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import store_at
from bandeau.policy.file import loads
from bandeau.site import Site, origin
from bandeau.wire.headers import RawHeaders
from conftest import POSTED, SMALL, chosen, decisions, request
from ledger.postgres_server import server

REQUESTS, VISITORS = 1_000, 25
NEWER = SMALL.replace('"*.ads.localhost"', '"*.more-ads.localhost"').replace(
    "[[service]]", '[[purpose]]\nid = "video"\n[[service]]', 1
)


class Instances:
    """What runs on one database, each with a key file of its own or one that they share."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sites: list[Site] = []

    def start(self, text: str, key: Path) -> Site:
        policy = loads(text)
        ledger = Ledger(store_at(self.url), Keys(key, new=not self._sites), origin(policy))
        self._sites.append(Site(policy, ledger))
        return self._sites[-1]

    def close(self) -> None:
        for site in self._sites:
            site.close()


@pytest.fixture
def instances() -> Iterator[Instances]:
    with server().database() as url, contextlib.closing(Instances(url)) as made:
        yield made


@dataclass
class Visitor:
    """A browser, and what its visitor remembers: purposes answered, as they were described then."""

    cookie: RawHeaders
    granted: frozenset[tuple[str, str]] = frozenset()  # purpose and fingerprint

    def passes(self, site: Site) -> frozenset[str]:
        """Return what this visitor has agreed to of what a site of today would do."""
        return frozenset(dict(self.granted.intersection(site.current.fingerprints.items())))


def test_while_a_policy_changes_nobody_grants_more_than_was_said_and_nothing_is_lost(
    instances: Instances, tmp_path: Path
) -> None:
    chance, key = random.Random(7), tmp_path / "bandeau.key"
    older = instances.start(SMALL, key)
    visitors = [Visitor([]) for _ in range(VISITORS)]
    sites, made, pages = [older], 0, 0
    for number in range(REQUESTS):
        if number == REQUESTS // 10:  # the first of several instances gets the newer policy
            sites.append(instances.start(NEWER, key))
        if number == REQUESTS * 9 // 10:
            sites.remove(older)
        site, visitor = chance.choice(sites), chance.choice(visitors)
        consent = site.exchange(request("/", visitor.cookie)).consent
        assert consent.granted == visitor.passes(site)
        if chance.random() > 0.3:
            pages += 1
            continue
        purposes = [one for one in site.current.order if chance.random() < 0.5]
        body = "&".join(["choice=save", *(f"purpose={one}" for one in purposes)])
        visitor.cookie = chosen(site, body.encode(), visitor.cookie)
        prints = site.current.fingerprints
        visitor.granted = frozenset((one, prints[one]) for one in purposes)
        made += 1
    assert made > REQUESTS // 5
    assert len(decisions(older)) == made
    assert older.ledger.fsck() == []
    assert {decision.snapshot for decision in decisions(older)} == {
        older.desk.snapshot,
        sites[0].desk.snapshot,
    }


def test_a_newer_policy_is_looked_for_only_by_choices_that_are_sealed(
    instances: Instances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "bandeau.key"
    older, newer = instances.start(SMALL, key), instances.start(NEWER, key)
    (granted,) = chosen(newer, b"choice=all")
    looked: list[int] = []
    found = older.ledger.published_policies

    def counted() -> dict[str, Published]:
        looked.append(1)
        return found()

    monkeypatch.setattr(older.ledger, "published_policies", counted)
    for forged in range(20):
        value = granted[1][:-2] + b"%02d" % forged
        assert older.exchange(request("/", [(b"cookie", value)])).consent.state is State.UNDECIDED
    assert looked == []
    assert older.exchange(request("/", [granted])).consent.granted == {"social"}
    assert older.exchange(request("/x", [granted, *POSTED])).consent.granted == {"social"}
    assert looked == [1]


def test_after_a_rotation_the_key_file_goes_to_each_machine_and_then_each_restarts(
    instances: Instances, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.key", tmp_path / "other.key"
    first = instances.start(SMALL, one)
    shutil.copy(one, other)
    second = instances.start(SMALL, other)
    before = chosen(second, b"choice=all")
    made = 1

    instances.start(SMALL, one).ledger.rotate()
    chosen(first, b"choice=all")  # a machine that has the new secret goes on, without a restart
    made += 1
    refused = second.exchange(request("/_b/choice", POSTED, "POST"))
    assert (
        second.answer_sync(refused, b"choice=all").status == 503
    )  # one that has not, grants nothing
    chosen(second, b"choice=none", before)  # and obeys
    assert second.ledger.unrecorded == 1
    shutil.copy(one, other)
    after = chosen(second, b"choice=all")  # as soon as it has
    made += 1

    restarted = instances.start(SMALL, one)
    sealed = chosen(restarted, b"choice=all")
    made += 1
    for cookie in (before, after, sealed):  # nobody is asked anew by who has restarted
        assert restarted.exchange(request("/", cookie)).consent.state is State.GRANTED
    assert second.exchange(request("/", sealed)).consent.state is State.UNDECIDED  # not yet
    again = instances.start(SMALL, other)
    assert again.exchange(request("/", sealed)).consent.state is State.GRANTED
    assert len(decisions(first)) == made
    assert first.ledger.fsck() == []
