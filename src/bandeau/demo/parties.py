"""The newspaper's third parties, told apart by Host: they behave as such parties do today.

A script that writes an identifier of its own into the site and sends it on, pixels and frames that
set cookies, and an advertising chain whose bidder and creative have another host at each load. What
each of them received is its journal, at `http://HOST/_journal`. They exist on loopback only.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import deque
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from bandeau.adapters.asgi import Receive, Scope, Send, request_of, send_reply
from bandeau.demo.backstage import mark
from bandeau.wire.cookies import pairs
from bandeau.wire.headers import RawHeaders, every, first
from bandeau.wire.messages import Reply, Request

LOG_LENGTH = 1000  # requests kept for each party; the demonstration's memory, not its history

_HOST = re.compile(
    r"(?:(social|telegram|mesure|video|etiquettes|regie)|(enchere|creation)-[a-z0-9]{1,32})\.localhost"
)
_TYPES = {
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "gif": b"image/gif",
}
_FILES = {
    ("social", "/bouton.js"): "agora.js",
    ("social", "/agora.css"): "agora.css",
    ("social", "/partager"): "partager.html",
    ("social", "/fr/publication"): "publication.fr.html",
    ("social", "/en/publication"): "publication.en.html",
    ("telegram", "/fr/message"): "message.fr.html",
    ("telegram", "/en/message"): "message.en.html",
    ("telegram", "/message.css"): "message.css",
    ("mesure", "/mesure.js"): "metreur.js",
    ("video", "/fr/lecteur"): "lecteur.fr.html",
    ("video", "/en/lecteur"): "lecteur.en.html",
    ("video", "/lecteur.css"): "lecteur.css",
    ("video", "/lecteur.js"): "lecteur.js",
    ("etiquettes", "/conteneur.js"): "conteneur.js",
    ("regie", "/annonce.js"): "annonce.js",
    ("enchere", "/offre.js"): "offre.js",
    ("creation", "/creation"): "creation.html",
}
# Name and age in days of the cookie that a party sets on its own host, in other sites' pages too.
_COOKIES = {
    "social": ("agora_compte", 365, ""),
    "telegram": ("telegram_visiteur", 365, ""),
    "mesure": ("metreur_tiers", 180, ""),
    "video": ("ecran_visiteur", 90, "; Partitioned"),
    "etiquettes": ("etiquettes_tiers", 180, ""),
    "regie": ("regie_tiers", 180, ""),
    "enchere": ("enchere_tiers", 30, ""),
}
# The smallest picture there is: one transparent point (GIF89a).
_PIXEL = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)


def party_of(host: str) -> str | None:
    """Return which party a host (with or without port) is, or None for nobody's."""
    match = _HOST.fullmatch(re.sub(r":\d*$", "", host.lower()))
    return (match[1] or match[2]) if match else None


class Parties:
    """One ASGI application that plays them all. `journals` has what each party received."""

    def __init__(self) -> None:
        self.journals: dict[str, deque[dict[str, Any]]] = {}
        self._bodies = {name: _body(name) for name in sorted(set(_FILES.values()))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        request = request_of(scope)
        await send_reply(send, self.answer(request), head=request.method == "HEAD")

    def answer(self, request: Request) -> Reply:
        """Answer as the party whose host was asked; 404 for what nobody has."""
        party = party_of(request.host)
        if party is None:
            return Reply(404, [(b"content-type", b"text/plain")], b"404\n")
        if request.path == "/_journal":
            return self._journal(party)
        reply = self._file(party, request.path)
        if reply.status != 404:  # noqa: PLR2004
            reply = _set(request, party, reply)
        self._note(party, request, reply)
        return reply

    def _file(self, party: str, path: str) -> Reply:
        if path == "/pixel.gif":
            return Reply(200, [(b"content-type", _TYPES["gif"])], _PIXEL)
        if path == "/depart":
            return Reply(204, [])
        name = _FILES.get((party, path))
        if name is None:
            return Reply(404, [(b"content-type", b"text/plain")], b"404\n")
        return Reply(200, [(b"content-type", _TYPES[name.rpartition(".")[2]])], self._bodies[name])

    def _journal(self, party: str) -> Reply:
        body = json.dumps([*self.journals.get(party, ())], ensure_ascii=False).encode("utf-8")
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"access-control-allow-origin", b"*"),
        ]
        return Reply(200, headers, body)

    def _note(self, party: str, request: Request, reply: Reply) -> None:
        """Write down what a request tells, and which cookie its browser was given."""
        offered = (first(reply.headers, b"set-cookie") or b"").partition(b"=")[0]
        fields = parse_qs(request.query, errors="replace", max_num_fields=None)
        sent = dict(pair for line in every(request.headers, b"cookie") for pair in _cookies(line))
        journal = self.journals.setdefault(party, deque(maxlen=LOG_LENGTH))
        journal.append(
            {
                "time": round(time.time(), 3),
                "host": request.host,
                "path": request.path,
                "page": fields.get("page", [""])[0],
                "browser": mark(request.first(b"user-agent") or b""),
                "cookies": sent,
                "offered": offered.decode("latin-1"),
                "identifiers": fields.get("id", []) + sorted(sent.values()),
                "referer": (first(request.headers, b"referer") or b"").decode("latin-1"),
            }
        )


def _body(name: str) -> bytes:
    """Return a file of theirs; each script brings what they all do, in a scope of its own."""
    folder = files("bandeau.demo") / "tiers"
    text = (folder / name).read_bytes()
    if not name.endswith(".js"):
        return text
    common = (folder / "commun.js").read_bytes()
    return b"(() => {\n" + common + b"\n" + text + b"})();\n"


def _cookies(line: bytes) -> list[tuple[str, str]]:
    found = ((name, raw.partition(b"=")[2].strip()) for name, raw in pairs(line))
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in found]


def _set(request: Request, party: str, reply: Reply) -> Reply:
    """Add the party's cookie, unless it has come back; nothing of theirs is ever cached."""
    headers: RawHeaders = [*reply.headers, (b"cache-control", b"no-store")]
    name, days, more = _COOKIES.get(party, ("", 0, ""))
    known = any(
        found == name for line in every(request.headers, b"cookie") for found, _ in _cookies(line)
    )
    if name and not known:
        age = days * 86_400
        line = f"{name}={secrets.token_hex(8)}; Max-Age={age}; Path=/; SameSite=None; Secure{more}"
        headers.append((b"set-cookie", line.encode("ascii")))
    return Reply(reply.status, headers, reply.body)
