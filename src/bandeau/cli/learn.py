"""`bandeau learn`: from what was seen and not enforced to the lines that a policy is missing."""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from bandeau.errors import BandeauError

if TYPE_CHECKING:
    from bandeau.audit.observe import Observation
    from bandeau.audit.scenario import Run
    from bandeau.policy.model import Policy

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;width:100%}td,th{text-align:left;"
    "padding:.3rem .6rem;border-bottom:1px solid #8886;overflow-wrap:anywhere}"
    "pre{padding:1rem;border:1px solid #8886;overflow-x:auto}"
)


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--policy", required=True, type=click.Path(path_type=Path), help="The policy file.")
@click.option("--write", is_flag=True, help="Add the lines to the policy file.")
@click.option("--listen", help="Show it as a page that keeps up with the report: HOST:PORT.")
def learn(report: Path, policy: Path, listen: str | None, *, write: bool) -> None:
    """Say what of a rollout's REPORT the policy does not declare, as the lines to add.

    REPORT is what [rollout] report or `bandeau proxy --observe --report` wrote. Exit 0: nothing is
    missing; 1: lines are missing, or were written.
    """
    try:
        from bandeau.audit.draft import missing  # noqa: PLC0415 (keeps --help quick)
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[audit]' ({error})", err=True)
        sys.exit(2)
    from bandeau.policy.file import load, loads  # noqa: PLC0415

    try:
        if listen:
            _serve(report, policy, listen)
            return
        declared = load(policy)
        found = list(items(report))
        lines = missing(declared, declared.site.origins[0], [_run(found, declared)])
        if write and lines:
            text = policy.read_text("utf-8").rstrip() + "\n\n" + lines
            loads(text)
            policy.write_text(text, "utf-8")
    except (BandeauError, OSError, ValueError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    tables, checks = lines.count("[["), lines.count("# check:")
    if write and lines:
        click.echo(f"{policy}: added tables: {tables}; lines to check: {checks}")
    elif lines:
        click.echo(lines, nl=False)
    click.echo(f"items seen: {len(found)}; tables missing: {tables}", err=True)
    sys.exit(1 if lines else 0)


def items(report: Path) -> Iterator[dict[str, Any]]:
    """Give what a report holds, each once: a line that is cut off or says something else is left out."""
    seen = set()
    with report.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                one = json.loads(line)
                key = one["held"], one["name"]
            except (ValueError, TypeError, KeyError):
                continue
            if isinstance(key[1], str) and key not in seen:
                seen.add(key)
                yield one


def _run(found: list[dict[str, Any]], policy: Policy) -> Run:
    """Return the items as a walk has them, so that they are drafted from like any other."""
    from bandeau.audit.scenario import Run  # noqa: PLC0415 (an extra)
    from bandeau.audit.watch import Setting  # noqa: PLC0415

    home = policy.site.origins[0]
    seen = [seen for one in found if (seen := _observation(one, home))]
    return Run("no-choice", 1, Setting(), completed=True, observations=seen)


def _observation(one: dict[str, Any], home: str) -> Observation | None:
    """Return an item as a walk has it; None for what no table declares."""
    from bandeau.audit.observe import Observation  # noqa: PLC0415 (an extra)
    from bandeau.policy.model import Kind  # noqa: PLC0415
    from bandeau.wire.hosts import normalise  # noqa: PLC0415

    held, name = one["held"], one["name"]
    chain = (_place(one, home + str(one.get("path", "/"))),)
    if held in ("cookie set", "cookie read"):
        detail = {"seconds": one.get("seconds"), "by": "http", "area": "cookie"}
        return Observation("cookie_kept", "arrive", 0, name, "", False, chain, detail)  # noqa: FBT003
    if held in get_args(Kind) and (host := normalise(name)):
        url = f"https://{host}/"
        return Observation("request", "arrive", 0, url, host, True, chain, {"kind": held})  # noqa: FBT003
    return None


def _place(one: dict[str, Any], page: str) -> str:
    """Return what brings an item: the script that a browser named, else the tag in the page."""
    return str(one.get("script") or (f"{page} <{one['tag']}>" if one.get("tag") else page))


def _serve(report: Path, policy: Path, listen: str) -> None:
    """Show the report on loopback until stopped. Raises ValueError, OSError."""
    host, _, port = listen.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdigit():
        raise ValueError(f"{listen}: write 127.0.0.1:PORT; the page is for nobody else")

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer / with the page and /learn.json with the same as data."""
            if self.path not in ("/", "/learn.json"):
                self.send_error(404)
                return
            data = self.path == "/learn.json"
            body = _page(report, policy, data=data).encode("utf-8", "replace")
            self.send_response(200)
            kind = "application/json" if data else "text/html; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    with ThreadingHTTPServer((host.strip("[]"), int(port)), Page) as server:
        click.echo(f"ready http://{listen}/ (and /learn.json)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def _page(report: Path, policy: Path, *, data: bool) -> str:
    from bandeau.audit.draft import lacks, missing  # noqa: PLC0415 (an extra)
    from bandeau.policy.file import load  # noqa: PLC0415

    try:
        declared = load(policy)
        found = list(items(report)) if report.exists() else []
        home = declared.site.origins[0]
        rows = [
            {
                "what": one["held"],
                "name": one["name"],
                "by": _place(one, str(one.get("path", ""))),
                "missing": bool((seen := _observation(one, home)) and lacks(declared, seen)),
            }
            for one in found
        ]
        every = missing(declared, home, [_run(found, declared)])
    except (BandeauError, OSError) as error:
        rows, every = [], f"# {error}"
    rows.sort(key=lambda row: (not row["missing"], row["what"], row["name"]))
    if data:
        return json.dumps({"items": rows, "add": every}, ensure_ascii=False, indent=1)
    cells = "".join(
        f"<tr><td>{html.escape(row['what'])}<td>{html.escape(row['name'])}<td>{html.escape(row['by'])}"
        f"<td>{'missing' if row['missing'] else 'waits for consent'}"
        for row in rows
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        f'<meta name="viewport" content="width=device-width"><title>What would be held back</title>'
        f"<style>{_STYLE}</style><h1>What would be held back</h1>"
        f"<p>Items so far: {len(rows)}; missing in the policy: {sum(row['missing'] for row in rows)}."
        f"<table><tr><th>what<th>name<th>brought by<th>in the policy{cells}</table>"
        f"<h2>To add to the policy</h2><pre>{html.escape(every) or 'nothing'}</pre></html>"
    )
