r"""A visitor's proof that a decision is in the log, to be kept by the visitor and checked offline.

    receipt = "c2sp.org/tlog-proof@v1\n"
              "extra " base64(record || salt, the last 32 bytes) "\n"
              "index " decimal "\n"
              *63(base64(hash) "\n")                     from the leaf's sibling to the root's child
              "\n" checkpoint                            a signed note (see `note`)

Source: c2sp.org/tlog-proof. At most 128 KiB; one spelling only. It proves that the log's key signed a
tree in which this very line stands. It does not prove who made the decision, nor the time to a stranger
who doubts the log: time is what the site's clock said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bandeau.errors import RecordError
from bandeau.ledger import entry, record
from bandeau.ledger.note import Checkpoint, NoteError, Verifier, decoded, encoded, number, opened
from bandeau.ledger.tree import HASH, MAX_PROOF, included, leaf

MAX_RECEIPT = 128 * 1024  # bytes
SUFFIX = ".tlog-proof"
_FIRST = "c2sp.org/tlog-proof@v1"


class ReceiptError(ValueError):
    """A receipt that proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A decision's place in the log: the record and its salt, the audit path, the signed checkpoint."""

    index: int
    record: bytes
    salt: bytes
    path: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Return the receipt as text."""
        head = f"{_FIRST}\nextra {encoded(self.record + self.salt)}\nindex {self.index}\n"
        return (head + "".join(f"{encoded(one)}\n" for one in self.path) + "\n").encode() + (
            self.checkpoint
        )

    @property
    def leaf(self) -> bytes:
        """The hash of the entry that the record and its salt come to."""
        return leaf(entry.decision(self.record, self.salt).encode())


def parse(text: bytes) -> Receipt:
    """Read a receipt; nothing is verified yet. Raises ReceiptError."""
    if len(text) > MAX_RECEIPT:
        raise ReceiptError(f"a receipt is at most {MAX_RECEIPT} bytes")
    head, blank, checkpoint = text.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        if not blank or lines[0] != _FIRST or len(lines) < 3:  # noqa: PLR2004
            raise ReceiptError(f"a receipt begins with {_FIRST}, extra and index")
        if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
            raise ReceiptError("the second line is extra, the third is index")
        if len(lines) - 3 > MAX_PROOF:
            raise ReceiptError(f"an audit path has at most {MAX_PROOF} hashes")
        extra = decoded(lines[1].removeprefix("extra "))
        path = tuple(decoded(line) for line in lines[3:])
        index = number(lines[2].removeprefix("index "))
    except (UnicodeDecodeError, NoteError) as error:
        raise ReceiptError(f"not a receipt: {error}") from None
    if len(extra) <= entry.SALT or any(len(one) != HASH for one in path):
        raise ReceiptError("not a receipt: a field of another length")
    return Receipt(index, extra[: -entry.SALT], extra[-entry.SALT :], path, checkpoint)


def check(receipt: Receipt, verifiers: Iterable[Verifier]) -> Checkpoint:
    """Verify a receipt whole and return its checkpoint. Raises ReceiptError with what does not hold."""
    try:
        record.parse(receipt.record)
        checkpoint = opened(receipt.checkpoint, verifiers)
    except (RecordError, NoteError) as error:
        raise ReceiptError(str(error)) from None
    if not included(receipt.leaf, receipt.index, checkpoint.size, receipt.path, checkpoint.root):
        raise ReceiptError("the record is not what stands at this place of the signed tree")
    return checkpoint
