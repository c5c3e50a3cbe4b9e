"""The command line: `bandeau COMMAND`; each command is one file, imported when it is called."""

from __future__ import annotations

import click

from bandeau.cli.lazy import Lazy

_COMMANDS = {
    "audit": ("audit", "Walk through a site's choices with a real browser, and judge what it saw."),
    "check": ("check", "Say everything that is wrong with a policy file."),
    "demo": ("demo", "Run the newspaper «La Lanterne» behind the gate, on loopback."),
    "desk": ("desk", "Serve the privacy officer's pages."),
    "edge": ("edge", "Print what computes the state key where a cache is: a worker, or njs."),
    "explain": (
        "explain",
        "Say what a rule of the inspector asks, how it is decided, and what to do.",
    ),
    "init": ("init", "Draft a policy for a site that runs."),
    "learn": ("learn", "Say what a policy is missing, out of what was seen and not enforced."),
    "ledger": ("ledger", "Show, prove, check, erase and publish what was decided."),
    "notice": ("notice", "Look at what visitors see."),
    "proxy": ("proxy", "Stand in front of a site."),
    "switch": ("switch", "Filter nothing but cookies while a site is in trouble, and go back."),
}


@click.group(
    cls=Lazy,
    package=__name__,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="bandeau")
def main() -> None:
    """Consent that the site obeys: nothing passes before the visitor agrees."""
