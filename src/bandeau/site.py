"""A site behind bandeau, without sockets: each request becomes an Exchange, adapters only translate.

Here policy, decision, gate, notice and ledger are put together; none of them knows the others.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from bandeau import endpoints
from bandeau.decision import cookie
from bandeau.decision.consent import consent_of
from bandeau.decision.model import Consent, Published
from bandeau.decision.signals import opted_out
from bandeau.endpoints import Asked, Change, Desk
from bandeau.errors import LedgerError
from bandeau.gate import connections, cookies, csp, guard
from bandeau.gate import headers as heads
from bandeau.gate.markup import Fragments, Frame
from bandeau.gate.observe import Observed, Observer
from bandeau.gate.response import Filtered, Setting, may_be_page
from bandeau.gate.strict import Parts
from bandeau.gate.verdict import STORAGE, Allowance, Rules
from bandeau.ledger import keys
from bandeau.ledger.sqlite import Ledger
from bandeau.notice import Notice
from bandeau.policy.digest import digest, fingerprints
from bandeau.policy.file import load
from bandeau.policy.model import Feature, Policy, Service
from bandeau.wire.codings import supported
from bandeau.wire.cookies import value_of
from bandeau.wire.headers import RawHeaders, every, first, without
from bandeau.wire.hosts import authority, target
from bandeau.wire.messages import Reply, Request

__all__ = ["Exchange", "Reply", "Request", "Site"]

_log = logging.getLogger("bandeau")
Purposes = frozenset[str]
_NOT_PASSED = (
    b"available-dictionary",
    b"accept-encoding",
)  # the first would make pages unreadable here
_FORWARDED = (
    b"forwarded",
    b"x-forwarded-for",
    b"x-real-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Whether a request's Host is the site's, and its host without port."""

    own: bool
    host: str


OnWithdraw = Callable[[frozenset[str], tuple[str, ...]], None]


class Site:
    """A policy at work. One per process; `close` when done.

    `on_withdraw(purposes, swept)` may be set: it is called once a withdrawal is stored, with the
    purposes taken away and the names of the cookies that the answer removes; no visitor is named.
    """

    max_form = endpoints.MAX_FORM

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        secret: bytes,
        *,
        observer: Observer | None = None,
        now: Callable[[], int] = lambda: int(time.time() // 60),
    ) -> None:
        self.on_withdraw: OnWithdraw | None = None
        self.policy = policy
        self.ledger = ledger
        self.observer = observer
        self._now = now
        self._key = keys.derive(secret, "choice")
        self.rules = Rules(policy)
        self.notice = Notice(policy)
        self.current = Published(digest(policy), policy.consentable, fingerprints(policy))
        ledger.publish(self.current, now())
        self.published = ledger.published()
        self.desk = Desk(self.rules, self.notice, self.current, self._key, now)
        several = self.rules.own if len(self.rules.own) > 1 else ()
        self.narrowest = csp.policy(self.rules.allowance(frozenset()), sorted(several))
        self._said: dict[str, float] = {}

        @lru_cache(maxsize=256)
        def policies(allowance: Allowance, host: str, plain: bool) -> str:  # noqa: FBT001
            others = sorted(own for own in self.rules.own if own != host)
            return csp.policy(allowance, others, plain=plain)

        self._policies = policies

        @lru_cache(maxsize=1024)
        def origin(scheme: str, host: str) -> _Origin:
            read = authority(host)
            if read is None:
                return _Origin(own=False, host="invalid")
            asked = target(f"{scheme}://{host}", "")
            return _Origin(any(target(o, "") == asked for o in policy.site.origins), read[0])

        self._origin = origin
        self.key = lru_cache(maxsize=1024)(self._key_of)
        self.parts = lru_cache(maxsize=1024)(self._parts_of)

    @classmethod
    def from_policy(
        cls,
        policy: Policy,
        ledger: str = "sqlite:///bandeau.db",
        *,
        observer: Observer | None = None,
    ) -> Site:
        """Open ledger and key (BANDEAU_KEY_FILE, else `bandeau.key` beside the ledger).

        Raises LedgerError or KeyFileError with the remedy.
        """
        path = _path_of(ledger)
        named = os.environ.get("BANDEAU_KEY_FILE")
        opened = Ledger(path)
        try:
            secret = keys.load(
                Path(named) if named else path.parent / "bandeau.key", new=not opened.used
            )
            return cls(policy, opened, secret, observer=observer)
        except BaseException:
            opened.close()
            raise

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        ledger: str = "sqlite:///bandeau.db",
        *,
        observer: Observer | None = None,
    ) -> Site:
        """Load a policy file and open its ledger. Raises PolicyError with every problem."""
        return cls.from_policy(load(Path(path)), ledger, observer=observer)

    def close(self) -> None:
        """Store what is waiting, and say what was observed."""
        self.ledger.close()
        if self.observer:
            self.observer.summary()

    def exchange(self, request: Request) -> Exchange:
        """Take a request's head through the gate. Never raises for what a visitor sent."""
        return Exchange(self, request)

    async def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """Answer a request under the prefix; a choice is on disk before it is answered."""
        found = endpoints.answer(self.desk, exchange.asked, body)
        if isinstance(found, Reply):
            return found
        try:
            await asyncio.wait_for(asyncio.wrap_future(self.ledger.submit(found.decision)), 10.0)
        except (LedgerError, TimeoutError) as error:
            return self._not_stored(exchange, error)
        self._tell(found)
        return found.reply

    def answer_sync(self, exchange: Exchange, body: bytes) -> Reply:
        """Do what `answer` does, for callers without an event loop."""
        found = endpoints.answer(self.desk, exchange.asked, body)
        if isinstance(found, Reply):
            return found
        try:
            self.ledger.append(found.decision)
        except LedgerError as error:
            return self._not_stored(exchange, error)
        self._tell(found)
        return found.reply

    def consent(self, request: Request) -> Consent:
        """Return the choice in force for a request; what cannot be read is no choice."""
        name = endpoints.cookie_name(self.desk, request.scheme)
        sent = [header for header in every(request.headers, b"cookie") if name in header]
        found = {value for header in sent for value in value_of(header, name)}
        choice = None
        if len(found) == 1 and self.origin(request).own:
            choice = cookie.decode(
                found.pop(),
                self.published,
                self._key,
                now=self._now(),
                valid_days=self.policy.site.valid_days,
            )
        return consent_of(choice, self.current, self.published, signal=opted_out(request.headers))

    def origin(self, request: Request) -> _Origin:
        """Say whose Host a request names; a foreign one is served undecided and cannot choose."""
        found = self._origin(request.scheme, request.host)
        if not found.own and found.host != "invalid":
            self._say_unknown(f"{request.scheme}://{request.host}")
        return found

    def _key_of(
        self,
        granted: Purposes,
        asks: Purposes,
        signal: bool,  # noqa: FBT001 (a cache key has no names)
        language: str,
        own: bool,  # noqa: FBT001 (as above)
    ) -> str:
        return heads.state_key(
            self.current.digest,
            guard.script_hash(),
            self.notice.style_hash,
            ",".join(sorted(granted)),
            ",".join(sorted(asks)),
            str(signal),
            language,
            str(own),
        )

    def _parts_of(self, scheme: str, host: str) -> Parts:
        scripts, styles = (guard.script_hash(),), (self.notice.style_hash,)
        return Parts(scripts, styles, f"{scheme}://{host}", self.policy.site.prefix)

    def outbound(self, url: str) -> str:
        """Return the signed address of ours that leads to an outbound link's target."""
        return connections.outbound(url, self.policy.site.prefix, self.desk.key)

    def policy_for(self, allowance: Allowance, host: str, scheme: str) -> str:
        """Return the second CSP for an allowance."""
        if not allowance.granted:
            return self.narrowest
        return self._policies(allowance, host, scheme == "http")

    def _say_unknown(self, origin: str) -> None:
        """Name the line to add, once a minute at most for each origin, for at most 100 of them."""
        now = time.monotonic()
        if now - self._said.get(origin, -60.0) >= 60.0 and len(self._said) < 100:  # noqa: PLR2004
            self._said[origin] = now
            _log.warning("%r is not in [site] origins: served undecided; add it there", origin)

    def _tell(self, change: Change) -> None:
        if self.on_withdraw and change.withdrawn:
            try:
                self.on_withdraw(change.withdrawn, change.swept)
            except Exception:  # noqa: BLE001 (the owner's own code, and no reason to deny a withdrawal)
                _log.exception("on_withdraw failed; the withdrawal itself is stored and holds")

    def _not_stored(self, exchange: Exchange, error: Exception) -> Reply:
        _log.error("a choice was not stored, so nothing was granted: %s", error)
        return endpoints.problem(self.desk, exchange.asked, 503, "unavailable")


class Exchange:
    """One request through the gate, and then its response."""

    def __init__(self, site: Site, request: Request) -> None:
        self.site = site
        self.request = request
        self.origin = site.origin(request)
        self.consent = site.consent(request)
        self.allowance = site.rules.allowance(self.consent.granted)
        prefix = site.policy.site.prefix
        self.endpoint = request.path.startswith(prefix + "/") or request.path == prefix
        filtered = cookies.request(request.headers, self.allowance)
        self.swept = () if first(request.headers, b"sec-purpose") else filtered.held
        self.reply = None if self.endpoint or site.observer else self._closed()
        self.request_headers = (
            self._observed_request() if site.observer else self._upstream(filtered.headers)
        )

    @property
    def language(self) -> str:
        """The notice's language as far as the request tells it; a page's own goes before it."""
        accepted = first(self.request.headers, b"accept-language")
        return self.site.notice.language(None, accepted.decode("latin-1") if accepted else None)

    @property
    def asked(self) -> Asked:
        """The request as endpoints see it."""
        return Asked(self.request, self.consent, self.origin.own, self.language, self.edge_key)

    @property
    def edge_key(self) -> str:
        """The key under which an edge may keep what this request gets: its state, and what it is for."""
        destination = first(self.request.headers, b"sec-fetch-dest") or b"document"
        return f"{self.key}-{destination.decode('latin-1') if destination.isalpha() else 'other'}"

    @property
    def frame(self) -> Service | None:
        """The service with `open = "frame"` whose page this is."""
        return self.site.rules.frame_of(self.request.path)

    @property
    def key(self) -> str:
        """The state that a page is rewritten for: two visitors with the same key get the same bytes."""
        consent = self.consent
        return self.site.key(
            consent.granted, consent.asks, consent.signal, self.language, self.origin.own
        )

    def response(self, status: int, headers: RawHeaders) -> Filtered | Observed:
        """Take the head of upstream's response through the gate."""
        if self.site.observer:
            return Observed(self.site.observer, self.request, self.allowance, status, headers)
        return Filtered(self._setting(), status, headers)

    def informational(self, headers: RawHeaders) -> RawHeaders:
        """Filter a 1xx response, of which only 103 says anything (RFC 8297)."""
        if self.site.observer:
            return headers
        return heads.reaching(headers, self.request.url, self.allowance.allows)

    def failure(self, status: int) -> Reply:
        """Return our own page for an upstream that did not answer (502, 503, 504) or a refusal."""
        kind = {502: "upstream", 503: "unavailable", 504: "timeout"}.get(status, "other")
        return endpoints.problem(self.site.desk, self.asked, status, kind)

    def forwarded_for(self, peer: str) -> str:
        """Return the visitor's address as upstream may see it.

        With `anonymise_upstream_ip` it is cut to /24 or /48 until a granted purpose declares
        `ip_address` (S2).
        """
        if not self.site.policy.site.anonymise_upstream_ip or "ip_address" in self.allowance.data:
            return peer
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return "unknown"
        bits = 24 if address.version == 4 else 48  # noqa: PLR2004
        return str(ipaddress.ip_network(f"{address}/{bits}", strict=False).network_address)

    def _closed(self) -> Reply | None:
        found = self.site.rules.closed(self.request.path, self.consent.granted)
        if found is None:
            return None
        if isinstance(found, Feature):
            return endpoints.closed(self.site.desk, self.asked, found.id)
        return Reply(204, [(b"cache-control", b"private, no-store")])

    def _upstream(self, headers: RawHeaders) -> RawHeaders:
        """What the application may see: no client's word for ours, no place unless it was granted."""
        hidden = () if "geolocation" in self.allowance.data else heads.LOCATING
        out = [
            pair
            for pair in headers
            if not pair[0].startswith(b"bd-")
            and pair[0] not in _NOT_PASSED
            and not (pair[0].startswith(hidden) and heads.GEOLOCATION.fullmatch(pair[0]))
        ]
        if self.site.policy.site.anonymise_upstream_ip and "ip_address" not in self.allowance.data:
            out = without(out, *_FORWARDED)
        page = may_be_page(self.request)
        if page or first(out, b"if-none-match"):
            out = heads.conditional(out, self.key, page=page)
        out.append((b"accept-encoding", _codings(b",".join(every(headers, b"accept-encoding")))))
        granted = [p for p in self.site.current.order if p in self.consent.granted]
        return [*out, (b"bd-purposes", ", ".join(granted).encode("ascii"))]

    def _observed_request(self) -> RawHeaders:
        observer = self.site.observer
        if observer:
            for name in cookies.request(self.request.headers, self.allowance).held:
                observer.saw("cookie read", name.decode("latin-1"), self.request.path)
        return without(self.request.headers, b"available-dictionary")

    def _connections(self) -> str | None:
        declared = self.site.policy.site
        if declared.network != "strict":
            return None
        plain = self.request.scheme == "http"
        return connections.allowlist(self.allowance, declared.link_hosts, plain=plain)

    def _setting(self) -> Setting:
        site, request = self.site, self.request
        return Setting(
            request=request,
            allowance=self.allowance,
            narrowest=site.narrowest,
            policy=site.policy_for(self.allowance, self.origin.host, request.scheme),
            key=self.key,
            host=self.origin.host,
            parts=site.parts(request.scheme, request.host),
            frame=self.frame,
            edge=site.policy.site.edge_cache,
            connections=self._connections(),
            outbound=site.outbound if site.policy.site.network == "strict" else None,
            swept=self.swept,
            fragments=lambda nonce, framed: _PageFragments(self, nonce, framed=framed),
        )


class _PageFragments(Fragments):
    """What is put into one page: the guard everywhere, the notice where the page is the window's."""

    def __init__(self, exchange: Exchange, nonce: str | None, *, framed: bool) -> None:
        self._exchange = exchange
        self._notice = exchange.site.notice
        self._nonce = nonce
        self._framed = framed
        request = exchange.request
        self._back = request.path + (f"?{request.query}" if request.query else "")

    def head(self) -> bytes:
        data = guard_data(self._exchange.allowance)
        if self._exchange.frame:  # an open chain: its page may reach any host
            data = replace(data, hosts=("*",))
        tag = guard.tag(data, self._nonce)
        return tag if self._framed else tag + self._notice.head(self._nonce)

    def body(self, lang: str | None) -> bytes:
        if self._framed or not self._exchange.origin.own:
            return b""
        return self._notice.first(self._language(lang), self._exchange.consent, back=self._back)

    def end(self, lang: str | None) -> bytes:
        if self._framed:
            return b""
        return self._notice.band(self._language(lang), self._exchange.consent, back=self._back)

    def frame(self, frame: Frame, lang: str | None) -> bytes:
        if self._framed or not frame.visible:
            return b""
        return self._notice.placeholder(
            self._language(lang),
            service=self._exchange.site.rules.service_of(frame.host, "frame"),
            url=frame.url,
            title=frame.title,
            width=frame.width,
            height=frame.height,
        )

    def _language(self, lang: str | None) -> str:
        accepted = first(self._exchange.request.headers, b"accept-language")
        return self._notice.language(lang, accepted.decode("latin-1") if accepted else None)


def guard_data(allowance: Allowance) -> guard.GuardData:
    """Return what the guard lets through under an allowance."""
    listed = {kind: tuple(allowance.names[kind].listed()) for kind in ("cookie", *STORAGE)}
    return guard.GuardData(**listed, hosts=allowance.reachable())


@lru_cache(maxsize=256)
def _codings(accepted: bytes) -> bytes:
    """Return what of an Accept-Encoding can be read here."""
    known = {coding.encode("ascii") for coding in supported()}
    members = [member.strip().lower() for member in accepted.split(b",")]
    return b", ".join(m for m in members if m.partition(b";")[0].strip() in known) or b"identity"


def _path_of(url: str) -> Path:
    """Read `sqlite:///relative.db` or `sqlite:////absolute.db`."""
    if not url.startswith("sqlite:///") or len(url) == len("sqlite:///"):
        raise LedgerError(
            f"{url!r} is no ledger; write sqlite:///bandeau.db (three slashes, a path)"
        )
    return Path(url.removeprefix("sqlite:///"))
