"""What the gate would hold back, said and not done: for an owner who looks before enforcing."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from bandeau.errors import BandeauError
from bandeau.gate import cookies, csp
from bandeau.gate.markup import Markup
from bandeau.gate.verdict import Allowance
from bandeau.wire.codings import Coder, CodingError, decoder, supported
from bandeau.wire.cookies import lifetime, name_value
from bandeau.wire.headers import RawHeaders, first, tokens
from bandeau.wire.hosts import target
from bandeau.wire.messages import Request
from bandeau.wire.reports import violations

_log = logging.getLogger("bandeau")
PAGES = (b"text/html", b"application/xhtml+xml")
REPORT_ONLY = b"content-security-policy-report-only"
_DISTINCT = 10_000  # items remembered; beyond that only counted
_RATE, _BURST = 20, 200  # reports a second that are read, and how many may come at once


class Observer:
    """Writes one JSON line for each distinct item that would have been held back."""

    def __init__(self, out: TextIO, *, owned: bool = False) -> None:
        self._out = out
        self._owned = owned
        self._seen: set[tuple[str, str]] = set()
        self._counts: dict[str, int] = {}

    @classmethod
    def appending(cls, path: str) -> Observer:
        """Write to the end of a file, which several processes may share. Raises BandeauError."""
        try:
            return cls(Path(path).open("a", encoding="utf-8"), owned=True)
        except OSError as error:
            raise BandeauError(f"[rollout] · report: {path}: {error.strerror}") from error

    def saw(self, what: str, name: str, path: str, **more: str | int | None) -> None:
        """Report an item: what kind of thing, its name or host, the first path it was seen on."""
        self._counts[what] = self._counts.get(what, 0) + 1
        if (what, name) in self._seen or len(self._seen) >= _DISTINCT:
            return
        self._seen.add((what, name))
        self._write({"held": what, "name": name, "path": path, **more})

    def close(self) -> None:
        """Write the last line, which says how often each kind of thing was seen."""
        line = {
            "held": "summary",
            "distinct": len(self._seen),
            "seen": dict(sorted(self._counts.items())),
        }
        self._write(line)
        if self._owned:
            with contextlib.suppress(OSError):
                self._out.close()

    def _write(self, line: dict[str, object]) -> None:
        try:
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()
        except OSError as error:  # a full disk keeps no page back
            _log.error("what would be held back cannot be written down: %s", error)


class Violations:
    """Takes what browsers report of the policy that pages are looked at with; so many a second."""

    def __init__(self, saw: Callable[..., None]) -> None:
        self._saw = saw
        self._left, self._at = float(_BURST), time.monotonic()

    def take(self, body: bytes) -> bool:
        """Note a report; False where too many come, and this one is not read."""
        now = time.monotonic()
        self._left = min(_BURST, self._left + (now - self._at) * _RATE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        for one in violations(body):
            host = target(one.blocked, "").host
            if host:
                kind, path = csp.kind_of(one.directive), _path(one.document)
                self._saw(kind, host, path, script=one.source)
        return True


def _path(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


class Observed:
    """A response that passes unchanged while what it holds is looked at."""

    def __init__(
        self,
        observer: Observer,
        request: Request,
        allowance: Allowance,
        status: int,
        headers: RawHeaders,
        reported: bytes | None = None,
    ) -> None:
        """`reported` is the browser policy that pages are to be looked at with, where there is one."""
        self.status = status
        self.headers = headers
        self.passthrough = self.lasting = False
        self._stages: list[Coder | Markup] = []
        held = cookies.response(headers, allowance).held
        for line in (value for name, value in headers if held and name == b"set-cookie"):
            read = name_value(line)
            if read and read[0] in held:
                name, seconds = read[0].decode("latin-1"), lifetime(line, datetime.now(UTC))
                observer.saw("cookie set", name, request.path, seconds=seconds)
        kind = (first(headers, b"content-type") or b"").split(b";")[0].strip().lower()
        coding = b", ".join(tokens(headers, b"content-encoding")).decode("latin-1")
        if reported and kind in PAGES:
            self.headers = [*headers, (REPORT_ONLY, reported)]
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
