"""A rollout: by layer, by path, with a report of the rest, and the switch back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bandeau.gate.observe import _BURST
from bandeau.ledger.entry import Kind
from bandeau.ledger.switch import LEFT
from bandeau.policy.check import check
from bandeau.policy.digest import digest
from bandeau.policy.file import loads
from bandeau.policy.model import LAYERS
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders, every, first
from bandeau.wire.reports import violations
from conftest import SMALL, chosen, request

PAGE = (
    b'<html lang="en"><head><link rel=preconnect href=//hint.example></head><body><p>x'
    b'<iframe src="//social.localhost/f"></iframe></body></html>'
)
HTML: RawHeaders = [
    (b"content-type", b"text/html"),
    (b"set-cookie", b"junk=1; Max-Age=172800"),
    (b"link", b"<https://far.example>; rel=preconnect"),
    (b"etag", b'"e"'),
]
CSP, LOOKED = b"content-security-policy", b"content-security-policy-report-only"


@contextlib.contextmanager
def rolled(folder: Path, rollout: str) -> Iterator[Site]:
    text = SMALL.replace(
        "[[purpose]]", f'[rollout]\nreport = "{folder / "seen"}"\n{rollout}\n[[purpose]]', 1
    )
    site = Site.from_policy(loads(text), f"sqlite:///{folder / 'b.db'}")
    try:
        yield site
    finally:
        site.close()


def met(
    site: Site, path: str = "/page", *cookies: bytes
) -> tuple[dict[str, bool], RawHeaders, bytes]:
    """Visit once, and say of each layer whether it did its work."""
    sent = [(b"cookie", b"; ".join((b"stale=1", *cookies))), (b"x-geo-city", b"Paris")]
    exchange = site.exchange(request(path, sent))
    closed = site.exchange(request("/comments/1")).reply is not None
    filtered = exchange.response(200, HTML)
    body = PAGE if filtered.passthrough else filtered.feed(PAGE) + filtered.close()
    head = filtered.headers
    lines = every(head, b"set-cookie")
    did = {
        "cookies": not any(line.startswith(b"junk") for line in lines)
        and b"stale=1" not in every(exchange.request_headers, b"cookie"),
        "headers": first(head, b"link") is None
        and not every(exchange.request_headers, b"x-geo-city"),
        "browser-policy": first(head, CSP) is not None,
        "markup": b'data-bd-src="//social' in body and b"data-bd-href" in body,
        "guard": b"<script data-bd=" in body,
        "sweep": any(line.startswith(b"stale=") for line in lines),
        "routes": closed,
        "notice": b'<section id="bandeau"' in body,
    }
    return did, head, body


def seen(folder: Path) -> set[tuple[str, str]]:
    lines = (folder / "seen").read_text("utf-8").splitlines()
    return {(one["held"], one.get("name", "")) for one in map(json.loads, lines)}


def mode(site: Site) -> str:
    return site.ledger.store.events([Kind.MODE])[-1].detail


@pytest.mark.parametrize("off", LAYERS)
def test_each_layer_alone_can_be_left_out_and_no_other_goes_with_it(
    tmp_path: Path, off: str
) -> None:
    layers = [one for one in LAYERS if one != off]
    with rolled(tmp_path, f"layers = {json.dumps(layers)}") as site:
        did, _, _ = met(site)
        assert did == {layer: layer != off for layer in LAYERS}
        assert f"enforced={','.join(layers)} observed={off} paths=/*" in mode(site)
    if off == "cookies":
        assert {("cookie set", "junk"), ("cookie read", "stale")} <= seen(tmp_path)
    if off == "markup":
        assert {("frame", "social.localhost"), ("any", "hint.example")} <= seen(tmp_path)


def test_without_a_rollout_every_layer_holds(site: Site) -> None:
    assert met(site)[0] == dict.fromkeys(LAYERS, True)
    assert site.observer is None


def test_outside_of_its_paths_nothing_is_changed_and_all_of_it_is_reported(tmp_path: Path) -> None:
    with rolled(tmp_path, 'paths = ["/blog/*"]') as site:
        did, head, body = met(site, "/page")
        assert (head, body) == (HTML, PAGE)
        assert not any(did[layer] for layer in LAYERS)
        assert site.exchange(request("/page", [(b"cookie", b"stale=1")])).request_headers[-1] == (
            b"cookie",
            b"stale=1",
        )
        for path in ("/blog/1", "/Blog/1", "//blog/1", "/x/../blog/1", "/%62log/1"):
            assert all(met(site, path)[0][layer] for layer in LAYERS if layer != "routes"), path
        assert " paths=/blog/*" in mode(site)
    assert {("cookie set", "junk"), ("frame", "social.localhost")} <= seen(tmp_path)


@pytest.mark.parametrize("rollout", ["layers = []", 'paths = ["/blog"]', 'layers = ["cookies"]'])
def test_what_is_only_looked_at_hears_no_client_speak_for_us(tmp_path: Path, rollout: str) -> None:
    with rolled(tmp_path, rollout) as site:
        sent = site.exchange(request("/page", [(b"bd-purposes", b"social, ads")])).request_headers
    assert every(sent, b"bd-purposes") in ([], [b""])


def test_an_edge_is_told_the_state_of_pages_whatever_the_path_and_another_once_more_is_enforced(
    tmp_path: Path,
) -> None:
    keys = []
    for rollout in (
        'paths = ["/blog/*"]',
        'paths = ["/blog/*"]\nlayers = ["cookies", "notice"]',
        "",
    ):
        with rolled(tmp_path, rollout) as site:
            asked = {site.exchange(request(path)).key for path in ("/_b/key", "/blog/1", "/page")}
            (key,) = asked
            keys.append(key)
    assert len(set(keys)) == 3


def test_a_rollout_asks_nobody_anew(tmp_path: Path) -> None:
    whole = loads(SMALL)
    part = loads(
        SMALL.replace("[[purpose]]", '[rollout]\nlayers = []\nreport = "x"\n[[purpose]]', 1)
    )
    assert digest(whole) == digest(part)


def test_nothing_enforced_and_no_report_is_refused_and_no_notice_is_warned_of() -> None:
    def problems(rollout: str) -> set[str]:
        policy = SMALL.replace("[[purpose]]", f"[rollout]\n{rollout}\n[[purpose]]", 1)
        try:
            return {one.id for one in check(loads(policy))}
        except Exception as error:  # noqa: BLE001 (what it says is what is tested)
            return {one.id for one in error.problems}  # type: ignore[attr-defined]

    assert problems("layers = []") == {"BP026"}
    assert problems('paths = ["/a"]') == {"BP026"}
    assert problems('layers = ["cookies"]\nreport = "x"') == {"BP106"}
    assert problems('report = "x"') == set()
    assert problems('layers = ["nonsense"]') == {"BP005"}


def report(site: Site, body: bytes, method: str = "POST") -> int:
    exchange = site.exchange(
        request("/_b/report", [(b"content-type", b"application/csp-report")], method)
    )
    return site.answer_sync(exchange, body).status


def violation(host: str) -> dict[str, Any]:
    return {"effectiveDirective": "script-src-elem", "blockedURL": f"https://{host}/x.js",
            "documentURL": "http://www.own.localhost:9000/page?q=1", "sourceFile": "http://www.own.localhost:9000/a.js", "lineNumber": 7}  # fmt: skip


@pytest.mark.parametrize(
    "rollout", ["layers = []", 'layers = ["cookies", "guard", "notice"]', 'paths = ["/blog"]']
)
def test_what_scripts_bring_in_is_told_by_browsers(tmp_path: Path, rollout: str) -> None:
    with rolled(tmp_path, f"collect = true\n{rollout}") as site:
        _, head, _ = met(site)
        looked = first(head, LOOKED) or b""
        assert all(b"; report-uri /_b/report" in part for part in looked.split(b", "))
        assert b"script-src" in looked or b"default-src" in looked
        old = {
            "csp-report": {
                "violated-directive": "img-src",
                "blocked-uri": "https://old.example/p",
                "document-uri": "http://x/",
            }
        }
        assert report(site, json.dumps(old).encode()) == 204
        assert (
            report(
                site,
                json.dumps([{"type": "csp-violation", "body": violation("new.example")}]).encode(),
            )
            == 204
        )
        assert report(site, b"", "GET") == 405
    assert {("image", "old.example"), ("script", "new.example")} <= seen(tmp_path)
    line = next(one for one in (tmp_path / "seen").read_text().splitlines() if "new.example" in one)
    assert json.loads(line)["path"] == "/page"
    assert json.loads(line)["script"] == "http://www.own.localhost:9000/a.js:7"


def test_where_everything_is_enforced_nothing_is_looked_at(tmp_path: Path) -> None:
    with rolled(tmp_path, "collect = true") as site:
        assert first(met(site)[1], LOOKED) is None


def test_nobody_reports_where_nobody_asked(site: Site) -> None:
    assert report(site, b"{}") == 405  # as any address that answers no POST


def test_too_many_reports_are_not_read(tmp_path: Path) -> None:
    with rolled(tmp_path, "collect = true\nlayers = []") as site:
        answers = [report(site, b"[]") for _ in range(_BURST + 50)]
    assert answers[:_BURST] == [204] * _BURST
    assert 429 in answers


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"7", b'"x"', b"[null, 1, {}]", b'{"csp-report": 1}', b"[" * 100_000, b"\xff\xfe",
     b'[{"type": "csp-violation", "body": {"blockedURL": 1, "documentURL": [], "lineNumber": "x"}}]',
     b'[{"type": "csp-violation", "body": {"blockedURL": "inline", "documentURL": "http://["}}]',
     b'[{"type": "deprecation", "body": {"blockedURL": "https://x.example"}}]'],
)  # fmt: skip
def test_what_is_no_report_is_none(tmp_path: Path, body: bytes) -> None:
    with rolled(tmp_path, "collect = true\nlayers = []") as site:
        assert report(site, body) == 204
    assert not any(name.endswith(".example") for _, name in seen(tmp_path))
    assert (
        len(
            violations(
                json.dumps([{"type": "csp-violation", "body": violation("x")}] * 99).encode()
            )
        )
        == 20
    )


def test_the_switch_leaves_cookies_filtered_and_nothing_else(tmp_path: Path) -> None:
    with rolled(tmp_path, "") as site:
        cookie = chosen(site, b"choice=save&purpose=social")[0][1]
        before = first(met(site)[1], b"etag")
        (tmp_path / "bandeau.switch").touch()
        site._switch._next = 0.0
        did, head, body = met(site, "/page", cookie, b"sq_x=2")
        assert {layer for layer, done in did.items() if done} == LEFT
        assert body == PAGE
        assert first(head, b"etag") != before  # a page that was kept rewritten is asked for anew
        sent = request("/page", [(b"cookie", cookie + b"; sq_x=2; ad=1")])
        assert every(site.exchange(sent).request_headers, b"cookie") == [b"sq_x=2"]
        (tmp_path / "bandeau.switch").unlink()
        site._switch._next = 0.0
        assert met(site)[0] == dict.fromkeys(LAYERS, True)
