"""Who receives data, of walks that are written down."""

from __future__ import annotations

from typing import Any

from audit.cases import declared, walked
from bandeau.audit.inventory import Inventory
from bandeau.audit.observe import Observation
from bandeau.audit.recipients import recipients
from bandeau.audit.scenario import SEED, Run
from bandeau.policy.model import Policy

URL = "https://site.test/article"
FRAME = "https://site.test/slot"
TAG = (f'{URL} <script src="https://ads.test/a.js">', URL)
SLOT = (f'{FRAME} <script src="https://ads.test/a.js">', f'{URL} <iframe src="/slot">', URL)


def rows(*runs: Run, policy: Policy | None = None) -> list[dict[str, Any]]:
    return recipients(URL, runs, Inventory(policy))


def request(host: str, station: str = "arrive", query: str = "", chain: tuple[str, ...] = TAG, **more: Any) -> Observation:  # fmt: skip
    return Observation(
        "request",
        station,
        1,
        f"https://{host}/x{query}",
        host,
        third=True,
        chain=chain,
        detail=more,
    )


def cookie(kind: str, name: str, host: str, *chain: str, **more: Any) -> Observation:
    return Observation(kind, "arrive", 1, name, host, not host.endswith("site.test"), chain, more)


def test_a_row_says_who_receives_what_for_what_and_by_which_tag() -> None:
    page = "?page=https%3A%2F%2Fsite.test%2Farticle&id=1234567890"
    run = walked(
        "no-choice",
        cookie(
            "cookie_kept", "visitor", "site.test", "https://ads.test/a.js:1:1", size=10, digest="d"
        ),
        request("ads.test", query=page, values=["d", "other"]),
        cookie("cookie_kept", "uid", "ads.test", "response of https://ads.test/x", **{"from": "x"}),
        cookie("cookie_sent", "uid", "ads.test", *TAG, to="https://ads.test/x"),
    )
    assert rows(run, policy=declared("Advertisements")) == [
        {
            "owners": ["Adco"],
            "source": "",
            "hosts": {"ads.test": ["ads.test"]},
            "when": "before any choice",
            "purposes": ["Advertisements"],
            "page": True,
            "identifiers": ["visitor"],
            "cookies": ["uid"],
            "keeps": ["uid"],
            "writes": ["visitor"],
            "ways": [TAG],
        }
    ]


def test_names_that_are_made_for_each_load_are_one_party_and_lasting_ones_are_not() -> None:
    runs = [
        walked(
            name,
            *(request(f"{host}.test", chain=SLOT) for host in (f"bid-{name}", "cdn-1", "cdn-2")),
        )
        for name in ("refuse", "accept", "gpc")
    ]
    found = [(one["hosts"], one["ways"]) for one in rows(*runs)]
    bids = sorted(f"bid-{name}.test" for name in ("refuse", "accept", "gpc"))
    assert found == [
        ({"bid-….test": bids}, [SLOT]),
        ({"cdn-1.test": ["cdn-1.test"]}, [SLOT]),
        ({"cdn-2.test": ["cdn-2.test"]}, [SLOT]),
    ]


def test_hosts_of_one_domain_and_of_one_owner_are_one_party() -> None:
    hosts = ("a.cdn.test", "b.cdn.test", "www.facebook.com", "connect.facebook.net")
    found = rows(walked("no-choice", *(request(one) for one in hosts)), walked("refuse", *map(request, hosts)))  # fmt: skip
    assert [list(one["hosts"]) for one in found] == [list(hosts[:2]), sorted(hosts[2:])]
    assert [bool(one["source"]) for one in found] == [False, True]
    assert found[1]["purposes"] == ["social networks", "advertising"]


def test_it_is_said_whether_it_was_before_a_choice_though_refused_or_after_accepting() -> None:
    walks = {
        "a.test": walked("accept", request("a.test", "accept-reload")),
        "b.test": walked("refuse", request("b.test", "refuse-reload")),
        "c.test": walked("accept", request("c.test")),
        "d.test": walked("withdraw", request("d.test", "withdraw-reload")),
        "e.test": walked("gpc", request("e.test", "against")),
        "f.test": walked("refuse", request("f.test", "refuse"), completed=False),
    }
    assert {host: one["when"] for one in rows(*walks.values()) for host in one["hosts"]} == {
        "c.test": "before any choice",
        "b.test": "after a refusal",
        "d.test": "after a refusal",
        "a.test": "after accepting",
        "e.test": "after accepting",
        "f.test": "in a test that did not come to its end",
    }


def test_what_the_owner_declares_as_his_own_is_no_recipient() -> None:
    raw = declared()
    site = raw.site.model_copy(update={"own_hosts": (raw.services[0].hosts[0],)})
    assert (
        rows(walked("no-choice", request("ads.test")), policy=raw.model_copy(update={"site": site}))
        == []
    )


def test_the_identifier_that_the_inspector_plants_is_nobodys_cookie() -> None:
    seed = cookie("cookie_sent", SEED, "ads.test", *TAG, to="https://ads.test/x")
    (row,) = rows(walked("dirty", request("ads.test"), seed))
    assert row["cookies"] == []
