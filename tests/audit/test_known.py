"""Known trackers: whose they are, the facts' form, and that all goes on without the list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.cases import kept, outcome, request, verdict, walked
from bandeau.audit import known
from bandeau.audit.document import document
from bandeau.audit.draft import draft
from bandeau.audit.report.html import page
from bandeau.audit.ruleset import load
from bandeau.policy.file import loads
from bandeau.wire.hosts import normalise


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The list is not there."""
    forget()
    with monkeypatch.context() as patch:
        patch.setattr(known, "files", lambda _: tmp_path)
        yield
    forget()


def forget() -> None:
    for one in (known.trackers, known._hosts, known._cookies):
        one.cache_clear()


def test_every_entry_says_by_whose_own_page_it_is_known() -> None:
    assert len(known.trackers()) > 60
    for one in known.trackers():
        assert re.fullmatch(r"https://[a-z0-9.-]+/\S*", one.source), one
        assert one.purpose in ("ads", "audience", "profiles", "social", "technical", "video"), one
        assert one.hosts, one
        assert all(normalise(host) == host and "." in host for host in one.hosts), one
        assert all(re.fullmatch(r"[\w.-]{2,}\*?", name) for name in one.cookies), one


def test_no_host_and_no_cookie_has_two_owners() -> None:
    for field in ("hosts", "cookies"):
        found = Counter(name for one in known.trackers() for name in getattr(one, field))
        assert [name for name, times in found.items() if times > 1] == []


@pytest.mark.parametrize(
    ("host", "service"),
    [("www.google-analytics.com", "Google Analytics"), ("connect.facebook.net", "Meta Pixel"), ("static.ads.linkedin.com", "LinkedIn Insight Tag"), ("www.linkedin.com", "LinkedIn"),
     ("notcriteo.com", None), ("criteo.com.evil.test", None), ("com", None), ("", None)],
)  # fmt: skip
def test_a_host_is_the_closest_one_s(host: str, service: str | None) -> None:
    found = known.of_host(host)
    assert (found.service if found else None) == service


@pytest.mark.parametrize(
    ("name", "service"),
    [("_ga", "Google Analytics"), ("_ga_AB12CD34", "Google Analytics"), ("_gac_UA-1", "Google advertising"), ("_pk_id.3.1fff", "Matomo"), ("_hjSessionUser_12", "Hotjar"),
     ("_fbp", "Meta Pixel"), ("_fbpx", None), ("session", None), ("", None)],
)  # fmt: skip
def test_a_cookie_is_his_whose_longest_name_fits(name: str, service: str | None) -> None:
    found = known.of_cookie(name)
    assert (found.service if found else None) == service


def test_without_a_policy_an_advertiser_s_cookie_is_certain_and_an_audience_s_is_for_a_person() -> (
    None
):
    found = verdict("C1", walked("no-choice", kept("arrive", "_fbp"), kept("arrive", "zid")))
    assert [fact.text.partition(":")[0] for fact in found.facts] == [
        "cookie _fbp of site.test, 1157.4 days"
    ]
    assert "known as Meta Pixel of Meta Platforms (ads)" in found.facts[0].text
    assert outcome("C1", walked("no-choice", kept("arrive", "_pk_id.1"))) == "unclassified"
    assert outcome("C1", walked("no-choice", kept("arrive", "zid"))) == "unclassified"


def test_a_third_party_is_called_by_its_owner_s_name_and_the_report_has_the_source() -> None:
    done = walked("no-choice", request("sslwidget.criteo.com", "arrive"), kept("arrive", "_ga"))
    found = verdict("C3", done)
    assert found.facts[0].text.startswith("request to sslwidget.criteo.com (Criteo): ")
    report = document("http://site.test/", [done], [found], load(), started=datetime.now(UTC))
    assert [(one["owner"], one["seen"]) for one in report["known"]] == [
        ("Google", ["_ga"]),
        ("Criteo", ["sslwidget.criteo.com"]),
    ]
    assert 'href="https://www.criteo.com/privacy/how-we-use-your-data/"' in page(report)


DRAFTED = (
    request("sslwidget.criteo.com", "arrive"),
    request("challenges.cloudflare.com", "arrive"),
    kept("arrive", "_gcl_au", by="document.cookie"),
    kept("arrive", "__cf_bm"),
)


def test_a_draft_names_the_owner_and_its_page_and_proposes_what_they_say() -> None:
    text = draft("https://site.test/", [walked("no-choice", *DRAFTED)])
    made = loads(text)
    assert {one.recipient: one.purpose for one in made.services} == {
        "Criteo": "ads",
        "Cloudflare": "technical",
    }
    assert {one.name: one.purpose for one in made.trackers} == {
        "_gcl_au": "ads",
        "__cf_bm": "technical",
    }
    assert "# Criteo (ads): https://www.criteo.com/privacy/how-we-use-your-data/" in text
    assert "# Google advertising of Google (ads): https://business.safety.google/" in text


@pytest.mark.usefixtures("nobody")
def test_without_the_list_a_draft_goes_by_words() -> None:
    made = loads(draft("https://site.test/", [walked("no-choice", *DRAFTED)]))
    assert {one.recipient for one in made.services} == {"criteo", "cloudflare"}
    assert {one.purpose for one in made.services} == {"ads"}


@pytest.mark.usefixtures("nobody")
def test_without_the_list_nobody_is_known_and_all_goes_on() -> None:
    done = walked("no-choice", request("sslwidget.criteo.com", "arrive"), kept("arrive", "_fbp"))
    assert known.trackers() == ()
    found = verdict("C3", done)
    assert found.facts[0].text.startswith("request to sslwidget.criteo.com: ")
    assert outcome("C1", done) == "unclassified"
    report = document("http://site.test/", [done], [found], load(), started=datetime.now(UTC))
    assert report["known"] == []
    assert "Whose they are" not in page(report)
