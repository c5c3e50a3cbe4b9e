"""What an audit is doing, on standard error: a line that changes on a terminal, lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text


class Progress:
    """Shows which walks are under way and where each is. A context manager; `quiet` shows nothing."""

    def __init__(self, url: str, *, quiet: bool = False) -> None:
        self._host = urlsplit(url).netloc
        self._console = Console(stderr=True, quiet=quiet, highlight=False, markup=False)
        self._status = self._console.status("")
        self._under_way: dict[str, str] = {}  # walk to its station

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def station(self, walk: str, station: str) -> None:
        """Tell where a walk is; the first time, that it begins."""
        if walk not in self._under_way and not self._console.is_terminal:
            self._console.print(f"{walk}: walking", soft_wrap=True)
        self._under_way[walk] = station
        self._show()

    def done(self, walk: str, told: str) -> None:
        """Tell how a walk ended."""
        self._under_way.pop(walk, None)
        self._console.print(f"{walk}: {told}", soft_wrap=True)
        self._show()

    def _show(self) -> None:
        walks = " · ".join(f"{walk}: {station}" for walk, station in self._under_way.items())
        line = Text(f"{self._host} · {walks}" if walks else self._host)
        line.truncate(self._console.width - 3, overflow="ellipsis")  # one line, after the spinner
        self._status.update(line)
