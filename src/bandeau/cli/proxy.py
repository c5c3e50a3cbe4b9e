"""`bandeau proxy`: the gate in front of a site that is not changed at all."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from bandeau.cli.logs import FORMATS, logged
from bandeau.errors import BandeauError

_option = partial(click.option, show_envvar=True)


@click.command(context_settings={"auto_envvar_prefix": "BANDEAU"})
@_option("--policy", required=True, type=click.Path(path_type=Path), help="The policy file.")
@_option("--upstream", required=True, help="Where the site is: http://HOST:PORT.")
@_option("--listen", required=True, help="Where to answer: HOST:PORT.")
@_option("--ledger", default="sqlite:///bandeau.db", show_default=True, help="Where decisions go.")
@_option("--observe", is_flag=True, help="Change nothing; report what would be held back.")
@_option("--report", type=click.Path(path_type=Path), help="File for --observe, instead of stderr.")
@_option("--insecure-origin", is_flag=True, help="Allow plain-http origins that are not loopback.")
@_option(
    "--trust-forwarded", multiple=True, metavar="CIDR", help="Peers whose X-Forwarded-* count."
)
@_option(
    "--log-format",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="Of the log on stderr, which has no visitor in it.",
)
def proxy(
    policy: Path,
    upstream: str,
    listen: str,
    ledger: str,
    report: Path | None,
    trust_forwarded: tuple[str, ...],
    log_format: str,
    *,
    observe: bool,
    insecure_origin: bool,
) -> None:
    """Stand in front of a site: every response passes the gate."""
    try:
        from bandeau.adapters.proxy import Proxy  # noqa: PLC0415 (keeps --help quick)
        from bandeau.adapters.server import listening, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[serve]' ({error})", err=True)
        sys.exit(2)
    from bandeau.gate.observe import Observer  # noqa: PLC0415
    from bandeau.policy.file import load  # noqa: PLC0415
    from bandeau.site import Site  # noqa: PLC0415

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    if not upstream.startswith(("http://", "https://")):
        raise click.BadParameter("write http://HOST:PORT", param_hint="--upstream")
    logging.basicConfig(handlers=[logged(log_format)])
    with ExitStack() as stack:
        out = stack.enter_context(report.open("a", encoding="utf-8")) if report else sys.stderr
        try:
            declared = load(policy)
            if declared.insecure_origins and not insecure_origin:
                raise BandeauError(  # noqa: TRY301 (one way out for every mistake)
                    f"{', '.join(declared.insecure_origins)}: plain http, where anybody on the way"
                    " can change a choice; use https, or start with --insecure-origin"
                )
            socket = stack.enter_context(listening(host.strip("[]"), int(port)))
            site = Site.from_policy(declared, ledger, observer=Observer(out) if observe else None)
            stack.callback(site.close)
            application = Proxy(site, upstream, trusted=trust_forwarded)
        except (BandeauError, OSError, ValueError) as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        bound = socket.getsockname()[1]  # another than was asked for when that was 0
        serve([(application, socket)], f"ready http://{host}:{bound}/ -> {upstream}")
