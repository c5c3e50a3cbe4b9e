"""HTML as a stream of bytes into which bytes are inserted; not a parser, and nothing of consent.

`Splicer` finds tags as a browser's tokenizer does (HTML Standard 13.2.5): comments in every odd
spelling, raw text, the escaped states of scripts, foreign content, duplicate and unquoted
attributes. What it is not asked to touch leaves as the bytes that came. Two things are read twice:
`<noscript>`, whose content is markup only while scripts are off, and so is spliced as a document of
its own; and the `srcdoc` of a frame, which a handler splices and gives back.

Input may be cut anywhere. What is held back is the token that is not complete yet, up to MAX_TOKEN.
"""

from __future__ import annotations

import re
from collections import defaultdict
from html import unescape
from html.entities import html5
from typing import NamedTuple, Protocol

MAX_TOKEN = 4 * 1024 * 1024  # bytes of one tag: data: URLs of inlined pictures are of that order
PIECE = 64 * 1024  # bytes looked at in one go: matching remembers some twenty times as much
MAX_ISLAND = 256 * 1024  # bytes of one <noscript>
MAX_HELD = 64 * 1024  # bytes after a </body> that wait to see whether another one follows


def _all_of(pattern: bytes) -> bytes:
    """Repeat a pattern as often as it goes, without a way back.

    Not spelled `(?:…)*+`: before 3.11.5 Python matches too much there when the pattern has
    alternatives (python/cpython issue 106052), and Debian 12 has 3.11.2.
    """
    return rb"(?>(?:" + pattern + rb")*)"


_SPACE = rb"[\t\n\f\r ]"
_NAME = rb"[A-Za-z][^\t\n\f\r />]*+"
_ATTRIBUTE = (
    rb"(?:=[^\t\n\f\r />=]*+|[^\t\n\f\r />=]++)"
    rb"(?:" + _SPACE + rb"*+=" + _SPACE + rb"*+"
    rb"(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|(?=>))"
    rb"|(?!" + _SPACE + rb"*+=))"
)
_ATTRIBUTES = _all_of(rb"[\t\n\f\r /]*+" + _ATTRIBUTE)
_REST = _ATTRIBUTES + rb"[\t\n\f\r /]*+>"
_TAG = re.compile(rb"<(/?)(" + _NAME + rb")(" + _ATTRIBUTES + rb")([\t\n\f\r /]*+)>")
_ONE = re.compile(
    rb"[\t\n\f\r /]*+(=[^\t\n\f\r />=]*+|[^\t\n\f\r />=]++)"
    rb"(?:" + _SPACE + rb"*+=" + _SPACE + rb"*+"
    rb"(\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|(?=>|\Z)))?"
)
RAW = frozenset(b"script style textarea title xmp iframe noembed noframes".split())
_FOREIGN = frozenset((b"svg", b"math"))
_INTEGRATION = {  # where HTML begins again (HTML Standard 13.2.6, "tree construction")
    b"svg": frozenset((b"foreignobject", b"desc", b"title")),
    b"math": frozenset((b"mi", b"mo", b"mn", b"ms", b"mtext")),
}
_ANNOTATION = ("text/html", "application/xhtml+xml")  # encodings that make HTML of annotation-xml
_VOID = frozenset(
    b"area base br col embed hr img input link meta param source track wbr basefont bgsound frame"
    b" keygen".split()
)
_CLOSES_P = frozenset(
    b"address article aside blockquote center details dialog dir div dl fieldset figcaption figure"
    b" footer form h1 h2 h3 h4 h5 h6 header hgroup hr listing main menu nav ol p plaintext pre search"
    b" section summary table ul xmp".split()
)
_STRUCTURE = frozenset((b"html", b"head", b"body", b"frameset"))  # ignored inside a body
_TABLE = frozenset(
    b"caption colgroup tbody td tfoot th thead tr".split()
)  # ignored outside a table
_DEPTH = 512  # elements followed inside foreign content: browsers nest no deeper
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li"
    b" listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul"
    b" var".split()
)
_ALWAYS = (
    b"script|style|textarea|title|xmp|iframe|noembed|noframes|noscript|plaintext|svg|math|html|head"
    b"|body|base|link|meta|frame|frameset|form|object|embed|portal|fencedframe|template"
)


def _cased(word: bytes) -> bytes:
    """Match a word in either case; quicker than re.IGNORECASE, which forgoes the literal."""
    return b"".join(b"[%c%c]" % (letter, letter - 32) for letter in word)


def _boring(names: bytes) -> re.Pattern[bytes]:
    """Match as much as there is of text and complete tags that nobody asks about, in one go.

    A name is told from the ones asked about by its first letter, mostly; few tags have attributes.
    """
    endings = defaultdict(list)
    for name in names.split(b"|"):
        endings[name[:1]].append(_cased(name[1:]))
    asked = b"|".join(_cased(k) + b"(?:" + b"|".join(v) + b")" for k, v in endings.items())
    tag = rb"</?+(?!(?:" + asked + rb")[\t\n\f\r />])" + _NAME + rb"(?:>|" + _REST + rb")[^<]*+"
    return re.compile(_all_of(tag + rb"|[^<]++|<(?=[^A-Za-z/!?])"))


_BORING = _boring(_ALWAYS)
_RARE, _MEDIA = b"|a|area|input|button", b"|img|source|video|audio|track|input"
_BORING_RARE = _boring(_ALWAYS + _RARE)
_BORING_MEDIA = _boring(_ALWAYS + _MEDIA)
_BORING_BOTH = _boring(_ALWAYS + _RARE + _MEDIA)
_PING = re.compile(rb"[\t\n\f\r /\"']ping[\t\n\f\r /=>]")  # the attribute, and not "shopping"
# Text and closed elements inside a drawing: they change nothing about where we are.
_FLAT = re.compile(
    _all_of(
        rb"[^<]++|<(?:path|use|rect|circle|ellipse|line|polygon|polyline|stop|image)(?=[\t\n\f\r /])"
        + _ATTRIBUTES
        + rb"[\t\n\f\r ]*+/>"
    )
)
_COMMENT_END = re.compile(rb"--!?>")
_ENDS = {
    name: re.compile(b"</" + _cased(name) + rb"(?=[\t\n\f\r />])") for name in (*RAW, b"noscript")
}
_SCRIPT = re.compile(rb"<!--|-->|<(/?)script(?=[\t\n\f\r />])", re.IGNORECASE)
_REFERENCE = re.compile(r"&([A-Za-z][A-Za-z0-9]*)(?![A-Za-z0-9;])(=?)")


class _Open(NamedTuple):
    """An open element of SVG or MathML, and, where HTML begins again in it, what is open there."""

    name: bytes
    space: bytes
    integrates: bool
    html: list[bytes]


class Attribute(NamedTuple):
    """One attribute of a tag: lower-case name, raw value or None, and where both stand in the tag."""

    name: bytes
    value: bytes | None
    start: int
    value_span: tuple[int, int]

    @property
    def text(self) -> str:
        """The value as a browser reads it: references decoded."""
        return decoded((self.value or b"").decode("utf-8", "replace"))


class Tag:
    """A start tag, and the edits that were asked for.

    `inert` inside noscript and template; `closed` with a slash before its end, which only foreign
    elements heed.
    """

    __slots__ = (
        "_after",
        "_before",
        "_edits",
        "_read",
        "_read_from",
        "closed",
        "inert",
        "name",
        "raw",
    )

    def __init__(
        self, name: bytes, raw: bytes, attributes_at: int, *, inert: bool, closed: bool
    ) -> None:
        self.name = name
        self.raw = raw
        self.inert = inert
        self.closed = closed
        self._read_from = attributes_at
        self._read: list[Attribute] | None = None
        self._before = b""
        self._after = b""
        self._edits: list[tuple[int, int, bytes]] = []

    @property
    def attributes(self) -> list[Attribute]:
        """Every attribute in order, repeats too; read when first asked for."""
        if self._read is None:
            self._read = _attributes(self.raw, self._read_from)
        return self._read

    def get(self, name: bytes) -> str | None:
        """Return the value that counts for a name: its first occurrence's."""
        return next((a.text for a in self.attributes if a.name == name), None)

    def rename(self, name: bytes, prefix: bytes) -> None:
        """Put a prefix before every occurrence of an attribute: a second one would step in."""
        for attribute in self.attributes:
            if attribute.name == name:
                self._edits.append((attribute.start, attribute.start, prefix))

    def insert(self, attribute: bytes) -> None:
        """Insert an attribute before all others: the first of a name is the one that counts."""
        at = 1 + len(self.name)
        self._edits.append((at, at, b" " + attribute))

    def replace(self, attribute: Attribute, value: str) -> None:
        """Give an attribute another value."""
        text = value.replace("&", "&amp;").replace('"', "&quot;").encode("utf-8", "replace")
        self._edits.append((*attribute.value_span, b'"' + text + b'"'))

    def before(self, data: bytes) -> None:
        """Insert bytes before the tag."""
        self._before += data

    def after(self, data: bytes) -> None:
        """Insert bytes after the tag."""
        self._after += data

    def spliced(self) -> bytes:
        """Return the tag with its edits."""
        if not (self._edits or self._before or self._after):
            return self.raw
        raw = self.raw
        for start, end, data in sorted(self._edits, reverse=True):
            raw = raw[:start] + data + raw[end:]
        return self._before + raw + self._after


class Handler(Protocol):
    """Who is asked about tags. While `every` is true, about each of them and about text."""

    @property
    def every(self) -> bool:
        """Whether to be asked about every tag."""

    def start(self, tag: Tag) -> None:
        """See a start tag and ask for edits."""

    def end(self, name: bytes) -> bytes:
        """See an end tag; return what goes before it."""

    def text(self) -> bytes:
        """See text that is not only white space, while `every`; return what goes before it."""

    def finish(self) -> bytes:
        """Return what goes before the last `</body>`, or at the end."""

    def island(self) -> Handler:
        """Return the handler for the content of a noscript."""


class Splicer:
    """Takes a page in pieces and gives it back with what the handler inserts."""

    def __init__(
        self,
        handler: Handler,
        *,
        inert: bool = False,
        xml: bool = False,
        links: bool = False,
        media: bool = False,
    ) -> None:
        self._media = media  # ask about pictures, films and sound too
        self._links = links  # ask about every <a> too
        self._xml = xml  # read as XML: no element is raw text, CDATA is everywhere
        self._handler = handler
        self._buffer = b""
        self._enough = 0  # bytes to wait for before the next look
        self._out: list[bytes] = []
        self._held: list[bytes] | None = None  # from the last </body> on
        self._held_size = 0
        self._raw = b""  # the raw text element we are in
        self._escape = 0  # 0, 1 or 2: the escaped states of a script
        self._foreign: list[_Open] = []
        self._templates = 0
        self._inert = inert
        self._plain = False
        self._island = False
        self._final = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece and give what is certain."""
        for at in range(0, len(chunk), PIECE):
            self._feed(chunk[at : at + PIECE])
        return self._taken()

    def _feed(self, chunk: bytes) -> None:
        """Take a piece; a token that was not complete is read again once there is twice as much."""
        self._buffer += chunk
        if len(self._buffer) >= self._enough:
            self._run()
            self._enough = 0 if self._raw else min(2 * len(self._buffer), MAX_TOKEN + 1)

    def close(self) -> bytes:
        """Give the rest: what is inserted comes before whatever the page leaves unfinished."""
        self._final = True
        self._run()
        tail, self._buffer = self._buffer, b""
        finish = self._handler.finish()
        if finish and self._raw:
            self._emit(b"</" + self._raw + b">")
        held, self._held = self._held or [], None
        self._out += [finish, *held, tail]
        return self._taken()

    @property
    def open_ended(self) -> bool:
        """Whether the page, as far as it came, ends inside a tag, a comment or raw text."""
        return bool(self._buffer or self._raw or self._plain)

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _emit(self, data: bytes) -> None:
        if self._held is None:
            self._out.append(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > MAX_HELD:
            self._release()

    def _release(self) -> None:
        self._out += self._held or []
        self._held, self._held_size = None, 0

    def _run(self) -> None:
        """Consume complete tokens; each step says where the next one begins, or -1 to wait."""
        at = 0
        buffer = self._buffer
        lower = buffer.lower()
        rare = (
            self._links
            or b"formaction" in lower
            or (b"ping" in lower and _PING.search(lower) is not None)
        )
        if self._media:
            boring = _BORING_BOTH if rare else _BORING_MEDIA
        else:
            boring = _BORING_RARE if rare else _BORING
        while at < len(buffer):
            if self._plain:
                self._emit(buffer[at:])
                at = len(buffer)
                break
            if self._raw:
                step = self._raw_text(buffer, at)
            elif self._island:
                step = self._noscript(buffer, at)
            elif self._handler.every or (self._foreign and not self._foreign_now):
                step = self._token(buffer, at)
            else:
                match = (_FLAT if self._foreign else boring).match(buffer, at)
                step = match.end() if match else at
                if step > at:
                    self._emit(buffer[at:step])
                else:
                    step = self._token(buffer, at)
            if step < 0:
                break
            at = step
        self._buffer = buffer[at:]

    def _raw_text(self, buffer: bytes, at: int) -> int:
        """Pass raw text up to its end tag, keeping back what could be the start of that."""
        if self._raw == b"script":
            end, scanned = self._script_end(buffer, at)
        else:
            match = _ENDS[self._raw].search(buffer, at)
            end, scanned = (match.start() if match else -1), at
        if end >= 0:
            self._emit(buffer[at:end])
            self._raw, self._escape = b"", 0
            return end
        safe = len(buffer) if self._final else max(scanned, len(buffer) - len(self._raw) - 2)
        if safe <= at:
            return -1
        self._emit(buffer[at:safe])
        return safe

    def _script_end(self, buffer: bytes, at: int) -> tuple[int, int]:
        """HTML Standard 13.2.5.15-31: `<!--` and `<script` in a script move its end.

        Returns where the end tag stands, or -1, and how far the text was read.
        """
        if not self._escape:
            end = _ENDS[b"script"].search(buffer, at)
            if end and buffer.find(b"<!--", at, end.start()) < 0:
                return end.start(), at
        while match := _SCRIPT.search(buffer, at):
            found, at = match[0].lower(), match.end()
            if found == b"<!--":
                self._escape = self._escape or 1
                at -= 2  # `<!-->` closes with the dashes that opened it
            elif found == b"-->":
                self._escape = 0
            elif match[1]:
                if self._escape < 2:  # noqa: PLR2004
                    return match.start(), at
                self._escape = 1
            elif self._escape == 1:
                self._escape = 2
        return -1, at

    def _token(self, buffer: bytes, at: int) -> int:
        """Take one token; return where the next begins, or -1 when this one is not complete."""
        if buffer[at : at + 1] != b"<":
            return self._text(buffer, at)
        second = buffer[at + 1 : at + 2]
        if not second:
            return self._wait(buffer, at)
        if second.isalpha() or (second == b"/" and buffer[at + 2 : at + 3].isalpha()):
            return self._tag(buffer, at)
        if second == b"/" and len(buffer) <= at + 2:
            return self._wait(buffer, at)
        if second in b"!?/":
            return self._comment(buffer, at)
        self._emit(b"<")
        return at + 1

    def _text(self, buffer: bytes, at: int) -> int:
        end = buffer.find(b"<", at)
        end = len(buffer) if end < 0 else end
        data = buffer[at:end]
        if self._handler.every and data.strip(b"\t\n\f\r \xef\xbb\xbf"):
            self._emit(self._handler.text())
        self._emit(data)
        return end

    def _comment(self, buffer: bytes, at: int) -> int:
        """Comments, doctypes, CDATA in foreign content, and all that is read as a comment."""
        if buffer.startswith(b"<!--", at):
            if buffer.startswith((b"<!-->", b"<!--->"), at):
                end = buffer.index(b">", at) + 1
            else:
                match = _COMMENT_END.search(buffer, at + 4)
                end = match.end() if match else -1
        elif self._among_foreign and buffer.startswith(b"<![CDATA[", at):
            end = buffer.find(b"]]>", at) + 3 or -1
            end = end if end > 2 else -1  # noqa: PLR2004
        else:
            starts = (b"<!--", b"<![CDATA[")
            if any(start.startswith(buffer[at:]) for start in starts) and not self._final:
                return -1
            end = buffer.find(b">", at) + 1 or -1
        if end < 0:
            return self._wait(buffer, at)
        self._emit(buffer[at:end])
        return end

    def _tag(self, buffer: bytes, at: int) -> int:
        match = _TAG.match(buffer, at)
        if match is None:
            return self._wait(buffer, at)
        name = match[2].lower()
        if match[1]:
            self._end(name, match[0])
            return match.end()
        inert = self._inert or self._templates > 0
        closed = match[4].endswith(b"/")
        tag = Tag(name, match[0], match.start(3) - at, inert=inert, closed=closed)
        foreign = self._xml or self._enter(tag)
        self._handler.start(tag)
        self._emit(tag.spliced())
        if foreign:
            return match.end()
        self._island = name == b"noscript" and not self._inert
        if name in RAW:
            self._raw = name
        self._plain = name == b"plaintext"
        self._templates += name == b"template"
        return match.end()

    def _end(self, name: bytes, raw: bytes) -> None:
        if self._foreign and self._leave(name):
            self._emit(raw)
            return
        if name == b"template":
            self._templates = max(0, self._templates - 1)
        elif not self._templates:
            self._emit(self._handler.end(name))
            if name == b"body" and not self._inert:
                self._release()
                self._held = []
        self._emit(raw)

    @property
    def _foreign_now(self) -> bool:
        """Whether a start tag is SVG's or MathML's here, where nothing is raw text."""
        return bool(self._foreign) and not self._foreign[-1].integrates

    @property
    def _among_foreign(self) -> bool:
        """Whether the current node is of SVG or MathML, so that CDATA exists (13.2.5.42)."""
        return self._xml or (bool(self._foreign) and not self._foreign[-1].html)

    def _enter(self, tag: Tag) -> bool:
        """Follow the way into and out of foreign content; say whether this tag is foreign."""
        name = tag.name
        if self._foreign_now and (name in _BREAKOUT or (name == b"font" and _colours(tag))):
            self._break_out()
        if not self._foreign_now and name not in _FOREIGN:
            if self._foreign and name not in _VOID:
                _nest(self._foreign[-1].html, name)
            return False
        space = self._foreign[-1].space if self._foreign_now else name
        if not tag.closed and len(self._foreign) < _DEPTH:
            integrates = name in _INTEGRATION[space] or (
                name == b"annotation-xml"
                and space == b"math"
                and (tag.get(b"encoding") or "").lower() in _ANNOTATION
            )
            self._foreign.append(_Open(name, space, integrates, []))
        return True

    def _leave(self, name: bytes) -> bool:
        """Follow an end tag; say whether it was about foreign elements alone (13.2.6.5).

        One that could close an HTML element around the whole is only sure to do so once the
        foreign elements are closed: their end tags are put before it. So it is with `</p>` and
        `</br>`, which not every engine lets break out.
        """
        if self._foreign_now and name in (b"p", b"br"):
            root = self._foreign[-1].space
            while self._foreign_now:
                if self._foreign.pop().name == root:
                    self._emit(b"</" + root + b">")
        for depth in reversed(range(len(self._foreign))):
            html = self._foreign[depth].html
            if html:
                if name in html:
                    del self._foreign[depth + 1 :]
                    while html.pop() != name:
                        pass
                return False
            if self._foreign[depth].name == name:
                del self._foreign[depth:]
                return True
        for opened in self._foreign:
            if opened.name == self._foreign[0].name:
                self._emit(b"</" + opened.name + b">")
        self._foreign.clear()
        return False

    def _break_out(self) -> None:
        while self._foreign_now:
            self._foreign.pop()

    def _noscript(self, buffer: bytes, at: int) -> int:
        """Splice the content of a noscript as a document of its own (read so with scripts off).

        Where that reading runs past the end that the other one sees, nothing in it may be markup:
        a space after each "<" makes text of it.
        """
        match = _ENDS[b"noscript"].search(buffer, at)
        if match is None and not self._final and len(buffer) - at <= MAX_ISLAND:
            return -1
        self._island = False
        end = match.start() if match else len(buffer)
        content = buffer[at:end]
        inner = Splicer(self._handler.island(), inert=True, links=self._links, media=self._media)
        spliced = inner.feed(content)
        ragged = inner.open_ended or len(content) > MAX_ISLAND
        spliced += inner.close()
        self._emit(content.replace(b"<", b"< ") if ragged else spliced)
        return end

    def _wait(self, buffer: bytes, at: int) -> int:
        """Wait for the rest of a token; one beyond the limit becomes text and can do nothing."""
        if len(buffer) - at <= MAX_TOKEN or self._final:
            return -1
        self._emit(b"&lt;")
        return at + 1


def decoded(value: str) -> str:
    """Decode the character references of an attribute's value (HTML Standard 13.2.5.73).

    One without its semicolon counts only when no "=" follows.
    """

    def legacy(match: re.Match[str]) -> str:
        known = match[1] in html5 and not match[2]
        return (html5[match[1]] if known else "&amp;" + match[1]) + match[2]

    return unescape(_REFERENCE.sub(legacy, value)) if "&" in value else value


def _colours(tag: Tag) -> bool:
    return any(tag.get(name) is not None for name in (b"color", b"face", b"size"))


def _nest(html: list[bytes], name: bytes) -> None:
    """Note an HTML element inside an integration point; what it closes by itself goes."""
    if name in _CLOSES_P and b"p" in html:
        html.remove(b"p")
    if name in (b"li", b"option", b"td", b"tr") and name in html:
        html.remove(name)
    nowhere = name in _STRUCTURE or (name in _TABLE and b"table" not in html)
    if len(html) < _DEPTH and not nowhere:
        html.append(name)


def _attributes(raw: bytes, at: int) -> list[Attribute]:
    found = []
    while (match := _ONE.match(raw, at)) and match[1] != b">":
        at = match.end()
        value, span = match[2], match.span(2)
        if value and value[:1] in b"\"'":
            value = value[1:-1]
        found.append(Attribute(match[1].lower(), value, match.start(1), span))
    return found
