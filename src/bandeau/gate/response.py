"""One response through all of the gate: `Filtered` has the head; feed and close give the body.

It decides nothing of its own: cookies, headers, policy and markup do. Where the body is no page it
is passed on untouched, whatever its coding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from bandeau.gate import cookies, csp, strict
from bandeau.gate import headers as heads
from bandeau.gate.markup import Fragments, Markup
from bandeau.gate.observe import PAGES, REPORT_ONLY, Observed
from bandeau.gate.pages import Pages
from bandeau.gate.verdict import Allowance
from bandeau.policy.model import Service
from bandeau.wire.charsets import SNIFFED, Transcoder, unsafe_codec
from bandeau.wire.codings import Coder, decoder, encoder, supported
from bandeau.wire.headers import RawHeaders, first, replaced, tokens, vary
from bandeau.wire.messages import Request

_SHOWN = frozenset((b"document", b"iframe", b"frame", b"embed", b"object", b"fencedframe"))
# What a response may be fetched as when its own policy governs what runs in it.
_GOVERNED = _SHOWN | {
    b"worker", b"sharedworker", b"serviceworker", b"audioworklet", b"paintworklet"
}  # fmt: skip
_PASSIVE = (b"image/", b"audio/", b"video/", b"font/")
_UNREADABLE = b"<!doctype html><title>502</title><p>This page came in a coding that cannot be read."
_MARK = 3  # bytes of the longest byte order mark
_INSERT = frozenset(("guard", "notice"))  # the layers that put something into a page
_REWRITE = _INSERT | {"markup"}
_BODILESS = (204, 205, 304)
_KINDS = {
    b"iframe": "frame",
    b"frame": "frame",
    b"image": "image",
    b"script": "script",
    b"style": "style",
}


class Setting(Protocol):
    """What one response is filtered by; most responses ask for little of it."""

    request: Request
    allowance: Allowance
    swept: tuple[bytes, ...]
    kept: RawHeaders  # what the answer leaves on the device of ours
    layers: frozenset[str]  # what is enforced here

    @property
    def reported(self) -> bytes | None:
        """The policy that pages are to be looked at with, where it is not enforced."""

    @property
    def destination(self) -> bytes:
        """What the browser fetches this for (Fetch Metadata, Sec-Fetch-Dest); b"" when unsaid."""

    @property
    def narrowest(self) -> bytes:
        """The policy of a visitor who has granted nothing, for what caches may share."""

    @property
    def policy(self) -> bytes:
        """The policy of this visitor."""

    @property
    def key(self) -> str:
        """The state that a page is rewritten for."""

    @property
    def host(self) -> str:
        """The site's host, without port."""

    @property
    def parts(self) -> strict.Parts:
        """What a site's own strict policy has to let in."""

    @property
    def frame(self) -> Service | None:
        """The service with `open = "frame"` whose page this is."""

    @property
    def edge(self) -> bool:
        """Whether a cache in front keeps pages by state."""

    @property
    def edge_key(self) -> str:
        """The key of this request's state there."""

    @property
    def quiet(self) -> bool:
        """Whether what is barred is not even attempted."""

    @property
    def pages(self) -> Pages | None:
        """Where rewritten pages are kept in memory."""

    @property
    def connections(self) -> str | None:
        """The Connection-Allowlist, in strict network mode."""

    @property
    def outbound(self) -> Callable[[str], str] | None:
        """What makes a signed link of ours, in strict network mode."""

    def fragments(self, nonce: str | None, *, framed: bool) -> Fragments:
        """Return what is put into the page."""


class Filtered:
    """A response as the visitor gets it: `status`, `headers`, then `feed` and `close`."""

    def __init__(self, setting: Setting, status: int, upstream: RawHeaders) -> None:
        self._setting = setting
        self.status = status
        self.passthrough = True
        self._stages: list[Coder | Markup | Observed] = []
        self._slot: tuple[object, ...] | None = (
            None  # what a rewritten page depends on, but its bytes
        )
        kind = (first(upstream, b"content-type") or b"").lower()
        self.page = page = is_page(kind)
        destination = setting.destination
        governed = page or destination in _GOVERNED
        out, names = upstream, [name for name, _ in upstream]
        layers = setting.layers
        if b"set-cookie" in names and "cookies" in layers:
            out = cookies.response(out, setting.allowance).headers
        if not heads.JUDGED.isdisjoint(names) and "headers" in layers:
            out = heads.reaching(out, setting.request.url, setting.allowance.allows)
        if status in heads.REDIRECTS and "headers" in layers:
            out = self._redirect(out)
        if page and status != 206 and layers & _REWRITE:  # noqa: PLR2004
            out = self._rewriting(out)
        if governed:
            out = heads.personal(heads.tagged(out, setting.key))
            asked = setting.request.headers
            seconds = heads.shareable(asked, status, upstream, out) if page else 0
            self._slot = self._slot if seconds else None
            secure = setting.request.scheme == "https"
            swept = cookies.sweep(setting.swept, setting.host, setting.request.path, secure=secure)
            edge = seconds and setting.edge and not swept
            out += swept + setting.kept
            out = (
                heads.for_edge(out, seconds, setting.edge_key)
                if edge
                else vary(out, b"Cookie", b"Sec-GPC")
            )
        self.headers = self._guarded(out, kind, governed=governed)

    def beside(self, look: Observed) -> None:
        """Let somebody look at what comes from upstream: at what is not enforced here."""
        if not self.passthrough:
            self._stages.insert(0, look)

    @property
    def lasting(self) -> bool:
        """Whether `whole` may save the work: many visitors may see this page."""
        return self._slot is not None

    def whole(self, body: bytes) -> bytes:
        """Take all of upstream's body and give what may be sent on, made once for each state.

        Raises CodingError where the body cannot be read.
        """
        if self._slot is None or self._setting.pages is None:
            return self.feed(body) + self.close()
        key = hashlib.sha256(repr(self._slot).encode("utf-8", "replace"))
        key.update(body)
        return self._setting.pages.get(key.digest(), lambda: self.feed(body) + self.close())

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece of upstream's body and give what may be sent on."""
        for stage in self._stages:
            chunk = stage.feed(chunk)
        return chunk

    def close(self) -> bytes:
        """Give what is left when upstream's body has ended. Raises CodingError when it broke off."""
        rest = b""
        for stage in self._stages:
            rest = (stage.feed(rest) if rest else b"") + stage.close()
        return rest

    def _redirect(self, out: RawHeaders) -> RawHeaders:
        """Answer 204 where a subresource would be sent on to a host that is not allowed."""
        setting = self._setting
        kind = _KINDS.get(setting.destination, "connect")
        if setting.destination in (b"", b"document") or not heads.leads_abroad(
            out, setting.request.url, setting.allowance.allows, kind
        ):
            return out
        self.status, self.passthrough = 204, False
        self._stages = [_Withheld(b"")]  # an answer of 204 has no body (RFC 9110 15.3.5)
        return [pair for pair in out if pair[0] not in (b"location", b"content-length")]

    def _rewriting(self, out: RawHeaders) -> RawHeaders:
        setting = self._setting
        coding = b", ".join(tokens(out, b"content-encoding")).decode("latin-1")
        framed = setting.destination not in (b"", b"document")
        layers, nonce = setting.layers, None
        if layers & _INSERT:
            out, nonce = strict.admit(out, setting.parts)
        out = heads.of_other_bytes(out)
        if self.status in _BODILESS or setting.request.method == "HEAD":
            return out
        self.passthrough = False
        whole = setting.destination in (b"", b"document", b"iframe", b"frame", b"embed", b"object")
        xml = (first(out, b"content-type") or b"").lower().startswith(b"application/xhtml+xml")
        inserts = whole and not xml and layers & _INSERT
        fragments = setting.fragments(nonce, framed=framed) if inserts else None
        markup = Markup(
            base=setting.request.url,
            allows=_allows(setting) if "markup" in layers else _everybody,
            fragments=fragments,
            xml=xml,
            outbound=setting.outbound if "markup" in layers else None,
            quiet=setting.quiet,
        )
        content_type = first(out, b"content-type") or b""
        charset = _Charset(content_type)
        if setting.pages and nonce is None:
            where = (setting.request.url, setting.destination)
            self._slot = (setting.key, *where, content_type, coding)
        if coding in ("", "identity"):
            self._stages = [charset, markup]
        elif coding in supported():
            self._stages = [decoder(coding), charset, markup, encoder(coding)]
        else:
            self._stages = [_Withheld(_UNREADABLE)]
            out = [pair for pair in out if pair[0] != b"content-encoding"]
        if unsafe_codec(content_type, b""):
            bare = content_type.split(b";")[0]
            out = replaced(out, b"content-type", bare + b"; charset=utf-8")
        return out

    def _guarded(self, out: RawHeaders, kind: bytes, *, governed: bool) -> RawHeaders:
        setting = self._setting
        if kind.startswith(_PASSIVE) and b"svg" not in kind and not governed:
            return out
        if "headers" in setting.layers and governed and "geolocation" not in setting.allowance.data:
            out = [*out, (b"permissions-policy", b"geolocation=()")]
        if "browser-policy" not in setting.layers:
            told = setting.reported if governed else None
            return [*out, (REPORT_ONLY, told)] if told else out
        policy = setting.policy if governed else setting.narrowest
        if governed and setting.frame:
            kinds = {kind for host in setting.frame.hosts for kind in host.kinds}
            plain = setting.request.scheme == "http"
            policy = csp.frame_policy(setting.allowance, kinds, plain=plain).encode()
        out = [*out, (b"content-security-policy", policy)]
        if governed and setting.connections and not setting.frame:
            out.append((b"connection-allowlist", setting.connections.encode("ascii")))
        if not kind:
            out.append((b"x-content-type-options", b"nosniff"))
        return out


def _everybody(_host: str, _kind: str) -> bool:
    return True


def _allows(setting: Setting) -> Callable[[str, str], bool]:
    """Say what a page may contact; in the frame of an open chain, any host for the frame's kinds."""
    frame = setting.frame
    if frame is None:
        return setting.allowance.allows
    kinds = {kind for host in frame.hosts for kind in (*host.kinds, "any")}
    return lambda host, kind: kind in kinds or setting.allowance.allows(host, kind)


@lru_cache(maxsize=256)
def is_page(kind: bytes) -> bool:
    """Say whether a Content-Type, in lower case, is HTML; nothing is guessed."""
    return kind.partition(b";")[0].strip() in PAGES


def may_be_page(request: Request) -> bool:
    """Say whether the answer to a request may be HTML that a browser shows.

    Browsers without Fetch Metadata (Safari before 16.4) name text/html when they open a page; they and
    downloaders ask for parts of files with `*/*`.
    """
    destination = request.first(b"sec-fetch-dest")
    accepted = b",".join(request.every(b"accept"))
    if destination in _SHOWN or not (destination or accepted):
        return True
    return b"text/html" in accepted


class _Charset:
    """Makes UTF-8 of a page whose bytes cannot be spliced; waits for its first bytes to know."""

    def __init__(self, content_type: bytes) -> None:
        self._content_type = content_type
        self._start: bytes | None = b""
        self._transcoder: Transcoder | None = None

    def feed(self, chunk: bytes) -> bytes:
        if self._start is None:
            return self._transcoder.feed(chunk) if self._transcoder else chunk
        self._start += chunk
        # A header that names the encoding is only outranked by a mark of three bytes at most; without
        # one, browsers too wait for as much as a <meta> may stand in.
        enough = _MARK if b"charset" in self._content_type.lower() else SNIFFED
        return self._decide() if len(self._start) >= enough else b""

    def close(self) -> bytes:
        rest = self._decide() if self._start is not None else b""
        return rest + (self._transcoder.close() if self._transcoder else b"")

    def _decide(self) -> bytes:
        start, self._start = self._start or b"", None
        codec = unsafe_codec(self._content_type, start)
        if codec is None:
            return start
        self._transcoder = Transcoder(codec)
        # A UTF-8 mark outranks a header or <meta> that still names the old encoding.
        return b"\xef\xbb\xbf" + self._transcoder.feed(start)


class _Withheld:
    """Stands for a body that is not passed on, such as a page that cannot be read and so not gated."""

    def __init__(self, instead: bytes) -> None:
        self._instead = instead

    def feed(self, _chunk: bytes) -> bytes:
        return b""

    def close(self) -> bytes:
        return self._instead
