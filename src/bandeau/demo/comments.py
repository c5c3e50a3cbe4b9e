"""What readers write, for pages without the comment server's script: asked server to server."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import aiohttp

from bandeau.demo.commentserver import configured

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_log = logging.getLogger("bandeau")
LONGEST = 4000  # characters of a comment that is sent without a script


class MissingError(Exception):
    """The comment server is not installed or does not start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Comment:
    """One published comment, as text."""

    author: str
    text: str
    day: date


class Comments:
    """Isso at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._silent = False

    async def published(self, path: str) -> list[Comment] | None:
        """Return what stands under an article, the oldest first; None when the server is silent."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.get(f"{self._base}/", params={"uri": path, "plain": "1"}) as answer,
            ):
                if answer.status == 404:  # noqa: PLR2004 (nobody has written yet)
                    return []
                found = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._missed(error)
            return None
        self._silent = False
        return [_comment(item) for top in found["replies"] for item in (top, *top["replies"])]

    async def write(self, path: str, title: str, author: str, text: str) -> int:
        """Hand on a comment that came by a plain form; return the server's status, 503 for none.

        201 is published, 202 waits for the editors, 400 and 403 are refusals.
        """
        body = {"author": author or None, "text": text, "title": title}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(f"{self._base}/new", params={"uri": path}, json=body) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            self._missed(error)
            return 503

    def _missed(self, error: Exception) -> None:
        if not self._silent:  # one line for a silence, not one for each article read
            _log.warning("the comment server does not answer: %s", error)
        self._silent = True


def _comment(item: dict[str, Any]) -> Comment:
    day = datetime.fromtimestamp(item["created"], UTC).date()
    return Comment(item["author"] or "", item["text"] or "", day)


@contextlib.contextmanager
def served(data: Path, bound: socket.socket, origins: list[str]) -> Iterator[None]:
    """Run Isso on a bound socket for as long as the block lasts. Raises MissingError."""
    if importlib.util.find_spec("isso") is None:
        raise MissingError(
            "the comment server is missing: pip install --no-deps isso==0.14.0 && "
            "pip install mistune bleach html5lib werkzeug itsdangerous"
        )
    data = data.resolve()
    port: int = bound.getsockname()[1]
    bound.listen(64)
    file = configured(data, port, origins)
    command = [sys.executable, "-m", "bandeau.demo.commentserver", str(file), str(bound.fileno())]
    with (data / "isso.err").open("ab") as errors:
        child = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command,
            pass_fds=[bound.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    bound.close()  # the child's now: were it to end, visitors are refused at once and wait for nothing
    try:
        if not child.stdout or child.stdout.readline() != b"ready\n":
            raise MissingError(f"the comment server does not start: {data / 'isso.err'} says why")
        yield
    finally:
        if child.stdin:
            child.stdin.close()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()
