"""A hostile page behind the gate: six probes, every way a script can write, strict sites, forgeries."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Error, Page, expect

import serving
from bandeau.adapters.asgi import Middleware, Receive, Scope, Send, request_of, send_reply
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.messages import Reply, Request
from browser.conftest import names, settle

Visitor = Callable[..., BrowserContext]
POLICY = """
version = 1
[proof]
keep_days = 912
[controller]
name = "Probe"
address = "-"
contact = "dpo@probe.example"
privacy_policy = "/privacy"
[site]
origins = ["http://site.localhost:{port}"]
languages = ["en"]
[[purpose]]
id = "ads"
[[purpose]]
id = "social"
[[service]]
id = "probe"
purpose = "ads"
recipient = "Probe"
hosts = [{{ host = "probe.localhost", kinds = ["script", "image", "frame", "connect", "style", "font", "media"] }}]
[[tracker]]
name = "probe_*"
kind = "cookie"
service = "probe"
[[tracker]]
name = "probe_key"
kind = "local_storage"
service = "probe"
[[tracker]]
name = "probe_session"
kind = "session_storage"
service = "probe"
[[tracker]]
name = "probe_base"
kind = "indexed_db"
service = "probe"
[[tracker]]
name = "probe_cache"
kind = "cache"
service = "probe"
[[tracker]]
name = "/worker.js"
kind = "service_worker"
service = "probe"
"""
SIX = """<!doctype html><html lang=en><head><title>six</title>
<script src="//probe.localhost:{port}/probe.js"></script></head><body><p>text
<img src="//probe.localhost:{port}/pixel.gif" id=image>
<iframe src="//probe.localhost:{port}/frame" title="a frame"></iframe>
<script>
document.cookie = "probe_own=1; path=/; max-age=999"; localStorage.setItem("probe_key", "1");
</script></body></html>"""
PIXEL = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
WRITES = {
    "cookie": "document.cookie = 'probe_a=1; path=/; max-age=99'; return document.cookie",
    "cookie store": "await cookieStore.set('probe_b', '1'); return (await cookieStore.getAll()).map(c => c.name).join()",
    "cookie store, object": "await cookieStore.set({name: 'probe_c', value: '1'}); return (await cookieStore.get('probe_c')).name",
    "setItem": "localStorage.setItem('probe_key', '1'); return localStorage.getItem('probe_key')",
    "property": "localStorage.probe_key = '1'; return localStorage.probe_key",
    "index": "localStorage['probe_key'] = '1'; return localStorage['probe_key']",
    "defineProperty": "Object.defineProperty(localStorage, 'probe_key', {value: '1'}); return localStorage.probe_key",
    "prototype": "Storage.prototype.setItem.call(localStorage, 'probe_key', '1'); return localStorage.probe_key",
    "session": "sessionStorage.probe_session = '1'; return sessionStorage.probe_session",
    "session, setItem": "sessionStorage.setItem('probe_session', '1'); return sessionStorage.getItem('probe_session')",
    "session, prototype": "Storage.prototype.setItem.call(sessionStorage, 'probe_session', '1'); return sessionStorage.probe_session",
    "indexedDB": """return await new Promise((yes, no) => { const r = indexedDB.open('probe_base');
        r.onsuccess = () => yes(r.result.name); r.onerror = no })""",
    "caches": "const c = await caches.open('probe_cache'); return (await caches.keys()).join()",
    "service worker": "return (await navigator.serviceWorker.register('/worker.js')).scope",
}
CONNECTS = {
    "webrtc": "new RTCPeerConnection({iceServers: [{urls: 'stun:probe.localhost:3478'}]}); return 'open'",
    "fetch": "return (await fetch('http://probe.localhost:%d/pixel.gif', {mode: 'no-cors'})).type",
    "beacon": "return String(navigator.sendBeacon('http://probe.localhost:%d/beacon', 'x'))",
    "websocket": """return await new Promise((yes, no) => { const w = new WebSocket('ws://probe.localhost:%d/ws');
        w.onopen = () => yes('open'); w.onerror = () => no('barred') })""",
    "image": """return await new Promise((yes, no) => { const i = new Image(); i.onload = () => yes('loaded');
        i.onerror = () => no('barred'); i.src = 'http://probe.localhost:%d/pixel.gif' })""",
    "style": """return await new Promise((yes, no) => { const l = document.createElement('link'); l.rel = 'stylesheet';
        l.onload = () => yes('loaded'); l.onerror = () => no('barred');
        l.href = 'http://probe.localhost:%d/a.css'; document.head.append(l) })""",
    "import": "return typeof (await import('http://probe.localhost:%d/module.js'))",
    "worker": """return await new Promise((yes, no) => {
        const text = "fetch('http://probe.localhost:%d/pixel.gif', {mode: 'no-cors'}).then(() => postMessage(1), () => postMessage(0))";
        const w = new Worker(URL.createObjectURL(new Blob([text])));
        w.onmessage = e => e.data ? yes('loaded') : no('barred'); w.onerror = () => no('barred') })""",
}


class Sites:
    """One port, two hosts: the gated site, and the third party that writes down what it gets."""

    def __init__(self, port: int, gated: Any, pages: dict[str, bytes]) -> None:
        self.port = port
        self.pages = pages
        self.gated = gated
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = request_of(scope)
        if not request.host.startswith("probe."):
            await self.gated(scope, receive, send)
            return
        self.asked.append(request.path)
        await send_reply(send, self._third(request), head=False)

    @staticmethod
    def _third(request: Request) -> Reply:
        cookie = (b"set-cookie", b"probe_third=1; SameSite=None; Secure; Max-Age=999")
        bodies = {
            "/probe.js": (
                b"text/javascript",
                b"window.ran = true; document.cookie = 'probe_script=1; path=/'",
            ),
            "/module.js": (b"text/javascript", b"export default 1"),
            "/frame": (b"text/html", b"<!doctype html><p>framed"),
            "/a.css": (b"text/css", b"p{color:red}"),
        }
        kind, body = bodies.get(request.path, (b"image/gif", PIXEL))
        return Reply(
            200, [(b"content-type", kind), (b"access-control-allow-origin", b"*"), cookie], body
        )


@contextlib.contextmanager
def served(
    folder: Path,
    pages: dict[str, bytes],
    *headers: tuple[bytes, bytes],
    network: str = "default",
    policy: str = POLICY,
) -> Iterator[Sites]:
    """Serve pages of a site behind the gate, and its third party, on one port."""
    bound: list[Sites] = []

    async def own(scope: Scope, _receive: Receive, send: Send) -> None:
        page = pages.get(scope["path"], b"<p>nothing").replace(b"{port}", b"%d" % bound[0].port)
        kind = b"text/javascript" if scope["path"].endswith(".js") else b"text/html; charset=utf-8"
        cookie = (b"set-cookie", b"probe_http=1; Path=/; Max-Age=999")
        await send_reply(
            send, Reply(200, [(b"content-type", kind), cookie, *headers], page), head=False
        )

    async def street(scope: Scope, receive: Receive, send: Send) -> None:
        await bound[0](scope, receive, send)

    with serving.running(street, lifespan=False) as port:
        text = policy.format(port=port).replace(
            "[[purpose]]", f'network = "{network}"\n[[purpose]]', 1
        )
        site = Site.from_policy(loads(text), f"sqlite:///{folder / 'b.db'}")
        bound.append(Sites(port, Middleware(own, site), pages))
        yield bound[0]
        site.close()


@contextlib.contextmanager
def connections() -> Iterator[tuple[int, list[str]]]:
    """Listen, and write down every connection that is opened, whether anything is said on it or not."""
    opened: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                connection, address = server.accept()
                opened.append(str(address))
                connection.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], opened
    finally:
        ended.set()
        thread.join(5)
        server.close()


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    pages = {
        "/": SIX.encode(),
        "/plain": b"<!doctype html><html lang=en><title>t</title><p>plain",
        "/worker.js": b"",
    }
    with served(tmp_path, pages) as found:
        yield found


def choose(page: Page, sites: Sites, value: str) -> None:
    page.goto(f"http://site.localhost:{sites.port}/_b/settings?back=/plain")
    page.locator(f"#bandeau-settings button[value={value}]").click()
    settle(page)


def probes(page: Page, sites: Sites) -> dict[str, bool]:
    """Open the page and say which of the six probes worked."""
    before = len(sites.asked)
    page.goto(f"http://site.localhost:{sites.port}/")
    page.wait_for_load_state("networkidle")
    asked = sites.asked[before:]
    jar = names(page.context, "site.localhost")
    return {
        "script": bool(page.evaluate("window.ran")),
        "its cookie": bool({"probe_script", "probe_own"} & jar),
        "its storage": page.evaluate("Object.keys(localStorage).length") > 0,
        "image": "/pixel.gif" in asked,
        "frame": "/frame" in asked,
        "server cookie": "probe_http" in jar,
    }


def test_six_probes_of_six_are_held_and_work_after_a_grant(sites: Sites, visitor: Visitor) -> None:
    page = visitor().new_page()
    assert set(probes(page, sites).values()) == {False}
    choose(page, sites, "none")
    assert set(probes(page, sites).values()) == {False}
    assert sites.asked == []
    choose(page, sites, "all")
    assert set(probes(page, sites).values()) == {True}
    choose(page, sites, "none")
    before = len(sites.asked)
    assert set(probes(page, sites).values()) == {False}
    assert len(sites.asked) == before
    assert names(page.context, "site.localhost") == {"bandeau"}


WRAP = "async () => { try { return String(await (async () => { %s })()) } catch (e) { return 'held: ' + e } }"


def test_every_way_a_script_writes_is_held_until_granted(sites: Sites, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(f"http://site.localhost:{sites.port}/plain")
    for name, code in WRITES.items():
        said = page.evaluate(WRAP % code)
        assert said in ("undefined", "null", "") or said.startswith("held"), (name, said)
    stored = "async () => [document.cookie, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length, (await caches.keys()).length]"
    assert page.evaluate(stored) == ["", 0, 0, 0, 0]
    assert names(page.context, "site.localhost") == set()
    choose(page, sites, "all")
    page.goto(f"http://site.localhost:{sites.port}/plain")
    for name, code in WRITES.items():
        said = page.evaluate(WRAP % code)
        assert said, name
        assert not said.startswith("held"), (name, said)
        assert said not in ("undefined", "null"), name
    crossed = "localStorage.setItem('probe_session', '1'); sessionStorage.setItem('probe_key', '1')"
    page.evaluate(crossed)
    kept = page.evaluate("[Object.keys(localStorage), Object.keys(sessionStorage)]")
    assert kept == [["probe_key"], ["probe_session"]]


def test_every_way_a_script_connects_is_barred_until_granted(
    sites: Sites, visitor: Visitor
) -> None:
    page = visitor().new_page()
    page.goto(f"http://site.localhost:{sites.port}/plain")
    for name, code in CONNECTS.items():
        said = page.evaluate(WRAP % code.replace("%d", str(sites.port)))
        assert said.startswith("held") or name == "beacon", (name, said)
    page.wait_for_timeout(300)
    assert sites.asked == []


INSERTS = {
    "hint": "const l = document.createElement('link'); l.rel = 'preconnect'; l.href = URL_; document.head.append(l)",
    "hint, href first": "const l = document.createElement('link'); l.href = URL_; document.head.append(l); l.rel = 'preconnect'",
    "hint, attributes": "const l = document.createElement('link'); document.head.append(l); l.setAttribute('rel', 'preconnect'); l.setAttribute('HREF', URL_)",
    "frame": "const f = document.createElement('iframe'); f.src = URL_; document.body.append(f)",
    "frame, set later": "const f = document.createElement('iframe'); document.body.append(f); f.src = URL_",
    "frame, attribute": "const f = document.createElement('iframe'); document.body.append(f); f.setAttribute('src', URL_)",
    "frame, attribute of a space": "const f = document.createElement('iframe'); document.body.append(f); f.setAttributeNS(null, 'src', URL_)",
    "frame, old insertion": "const f = document.createElement('iframe'); f.src = URL_; document.body.insertBefore(f, null)",
    "frame, deep": "const d = document.createElement('div'); d.innerHTML = `<p><iframe src='${URL_}'></iframe>`; document.body.appendChild(d)",
    "innerHTML": "document.body.innerHTML += `<iframe src='${URL_}'></iframe><link rel=preconnect href='${URL_}'>`",
    "outerHTML": "const d = document.createElement('div'); document.body.append(d); d.outerHTML = `<iframe src='${URL_}'></iframe>`",
    "insertAdjacentHTML": "document.body.insertAdjacentHTML('beforeend', `<iframe src='${URL_}'></iframe>`)",
    "fragment": "const r = document.createRange(); document.body.append(r.createContextualFragment(`<iframe src='${URL_}'></iframe>`))",
    "template": "const t = document.createElement('template'); t.innerHTML = `<iframe src='${URL_}'></iframe>`; document.body.append(t.content.cloneNode(true))",
    "srcdoc": "const f = document.createElement('iframe'); f.srcdoc = `<iframe src='${URL_}'></iframe><link rel=preconnect href='${URL_}'>`; document.body.append(f)",
    "shadow": "const d = document.createElement('div'); document.body.append(d); d.attachShadow({mode: 'open'}).innerHTML = `<iframe src='${URL_}'></iframe>`",
    "form": "const f = document.createElement('form'); f.method = 'post'; f.action = URL_; document.body.append(f); f.submit()",
    "form, markup": "document.body.insertAdjacentHTML('beforeend', `<form action='${URL_}'><button id=go>go</button></form>`); document.getElementById('go').click()",
    "speculation": "const s = document.createElement('script'); s.type = 'speculationrules'; s.textContent = JSON.stringify({prefetch: [{urls: [URL_]}]}); document.head.append(s)",
    "refresh": "const m = document.createElement('meta'); m.httpEquiv = 'refresh'; m.content = '0;url=' + URL_; document.head.append(m)",
    "embed": "const e = document.createElement('embed'); e.src = URL_; document.body.append(e)",
    "object": "const o = document.createElement('object'); o.data = URL_; document.body.append(o)",
    "fetch": "fetch(URL_, {mode: 'no-cors'}).catch(() => 0)",
    "beacon": "navigator.sendBeacon(URL_, 'x')",
    "link to nowhere": "const a = document.createElement('a'); a.href = '#'; a.ping = URL_; document.body.append(a); a.click()",
}  # fmt: skip


def test_what_scripts_insert_opens_no_connection(sites: Sites, ordinary: BrowserContext) -> None:
    with connections() as (port, opened):
        page = ordinary.new_page()
        for name, code in INSERTS.items():
            page.goto(f"http://site.localhost:{sites.port}/plain")
            page.evaluate(
                f"url => {{ const URL_ = url; {code} }}",
                f"http://stranger.localhost:{port}/{len(name)}",
            )
            page.wait_for_timeout(250)
            assert opened == [], name
            assert page.url.startswith("http://site."), name
        with contextlib.suppress(Error):
            page.goto(f"http://127.0.0.1:{port}/control")
        assert opened  # the listener listens


def test_markup_that_scripts_insert_is_otherwise_as_they_wrote_it(
    sites: Sites, visitor: Visitor
) -> None:
    page = visitor().new_page()
    page.goto(f"http://site.localhost:{sites.port}/plain")
    made = """html => { const d = document.createElement('table'); d.innerHTML = html; return d.innerHTML }"""
    for html in (
        "<tbody><tr><td>a</td></tr></tbody>",
        '<tbody><tr><td><form action="/own"></form></td></tr></tbody>',
    ):
        assert page.evaluate(made, html) == html
    barred = '<tbody><tr><td>a<iframe src="//x.example/"></iframe></td></tr></tbody>'
    assert page.evaluate(made, barred) == barred.replace(" src=", " data-bd-src=")
    own = "() => { const f = document.createElement('iframe'); f.src = '/plain'; document.body.append(f); return f.getAttribute('src') }"
    assert page.evaluate(own) == "/plain"


STRICT = {
    "hashes": "default-src 'none'; script-src 'self'; style-src 'self'",
    "nonce": "default-src 'none'; script-src 'nonce-abc' 'strict-dynamic'; style-src 'nonce-abc'; connect-src 'self'; form-action 'self'",
    "trusted types": "default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'; script-src 'self'; style-src 'self'",
}


@pytest.mark.parametrize("kind", STRICT)
def test_a_strict_site_sees_no_violation_of_ours(
    tmp_path: Path, visitor: Visitor, kind: str
) -> None:
    pages = {"/": b"<!doctype html><html lang=en><title>t</title><p>strict"}
    with served(tmp_path, pages, (b"content-security-policy", STRICT[kind].encode())) as sites:
        page = visitor().new_page()
        page.add_init_script(
            "window.bad = []; addEventListener('securitypolicyviolation', e => bad.push(e.violatedDirective + ' ' + e.blockedURI + e.sample))"
        )
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://site.localhost:{sites.port}/")
        expect(page.locator("#bandeau button")).to_have_count(3)
        assert page.locator("#bandeau").evaluate("e => getComputedStyle(e).position") == "fixed"
        assert page.evaluate("typeof window[Symbol.for('bandeau')].held") == "function"
        page.evaluate("window.mark = 1")
        page.locator("#bandeau button[value=none]").click()
        settle(page)
        expect(page.locator("#bandeau")).to_have_count(0)
        assert page.evaluate("[window.bad, window.mark]") == [[], 1]
        assert errors == []


def test_a_site_with_trusted_types_keeps_its_own_frames(tmp_path: Path, visitor: Visitor) -> None:
    policy = b"require-trusted-types-for 'script'; trusted-types own"
    with served(
        tmp_path,
        {"/": b"<!doctype html><html lang=en><title>t</title><p>x"},
        (b"content-security-policy", policy),
    ) as sites:
        page = visitor().new_page()
        page.goto(f"http://site.localhost:{sites.port}/")
        made = """async html => { const own = trustedTypes.createPolicy('own', {createHTML: s => s});
            const f = document.createElement('iframe'); f.srcdoc = own.createHTML(html); document.body.append(f);
            await new Promise(done => f.onload = done); return f.contentDocument.body.innerHTML }"""
        assert page.evaluate(made, "<p>plain</p>") == "<p>plain</p>"


FORGERIES = """<!doctype html><title>evil</title>
<iframe name=inner></iframe><iframe id=framed src="http://site.localhost:{port}/_b/settings"></iframe>
<form id=forge method=post action="http://site.localhost:{port}/_b/choice" target=inner>
<input name=choice value=all></form>
<link rel=prefetch href="http://site.localhost:{port}/_b/choice?choice=all">
<img src="http://site.localhost:{port}/_b/choice?choice=all">
<script>document.getElementById('forge').submit();
fetch('http://site.localhost:{port}/_b/choice', {method: 'POST', mode: 'no-cors', credentials: 'include',
  headers: {'content-type': 'application/x-www-form-urlencoded'}, body: 'choice=all'}).catch(() => 0);
navigator.sendBeacon('http://site.localhost:{port}/_b/choice', new URLSearchParams({choice: 'all'}));</script>"""


def test_a_foreign_page_cannot_choose(sites: Sites, visitor: Visitor) -> None:
    async def evil(_scope: Scope, _receive: Receive, send: Send) -> None:
        body = FORGERIES.replace("{port}", str(sites.port)).encode()
        await send_reply(send, Reply(200, [(b"content-type", b"text/html")], body), head=False)

    context = visitor()
    page = context.new_page()
    with serving.running(evil, lifespan=False) as port:
        page.goto(f"http://evil.localhost:{port}/")
        page.wait_for_timeout(800)
        framed = next(
            frame for frame in page.frames if frame.parent_frame and frame.name != "inner"
        )
        assert framed.locator("button").count() == 0  # frame-ancestors: nothing to click on
    assert "bandeau" not in names(context, "site.localhost")
    ledger = sites.gated.site.ledger
    assert list(ledger.decisions()) == []


def test_a_site_without_referrers_can_still_choose(tmp_path: Path, visitor: Visitor) -> None:
    for scripts in (True, False):
        folder = tmp_path / str(scripts)
        pages = {"/": b"<!doctype html><html lang=en><title>t</title><p>x"}
        with served(folder, pages, (b"referrer-policy", b"no-referrer")) as sites:
            context = visitor(scripts=scripts)
            page = context.new_page()
            page.goto(f"http://site.localhost:{sites.port}/")
            page.locator("#bandeau button[value=all]").click()
            settle(page)
            page.wait_for_timeout(300)
            assert "bandeau" in names(context, "site.localhost")


def test_what_a_fresh_realm_writes_is_swept_within_two_responses(
    sites: Sites, visitor: Visitor
) -> None:
    page = visitor().new_page()
    page.goto(f"http://site.localhost:{sites.port}/plain")
    written = page.evaluate("""() => { const f = document.createElement('iframe'); document.body.append(f);
        f.contentDocument.cookie = 'smuggled=1; path=/; max-age=999'; f.contentWindow.localStorage.smuggled = '1';
        return f.contentDocument.cookie }""")
    assert "smuggled" in written  # the guard's known hole: the prototypes of a realm are its own
    for _ in range(2):
        page.goto(f"http://site.localhost:{sites.port}/plain")
    assert "smuggled" not in names(page.context, "site.localhost")
    assert page.evaluate("Object.keys(localStorage).length") == 0


KEPT = """(write) => { const f = document.createElement('iframe'); document.body.append(f);
    const { localStorage: local, sessionStorage: session, document: inner } = f.contentWindow;
    if (write) { inner.cookie = 'smuggled=1; path=/; max-age=999'; local.smuggled = session.smuggled = '1'; }
    const kept = [inner.cookie.includes('smuggled'), local.length, session.length].join();
    f.remove(); return kept }"""


@pytest.mark.parametrize("store", [True, False], ids=["cookie-store", "no-cookie-store"])
def test_a_page_that_never_looks_at_what_is_kept_is_swept_all_the_same(
    tmp_path: Path, visitor: Visitor, store: bool
) -> None:
    pages = {"/plain": b"<!doctype html><html lang=en><title>t</title><p>plain"}
    alone = (
        POLICY + f'[rollout]\nlayers = ["guard"]\nreport = "{tmp_path}/seen.jsonl"\n'
    )  # what the server would sweep stays
    with served(tmp_path, pages, policy=alone) as sites:
        context = visitor()
        if not store:
            context.add_init_script("delete window.CookieStore; delete window.cookieStore")
        page = context.new_page()
        page.goto(f"http://site.localhost:{sites.port}/plain")
        assert page.evaluate(KEPT, "write") == "true,1,1"
        page.goto(f"http://site.localhost:{sites.port}/plain")
        page.wait_for_function(f"({KEPT})() === 'false,0,0'")


@pytest.mark.parametrize("before", [0, 50])
def test_what_is_written_into_the_page_while_it_is_parsed_does_not_stay(
    tmp_path: Path, visitor: Visitor, before: int
) -> None:
    markup = (
        "<article><p><iframe src=//x.example/></iframe><form action=/own></form><form action=//x.example/></form>"
        "<a ping=//x.example/>a</a><link rel=PreConnect href=//x.example/><link rel=icon href=//x.example/></article>"
    )
    page_of = f"<!doctype html><html lang=en><title>t</title><p>{'<b>a</b>' * before}<script>document.write('{markup}')</script><p>b"
    with served(tmp_path, {"/": page_of.encode()}) as sites:
        page = visitor().new_page()
        page.goto(f"http://site.localhost:{sites.port}/")
        found = "e => [...e.querySelectorAll('*')].flatMap(one => [...one.attributes].map(a => a.name + ' ' + a.value))"
        assert page.locator("article").evaluate(found) == [
            "data-bd-src //x.example/", "action /own", "data-bd-action //x.example/", "data-bd-ping //x.example/",
            "rel PreConnect", "data-bd-href //x.example/", "rel icon", "href //x.example/",
        ]  # fmt: skip


REALM = """url => { const f = document.createElement('iframe'); document.body.append(f);
    const d = f.contentDocument, l = d.createElement('link'), g = d.createElement('iframe');
    l.rel = 'preconnect'; l.href = url; d.head.append(l); g.src = url; d.body.append(g);
    const o = d.createElement('form'); o.action = url; o.method = 'post'; o.target = g.name = 'g'; d.body.append(o); o.submit();
    f.contentWindow.fetch(url, {mode: 'no-cors'}).catch(() => 0) }"""


@pytest.mark.parametrize("network", ["default", "strict"])
def test_a_fresh_realm_connects_only_where_no_list_forbids_it(
    tmp_path: Path, ordinary: BrowserContext, network: str
) -> None:
    pages = {"/plain": b"<!doctype html><html lang=en><title>t</title><p>plain"}
    with served(tmp_path, pages, network=network) as sites, connections() as (port, opened):
        page = ordinary.new_page()
        page.goto(f"http://site.localhost:{sites.port}/plain")
        page.evaluate(REALM, f"http://stranger.localhost:{port}/")
        page.wait_for_timeout(800)
        assert bool(opened) is (
            network == "default"
        )  # the guard's known hole, and the wall behind it


def test_in_strict_mode_the_visitor_still_goes_where_a_link_leads(
    tmp_path: Path, ordinary: BrowserContext
) -> None:
    with served(tmp_path, {}, network="strict") as sites:
        link = f"http://probe.localhost:{sites.port}/frame"
        links = f"<a id=go href='{link}'>go</a><a id=new target=_blank href='{link}'>new</a><a id=own href=/own>own</a>"
        sites.pages["/"] = f"<!doctype html><html lang=en><title>t</title>{links}".encode()
        page = ordinary.new_page()
        for name in ("go", "own"):
            page.goto(f"http://site.localhost:{sites.port}/")
            page.locator(f"#{name}").click()
            page.wait_for_url("**/frame" if name == "go" else "**/own")
        page.goto(f"http://site.localhost:{sites.port}/")
        with ordinary.expect_page() as opened:
            page.locator("#new").click()
        opened.value.wait_for_url(link)
        choose(page, sites, "all")
        page.goto(f"http://site.localhost:{sites.port}/plain")
        image = """url => new Promise(done => { const i = new Image(); i.onload = () => done(true);
            i.onerror = () => done(false); i.src = url })"""
        assert page.evaluate(image, f"http://probe.localhost:{sites.port}/pixel.gif") is True
