r"""The entries of the log, as they are published: none says anything of a person.

    SNAPSHOT   01 01 || SHA-256 of what visitors are shown                                34 bytes
    DECISION   01 02 || HMAC-SHA-256(salt, "bandeau/decision/v1\n" || record)             34
    ERASURE    01 03 || u64 index || u8 reason || u32 day since 1970 UTC                  15
    KEY        01 04 || vkey of the key that signs from then on                           at most 402
    RETENTION  01 05 || u64 index: records of decisions before it are gone                10
    MODE       01 06 || a line of text: what is enforced, by which version, since when    at most 4,098
    AUDIT      01 07 || SHA-256 of a report's manifest                                    34

Numbers are big-endian. 01 is the format's version. What is written back differently is not read.
A commitment says nothing without its salt: once record and salt are erased nobody can tell what it was,
not even by trying all that it could have been.
"""

from __future__ import annotations

import hmac
import re
import struct
from dataclasses import dataclass
from enum import IntEnum

SALT = 32  # bytes
MAX_MODE = 4096  # bytes of text
MAX_KEY = 400  # bytes of text: a name of 255, an id, a key
_DIGEST = 32  # bytes
_DECISION = b"bandeau/decision/v1\n"
_ERASURE = struct.Struct(">QBI")
_RETENTION = struct.Struct(">Q")


class Kind(IntEnum):
    """What an entry is about."""

    SNAPSHOT = 1
    DECISION = 2
    ERASURE = 3
    KEY = 4
    RETENTION = 5
    MODE = 6
    AUDIT = 7


class Reason(IntEnum):
    """Why a record was erased."""

    REQUEST = 1  # of the person concerned (GDPR art. 17)
    ERROR = 2  # it should never have been kept
    ORDER = 3  # of a court or an authority (GDPR art. 58(2)(g))


_KINDS = frozenset(int(one) for one in Kind)
_REASONS = frozenset(int(one) for one in Reason)


class EntryError(ValueError):
    """Bytes that are no entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry by its kind and what follows it."""

    kind: Kind
    body: bytes

    def encode(self) -> bytes:
        """Return the entry's bytes."""
        return bytes((1, self.kind)) + self.body

    @classmethod
    def parse(cls, entry: bytes) -> Entry:
        """Read an entry. Raises EntryError."""
        if entry[:1] != b"\x01" or len(entry) < 2 or entry[1] not in _KINDS:  # noqa: PLR2004
            raise EntryError("not an entry of version 1")
        found = cls(Kind(entry[1]), entry[2:])
        if not _sound(found):
            raise EntryError(f"not a sound {found.kind.name} entry")
        return found

    def described(self) -> str:
        """Return the entry in words, for people."""
        match self.kind:
            case Kind.ERASURE:
                index, reason, _ = _ERASURE.unpack(self.body)
                return f"record {index} erased ({Reason(reason).name.lower()})"
            case Kind.RETENTION:
                return f"records before {_RETENTION.unpack(self.body)[0]} removed"
            case Kind.KEY | Kind.MODE:
                return self.body.decode("utf-8")
        return self.body.hex()


def snapshot(sha256: bytes) -> Entry:
    """Return the entry of what visitors are shown from then on."""
    return Entry(Kind.SNAPSHOT, sha256)


def audit(sha256: bytes) -> Entry:
    """Return the entry of an audit's report, by the hash of its manifest."""
    return Entry(Kind.AUDIT, sha256)


def decision(record: bytes, salt: bytes) -> Entry:
    """Return the commitment to a record."""
    return Entry(Kind.DECISION, hmac.digest(salt, _DECISION + record, "sha256"))


def erasure(index: int, reason: Reason, day: int) -> Entry:
    """Return the entry that says that a record was erased, and why; `day` counts from 1970, UTC."""
    return Entry(Kind.ERASURE, _ERASURE.pack(index, reason, day))


def erased(entry: Entry) -> tuple[int, Reason, int]:
    """Return index, reason and day of an ERASURE entry."""
    index, reason, day = _ERASURE.unpack(entry.body)
    return index, Reason(reason), day


def retention(index: int) -> Entry:
    """Return the entry that says that records before an index are gone."""
    return Entry(Kind.RETENTION, _RETENTION.pack(index))


def kept_from(entry: Entry) -> int:
    """Return the index of a RETENTION entry."""
    found: int = _RETENTION.unpack(entry.body)[0]
    return found


def key(vkey: str) -> Entry:
    """Return the entry of the key that signs from then on. Raises EntryError."""
    return _checked(Entry(Kind.KEY, vkey.encode("utf-8")))


def mode(line: str) -> Entry:
    """Return the entry of what is enforced from then on. Raises EntryError."""
    return _checked(Entry(Kind.MODE, line.encode("utf-8")))


def _checked(entry: Entry) -> Entry:
    return Entry.parse(entry.encode())


def _sound(entry: Entry) -> bool:
    size = len(entry.body)
    match entry.kind:
        case Kind.SNAPSHOT | Kind.DECISION | Kind.AUDIT:
            return size == _DIGEST
        case Kind.ERASURE:
            return size == _ERASURE.size and entry.body[8] in _REASONS
        case Kind.RETENTION:
            return size == _RETENTION.size
        case Kind.KEY:
            return 0 < size <= MAX_KEY and _text(entry.body)
        case Kind.MODE:
            return 0 < size <= MAX_MODE and _text(entry.body)


def _text(body: bytes) -> bool:
    try:
        return not re.search(r"[\x00-\x1f\x7f]", body.decode("utf-8"))
    except UnicodeDecodeError:
        return False
