"""A posted form as what the visitor meant; not yet an event, and never an error."""

from __future__ import annotations

from dataclasses import dataclass

from bandeau.policy.model import Policy

CHOICES = ("all", "none", "save", "add")
LAYERS = ("first", "settings", "place")
MAX_HELD = 200  # items that a page may say it missed


@dataclass(frozen=True, slots=True)
class Posted:
    """A choice that was posted; `purposes` are known ids only, `back` a path of this site.

    `receipt` asks for the proof as the answer; `key` marks repetitions of one request; `account` says
    that the form was shown to somebody signed in, who was told how far the choice reaches.
    """

    choice: str
    purposes: frozenset[str]
    back: str
    confirm: bool
    held: tuple[str, ...]
    layer: str
    language: str | None
    receipt: bool
    key: str
    account: bool


def read(fields: list[tuple[str, str]], policy: Policy) -> Posted | None:
    """Read the fields of a form; None when they hold no choice, or more than one."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    choice = values.get("choice", [])
    if len(choice) != 1 or choice[0] not in CHOICES:
        return None
    known = frozenset(policy.consentable)
    language = values.get("lang", [""])[0]
    return Posted(
        choice=choice[0],
        purposes=known & frozenset(values.get("purpose", [])),
        back=local(values.get("back", ["/"])[0]),
        confirm=values.get("confirm") == ["1"],
        held=tuple(values.get("held", [])[:MAX_HELD]),
        layer=layer if (layer := values.get("layer", [""])[0]) in LAYERS else "api",
        language=language if language in policy.site.languages else None,
        receipt=values.get("receipt") == ["1"],
        key=values.get("key", [""])[0],
        account=values.get("account") == ["1"],
    )


def local(path: str) -> str:
    """Return a path of this site, whatever was sent: no open redirect, no header injection."""
    sound = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if sound else "/"
