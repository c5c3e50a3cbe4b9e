"""The newspaper's third parties, told apart by Host: they behave as such parties do, and keep a log.

A script that writes an identifier into the site's own cookies and sends it on, pixels that set
cookies, frames, and an advertising chain whose bidders have another host at each load. What each
received stands in its log, at `/_journal`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from typing import Any

from bandeau.adapters.asgi import Receive, Scope, Send, request_of, send_reply
from bandeau.wire.cookies import pairs
from bandeau.wire.headers import RawHeaders, every, first
from bandeau.wire.messages import Reply, Request

GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
LOG_LENGTH = 1000  # requests kept for each party

_IDENTIFY = """
(() => {
  const keep = (name, days) => {
    let id = Math.random().toString(36).slice(2);
    try {
      id = (document.cookie.match(new RegExp("(?:^|; )" + name + "=([^;]*)")) || [, id])[1];
      document.cookie = name + "=" + id + "; path=/; max-age=" + days * 86400;
    } catch {}
    return id;
  };
  const send = (host, id) => {
    new Image().src = `http://${host}:%(port)d/pixel.gif?id=${id}&page=${encodeURIComponent(location.href)}`;
  };
"""
_SCRIPTS = {
    ("social", "/bouton.js"): """
  const id = keep("agora_id", 365);
  try { localStorage.setItem("agora_vu", new Date().toISOString()); } catch {}
  send("social.localhost", id);
  for (const place of document.querySelectorAll("[data-agora]")) {
    const button = document.createElement("a");
    button.className = "agora";
    button.href = "http://social.localhost:%(port)d/partager?page=" + encodeURIComponent(location.href);
    button.textContent = place.dataset.agora;
    place.replaceChildren(button);
  }
})();""",
    ("mesure", "/mesure.js"): """
  send("mesure.localhost", keep("_metreur", 180));
})();""",
    ("etiquettes", "/conteneur.js"): """
  const next = document.createElement("script");
  next.src = "http://regie.localhost:%(port)d/annonce.js?id=" + keep("regie_id", 180);
  document.body.append(next);
})();""",
    ("regie", "/annonce.js"): """
  send("regie.localhost", keep("regie_id", 180));
  const next = document.createElement("script");
  next.src = "http://enchere-%(one)s.localhost:%(port)d/offre.js";
  document.body.append(next);
})();""",
    ("enchere", "/offre.js"): """
  send("enchere-%(one)s.localhost", keep("enchere_id", 30));
  const frame = document.createElement("iframe");
  frame.src = "http://creation-%(one)s.localhost:%(port)d/creation";
  frame.title = "Annonce";
  frame.width = 300;
  frame.height = 250;
  document.body.append(frame);
})();""",
}
_PAGE = "<!doctype html><html lang=fr><meta charset=utf-8><title>{title}</title><style>{style}</style>{body}"
_FRAMES = {
    ("social", "/publication"): (
        "Publication sur Agora",
        "body{font:15px/1.5 system-ui;margin:1rem;color:#14213d}b{color:#3a5a98}",
        "<p><b>La Lanterne</b> sur Agora<p>Le Drian et Lavrov se retrouvent à Paris : notre récit."
        "<p>♥ 128 · ↺ 41",
    ),
    ("video", "/lecteur"): (
        "Lecteur vidéo",
        "body{margin:0;background:#101418;color:#eee;font:16px system-ui;display:grid;"
        "place-items:center;height:100vh}",
        "<p>▶ Le Quai d’Orsay en une minute",
    ),
    ("creation", "/creation"): (
        "Annonce",
        "body{margin:0;background:#ffd166;font:700 22px system-ui;display:grid;"
        "place-items:center;height:100vh;text-align:center}",
        "<p>Réverbères Martin<br><small>la lumière depuis 1889</small>",
    ),
}
_COOKIES = {
    "social": "agora_compte={id}; Max-Age=31536000",
    "mesure": "_metreur_tiers={id}; Max-Age=15552000",
    "video": "ecran_visiteur={id}; Max-Age=7776000",
    "regie": "regie_tiers={id}; Max-Age=15552000",
}


class Parties:
    """One ASGI application that plays them all. `logs` maps a host to what it received."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.logs: dict[str, deque[dict[str, Any]]] = {}

    @staticmethod
    def plays(host: str) -> bool:
        """Say whether a host is one of theirs."""
        name = host.partition(".")[0].partition("-")[0]
        return name in {party for party, _ in (*_SCRIPTS, *_FRAMES)} and ".localhost" in host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        request = request_of(scope)
        await send_reply(send, self.answer(request), head=request.method == "HEAD")

    def answer(self, request: Request) -> Reply:
        """Answer as the party whose host was asked."""
        host = request.host.partition(":")[0]
        party = host.partition(".")[0].partition("-")[0]
        if request.path == "/_journal":
            body = json.dumps(list(self.logs.get(host, ()))).encode()
            headers = [(b"content-type", b"application/json"), (b"access-control-allow-origin", b"*")]
            return Reply(200, headers, body)
        self._note(host, request)
        values = {"port": self.port, "one": secrets.token_hex(3)}
        if (script := _SCRIPTS.get((party, request.path))) is not None:
            if party == "enchere":
                values["one"] = host.partition(".")[0].partition("-")[2]
            text = (_IDENTIFY + script) % values
            return Reply(200, self._headers(b"text/javascript; charset=utf-8", party), text.encode())
        if (frame := _FRAMES.get((party, request.path))) is not None:
            title, style, body = frame
            page = _PAGE.format(title=title, style=style, body=body)
            return Reply(200, self._headers(b"text/html; charset=utf-8", party), page.encode())
        if request.path == "/pixel.gif":
            return Reply(200, self._headers(b"image/gif", party), GIF)
        return Reply(404, [(b"content-type", b"text/plain")], b"404\n")

    def _headers(self, kind: bytes, party: str) -> RawHeaders:
        headers: RawHeaders = [(b"content-type", kind), (b"cache-control", b"no-store")]
        if line := _COOKIES.get(party):
            value = line.format(id=secrets.token_hex(8)) + "; Path=/; SameSite=None; Secure"
            headers.append((b"set-cookie", value.encode("ascii")))
        return headers

    def _note(self, host: str, request: Request) -> None:
        sent = [name for value in every(request.headers, b"cookie") for name, _ in pairs(value)]
        log = self.logs.setdefault(host, deque(maxlen=LOG_LENGTH))
        log.append(
            {
                "time": round(time.time(), 3),
                "path": request.path,
                "query": request.query,
                "cookies": [name.decode("latin-1") for name in sent],
                "referer": (first(request.headers, b"referer") or b"").decode("latin-1"),
            }
        )
