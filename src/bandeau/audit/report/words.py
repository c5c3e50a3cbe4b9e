"""What people read for walks, stations, reasons and steps of a chain; other formats keep the names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from bandeau.audit.inventory import PURPOSES
from bandeau.audit.observe import file_of

WHY = {  # the words for a reason that is one word
    "no-notice": "there is no notice to answer: none that asks for a choice was found",
    "no-control": "the button or link for it was not found",
    "no-effect": "what was clicked changed nothing",
    "no-way-back": "no way back to the choices was found",
    "asked-again": "the notice came back when the page was loaded again",
    "no-list": "no list of trackers was found",
    "no-language": "the language is not one of those that are known",
    "one-site": "one site alone cannot show it",
    "not-run": "the test for it was not ordered",
    "not-seen": "what it is about was not seen",
    "not-watched": "something ran that could not be watched",
    "needs-human": "for a person to look at",
    "needs-policy": "only a policy of the site's can tell",
    "needs-server": "not to be seen from outside: ask the site's engineers",
    "unclassified": "nobody has said what the items are for",
    "others-chose": "others chose meanwhile",
    "bot-wall": "the site asks for proof of a person",
    "time": "it took too long",
    "error": "something went wrong",
}
_WALKS = {
    "no-choice": "first visit",
    "refuse": "refusal test",
    "accept": "acceptance test",
    "withdraw": "withdrawal test",
    "gpc": "visit with the browser's refusal signal (Global Privacy Control)",
    "reconsider": "test of accepting after a refusal",
    "return": "later visit",
    "no-script": "visit without scripts",
    "small": "visit in a small window",
    "dismiss": "test of closing the notice",
    "dirty": "visit with an identifier of an earlier one",
    "settings": "test of saving the settings untouched",
    "keyboard": "refusal test by keyboard",
    "endpoints": "test of the consent system's public addresses",
}
_STATIONS = {
    "arrive": "first load, before any choice",
    "first": "first load, before any choice",
    "no-choice": "nothing chosen",
    "gpc": "nothing chosen",
    "small": "nothing chosen",
    "no-script": "without scripts",
    "dirty": "second load, before any choice",
    "told": "pages that the notice links to",
    "refuse": "after refusing",
    "keyboard": "after refusing by keyboard",
    "accept": "after accepting",
    "withdraw": "after withdrawing",
    "reconsider": "after accepting at last",
    "return": "back again",
    "against": "accepting against the signal",
    "dismiss": "after closing the notice",
    "settings": "settings opened",
    "saved": "after saving",
}
SET = "a cookie in the answer"  # of a server
_ADDRESS = re.compile(r"https?://[^\s<>«»\"]+[^\s<>«»\":;,.)]")
_KIND = re.compile("^(?:cookie|(?:local|session) storage key|database|cache|service worker) ")
_CODE = re.compile("`([^`]+)`")


def picture_name(scenario: str, number: int, station: str) -> str:
    """Return the file name of a screenshot."""
    return f"{scenario.replace(':', '-')}-{number}-{station.replace(':', '-')}.png"


def walk(scenario: str) -> str:
    """Return what a walk is called."""
    name, _, purpose = scenario.partition(":")
    return (
        f"test of accepting only {PURPOSES.get(purpose, purpose)}"
        if purpose
        else _WALKS.get(name, name)
    )


def station(name: str) -> str:
    """Return what a station of a walk is called."""
    base, reload, _ = name.partition("-reload")
    base, page, number = base.partition("-page-")
    words = _STATIONS.get(base) or _STATIONS.get(base.partition("-")[0])
    if base.startswith("only:"):
        words = f"after accepting only {PURPOSES.get(base[5:], base[5:])}"
    return (
        (words or base) + (", page loaded again" if reload else "") + (page and f", page {number}")
    )


def where(fact: Mapping[str, Any]) -> str:
    """Return in which walk and when a fact was seen."""
    if not fact["scenario"] or not fact["station"]:
        return fact["scenario"] and walk(fact["scenario"])
    at = f"after {fact['at'] / 1000:.1f} s"
    return f"{walk(fact['scenario'])}: {station(fact['station'])}, {at}"


def marked(text: str) -> Markup:
    """Return a text in which what stands between backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def shortened(text: str, url: str) -> Markup:
    """Return a text whose addresses have no query; the whole of it is their title."""
    parts, last = [], 0
    for found in _ADDRESS.finditer(text):
        whole, brief = found[0], address(found[0], url)
        parts += [escape(text[last : found.start()])]
        parts += [
            escape(brief)
            if brief == whole
            else Markup('<span title="{}">{}</span>').format(whole, brief)
        ]
        last = found.end()
    return Markup("").join([*parts, escape(text[last:])])


def address(whole: str, url: str) -> str:
    """Return an address as one reads it: the page that was audited by that name, queries cut."""
    plain, asked, _ = whole.partition("?")
    if whole == url:
        return "the page"
    split, home = urlsplit(plain), urlsplit(url)
    return f"{(split.path or '/') if split.netloc == home.netloc else plain}{asked and '?…'}"


def way(chain: list[str], url: str) -> list[tuple[str, str]]:
    """Return a chain from the page to who did it, once for each file."""
    steps = [_said(step, url) for step in reversed(chain)]
    if len(steps) > 1 and steps[0][0] == "the page":
        del steps[0]  # the others say where they are
    lines = [(where, "line " in what and "<" not in what) for what, where in steps]
    return [
        one
        for at, one in enumerate(steps)
        if not (at and lines[at][1] and lines[at] == lines[at - 1])
    ]


def name_of(item: str) -> str:
    """Return the name of a kept or sent item, as `inventory.item_of` has it with kind and host."""
    return _KIND.sub("", item.rpartition(" of ")[0])


def place(chain: list[str], url: str) -> tuple[str, str]:
    """Return the step of a chain that the site's own page begins it with, in words."""
    return _said(chain[-2] if len(chain) > 1 else chain[-1] if chain else "", url)


def _said(step: str, url: str) -> tuple[str, str]:
    """Return a step of a chain in words: what it is, and where; "" where that is all there is to say."""
    file, _, tag = step.partition(" <")
    if tag and file.startswith("http"):
        return f"<{tag}", address(file, url)
    word, rest = "", step
    for begins, said in (("response of ", SET), ("redirect from ", "a redirect")):
        if step.startswith(begins):
            word, rest = said, step.removeprefix(begins)
    if not rest.startswith("http"):
        return step, ""
    file = file_of(rest)
    where, (line, _, column) = address(file, url), rest[len(file) + 1 :].partition(":")
    if line:
        return f"{'a script in ' if column and file == url else ''}line {line}", where
    return (word, where) if word else (where, "")
