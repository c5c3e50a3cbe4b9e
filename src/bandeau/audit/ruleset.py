"""The 63 rules as data: what must hold, by which source, how it is decided, what to do; no judging.

One TOML file a section, `rules/a.toml` to `rules/m.toml`. An id never changes its meaning: what a rule
asks may change only with a higher `version` of it, and any change of the files with a higher
`RULESET_VERSION`, so that reports of two dates can be compared.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from bandeau.errors import BandeauError

RULESET_VERSION = 3
FORCES = {"L": "law or judgment", "G": "guidance of a regulator", "B": "best practice"}
SEVERITIES = {"C": "critical", "M": "major", "m": "minor"}
REACHES = {
    "ext": "any site",
    "self": "needs the site's server or configuration",
    "ext+self": "any site; more with its server or configuration",
}
_STRICT = ConfigDict(extra="forbid", strict=True)

Scenario = Literal[
    "no-choice",
    "refuse",
    "accept",
    "only:p",
    "withdraw",
    "reconsider",
    "return",
    "no-script",
    "gpc",
    "small",
    "dismiss",
    "dirty",
    "settings",
    "keyboard",
    "endpoints",
]


class RulesetError(BandeauError):
    """The rules, as they stand in their files, cannot be used: which file and why."""


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Decision:
    """How a rule is decided: when it fails, when it passes, when nothing can be said."""

    fails: str
    passes: str
    unknown: str


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement; `starred` are the ones decided first, `headline` those that get sites fined."""

    id: str
    version: int
    requirement: str
    failure: str  # what a rule that fails comes to, as a headline
    scenarios: tuple[Scenario, ...]  # those of `audit`; none: other tests decide it
    force: Literal["L", "G", "B"]
    severity: Literal["C", "M", "m"]
    starred: bool
    jurisdictions: tuple[str, ...]  # in which a source of it speaks: EU, or ISO 3166
    sources: tuple[str, ...]
    reach: Literal["ext", "self", "ext+self"]
    decision: Decision
    evidence: str  # what would change the verdict
    remedy: str
    remedy_bandeau: str | None = None  # where a site stands behind bandeau and that differs
    question: str | None = None  # what only a person can answer
    headline: bool = False


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Section:
    """The rules of one letter, under one title."""

    title: str
    rule: tuple[Rule, ...]


_SECTION = TypeAdapter(Section)


@cache
def sections(folder: Path | None = None) -> dict[str, Section]:
    """Return every section by its letter. Raises RulesetError."""
    place = folder or files("bandeau.audit") / "rules"
    found = {}
    for file in sorted(place.iterdir(), key=lambda one: one.name):
        letter, _, kind = file.name.partition(".")
        if kind != "toml":
            continue
        try:
            # As JSON: only there does a strict model take a list for a tuple.
            section = _SECTION.validate_json(json.dumps(tomllib.loads(file.read_text("utf-8"))))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise RulesetError(f"{file.name}: {error}") from None
        ids = [rule.id for rule in section.rule]
        if ids != [f"{letter.upper()}{number}" for number in range(1, len(ids) + 1)]:
            raise RulesetError(f"{file.name}: ids go {letter.upper()}1, {letter.upper()}2 …: {ids}")
        found[letter.upper()] = section
    return found


def load(folder: Path | None = None) -> dict[str, Rule]:
    """Return every rule by its id, in the order of the ids. Raises RulesetError."""
    return {rule.id: rule for section in sections(folder).values() for rule in section.rule}
