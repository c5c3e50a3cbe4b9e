"""`bandeau ledger`: what was decided, and its proofs, for those who answer for it."""

from __future__ import annotations

import click

from bandeau.cli.lazy import Lazy

_COMMANDS = {
    "dossier": ("dossier", "Pack everything that a regulator asks for into one file."),
    "erase": ("changing", "Remove a record for good, on request."),
    "export": ("reading", "Print every record: as text, CSV or JSON-LD."),
    "fsck": ("checking", "Recompute everything, and compare it with what others hold."),
    "history": ("reading", "Print a decision with what it replaced and what replaced it."),
    "hold": ("changing", "Keep a record from erasure and removal, as for a dispute."),
    "log-audit": ("changing", "Log an audit's report by the hash of its manifest."),
    "migrate": ("changing", "Bring a ledger of an earlier version up to date."),
    "prove": ("reading", "Write the receipt of a decision."),
    "publish": ("publishing", "Write the log as files that anybody can check."),
    "release": ("changing", "Lift a hold."),
    "retain": ("changing", "Remove the records that are older than the policy keeps them."),
    "rotate": ("changing", "Let a new key sign; or go on after a lost key or a restored backup."),
    "snapshot": ("reading", "Print what visitors were shown."),
    "stats": ("reading", "Count decisions by kind, and what was granted."),
    "verify": ("checking", "Check a receipt, a published log, or the ledger."),
}


@click.group(cls=Lazy, package=__name__, lazy=_COMMANDS)
def ledger() -> None:
    """Show, prove, check, erase and publish what was decided."""
