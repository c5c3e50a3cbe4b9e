"""`bandeau desk`: the privacy officer's web application, and who may use it."""

from __future__ import annotations

import ipaddress
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from bandeau.cli.ledger.opening import failing, ledger_option, reading
from bandeau.cli.logs import FORMATS, logged
from bandeau.errors import BandeauError

if TYPE_CHECKING:
    from bandeau.desk.users import Users

_users_option = click.option(
    "--users",
    type=click.Path(path_type=Path),
    envvar="BANDEAU_DESK_USERS",
    show_envvar=True,
    help="File of users, sessions and journal; else bandeau.desk beside the key.",
)


@click.group(invoke_without_command=True)
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    envvar="BANDEAU_POLICY",
    show_envvar=True,
    help="The policy file; it is read, never written.",
)
@ledger_option
@click.option("--listen", help="Where to answer: HOST:PORT.")
@click.option(
    "--origin",
    envvar="BANDEAU_DESK_ORIGIN",
    show_envvar=True,
    help="Its address in browsers, https://HOST; needed where it does not listen on loopback.",
)
@_users_option
@click.option(
    "--log-format",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="Of the log on stderr.",
)
@click.pass_context
def desk(
    context: click.Context,
    policy: Path | None,
    url: str,
    listen: str | None,
    origin: str | None,
    users: Path | None,
    log_format: str,
) -> None:
    """Serve the privacy officer's pages: choices, notices, what was in force, the ledger's health.

    Without users it does not start: bandeau desk adduser NAME --role reader|editor
    """
    if context.invoked_subcommand:  # what was said before the command holds for it too
        context.default_map = {context.invoked_subcommand: {"url": url, "users": users}}
        return
    if policy is None or listen is None:
        raise click.UsageError("--policy and --listen are needed, or a command: adduser, users …")
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    with _extra(), failing():
        from bandeau.adapters.server import listening, serve  # noqa: PLC0415 (keeps --help quick)
        from bandeau.desk.app import Desk  # noqa: PLC0415
        from bandeau.policy.file import load  # noqa: PLC0415

        logging.basicConfig(handlers=[logged(log_format)])
        declared = load(policy)
        with reading(url):
            pass  # it is there, and of this schema
        known = _users(users, url)
        if not known.all():
            raise BandeauError(
                f"{known.path}: nobody may use the desk yet; add the first user:"
                " bandeau desk adduser NAME --role editor"
            )
        with listening(host.strip("[]"), int(port)) as socket:
            bound = socket.getsockname()[1]
            address = _origin(origin, host, bound)
            application = Desk(declared, policy.name, url, known, address)
            serve([(application, socket)], f"ready {address}/")


@desk.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["reader", "editor"]), required=True, help="What for.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@ledger_option
@_users_option
def adduser(name: str, role: str, url: str, users: Path | None, *, password_stdin: bool) -> None:
    """Add a user, or give one a new password and role.

    A reader sees; an editor also erases, packs and checks.
    """
    with _extra(), failing():
        known = _users(users, url)
        password = (
            sys.stdin.readline().rstrip("\r\n")
            if password_stdin
            else click.prompt("Password", hide_input=True, confirmation_prompt=True)
        )
        known.add(name, password, role)
        click.echo(f"{known.path}: {name} is {role}")


@desk.command()
@click.argument("name")
@ledger_option
@_users_option
def removeuser(name: str, url: str, users: Path | None) -> None:
    """Remove a user; sessions end at once."""
    with _extra(), failing():
        _users(users, url).remove(name)


@desk.command()
@ledger_option
@_users_option
def users(url: str, users: Path | None) -> None:
    """Print who may use the desk."""
    with _extra(), failing():
        for user in _users(users, url).all():
            click.echo(f"{user.name} {user.role}")


@desk.command()
@ledger_option
def screenshots(url: str) -> None:
    """Take the screenshots of the notice's versions that are missing (Chromium), beside the key."""
    from bandeau.desk.pictures import pictured  # noqa: PLC0415 (rarely needed)
    from bandeau.ledger.place import key_file  # noqa: PLC0415

    with reading(url) as log:
        for path in pictured(log, key_file(url).with_suffix(".pictures")):
            click.echo(path)


def _users(path: Path | None, url: str) -> Users:
    from bandeau.desk.users import Users  # noqa: PLC0415 (an extra)
    from bandeau.ledger.place import key_file  # noqa: PLC0415

    return Users(path or key_file(url).with_suffix(".desk"))


def _origin(origin: str | None, host: str, port: int) -> str:
    """Return the address that browsers know. Raises BandeauError where it would be none to trust."""
    if origin is None:
        if not _loopback(host):
            raise BandeauError(
                f"--listen {host}:{port}: others can reach it there, and read what it sends; listen on"
                " loopback behind a server with TLS, and say --origin https://HOST"
            )
        return f"http://{host}:{port}"
    found = urlsplit(origin)
    loopback = found.scheme == "http" and _loopback(found.hostname or "")
    whole = origin.rstrip("/") == f"{found.scheme}://{found.netloc}"
    if not whole or not found.netloc or not (found.scheme == "https" or loopback):
        raise BandeauError(f"--origin {origin}: write https://HOST, with its port if it has one")
    return f"{found.scheme}://{found.netloc}".lower()


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[desk]' ({error})", err=True)
        sys.exit(2)
