"""A site with planted deposits of every kind, and its third parties, on loopback; the truth is known."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, str, bytes, list[tuple[str, str]]]
SECURE = "; SameSite=None; Secure"

PAGE = b"""<!doctype html><html lang="en"><head><title>lab</title>
<link rel="preconnect" href="http://hinted.localhost:PORT/">
<script src="/own.js" defer></script>
<script src="http://tracker.localhost:PORT/t.js" defer></script></head>
<body><h1>Lab</h1>
<img src="data:," srcset="/hop" alt="">
<iframe src="http://embed.localhost:PORT/frame"></iframe>
<div style="height: 9000px"></div><iframe loading="lazy" src="http://embed.localhost:PORT/lazy"></iframe>
</body></html>"""

OWN = b"""
document.cookie = 'js_cookie=abcdefgh; max-age=63072000; path=/';
document.cookie = 'flash=1; path=/'; document.cookie = 'flash=; max-age=0; path=/';
setTimeout(function late() { document.cookie = 'late=1; path=/'; }, 300);
cookieStore.set('cs_cookie', 'x');
localStorage.setItem('ls_set', '1'); localStorage.ls_prop = '2';
sessionStorage.setItem('ss_set', '3');
indexedDB.open('idb_lab'); caches.open('cache_lab');
const frame = document.createElement('iframe'); document.body.append(frame);
frame.contentDocument.cookie = 'realm=1; path=/';
new Worker('/worker.js');
navigator.serviceWorker.register('/sw.js');
const canvas = document.createElement('canvas'); canvas.getContext('2d').fillText('x', 1, 1); canvas.toDataURL();
document.createElement('canvas').getContext('webgl')?.getParameter(7937);
new EventSource('/stream');
cookieStore.delete('gone');
dataLayer = [['consent', 'default', { ad_user_data: 'denied', region: ['FR', 'DE'] }], ['consent', 'default', { ad_storage: 'granted', ad_user_data: 'granted' }],
  ['consent', 'update', { ad_storage: 'granted', region: ['US'] }]];
uetq = ['consent', 'update', { ad_storage: 'granted' }, 'consent', 'default', { ad_storage: 'denied' }];
"""
TRACKER = b"""
document.cookie = 't_first=1234567890; max-age=31536000; path=/';
void document.cookie;
new Image().src = 'http://tracker.localhost:PORT/pixel?x=1';
navigator.sendBeacon('http://tracker.localhost:PORT/beacon', 'x');
new WebSocket('ws://tracker.localhost:PORT/socket');
setTimeout(() => { new Image().src = 'http://tracker.localhost:PORT/again'; }, 400);
addEventListener('pagehide', () => navigator.sendBeacon('http://tracker.localhost:PORT/leaving'));
"""
# What the policy of its page bars, each in another way of asking.
BARRED = b"""
const at = 'tracker.localhost:PORT/';
navigator.sendBeacon('http://' + at + 'beacon');
fetch('http://' + at + 'again').catch(() => 0);
new EventSource('http://' + at + 'stream');
try { new WebSocket('ws://' + at + 'socket'); } catch { /* barred at once */ }
for (const path of ['transport', 'transport?x=1']) {
  const transport = new WebTransport('https://' + at + path);
  transport.ready.catch(() => 0); transport.closed.catch(() => 0);
}
"""
FRAME = b"""<!doctype html><title>e</title><script>
document.cookie = 'e_js=1; SameSite=None; Secure; path=/'; localStorage.setItem('e_ls', '1');
</script>"""
WORKER = b"indexedDB.open('idb_worker'); fetch('http://tracker.localhost:PORT/from-worker', {mode: 'no-cors'});"
SERVICE = b"self.addEventListener('install', () => { cookieStore.set('sw_cookie', '1'); });"
ENDLESS = b"""<!doctype html><title>e</title><script>
new Worker(URL.createObjectURL(new Blob(["setInterval(() => fetch('" + location.origin + "/ping'), 50)"])));
</script>"""
# What is near a notice and no part of it; what is in it and far from its buttons.
WORDS = b"""<!doctype html><html lang="en"><title>w</title>
<style>html { scroll-behavior: smooth } main { min-height: 300vh } button { min-height: 44px }</style><div id="app"><nav>
<button>Settings</button></nav><main><p>Our letter, with cookies to bake.</p><button>Accept all</button>
<form><label><input type="checkbox" checked> Weekly</label><button>Save</button></form></main>
<div><p>We use cookies.</p><div><button>Continue without accepting</button></div>
<div><span><button>Accept all</button></span><span><button>Preferences</button></span></div></div></div>"""
# A notice that stands in what the page is about; far below, what begs those who refused and is no notice.
BELOW = b"""<!doctype html><html lang="en"><title>b</title>
<style>html { scroll-behavior: smooth } article { min-height: 9000px } .faint { color: #bbb }</style>
<main>NOTICE<article><p class="faint">An article.</p></article>
<img src="/lazy" loading="lazy" width="9" height="9" alt="">
<div><p>You refused cookies. They pay for our work.</p><button>Accept cookies</button></div></main>"""
# Addresses that are none, and one that is an object to scripts.
NONE = b"""<link rel=preconnect href="http://[site]/"><a href="http://[site]/"></a><svg><a href="/more"></a></svg>"""
# A widely used notice in its open shadow root, of a build whose button to refuse is not the one known;
# outside of it, another that says so.
SHADOW = b"""<!doctype html><html lang="en"><title>s</title><main><p>Text</p><button>Preferences</button>
<button>Reject all</button></main><div id="usercentrics-root"></div><script>
const root = document.getElementById('usercentrics-root').attachShadow({ mode: 'open' });
root.innerHTML = `<div data-testid="uc-default-banner"><p>We use cookies</p>
  <button data-testid="uc-accept-all-button">Accept all</button>
  <div><button data-testid="uc-refuse">Decline all</button></div></div>`;
</script>"""


def answers(port: int) -> dict[tuple[str, str], Answer]:
    """Return what each host says at each path."""
    put = str(port).encode()

    def html(body: bytes, *headers: tuple[str, str]) -> Answer:
        return 200, "text/html", body.replace(b"PORT", put), list(headers)

    def script(body: bytes) -> Answer:
        return 200, "text/javascript", body.replace(b"PORT", put), []

    tracker, embed = (f"http://{name}.localhost:{port}" for name in ("tracker", "embed"))
    cookie = "Set-Cookie"
    return {
        ("site", "/lab"): html(
            PAGE,
            (cookie, "h_session=1; HttpOnly"),
            (cookie, "h_730=abcdefghij; Max-Age=63072000"),
            (cookie, "h_deep=1; Path=/deep; Max-Age=60"),
            (cookie, "h_foreign=1; Domain=foreign.example"),
            ("Link", f"<http://linked.localhost:{port}/x.css>; rel=prefetch"),
        ),
        ("site", "/own.js"): script(OWN),
        ("site", "/worker.js"): script(WORKER),
        ("site", "/sw.js"): script(SERVICE),
        ("site", "/hop"): (302, "", b"", [("Location", f"{tracker}/r1"), (cookie, "hop=1")]),
        ("site", "/endless"): html(ENDLESS),
        ("site", "/ping"): (204, "", b"", []),
        ("site", "/stillborn"): html(b"<!doctype html><title>t</title><script>navigator.serviceWorker.register('/none.js').catch(() => 0); new Worker('/none.js'); new SharedWorker('/none.js')</script>"),
        ("site", "/empty"): html(b"<!doctype html><title>t</title><p>nothing here"),
        ("site", "/alert"): html(b"<!doctype html><title>t</title><script>alert('hello'); onbeforeunload = () => 'stay'</script>"),
        ("site", "/closes"): html(b"<!doctype html><title>t</title><script>setTimeout(() => close(), 50)</script>"),
        ("site", "/spins"): html(b"<!doctype html><title>t</title><p>busy<script>for (;;);</script>"),
        ("site", "/words"): html(WORDS),
        ("site", "/shadow"): html(SHADOW),
        ("site", "/below"): html(BELOW.replace(b"NOTICE", b"")),
        ("site", "/within"): html(BELOW.replace(b"NOTICE", b"<div style='animation: in 3s'><style>@keyframes in { from { opacity: 0 } }</style><p>We use cookies.</p><button>Accept all</button> <button>Reject all</button>" + NONE + b"</div>")),
        ("site", "/barred"): (
            200, "text/html",
            f"<!doctype html><title>t</title><p>x<script src={tracker}/t.js></script><img src={tracker}/pixel><img src=/hop><script src=/barred.js></script>".encode(),
            [("Content-Security-Policy", "default-src 'self'")],
        ),
        ("site", "/barred.js"): script(BARRED),
        ("site", "/keeps"): html(b"<!doctype html><title>t</title><script src=/kept.js></script>"),
        ("site", "/kept.js"): (200, "text/javascript", b"0", [("Cache-Control", "max-age=9999")]),
        ("site", "/forbidden"): (403, "text/html", b"<!doctype html><title>t</title><p>no", []),
        ("site", "/challenge"): (200, "text/html", b"<!doctype html><title>t</title>", [("CF-Mitigated", "challenge")]),
        ("site", "/away"): html(b"<!doctype html><title>t</title><meta http-equiv=refresh content='0; url=http://127.0.0.1:9/'>"),
        ("site", "/download"): (200, "application/octet-stream", b"x", [("Content-Disposition", "attachment")]),
        ("tracker", "/t.js"): script(TRACKER),
        ("tracker", "/pixel"): (
            200, "image/gif", b"GIF89a",
            [(cookie, f"t_id=abcdefghij; Max-Age=9999{SECURE}"), (cookie, f"t_part=1{SECURE}; Partitioned; Path=/")],
        ),
        ("tracker", "/r1"): (302, "", b"", [("Location", f"{embed}/r2"), (cookie, f"r1=1{SECURE}")]),
        ("tracker", "/again"): (204, "", b"", []),
        ("tracker", "/beacon"): (204, "", b"", []),
        ("tracker", "/leaving"): (204, "", b"", []),
        ("tracker", "/from-worker"): (204, "", b"", []),
        ("embed", "/r2"): (200, "image/gif", b"GIF89a", [(cookie, f"r2=1{SECURE}")]),
        ("embed", "/frame"): html(FRAME),
        ("embed", "/lazy"): html(b"<!doctype html><title>t</title>", (cookie, f"e_lazy=1{SECURE}")),
    }  # fmt: skip


@contextlib.contextmanager
def lab() -> Iterator[int]:
    """Serve the lab and return its port: `http://site.localhost:PORT/lab`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            host = (self.headers["host"] or "").partition(".")[0]
            path = self.path.partition("?")[0]
            self.rfile.read(int(self.headers["content-length"] or 0))
            if path == "/stream":
                self._stream()
                return
            status, kind, body, headers = said.get((host, path), (404, "text/plain", b"", []))
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 (the server's name)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"data: 1\n\n")
                self.wfile.flush()
                ended.wait(20)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    ended = threading.Event()
    server = Server(("127.0.0.1", 0), Handler)
    said = answers(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
