"""Content codings as streams (RFC 9110 8.4.1): decode what upstream sent, encode it again.

gzip and deflate come with Python; br and zstd (RFC 7932, RFC 8878) where their packages are
installed. A body that breaks off or is not what its header says gives what could be read, then an
end: nothing is invented, and nothing raises but CodingError.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

SLICE = 1024  # coded bytes decoded in one go, so that the limit is seen in time
EXPANSION = 64 * 1024 * 1024  # decoded bytes that one piece of a body may become


class CodingError(Exception):
    """The body is not what its Content-Encoding says."""


class Coder(Protocol):
    """Bytes in, bytes out, in pieces."""

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece and give what is ready."""

    def close(self) -> bytes:
        """Give what is left."""


@cache
def supported() -> tuple[str, ...]:
    """Return the codings that can be decoded and encoded here, the best first."""
    optional = [
        name for name, module in (("br", "brotli"), ("zstd", "zstandard")) if find_spec(module)
    ]
    return (*optional, "gzip", "deflate")


def decoder(coding: str) -> Coder:
    """Return a decoder for one of the supported codings; a bomb is a CodingError."""
    return _Bounded(_DECODERS[coding]())


def encoder(coding: str) -> Coder:
    """Return an encoder at the level that suits pages made on the fly: gzip 1, brotli 4, zstd 3."""
    return _ENCODERS[coding]()


class _Bounded:
    """Feeds a decoder in small slices and stops where they become too much."""

    def __init__(self, inner: Coder) -> None:
        self._inner = inner

    def feed(self, chunk: bytes) -> bytes:
        out, size = [], 0
        for at in range(0, len(chunk), SLICE):
            out.append(self._inner.feed(chunk[at : at + SLICE]))
            size += len(out[-1])
            if size > EXPANSION:
                raise CodingError(f"a piece of the body decodes to more than {EXPANSION} bytes")
        return b"".join(out)

    def close(self) -> bytes:
        return self._inner.close()


class _Inflate:
    """gzip with several members (RFC 1952 2.2), or deflate with or without its zlib frame."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflate: Any = None
        self._started = False

    def feed(self, chunk: bytes) -> bytes:
        out = []
        try:
            while chunk:
                if self._inflate is None:
                    self._inflate = zlib.decompressobj(self._window(chunk))
                    self._started = True
                out.append(self._inflate.decompress(chunk))
                chunk = b""
                if self._inflate.eof:
                    chunk = self._inflate.unused_data.lstrip(b"\0") if self._gzip else b""
                    self._inflate = None
        except zlib.error as error:
            raise CodingError(str(error)) from error
        return b"".join(out)

    def close(self) -> bytes:
        if self._inflate is not None and not self._inflate.eof:
            raise CodingError("the body ends inside a compressed stream")
        return b""

    def _window(self, chunk: bytes) -> int:
        if self._gzip:
            return 31
        # RFC 1950 2.2: method 8, and a check that makes the first two bytes a multiple of 31.
        method, check = chunk[0] & 15, int.from_bytes(chunk[:2], "big") % 31
        framed = len(chunk) == 1 or (method == 8 and check == 0)  # noqa: PLR2004
        return 15 if framed else -15


class _Deflate:
    def __init__(self, window: int) -> None:
        self._deflate = zlib.compressobj(1, zlib.DEFLATED, window)

    def feed(self, chunk: bytes) -> bytes:
        return (
            self._deflate.compress(chunk) + self._deflate.flush(zlib.Z_SYNC_FLUSH) if chunk else b""
        )

    def close(self) -> bytes:
        return self._deflate.flush()


class _Brotli:
    def __init__(self) -> None:
        self._brotli = import_module("brotli")
        self._stream = self._brotli.Decompressor()

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        try:
            out = [self._stream.process(chunk, output_buffer_limit=EXPANSION)]
            while not self._stream.can_accept_more_data():
                if sum(map(len, out)) > EXPANSION:
                    raise CodingError(f"a piece of the body decodes to more than {EXPANSION} bytes")
                out.append(self._stream.process(b"", output_buffer_limit=EXPANSION))
            return b"".join(out)
        except self._brotli.error as error:
            raise CodingError(str(error)) from error

    def close(self) -> bytes:
        if not self._stream.is_finished():
            raise CodingError("the body ends inside a brotli stream")
        return b""


class _BrotliEncoder:
    def __init__(self) -> None:
        self._stream = import_module("brotli").Compressor(quality=4)

    def feed(self, chunk: bytes) -> bytes:
        return bytes(self._stream.process(chunk) + self._stream.flush()) if chunk else b""

    def close(self) -> bytes:
        return bytes(self._stream.finish())


class _Zstd:
    def __init__(self) -> None:
        self._zstandard = import_module("zstandard")
        self._stream = self._zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def feed(self, chunk: bytes) -> bytes:
        try:
            return bytes(self._stream.decompress(chunk)) if chunk else b""
        except self._zstandard.ZstdError as error:
            raise CodingError(str(error)) from error

    def close(self) -> bytes:
        return b""


class _ZstdEncoder:
    def __init__(self) -> None:
        self._zstandard = import_module("zstandard")
        self._stream = self._zstandard.ZstdCompressor(level=3).compressobj()

    def feed(self, chunk: bytes) -> bytes:
        flush = self._zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return bytes(self._stream.compress(chunk) + self._stream.flush(flush)) if chunk else b""

    def close(self) -> bytes:
        return bytes(self._stream.flush())


_DECODERS: dict[str, Callable[[], Coder]] = {
    "gzip": lambda: _Inflate(gzip=True),
    "deflate": lambda: _Inflate(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}
_ENCODERS: dict[str, Callable[[], Coder]] = {
    "gzip": lambda: _Deflate(31),
    "deflate": lambda: _Deflate(15),
    "br": _BrotliEncoder,
    "zstd": _ZstdEncoder,
}
