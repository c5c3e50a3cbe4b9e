"""How fast pages are spliced, beside `gzip -6` of the same bytes in the same run.

    python bench/splice.py [FOLDER of *.html or *.html.gz]

Without a folder: a page made of the newspaper's own parts, with scripts and styles as pages have them.
"""

from __future__ import annotations

import gzip
import importlib
import random
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bandeau.gate.markup import Frame, Markup

CHUNK = 64 * 1024
ROUNDS = 7
CHANCE = random.Random(1)
VOCABULARY = [
    "".join(CHANCE.choices("aeiourstlnmdpc", k=CHANCE.randrange(2, 11))) for _ in range(3000)
]


class Parts:
    """Fragments of the size that ours have."""

    def head(self) -> bytes:
        return b"<script>" + b"x" * 9000 + b"</script>"

    def body(self, _lang: str | None) -> bytes:
        return b"<section>" + b"x" * 1500 + b"</section>"

    end = body

    def frame(self, _frame: Frame, _lang: str | None) -> bytes:
        return b"<span>x</span>"

    def closes(self, _path: str) -> bool:
        return False


def pages() -> list[bytes]:
    if len(sys.argv) > 1:
        found = sorted(Path(sys.argv[1]).glob("*.html*"))
        return [
            gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in found
        ]
    body = b"".join(part() for _ in range(40))
    return [
        b"<!doctype html><html lang=fr><head><title>t</title></head><body>"
        + body
        + b"</body></html>"
    ]


def words(count: int) -> bytes:
    return " ".join(CHANCE.choices(VOCABULARY, k=count)).encode()


def part() -> bytes:
    """Return thirty paragraphs, a script, an icon and a frame, in words that no packer knows by heart."""
    text = b'<p class="%s">%s <a href="/%s?b=1&amp;c">%s</a> <em>%s</em><br><img src="/%s.png" alt=""></p>\n'
    code = b"if (%s < 9) { %s = '<p>' + %s + '</p>'; }\n"
    paragraphs = [text % tuple(words(n) for n in (1, 60, 1, 3, 2, 1)) for _ in range(30)]
    lines = [code % (words(1), words(1), words(1)) for _ in range(60)]
    icon = b'<svg viewBox="0 0 20 20"><g><path d="M1 1h3v4z"/><path d="M5 5h3v4z"/></g></svg>\n'
    frame = b'<iframe src="//x.example/f" width="640" height="360"></iframe>\n'
    return b"".join([*paragraphs, b"<script>", *lines, b"</script>\n", icon, frame])


def spliced(page: bytes) -> None:
    markup = Markup(
        base="https://own.example/", allows=lambda host, _: host == "own.example", fragments=Parts()
    )
    for at in range(0, len(page), CHUNK):
        markup.feed(page[at : at + CHUNK])
    markup.close()


def best(task: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return min(times)


def _lolhtml() -> Callable[[bytes], object] | None:
    """Return a rewriting of the same pages by lol_html, which is written in Rust: links and frames."""
    try:
        lol = importlib.import_module("lolhtml")
    except ImportError:
        return None

    class Handler:
        def __init__(self, html: str) -> None:
            self.html = html

        def element(self, element: Any) -> None:
            place = element.prepend if element.tag_name in ("head", "body") else element.before
            place(self.html, lol.ContentType.HTML)

    def rewritten(page: bytes) -> None:
        parts = Parts()
        html = {"head": parts.head(), "body": parts.body(None), "iframe, link": b"<span>x</span>"}
        rewriter = lol.HTMLRewriter(lambda _chunk: None)
        for selector, inserted in html.items():
            rewriter.on(selector, Handler(inserted.decode()))
        for at in range(0, len(page), CHUNK):
            rewriter.write(page[at : at + CHUNK])
        rewriter.end()

    return rewritten


def main() -> None:
    found = pages()
    size = sum(map(len, found)) / 1e6
    ours = size / best(lambda: [spliced(page) for page in found])
    theirs = size / best(lambda: [zlib.compress(page, 6) for page in found])
    print(f"splicing, {len(found)} pages of {size:.1f} MB together")
    print(f"  spliced {ours:6.1f} MB/s   gzip -6 {theirs:6.1f} MB/s   ratio {ours / theirs:.2f}")
    if lolhtml := _lolhtml():
        other = size / best(lambda: [lolhtml(page) for page in found])
        print(f"  python-lolhtml {other:6.1f} MB/s   ratio {ours / other:.2f}")
    else:
        print("  python-lolhtml is not installed (pip install python-lolhtml): no ratio to it")


if __name__ == "__main__":
    main()
