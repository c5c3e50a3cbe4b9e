r"""Signed notes and the checkpoints of a log: what is signed, and who signed it. No input or output.

    note       = text "\n" 1*16 signature               at most 64 KiB; the text ends in "\n"
    signature  = "— " name " " base64(key id, 4 bytes || signature) "\n"          (U+2014)
    key id     = SHA-256(name "\n" kind || public key)[:4]
    kind       = 01 Ed25519 | 04 a witness's Ed25519 cosignature, over its time and the text
    vkey       = name "+" hex(key id) "+" base64(kind || public key)
    checkpoint = origin "\n" size "\n" base64(root) "\n"     the text of a note; no further line

    www.lanterne.example/_b/log
    3
    BcLvVQG+1Bvt2d4O9yWv2XGJzKT9yz2Wz8nC5GQ7T9c=

    — www.lanterne.example/_b/log T0Xq5hUk…

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature. Of several spellings
of one thing (base64 with other trailing bits, a size with a zero in front) only one is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandeau.ledger.tree import HASH, MAX_SIZE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_NOTE = 64 * 1024  # bytes
MAX_SIGNATURES = 16  # what a verifier has to accept at least (signed-note, "Format")
MAX_NAME = 255  # bytes; a witness's cosignature allows no longer origin
ED25519 = 1
COSIGNATURE = 4
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]+")
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class NoteError(ValueError):
    """A note, a key or a checkpoint that is not what it should be; the message says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note: who, with which key (4 bytes), and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """Return the line, with its end."""
        return f"— {self.name} {encoded(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures under it; nothing is verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Return the note's bytes."""
        return (self.text + "\n" + "".join(one.line() for one in self.signatures)).encode()


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under a name: what an outsider needs to have got from somewhere else."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that name the key in a signature."""
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(named).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as one line of text."""
        return f"{self.name}+{self.key_id.hex()}+{encoded(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """Read a vkey. Raises NoteError."""
        match = _VKEY.fullmatch(vkey)
        if match is None:
            raise NoteError("a key is NAME+8 hex digits+base64, on one line")
        key = decoded(match[3])
        if len(key) != 1 + HASH or key[0] not in (ED25519, COSIGNATURE):
            raise NoteError("this is not an Ed25519 key")
        found = cls(_name(match[1]), key[1:], key[0])
        if found.vkey != vkey:
            raise NoteError("the key's id is not the one of its name and bytes")
        return found

    def verifies(self, text: str, signature: bytes) -> bool:
        """Check a signature under a text. Needs `cryptography`; never raises for bad bytes."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (only to verify)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )

        message = text.encode()
        if self.kind == COSIGNATURE:
            message = b"cosignature/v1\ntime %d\n" % int.from_bytes(signature[:8]) + message
            signature = signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A log's private key under the log's name. The same text gives the same signature (RFC 8032)."""

    def __init__(self, name: str, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 (verifiers
            Ed25519PrivateKey,  # that only read need none of it)
        )

        self._key: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(_name(name), self._key.public_key().public_bytes_raw())
        self._key_id = self.verifier.key_id

    def sign(self, size: int, root: bytes) -> bytes:
        """Return the signed checkpoint of a tree."""
        name = self.verifier.name
        text = f"{name}\n{size}\n{encoded(root)}\n"
        signed = self._key_id + self._key.sign(text.encode())
        return f"{text}\n— {name} {encoded(signed)}\n".encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: its name, how many entries, and the hash over them."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint's text. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:  # noqa: PLR2004 (three lines and what follows the last)
            raise NoteError("a checkpoint has three lines: origin, size, root")
        root = decoded(lines[2])
        if len(root) != HASH:
            raise NoteError("a root is 32 bytes")
        return cls(_name(lines[0]), number(lines[1]), root)

    def text(self) -> str:
        """Return what is signed."""
        return f"{self.origin}\n{self.size}\n{encoded(self.root)}\n"


def parse(note: bytes) -> Note:
    """Read a note. Raises NoteError for whatever is not spelt as the note would be written."""
    if len(note) > MAX_NOTE:
        raise NoteError(f"a note is at most {MAX_NOTE} bytes")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise NoteError("a note is UTF-8") from None
    if re.search(r"[\x00-\x09\x0b-\x1f]", whole):
        raise NoteError("a note holds no control character but line ends")
    text, blank, rest = whole.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise NoteError("a note is a text, an empty line, and signatures")
    found = tuple(_signature(line) for line in rest[:-1].split("\n"))
    if len(found) > MAX_SIGNATURES:
        raise NoteError(f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(text + "\n", found)


def opened(note: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """Return the checkpoint in a note that one of the keys signed. Raises NoteError.

    Signatures by unknown keys are passed over; one by a known key that does not verify spoils all, and
    so does a second by the same key.
    """
    read = parse(note)
    known = {(one.name, one.key_id): one for one in verifiers}
    signed: list[Verifier] = []
    for signature in read.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is None:
            continue
        if verifier in signed:
            raise NoteError(f"two signatures by {verifier.name}")
        if not verifier.verifies(read.text, signature.signature):
            raise NoteError(f"the signature by {verifier.name} does not fit the text")
        signed.append(verifier)
    found = Checkpoint.parse(read.text)
    if not any(one.kind == ED25519 and one.name == found.origin for one in signed):
        raise NoteError("no signature by the log's own key")
    return found


def encoded(value: bytes) -> str:
    """Return base64 as RFC 4648, section 4, spells it."""
    return base64.b64encode(value).decode("ascii")


def decoded(text: str) -> bytes:
    """Read base64 that is spelt in the one way that `encoded` spells it. Raises NoteError."""
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NoteError("this is not base64") from None
    if encoded(found) != text:
        raise NoteError("base64 in another spelling than the one that is written")
    return found


def number(text: str) -> int:
    """Read a decimal without a zero in front, at most 2**63 - 1. Raises NoteError."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_SIZE:
        raise NoteError("a number is decimal, without a zero in front, and below 2**63")
    return int(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text.encode()) > MAX_NAME:
        raise NoteError("a key's name has 1 to 255 bytes and neither a space nor a plus")
    return text


def _signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":  # noqa: PLR2004
        raise NoteError("a signature is a dash, a name and base64, one space between them")
    value = decoded(parts[2])
    if len(value) < 5:  # noqa: PLR2004 (a key's id and something)
        raise NoteError("a signature is too short")
    return Signature(_name(parts[1]), value[:4], value[4:])
