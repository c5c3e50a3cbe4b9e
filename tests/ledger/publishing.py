"""A log written as a published folder; hashed here, with hashlib alone, not by the code that is tested."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from bandeau.ledger import entry
from bandeau.ledger.note import Signer
from bandeau.ledger.receipt import Receipt

NAME = "www.lanterne.example/_b/log"
WIDTH = 256


def leaf(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def above(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, over entries that are hashed already."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return above(root(leaves[:half]), root(leaves[half:]))


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path(index, leaves[:half]), root(leaves[half:])]
    return [*path(index - half, leaves[half:]), root(leaves[:half])]


def numbered(n: int) -> str:
    """Return a tile's number as it stands in its name."""
    text = str(n).rjust(-(-len(str(n)) // 3) * 3, "0")
    groups = [text[at : at + 3] for at in range(0, len(text), 3)]
    return "/".join([*("x" + group for group in groups[:-1]), groups[-1]])


def tiled(what: str, pieces: Sequence[bytes]) -> dict[str, bytes]:
    """Return a level's files: its pieces by 256, the last file as wide as there are pieces left."""
    found = {}
    for n in range(-(-len(pieces) // WIDTH)):
        some = pieces[n * WIDTH : (n + 1) * WIDTH]
        part = "" if len(some) == WIDTH else f".p/{len(some)}"
        found[f"tile/{what}/{numbered(n)}{part}"] = b"".join(some)
    return found


class Published:
    """A log in memory: its key, a snapshot, then decisions; or what a test puts in their place."""

    def __init__(self, size: int, name: str = NAME, seed: bytes = b"s" * 32) -> None:
        self.signer = Signer(name, seed)
        first = entry.key(self.vkey), entry.snapshot(hashlib.sha256(b"what was shown").digest())
        self.entries = [one.encode() for one in first]
        self.entries += [self.decision(index) for index in range(2, size)]
        del self.entries[size:]

    @classmethod
    def decision(cls, index: int) -> bytes:
        return entry.decision(cls.record(index), cls.salt(index)).encode()

    @staticmethod
    def record(index: int) -> bytes:
        action, word = ("accept_all", "yes") if index % 3 else ("refuse_all", "no")
        minute = f"2026-11-{1 + index // 1440 % 30:02}T{index // 60 % 24:02}:{index % 60:02}Z"
        return (
            f"{minute} {action} snapshot=1 language=fr layer=first device=phone signal=no"
            f" replaces=none social={word} ads={word}"
        ).encode()

    @staticmethod
    def salt(index: int) -> bytes:
        return hashlib.sha256(b"salt %d" % index).digest()

    @property
    def vkey(self) -> str:
        return self.signer.verifier.vkey

    @cached_property
    def leaves(self) -> list[bytes]:
        return [leaf(content) for content in self.entries]

    def checkpoint(self, size: int) -> bytes:
        return self.signer.sign(size, root(self.leaves[:size]))

    def receipt(self, index: int, size: int) -> Receipt:
        leaves = self.leaves[:size]
        found = tuple(path(index, leaves))
        return Receipt(index, self.record(index), self.salt(index), found, self.checkpoint(size))

    def files(self, size: int | None = None) -> dict[str, bytes]:
        """Return the files of a size, by name."""
        count = len(self.entries) if size is None else size
        sized = [len(one).to_bytes(2) + one for one in self.entries[:count]]
        found = {"checkpoint": self.checkpoint(count), "vkey": self.vkey.encode() + b"\n"}
        found |= tiled("entries", sized)
        level, row = 0, self.leaves[:count]
        while row:
            found |= tiled(str(level), row)
            full = len(row) // WIDTH
            row = [root(row[n * WIDTH : (n + 1) * WIDTH]) for n in range(full)]
            level += 1
        return found


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, by name, into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def spoilt(content: bytes, pieces: Sequence[bytes], chance: random.Random) -> bytes:
    """Return content with one to three things done to it, by chance."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randint(1, 8))
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at:end] = b""
            case 2:
                data[at:at] = chance.choice(pieces)
            case 3:
                data[at:end] = chance.choice(pieces)
            case 4:
                data[at:at] = data[: chance.randint(0, len(data))]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 4))
    return bytes(data)
