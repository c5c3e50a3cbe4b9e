r"""Chromium over two pipes: start it, call it, hear its events, end it. It knows nothing of consent.

With `--remote-debugging-pipe` the browser reads commands on file descriptor 3 and writes answers and
events on 4: JSON messages, each ended by a zero byte (Chrome DevTools Protocol). There is no port for a
page to find, and a browser whose auditor dies reads the end of its pipe and ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Params = dict[str, Any]
OnEvent = Callable[[str, Params, str], None]  # method, parameters, session ("": the browser)
CALL_SECONDS = 30.0
_END_SECONDS = 5.0
_READS, _WRITES = 3, 4  # the browser's file descriptors


class BrowserError(Exception):
    """The browser refused a call, or is gone; the message says which and why."""


class Browser:
    """One browser process. Made by `start`; `stop` when done."""

    def __init__(self, pid: int, on_event: OnEvent) -> None:
        self.pid = pid
        self.on_event = on_event
        self.gone = asyncio.Event()
        self._calls: dict[int, tuple[str, asyncio.Future[Params]]] = {}
        self._number = 0
        self._out: asyncio.WriteTransport | None = None
        self._in: asyncio.BaseTransport | None = None

    @classmethod
    async def start(
        cls, command: Sequence[str], on_event: OnEvent, *, environment: dict[str, str]
    ) -> Browser:
        """Start a browser by its command line; `on_event` is called for each event, in order.

        Raises BrowserError when it cannot be started.
        """
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (theirs_in, theirs_out)]
        try:
            pid = os.posix_spawn(  # noqa: ASYNC221 (it does not wait for anything)
                command[0],
                [*command, "--remote-debugging-pipe"],
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, high[0], _READS),
                    (os.POSIX_SPAWN_DUP2, high[1], _WRITES),
                ],
                setpgroup=0,
            )
        except OSError as error:
            for one in (ours_out, ours_in):
                os.close(one)
            raise BrowserError(f"{command[0]}: cannot be started: {error}") from error
        finally:  # the browser's ends must be open nowhere else, or its end is never seen
            for one in (theirs_in, theirs_out, *high):
                os.close(one)
        browser = cls(pid, on_event)
        loop = asyncio.get_running_loop()
        browser._in, _ = await loop.connect_read_pipe(
            lambda: _Messages(browser._heard, browser._ended), os.fdopen(ours_in, "rb", 0)
        )
        browser._out, _ = await loop.connect_write_pipe(
            asyncio.BaseProtocol, os.fdopen(ours_out, "wb", 0)
        )
        return browser

    async def call(
        self,
        method: str,
        params: Params | None = None,
        session: str = "",
        *,
        seconds: float = CALL_SECONDS,
    ) -> Params:
        """Call a method and return its result. Raises BrowserError, also when no answer comes."""
        if self.gone.is_set() or self._out is None:
            raise BrowserError(f"{method}: the browser is gone")
        self._number += 1
        number = self._number
        message: Params = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        future: asyncio.Future[Params] = asyncio.get_running_loop().create_future()
        self._calls[number] = method, future
        self._out.write(json.dumps(message).encode() + b"\0")
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise BrowserError(f"{method}: no answer in {seconds:.0f} s") from None
        finally:
            self._calls.pop(number, None)

    async def stop(self) -> None:
        """End the browser and every process of its own; certain, if not gentle."""
        with contextlib.suppress(BrowserError):
            await self.call("Browser.close", seconds=_END_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), _END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, self.pid, 0)
        for one in (self._in, self._out):
            if one:
                one.close()
        self._ended()

    def _heard(self, message: Params) -> None:
        number = message.get("id")
        if number is None:
            self.on_event(
                message["method"], message.get("params", {}), message.get("sessionId", "")
            )
            return
        method, future = self._calls.get(number, ("", None))
        if future is None or future.done():
            return
        if "error" in message:
            error = message["error"]
            future.set_exception(BrowserError(f"{method}: {error.get('message', error)}"))
        else:
            future.set_result(message.get("result", {}))

    def _ended(self) -> None:
        self.gone.set()
        for method, future in self._calls.values():
            if not future.done():
                future.set_exception(BrowserError(f"{method}: the browser is gone"))


class _Messages(asyncio.Protocol):
    """Cuts what comes out of the pipe into messages."""

    def __init__(self, heard: Callable[[Params], None], ended: Callable[[], None]) -> None:
        self._heard = heard
        self._ended = ended
        self._parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        *whole, rest = data.split(b"\0")
        for piece in whole:
            self._parts.append(piece)
            message = b"".join(self._parts)
            self._parts = []
            self._heard(json.loads(message))
        if rest:
            self._parts.append(rest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's name)
        self._ended()


def environment(home: Path, time_zone: str) -> dict[str, str]:
    """Return what the browser sees of ours: enough to run, nothing that differs from run to run."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ
    }
    return {**kept, "HOME": str(home), "TZ": time_zone, "XDG_RUNTIME_DIR": str(home)}
