"""`bandeau proxy`: the gate in front of a site that is not changed at all."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from bandeau.errors import BandeauError


@click.command()
@click.option("--policy", required=True, type=click.Path(path_type=Path), help="The policy file.")
@click.option("--upstream", required=True, help="Where the site is: http://HOST:PORT.")
@click.option("--listen", required=True, help="Where to answer: HOST:PORT.")
@click.option(
    "--ledger", default="sqlite:///bandeau.db", show_default=True, help="Where decisions go."
)
@click.option("--observe", is_flag=True, help="Change nothing; report what would be held back.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="File for --observe, instead of stderr."
)
@click.option(
    "--insecure-origin", is_flag=True, help="Allow plain-http origins that are not loopback."
)
@click.option(
    "--trust-forwarded", multiple=True, metavar="CIDR", help="Peers whose X-Forwarded-* count."
)
def proxy(
    policy: Path,
    upstream: str,
    listen: str,
    ledger: str,
    report: Path | None,
    trust_forwarded: tuple[str, ...],
    *,
    observe: bool,
    insecure_origin: bool,
) -> None:
    """Stand in front of a site: every response passes the gate."""
    from bandeau.adapters.proxy import Proxy  # noqa: PLC0415 (keeps --help quick)
    from bandeau.adapters.server import listening, serve  # noqa: PLC0415
    from bandeau.gate.observe import Observer  # noqa: PLC0415
    from bandeau.policy.file import load  # noqa: PLC0415
    from bandeau.site import Site  # noqa: PLC0415

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    if not upstream.startswith(("http://", "https://")):
        raise click.BadParameter("write http://HOST:PORT", param_hint="--upstream")
    with ExitStack() as stack:
        out = stack.enter_context(report.open("a", encoding="utf-8")) if report else sys.stderr
        try:
            declared = load(policy)
            if declared.insecure_origins and not insecure_origin:
                raise BandeauError(  # noqa: TRY301 (one way out for every mistake)
                    f"{', '.join(declared.insecure_origins)}: plain http, where anybody on the way"
                    " can change a choice; use https, or start with --insecure-origin"
                )
            socket = listening(host.strip("[]"), int(port))
            site = Site.from_policy(declared, ledger, observer=Observer(out) if observe else None)
            application = Proxy(site, upstream, trusted=trust_forwarded)
        except (BandeauError, OSError, ValueError) as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        stack.callback(site.close)
        serve([(application, socket)], f"ready http://{listen}/ -> {upstream}")
