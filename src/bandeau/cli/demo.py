"""`bandeau demo`: the newspaper behind the gate."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65533),
    help="Its port; its comment server has the next one.",
)
@click.option(
    "--data",
    default=Path("lanterne-data"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for ledger, key and comments.",
)
@click.option("--without-gate", is_flag=True, help="Serve the raw paper too, on port + 2.")
def demo(port: int, data: Path, *, without_gate: bool) -> None:
    """Run the newspaper «La Lanterne» behind the gate, on loopback."""
    try:
        from bandeau.demo.serve import run  # noqa: PLC0415 (keeps --help quick)
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[demo]' ({error})", err=True)
        sys.exit(2)
    sys.exit(run(port, data, without_gate=without_gate))
