"""From raw events to observations: what was kept, sent, written, read and asked for, by whom, and when.

Nothing is judged here. What the browser refused is told apart from what it kept; lifetimes are those of
the line that was sent, because the jar cuts them to 400 days; a cookie that was sent was read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from publicsuffixlist import PublicSuffixList

from bandeau.audit.watch import Raw
from bandeau.wire.cookies import attributes, lifetime, name_value, removes

_DAY = 86_400  # seconds
_FRAMES = ("<iframe", "<frame", "<object", "<embed")
LONG = 8  # characters, from which on a value can tell visitors apart
_MAX_CHAIN = 32  # links; Chromium's async stacks end there too
_SUFFIXES = PublicSuffixList()
_WHERE = re.compile(r"\(?((?:https?|blob):[^\s()]+?):(\d+):(\d+)\)?$")
_HINTS = ("preconnect", "dns-prefetch", "prefetch", "preload", "modulepreload", "prerender")


@dataclass(frozen=True, slots=True)
class Observation:
    """One fact. `chain` leads from who did it to the tag or file of the site that started it.

    kind         cookie_kept, cookie_refused, cookie_deleted, cookie_sent, cookie_read, storage_kept,
                 storage_read, request, hint, connection, fingerprint, copy (of the choice)
    name         a cookie's or key's name, else what was asked for
    host         whose it is: a cookie's domain, a request's or an origin's host
    """

    kind: str
    station: str
    at: int  # milliseconds since the browser started
    name: str
    host: str
    third: bool
    chain: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


ASKED = ("request", "connection")  # kinds of observations by which somebody was contacted
_BARRED = ("csp", "mixed-content")  # other reasons come with an answer: the request was sent


@dataclass(slots=True)
class _Hop:
    """One request on the way through redirects."""

    at: int
    station: str
    url: str
    type: str
    chain: tuple[str, ...]
    status: int = 0
    gpc: bool = False


def host_of(url: str) -> str:
    """Return the host of an address; "" where a page wrote one that is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def site_of(host: str) -> str:
    """Return the registrable domain of a host (Public Suffix List); an address is its own."""
    return _SUFFIXES.privatesuffix(host) or host


class Reader:
    """Reads one run's events. `own` are more hosts of the site than its own registrable domain."""

    def __init__(self, url: str, *, own: Iterable[str] = ()) -> None:
        self._home = site_of(host_of(url))
        self._own = frozenset(own)
        self._station = ""
        self._found: list[Observation] = []
        self._hops: dict[tuple[str, str], list[_Hop]] = {}
        self._asked: dict[tuple[str, str], int] = {}  # extra information on requests, so far
        self._answered: dict[tuple[str, str], int] = {}  # and on responses
        self._early: list[Raw] = []
        self._barred: set[tuple[str, str]] = set()  # sessions and addresses of transports
        self._by_url: dict[str, tuple[str, ...]] = {}  # an address to how it came to be loaded
        self._tags: dict[str, list[tuple[str, str]]] = {}  # an address to pages and their tags
        self._written: dict[tuple[str, str, str], tuple[str, ...]] = {}  # area, name, host to who

    def third(self, host: str) -> bool:
        """Say whether a host is somebody else's."""
        host = host.lstrip(".")
        return bool(host) and site_of(host) != self._home and host not in self._own

    def read(self, events: Iterable[Raw]) -> list[Observation]:
        """Return the observations of a run, in order."""
        events = list(events)
        for event in events:  # a page's tags are known later than what they asked for
            if event.method == "bandeau.tags":
                for page, url, tag in event.params["tags"]:
                    self._tags.setdefault(url, []).append((page, tag))
        for event in events:
            handler = _HANDLERS.get(event.method)
            if handler:
                getattr(self, handler)(event)
        return self._found

    # -- one method for each kind of event ---------------------------------------------------------

    def _on_station(self, event: Raw) -> None:
        self._station = event.params["name"]

    def _on_request(self, event: Raw) -> None:
        params, key = event.params, _key(event)
        url = params["request"]["url"]
        if url.startswith(("data:", "blob:", "about:", "chrome")):
            return
        hops = self._hops.setdefault(key, [])
        redirect = params.get("redirectResponse")
        chain = self._chain(params)
        if redirect and hops:
            hops[-1].status = redirect["status"]
            chain = (f"redirect from {hops[-1].url}", *hops[-1].chain)
        self._by_url.setdefault(url, chain)
        hop = _Hop(event.at, self._station, url, params.get("type", "Other"), chain)
        hops.append(hop)
        host = host_of(url)
        detail: dict[str, Any] = {"type": hop.type, "method": params["request"]["method"]}
        if redirect:
            detail["redirected"] = True
        if self.third(host):  # an identifier of the site's may travel in the address
            values = [value for _, value in parse_qsl(urlsplit(url).query) if len(value) >= LONG]
            detail["values"] = [_digest(value.encode("utf-8", "replace")) for value in values]
        self._add("request", event.at, url, host, chain, detail)
        waiting, self._early = self._early, []
        for early in waiting:
            if early.method.startswith("Network.request"):
                self._on_sent(early)
            else:
                self._on_headers(early)

    def _on_failed(self, event: Raw) -> None:
        """Take back a request that the browser barred before it was sent: nobody was asked."""
        hops = self._hops.get(_key(event))
        if hops and event.params.get("blockedReason") in _BARRED:
            barred = hops.pop()
            self._found = [
                one
                for one in self._found
                if one.kind != "request" or (one.at, one.name) != (barred.at, barred.url)
            ]

    def _on_barred(self, event: Raw) -> None:
        """Take back a connection that the page's policy barred; the browser speaks of it once more."""
        issue = event.params["issue"]["details"]["contentSecurityPolicyIssueDetails"]
        url = issue.get("blockedURL", "")
        if issue["isReportOnly"] or not url.startswith("http"):
            return
        self._barred.add((event.session, url))
        for at in reversed(range(len(self._found))):
            if (self._found[at].kind, self._found[at].name) == ("connection", url):
                del self._found[at]
                return

    def _on_sent(self, event: Raw) -> None:
        hop = self._hop(event, self._asked)
        if hop is None:
            return
        for one in event.params.get("associatedCookies", ()):
            cookie = one["cookie"]
            if not one.get("blockedReasons"):
                detail = {"to": hop.url, "http_only": cookie.get("httpOnly", False)}
                host = cookie["domain"].lstrip(".")
                self._add(
                    "cookie_sent", event.at, cookie["name"], host, hop.chain, detail, hop.station
                )

    def _on_headers(self, event: Raw) -> None:
        hop = self._hop(event, self._answered)
        if hop is None:
            return
        hop.status = event.params.get("statusCode", 0)
        headers = {name.lower(): value for name, value in event.params["headers"].items()}
        refused: dict[str, list[str]] = {}
        for one in event.params.get("blockedCookies", ()):
            refused.setdefault(one["cookieLine"], []).extend(one["blockedReasons"])
        for line in headers.get("set-cookie", "").split("\n"):
            self._line(event.at, line, hop, refused.get(line), event.params)
        for link in headers.get("link", "").split(","):
            self._hint_of(event.at, link, hop.chain or (hop.url,))

    def _line(
        self, at: int, line: str, hop: _Hop, refused: list[str] | None, params: Mapping[str, Any]
    ) -> None:
        """Read one Set-Cookie line as it was sent."""
        read = name_value(line.encode("utf-8", "replace"))
        if read is None:
            return
        raw = line.encode("utf-8", "replace")
        given = attributes(raw)
        host = host_of(hop.url)
        domain = given.get(b"domain", b"").decode("latin-1").lstrip(".").lower() or host
        name = read[0].decode("utf-8", "replace")
        detail: dict[str, Any] = {
            "by": "http",
            "from": hop.url,
            "seconds": lifetime(raw, _date(params)),
            "path": given.get(b"path", b"").decode("latin-1") or "/",
            "http_only": b"httponly" in given,
            "partitioned": b"partitioned" in given,
            "size": len(read[1]),
            "digest": _digest(read[1]),
        }
        kind = "cookie_kept"
        if removes(raw) or detail["seconds"] == 0:
            kind = "cookie_deleted"
        elif refused:
            kind, detail["reasons"] = "cookie_refused", sorted(refused)
        chain = (f"response of {hop.url}", *hop.chain)
        self._add(kind, at, name, domain, chain, detail, hop.station)

    def _on_script(self, event: Raw) -> None:
        params = event.params
        kind = params["kind"]
        chain = self._of_stack(params.get("stack", ""), params.get("url", ""))
        # an empty frame and a worker of a blob have their maker's origin
        host = host_of(params["url"]) or host_of(params["origin"])
        if kind == "cookie_written":
            self._script_cookie(event, chain, host)
        elif kind == "cookie_deleted":
            self._add(kind, event.at, params["name"], host, chain, {"by": params["by"]})
        elif kind == "cookie_read":
            self._add(kind, event.at, params["by"], host, chain)
        elif kind == "storage_written":
            self._written[params["area"], params["name"], host] = chain
            detail = {"area": params["area"], "size": params["size"], "by": "script"}
            self._add("storage_kept", event.at, params["name"], host, chain, detail)
        elif kind == "storage_read":
            self._add(kind, event.at, params["name"], host, chain, {"area": params["area"]})
        elif kind == "fingerprint":
            self._add(kind, event.at, params["api"], host, chain)
        elif kind == "connection":
            to = host_of(params.get("to", "")) or host
            self._add(kind, event.at, params.get("to") or params.get("api", ""), to, chain)

    def _script_cookie(self, event: Raw, chain: tuple[str, ...], host: str) -> None:
        params = event.params
        if params["by"] == "cookieStore":
            name, domain = params["name"], params["domain"].lstrip(".") or host
            expires = params["expires"]
            now = datetime.now(UTC).timestamp()
            seconds = None if expires is None else max(0, int(float(expires) / 1000 - now))
            path, partitioned, size, digest = params["path"], params["partitioned"], 0, ""
        else:
            raw = params["text"].encode("utf-8", "replace")
            read = name_value(raw)
            if read is None:
                return
            given = attributes(raw)
            name = read[0].decode("utf-8", "replace")
            if removes(raw) or lifetime(raw, datetime.now(UTC)) == 0:
                self._add("cookie_deleted", event.at, name, host, chain, {"by": params["by"]})
                return
            domain = given.get(b"domain", b"").decode("latin-1").lstrip(".").lower() or host
            seconds = lifetime(raw, datetime.now(UTC))
            path = given.get(b"path", b"/").decode("latin-1")
            partitioned, size, digest = b"partitioned" in given, len(read[1]), _digest(read[1])
        detail = {
            "by": params["by"],
            "seconds": seconds,
            "path": path,
            "http_only": False,
            "partitioned": partitioned,
            "size": size,
            "digest": digest,
        }
        self._add("cookie_kept", event.at, name, domain, chain, detail)

    def _on_item(self, event: Raw) -> None:
        """A storage item; the browser says that it is there, not who put it there."""
        place = event.params["storageId"]
        area = "local_storage" if place["isLocalStorage"] else "session_storage"
        origin = place.get("storageKey") or place.get("securityOrigin", "")
        name = event.params["key"]
        host = host_of(origin.partition("^")[0])
        chain = self._written.get((area, name, host), ("unattributed",))
        detail = {"area": area, "size": len(event.params.get("newValue", "")), "by": "browser"}
        self._add("storage_kept", event.at, name, host, chain, detail)

    def _on_jar(self, event: Raw) -> None:
        """The jar at a station: what is really there, and what nobody was seen to write."""
        for cookie in event.params["cookies"]:
            host = cookie["domain"].lstrip(".")
            detail = {
                "path": cookie["path"],
                "http_only": cookie.get("httpOnly", False),
                "session": cookie.get("session", False),
                "partitioned": "partitionKey" in cookie,
                "size": len(cookie["value"]),
                "digest": _digest(cookie["value"].encode("utf-8", "replace")),
            }
            self._add("cookie_in_jar", event.at, cookie["name"], host, (), detail)

    def _on_storage(self, event: Raw) -> None:
        """What storage of the page's own origin holds at a station."""
        host = event.params["host"]
        for area, names in event.params["areas"].items():
            for name in names:
                chain = self._written.get((area, name, host), ())
                self._add("storage_there", event.at, name, host, chain, {"area": area})

    def _on_hints(self, event: Raw) -> None:
        for rel, url in event.params["hints"]:
            host = host_of(url)
            place = f"<link rel={rel}> in {event.params['page']}"
            self._add("hint", event.at, url, host, (place,), {"rel": rel})

    def _on_copies(self, event: Raw) -> None:
        for name, granted, what in event.params["copies"]:
            self._add("copy", event.at, name, "", (), {"granted": granted, "what": what})

    def _hint_of(self, at: int, link: str, chain: tuple[str, ...]) -> None:
        match = re.search(r"<([^>]+)>\s*;.*?rel=\"?([a-z-]+)", link, re.IGNORECASE)
        if match and match[2].lower() in _HINTS:
            host = host_of(match[1])
            self._add(
                "hint", at, match[1], host, ("Link header", *chain), {"rel": match[2].lower()}
            )

    def _on_socket(self, event: Raw) -> None:
        url = event.params["url"]
        if (event.session, url) in self._barred:
            self._barred.remove((event.session, url))
            return
        chain = self._chain(event.params)
        self._add("connection", event.at, url, host_of(url), chain)

    # -- who did it ---------------------------------------------------------------------------------

    def _hop(self, event: Raw, counted: dict[tuple[str, str], int]) -> _Hop | None:
        """Return the request that a piece of extra information is about: they come in one order."""
        key = _key(event)
        if key not in self._hops:  # a frame of another process is told of by its parent's session
            same = [one for one in self._hops if one[1] == key[1]]
            if not same:
                self._early.append(event)
                return None
            key = same[-1]
        place = counted.get(key, 0)
        hops = self._hops[key]
        if place >= len(hops):
            self._early.append(event)
            return None
        counted[key] = place + 1
        return hops[place]

    def _chain(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return how a request came about, from the nearest script to the site's own document.

        Of what a page's own styles ask for, the line would be where the parser was by then: anywhere.
        """
        initiator = params.get("initiator", {})
        frames: list[str] = []
        stack = initiator.get("stack")
        while stack:
            frames += [
                f"{frame['url']}:{frame['lineNumber'] + 1}:{frame['columnNumber'] + 1}"
                for frame in stack.get("callFrames", ())
                if frame["url"].startswith("http")
            ]
            stack = stack.get("parent")
        page, url = initiator.get("url", ""), params.get("request", {}).get("url")
        document = params.get("documentURL", "")
        kind = params.get("type")
        if not frames and (tag := self._tag(page, url, framed=kind == "Document")):
            frames.append(tag)
        elif not frames and page and (page != document or kind == "Script"):
            frames.append(f"{page}:{int(initiator.get('lineNumber', 0)) + 1}")
        return self._followed(frames, document)

    def _tag(self, page: str, url: str, *, framed: bool) -> str:
        """Return the tag that asks for an address, with its page; "" where there is none.

        Of a lazy frame the browser does not say the page. A page is asked for by a frame's tag alone: a
        link to the same article in another language (`rel=alternate`) brings nothing.
        """
        for where, tag in self._tags.get(url, ()):
            if framed and not tag.startswith(_FRAMES):
                continue
            if where == page or (not page and where != url):
                return f"{where} {tag}"
        return ""

    def _of_stack(self, stack: str, document: str) -> tuple[str, ...]:
        places = [
            match[0].strip("()") for line in stack.split("\n") if (match := _WHERE.search(line))
        ]
        return self._followed(places, document)

    def _followed(self, places: list[str], document: str) -> tuple[str, ...]:
        """Follow files to whoever loaded them, until there is nobody before."""
        chain: list[str] = []
        for place in places:
            if place not in chain:
                chain.append(place)
        last = file_of(chain[-1]) if chain else document
        if not chain and document:
            chain.append(document)
        for _ in range(_MAX_CHAIN):
            before = self._by_url.get(last, ())
            new = [one for one in before if one not in chain]
            if not new:
                break
            chain += new
            last = file_of(new[-1].removeprefix("redirect from "))
        return tuple(chain[:_MAX_CHAIN])

    def _add(
        self,
        kind: str,
        at: int,
        name: str,
        host: str,
        chain: tuple[str, ...],
        detail: Mapping[str, Any] | None = None,
        station: str | None = None,
    ) -> None:
        where = self._station if station is None else station
        third = self.third(host)
        self._found.append(Observation(kind, where, at, name, host, third, chain, detail or {}))


_HANDLERS = {  # event to the method that reads it
    "bandeau.station": "_on_station",
    "bandeau.script": "_on_script",
    "bandeau.jar": "_on_jar",
    "bandeau.storage": "_on_storage",
    "bandeau.hints": "_on_hints",
    "bandeau.copies": "_on_copies",
    "Network.requestWillBeSent": "_on_request",
    "Network.loadingFailed": "_on_failed",
    "Audits.issueAdded": "_on_barred",
    "Network.requestWillBeSentExtraInfo": "_on_sent",
    "Network.responseReceivedExtraInfo": "_on_headers",
    "Network.webSocketCreated": "_on_socket",
    "Network.webTransportCreated": "_on_socket",
    "DOMStorage.domStorageItemAdded": "_on_item",
    "DOMStorage.domStorageItemUpdated": "_on_item",
}


def days(seconds: int | None) -> float | None:
    """Return a lifetime in days, to a tenth; None for a session."""
    return None if seconds is None else round(seconds / _DAY, 1)


def _date(params: Mapping[str, Any]) -> datetime:
    headers = {name.lower(): value for name, value in params["headers"].items()}
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return datetime.now(UTC)


def _digest(value: bytes) -> str:
    """Return what tells two values apart without keeping them: identifiers are personal data."""
    return hashlib.sha256(value).hexdigest()[:16] if value else ""


def _key(event: Raw) -> tuple[str, str]:
    return event.session, event.params["requestId"]


def file_of(place: str) -> str:
    """Return the address in a step of a chain: `address`, `address:line:column` or `address <tag …>`."""
    place = place.partition(" <")[0]
    return re.sub(r"(:\d+){1,2}$", "", place) if re.search(r"//[^/]+/.*:\d+$", place) else place
