"""The notice's words: one TOML file a language, all with the same keys; no markup."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from gettext import c2py
from importlib.resources import files
from typing import Any

from bandeau.policy.model import Policy

_ELSEWHERE = {  # fields that are called as where they are listed
    "contact": ("trackers", "contact"),
    "data": ("settings", "data"),
    "days": ("tracker", "age"),
    "hosts": ("service", "hosts"),
    "max_age_days": ("tracker", "age"),
    "name": ("tracker", "name"),
    "party": ("tracker", "party"),
    "privacy_policy": ("links", "policy"),
    "recipient": ("settings", "recipients"),
}


class Texts:
    """The words of one language for one policy."""

    def __init__(self, language: str, policy: Policy) -> None:
        self.language = language
        self.words = locale(language)
        self._policy = policy

    def __call__(self, section: str, key: str, **values: str) -> str:
        """Return a text with its places filled; `text("band", "cookies_no")`."""
        return str(self.words[section][key]).format(**values)

    def purpose(self, purpose: str) -> tuple[str, str]:
        """Return title and sentence of a purpose: the owner's, else the built-in ones."""
        own = next((p.text for p in self._policy.purposes if p.id == purpose), {})
        if self.language in own:
            return own[self.language].title, own[self.language].sentence
        built_in = self.words["purpose"][purpose]
        return built_in["title"], built_in["sentence"]

    def feature(self, feature: str) -> tuple[str, str]:
        """Return title and sentence of a feature; one without texts goes by its id."""
        own = next((f.text for f in self._policy.features if f.id == feature), {})
        if self.language in own:
            return own[self.language].title, own[self.language].sentence
        built_in = self.words["feature"].get(feature, {"title": feature, "sentence": ""})
        return built_in["title"], built_in["sentence"]

    def titles(self, purposes: list[str]) -> str:
        """Return purposes as a list in words."""
        return str(self.words["meta"]["list"]).join(self.purpose(p)[0] for p in purposes)

    def quoted(self, text: str) -> str:
        """Return a text in the language's quotation marks."""
        return str(self.words["meta"]["quote"]).format(text=text)

    def data(self, categories: tuple[str, ...]) -> str:
        """Return categories of data as a list in words."""
        names = [self.words["data"][category] for category in categories or ("unknown",)]
        return str(self.words["meta"]["list"]).join(names)

    def field(self, field: str) -> str:
        """Return what a field of the policy is called; one without a name goes by its key."""
        section, key = _ELSEWHERE.get(field, ("fields", field))
        return str(self.words[section].get(key, field))

    def declared(self, field: str, value: Any) -> str:
        """Return a declared value in words; what has no words of its own as it stands in the policy."""
        if value is None:
            return "—"
        if field.endswith("days"):
            return self.duration(value)
        if field == "authority":
            return str(value["name"])
        named = {"data": "data", "role": "roles", "party": "tracker"}.get(field)
        words = self.words[named] if named else {}
        items = value if isinstance(value, list) else [value]
        if field == "hosts":
            items = [f"{item['host']} ({' '.join(item['kinds'])})" for item in items]
        return str(self.words["meta"]["list"]).join(words.get(item, str(item)) for item in items)

    def duration(self, days: int | None) -> str:
        """Return a duration in the largest unit that says it to the day: 182 days are six months."""
        if days is None:
            return str(self.words["tracker"]["session"])
        if days and days % 365 == 0:
            return self._count("year", days // 365)
        months = round(days * 12 / 365)
        if months > 1 and abs(days * 12 - months * 365) <= 12:  # noqa: PLR2004 (a day more or less)
            return self._count("month", months)
        return self._count("day", days)

    def _count(self, unit: str, number: int) -> str:
        forms = self.words["duration"][unit]
        return str(forms[form_of(self.words["meta"]["plural"])(number)]).format(n=number)


def languages() -> tuple[str, ...]:
    """Return the languages there are texts for."""
    names = (entry.name for entry in (files("bandeau.notice") / "locales").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def form_of(expression: str) -> Callable[[int], int]:
    """Return what tells the place of a number's plural form, out of an expression as of gettext."""
    return c2py(expression)


@lru_cache(maxsize=1024)
def negotiated(offered: tuple[str, ...], page: str | None, accepted: str | None) -> str:
    """Choose the language: the page's, else the first accepted one, else the first offered.

    `page` is a BCP 47 tag, `accepted` an Accept-Language header (RFC 9110 12.5.4). Only the primary
    subtag counts: who reads pt-BR reads our pt before another language. Never raises.
    """
    wanted = [page or ""]
    weighted = []
    for place, item in enumerate((accepted or "").split(",")):
        tag, _, rest = item.partition(";")
        match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", rest)
        weight = float(match[1]) if match else 1.0
        if weight > 0:
            weighted.append((-weight, place, tag))
    wanted += [tag for _, _, tag in sorted(weighted)]
    for tag in wanted:
        base = re.split(r"[-_]", tag.strip().lower())[0]
        if base in offered:
            return base
    return offered[0]


@cache
def locale(language: str) -> dict[str, Any]:
    """Return all the words of a language, as its file has them."""
    text = (files("bandeau.notice") / "locales" / f"{language}.toml").read_text("utf-8")
    return tomllib.loads(text)
