"""Every exception that bandeau raises on purpose; what a visitor sends raises none.

BandeauError
├── PolicyError      the owner's bandeau.toml: every problem at once, with place and remedy
├── KeyFileError     the secret is missing, unreadable, or readable by others
├── LedgerError      decisions cannot be stored or read
│   ├── LedgerBusyError   too many are waiting: come back later
│   ├── ConflictError     a retry that is not the request it claims to repeat
│   └── MovedError        an account's choice is not the one any more that was read
├── RecordError      not a decision's record (our own mistake, or a file that was tampered with)
├── RulesetError     the inspector's rules, as they stand in their files (`audit.ruleset`)
└── LexiconError     its lexicon or its list of notices, likewise (`audit.lexicon`)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


class BandeauError(Exception):
    """The root of the tree."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a policy: its id (BP001…), where, what, and what to write instead."""

    id: str
    place: str
    message: str
    remedy: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.id} {self.place}\n    {self.message}\n    → {self.remedy}"


class PolicyError(BandeauError):
    """A policy that cannot be used. `problems` holds all of them, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class KeyFileError(BandeauError):
    """The key file cannot be used; the message says what to do."""


class LedgerError(BandeauError):
    """The ledger cannot be opened, read or written."""


class LedgerBusyError(LedgerError):
    """The ledger takes no more just now."""


class ConflictError(LedgerError):
    """An idempotency key that came before with another body, or from somebody else."""


class MovedError(LedgerError):
    """An account chose elsewhere since its choice was read: what is asked has to be worked out anew."""


class RecordError(BandeauError):
    """What is not a record, or would not be read back as it was written."""
