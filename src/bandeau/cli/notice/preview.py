"""The notice in every language, look and state, each in a frame; an ASGI application without memory.

It is the notice that visitors get, in pages of bars instead of words. No ledger is opened, no cookie is
set, and what its forms post is answered and forgotten.
"""

from __future__ import annotations

import json
from functools import cache
from typing import get_args
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from bandeau.adapters.asgi import Receive, Scope, Send, read_body, request_of, send_reply
from bandeau.decision.model import Consent, Decision, Event, State
from bandeau.endpoints import MAX_FORM
from bandeau.ledger import record
from bandeau.notice import Notice
from bandeau.notice.page import style
from bandeau.notice.texts import languages
from bandeau.policy.model import BUILT_IN_PURPOSES, Look, Policy
from bandeau.wire.hosts import authority, is_loopback
from bandeau.wire.messages import Reply, Request

SIZES = {"phone": (390, 844), "small": (320, 256), "desktop": (1280, 800)}
SCHEMES = ("light", "dark", "forced")
STATES = ("undecided", "refused", "accepted", "custom", "signal")
LAYERS = ("first", "settings", "band", "placeholder", "trackers", "receipt", "closed")
_FORCED = {  # CSS Color 4, 6.2: what a browser in forced colours paints with
    "ink": "CanvasText", "paper": "Canvas", "soft": "Canvas", "line": "CanvasText", "yes": "CanvasText",
    "no": "CanvasText", "link": "LinkText", "button": "ButtonFace", "label": "ButtonText",
}  # fmt: skip
_POLICY = (
    b"default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self';"
    b" frame-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
_HTML = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY),
]


class Preview:
    """A policy's notice, to be looked at. `left_out`: languages that its own purposes lack texts in."""

    def __init__(self, policy: Policy, *, everything: bool = False) -> None:
        offered = policy.site.languages
        others = [one for one in languages() if everything and one not in offered]
        own = [p for p in policy.purposes if p.id not in BUILT_IN_PURPOSES]
        self.left_out = tuple(
            one for one in others if not all(one in purpose.text for purpose in own)
        )
        shown = (*offered, *(one for one in others if one not in self.left_out))
        site = policy.site.model_copy(update={"languages": shown})
        self._policy = policy.model_copy(update={"site": site})
        self._notice = Notice(self._policy)
        self.axes: dict[str, tuple[str, ...]] = {
            "size": tuple(SIZES),
            "lang": shown,
            "scheme": SCHEMES,
            "state": STATES,
            "layer": LAYERS,
            "theme": get_args(Look.model_fields["theme"].annotation),
            "placement": get_args(Look.model_fields["placement"].annotation),
        }
        self._first = {axis: values[0] for axis, values in self.axes.items()} | {
            "theme": policy.notice.theme,
            "placement": policy.notice.placement,
        }
        self._templates = Environment(
            loader=PackageLoader("bandeau.cli.notice"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._style = cache(self._style_of)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        request = request_of(scope)
        if request.method == "POST":
            await read_body(receive, MAX_FORM)
        await send_reply(send, self.answer(request), head=request.method == "HEAD")

    def answer(self, request: Request) -> Reply:
        """Answer a request; what is asked for and not there is the first of its kind.

        Only under a name of this machine: another's page, led here by DNS, would read along.
        """
        named = authority(request.host)
        if named is None or not is_loopback(named[0]):
            return Reply(421, _HTML, b"<!doctype html><title>421</title><p>Not under this name.")
        prefix = self._policy.site.prefix
        found = self._notice.static(request.path.rpartition("/")[2])
        if request.path.startswith(f"{prefix}/static/") and found:
            return Reply(200, [(b"content-type", found[0].encode("ascii"))], found[1])
        asked = {axis: values[-1] for axis, values in parse_qs(request.query).items()}
        chosen = {
            axis: asked[axis] if asked.get(axis) in values else self._first[axis]
            for axis, values in self.axes.items()
        }
        if request.method == "POST":
            return self._posted(request, chosen)
        if request.path == "/page":
            return Reply(200, _HTML, self.page(chosen).encode())
        layer = request.path.removeprefix(f"{prefix}/")
        if request.path.startswith(f"{prefix}/") and layer in LAYERS:
            return Reply(200, _HTML, self.page({**chosen, "layer": layer}).encode())
        if request.path == "/":
            across = asked.get("across")
            return Reply(200, _HTML, self._index(chosen, across if across in self.axes else "size"))
        return Reply(404, _HTML, b"<!doctype html><title>404</title><p>There is nothing here.")

    def page(self, chosen: dict[str, str]) -> str:
        """Return one page: a whole layer, or a part of the notice in a page of bars."""
        notice, lang, consent = self._notice, chosen["lang"], self._consent(chosen["state"])
        back = f"/page?{urlencode(chosen)}"
        layer = chosen["layer"]
        if layer == "settings":
            html = notice.settings(lang, consent, back=back)
        elif layer == "trackers":
            html = notice.trackers(lang, consent, back=back)
        elif layer == "receipt":
            html = self._receipt(lang, consent, back)
        elif layer == "closed":
            html = self._closed(lang, consent, back)
        else:
            html = self._templates.get_template("page.html").render(
                lang=lang,
                dir=notice.direction(lang),
                head=notice.head().decode(),
                first=notice.first(lang, consent, back=back).decode() if layer == "first" else "",
                held=self._placeholders(lang) if layer == "placeholder" else [],
                bars=24 if layer == "first" else 4,
                band=notice.band(lang, consent, back=back).decode(),
            )
        look = (chosen["theme"], chosen["placement"], chosen["scheme"])
        return html.replace(notice.style, self._style(*look), 1)

    def _posted(self, request: Request, chosen: dict[str, str]) -> Reply:
        """Answer a choice as if it were a refusal: nothing is granted, and nothing stored."""
        if b"json" in (request.first(b"accept") or b""):
            answer = {"state": "refused", "granted": [], "names": "", "held_back": []}
            return Reply(200, [(b"content-type", b"application/json")], json.dumps(answer).encode())
        where = f"/page?{urlencode({**chosen, 'state': 'refused'})}".encode("ascii")
        return Reply(303, [(b"location", where)])

    def _index(self, chosen: dict[str, str], across: str) -> bytes:
        frames = []
        for value in self.axes[across]:
            one = {**chosen, across: value}
            width, height = SIZES[one["size"]]
            frames.append((value, f"/page?{urlencode(one)}", width, height))
        return (
            self._templates.get_template("index.html")
            .render(
                axes=self.axes,
                chosen=chosen,
                across=across,
                frames=frames,
                controller=self._policy.controller.name,
            )
            .encode()
        )

    def _consent(self, state: str) -> Consent:
        every = frozenset(self._policy.consentable)
        if state == "undecided":
            asks = every if self._policy.choice.source == "notice" else frozenset[str]()
            return Consent(State.UNDECIDED, asks=asks)
        if state == "accepted":
            return Consent(State.GRANTED, every)
        if state == "custom":
            return Consent(State.PARTIAL, frozenset(self._policy.consentable[:1]))
        return Consent(State.REFUSED, signal=state == "signal")

    def _placeholders(self, lang: str) -> list[str]:
        """Return what stands for a frame of each service that has any, for nobody's, and for a part."""
        framed = [s for s in self._policy.services if any("frame" in h.kinds for h in s.hosts)]
        held = [
            self._notice.placeholder(
                lang,
                service=service,
                url=f"https://{service.hosts[0].host.replace('*', 'www')}/" if service else "https://unknown.example/",
                title="",
                width="640",
                height="360",
            )
            for service in (*framed, None)
        ]  # fmt: skip
        held += [self._notice.held(lang, (purpose,)) for purpose in self._policy.consentable[:1]]
        return [one.decode() for one in held]

    def _closed(self, lang: str, consent: Consent, back: str) -> str:
        for feature in self._policy.features:
            if feature.needs:
                return self._notice.closed(lang, feature, consent, back=back)
        return self._notice.closed_page(lang, self._policy.consentable[:1], consent, back=back)

    def _receipt(self, lang: str, consent: Consent, back: str) -> str:
        decision, line = None, ""
        if consent.granted:
            every = len(consent.granted) == len(self._policy.consentable)
            choices = tuple((one, one in consent.granted) for one in self._policy.consentable)
            event = Event.ACCEPT_ALL if every else Event.CUSTOM
            decision = Decision(28_000_000, event, choices, lang, signal=False, snapshot=0)
            line = record.encode(decision).decode("ascii")
        return self._notice.receipt(
            lang,
            consent,
            back=back,
            decision=decision,
            index=1,
            time=record.time(decision.minute) if decision else "",
            line=line,
            proof="(preview)",
            vkey="(preview)",
        )

    def _style_of(self, theme: str, placement: str, scheme: str) -> str:
        look = Look.model_validate(
            {**self._policy.notice.model_dump(), "theme": theme, "placement": placement}
        )
        colours = _FORCED if scheme == "forced" else None
        return style(look, scheme=scheme, colours=colours)
