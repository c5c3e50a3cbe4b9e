"""What `bandeau proxy` writes on standard error: one record a line, and no visitor in any of it.

Not an access log: who asked for what is personal data, and is written nowhere. Messages are our own
words and uvicorn's. What an exception says is left out, since it may quote an address, a cookie or a
page; its type and where it was raised stand.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO


class Text(logging.Formatter):
    """A record for people: `2026-11-25T20:15:00Z WARNING bandeau: upstream is slow`."""

    def format(self, record: logging.LogRecord) -> str:
        told = self.told(record)
        trace = "".join(f"\n  {line}" for line in told.get("trace", ()))
        return "{time} {level} {logger}: {message}".format(**told) + trace

    def told(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what is said of a record, by its keys in JSON."""
        message = record.getMessage()
        if (
            record.name == "asyncio"
        ):  # it prints the arguments of calls, and exceptions, after these
            message = message.partition("\n")[0].partition("(")[0]
        found = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        return found | ({"trace": trace(record.exc_info[1])} if record.exc_info else {})


class Json(Text):
    """A record for machines: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.told(record), ensure_ascii=False)


def trace(error: BaseException | None) -> list[str]:
    """Name an exception and those behind it, the latest first, each with where it was raised."""
    lines: list[str] = []
    while error:
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        lines += [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


FORMATS = {"text": Text, "json": Json}


def logged(style: str, stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes so to a stream, standard error unless said."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMATS[style]())
    return handler
