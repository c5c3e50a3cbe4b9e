"""The script that tells vendors: the same in every state, first in every page, let in by strict sites."""

from __future__ import annotations

import io
import json
import re
import runpy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bandeau.endpoints import SUPPORT
from bandeau.gate.observe import Observer
from bandeau.gate.signals import Signals
from bandeau.policy.file import loads
from bandeau.policy.model import Signals as Table
from bandeau.policy.vendors import Vendor, vendors
from bandeau.site import Site
from bandeau.wire.csp import hash_source, parse
from bandeau.wire.headers import RawHeaders, first
from conftest import SMALL, chosen, request, through

ROOT = Path(__file__).resolve().parents[2]
ALL = "[signals]\n" + "".join(
    f"{name} = {json.dumps({key: ['ads', 'social'] for key in one.keys}).replace(':', ' =')}\n"
    for name, one in vendors().items()
)
HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
PAGES = [
    b"<!doctype html><html lang=en><head><script>tag()</script></head><body><p>x",
    b"<script>tag()</script><p>no head",
    b"<!-- c --><script src=//tags.localhost/gtag.js></script>",
    b"<html><script async src=a></script><head></head>",
    b"<!doctype html><body><p>x<script>tag()</script>",
    b"<head><noscript><script>no</script></noscript><template><script>no</script></template><script>tag()</script></head>",
]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Site]:
    made = Site.from_policy(loads(SMALL + ALL), f"sqlite:///{tmp_path / 'b.db'}")
    yield made
    made.close()


def test_the_policy_names_the_vendors_of_which_there_are_data() -> None:
    assert set(Table.model_fields) - {"gpc_since"} == set(vendors())
    for one in vendors().values():
        assert one.keys, one
        assert one.update, one
        assert one.source.startswith("https://"), one
        used = one.default + one.update
        assert ("said" in used) != ("may." in used), one
        assert set(re.findall(r"may\.(\w+)", used)) <= set(one.keys), one
    assert {field.name for field in fields(Vendor)} == {
        "title", "keys", "default", "update", "source", "remark", "unverified",
    }  # fmt: skip


def test_nothing_in_the_script_ends_it(told: Site) -> None:
    assert not re.search(r"<\s*/|<!--|<script", told.signals.script, re.IGNORECASE)
    assert told.signals.script.count('"ads", "social"') == sum(
        len(v.keys) for v in vendors().values()
    )


def test_a_key_that_is_not_named_stands_there_and_needs_what_nobody_grants() -> None:
    policy = loads(SMALL + '[signals.google]\nad_storage = ["ads"]\n')
    found = re.search(r"keys: (\{.*?\})", Signals(policy).script)
    assert found
    keys = json.loads(found[1])
    assert set(keys) == set(vendors()["google"].keys)
    assert keys.pop("ad_storage") == ["ads"]
    assert set(map(tuple, keys.values())) == {()}


def test_the_script_is_the_same_in_every_state_and_its_hash_is_right(told: Site) -> None:
    bodies = [
        through(told.exchange(request("/", cookie)), HTML, PAGES[0]).decode()
        for cookie in ([], chosen(told, b"choice=save&purpose=ads"), chosen(told, b"choice=all"))
    ]
    tags = [
        re.search(r'<script data-bd-granted="(.*?)">(.*?)</script>', one, re.DOTALL)
        for one in bodies
    ]
    assert [one and one[1] for one in tags] == ["", "ads", "ads social"]
    assert {hash_source(one[2].encode()) for one in tags if one} == {told.signals.hash}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("destination", [b"document", b"iframe"])
def test_it_stands_before_every_script_but_the_guard(
    told: Site, page: bytes, destination: bytes
) -> None:
    asked = request("/")
    asked.headers[:] = [(b"sec-fetch-dest", destination), (b"accept", b"text/html")]
    body = through(told.exchange(asked), HTML, page)
    scripts = [one[:22] for one in re.findall(rb"<script[^>]*>", body)]
    assert scripts[:2] == [b'<script data-bd="{&quo', b"<script data-bd-grante"]
    assert body.count(b"<script data-bd-granted") == 1


def test_a_strict_site_s_nonce_is_used_or_the_hash_let_in(told: Site) -> None:
    strict = [*HTML, (b"content-security-policy", b"script-src 'nonce-abc' 'strict-dynamic'")]
    body = through(told.exchange(request("/")), strict, PAGES[0])
    assert b'<script data-bd-granted="" nonce="abc">' in body
    closed = [
        *HTML,
        (b"content-security-policy", b"default-src 'self'; require-trusted-types-for 'script'"),
    ]
    filtered = told.exchange(request("/")).response(200, closed)
    (policy,) = parse((first(filtered.headers, b"content-security-policy") or b"").decode())
    assert told.signals.hash in policy["script-src-elem"]
    assert policy["require-trusted-types-for"] == ("'script'",)


def test_a_cache_tells_mappings_apart(tmp_path: Path) -> None:
    keys = set()
    for number, text in enumerate(("", ALL, ALL.replace('["ads", "social"]', '["ads"]'))):
        site = Site.from_policy(loads(SMALL + text), f"sqlite:///{tmp_path / f'{number}.db'}")
        keys.add(site.exchange(request("/")).key)
        site.close()
    assert len(keys) == 3


def test_without_vendors_scripts_may_still_ask_and_where_nothing_is_enforced_nothing_is_told(
    site: Site, tmp_path: Path
) -> None:
    assert b"const vendors = [];" in through(site.exchange(request("/")), HTML, PAGES[0])
    url = f"sqlite:///{tmp_path / 'o.db'}"
    looked = Site.from_policy(loads(SMALL + ALL), url, observer=Observer(io.StringIO()))
    assert through(looked.exchange(request("/")), HTML, PAGES[0]) == PAGES[0]
    looked.close()


def test_the_support_file_is_ours_only_while_it_is_true(tmp_path: Path) -> None:
    policy = loads(f"{SMALL}\n[signals]\ngpc_since = 2026-01-01\n")
    url = f"sqlite:///{tmp_path / 'b.db'}"
    site = Site.from_policy(policy, url)
    ours = [site.exchange(request(SUPPORT)).endpoint]
    beneath = site.exchange(request(f"/_b/{SUPPORT}"))
    assert site.answer_sync(beneath, b"").status == 404
    (tmp_path / "bandeau.switch").touch()
    site._switch._next = 0.0
    ours.append(site.exchange(request(SUPPORT)).endpoint)
    site.close()
    looked = Site.from_policy(policy, url, observer=Observer(io.StringIO()))
    ours.append(looked.exchange(request(SUPPORT)).endpoint)
    looked.close()
    assert ours == [True, False, False]


def test_what_visitors_are_held_to_says_what_vendors_are_told(told: Site) -> None:
    assert json.loads(told._shown())["signals"] == told.signals.script


def test_the_page_on_signals_has_the_table_of_the_data() -> None:
    text = (ROOT / "docs" / "signals.md").read_text("utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "make.py"))["with_table"](text) == text
    policy = "\n".join(re.findall(r"```toml\n(.*?)```", text, re.DOTALL))
    purposes = '[[purpose]]\nid = "profiles"\n[[purpose]]\nid = "audience"\n'
    assert loads(SMALL + purposes + policy).signals.gpc_since
