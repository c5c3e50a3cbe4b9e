"""The page of trackers: its versions and what each changed, rights and authority, the part for other pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import flask
import pytest
from starlette.requests import Request as StarletteRequest

import bandeau.flask
import bandeau.starlette
from bandeau.errors import LedgerError
from bandeau.notice import Notice
from bandeau.notice.changes import Change, changes
from bandeau.notice.texts import Texts
from bandeau.policy.file import loads
from bandeau.site import Site
from conftest import ORIGIN, SMALL, chosen, request
from notice.test_notice import UNDECIDED, tree

AUTHORITY = 'authority = { name = "CNIL", url = "https://www.cnil.fr/fr/plaintes" }\n'
CHANGED = (
    SMALL.replace('"browsing", "ip_address"', '"browsing", "account"')
    .replace("max_age_days = 30", "max_age_days = 60")
    .replace('recipient = "Square"', 'recipient = "Square"\ncountry = "IE"\nretention_days = 0')
    .replace('name = "seen"', 'name = "seen_too"')
    .replace("[site]", f"{AUTHORITY}[site]\nvalid_days = 90", 1)
)
MORE = (
    CHANGED
    + """
[[purpose]]
id = "video"
[[service]]
id = "films"
purpose = "video"
recipient = "Films"
hosts = [{ host = "films.localhost", kinds = ["frame"] }]
"""
)


@cache
def _declared(policy: str) -> str:
    return json.dumps(Notice(loads(policy)).trackers_data())


def declared(policy: str) -> dict[str, Any]:
    """Return what a snapshot holds of a policy."""
    found: dict[str, Any] = json.loads(_declared(policy))
    return found


def test_changes_are_of_purposes_services_trackers_controller_and_choice() -> None:
    found = changes(declared(SMALL), declared(CHANGED))
    assert found == [
        Change("changed", "purpose", "Réseaux sociaux", (("data", ["browsing", "ip_address"], ["browsing", "account"]),)),
        Change("changed", "service", "Square", (("country", None, "IE"), ("retention_days", None, 0))),
        Change("changed", "tracker", "sq_*", (("max_age_days", 30, 60),)),
        Change("added", "tracker", "seen_too"),
        Change("removed", "tracker", "seen"),
        Change("changed", "controller", "", (("authority", None, {"name": "CNIL", "url": "https://www.cnil.fr/fr/plaintes"}),)),
        Change("changed", "choice", "", (("days", 182, 90),)),
    ]  # fmt: skip
    assert [
        (one.how, one.what, one.name) for one in changes(declared(CHANGED), declared(MORE))
    ] == [
        ("added", "purpose", "Vidéos"),
        ("added", "service", "Films"),
    ]
    moved = SMALL.replace('needs_any = ["social", "ads"]', 'purpose = "ads"')
    assert changes(declared(SMALL), declared(moved)) == [
        Change("changed", "service", "Manager",
            (("purposes", ["Réseaux sociaux", "Publicité personnalisée"], ["Publicité personnalisée"]),))
    ]  # fmt: skip
    assert changes(declared(SMALL), declared(SMALL)) == []
    back = changes(declared(CHANGED), declared(SMALL))
    assert len(back) == 7


def test_a_version_of_an_earlier_shape_is_compared_as_well() -> None:
    before = declared(SMALL)
    before["version"] = 1
    del before["account"], before["controller"]["authority"]
    assert changes(before, declared(SMALL)) == []


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_field_has_its_words(language: str) -> None:
    texts = Texts(language, loads(SMALL))
    listed = [field for one in changes(declared(SMALL), declared(CHANGED)) for field in one.fields]
    for field, before, after in listed:
        assert texts.field(field) != field
        assert texts.declared(field, before) != texts.declared(field, after)
    assert texts.declared("data", ["browsing", "of an older version"]).endswith(
        "of an older version"
    )
    hosts = [{"host": "a.example", "kinds": ["script", "frame"]}]
    assert texts.declared("hosts", hosts) == "a.example (script frame)"
    assert texts.field("tcf_vendor") == "tcf_vendor"
    assert texts.declared("tcf_vendor", 7) == "7"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that has had three versions of its notice."""
    url = f"sqlite:///{tmp_path / 'bandeau.db'}"
    for policy in (SMALL, CHANGED):
        Site.from_policy(loads(policy), url).close()
    made = Site.from_policy(loads(MORE), url)
    yield made
    made.close()


def get(site: Site, path: str) -> Any:
    return site.answer_sync(site.exchange(request(path)), b"")


def test_the_page_tells_each_version_since_when_and_what_it_changed(site: Site) -> None:
    html = get(site, "/_b/trackers?lang=fr").body.decode()
    versions = re.findall(r"<details>(.*?)</details>", html, re.DOTALL)
    assert len(versions) == 3
    assert "en vigueur" in versions[0]
    assert "en vigueur" not in versions[1] + versions[2]
    assert "<b>Ajout</b> · finalité\u00a0: Vidéos" in versions[0]
    shown = re.sub(r"\s+", " ", versions[1])
    assert "Durée : <del>30 jours</del> → <ins>2 mois</ins>" in shown
    assert "Première version." in versions[2]
    for one in versions:
        (sha256,) = re.findall(r"/_b/snapshot/([0-9a-f]{64})", one)
        snapshot = json.loads(get(site, f"/_b/snapshot/{sha256}").body)
        assert "notice" in snapshot
        assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\dZ">', one)
    assert "https://www.cnil.fr/fr/plaintes" in html
    assert "Added" in get(site, "/_b/trackers?lang=en").body.decode()


def test_machines_get_the_versions_too(site: Site) -> None:
    data = json.loads(get(site, "/_b/trackers?format=json").body)
    assert data["version"] == 2
    assert data["controller"]["authority"]["name"] == "CNIL"
    assert [one["now"] for one in data["versions"]] == [True, False, False]
    assert data["versions"][0]["languages"] == ["en", "fr"]
    first = data["versions"][0]["changes"][0]
    assert first == {"how": "added", "what": "purpose", "name": "Vidéos", "fields": []}
    assert data["versions"][2]["changes"] is None


@pytest.mark.parametrize("broken", ["unreadable", "no JSON", "another shape"])
def test_the_page_comes_where_the_versions_cannot_be_told(
    site: Site, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> Any:
        if broken == "unreadable":
            raise LedgerError("the disk is gone")
        return 1, b"{" if broken == "no JSON" else b'{"notice": {"languages": {}}, "declared": []}'

    monkeypatch.setattr(site.ledger.store, "document", fails)
    reply = get(site, "/_b/trackers")
    assert reply.status == 200
    assert b"<details>" not in reply.body
    assert json.loads(get(site, "/_b/trackers?format=json").body)["versions"] == []


def test_the_page_escapes_what_a_policy_says() -> None:
    hostile = SMALL.replace('recipient = "Square"', 'recipient = "<script>1</script>"')
    found = Notice(loads(hostile)).listing("fr")
    assert "<script" not in found
    assert "&lt;script&gt;" in found


def test_a_part_for_the_site_s_own_page_is_the_same_for_all(site: Site) -> None:
    reply = get(site, "/_b/trackers?part=list&lang=en")
    assert reply.status == 200
    granted = site.exchange(request("/_b/trackers?part=list&lang=en", chosen(site, b"choice=all")))
    assert site.answer_sync(granted, b"").body == reply.body
    headers = dict(reply.headers)
    assert headers[b"cache-control"] == b"public, max-age=300"
    body = reply.body.decode()
    for name in (b"<html", b"<form", b"<script", b"<h1", b"<h2", b" id="):
        assert name not in reply.body
    page = tree(f"<html lang=en><title>t</title><body><h1>Privacy</h1><h2>Trackers</h2>{body}")
    assert len(list(page.iter("{http://www.w3.org/1999/xhtml}table"))) >= 3
    for tracker in site.policy.trackers:
        assert f"<code>{tracker.name}</code>" in body
    assert "Requests" not in body
    assert 'lang="en"' in body


def test_templates_have_the_part(site: Site, tmp_path: Path) -> None:
    app = flask.Flask("site")
    file = tmp_path / "b.toml"
    file.write_text(SMALL, "utf-8")
    app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{tmp_path / 'f.db'}")
    bandeau.flask.Bandeau(app)
    app.add_url_rule(
        "/", view_func=lambda: flask.render_template_string("{{ consent_trackers('en') }}")
    )
    shown = app.test_client().get("/", base_url=ORIGIN).text
    assert "<h3>Social networks</h3>" in shown
    app.extensions["bandeau"].close()
    scope = {
        "type": "http",
        "bandeau.exchange": site.exchange(request("/", [(b"accept-language", b"en")])),
    }
    given = bandeau.starlette.templates(StarletteRequest(scope))
    assert given["consent_trackers"]() == site.notice.listing("en")
    assert given["consent_trackers"]("fr") == site.notice.listing("fr")


def test_the_page_without_an_authority_names_none() -> None:
    html = Notice(loads(SMALL)).trackers("fr", UNDECIDED, back="/")
    assert "réclamation auprès" not in html
