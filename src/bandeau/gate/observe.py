"""What the gate would hold back, said and not done: for an owner who looks before enforcing."""

from __future__ import annotations

import json
from typing import TextIO

from bandeau.gate import cookies
from bandeau.gate.markup import Markup
from bandeau.gate.verdict import Allowance
from bandeau.wire.codings import Coder, CodingError, decoder, supported
from bandeau.wire.headers import RawHeaders, first, tokens
from bandeau.wire.messages import Request

_DISTINCT = 10_000  # items remembered; beyond that only counted


class Observer:
    """Writes one JSON line for each distinct item that would have been held back."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._seen: set[tuple[str, str]] = set()
        self._counts: dict[str, int] = {}

    def saw(self, what: str, name: str, path: str, **more: str) -> None:
        """Report an item: what kind of thing, its name or host, the first path it was seen on."""
        self._counts[what] = self._counts.get(what, 0) + 1
        if (what, name) in self._seen or len(self._seen) >= _DISTINCT:
            return
        self._seen.add((what, name))
        self._out.write(json.dumps({"held": what, "name": name, "path": path, **more}) + "\n")
        self._out.flush()

    def summary(self) -> None:
        """Write the last line: how often each kind of thing was seen."""
        line = {
            "held": "summary",
            "distinct": len(self._seen),
            "seen": dict(sorted(self._counts.items())),
        }
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()


class Observed:
    """A response that passes unchanged while what it holds is looked at."""

    def __init__(
        self,
        observer: Observer,
        request: Request,
        allowance: Allowance,
        status: int,
        headers: RawHeaders,
    ) -> None:
        self.status = status
        self.headers = headers
        self.passthrough = self.lasting = False
        self._stages: list[Coder | Markup] = []
        for name in cookies.response(headers, allowance).held:
            observer.saw("cookie set", name.decode("latin-1"), request.path)
        kind = (first(headers, b"content-type") or b"").split(b";")[0].strip().lower()
        coding = b", ".join(tokens(headers, b"content-encoding")).decode("latin-1")
        if kind != b"text/html" or (coding and coding not in supported()):
            return
        if coding:
            self._stages.append(decoder(coding))

        def report(kind: str, host: str, tag: str) -> None:
            observer.saw(kind, host, request.path, tag=tag)

        self._stages.append(
            Markup(base=request.url, allows=allowance.allows, fragments=None, report=report)
        )

    def whole(self, body: bytes) -> bytes:
        """Look at a whole body and give it back as it is."""
        return self.feed(body)

    def feed(self, chunk: bytes) -> bytes:
        """Look at a piece and give it back as it is."""
        self._look(chunk)
        return chunk

    def close(self) -> bytes:
        """End the look; nothing is left to send."""
        return b""

    def _look(self, chunk: bytes) -> None:
        try:
            for stage in self._stages:
                chunk = stage.feed(chunk)
        except CodingError:
            self._stages = []
