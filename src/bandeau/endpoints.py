"""What the notice talks to, under one prefix: functions from a request to a reply, no sockets.

    POST choice   audience   report
    GET settings   trackers   state   receipt   snapshot/<sha256>   log/checkpoint   log/tile/…
        static/<hash>/<name>   out   key   health   metrics

and, outside of it, GET /.well-known/gpc.json where the policy gives its date.

Only the first two POSTs change anything, and only when they come from a page of the same origin.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode

from bandeau.decision.cookie import Choice, encode
from bandeau.decision.model import Consent, Decision, Event, Published
from bandeau.decision.moves import event_of, move
from bandeau.decision.tcf import Unrecorded
from bandeau.errors import BandeauError, LedgerError
from bandeau.gate import cookies
from bandeau.gate.connections import seal
from bandeau.gate.observe import Violations
from bandeau.gate.verdict import STORAGE, Rules
from bandeau.ledger import record
from bandeau.ledger.ledger import Chosen, Ledger, Retry, Stored
from bandeau.ledger.metrics import openmetrics
from bandeau.ledger.receipt import SUFFIX, Receipt
from bandeau.ledger.store import Account
from bandeau.ledger.versions import Version, Versions
from bandeau.measure.count import device
from bandeau.notice import Notice
from bandeau.notice.changes import Change as Changed
from bandeau.notice.changes import Told, changes
from bandeau.notice.form import Posted, local, read
from bandeau.policy.model import Policy
from bandeau.wire.cookies import Removal, value_of
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply, Request

SUPPORT = "/.well-known/gpc.json"  # Global Privacy Control, "GPC Support Resource"
_log = logging.getLogger("bandeau")
MAX_FORM = 64 * 1024  # bytes; a choice with 1,000 purposes needs less
_MAX_FIELDS = 2000
_ALIKE = 256  # bytes; longer forms are one visitor's
_FORM = b"application/x-www-form-urlencoded"
_YEAR = 31_536_000  # seconds
_WITHOUT_CLAIM = (
    "health",
    "metrics",
    "report",
    "log/",
    "snapshot/",
    "static/",
)  # what says nothing of choices
_READS = ("health", "metrics", "receipt", "trackers", "log/", "snapshot/")  # what asks the store
_RETRY_KEY = re.compile(rb'"?[A-Za-z0-9_-]{16,100}"?')  # a UUID has 36; shorter ones can be guessed
_RECEIPT = re.compile(r"(0|[1-9][0-9]{0,18})\.[A-Za-z0-9_-]+", re.ASCII)
OBJECTION_SECONDS = 396 * 86_400  # as long as what it objects to may live (rule J3)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the endpoints work with; made once at start."""

    rules: Rules
    notice: Notice
    current: Published
    key: bytes
    now: Callable[[], int]  # minutes since 1970 UTC
    snapshot: int  # the log index of what visitors are shown now
    ledger: Ledger
    posted: Callable[[bytes], Posted | None]  # reads a form
    receipt_keys: tuple[bytes, ...]  # seal the cookie that finds a receipt, the newest first
    versions: Versions  # of the notice
    violations: Violations | None = None  # takes browsers' reports, where they are asked for
    counted: Counter[str] = field(default_factory=Counter)  # of this process, for its metrics
    observed: bool = False  # nothing is enforced: then nothing of ours may say that it is

    @property
    def prefix(self) -> str:
        return self.rules.policy.site.prefix

    @property
    def elsewhere(self) -> bool:
        """Whether a consent platform asks, and not the notice."""
        return self.rules.policy.choice.source != "notice"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to an endpoint, with what is known of who asks."""

    request: Request
    consent: Consent
    own: bool  # the Host is one of the site's origins
    host: str  # without port
    language: str
    at_edge: Callable[[], tuple[int, RawHeaders]]  # the answer to an edge
    objected: bool = False  # to audience measurement that needs no consent (rule J5)
    account: Account | None = None  # of who is signed in, where the choice is the account's

    @property
    def json(self) -> bool:
        return b"application/json" in (self.request.first(b"accept") or b"")


@dataclass(frozen=True, slots=True)
class Change:
    """A choice that is to be stored before it is answered: the decision, then the reply.

    `reply` takes what was stored, or None where a choice that `narrows` holds without a record.
    `withdrawn` are the purposes that it took away, `removals` the headers with which the reply
    removes cookies, `swept` their names; `chosen` is the account's choice, stored with the decision.
    """

    decision: Decision
    retry: Retry | None
    reply: Callable[[Stored | None], Reply]
    narrows: bool
    withdrawn: frozenset[str]
    removals: RawHeaders
    chosen: Chosen | None = None

    @property
    def swept(self) -> tuple[str, ...]:
        names = [line.partition(b"=")[0].decode("utf-8", "replace") for _, line in self.removals]
        return tuple(dict.fromkeys(names))


def reads(desk: Desk, request: Request) -> bool:
    """Say whether a request's answer may have to wait for the ledger's store."""
    return request.path.removeprefix(desk.prefix + "/").startswith(_READS)


def answer(desk: Desk, asked: Asked, body: bytes) -> Reply | Change:
    """Answer a request under the prefix."""
    path = asked.request.path.removeprefix(desk.prefix + "/")
    if desk.observed and not path.startswith(_WITHOUT_CLAIM):
        return problem(desk, asked, 404, "missing")
    if path == "choice":
        return (
            choose(desk, asked, body)
            if asked.request.method == "POST"
            else _method(desk, asked, b"POST")
        )
    if path == "audience":
        posted = asked.request.method == "POST"
        return _audience(desk, asked, body) if posted else _method(desk, asked, b"POST")
    if path == "report" and desk.violations:
        if asked.request.method != "POST":
            return _method(desk, asked, b"POST")
        return Reply(204 if desk.violations.take(body) else 429, [(b"cache-control", b"no-store")])
    if asked.request.method not in ("GET", "HEAD"):
        return _method(desk, asked, b"GET, HEAD")
    if asked.request.path == SUPPORT:
        return _support(desk)
    if path.startswith("static/"):
        return _static(desk, asked, path)
    if path.startswith("snapshot/"):
        return _snapshot(desk, asked, path.removeprefix("snapshot/"))
    if path.startswith("log/"):
        return _published(desk, asked, path.removeprefix("log/"))
    found = _PAGES.get(path)
    return found(desk, asked) if found else problem(desk, asked, 404, "missing")


def choose(desk: Desk, asked: Asked, body: bytes) -> Reply | Change:
    """Turn a posted form into a decision, or say why not. Nothing is granted here."""
    if not asked.own or not same_origin(asked.request) or asked.request.first(b"sec-purpose"):
        return problem(desk, asked, 403, "forged")
    if desk.elsewhere:
        return problem(desk, asked, 403, "elsewhere")
    kind = (asked.request.first(b"content-type") or b"").split(b";")[0].strip().lower()
    posted = desk.posted(body) if kind == _FORM else None
    if posted is None:
        return problem(desk, asked, 400, "other")
    purposes = desk.rules.purposes
    if not purposes:
        return problem(desk, asked, 404, "missing")
    consent, account = asked.consent, asked.account
    if account and not account.known:
        return problem(desk, asked, 503, "unavailable")
    if posted.account != consent.account:  # told one reach, it would have another
        return _again(desk, asked, posted, "moved")
    event, named = event_of(
        posted.choice, consent.state, consent.granted, posted.purposes & purposes
    )
    if event is Event.ADD and not named - consent.granted:
        return problem(desk, asked, 400, "other")
    state, granted = move(consent.state, event, consent.granted, named, purposes)
    if consent.signal and granted - consent.granted and not posted.confirm:
        return _again(desk, asked, posted, "confirm")
    decided = purposes - consent.asks | (named if event is Event.ADD else purposes)
    choice = Choice(desk.current.digest, granted, decided, desk.now())
    after = replace(consent, state=state, granted=granted, asks=purposes - decided)
    value = encode(choice, desk.current.order, desk.key)
    removals = _removals(desk, asked, after)

    def reply(stored: Stored | None) -> Reply:
        return _changed(desk, asked, posted, choice, after, removals, stored)

    return Change(
        _record(desk, asked, event, choice, posted.language or asked.language, posted.layer),
        _retry(asked, body, posted),
        reply,
        granted <= consent.granted,
        consent.granted - granted,
        removals,
        (account, value) if account else None,
    )


def noted(desk: Desk, asked: Asked, found: Unrecorded) -> Change:
    """Turn what a consent platform's string has changed into a decision; the reply is headers alone.

    It is the event that a post of the same answer would be.
    """
    before, after, purposes = found.before, found.after, desk.rules.purposes
    word = "all" if after.granted == purposes else "save" if after.granted else "none"
    event, named = event_of(word, before.state, before.granted, after.granted)
    move(before.state, event, before.granted, named, purposes)
    asked = replace(asked, consent=before)
    choice = Choice(desk.current.digest, after.granted, purposes, desk.now())
    removals = _removals(desk, asked, after)
    return Change(
        _record(desk, asked, event, choice, asked.language, "tcf"),
        None,
        lambda stored: Reply(204, _kept(desk, asked, choice, after, removals, stored)),
        after.granted <= before.granted,
        before.granted - after.granted,
        removals,
    )


def _audience(desk: Desk, asked: Asked, body: bytes) -> Reply:
    """Take an objection to audience measurement, or take it back; a technical cookie remembers it."""
    if not asked.own or not same_origin(asked.request):
        return problem(desk, asked, 403, "forged")
    fields = dict(_fields(body))
    if fields.get("measure") not in ("on", "off"):
        return problem(desk, asked, 400, "other")
    objects = fields["measure"] == "off"
    name, request = objection_name(asked.request.scheme), asked.request
    secure = b"; Secure" if request.scheme == "https" else b""
    age = OBJECTION_SECONDS if objects else 0
    line = b"%s=0; Max-Age=%d; Path=/; HttpOnly; SameSite=Lax%s" % (name, age, secure)
    allowance = desk.rules.allowance(asked.consent.passes, objected=objects)
    held = cookies.request(request.every(b"cookie"), allowance).held
    headers: RawHeaders = [
        (b"set-cookie", line),
        *cookies.sweep(held, asked.host, "/", secure=request.scheme == "https"),
        (b"location", _location(local(fields.get("back", "/")))),
        (b"cache-control", b"no-store"),
    ]
    return Reply(303, headers)


def objection_name(scheme: str) -> bytes:
    """Return the name of the cookie that remembers an objection to audience measurement."""
    return b"__Host-bandeau-audience" if scheme == "https" else b"bandeau-audience"


def same_origin(request: Request) -> bool:
    """Say whether a request comes from a page of its own origin.

    `Sec-Fetch-Site` decides where it is present (Fetch Metadata 2.3): a site with
    `Referrer-Policy: no-referrer` sends `Origin: null` from its own forms. Else `Origin` must be
    the request's own (RFC 6454 7.3); without either, nothing changes.
    """
    site = request.first(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    origin = request.first(b"origin")
    return origin is not None and origin.decode("latin-1") == f"{request.scheme}://{request.host}"


def problem(desk: Desk, asked: Asked, status: int, kind: str) -> Reply:
    """Return a page of our own that says what went wrong; gated like any other."""
    extra: RawHeaders = [(b"retry-after", b"5")] if status == 503 else []  # noqa: PLR2004
    if asked.json:
        return Reply(status, [*_json_headers(), *extra], json.dumps({"error": kind}).encode())
    html = desk.notice.problem(asked.language, asked.consent, status=status, kind=kind)
    return Reply(status, [*_page_headers(desk, asked.language), *extra], html.encode())


def closed(desk: Desk, asked: Asked, feature: str) -> Reply:
    """Return the 403 page of a closed feature: what it needs, why, and one button."""
    found = next(f for f in desk.rules.policy.features if f.id == feature)
    if asked.json:
        return _closed_json([need for need in found.needs if not asked.consent.allows(need)])
    html = desk.notice.closed(asked.language, found, asked.consent, back=_here(asked.request))
    return Reply(403, _page_headers(desk, asked.language), html.encode())


def closed_page(desk: Desk, asked: Asked, needs: tuple[str, ...]) -> Reply:
    """Return the 403 page of an address of the application's that needs purposes."""
    if asked.json:
        return _closed_json(needs)
    html = desk.notice.closed_page(asked.language, needs, asked.consent, back=_here(asked.request))
    return Reply(403, _page_headers(desk, asked.language), html.encode())


def _closed_json(needs: Sequence[str]) -> Reply:
    return Reply(403, _json_headers(), json.dumps({"error": "closed", "needs": needs}).encode())


def cookie_name(desk: Desk, scheme: str) -> bytes:
    """Return the name of the choice's cookie (RFC 6265bis 4.1.3, prefixes need a secure origin)."""
    if scheme != "https":
        return b"bandeau"
    return (
        b"__Secure-bandeau" if desk.rules.policy.site.choice_scope == "site" else b"__Host-bandeau"
    )


def _changed(
    desk: Desk,
    asked: Asked,
    posted: Posted,
    choice: Choice,
    after: Consent,
    removals: RawHeaders,
    stored: Stored | None,
) -> Reply:
    headers = _kept(desk, asked, choice, after, removals, stored)
    if asked.json:
        state = _state(desk, after)
        document = {
            **state,
            "names": desk.notice.names(posted.language or asked.language, state["granted"]),
            "held_back": [item for item in posted.held if _allowed(desk, item, after)],
            "recorded": stored is not None,
            "receipt": stored.receipt().encode().decode("utf-8") if stored else None,
        }
        return Reply(200, [*_json_headers(), *headers], json.dumps(document).encode())
    if posted.receipt and stored:
        answered = replace(asked, consent=after, language=posted.language or asked.language)
        page = _receipt_page(desk, answered, stored.receipt(), posted.back, once=True)
        return Reply(200, [*page.headers, *headers], page.body)
    back = _location(posted.back)
    return Reply(303, [*headers, (b"location", back), (b"cache-control", b"no-store")])


def _kept(
    desk: Desk,
    asked: Asked,
    choice: Choice,
    after: Consent,
    removals: RawHeaders,
    stored: Stored | None,
) -> RawHeaders:
    """Return what a choice leaves on the visitor's device, our own cookie first, and takes from it."""
    value = encode(choice, desk.current.order, desk.key).encode("ascii")
    headers: RawHeaders = [*removals]
    if not asked.account:  # an account's choice leaves nothing here, and alters nothing
        headers = [(b"set-cookie", _cookie(desk, asked.request, value)), *removals]
        headers += _receipt_cookie(desk, asked, after, stored)
    taken = asked.consent.granted - after.granted
    if taken and not _exempt_storage(desk):
        headers.append((b"clear-site-data", b'"storage"'))
    return headers


@lru_cache(maxsize=1024)
def _location(path: str) -> bytes:
    return quote(path, safe="/?&=%:@!$'()*+,;~-._#").encode("ascii")


def _removals(desk: Desk, asked: Asked, after: Consent) -> RawHeaders:
    """Return what removes the cookies that the new choice does not permit.

    Those that came along are known by name; those that are declared for another path did not come.
    """
    request = asked.request
    allowance = desk.rules.allowance(after.passes, objected=asked.objected)
    secure = request.scheme == "https"
    held = cookies.request(request.every(b"cookie"), allowance).held
    lines = cookies.sweep(held, asked.host, "/", secure=secure)
    if asked.consent.granted <= after.granted:  # nothing was closed
        return lines
    before = desk.rules.allowance(asked.consent.passes)
    for tracker in desk.rules.policy.trackers:
        name, path = tracker.name, tracker.path or "/"
        closed = before.permits("cookie", name) and not allowance.permits("cookie", name)
        if closed and tracker.kind == "cookie" and tracker.party == "first" and path != "/":
            removal = Removal(name.encode(), path.encode(), tracker.domain, tracker.partitioned)
            lines.append((b"set-cookie", removal.line(secure=secure)))
    return lines


def _allowed(desk: Desk, item: str, consent: Consent) -> bool:
    kind, _, name = item.partition(":")
    allowance = desk.rules.allowance(consent.granted)
    if kind == "host":
        return allowance.allows(name, "any")
    if kind == "needs":  # of a placeholder: one button of several already changes it
        return any(consent.allows(purpose) for purpose in name.split())
    if kind == "page":
        return desk.rules.closed(name, consent.granted) is None
    return kind in allowance.names and allowance.permits(kind, name)


def _exempt_storage(desk: Desk) -> bool:
    """`Clear-Site-Data: "storage"` takes everything: not where some storage may always be there."""
    always = desk.rules.allowance(frozenset())
    return any(always.names[kind].listed() for kind in STORAGE)


def _record(
    desk: Desk, asked: Asked, event: Event, choice: Choice, language: str, layer: str
) -> Decision:
    agent = asked.request.first(b"user-agent")
    return Decision(
        minute=choice.minute,
        event=event,
        choices=_choices(desk.current.order, choice.granted),
        language=language,
        signal=asked.consent.signal,
        layer=layer,
        device=device(agent) if agent else "unknown",
        snapshot=desk.snapshot,
        replaces=_own_index(desk, asked),
    )


@lru_cache(maxsize=1024)
def _choices(order: tuple[str, ...], granted: frozenset[str]) -> tuple[tuple[str, bool], ...]:
    return tuple((purpose, purpose in granted) for purpose in order)


def _retry(asked: Asked, body: bytes, posted: Posted) -> Retry | None:
    """Return what makes a repetition of this request recognisable (RFC draft, Idempotency-Key).

    The key is bound to the body and to what the same browser sends again, so that a key that was
    overheard gives nothing to another visitor.
    """
    request, account = asked.request, asked.account
    sent = request.first(b"idempotency-key") or posted.key.encode()
    if not _RETRY_KEY.fullmatch(sent):
        return None
    who = [request.first(name) or b"" for name in (b"user-agent", b"accept-language", b"accept")]
    whose = account.keys[:1] if account else ()
    return Retry(sent, b"\n".join([body, *request.every(b"cookie"), *who, *whose]))


def receipt_name(scheme: str) -> bytes:
    """Return the name of the cookie that finds a receipt; its path forbids the __Host- prefix."""
    return b"__Secure-bandeau-receipt" if scheme == "https" else b"bandeau-receipt"


def _receipt_value(desk: Desk, index: int, key: bytes) -> str:
    """Return the value of the cookie that finds a receipt: the place in the log, sealed by a key."""
    place = f"{desk.ledger.origin}\n{index}"
    return f"{index}.{seal(place, key)}"


def _receipt_cookie(desk: Desk, asked: Asked, after: Consent, stored: Stored | None) -> RawHeaders:
    """Remember where a grant stands in the log; a visitor who grants nothing carries no mark.

    The cookie is sent to our own pages only, so neither the site nor its scripts ever see it (ADR 12). A
    platform's string comes with the site's pages: there it is unseen, and may be after any grant.
    """
    name, request = receipt_name(asked.request.scheme), asked.request
    keep = stored is not None and bool(after.granted)
    sent = request.every(b"cookie")
    here = asked.consent.granted or any(name in one and value_of(one, name) for one in sent)
    if not keep and not here:
        return []
    value = _receipt_value(desk, stored.index, desk.receipt_keys[0]) if stored and keep else ""
    age = desk.rules.policy.site.valid_days * 86_400 if keep else 0
    secure = b"; Secure" if request.scheme == "https" else b""
    return [
        (
            b"set-cookie",
            b"%s=%s; Max-Age=%d; Path=%s/; HttpOnly; SameSite=Lax%s"
            % (name, value.encode("ascii"), age, desk.prefix.encode("ascii"), secure),
        )
    ]


def _receipt_index(desk: Desk, request: Request) -> int | None:
    """Return the place in the log that a visitor's cookie names; None unless we sealed it."""
    name = receipt_name(request.scheme)
    sent = request.every(b"cookie")
    found = {value for one in sent if name in one for value in value_of(one, name)}
    text = found.pop().decode("latin-1") if len(found) == 1 else ""
    match = _RECEIPT.fullmatch(text)
    if match is None:
        return None
    index = int(match[1])
    values = [_receipt_value(desk, index, key) for key in desk.receipt_keys]
    sealed = any(hmac.compare_digest(value, text) for value in values)
    return index if sealed else None


def _own_index(desk: Desk, asked: Asked) -> int | None:
    """Return the place in the log of the choice in force: the account's, else what the cookie names."""
    return asked.account.index if asked.account else _receipt_index(desk, asked.request)


def _receipt(desk: Desk, asked: Asked) -> Reply:
    """Show a visitor the proof of their own choice, or how to get one; it is theirs to keep."""
    query = _query(asked)
    back = local(query.get("back", "/"))
    index = _own_index(desk, asked) if asked.own else None
    found = desk.ledger.receipt(index) if index is not None else None
    text = found.encode() if found else b""
    if found and query.get("format") == "tlog-proof":
        named = b'attachment; filename="bandeau-%d%s"' % (found.index, SUFFIX.encode())
        headers = [*_json_headers()[1:], (b"content-disposition", named)]
        return Reply(200, [(b"content-type", b"text/plain; charset=utf-8"), *headers], text)
    if asked.json:
        document = {
            "index": found.index if found else None,
            "record": found.record.decode("ascii") if found else None,
            "receipt": text.decode("utf-8") if found else None,
            "vkey": desk.ledger.vkey,
        }
        return Reply(200 if found else 404, _json_headers(), json.dumps(document).encode())
    here = replace(asked, language=_language(desk, asked, query))
    return _receipt_page(desk, here, found, back)


def _receipt_page(
    desk: Desk, asked: Asked, found: Receipt | None, back: str, *, once: bool = False
) -> Reply:
    """Show a receipt; one that is shown `once` has no address, so the page itself holds the file."""
    decision = record.parse(found.record) if found else None
    html = desk.notice.receipt(
        asked.language,
        asked.consent,
        back=back,
        decision=decision,
        index=found.index if found else 0,
        time=record.time(decision.minute) if decision else "",
        line=found.record.decode("ascii") if found else "",
        proof=found.encode().decode("utf-8") if found else "",
        once=once,
        vkey=desk.ledger.vkey,
    )
    return Reply(200, _page_headers(desk, asked.language), html.encode())


def _cookie(desk: Desk, request: Request, value: bytes) -> bytes:
    site = desk.rules.policy.site
    parts = [
        cookie_name(desk, request.scheme) + b"=" + value,
        b"Max-Age=%d" % (site.valid_days * 86_400),
        b"Path=/",
        b"HttpOnly",
        b"SameSite=Lax",
    ]
    if request.scheme == "https":
        parts.append(b"Secure")
        if site.choice_scope == "site":
            host = request.host.partition(":")[0]
            parts.append(b"Domain=" + host.removeprefix("www.").encode("ascii"))
    return b"; ".join(parts)


def _again(desk: Desk, asked: Asked, posted: Posted, why: Literal["confirm", "moved"]) -> Reply:
    """Offer the settings instead of taking a choice; the script is told where they are.

    "confirm": it is against the browser's signal. "moved": the visitor signed in or out since.
    """
    language = posted.language or asked.language
    if asked.json:
        where = urlencode({why: 1, "back": posted.back, "lang": language}, safe="/")
        document = {why: True, "settings": f"{desk.rules.policy.site.prefix}/settings?{where}"}
        return Reply(409, _json_headers(), json.dumps(document).encode())
    html = desk.notice.settings(
        language,
        asked.consent,
        back=posted.back,
        confirm=why == "confirm",
        moved=why == "moved",
        objected=asked.objected,
    )
    return Reply(409, _page_headers(desk, language), html.encode())


def _settings(desk: Desk, asked: Asked) -> Reply:
    query = _query(asked)
    language = _language(desk, asked, query)
    if desk.elsewhere:
        return problem(desk, replace(asked, language=language), 404, "elsewhere")
    back = local(query.get("back", "/"))
    html = desk.notice.settings(
        language,
        asked.consent,
        back=back,
        confirm=query.get("confirm") == "1" and asked.consent.signal,
        moved=query.get("moved") == "1" and desk.rules.policy.account.enabled,
        objected=asked.objected,
    )
    return Reply(200, _page_headers(desk, language), html.encode())


def _trackers(desk: Desk, asked: Asked) -> Reply:
    query = _query(asked)
    language = _language(desk, asked, query)
    if query.get("part") == "list":  # for the site's own privacy page; nothing in it is a visitor's
        headers = [pair for pair in _page_headers(desk, language) if pair[0] != b"cache-control"]
        headers += [(b"cache-control", b"public, max-age=300"), (b"vary", b"Accept-Language")]
        return Reply(200, headers, desk.notice.listing(language).encode())
    told = _told(desk)
    if asked.json or query.get("format") == "json":
        document = {**desk.notice.trackers_data(), "versions": [asdict(one) for one in told]}
        return Reply(200, _json_headers(), json.dumps(document).encode())
    back = local(query.get("back", "/"))
    html = desk.notice.trackers(
        language, asked.consent, back=back, objected=asked.objected, versions=told
    )
    return Reply(200, _page_headers(desk, language), html.encode())


@lru_cache(maxsize=1024)  # snapshots never change, and a page of trackers tells of them all
def _changed_since(before: Version, one: Version) -> list[Changed]:
    return changes(before.declared, one.declared)


def _told(desk: Desk) -> list[Told]:
    """Return the versions of the notice with what each changed; none while they cannot be read."""
    try:
        found = desk.versions.all()
        return [
            Told(
                one.sha256,
                one.since,
                one.languages,
                _changed_since(before, one) if before else None,
                one.index == desk.snapshot,
            )
            for one, before in zip(found, [*found[1:], None], strict=True)
        ]
    except (BandeauError, LookupError, TypeError, ValueError) as error:  # or are no snapshots
        _log.error("the versions of the notice cannot be told: %s", error)
        return []


def _query(asked: Asked) -> dict[str, str]:
    return dict(_fields(asked.request.query.encode("utf-8", "replace")))


def _language(desk: Desk, asked: Asked, query: dict[str, str]) -> str:
    wanted = query.get("lang", "")
    return wanted if wanted in desk.rules.policy.site.languages else asked.language


def _state_page(desk: Desk, asked: Asked) -> Reply:
    source = {"source": desk.rules.policy.choice.source} if desk.elsewhere else {}
    document = {**_state(desk, asked.consent), **source}
    return Reply(200, _json_headers(), json.dumps(document).encode())


def _state(desk: Desk, consent: Consent) -> dict[str, Any]:
    granted = [purpose for purpose in desk.current.order if purpose in consent.granted]
    account = {"account": True} if consent.account else {}
    return {"state": str(consent.state), "granted": granted, **account}


def _out(desk: Desk, asked: Asked) -> Reply:
    """Lead to an outbound link that a page of ours was given; unsigned it would be an open redirect."""
    query = _query(asked)
    url, found = query.get("u", ""), query.get("s", "")
    sound = url.startswith(("https://", "http://")) and url.isprintable()
    signed = hmac.compare_digest(seal(url, desk.key).encode(), found.encode("utf-8", "replace"))
    if not (sound and signed):
        return problem(desk, asked, 404, "missing")
    location = quote(url, safe="%/:?#[]@!$&'()*+,;=~").encode("ascii")
    return Reply(302, [(b"location", location), (b"cache-control", b"no-store")])


def _key(_desk: Desk, asked: Asked) -> Reply:
    """Tell an edge what holds for a request of this visitor's (nginx: auth_request)."""
    status, headers = asked.at_edge()
    return Reply(status, [*headers, (b"cache-control", b"no-store")])


def _health(desk: Desk, _asked: Asked) -> Reply:
    """Say how the ledger is; 200 all the same, because pages come and nothing passes without it."""
    ledger = desk.ledger
    failed = ledger.failed
    lines = ["ok" if failed is None else f"ledger: {failed}"]
    if ledger.unrecorded:
        lines.append(f"unrecorded: {ledger.unrecorded} refusals and withdrawals were obeyed only")
    if not failed and desk.rules.policy.partners and (untold := _untold(ledger)):
        lines.append(f"untold: {untold} withdrawals that partners are yet to be told")
    text = "".join(f"{line}\n" for line in lines)
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    return Reply(200, headers, text.encode("utf-8"))


def _untold(ledger: Ledger) -> int:
    try:
        return ledger.store.untold()
    except LedgerError:  # another line says so
        return 0


def _metrics(desk: Desk, asked: Asked) -> Reply:
    """Give this process's figures to a monitoring system (OpenMetrics 1.0), where the owner says so."""
    if not desk.rules.policy.proof.metrics:
        return problem(desk, asked, 404, "missing")
    kind = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
    headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
    return Reply(200, headers, openmetrics(desk.ledger, desk.counted).encode("utf-8"))


def _published(desk: Desk, asked: Asked, path: str) -> Reply:
    """Give the log to whoever wants to check it (c2sp.org/tlog-tiles), as far as the owner says so."""
    publish = desk.rules.policy.proof.publish
    public = (b"access-control-allow-origin", b"*")
    nosniff = (b"x-content-type-options", b"nosniff")
    if path == "checkpoint" and publish != "off":
        headers = [(b"content-type", b"text/plain; charset=utf-8"), public, nosniff]
        brief = (b"cache-control", b"public, max-age=1")
        return Reply(200, [*headers, brief], desk.ledger.head.checkpoint)
    tile = path.removeprefix("tile/")
    found = desk.ledger.tile(tile) if publish == "tiles" and tile != path else None
    if found is None:
        return problem(desk, asked, 404, "missing")
    lasting = (b"cache-control", b"public, max-age=%d, immutable" % _YEAR)
    headers = [(b"content-type", b"application/octet-stream"), public, nosniff, lasting]
    return Reply(200, headers, found)


def _static(desk: Desk, asked: Asked, path: str) -> Reply:
    name = path.rpartition("/")[2]
    found = desk.notice.static(name)
    if found is None or desk.notice.static_url(name) != asked.request.path:
        return problem(desk, asked, 404, "missing")
    content_type, content = found
    headers = [
        (b"content-type", content_type.encode("ascii")),
        (b"cache-control", b"public, max-age=%d, immutable" % _YEAR),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    return Reply(200, headers, content)


def _support(desk: Desk) -> Reply:
    """Say that Global Privacy Control is obeyed here, and since when."""
    since = desk.rules.policy.signals.gpc_since
    document = {"gpc": True, "lastUpdate": since.isoformat() if since else ""}
    headers = [pair for pair in _json_headers() if pair[0] != b"cache-control"]
    hourly = (b"cache-control", b"public, max-age=3600")
    return Reply(200, [*headers, hourly], json.dumps(document).encode())


def _snapshot(desk: Desk, asked: Asked, sha256: str) -> Reply:
    """Give what visitors were shown, under its hash: whoever has the bytes can check the name."""
    known = len(sha256) == 64 and sha256.isascii() and sha256.isalnum()  # noqa: PLR2004
    found = desk.ledger.document(sha256) if known else None
    if found is None:
        return problem(desk, asked, 404, "missing")
    headers = [pair for pair in _json_headers() if pair[0] != b"cache-control"]
    lasting = (b"cache-control", b"public, max-age=%d, immutable" % _YEAR)
    return Reply(200, [*headers, lasting], found)


def _method(desk: Desk, asked: Asked, allowed: bytes) -> Reply:
    reply = problem(desk, asked, 405, "missing")
    return Reply(405, [*reply.headers, (b"allow", allowed)], reply.body)


_PAGES: dict[str, Callable[[Desk, Asked], Reply]] = {
    "settings": _settings,
    "trackers": _trackers,
    "state": _state_page,
    "receipt": _receipt,
    "metrics": _metrics,
    "health": _health,
    "key": _key,
    "out": _out,
}


def _page_headers(desk: Desk, language: str) -> RawHeaders:
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self' {desk.notice.style_hash};"
        " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'self'"
    )
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-language", language.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", policy.encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"SAMEORIGIN"),
        (b"referrer-policy", b"same-origin"),
        (b"permissions-policy", b"geolocation=()"),
    ]


def _json_headers() -> RawHeaders:
    return [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    ]


def reader(policy: Policy) -> Callable[[bytes], Posted | None]:
    """Return what reads a posted form; one that many visitors send alike is read once."""

    def fresh(body: bytes) -> Posted | None:
        return read(_fields(body), policy)

    known = lru_cache(maxsize=1024)(fresh)
    return lambda body: known(body) if len(body) <= _ALIKE else fresh(body)


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        return []


def _here(request: Request) -> str:
    return local(request.path + (f"?{request.query}" if request.query else ""))
