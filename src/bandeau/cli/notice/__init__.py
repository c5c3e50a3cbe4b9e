"""`bandeau notice`: what visitors see, looked at before they see it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bandeau.errors import BandeauError


@click.group()
def notice() -> None:
    """Look at what visitors see."""


@notice.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Its port; else any free one."
)
@click.option("--all-languages", is_flag=True, help="Also those that the policy does not offer.")
def preview(policy: Path, port: int, *, all_languages: bool) -> None:
    """Show the notice in every language, state, size and look, on loopback; nothing is stored."""
    try:
        from bandeau.adapters.server import listening, serve  # noqa: PLC0415 (keeps --help quick)
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[serve]' ({error})", err=True)
        sys.exit(2)
    from bandeau.cli.notice.preview import Preview  # noqa: PLC0415
    from bandeau.policy.file import load  # noqa: PLC0415

    try:
        shown = Preview(load(policy), everything=all_languages)
        socket = listening("127.0.0.1", port)
    except (BandeauError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    if shown.left_out:
        click.echo(f"no texts of the policy's own in: {', '.join(shown.left_out)}", err=True)
    serve([(shown, socket)], f"ready http://127.0.0.1:{socket.getsockname()[1]}/")
