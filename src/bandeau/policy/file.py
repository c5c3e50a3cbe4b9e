"""From bandeau.toml to a Policy, or to every problem in it at once, each with place and remedy."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bandeau.errors import PolicyError, Problem
from bandeau.policy import presets
from bandeau.policy.check import check
from bandeau.policy.model import ADVICE_KEEP_DAYS, Policy

MAX_BYTES = 4 * 1024 * 1024  # a policy of 10,000 services is smaller


def load(path: Path) -> Policy:
    """Read a policy file. Raises PolicyError with every problem."""
    return load_with_warnings(path)[0]


def load_with_warnings(path: Path) -> tuple[Policy, list[Problem]]:
    """Read a policy file and return it with what is allowed and still worth saying."""
    try:
        data = path.read_bytes()
    except OSError as error:
        problem = Problem(
            "BP001", str(path), f"cannot be read: {error.strerror}", "name a file that exists"
        )
        raise PolicyError([problem]) from error
    return loads_with_warnings(data, path.name)


def loads(text: str | bytes, place: str = "bandeau.toml") -> Policy:
    """Read a policy from text. Raises PolicyError with every problem."""
    return loads_with_warnings(text, place)[0]


def loads_with_warnings(text: str | bytes, place: str) -> tuple[Policy, list[Problem]]:
    """Read a policy from text, with its warnings."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        if len(decoded) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} characters")  # noqa: TRY301 (one remedy)
        table = tomllib.loads(decoded)
    except (ValueError, RecursionError) as error:
        problem = Problem("BP002", place, f"this is not TOML: {error}", "correct it at that place")
        raise PolicyError([problem]) from error
    return from_table(table)


def from_table(table: dict[str, Any]) -> tuple[Policy, list[Problem]]:
    """Make a policy of a parsed table, with its warnings. Raises PolicyError with every problem."""
    try:
        policy = Policy.model_validate(table)
    except ValidationError as error:
        problems = [_problem(detail, table) for detail in error.errors(include_url=False)]
        raise PolicyError(problems) from error
    known = tuple(p for p in policy.site.presets if p in presets.PRESETS)
    declared = {(tracker.kind, tracker.name) for tracker in policy.trackers}
    added = tuple(t for t in presets.trackers(known) if (t.kind, t.name) not in declared)
    if added:
        policy = policy.model_copy(update={"trackers": policy.trackers + added})
    found = check(policy)
    errors = [problem for problem in found if problem.level == "error"]
    if errors:
        raise PolicyError(errors)
    return policy, found


def _problem(detail: ErrorDetails, table: dict[str, Any]) -> Problem:
    """Translate one of pydantic's findings into place, plain words and a line to write."""
    where = [part for part in detail["loc"] if not (isinstance(part, str) and "[" in part)]
    place, kind = _place(where, table), detail["type"]
    key = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        return Problem("BP003", place, f"{key!r} is no key here", _did_you_mean(key, where))
    if kind == "missing":
        remedy = (
            f"keep_days = 912   # {ADVICE_KEEP_DAYS}"
            if where[:1] == ["proof"]
            else f"add {key} = …"
        )
        return Problem("BP004", place, f"{key!r} is missing", remedy)
    message = detail["msg"].removeprefix("Value error, ")
    given = "" if isinstance(detail["input"], dict | list) else f", not {detail['input']!r}"
    return Problem("BP005", place, f"{message}{given}", f"correct {key or 'this table'}")


def _place(where: Sequence[int | str], table: dict[str, Any]) -> str:
    """Write a location as the file shows it: `[[service]] 3 "comments" · hosts[0].kinds`."""
    if not where:
        return "the file"
    top, rest = str(where[0]), list(where[1:])
    head = f"[{top}]"
    if rest and isinstance(rest[0], int):
        number = int(rest.pop(0))
        head = f"[[{top}]] {number + 1}"
        entry = table.get(top)
        item = entry[number] if isinstance(entry, list) and number < len(entry) else None
        if isinstance(item, dict) and isinstance(named := item.get("id", item.get("name")), str):
            head += f' "{named}"'
    tail = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return f"{head} · {tail.lstrip('.')}" if tail else head


def _did_you_mean(key: str, where: Sequence[int | str]) -> str:
    known = _keys(where[:-1])
    close = difflib.get_close_matches(key, known, 1)
    return (
        f"did you mean {close[0]!r}?"
        if close
        else f"remove it; the keys here are {', '.join(known)}"
    )


def _keys(where: Sequence[int | str]) -> list[str]:
    """Return the keys of the table at a location, by walking the models."""
    model: type[BaseModel] | None = Policy
    for part in where:
        if model is None:
            return []
        for name, field in model.model_fields.items():
            if part in (name, field.alias):
                model = _model_in(field.annotation)
                break
    return sorted(f.alias or n for n, f in model.model_fields.items()) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
