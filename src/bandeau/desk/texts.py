"""The desk's words: one TOML file a language, all with the same keys; no markup."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from bandeau.notice.texts import Texts, languages
from bandeau.policy.model import Policy

LANGUAGES = ("en", "fr", "de")
NAMES = {"en": "English", "fr": "Français", "de": "Deutsch"}


class Words:
    """The words of one language, and what a policy calls its purposes in it."""

    def __init__(self, language: str, policy: Policy) -> None:
        self.language = language
        self._words = _words(language)
        known = [lang for lang in (language, *policy.site.languages) if lang in languages()]
        self._texts = [Texts(lang, policy) for lang in known]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text by section and key, with its places filled: `t("erase.record", index=3)`."""
        return self._words[key].format(**values)

    def named(self, kind: str, value: str) -> str:
        """Return what a value of a breakdown is called; one that nobody named is called as it is."""
        if kind == "language":
            return NAMES.get(value, value)
        if kind != "purpose":
            return self._words.get(f"{kind}.{value}", value)
        for texts in self._texts:  # an older policy may have had purposes that this one has not
            try:
                return texts.purpose(value)[0]
            except KeyError:
                continue
        return value


@cache
def _words(language: str) -> dict[str, str]:
    text = (files("bandeau.desk") / "locales" / f"{language}.toml").read_text("utf-8")
    return dict(_flat(tomllib.loads(text)))


def _flat(words: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for section, keys in words.items():
        yield from ((f"{section}.{key}", text) for key, text in keys.items())
