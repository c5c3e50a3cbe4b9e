"""The dossier: what a regulator asks for, in one file that explains itself.

Everything in it comes out of the ledger: the snapshots say what was shown, the log says since when, the
checkpoint says that none of it was changed. The texts for readers are the templates beside this file.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bandeau.desk.pictures import SIZES, picture
from bandeau.desk.versions import Version, day_of, flat, versions
from bandeau.errors import BandeauError
from bandeau.ledger import record, tiles
from bandeau.ledger.entry import Entry, Kind
from bandeau.ledger.log import Log, Noted
from bandeau.ledger.store import Event
from bandeau.notice.texts import locale

_TEXTS = ("LISEZ-MOI.fr.md", "README.en.md", "article-30.fr.md", "article-30.en.md")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same ledger gives the same bytes


def packed(
    log: Log, out: Path, low: date, high: date, *, with_records: bool, pictures: Path | None
) -> tuple[int, list[str]]:
    """Pack the days from `low` to `high`, UTC, into a zip file; return how many files it has, and fsck.

    `pictures` is the folder of the screenshots that are to be in it.
    Raises BandeauError where no notice was shown in these days.
    """
    problems = log.fsck()
    content = dict(_content(log, low, high, problems, with_records=with_records))
    for one in versions(log, low, high) if pictures else ():
        for lang, size in product(one.shown["notice"]["languages"], SIZES):
            taken = Path(pictures or "") / picture(one.sha256, lang, size)
            if taken.exists():
                content[f"{one.folder}/{lang}-{size}.png"] = taken.read_bytes()
    sums = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(content.items())
    )
    content["SHA256SUMS"] = sums.encode()
    _zipped(out, content)
    return len(content), problems


def _content(
    log: Log, low: date, high: date, problems: list[str], *, with_records: bool
) -> Iterator[tuple[str, bytes]]:
    shown = list(versions(log, low, high))
    if not shown:
        raise BandeauError("no notice was shown in these days: nothing to report")
    noted = [one for one in log.decisions() if low <= day_of(one.decision.minute) <= high]
    counts, granted = _counts(noted)
    yield "counts.csv", counts
    yield "granted.csv", granted
    yield "modes.csv", _events(log, Kind.MODE, low, high)
    yield "audits.csv", _events(log, Kind.AUDIT, low, high)
    yield "erasures.csv", _removed(log)
    yield "fsck.txt", ("".join(f"{line}\n" for line in problems) or "all of it fits\n").encode()
    for event in _of(log, Kind.AUDIT, low, high):
        sha256 = event.detail.split()[1]
        yield f"audits/{sha256}.json", log.document(sha256) or b""
    yield "purposes.csv", _purposes(shown)
    yield from _notices(log, shown)
    yield from _published(log)
    if with_records:
        lines = (f"{one.index} ".encode() + record.encode(one.decision) + b"\n" for one in noted)
        yield "records.txt", b"".join(lines)
    yield from _texts(log, shown, len(noted), low, high)


def _notices(log: Log, shown: Iterable[Version]) -> Iterator[tuple[str, bytes]]:
    before: list[str] = []
    for one in shown:
        yield f"{one.folder}/snapshot.json", log.document(one.sha256) or b""
        lines = list(flat(one.shown))
        if before:
            diff = difflib.unified_diff(before, lines, "before", one.sha256[:12], lineterm="", n=1)
            yield f"{one.folder}/changes.diff", "\n".join([*diff, ""]).encode()
        before = lines


def _purposes(shown: Iterable[Version]) -> bytes:
    rows: list[tuple[object, ...]] = [
        (
            "since",
            "until",
            "notice",
            "purpose",
            "title",
            "sentence",
            "data",
            "recipients",
            "trackers",
        )
    ]
    for one in shown:
        for purpose in one.shown["declared"]["purposes"]:
            recipients = [
                " ".join(filter(None, (s.get("legal_name") or s["recipient"], s.get("country"))))
                for s in purpose["services"]
            ]
            trackers = [f"{t['kind']} {t['name']}" for t in purpose["trackers"]]
            lists = ("; ".join(one) for one in (purpose["data"], recipients, trackers))
            head = (one.since, one.until, one.sha256[:12])
            rows.append((*head, purpose["id"], purpose["title"], purpose["sentence"], *lists))
    return _csv(rows)


def _counts(noted: list[Noted]) -> tuple[bytes, bytes]:
    kinds: Counter[tuple[str, ...]] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    granted: Counter[tuple[str, str]] = Counter()
    for one in noted:
        found = one.decision
        day = day_of(found.minute).isoformat()
        kinds[day, found.event.value, found.layer, found.language, found.device] += 1
        for purpose, yes in found.choices:
            asked[day, purpose] += 1
            granted[day, purpose] += yes
    head = ("day", "action", "layer", "language", "device", "decisions")
    choices = [(*key, granted[key], count) for key, count in sorted(asked.items())]
    return (
        _csv([head, *((*key, count) for key, count in sorted(kinds.items()))]),
        _csv([("day", "purpose", "granted", "of"), *choices]),
    )


def _of(log: Log, kind: Kind, low: date, high: date) -> list[Event]:
    events = log.store.events([kind])
    return [event for event in events if low <= day_of(event.minute) <= high]


def _events(log: Log, kind: Kind, low: date, high: date) -> bytes:
    """Return a timeline; what was in force when the days began is part of it."""
    events = log.store.events([kind])
    inside = [event for event in events if low <= day_of(event.minute) <= high]
    earlier = [event for event in events if day_of(event.minute) < low]
    rows = [(e.index, record.time(e.minute), e.detail) for e in [*earlier[-1:], *inside]]
    return _csv([("entry", "logged", "what"), *rows])


def _removed(log: Log) -> bytes:
    events = log.store.events([Kind.ERASURE, Kind.RETENTION])
    rows = [(e.index, record.time(e.minute), e.detail) for e in events]
    return _csv([("entry", "logged", "what"), *rows])


def _published(log: Log) -> Iterator[tuple[str, bytes]]:
    head = log.head
    yield "log/checkpoint", head.checkpoint
    yield "log/vkey", "".join(f"{vkey}\n" for vkey in log.vkeys()).encode()
    for tile in tiles.of(head.tree.size):
        name = tiles.name(*tile)
        yield f"log/tile/{name}", log.tile(name) or b""


def _texts(
    log: Log, shown: list[Version], decisions: int, low: date, high: date
) -> Iterator[tuple[str, bytes]]:
    templates = Environment(
        loader=PackageLoader("bandeau.desk"),
        autoescape=False,  # noqa: S701 (Markdown for people; nothing of it is HTML)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {lang: locale(lang) for lang in ("en", "fr")}
    templates.filters["said"] = lambda word, lang: (
        words[lang]["data"].get(word) or words[lang]["roles"].get(word) or word
    )
    now = shown[-1].shown
    kinds = Counter(
        Entry.parse(content).kind
        for _, entries, _ in log.tree(log.head.tree.size)
        for content in entries
    )
    values = {
        "bandeau": version("bandeau"),
        "head": log.head,
        "versions": shown,
        "decisions": decisions,
        "first": "" if low == date.min else low.isoformat(),
        "last": "" if high == date.max else high.isoformat(),
        "declared": now["declared"],
        "controller": now["declared"]["controller"],
        "register": now.get("register", {}),
        "keep_days": now.get("keep_days"),
        "logged": {kind.name.lower(): kinds[kind] for kind in Kind},
    }
    for name in _TEXTS:
        yield name, templates.get_template(name).render(values).encode()


def _zipped(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, body in sorted(content.items()):
            packed.writestr(
                zipfile.ZipInfo(f"dossier/{name}", _ZIP_TIME), body, zipfile.ZIP_DEFLATED
            )


def _csv(rows: Iterable[tuple[object, ...]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
