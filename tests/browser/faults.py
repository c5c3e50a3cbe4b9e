"""A site with a notice of its own, sound but for the faults that are asked for, and who it shares with.

site.localhost   the page, its notice, and addresses that answer as a careless bandeau would
ads.localhost    a script that keeps a cookie; tube.localhost an image
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from bandeau.policy.file import loads
from bandeau.policy.model import Policy

# What can be planted, and the rules that must find it when it stands alone.
FAULTS: dict[str, set[str]] = {
    "unnamed": {"A6"},  # the first layer says nothing of advertising
    "unlisted": {"A7"},  # the page that the notice links to names nobody
    "second": {"A8"},  # another dialog that only accepts
    "wall": {"A9", "D4", "G5"},  # who refuses is left with an offer
    "one tick": {"B2"},  # the settings lack a purpose
    "command": {"B3"},  # a tick is named «Activer»
    "saves all": {"B4", "F1", "F3"},  # saving grants what nobody ticked
    "interest": {"B6"},  # a switch of legitimate interest
    "granted": {"C4", "D3"},  # Consent Mode begins with granted, and stays there
    "travels": {"C3", "C6", "D1", "G3", "J1", "L1"},  # an identifier in an address to others
    "two for one": {"F1", "F3"},  # an item of two purposes is set for one
    "pixel": {"B5", "G1"},  # a pixel where scripts are off
    "no button": {"A4", "K2"},  # refusing is text to click on
    "pale": {"K3"},  # grey on white
    "colour": {"K4"},  # a dot tells the state
    "cut": {"K5"},  # the way to the settings lies outside of a small window
    "foreign": {"K6"},  # the notice speaks another language than the page
    "silent": {"L2"},  # accepting against the signal is not told of
    "server": {"I1", "I2", "I4", "J5", "L3", "M1", "M2", "M3", "M4", "M5"},
}
WORDS = "Une page assez longue, qui dit toujours la même chose. " * 30

PAGE = """<!doctype html><html lang="LANG"><head><meta charset="utf-8"><title>Une page</title>
<style>
#box { position: fixed; left: 0; right: 0; bottom: 0; max-height: 100vh; box-sizing: border-box; overflow: auto; background: #fff; padding: 8px; border-top: 1px solid #000 }
html:has(#box:not([hidden])) { scroll-padding-bottom: 60vh } html:has(#box:not([hidden])) body { padding-bottom: 60vh }
button, [role=button] { min-height: 40px; min-width: 90px; font: 16px sans-serif; color: #000; background: #ddd; border: 1px solid #000 }
[role=button] { padding: 10px } .pale { color: #999 } #dot { color: #a00 } #dot.on { color: #060 }
.cut { position: fixed; left: 500px; bottom: 8px }
</style></head><body>
<section id="box" role="region" aria-labelledby="t" hidden><h2 id="t">Cookies</h2>
<p id="what">TEXT</p><p>LIST</p>
<p><button id="all">Tout accepter</button> REFUSE <button id="open" class="CUT">Paramétrer vos choix</button></p></section>
<section id="prefs" role="dialog" aria-label="Vos choix" hidden><h2>Vos choix</h2><p>Publicité, vidéos, mesure d'audience.</p>
TICKS<p><button id="save">Enregistrer mes choix</button> <button id="off">Tout refuser</button> <button id="on">Tout accepter</button></p></section>
<main><h1>Une page</h1><p id="words">WORDS</p><p><a href="/suite">La suite</a> <a href="/fin">La fin</a></p></main>
SECOND
<footer><p><span id="dot">●</span> <span id="state"></span> <a href="#" id="back" hidden>Gérer mes cookies</a></p>
<p role="status" id="said"></p></footer>STATE
<noscript>PIXEL</noscript><script>
const faults = FAULTS, has = (one) => faults.includes(one), at = (id) => document.getElementById(id);
const read = () => /(?:^|; )choix=([a-z.]+)/.exec(document.cookie)?.[1];
const show = (id, yes) => { if (at(id)) at(id).hidden = !yes; };
dataLayer = [['consent', 'default', { ad_storage: has('granted') ? 'granted' : 'denied' }]];
const keep = (name, value, age) => { document.cookie = `${name}=${value}; path=/; max-age=${age}`; };
const apply = () => {
  const now = read(), got = now && now !== 'none' ? now.split('.') : [];
  show('box', !now); show('second', !now); show('back', now); show('prefs', false);
  at('state').textContent = !now || has('colour') ? '' : got.length ? 'Cookies : autorisés' : 'Cookies : refusés';
  at('dot').classList.toggle('on', got.length > 0);
  if (!has('granted')) dataLayer.push(['consent', 'update', { ad_storage: got.includes('ads') ? 'granted' : 'denied' }]);
  if (got.includes('ads')) document.head.append(Object.assign(document.createElement('script'), { src: 'http://ads.localhost:PORT/ad.js' }));
  else keep('ad', '', 0);
  if (got.includes('video')) new Image().src = 'http://tube.localhost:PORT/still';
  if (got.includes('ads') && (got.includes('video') || has('two for one'))) keep('both', '1', 99); else keep('both', '', 0);
  if (now === 'none' && has('wall')) document.querySelector('main').textContent = 'Abonnez-vous.';
};
const choose = (got) => { keep('choix', got.join('.') || 'none', 9999); apply(); at('said').textContent = 'Vos choix sont enregistrés.'; };
const ticked = () => [...document.querySelectorAll('#prefs input:not(:disabled)')].filter((one) => one.checked).map((one) => one.value);
const open = (event) => {
  event.preventDefault(); show('box', false); show('prefs', true);
  for (const one of document.querySelectorAll('#prefs input')) one.checked = (read() ?? '').split('.').includes(one.value);
};
at('all').onclick = at('on').onclick = () => choose(['ads', 'video', 'audience']);
at('no').onclick = at('off').onclick = () => choose([]);
at('open').onclick = at('back').onclick = open;
at('save').onclick = () => choose(has('saves all') ? ['ads', 'video', 'audience'] : ticked());
if (at('second')) at('yes').onclick = () => choose(['ads', 'video', 'audience']);
if (navigator.globalPrivacyControl && !has('silent')) at('what').textContent += ' Votre navigateur envoie un signal de refus.';
if (!/(?:^|; )vu=/.test(document.cookie)) keep('vu', 'c0ffee' + (1e9 + performance.timeOrigin).toString(36).replace('.', ''), 9999);
if (has('travels')) new Image().src = 'http://ads.localhost:PORT/see?v=' + /vu=([a-z0-9]+)/.exec(document.cookie)[1];
apply();
</script></body></html>"""
LABELS = {"ads": "Publicité", "video": "Vidéos", "audience": "Mesure d'audience"}
SECOND = """<section id="second" hidden><p>Bienvenue ! Nous aimons les cookies.</p><button id="yes">J'accepte</button></section>"""
RECORD = "2026-11-25T07:33Z accept_all snapshot=0 language=fr layer=first device=desktop signal=DNT replaces=none agent=Mozilla/5.0"


def policy(port: int) -> Policy:
    """What the site declares."""
    return loads(f"""
version = 1
proof.keep_days = 912
controller = {{ name = "La Page", address = "x", contact = "dpo@page.example", privacy_policy = "/donnees" }}
site = {{ origins = ["http://site.localhost:{port}"], languages = ["fr"] }}
purpose = [{{ id = "ads" }}, {{ id = "video" }}, {{ id = "audience" }}]
tracker = [
  {{ name = "choix", kind = "cookie", purpose = "technical", max_age_days = 1 }},
  {{ name = "vu", kind = "cookie", purpose = "audience", exempt = "audience", max_age_days = 1 }},
  {{ name = "ad", kind = "cookie", service = "adco", max_age_days = 1 }},
  {{ name = "both", kind = "cookie", purpose = "ads", max_age_days = 1 }},
  {{ name = "both", kind = "cookie", purpose = "video", max_age_days = 1 }},
]
[[service]]
id = "adco"
purpose = "ads"
recipient = "Adco"
hosts = [{{ host = "ads.localhost", kinds = ["script", "image"] }}]
[[service]]
id = "tube"
purpose = "video"
recipient = "Tube"
hosts = [{{ host = "tube.localhost", kinds = ["image"] }}]
""")


def page(port: int, faults: frozenset[str], state: str = "") -> str:
    """Return the page with faults; `state` is what a careless server puts into it."""

    def pick(fault: str, planted: str, sound: str = "") -> str:
        return planted if fault in faults else sound

    ticks = "".join(
        f'<p><label><input type="checkbox" value="{one}"> {label}</label></p>'
        for one, label in LABELS.items()
        if not (one == "video" and "one tick" in faults)
    )
    ticks = (
        ticks.replace("> Publicité", ' aria-label="Activer"> Publicité')
        if "command" in faults
        else ticks
    )
    ticks += pick(
        "interest",
        '<p><label><input type="checkbox" value="li" disabled> Intérêt légitime</label></p>',
    )
    refuse = '<button id="no">Tout refuser</button>'
    if "no button" in faults:
        refuse = '<span id="no" role="button" style="display: inline">Tout refuser</span>'
    said = "publicité personnalisée, vidéos et mesure d'audience"
    filled = {
        "LANG": pick("foreign", "en", "fr"),
        "TEXT": f"Ce site utilise des cookies{pick('unnamed', '', f' : {said}')}.",
        "LIST": '<a href="/donnees">Qui reçoit vos données</a>' + pick("pale", ' <span class="pale">ou non</span>'),
        "REFUSE": refuse,
        "CUT": pick("cut", "cut", "shown"),
        "TICKS": ticks,
        "WORDS": WORDS,
        "SECOND": pick("second", SECOND),
        "STATE": state,
        "PIXEL": pick("pixel", f'<img alt="" src="http://ads.localhost:{port}/pixel">'),
        "FAULTS": json.dumps(sorted(faults)),
        "PORT": str(port),
    }  # fmt: skip
    return re.sub("|".join(filled), lambda match: filled[match[0]], PAGE)


class _Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: frozenset[str] = frozenset()

    def do_GET(self) -> None:
        host, place = (self.headers["host"] or "").partition(".")[0], urlsplit(self.path)
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        asked = {key: one[0] for key, one in parse_qs(f"{place.query}&{body}").items()}
        port = int(self.server.server_address[1])  # type: ignore[index]
        if host == "ads" and place.path == "/ad.js":
            self._say("text/javascript", "document.cookie = 'ad=1; path=/; max-age=99'")
        elif host == "ads" and place.path == "/pixel":
            self._say(
                "image/gif",
                "GIF89a",
                ("Set-Cookie", "seen=1234567890; Max-Age=99; SameSite=None; Secure"),
            )
        elif host != "site":
            self._say("image/gif", "GIF89a")
        elif place.path.startswith("/_b/") and "server" in self.faults:
            self._careless(place.path.removeprefix("/_b/"), asked)
        elif place.path == "/.well-known/gpc.json" and "silent" in self.faults:
            self._say("application/json", '{"gpc": "yes"}')
        elif place.path == "/donnees":
            named = "" if "unlisted" in self.faults else "La Page, Adco, Tube. Mesure d'audience."
            self._say(
                "text/html; charset=utf-8",
                f'<!doctype html><html lang="fr"><title>d</title><p>Vos données. {named}',
            )
        elif place.path in ("/", "/suite", "/fin"):
            more: list[tuple[str, str]] = []
            state = ""
            if "server" in self.faults:
                more = [("Cache-Control", "public, max-age=60")]
                if "objected" in (self.headers["cookie"] or ""):
                    more.append(("Set-Cookie", "vu=c0ffee00; Max-Age=99"))
                state = f'<i id="bandeau-state" data-prefix="/_b" data-state="{self._state()}"></i>'
            self._say("text/html; charset=utf-8", page(port, self.faults, state), *more)
        else:
            self._say("text/plain", "", status=404)

    do_POST = do_GET  # noqa: N815 (the server's name)

    def _state(self) -> str:
        value = re.search(r"(?:^|; )bandeau=(\w*)", self.headers["cookie"] or "")
        return "undecided" if value is None else "refused" if value[1] == "none" else "granted"

    def _careless(self, path: str, asked: dict[str, str]) -> None:
        """Answer as bandeau does, with every mistake that a visitor can see."""
        granted = ["ads"] if self._state() == "granted" or self.headers["dnt"] == "0" else []
        if path == "choice":
            value = "none" if asked.get("choice") == "none" else asked.get("purpose", "all")
            record = base64.b64encode(RECORD.encode() + b"\xff" * 32).decode()
            answer = {
                "granted": [] if value == "none" else ["ads"],
                "receipt": f"x\nextra {record}\nindex 3\n",
            }
            back = [("Location", asked["back"])] if "back" in asked else []
            self._say(
                "application/json",
                json.dumps(answer),
                ("Set-Cookie", f"bandeau={value}; Path=/"),
                *back,
            )
        elif path == "state":
            self._say("application/json", json.dumps({"state": self._state(), "granted": granted}))
        elif path == "log/checkpoint":
            self._say("text/plain", "log\n1\nroot\n")
        elif path.startswith("log/tile/entries/"):
            self._say("application/octet-stream", "\x00\x22\x01\x02" + "a" * 32)
        elif path == "audience":
            self._say("text/plain", "noted", ("Set-Cookie", "objected=1"))
        elif path == "settings":
            self._say(
                "text/html",
                f'<form method="post" action="/_b/audience"></form>{asked.get("back", "")}',
            )
        else:
            self._say("text/plain", "something else")

    def _say(self, kind: str, body: str, *headers: tuple[str, str], status: int = 200) -> None:
        raw = body.encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(raw))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def served(*faults: str) -> Iterator[int]:
    """Serve the site with faults and return its port: `http://site.localhost:PORT/`."""
    handler = type("Handler", (_Site,), {"faults": frozenset(faults)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
