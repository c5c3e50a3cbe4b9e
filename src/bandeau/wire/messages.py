"""A request's head and a whole answer, as adapters and endpoints hand them to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from bandeau.wire.headers import RawHeaders


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. `host` as sent, `path` and `query` percent-encoded as sent."""

    method: str
    scheme: str
    host: str
    path: str
    query: str = ""
    headers: RawHeaders = field(default_factory=list)

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
