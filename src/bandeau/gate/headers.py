"""Headers that would reach a third party or keep one visitor's page for another; not the cookies.

What a CSP leaks in headers (hints, refreshes, report endpoints, speculation rules) is judged item
by item with the same question as markup: may this page contact this host for this?
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from bandeau.wire import csp
from bandeau.wire.headers import RawHeaders, every, first, replaced, split_list, tokens, without
from bandeau.wire.hosts import target

Allows = Callable[[str, str], bool]
REDIRECTS = (301, 302, 303, 307, 308)

_HINTS = frozenset(
    b"preconnect dns-prefetch prefetch preload modulepreload prerender stylesheet icon".split()
)
_AS_KINDS = {
    b"script": "script",
    b"style": "style",
    b"image": "image",
    b"font": "font",
    b"audio": "media",
    b"video": "media",
    b"track": "media",
    b"document": "frame",
    b"iframe": "frame",
    b"object": "object",
    b"embed": "object",
    b"fetch": "connect",
}
# Orders to the browser to keep or send something for advertising: no page needs them.
_WRITES = (
    b"attribution-reporting-register-source",
    b"attribution-reporting-register-trigger",
    b"attribution-reporting-info",
    b"observe-browsing-topics",
    b"shared-storage-write",
    b"ad-auction-signals",
    b"ad-auction-additional-bid",
    b"ad-auction-result",
)
# They speak of bytes that the gate changes (RFC 9110 8.6, RFC 9530, RFC 9421).
_OF_THE_BYTES = (
    b"content-length",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"repr-digest",
    b"signature",
    b"signature-input",
    b"last-modified",
    b"accept-ranges",
    b"trailer",
)
HIDDEN = re.compile(  # what says where a visitor is, and a client's word for what only we may say
    rb"bd[-_].*|geolocation|x-geo(?:ip)?-.*|x-client-geo-.*|cf-ip(?:city|country|continent|latitude|longitude)"
    rb"|cf-(?:region|region-code|metro-code|postal-code|timezone)|x-appengine-(?:city|citylatlong"
    rb"|country|region)|cloudfront-viewer-(?:city|country.*|latitude|longitude|postal-code|time-zone"
    rb"|metro-code)|fastly-geo-.*|x-vercel-ip-.*"
)
# What most requests have, and nothing of the above: it is passed on without a closer look.
USUAL = frozenset(
    b"host connection accept accept-language user-agent referer origin cache-control pragma priority"
    b" content-type content-length if-none-match if-modified-since range sec-fetch-dest sec-fetch-mode"
    b" sec-fetch-site sec-fetch-user upgrade-insecure-requests sec-ch-ua sec-ch-ua-mobile"
    b" sec-ch-ua-platform authorization x-requested-with".split()
)
LOCATING = (b"geolocation", b"x-", b"cf-", b"cloudfront-", b"fastly-")  # how those names begin
OURS = (b"bd-", b"bd_")  # to CGI, WSGI and PHP both are one name
# Caching orders to edges, which know nothing of a visitor's state.
_FOR_EDGES = (b"surrogate-control", b"cdn-cache-control", b"x-accel-expires", b"bd-key")


def reaching(headers: RawHeaders, base: str, allows: Allows) -> RawHeaders:
    """Return a response's headers without what would contact a host that may not be contacted."""

    def foreign(url: bytes, kind: str) -> bool:
        found = target(url.decode("utf-8", "replace"), base)
        return found.scheme == "invalid" or bool(found.host and not allows(found.host, kind))

    kept: RawHeaders = []
    for name, value in headers:
        left = _FILTERS[name](value, foreign) if name in _FILTERS else value
        if left:
            kept.append((name, left))
    return kept


def _link(value: bytes, foreign: Callable[[bytes, str], bool]) -> bytes:
    """RFC 8288 3: keep the items that are no hints, and the hints to hosts that are allowed."""
    items = split_list(value)
    kept = [item for item in items if not _is_foreign_hint(item, foreign)]
    return value if len(kept) == len(items) else b", ".join(kept)


def _is_foreign_hint(item: bytes, foreign: Callable[[bytes, str], bool]) -> bool:
    url, _, rest = item.strip().removeprefix(b"<").partition(b">")
    parameters: dict[bytes, bytes] = {}
    for part in split_list(rest, b";"):
        name, _, text = part.partition(b"=")
        parameters.setdefault(name.strip().lower(), text.strip().strip(b'"').lower())
    if not _HINTS & set(parameters.get(b"rel", b"").split()):
        return False
    return foreign(url, _AS_KINDS.get(parameters.get(b"as", b""), "any"))


def _refresh(value: bytes, foreign: Callable[[bytes, str], bool]) -> bytes:
    """HTML Standard, "shared declarative refresh steps": a delay, then perhaps `url=`."""
    match = re.match(rb"\s*[\d.]*\s*[;,\s]\s*(?:url\s*=\s*)?[\"']?([^\"']*)", value, re.IGNORECASE)
    return b"" if match and match[1] and foreign(match[1], "any") else value


def _reporting(value: bytes, foreign: Callable[[bytes, str], bool]) -> bytes:
    """Reporting-Endpoints (Reporting API 3.2): name="url" members."""
    items = split_list(value)
    kept = [i for i in items if not foreign(i.partition(b"=")[2].strip().strip(b'"'), "connect")]
    return b", ".join(kept)


def _report_to(value: bytes, foreign: Callable[[bytes, str], bool]) -> bytes:
    """Report-To and NEL (the older Reporting API) are JSON: one foreign URL drops the header."""
    urls = re.findall(rb'"url"\s*:\s*"([^"]*)"', value)
    return b"" if any(foreign(url.replace(b"\\/", b"/"), "connect") for url in urls) else value


def _alt_svc(value: bytes, foreign: Callable[[bytes, str], bool]) -> bytes:
    """RFC 7838 3: `h3="host:port"` moves the whole origin to another host; empty means this one."""
    hosts = re.findall(rb'=\s*"([^":]*):', value)
    return b"" if any(host and foreign(b"//" + host, "any") for host in hosts) else value


def _csp(value: bytes, foreign: Callable[[bytes, str], bool]) -> bytes:
    """A policy whose reports go abroad loses them, and nothing else."""
    text = value.decode("latin-1")
    if "report-uri" not in text.lower():
        return value
    policies = csp.parse(text)
    for directives in policies:
        endpoints = directives.pop("report-uri", ())
        own = tuple(e for e in endpoints if not foreign(e.encode("latin-1"), "connect"))
        if own:
            directives["report-uri"] = own
    return ", ".join(csp.serialise(d) for d in policies if d).encode("latin-1")


def _drop(_value: bytes, _foreign: Callable[[bytes, str], bool]) -> bytes:
    return b""


_FILTERS: dict[bytes, Callable[[bytes, Callable[[bytes, str], bool]], bytes]] = {
    b"link": _link,
    b"refresh": _refresh,
    b"reporting-endpoints": _reporting,
    b"report-to": _report_to,
    b"nel": _drop,  # it reports to what Report-To names, about visitors, from outside any page
    b"alt-svc": _alt_svc,
    b"content-security-policy": _csp,
    b"content-security-policy-report-only": _csp,
    b"speculation-rules": _drop,  # the rules lie in another response and may name any host
    **dict.fromkeys(_WRITES, _drop),
}
JUDGED = _FILTERS.keys()  # few responses have one of them


def leads_abroad(headers: RawHeaders, base: str, allows: Allows, kind: str) -> bool:
    """Say whether a redirect sends a subresource to a host that may not be contacted.

    The browser applies the policy at the hop, but Chromium connects first where a frame is concerned.
    """
    location = first(headers, b"location")
    if location is None:
        return False
    found = target(location.decode("utf-8", "replace"), base)
    return found.scheme == "invalid" or bool(found.host and not allows(found.host, kind))


def of_other_bytes(headers: RawHeaders) -> RawHeaders:
    """Return the headers of a page that is about to be rewritten, without those about its bytes."""
    return [*without(headers, *_OF_THE_BYTES), (b"accept-ranges", b"none")]


def personal(headers: RawHeaders) -> RawHeaders:
    """Return caching headers that keep a page to its visitor and have each view revalidated.

    RFC 9111 5.2.2: `private` and `no-cache`; a site's `no-store` stays as it is.
    """
    if b"no-store" in tokens(headers, b"cache-control"):
        return without(headers, b"expires")
    kept = [
        directive
        for directive in tokens(headers, b"cache-control")
        if directive.partition(b"=")[0] in (b"no-transform", b"must-revalidate")
    ]
    value = b", ".join([b"private", b"no-cache", *kept])
    gone = without(headers, b"expires", b"pragma", *_FOR_EDGES)
    return replaced(gone, b"cache-control", value)


def shareable(asked: RawHeaders, status: int, upstream: RawHeaders, out: RawHeaders) -> int:
    """Return for how many seconds an edge may keep a page for its state; 0 for not at all.

    As long as upstream lets shared caches keep it (RFC 9111 5.2.2), nothing is set by it, and it was
    not asked for with credentials (RFC 9111 3.5).
    """
    directives = dict(part.partition(b"=")[::2] for part in tokens(upstream, b"cache-control"))
    barred = {b"private", b"no-store", b"no-cache"} & set(directives)
    age = directives.get(b"s-maxage", directives.get(b"max-age", b"")).strip(b'"')
    personal = first(out, b"set-cookie") is not None or first(asked, b"authorization") is not None
    return int(age) if status == 200 and not barred and not personal and age.isdigit() else 0  # noqa: PLR2004


def for_edge(out: RawHeaders, seconds: int, key: str) -> RawHeaders:
    """Return headers that let an edge keep a page, and nobody else, in the names that edges read.

    `BD-Key` says of which state: an edge that computes keys itself keeps what is of the same alone.
    """
    edge = [(b"x-accel-expires", b"%d" % seconds), (b"surrogate-control", b"max-age=%d" % seconds)]
    edge.append((b"bd-key", key.encode("latin-1")))
    return [*edge, *without(out, *_FOR_EDGES)]  # first: older nginx heeds the one that comes first


def state_key(*parts: str) -> str:
    """Return the short name of a state that pages are rewritten for: 12 hex digits."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def tagged(headers: RawHeaders, key: str) -> RawHeaders:
    """Return headers whose ETag speaks of this state too: `W/"<upstream's>-bd<key>"`.

    Weak, since the same page is spliced anew each time (RFC 9110 8.8.3).
    """
    etag = first(headers, b"etag")
    if etag is None:
        return list(headers)
    match = re.fullmatch(rb'(?:W/)?"([^"]*)"', etag.strip())
    if match is None:
        return without(headers, b"etag")
    return replaced(headers, b"etag", b'W/"%s-bd%s"' % (match[1], key.encode("ascii")))


def conditional(headers: RawHeaders, key: str, *, page: bool) -> RawHeaders:
    """Return a request's headers with conditions that only this state's pages can meet.

    An ETag of ours for this state is turned back into upstream's; for another state it is dropped,
    so that the answer is whole. `page` says that HTML may come: then conditions and ranges about
    bytes that never passed the gate are dropped too.
    """
    suffix = b'-bd%s"' % key.encode("ascii")
    kept: list[bytes] = []
    for tag in split_list(b", ".join(every(headers, b"if-none-match"))):
        if tag.endswith(suffix):
            opaque = tag.removeprefix(b"W/")[1 : -len(suffix)]
            kept += [b'"%s"' % opaque, b'W/"%s"' % opaque]
        elif not page and not re.search(rb'-bd[0-9a-f]{12}"$', tag):
            kept.append(tag)
    out = without(headers, b"if-none-match")
    if page:
        out = without(out, b"if-modified-since", b"range", b"if-range")
    return [*out, (b"if-none-match", b", ".join(kept))] if kept else out
