"""The command line: `bandeau COMMAND`; each command is one file, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "audit": "Walk through a site's choices with a real browser, and judge what it saw.",
    "check": "Say everything that is wrong with a policy file.",
    "demo": "Run the newspaper «La Lanterne» behind the gate, on loopback.",
    "explain": "Say what a rule of the inspector asks, how it is decided, and what to do.",
    "init": "Draft a policy for a site that runs.",
    "ledger": "Show, prove, check, erase and publish what was decided.",
    "proxy": "Stand in front of a site.",
}


class _Lazy(click.Group):
    """Finds commands by name without importing them: `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"bandeau.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bandeau")
def main() -> None:
    """Consent that the site obeys: nothing passes before the visitor agrees."""
