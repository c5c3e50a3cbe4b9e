"""A request's head and a whole answer, as adapters and endpoints hand them to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from bandeau.wire.headers import RawHeaders

_NONE: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Request:
    """The head of a request. `host` as sent, `path` and `query` percent-encoded as sent.

    A head is asked for a dozen headers on its way, so they are sorted by name once.
    """

    method: str
    scheme: str
    host: str
    path: str
    query: str = ""
    headers: RawHeaders = field(default_factory=list)
    _named: dict[bytes, tuple[bytes, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named: dict[bytes, tuple[bytes, ...]] = {}
        for name, value in self.headers:
            named[name] = (*named[name], value) if name in named else (value,)
        self._named = named

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first header called `name` (lower-case), or None."""
        return self._named[name][0] if name in self._named else None

    def every(self, name: bytes) -> tuple[bytes, ...]:
        """Return the values of all headers called `name` (lower-case), in order."""
        return self._named.get(name, _NONE)

    @property
    def url(self) -> str:
        """The absolute URL, for resolving what a page refers to."""
        return f"{self.scheme}://{self.host}{self.path}" + (f"?{self.query}" if self.query else "")


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int
    headers: RawHeaders
    body: bytes = b""
