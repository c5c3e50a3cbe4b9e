"""What differs between two versions of what is declared (`trackers_data`); not how it is worded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_PURPOSE = ("title", "sentence", "data")
_INSIDE = ("id", "kind", "name", "purpose", "needs_any", "service")  # what names it, and its owners


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: a purpose, service, tracker, or what is said of the controller and the choice.

    `fields` are names with what stood there and what stands there now; None for nothing.
    """

    how: Literal["added", "removed", "changed"]
    what: Literal["purpose", "service", "tracker", "controller", "choice"]
    name: str
    fields: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A version of the notice as it is told: its hash, since when, languages, what it changed.

    `changes` is None for the first one; `now` says that it is shown today.
    """

    sha256: str
    since: str
    languages: tuple[str, ...]
    changes: list[Change] | None
    now: bool


_Items = Mapping[
    tuple[str, ...], tuple[str, Mapping[str, Any]]
]  # by key: a name to show, and fields


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the differences, in the order of the newer version; what is gone comes last of its kind."""
    found: list[Change] = []
    for what, of in (("purpose", _purposes), ("service", _services), ("tracker", _trackers)):
        found += _compared(what, of(before), of(after))  # type: ignore[arg-type]
    pairs = (
        ("controller", before["controller"], after["controller"]),
        ("choice", {"days": before["own"]["max_age_days"]}, {"days": after["own"]["max_age_days"]}),
    )
    for what, old, new in pairs:
        fields = tuple(_differing(old, new))
        if fields:
            found.append(Change("changed", what, "", fields))  # type: ignore[arg-type]
    return found


def _compared(
    what: Literal["purpose", "service", "tracker"], before: _Items, after: _Items
) -> Iterator[Change]:
    for key, (name, item) in after.items():
        if key not in before:
            yield Change("added", what, name)
        elif fields := tuple(_differing(before[key][1], item)):
            yield Change("changed", what, name, fields)
    for key, (name, _) in before.items():
        if key not in after:
            yield Change("removed", what, name)


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for field in dict.fromkeys([*after, *before]):
        old, new = _said(before.get(field)), _said(after.get(field))
        if old != new:
            yield field, old, new


def _said(value: Any) -> Any:
    """Return a value, or None for what is the same as unsaid; nought is something."""
    return None if value is False or value in ("", []) else value


def _purposes(declared: Mapping[str, Any]) -> _Items:
    return {
        (one["id"],): (one["title"], {field: one[field] for field in _PURPOSE})
        for one in declared["purposes"]
    }


def _services(declared: Mapping[str, Any]) -> _Items:
    """Return services once, though some stand under several purposes; which, is a field."""
    found: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    for purpose in declared["purposes"]:
        for one in purpose["services"]:
            fields = {field: value for field, value in one.items() if field not in _INSIDE}
            _, item = found.setdefault((one["id"],), (one["recipient"], {"purposes": [], **fields}))
            item["purposes"].append(purpose["title"])
    return found


def _trackers(declared: Mapping[str, Any]) -> _Items:
    found: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    for purpose in declared["purposes"]:
        for one in purpose["trackers"]:
            fields = {field: value for field, value in one.items() if field not in _INSIDE}
            key = (one["kind"], one["name"], one.get("service") or one.get("purpose") or "")
            _, item = found.setdefault(key, (one["name"], {"purposes": [], **fields}))
            item["purposes"].append(purpose["title"])
    return found
