"""Markup that a browser policy cannot hold: neutralised, and the notice put in; no other change.

CSP stops what scripts, styles and pictures load. It does not stop a hint, the connection that a
barred frame or form opens, a refresh, a ping, or speculation rules. Only those are touched here: an
attribute is renamed with the prefix `data-bd-`, so that nothing is lost and nothing happens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from bandeau.wire.hosts import target
from bandeau.wire.html import Attribute, Handler, Splicer, Tag

Allows = Callable[[str, str], bool]
Report = Callable[[str, str, str], None]

PREFIX = b"data-bd-"
_HINTS = frozenset(
    ["preconnect", "dns-prefetch", "prefetch", "preload", "modulepreload", "prerender"]
)
_HINT_LIKE = re.compile(
    rb"&|pre(?:connect|fetch|load|render)", re.IGNORECASE
)  # references hide words
_AS = {
    "script": "script",
    "worker": "script",
    "style": "style",
    "image": "image",
    "font": "font",
    "audio": "media",
    "video": "media",
    "track": "media",
    "document": "frame",
    "fetch": "connect",
}
_HEAD = frozenset(
    b"html head base basefont bgsound link meta title noscript noframes style script template".split()
)
_META_WITHIN = 1024  # bytes in which a <meta charset> counts (HTML Standard, "prescan")
_REFRESH = re.compile(r"\s*[\d.]*\s*[;,\s]\s*(?:url\s*=\s*)?[\"']?([^\"']*)", re.IGNORECASE)
_BEFORE_HOST = re.compile(r"^[\x00-\x20]*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]*")
_LINE_ENDS = re.compile(r"[\t\n\r]")
_TINY = re.compile(r"\s*[01](?:px)?\s*")
_HIDING = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that was held back, as far as a placeholder needs to know it."""

    path: str  # of a closed page of the site's own; empty for a stranger's

    host: str
    url: str
    title: str
    width: str
    height: str
    visible: bool


class Fragments(Protocol):
    """What is put into a page."""

    def head(self) -> bytes:
        """Return what comes first in `<head>`."""

    def body(self, lang: str | None) -> bytes:
        """Return what comes first in `<body>`."""

    def end(self, lang: str | None) -> bytes:
        """Return what comes last in `<body>`."""

    def frame(self, frame: Frame, lang: str | None) -> bytes:
        """Return what stands before a frame that is held back."""

    def closes(self, path: str) -> bool:
        """Say whether a page of the site itself is closed, so that a frame of it waits."""


class Markup:
    """One page: `feed` pieces, then `close`. With `report` it only tells what it would hold back."""

    def __init__(
        self,
        *,
        base: str,
        allows: Allows,
        fragments: Fragments | None,
        report: Report | None = None,
        xml: bool = False,
        outbound: Callable[[str], str] | None = None,
        quiet: bool = False,
    ) -> None:
        self._report = report
        gate = _Gate(base, allows, fragments, outbound=outbound, quiet=quiet)
        handler = _Reporter(base, allows, report) if report else gate
        self._splicer = Splicer(handler, xml=xml, links=outbound is not None, media=quiet)

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece of the page and give what is certain."""
        out = self._splicer.feed(chunk)
        return chunk if self._report else out

    def close(self) -> bytes:
        """Give the rest."""
        out = self._splicer.close()
        return b"" if self._report else out


class _Links:
    """Reads URLs of one page against its address and its first `<base>`."""

    def __init__(self, base: str, allows: Allows) -> None:
        self.page = base
        self.base = base
        self._based = False
        self._allows = allows

    def foreign(self, url: str, kind: str) -> bool:
        """Say whether a URL leads to a host that may not be contacted for a kind of thing."""
        found = target(url, self.base)
        return found.scheme == "invalid" or bool(found.host and not self._allows(found.host, kind))

    def leaves(self, url: str) -> bool:
        """Say whether a link leads to a page of another host (not to a mail, a script, a fragment)."""
        found = target(url, self.base)
        return found.scheme in ("http", "https") and not self._allows(found.host, "any")

    def whole(self, url: str) -> str:
        """Return an address with its scheme, as a redirect needs it."""
        rest = _BEFORE_HOST.sub("", _LINE_ENDS.sub("", url))
        return f"{target(url, self.base).scheme}://{rest}"

    def host(self, url: str) -> str:
        return target(url, self.base).host

    def path(self, url: str) -> str:
        """Return the path that a URL leads to; nothing for what is no address."""
        try:
            return urlsplit(urljoin(self.base, url.strip())).path
        except ValueError:
            return ""

    def own(self, url: str) -> bool:
        """Say whether a URL leads to a page of the same host."""
        found, here = target(url, self.base), target(self.page, "")
        return found.scheme == here.scheme and found.host in ("", here.host)

    def rebase(self, url: str) -> None:
        """Take the first `<base href>`; relative URLs mean its host from here on."""
        if not self._based:
            self._based = True
            found = target(url, self.page)
            port = f":{found.port}" if found.port else ""
            self.base = f"{found.scheme}://{found.host}{port}/" if found.host else self.page


class _Gate:
    """Neutralises, and puts the fragments where they belong."""

    def __init__(
        self,
        base: str,
        allows: Allows,
        fragments: Fragments | None,
        links: _Links | None = None,
        outbound: Callable[[str], str] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self._allows = allows
        self._quiet = quiet  # what the policy will bar is not even attempted
        self._outbound = outbound
        self._links = links or _Links(base, allows)
        self._fragments = fragments
        self._lang: str | None = None
        self._stage = "before" if fragments else "body"
        self._head_done = False
        self._seen = 0
        self._framed = False

    @property
    def every(self) -> bool:
        return self._stage != "body"

    def island(self) -> Handler:
        return self._inner()

    def _inner(self) -> _Gate:
        return _Gate(
            self._links.page, self._allows, None, self._links, self._outbound, quiet=self._quiet
        )

    def start(self, tag: Tag) -> None:
        self._place(tag)
        edit = _EDITS.get(tag.name)
        if edit:
            edit(self, tag)
        if self._quiet and tag.name in _QUIETED:
            self._still(tag)

    def _still(self, tag: Tag) -> None:
        """Take the addresses out of what loads by itself and may not."""
        for name, kind in _sources(tag):
            value = tag.get(name) or ""
            urls = _candidates(value) if name.endswith(b"srcset") else [value]
            if any(self._links.foreign(url, kind) for url in urls if url):
                tag.rename(name, PREFIX)

    def end(self, name: bytes) -> bytes:
        if self._stage == "before" and name in (b"head", b"body", b"html", b"br"):
            self._stage = "head"
            return self._head()
        return b""

    def text(self) -> bytes:
        head = self._head()
        return head + self._body()

    def finish(self) -> bytes:
        if self._fragments is None:
            return b""
        start = self._head() + self._body() if self._stage != "body" else b""
        return start + (b"" if self._framed else self._fragments.end(self._lang))

    def _place(self, tag: Tag) -> None:
        """Put the head and body fragments at the earliest place that leaves the page as it was."""
        self._seen += len(tag.raw)
        if self._stage == "body" or not self._fragments:
            return
        if tag.name == b"html":
            self._lang = self._lang or tag.get(b"lang")
            if tag.get(b"amp") is not None or tag.get("⚡".encode()) is not None:
                self._fragments, self._stage = None, "body"  # AMP pages may hold no script of ours
            return
        if tag.name == b"head":
            self._stage = "head"
            return
        charset = tag.name == b"meta" and self._seen <= _META_WITHIN and not self._head_done
        if charset and (tag.get(b"charset") is not None or tag.get(b"http-equiv") is not None):
            self._stage = "head"
            if tag.get(b"charset") is not None:
                tag.after(self._head())
            else:
                tag.before(self._head())
            return
        if tag.name == b"frameset":
            tag.before(self._head())
            self._framed, self._stage = True, "body"
        elif tag.name == b"body":
            tag.before(self._head())
            tag.after(self._body())
        elif tag.name in _HEAD:
            self._stage = "head"
            tag.before(self._head())
        else:
            tag.before(self._head() + self._body())

    def _head(self) -> bytes:
        if self._head_done or not self._fragments:
            return b""
        self._head_done = True
        return self._fragments.head()

    def _body(self) -> bytes:
        self._stage = "body"
        return self._fragments.body(self._lang) if self._fragments else b""

    def _disarm(self, tag: Tag, name: bytes, kind: str) -> bool:
        value = tag.get(name)
        if value is None or not self._links.foreign(value, kind):
            return False
        tag.rename(name, PREFIX)
        return True

    def _base(self, tag: Tag) -> None:
        value = tag.get(b"href")
        if value is None:
            return
        if self._links.foreign(value, "any"):
            tag.rename(b"href", PREFIX)
        elif not tag.inert:
            self._links.rebase(value)

    def _link(self, tag: Tag) -> None:
        if not _HINT_LIKE.search(tag.raw):
            return
        rels = set((tag.get(b"rel") or "").lower().split())
        if not rels & _HINTS:
            return
        kind = _AS.get((tag.get(b"as") or "").lower(), "any")
        self._disarm(tag, b"href", kind)
        candidates = tag.get(b"imagesrcset")
        if candidates and any(self._links.foreign(url, "image") for url in _candidates(candidates)):
            tag.rename(b"imagesrcset", PREFIX)

    def _meta(self, tag: Tag) -> None:
        if b"refresh" not in tag.raw.lower() and b"&" not in tag.raw:
            return
        if (tag.get(b"http-equiv") or "").strip().lower() != "refresh":
            return
        match = _REFRESH.match(tag.get(b"content") or "")
        if match and match[1] and self._links.foreign(match[1], "any"):
            tag.rename(b"http-equiv", PREFIX)

    def _script(self, tag: Tag) -> None:
        if b"speculation" not in tag.raw.lower() and b"&" not in tag.raw:
            return
        if (tag.get(b"type") or "").strip().lower() == "speculationrules":
            tag.insert(b'type="text/plain"')

    def _frame(self, tag: Tag) -> None:
        for attribute in tag.attributes:
            if attribute.name == b"srcdoc":
                self._srcdoc(tag, attribute)
        url = tag.get(b"src")
        if url is None:
            return
        held = self._disarm(tag, b"src", "frame")
        if not self._fragments:
            return
        path = ""
        if not held:
            path = self._links.path(url) if self._links.own(url) else ""
            if not path or not self._fragments.closes(path):
                return
            tag.rename(b"src", PREFIX)
        frame = Frame(
            path=path,
            host=self._links.host(url),
            url=url,
            title=tag.get(b"title") or "",
            width=tag.get(b"width") or "",
            height=tag.get(b"height") or "",
            visible=tag.name == b"iframe" and not tag.inert and not _hidden(tag),
        )
        tag.before(self._fragments.frame(frame, self._lang))

    def _srcdoc(self, tag: Tag, attribute: Attribute) -> None:
        """A srcdoc is a page of its own, one level of references deeper."""
        before = attribute.text
        inner = Splicer(self._inner(), links=self._outbound is not None, media=self._quiet)
        after = inner.feed(before.encode("utf-8", "replace")) + inner.close()
        if after.decode("utf-8") != before:
            tag.replace(attribute, after.decode("utf-8"))

    def _form(self, tag: Tag) -> None:
        self._disarm(tag, b"action", "form")

    def _submitter(self, tag: Tag) -> None:
        self._disarm(tag, b"formaction", "form")

    def _anchor(self, tag: Tag) -> None:
        pings = (tag.get(b"ping") or "").split()
        if any(self._links.foreign(url, "connect") for url in pings):
            tag.rename(b"ping", PREFIX)
        url = tag.get(b"href") if self._outbound else None
        if self._outbound and url and self._links.leaves(url):
            link = next(one for one in tag.attributes if one.name == b"href")
            tag.replace(link, self._outbound(self._links.whole(url)))

    def _object(self, tag: Tag) -> None:
        self._disarm(tag, b"data" if tag.name == b"object" else b"src", "object")


_EDITS: dict[bytes, Callable[[_Gate, Tag], None]] = {
    b"base": _Gate._base,  # noqa: SLF001
    b"link": _Gate._link,  # noqa: SLF001
    b"meta": _Gate._meta,  # noqa: SLF001
    b"script": _Gate._script,  # noqa: SLF001
    b"iframe": _Gate._frame,  # noqa: SLF001
    b"frame": _Gate._frame,  # noqa: SLF001
    b"portal": _Gate._frame,  # noqa: SLF001
    b"fencedframe": _Gate._frame,  # noqa: SLF001
    b"form": _Gate._form,  # noqa: SLF001
    b"button": _Gate._submitter,  # noqa: SLF001
    b"input": _Gate._submitter,  # noqa: SLF001
    b"a": _Gate._anchor,  # noqa: SLF001
    b"area": _Gate._anchor,  # noqa: SLF001
    b"object": _Gate._object,  # noqa: SLF001
    b"embed": _Gate._object,  # noqa: SLF001
}


class _Reporter:
    """Changes nothing; names every host that the page may not contact, for observe mode."""

    every = True

    def __init__(self, base: str, allows: Allows, report: Report | None) -> None:
        self._links = _Links(base, allows)
        self._report = report or (lambda _kind, _host, _tag: None)

    def island(self) -> Handler:
        return self

    def start(self, tag: Tag) -> None:
        if tag.name == b"base" and (href := tag.get(b"href")):
            self._links.rebase(href)
        if tag.name == b"script" and (tag.get(b"type") or "").lower() == "speculationrules":
            self._report("speculationrules", json.dumps(None), "script")
        for attribute, kind in _sources(tag):
            value = tag.get(attribute)
            urls = _candidates(value or "") if attribute.endswith(b"srcset") else [value or ""]
            for url in filter(None, urls):
                if self._links.foreign(url, kind):
                    self._report(kind, self._links.host(url), tag.name.decode("ascii", "replace"))

    def end(self, _name: bytes) -> bytes:
        return b""

    def text(self) -> bytes:
        return b""

    def finish(self) -> bytes:
        return b""


_LOADS: dict[bytes, list[tuple[bytes, str]]] = {
    b"script": [(b"src", "script")],
    b"img": [(b"src", "image"), (b"srcset", "image")],
    b"source": [(b"src", "media"), (b"srcset", "image")],
    b"iframe": [(b"src", "frame")],
    b"frame": [(b"src", "frame")],
    b"video": [(b"src", "media"), (b"poster", "image")],
    b"audio": [(b"src", "media")],
    b"track": [(b"src", "media")],
    b"embed": [(b"src", "object")],
    b"object": [(b"data", "object")],
    b"form": [(b"action", "form")],
    b"input": [(b"src", "image"), (b"formaction", "form")],
    b"button": [(b"formaction", "form")],
    b"a": [(b"ping", "connect")],
}


_QUIETED = (b"script", b"img", b"source", b"video", b"audio", b"track", b"link", b"input")


def _sources(tag: Tag) -> list[tuple[bytes, str]]:
    if tag.name != b"link":
        return _LOADS.get(tag.name, [])
    rels = set((tag.get(b"rel") or "").lower().split())
    if rels & _HINTS:
        return [(b"href", _AS.get((tag.get(b"as") or "").lower(), "any"))]
    if "stylesheet" in rels:
        return [(b"href", "style")]
    return [(b"href", "image")] if "icon" in rels else []


def _hidden(tag: Tag) -> bool:
    tiny = any(_TINY.fullmatch(tag.get(side) or "") for side in (b"width", b"height"))
    return tiny or tag.get(b"hidden") is not None or bool(_HIDING.search(tag.get(b"style") or ""))


def _candidates(srcset: str) -> list[str]:
    """Return the URLs of a srcset (HTML Standard 4.8.4.3.8): up to white space, then a descriptor."""
    urls, rest = [], srcset
    while match := re.match(r"[\s,]*([^\s]+)((?:[^,(]|\([^)]*\)?)*)", rest):
        url = match[1]
        rest = rest[match.end() :]
        if url.endswith(","):
            rest = srcset[len(srcset) - len(rest) - len(match[2]) :]
            url = url.rstrip(",")
        urls.append(url)
    return urls
