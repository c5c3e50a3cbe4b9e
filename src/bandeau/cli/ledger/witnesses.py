"""Cosignatures of outside witnesses over a checkpoint (c2sp.org/tlog-witness, `add-checkpoint`)."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

import click

from bandeau.errors import BandeauError
from bandeau.ledger import note
from bandeau.ledger.log import Log
from bandeau.policy.file import load
from bandeau.policy.model import Witness

_SECONDS = 10.0
_MAX_ANSWER = 64 * 1024  # bytes
_CONFLICT = 409


def cosigned(log: Log, policy: Path, checkpoint: bytes) -> bytes:
    """Return a checkpoint with the cosignatures of the policy's witnesses under it.

    One that does not answer is named on stderr and left out. Raises BandeauError when one refuses it as
    inconsistent: then somebody outside knows another history.
    """
    found = note.parse(checkpoint)
    for witness in load(policy).proof.witnesses:
        try:
            found = note.Note(found.text, (*found.signatures, *_asked(log, witness, checkpoint)))
        except (OSError, http.client.HTTPException, note.NoteError) as error:
            click.echo(f"{witness.url}: no cosignature: {error}", err=True)
    return found.encode()


def _asked(log: Log, witness: Witness, checkpoint: bytes) -> list[note.Signature]:
    verifier = note.Verifier.parse(witness.vkey)
    current = note.Checkpoint.parse(note.parse(checkpoint).text)
    status, answer = _post(witness, _request(log, 0, current.size, checkpoint))
    if status == _CONFLICT:  # it answers with the size that it cosigned last
        known = note.number(answer.decode("ascii", "replace").removesuffix("\n"))
        if known > current.size:
            raise BandeauError(
                f"{witness.url}: this witness has seen {known} entries of {current.origin}, and"
                f" {current.size} are here: the ledger is an older backup, or was cut"
            )
        status, answer = _post(witness, _request(log, known, current.size, checkpoint))
    if status in (_CONFLICT, 422):
        raise BandeauError(
            f"{witness.url}: this witness knows another history of {current.origin}: a fork"
        )
    if status != 200:  # noqa: PLR2004
        raise OSError(f"HTTP status {status}")
    lines = note.parse(note.parse(checkpoint).text.encode() + b"\n" + answer).signatures
    text = current.text()
    signed = [
        one
        for one in lines
        if (one.name, one.key_id) == (verifier.name, verifier.key_id)
        and verifier.verifies(text, one.signature)
    ]
    if not signed:
        raise note.NoteError("its answer holds no signature by its key")
    return signed[:1]


def _request(log: Log, old: int, size: int, checkpoint: bytes) -> bytes:
    proof = log.growth_proof(old, size)
    lines = "".join(f"{note.encoded(one)}\n" for one in proof)
    return f"old {old}\n{lines}\n".encode() + checkpoint


def _post(witness: Witness, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(  # noqa: S310 (the policy allows http and https only)
        f"{witness.url}/add-checkpoint", body, {"content-type": "text/plain; charset=utf-8"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read(_MAX_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_MAX_ANSWER)
