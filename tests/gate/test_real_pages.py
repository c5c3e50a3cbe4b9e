"""Real news pages through the gate: the same tree but for what is meant, and little memory."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import html5lib
import pytest

from bandeau.gate.markup import Frame, Markup

NAMES = [f"{n:02}" for n in range(40)]
HEAD, BODY, END = (
    b"<script id=bd-x>H</script>",
    b"<section id=bd-x>B</section>",
    b"<section id=bd-x>E</section>",
)


class Parts:
    """Fragments with an id by which they are taken out again."""

    def head(self) -> bytes:
        return HEAD

    def body(self, lang: str | None) -> bytes:
        return BODY

    def end(self, lang: str | None) -> bytes:
        return END

    def frame(self, frame: Frame, lang: str | None) -> bytes:
        return b"<span id=bd-x>P</span>"

    def closes(self, _path: str) -> bool:
        return False


def gated(data: bytes, size: int = 16_384) -> bytes:
    own = "news.localhost"
    markup = Markup(
        base=f"http://{own}/page", allows=lambda host, _: host == own, fragments=Parts()
    )
    pieces = [markup.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + markup.close()


def events(page: bytes) -> tuple[str, list[Any]]:
    """Return the rendering mode and the tree as a flat list, without our parts and with what was disarmed undone."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=True)
    tree = parser.parse(page.decode("utf-8", "replace"))
    walker = html5lib.getTreeWalker("etree")
    found: list[Any] = []
    skipping = 0
    for token in walker(tree):
        kind = token["type"]
        if kind in ("StartTag", "EmptyTag"):
            attributes = {name: value for (_, name), value in token["data"].items()}
            if skipping or attributes.get("id") == "bd-x":
                skipping += kind == "StartTag"
                continue
            if attributes.get("type") == "text/plain" and token["name"] == "script":
                attributes["type"] = "speculationrules"
            undone = {name.removeprefix("data-bd-"): value for name, value in attributes.items()}
            undone.pop("srcdoc", None)  # a page of its own, compared by the tests of srcdoc
            found.append((token["name"], token["namespace"], sorted(undone.items())))
        elif kind == "EndTag":
            if skipping:
                skipping -= 1
            else:
                found.append(token["name"])
        elif not skipping and kind in ("Characters", "SpaceCharacters"):
            if found and isinstance(found[-1], list):
                found[-1].append(token["data"])
            else:
                found.append([token["data"]])
        elif not skipping and kind not in ("Characters", "SpaceCharacters"):
            found.append((kind, token.get("data"), token.get("name"), token.get("publicId")))
    return parser.compatMode, [
        ("text", "".join(item)) if isinstance(item, list) else item for item in found
    ]


@pytest.fixture(scope="module")
def pages(shared: Path) -> list[bytes]:
    return [
        gzip.decompress(path.read_bytes()) for path in sorted((shared / "pages").glob("*.html.gz"))
    ]


@pytest.mark.parametrize("number", NAMES)
def test_the_tree_of_a_real_page_is_the_same_but_for_what_is_meant(
    pages: list[bytes], number: str
) -> None:
    data = pages[int(number)]
    (mode, before), (mode_after, after) = events(data), events(gated(data))
    assert mode == mode_after
    assert len(before) > 100
    assert before == after


def test_a_large_page_takes_little_memory(pages: list[bytes]) -> None:
    data = max(pages, key=len)
    own = "news.localhost"
    markup = Markup(base=f"http://{own}/", allows=lambda host, _: host == own, fragments=Parts())
    markup.feed(data[:65_536])
    tracemalloc.start()
    for at in range(65_536, len(data), 65_536):
        markup.feed(data[at : at + 65_536])
    markup.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 4 * 1024 * 1024
