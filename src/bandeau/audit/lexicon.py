"""What the buttons of notices say and how the widely used ones are built, as data; nothing is pressed.

    label → words → the longest phrase in it that the lexicon knows → goal

Words are compared without case, accents, punctuation, arrows and emoji: `« TOUT  REFUSER » →` is
"tout refuser". A phrase of one word must be the whole label, a longer one at least half of it. A
forbidden word (pay, log in, subscribe …) wins over everything: such a label has no goal. So has one
that could be an acceptance turned round ("do not accept all"), unless the turned phrase is known
itself. No goal means that it cannot be told, never that it is a refusal.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from bandeau.errors import BandeauError

LONGEST = 12  # words; what is longer is a text and no button
_CROSSES = dict.fromkeys(map(ord, "×✕✖✗✘╳❌⨯"), "x")  # noqa: RUF001 (they are what is looked for)
_STRICT = ConfigDict(extra="forbid", strict=True)

Words = tuple[str, ...]
Table = TypeVar("Table")


class LexiconError(BandeauError):
    """The lexicon or the list of notices, as it stands in its file, cannot be used."""


class Goal(StrEnum):
    """What a control of a notice is for."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    SETTINGS = "settings"  # opens the choices, in the notice or at the foot of a page
    SAVE = "save"
    WAY_BACK = "way_back"  # takes a choice back, or changes it
    CLOSE = "close"


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Language:
    """The labels of one language by goal, the words never pressed, and those that turn a label round."""

    accept: Words
    refuse: Words
    settings: Words
    save: Words
    way_back: Words
    close: Words
    never: Words
    negations: Words

    def labels(self, goal: Goal) -> Words:
        """Return the labels for a goal."""
        found: Words = getattr(self, goal)
        return found


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Known:
    """The markup of one widely used notice; of each list of CSS selectors the first visible counts."""

    name: str
    checked: bool  # pressed in a real build, else from published documentation
    detect: Words  # any of them is in the document
    shown: Words = ()  # visible while a choice is asked for; none: as soon as it is in the document
    accept: Words = ()
    refuse: Words = ()
    settings: Words = ()
    save: Words = ()
    way_back: Words = ()
    purposes: Words = ()  # what grants one purpose: check boxes, switches, radio buttons
    host: str | None = None  # the element whose shadow root it lives in
    kept: Words = ()  # what remembers the choice: "cookie NAME", "local NAME"; * ends a beginning
    note: str | None = None


def folded(label: str) -> Words:
    """Return the words of a label: no case, accents, punctuation, symbols or invisible characters."""
    letters = unicodedata.normalize("NFKD", label.translate(_CROSSES).casefold())
    kinds = ((letter, unicodedata.category(letter)) for letter in letters)
    return tuple(
        "".join(
            letter if kind[0] in "LN" else "" if kind in ("Mn", "Me", "Cf") else " "
            for letter, kind in kinds
        ).split()
    )


def spoken(label: str) -> frozenset[str]:
    """Return the languages in which a control is labelled exactly so (ISO 639-1)."""
    phrase = _phrases().get(folded(label))
    return phrase.languages if phrase else frozenset()


def said(topic: str, text: str) -> list[str]:
    """Return the words of a text that speak of a topic (`words.toml`), in its order, each once."""
    return list(dict.fromkeys(_topics()[topic].findall(" ".join(folded(text)))))


def goal_of(label: str) -> Goal | None:
    """Return what a control with this label is for; None where that cannot be told."""
    words = folded(label)
    if not 0 < len(words) <= LONGEST or _forbidden().search(" ".join(words)):
        return None
    for size in range(len(words), (len(words) - 1) // 2, -1):
        if size == 1 < len(words):
            return None
        found = {}
        for start in range(len(words) - size + 1):
            phrase = _phrases().get(words[start : start + size])
            if phrase:
                rest = " ".join((*words[:start], "|", *words[start + size :]))
                turned = phrase.goal is Goal.ACCEPT and phrase.negations.search(rest)
                found[phrase.goal] = not turned
        if found:
            goal, *others = found
            return goal if found[goal] and not others else None
    return None


@cache
def languages() -> dict[str, Language]:
    """Return the labels by language (ISO 639-1): the 24 of the Union. Raises LexiconError."""
    return _read("lexicon.toml", _text("lexicon.toml"), TypeAdapter(dict[str, Language]))


@cache
def notices() -> tuple[Known, ...]:
    """Return the widely used notices, in the order in which they are looked for. Raises LexiconError."""
    table = TypeAdapter(dict[Literal["notice"], tuple[Known, ...]])
    return _read("notices.toml", _text("notices.toml"), table)["notice"]


@dataclass(frozen=True, slots=True)
class _Phrase:
    goal: Goal
    languages: frozenset[str]  # that have the phrase
    negations: re.Pattern[str]  # of all of them


@cache
def _phrases() -> dict[Words, _Phrase]:
    goals: dict[Words, Goal] = {}
    spoken: dict[Words, set[str]] = {}
    known = languages()
    for name, language in known.items():
        for goal in Goal:
            for label in language.labels(goal):
                words = folded(label)
                if goals.setdefault(words, goal) is not goal:
                    raise LexiconError(f"«{label}» is both {goals[words]} and {goal}")
                spoken.setdefault(words, set()).add(name)
    return {
        words: _Phrase(
            goal,
            frozenset(spoken[words]),
            _any_of(word for name in spoken[words] for word in known[name].negations),
        )
        for words, goal in goals.items()
    }


@cache
def _topics() -> dict[str, re.Pattern[str]]:
    table = TypeAdapter(dict[Literal["topics"], dict[str, Words]])
    found = _read("words.toml", _text("words.toml"), table)["topics"]
    return {topic: _any_of(words) for topic, words in found.items()}


@cache
def _forbidden() -> re.Pattern[str]:
    return _any_of(word for language in languages().values() for word in language.never)


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    forms = sorted({" ".join(folded(word)) + r"\w*" * word.endswith("*") for word in words})
    return re.compile(rf"\b(?:{'|'.join(forms)})\b")


def _text(name: str) -> str:
    return (files("bandeau.audit") / name).read_text("utf-8")


def _read(name: str, text: str, adapter: TypeAdapter[Table]) -> Table:
    try:
        # As JSON: only there does a strict model take a list for a tuple.
        return adapter.validate_json(json.dumps(tomllib.loads(text)))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise LexiconError(f"{name}: {error}") from None
