"""`bandeau ledger`: what was decided, and its proofs, for those who answer for it."""

from __future__ import annotations

from importlib import import_module

import click

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


class _Lazy(click.Group):
    """Finds commands by name without importing them: `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"bandeau.cli.ledger.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in sorted(_COMMANDS.items())])


@click.group(cls=_Lazy)
def ledger() -> None:
    """Show, prove, check, erase and publish what was decided."""
