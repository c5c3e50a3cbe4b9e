"""A site behind bandeau, without sockets: each request becomes an Exchange, adapters only translate.

Here policy, decision, gate, notice and ledger are put together; none of them knows the others.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Self, TypeVar
from weakref import WeakKeyDictionary

from bandeau import endpoints
from bandeau.decision import cookie
from bandeau.decision.consent import consent_of
from bandeau.decision.model import Consent, Published
from bandeau.decision.signals import opted_out
from bandeau.decision.tcf import Platform, Unrecorded
from bandeau.endpoints import Asked, Change, Desk
from bandeau.errors import ConflictError, LedgerError, MovedError, PolicyError
from bandeau.gate import connections, cookies, csp, guard
from bandeau.gate import headers as heads
from bandeau.gate.markup import Fragments, Frame
from bandeau.gate.observe import Observed, Observer, Violations
from bandeau.gate.pages import Pages
from bandeau.gate.response import Filtered, may_be_page
from bandeau.gate.signals import Signals
from bandeau.gate.strict import Parts
from bandeau.gate.verdict import STORAGE, Allowance, Rules, routed
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger, Stored, Tell
from bandeau.ledger.place import key_file, store_at
from bandeau.ledger.store import Account
from bandeau.ledger.switch import LEFT, Switch, switch_file
from bandeau.ledger.versions import Versions
from bandeau.measure import Views, view
from bandeau.notice import Notice
from bandeau.outbox import Outbox
from bandeau.policy.check import undeclared
from bandeau.policy.digest import digest, fingerprints
from bandeau.policy.file import load
from bandeau.policy.model import LAYERS, Feature, Policy, Service
from bandeau.wire.codings import supported
from bandeau.wire.cookies import value_of
from bandeau.wire.headers import RawHeaders, without
from bandeau.wire.hosts import authority, target
from bandeau.wire.messages import Reply, Request

__all__ = ["Exchange", "Reply", "Request", "Site"]

_log = logging.getLogger("bandeau")
Purposes = frozenset[str]
_T = TypeVar("_T")
# Cookies and codings are passed on as far as allowed and readable; a dictionary would make pages
# unreadable here.
_NOT_PASSED = frozenset((b"cookie", b"accept-encoding", b"available-dictionary"))
_FORWARDED = frozenset(
    b"forwarded x-forwarded-for x-real-ip true-client-ip cf-connecting-ip".split()
)


UNKNOWN = Account(known=False)  # somebody may be signed in, and nobody can say who
_READERS = 8  # threads of an event loop that wait for the store
_TRIES = 8  # of a choice whose account chooses elsewhere meanwhile: more at once is no person
_REMEMBERED = 4096  # bytes of a head: what strangers send may take 4 MiB here and no more


@dataclass(frozen=True, slots=True)
class _Origin:
    """Whether a request's Host is the site's, and its host without port."""

    own: bool
    host: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a request's Host, cookies and signal come to: the same for a page and all that it loads.

    A foreign Host is served undecided and cannot choose.
    """

    own: bool  # the Host is the site's
    host: str  # without port
    consent: Consent
    objected: bool  # to audience measurement that needs no consent
    allowance: Allowance
    held: tuple[bytes, ...]  # names of the cookies that may not be read
    told: tuple[tuple[bytes, bytes], ...]  # what the application gets instead: the rest, our word
    dropped: frozenset[bytes]  # headers that it does not get
    hidden: tuple[bytes, ...]  # how the names of headers begin that it gets only after a look
    unrecorded: Unrecorded | None = None  # what a consent platform's string says beyond our cookie


OnWithdraw = Callable[[frozenset[str], tuple[str, ...]], None]


class _Known(Mapping[str, Published]):
    """The published policies; also what another instance has published since this one started.

    Only a cookie that our key sealed leads to a look, once a second at most, and once a minute where
    the ledger cannot be read: what is not found means undecided.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._policies = ledger.published_policies()
        self._next = 0.0

    def __getitem__(self, policy: str) -> Published:
        if policy not in self._policies and time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            try:
                self._policies = self._ledger.published_policies()
            except LedgerError as error:
                self._next = time.monotonic() + 60.0
                _log.warning("choices about newer policies cannot be read: %s", error)
        return self._policies[policy]

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)


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
        *,
        observer: Observer | None = None,
        switch: Path | None = None,
        now: Callable[[], int] = lambda: int(time.time() // 60),
    ) -> None:
        """With an `observer` nothing is enforced: it is told what would be.

        `switch` is the file that stops all but the filtering of cookies while it is there.
        """
        rollout = policy.rollout
        self.on_withdraw: OnWithdraw | None = None
        self.policy = policy
        self.prefix = policy.site.prefix + "/"
        self.ledger = ledger
        self.layers = frozenset[str]() if observer else frozenset(rollout.layers)
        self.observer = observer or (Observer.appending(rollout.report) if rollout.report else None)
        self._switch, self._switched = Switch(switch), False
        self._everywhere = "/*" in rollout.paths
        # Pages depend on it, and an edge asks from another path than theirs: all of it is in the state.
        self._rollout = rollout.state
        self._now = now
        self._keys = ledger.keys.derived("choice")
        self._string_cookie = policy.choice.cookie.encode("ascii")
        self.rules = Rules(policy)
        self.notice = Notice(policy)
        self.signals = Signals(policy)
        self.platform = Platform(policy) if policy.choice.source == "tcf" else None
        self.current = Published(digest(policy), policy.consentable, fingerprints(policy))
        ledger.publish(self.current)
        self.published = _Known(ledger)
        several = self.rules.own if len(self.rules.own) > 1 else ()
        self.narrowest = csp.policy(self.rules.allowance(frozenset()), sorted(several)).encode()
        ledger.enforced(mode(policy, self.layers))
        snapshot = (
            ledger.snapshot(self._shown()) if self.layers else 0
        )  # observed, nothing is shown
        self.desk = Desk(
            rules=self.rules,
            notice=self.notice,
            current=self.current,
            key=self._keys[0],
            now=now,
            snapshot=snapshot,
            ledger=ledger,
            posted=endpoints.reader(policy),
            receipt_keys=ledger.keys.derived("receipt"),
            versions=Versions(ledger),
            observed=not self.layers,
            violations=Violations(self.observer.saw) if self.observer and rollout.collect else None,
        )
        counted = policy.measure
        self.views = Views(ledger.store.address, counted.keep_days) if counted.page_views else None
        room = policy.site.page_memory * 2**20
        self.pages = Pages(room) if room else None
        self.outbox = Outbox(policy, ledger, now) if policy.partners and self.layers else None
        self._said: dict[str, float] = {}
        self._unreadable = float("-inf")

        @lru_cache(maxsize=256)
        def policies(allowance: Allowance, host: str, plain: bool) -> bytes:  # noqa: FBT001
            others = sorted(own for own in self.rules.own if own != host)
            return csp.policy(allowance, others, plain=plain).encode()

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
        self._remembered = lru_cache(maxsize=1024)(self._visitor_of)
        self._readers = WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor]()

    @classmethod
    def from_policy(
        cls,
        policy: Policy,
        ledger: str = "sqlite:///bandeau.db",
        *,
        observer: Observer | None = None,
    ) -> Self:
        """Open ledger and key (BANDEAU_KEY_FILE, else `bandeau.key` beside the ledger).

        Raises LedgerError or KeyFileError with the remedy.
        """
        store = store_at(ledger)
        try:
            keys = Keys(key_file(ledger), new=store.head() is None)
            opened = Ledger(
                store,
                keys,
                origin(policy),
                keep_days=policy.proof.keep_days,
                valid_days=policy.site.valid_days,
            )
            return cls(policy, opened, observer=observer, switch=switch_file(key_file(ledger)))
        except BaseException:
            store.close()
            raise

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        ledger: str = "sqlite:///bandeau.db",
        *,
        observer: Observer | None = None,
    ) -> Self:
        """Load a policy file and open its ledger. Raises PolicyError with every problem."""
        return cls.from_policy(load(Path(path)), ledger, observer=observer)

    def close(self) -> None:
        """Store what is waiting, and say what was observed."""
        if self.views:
            self.views.close()
        if self.outbox:
            self.outbox.close()
        self.ledger.close()
        if self.observer:
            self.observer.close()

    def layers_at(self, path: str) -> frozenset[str]:
        """Return what is enforced on a path now; nothing where it is only looked at."""
        on = self._switch.on
        if on != self._switched:
            self._switched = on
            _log.warning("the switch is %s", "on: cookies alone are filtered" if on else "off")
        if not (self._everywhere or routed(self.policy.rollout.paths, path)):
            return frozenset()
        return self.layers & LEFT if on else self.layers

    @property
    def rollout(self) -> str:
        """How much is enforced, as a part of the state of pages; "" for all of it, everywhere."""
        return f"{self._rollout} switched" if self._switch.on else self._rollout

    @property
    def promises(self) -> bool:
        """Whether the support file of Global Privacy Control is ours to serve, and is true now."""
        return bool(self.policy.signals.gpc_since and self.layers and not self.rollout)

    def exchange(self, request: Request, account: object = None) -> Exchange:
        """Take a request's head through the gate. Never raises for what a visitor sent.

        `account` is the application's id of who is signed in, or None; it is kept nowhere.
        """
        known = self._hashed(account)
        return Exchange(self, request, account=self._chosen(known) if known else None)

    async def exchanged(self, request: Request, account: object = None) -> Exchange:
        """Do what `exchange` does, with an event loop: a slow database holds up nobody else."""
        known = self._hashed(account)
        found = await self._aside(partial(self._chosen, known)) if known else None
        return Exchange(self, request, account=found)

    def forget(self, account: str | int) -> None:
        """Remove the choice of an account that is closed. Raises LedgerError or KeyFileError.

        The records of its decisions name nobody; who may want them removed too has to be asked before.
        """
        self.ledger.forget(str(account))

    def _hashed(self, account: object) -> Account | None:
        """Return whose choice holds; None for the device's own. What is no id is nobody's choice."""
        if account in (None, "") or not self.policy.account.enabled:
            return None
        if account is UNKNOWN:
            return UNKNOWN
        if isinstance(account, str | int) and not isinstance(account, bool):
            return Account(self.ledger.hashed(str(account)))
        self._say_unreadable(f"an account is told by a str or int, not by {type(account).__name__}")
        return UNKNOWN

    def _chosen(self, account: Account) -> Account:
        """Return an account with what it chose last; where that cannot be read nothing passes."""
        if account is UNKNOWN:
            return UNKNOWN
        try:
            return self.ledger.account(account.keys)
        except LedgerError as error:
            self._say_unreadable(str(error))
            return replace(account, known=False)

    async def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """Answer a request under the prefix; a choice is on disk before it is answered."""
        if endpoints.reads(self.desk, exchange.asked.request):
            return await self._aside(partial(self.answer_sync, exchange, body))
        for _ in range(_TRIES):
            found = endpoints.answer(self.desk, exchange.asked, body)
            if isinstance(found, Reply):
                return found
            try:
                tell = self._to_tell(exchange, found)
                stored = await self.ledger.appended(found.decision, found.retry, tell, found.chosen)
            except MovedError:
                exchange = await self._aside(partial(self._anew, exchange))
            except LedgerError as error:
                return self._not_stored(exchange, found, error)
            else:
                return self._stored(found, stored)
        return endpoints.problem(self.desk, exchange.asked, 503, "unavailable")

    def answer_sync(self, exchange: Exchange, body: bytes) -> Reply:
        """Do what `answer` does, for callers without an event loop."""
        for _ in range(_TRIES):
            try:
                found = endpoints.answer(self.desk, exchange.asked, body)
            except LedgerError as error:
                _log.error("%s", error)
                return endpoints.problem(self.desk, exchange.asked, 503, "unavailable")
            if isinstance(found, Reply):
                return found
            try:
                tell = self._to_tell(exchange, found)
                stored = self.ledger.append(found.decision, found.retry, tell, found.chosen)
            except MovedError:
                exchange = self._anew(exchange)
            except LedgerError as error:
                return self._not_stored(exchange, found, error)
            else:
                return self._stored(found, stored)
        return endpoints.problem(self.desk, exchange.asked, 503, "unavailable")

    async def _aside(self, work: Callable[[], _T]) -> _T:
        """Do what asks the store in threads of its own: a slow one holds up nothing else."""
        loop = asyncio.get_running_loop()
        if loop not in self._readers:
            self._readers[loop] = ThreadPoolExecutor(_READERS, "bandeau-reading")
        return await loop.run_in_executor(self._readers[loop], work)

    def _anew(self, exchange: Exchange) -> Exchange:
        """Return an exchange as it is now that its account has chosen elsewhere."""
        account = self._chosen(exchange.account) if exchange.account else None
        return Exchange(self, exchange.request, account=account)

    async def recorded(self, exchange: Exchange) -> Exchange:
        """Record what a consent platform's string has changed, and return the exchange as it is then.

        What is not stored does not pass: the exchange stays as it is, and the next page tries again.
        """
        change = exchange.change
        if change is None:
            return exchange
        try:
            stored = await self.ledger.appended(
                change.decision, None, self._to_tell(exchange, change)
            )
        except LedgerError as error:
            return self._unnoted(exchange, error)
        return self._noted(exchange, change, stored)

    def recorded_sync(self, exchange: Exchange) -> Exchange:
        """Do what `recorded` does, for callers without an event loop."""
        change = exchange.change
        if change is None:
            return exchange
        try:
            stored = self.ledger.append(change.decision, None, self._to_tell(exchange, change))
        except LedgerError as error:
            return self._unnoted(exchange, error)
        return self._noted(exchange, change, stored)

    @staticmethod
    def _unnoted(exchange: Exchange, error: LedgerError) -> Exchange:
        _log.error("a platform's string is not on record, so it grants nothing new: %s", error)
        return exchange

    def _noted(self, exchange: Exchange, change: Change, stored: Stored) -> Exchange:
        self._tell(change)
        return Exchange(self, exchange.request, change.reply(stored).headers)

    def visitor(
        self, request: Request, ours: bytes | None = None, *, account: bool = False
    ) -> Visitor:
        """Return what holds for a request; what cannot be read of it is no choice.

        `ours` stands for the value of our cookie, where the answer sets that anew or an `account` has
        chosen; b"" where it has not.
        """
        sent, signals = request.every(b"cookie"), request.every(b"sec-gpc")
        small = sum(map(len, sent + signals)) + len(request.host) <= _REMEMBERED
        read = self._remembered if small else self._visitor_of
        return read(request.scheme, request.host, sent, signals, ours, account, self._now())

    def _visitor_of(
        self,
        scheme: str,
        host: str,
        sent: tuple[bytes, ...],
        signals: tuple[bytes, ...],
        ours: bytes | None,
        account: bool,  # noqa: FBT001 (a cache key has no names)
        now: int,
    ) -> Visitor:
        """Read the head of a request; the answer holds for a minute: `now` is in minutes, UTC."""
        origin = self._origin(scheme, host)
        if not origin.own and origin.host != "invalid":
            self._say_unknown(f"{scheme}://{host}")
        found = (
            {ours} if ours is not None else _values(sent, endpoints.cookie_name(self.desk, scheme))
        )
        choice = None
        if len(found) == 1 and origin.own:
            valid = self.policy.site.valid_days
            choice = cookie.decode(
                found.pop(), self.published, self._keys, now=now, valid_days=valid
            )
        consent = consent_of(choice, self.current, self.published, signal=opted_out(signals))
        if account:
            consent = replace(consent, account=True)
        unrecorded = None
        if self.platform:
            strings = _values(sent, self._string_cookie) if origin.own else ()
            answer = self.platform.answer(strings, now)
            consent, unrecorded = self.platform.consent(answer, choice, self.current, consent)
        objected = b"0" in _values(sent, endpoints.objection_name(scheme))
        allowance = self.rules.allowance(consent.passes, objected=objected)
        read = cookies.request(sent, allowance)
        granted = ", ".join(p for p in self.current.order if p in consent.granted)
        anonymous = self.policy.site.anonymise_upstream_ip and "ip_address" not in allowance.data
        return Visitor(
            own=origin.own,
            host=origin.host,
            consent=consent,
            objected=objected,
            allowance=allowance,
            held=read.held,
            told=(*read.headers, (b"bd-purposes", granted.encode("ascii"))),
            dropped=_NOT_PASSED | _FORWARDED if anonymous else _NOT_PASSED,
            hidden=heads.OURS if "geolocation" in allowance.data else heads.OURS + heads.LOCATING,
            unrecorded=unrecorded,
        )

    def _shown(self) -> bytes:
        """Return what visitors are shown and held to, as canonical JSON; nothing private is in it."""
        everything = frozenset(self.policy.consentable)
        cases = [frozenset[str](), *(frozenset({one}) for one in sorted(everything)), everything]
        document = {
            "bandeau": version("bandeau"),
            "policy": self.current.digest,
            "purposes": [[one, self.current.fingerprints[one]] for one in self.current.order],
            "keep_days": self.policy.proof.keep_days,
            "register": self.policy.register_.model_dump(mode="json"),
            "declared": self.notice.trackers_data(),
            "notice": self.notice.shown(),
            "guard": guard.script(),
            "signals": self.signals.script,
            "browser_policies": {
                " ".join(sorted(granted)): csp.policy(self.rules.allowance(self._at_most(granted)))
                for granted in cases
            },
        }
        return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8")

    def _at_most(self, granted: Purposes) -> Purposes:
        """Return what passes at most while purposes are granted: all vendors that may serve them too."""
        return granted | self.platform.vendors(granted) if self.platform else granted

    def _key_of(
        self,
        granted: Purposes,
        asks: Purposes,
        signal: bool,  # noqa: FBT001 (a cache key has no names)
        objected: bool,  # noqa: FBT001 (as above)
        language: str,
        own: bool,  # noqa: FBT001 (as above)
        rollout: str,
        account: bool = False,  # noqa: FBT001, FBT002 (as above)
    ) -> str:
        return heads.state_key(
            self.current.digest,
            guard.script_hash(),
            self.notice.style_hash,
            self.signals.hash,
            ",".join(sorted(granted)),
            ",".join(sorted(asks)),
            str(signal),
            str(objected),
            language,
            str(own),
            *filter(None, (rollout, "account" if account else "")),
        )

    def _parts_of(self, scheme: str, host: str) -> Parts:
        scripts = (guard.script_hash(), self.signals.hash)
        styles = (self.notice.style_hash,)
        return Parts(scripts, styles, f"{scheme}://{host}", self.policy.site.prefix)

    def outbound(self, url: str) -> str:
        """Return the signed address of ours that leads to an outbound link's target."""
        return connections.outbound(url, self.policy.site.prefix, self.desk.key)

    def policy_for(self, allowance: Allowance, host: str, scheme: str) -> bytes:
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

    def _say_unreadable(self, why: str) -> None:
        """Say that a signed-in visitor's choice cannot be read, once a minute at most."""
        now = time.monotonic()
        if now - self._unreadable >= 60.0:  # noqa: PLR2004
            self._unreadable = now
            _log.error("a signed-in visitor's choice cannot be read, so nothing passes: %s", why)

    def _stored(self, change: Change, stored: Stored | None) -> Reply:
        self._tell(change)
        return change.reply(stored)

    def _not_stored(self, exchange: Exchange, change: Change, error: LedgerError) -> Reply:
        """Grant nothing that is not on record; what takes away holds even without one."""
        if isinstance(error, ConflictError):
            return endpoints.problem(self.desk, exchange.asked, 409, "other")
        if change.narrows and not exchange.account:  # an account's is nowhere but in the ledger
            self.ledger.unrecorded += 1
            _log.error("a refusal or withdrawal was obeyed but is not on record: %s", error)
            return self._stored(change, None)
        _log.error("a choice was not stored, so nothing was granted: %s", error)
        return endpoints.problem(self.desk, exchange.asked, 503, "unavailable")

    def _to_tell(self, exchange: Exchange, change: Change) -> Tell:
        """Return what partners are told of a change: the names of the request are the visitor's own."""
        if self.outbox is None or not change.withdrawn:
            return ()
        granted = frozenset(purpose for purpose, yes in change.decision.choices if yes)
        return self.outbox.tell(change.withdrawn, granted, exchange.request.every(b"cookie"))

    def _tell(self, change: Change) -> None:
        if self.outbox and change.withdrawn:
            self.outbox.wake()
        if self.on_withdraw and change.withdrawn:
            try:
                self.on_withdraw(change.withdrawn, change.swept)
            except Exception:  # noqa: BLE001 (the owner's own code, and no reason to deny a withdrawal)
                _log.exception("on_withdraw failed; the withdrawal itself holds")


def _values(sent: tuple[bytes, ...], name: bytes) -> set[bytes]:
    return {value for header in sent if name in header for value in value_of(header, name)}


def origin(policy: Policy) -> str:
    """Return the log's name: where it is published, without a scheme (tlog-tiles, "Parameters")."""
    return f"{policy.site.origins[0].partition('://')[2]}{policy.site.prefix}/log"


def mode(policy: Policy, layers: frozenset[str]) -> str:
    """Say what is enforced from now on, for the log: one line, nothing private in it."""
    site = policy.site
    enforced = ",".join(one for one in LAYERS if one in layers)
    observed = ",".join(one for one in LAYERS if one not in layers)
    said = " ".join(
        f"{word}={some}" for word, some in (("enforced", enforced), ("observed", observed)) if some
    )
    return (
        f"{said} paths={','.join(policy.rollout.paths)}"
        f" network={site.network} quiet={'yes' if site.quiet else 'no'}"
        f" policy={digest(policy)[: cookie.POLICY_DIGITS]} bandeau={version('bandeau')}"
    )


class Exchange:
    """One request through the gate, and then its response."""

    def __init__(
        self,
        site: Site,
        request: Request,
        kept: RawHeaders | None = None,
        account: Account | None = None,
    ) -> None:
        """`kept` is what the answer leaves on the device, our own cookie first: it is on record now.

        `account` is whose choice holds instead of the device's.
        """
        self.site = site
        self.request = request
        self.account = account
        self.kept = kept or []
        ours = self.kept[0][1].partition(b";")[0].partition(b"=")[2] if self.kept else None
        if account:
            ours = account.value
        self._visitor = visitor = site.visitor(request, ours, account=account is not None)
        self.consent = visitor.consent
        self.allowance = visitor.allowance
        self.destination = request.first(b"sec-fetch-dest") or b""
        self.layers = layers = site.layers_at(request.path)
        # What is kept removes what is held already.
        swept = "sweep" in layers and not request.first(b"sec-purpose") and not self.kept
        self.swept = visitor.held if swept else ()
        self.personal = False  # whether the application's answer depends on the consent
        self.endpoint = (request.path + "/").startswith(site.prefix) or (
            request.path == endpoints.SUPPORT and visitor.own and site.promises
        )
        self.reply = self._closed() if "routes" in layers and not self.endpoint else None
        if self.endpoint and site.layers:  # our own pages have no upstream
            self.request_headers: RawHeaders = []
        else:
            self.request_headers = self._upstream() if layers else self._observed_request()
        if site.observer and "cookies" not in layers and not self.endpoint:
            for name in visitor.held:
                site.observer.saw("cookie read", name.decode("latin-1"), request.path)

    @property
    def language(self) -> str:
        """The notice's language as far as the request tells it; a page's own goes before it."""
        accepted = self.request.first(b"accept-language")
        return self.site.notice.language(None, accepted.decode("latin-1") if accepted else None)

    @property
    def asked(self) -> Asked:
        """The request as endpoints see it."""
        return Asked(
            self.request,
            self.consent,
            self._visitor.own,
            self._visitor.host,
            self.language,
            self.at_edge,
            self._visitor.objected,
            self.account,
        )

    @property
    def change(self) -> Change | None:
        """What is to be recorded before this page is asked for: its visitor has chosen elsewhere.

        Only where a window goes to a page; what is fetched for one, or in advance, waits for that.
        """
        request, found = self.request, self._visitor.unrecorded
        if found is None or self.kept or self.endpoint or not self.layers:
            return None
        opened = self.destination == b"document" or (
            not self.destination and b"text/html" in b",".join(request.every(b"accept"))
        )
        if request.method != "GET" or not opened or request.first(b"sec-purpose"):
            return None
        return endpoints.noted(self.site.desk, self.asked, found)

    @property
    def edge_key(self) -> str:
        """The key under which an edge may keep what this request gets: its state, and what it is for.

        Nothing is ever kept for those whose choice is to be recorded: they have to come through.
        """
        destination = self.destination or b"document"
        new = "-new" if self._visitor.unrecorded else ""
        kind = destination.decode("latin-1") if destination.isalpha() else "other"
        return f"{self.key}-{kind}{new}"

    def at_edge(self) -> tuple[int, RawHeaders]:
        """Return what an edge is told that asks about a request: 403 where its address is closed.

        `X-Original-URI` is the address as it came, so that the edge need not understand it. The headers
        name no cookie's value: a script in the page can ask too.
        """
        asked = self.request.first(b"x-original-uri") or b"/"
        path = asked.partition(b"?")[0].decode("latin-1")
        layers = self.site.layers_at(path)
        closed = "routes" in layers and self.site.rules.closed(path, self.consent.passes)
        headers = [(b"bd-key", self.edge_key.encode("latin-1")), self._visitor.told[-1]]
        if "browser-policy" in layers:
            headers.append((b"bd-policy", self.policy))
        return (403 if closed else 204), headers

    @property
    def frame(self) -> Service | None:
        """The service with `open = "frame"` whose page this is."""
        return self.site.rules.frame_of(self.request.path)

    @property
    def key(self) -> str:
        """The state that a page is rewritten for: two visitors with the same key get the same bytes."""
        consent = self.consent
        return self.site.key(
            consent.passes,
            consent.asks,
            consent.signal,
            self._visitor.objected,
            self.language,
            self._visitor.own,
            self.site.rollout,
            consent.account,
        )

    @property
    def reported(self) -> bytes | None:
        """The policy that pages are to be looked at with, where it is not enforced."""
        if not self.site.desk.violations:
            return None
        return csp.reported(self.policy, f"{self.site.policy.site.prefix}/report")

    @property
    def narrowest(self) -> bytes:
        """The second CSP of a visitor who has granted nothing."""
        return self.site.narrowest

    @property
    def policy(self) -> bytes:
        """The second CSP of this visitor."""
        return self.site.policy_for(self.allowance, self.host, self.request.scheme)

    @property
    def own(self) -> bool:
        """Whether the request names the site; only there the notice stands."""
        return self._visitor.own

    @property
    def host(self) -> str:
        """The site's host as the request names it, without port."""
        return self._visitor.host

    @property
    def parts(self) -> Parts:
        """What a site's own strict policy has to let in."""
        return self.site.parts(self.request.scheme, self.request.host)

    @property
    def edge(self) -> bool:
        """Whether a cache in front keeps pages by state."""
        return self.site.policy.site.edge_cache and not (self.kept or self._visitor.unrecorded)

    @property
    def quiet(self) -> bool:
        """Whether what is barred is not even attempted."""
        return self.site.policy.site.quiet

    @property
    def pages(self) -> Pages | None:
        """Where rewritten pages are kept in memory."""
        return self.site.pages

    @property
    def connections(self) -> str | None:
        """The Connection-Allowlist, in strict network mode."""
        declared = self.site.policy.site
        if declared.network != "strict":
            return None
        plain = self.request.scheme == "http"
        return connections.allowlist(self.allowance, declared.link_hosts, plain=plain)

    @property
    def outbound(self) -> Callable[[str], str] | None:
        """What makes a signed link of ours, in strict network mode."""
        return self.site.outbound if self.site.policy.site.network == "strict" else None

    def fragments(self, nonce: str | None, *, framed: bool) -> Fragments:
        """Return what is put into this page."""
        return _PageFragments(self, nonce, framed=framed)

    def response(self, status: int, headers: RawHeaders) -> Filtered | Observed:
        """Take the head of upstream's response through the gate."""
        looked = None
        if self.site.observer and len(self.layers) < len(LAYERS):
            looked = Observed(
                self.site.observer, self.request, self.allowance, status, headers, self.reported
            )
            if not self.layers:
                return looked
        filtered = Filtered(self, status, headers)
        self.site.desk.counted["responses"] += 1
        self.site.desk.counted["pages"] += filtered.page
        if looked:
            filtered.beside(looked)
        if self.site.views and self._visitor.own and not self._visitor.objected:
            viewed = view(self.request, status, page=filtered.page, own=self.site.rules.own)
            if viewed:
                self.site.views.add(viewed)
        return filtered

    def informational(self, headers: RawHeaders) -> RawHeaders:
        """Filter a 1xx response, of which only 103 says anything (RFC 8297)."""
        if "headers" not in self.layers:
            return headers
        return heads.reaching(headers, self.request.url, self.allowance.allows)

    def failure(self, status: int) -> Reply:
        """Return our own page for an upstream that did not answer (502, 503, 504) or a refusal."""
        if status >= 500:  # noqa: PLR2004
            self.site.desk.counted["failures"] += 1
        kind = {502: "upstream", 503: "unavailable", 504: "timeout"}.get(status, "other")
        reply = endpoints.problem(self.site.desk, self.asked, status, kind)
        return replace(reply, headers=[*reply.headers, *self.kept])

    def lacking(self, purposes: Iterable[str]) -> tuple[str, ...]:
        """Return those of an application's purposes that are not granted; none while only observed.

        Raises PolicyError for a purpose that the policy does not declare.
        """
        asked = tuple(purposes)
        problems = undeclared(self.site.policy, self.request.path, asked)
        if problems:
            raise PolicyError(problems)
        if "routes" not in self.layers:
            return ()
        return tuple(purpose for purpose in asked if not self.consent.allows(purpose))

    def closed(self, purposes: Iterable[str]) -> Reply | None:
        """Return our 403 page where purposes are lacking that this address needs."""
        needs = self.lacking(purposes)
        return endpoints.closed_page(self.site.desk, self.asked, needs) if needs else None

    def held(self, purposes: Iterable[str], language: str | None) -> str:
        """Return what stands for a part of the page, in its language; "" where nothing is lacking."""
        needs = self.lacking(purposes)
        notice, accepted = self.site.notice, self.request.first(b"accept-language")
        lang = notice.language(language, accepted.decode("latin-1") if accepted else None)
        return notice.held(lang, needs).decode() if needs else ""

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
        found = self.site.rules.closed(self.request.path, self.consent.passes)
        if found is None:
            return None
        if isinstance(found, Feature):
            reply = endpoints.closed(self.site.desk, self.asked, found.id)
        else:
            reply = Reply(204, [(b"cache-control", b"private, no-store")])
        return replace(reply, headers=[*reply.headers, *self.kept])

    def _upstream(self) -> RawHeaders:
        """What the application may see: no client's word for ours, no place unless it was granted."""
        request, visitor = self.request, self._visitor
        dropped, hidden, told = visitor.dropped, visitor.hidden, visitor.told
        if "cookies" not in self.layers:
            dropped, told = dropped - {b"cookie"}, told[-1:]
        if "headers" not in self.layers:
            hidden = heads.OURS
        out = [
            pair
            for pair in request.headers
            if pair[0] in heads.USUAL
            or not (
                pair[0] in dropped
                or (pair[0].startswith(hidden) and heads.HIDDEN.fullmatch(pair[0]))
            )
        ]
        page = may_be_page(request)
        if page or request.first(b"if-none-match"):
            out = heads.conditional(out, self.key, page=page)
        out.append((b"accept-encoding", _codings(request.every(b"accept-encoding"))))
        out += told
        return out

    def _observed_request(self) -> RawHeaders:
        """What passes as it came, but for a client's word for ours: an application goes by that."""
        headers = without(self.request.headers, b"available-dictionary")
        return [pair for pair in headers if not pair[0].startswith(heads.OURS)]


class _PageFragments(Fragments):
    """What is put into one page: the guard everywhere, the notice where the page is the window's."""

    def __init__(self, exchange: Exchange, nonce: str | None, *, framed: bool) -> None:
        self._exchange = exchange
        self._notice = exchange.site.notice
        self._nonce = nonce
        self._framed = framed
        self._asks = "notice" in exchange.layers
        request = exchange.request
        self._back = request.path + (f"?{request.query}" if request.query else "")

    def head(self) -> bytes:
        data = guard_data(self._exchange.allowance)
        tag = b""
        if self._exchange.frame:  # an open chain: its page may reach any host
            data = replace(data, hosts=("*",))
        if "guard" in self._exchange.layers:
            tag = guard.tag(data, self._nonce)
        if self._asks:  # frames have tags too
            tag += self._exchange.site.signals.tag(self._exchange.consent.granted, self._nonce)
        return tag if self._framed or not self._asks else tag + self._notice.head(self._nonce)

    def body(self, lang: str | None) -> bytes:
        if self._framed or not self._exchange.own or not self._asks:
            return b""
        return self._notice.first(self._language(lang), self._exchange.consent, back=self._back)

    def end(self, lang: str | None) -> bytes:
        if self._framed or not self._asks:
            return b""
        return self._notice.band(self._language(lang), self._exchange.consent, back=self._back)

    def frame(self, frame: Frame, lang: str | None) -> bytes:
        if self._framed or not frame.visible:
            return b""
        closed = self._closed(frame.path) if frame.path else None
        if closed:
            return self._notice.closed_frame(
                self._language(lang),
                closed,
                self._exchange.consent,
                title=frame.title,
                width=frame.width,
                height=frame.height,
            )
        return self._notice.placeholder(
            self._language(lang),
            service=self._exchange.site.rules.service_of(frame.host, "frame"),
            url=frame.url,
            title=frame.title,
            width=frame.width,
            height=frame.height,
        )

    def closes(self, path: str) -> bool:
        return not self._framed and self._closed(path) is not None

    def _closed(self, path: str) -> Feature | None:
        if "routes" not in self._exchange.layers:
            return None
        found = self._exchange.site.rules.closed(path, self._exchange.consent.passes)
        return found if isinstance(found, Feature) else None

    def _language(self, lang: str | None) -> str:
        accepted = self._exchange.request.first(b"accept-language")
        return self._notice.language(lang, accepted.decode("latin-1") if accepted else None)


def guard_data(allowance: Allowance) -> guard.GuardData:
    """Return what the guard lets through under an allowance."""
    listed = {kind: tuple(allowance.names[kind].listed()) for kind in ("cookie", *STORAGE)}
    return guard.GuardData(**listed, hosts=allowance.reachable())


@lru_cache(maxsize=256)
def _codings(accepted: tuple[bytes, ...]) -> bytes:
    """Return what of an Accept-Encoding can be read here."""
    known = {coding.encode("ascii") for coding in supported()}
    members = [member.strip().lower() for member in b",".join(accepted).split(b",")]
    return b", ".join(m for m in members if m.partition(b";")[0].strip() in known) or b"identity"
