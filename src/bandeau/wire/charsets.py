"""Which character encoding a page is in, and UTF-8 for those in which "<" is not always a "<".

Everything else that browsers read (WHATWG Encoding) keeps ASCII bytes for ASCII characters in markup,
so such pages are spliced as they are. UTF-16 and ISO-2022-JP are decoded first: a tag that hides in
them would pass unseen.
"""

from __future__ import annotations

import codecs
import re

SNIFFED = 1024  # bytes in which a <meta charset> counts (HTML Standard, "prescan a byte stream")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))
_PARAMETER = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.()-]+)", re.IGNORECASE)
_UNSAFE = {
    "utf-16": "utf-16-le",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "ucs-2": "utf-16-le",
    "unicode": "utf-16-le",
    "iso-10646-ucs-2": "utf-16-le",
    "unicodefffe": "utf-16-be",
    "iso-2022-jp": "iso2022_jp",
    "csiso2022jp": "iso2022_jp",
}


def unsafe_codec(content_type: bytes, start: bytes) -> str | None:
    """Return Python's codec for a page whose bytes cannot be spliced, or None for all others.

    A byte order mark decides before the header, the header before a <meta> (which cannot name
    UTF-16, HTML Standard "prescan", step "if charset is UTF-16BE/LE").
    """
    for mark, codec in _BOMS:
        if start.startswith(mark):
            return None if codec == "utf-8" else codec
    named = _PARAMETER.search(content_type)
    if named:
        return _UNSAFE.get(named[1].decode("ascii").lower())
    in_page = _PARAMETER.search(start[:SNIFFED])
    written = _UNSAFE.get(in_page[1].decode("ascii").lower()) if in_page else None
    return written if written == "iso2022_jp" else None


class Transcoder:
    """A page in some codec, as UTF-8, in pieces; what cannot be read becomes U+FFFD."""

    def __init__(self, codec: str) -> None:
        self._decoder = codecs.getincrementaldecoder(codec)("replace")

    def feed(self, chunk: bytes) -> bytes:
        """Return the next piece in UTF-8."""
        return self._decoder.decode(chunk).replace("\ufeff", "").encode("utf-8", "replace")

    def close(self) -> bytes:
        """Return what is left."""
        return self._decoder.decode(b"", final=True).encode("utf-8", "replace")
