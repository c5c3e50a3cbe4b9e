r"""A decision's record: one line of text that a privacy officer can read; one spelling only.

    record   = time " " action " snapshot=" index " language=" language " layer=" layer " device=" device
               " signal=" yes-no " replaces=" (index / "none") *(" " purpose "=" yes-no)
    time     = to the minute, UTC, 1970 to 9999, as 2026-11-24T19:25Z
    action   = accept_all | refuse_all | custom | add | withdraw | renew | signal
    index    = decimal, no zero in front: a place in the log
    language = 2 or 3 letters, as the notice was shown
    layer    = first | settings | place | api | tcf   device = phone | tablet | desktop | unknown
    purpose  = [a-z][a-z0-9_-]{0,63}, each once, in the policy's order

    2026-11-24T19:25Z accept_all snapshot=0 language=fr layer=first device=phone signal=no
        replaces=none social=yes ads=yes                        (on one line, at most 16,384 bytes)

The fixed fields come first and in this order, so that a purpose may be called as one of them. Which
policy it answers, and in what words, stands in the snapshot. No address, no user agent, no path, no
visitor; time no finer than the minute. With layer tcf the choice was made elsewhere: it is what the
string of a consent platform came to when it was first seen, and the string itself is not kept.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from bandeau.decision.model import Decision, Event
from bandeau.errors import RecordError

MAX_RECORD = 16_384  # bytes
LAYERS = ("first", "settings", "place", "api", "tcf")
DEVICES = ("phone", "tablet", "desktop", "unknown")
_MAX_MINUTE = 4_223_371_680  # 10000-01-01T00:00Z
_INDEX = r"0|[1-9][0-9]{0,18}"
_LINE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}Z) ([a-z_]+)"
    rf" snapshot=({_INDEX}) language=([a-z]{{2,3}}) layer=({'|'.join(LAYERS)})"
    rf" device=({'|'.join(DEVICES)}) signal=(yes|no) replaces=({_INDEX}|none)"
    r"((?: [a-z][a-z0-9_-]{0,63}=(?:yes|no))*)",
    re.ASCII,
)
_PURPOSE = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_WORD = {True: "yes", False: "no"}


@lru_cache(maxsize=1024)  # decisions of one minute are often the same
def encode(decision: Decision) -> bytes:
    """Return a decision's line, without a line end. Raises RecordError for what cannot be read back."""
    replaces = "none" if decision.replaces is None else decision.replaces
    line = (
        f"{time(decision.minute)} {decision.event.value} snapshot={decision.snapshot}"
        f" language={decision.language} layer={decision.layer} device={decision.device}"
        f" signal={_WORD[decision.signal]} replaces={replaces}"
        f"{_choices(decision.choices)}"
    )
    if not _LINE.fullmatch(line) or len(line) > MAX_RECORD:
        raise RecordError(f"not a record: {line[:200]!r}")
    return line.encode("ascii")


def parse(record: bytes) -> Decision:
    """Read a line. Raises RecordError for whatever `encode` would have written otherwise."""
    match = _LINE.fullmatch(record.decode("latin-1")) if len(record) <= MAX_RECORD else None
    if match is None:
        raise RecordError(f"not a record: {record[:200]!r}")
    when, action, snapshot, language, layer, device, signal, replaces, choices = match.groups()
    try:
        found = Decision(
            minute=_minute(when),
            event=Event(action),
            choices=tuple(
                (purpose, word == "yes")
                for purpose, _, word in (pair.partition("=") for pair in choices.split())
            ),
            language=language,
            signal=signal == "yes",
            snapshot=int(snapshot),
            layer=layer,
            device=device,
            replaces=None if replaces == "none" else int(replaces),
        )
    except ValueError:
        raise RecordError(f"not a record: {record[:200]!r}") from None
    if encode(found) != record:
        raise RecordError(f"a record in another spelling: {record[:200]!r}")
    return found


@lru_cache(maxsize=64)  # decisions of one minute come together
def time(minute: int) -> str:
    """Return a minute since 1970 UTC as it is written. Raises RecordError outside of 1970 to 9999."""
    if not 0 <= minute < _MAX_MINUTE:
        raise RecordError(f"no time of a record: {minute}")
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


@lru_cache(maxsize=1024)
def _choices(choices: tuple[tuple[str, bool], ...]) -> str:
    names = dict(choices)
    if len(names) != len(choices) or not all(map(_PURPOSE.fullmatch, names)):
        raise RecordError(f"not the purposes of a record: {choices!r:.200}")
    return "".join(f" {purpose}={_WORD[granted]}" for purpose, granted in choices)


def _minute(when: str) -> int:
    read = datetime.strptime(when, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    return int(read.timestamp()) // 60
