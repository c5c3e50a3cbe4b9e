"""`bandeau ledger dossier`: what a regulator asks for, in one file that explains itself.

Everything in it comes out of the ledger: the snapshots say what was shown, the log says since when, the
checkpoint says that none of it was changed. The texts for readers are the templates beside this file.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from bandeau.cli.ledger.opening import ledger_option, reading
from bandeau.cli.ledger.publishing import SIZES, pictured
from bandeau.errors import BandeauError
from bandeau.ledger import record, tiles
from bandeau.ledger.entry import Entry, Kind
from bandeau.ledger.log import Log, Noted
from bandeau.ledger.store import Event
from bandeau.notice.texts import locale

_TEXTS = ("LISEZ-MOI.fr.md", "README.en.md", "article-30.fr.md", "article-30.en.md")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same ledger gives the same bytes


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of the notice: its place in the log, since when, until when, and what it was."""

    index: int
    sha256: str
    since: str
    until: str
    shown: dict[str, Any]

    @property
    def folder(self) -> str:
        return f"notices/{self.index:06d}-{self.since[:10]}-{self.sha256[:12]}"

    @property
    def unreviewed(self) -> list[str]:
        """The languages whose texts no native speaker had read; snapshots of before name none."""
        return list(self.shown["notice"].get("unreviewed", ()))


@click.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day, UTC.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The zip file to write."
)
@click.option("--with-records", is_flag=True, help="Add the records of these days, a line each.")
@click.option("--no-pictures", is_flag=True, help="No screenshots of the notice's versions.")
@ledger_option
def dossier(
    first: datetime | None,
    last: datetime | None,
    out: Path,
    url: str,
    *,
    with_records: bool,
    no_pictures: bool,
) -> None:
    """Pack notices, recipients, modes, audits, counts and proofs of some days into one file."""
    low = first.date() if first else date.min
    high = last.date() if last else date.max
    if high < low:
        raise click.UsageError("--to is before --from")
    with reading(url) as log, TemporaryDirectory() as scratch:
        problems = log.fsck()
        pictures: dict[str, Path] = {}
        if not no_pictures:
            pictures = {path.name: path for path in pictured(log, Path(scratch))}
        content = dict(_content(log, low, high, problems, with_records=with_records))
        for one in _versions(log, low, high):
            for lang in one.shown["notice"]["languages"]:
                for name in SIZES:
                    found = pictures.get(f"{one.sha256}-{lang}-{name}.png")
                    if found:
                        content[f"{one.folder}/{lang}-{name}.png"] = found.read_bytes()
    sums = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(content.items())
    )
    content["SHA256SUMS"] = sums.encode()
    _zipped(out, content)
    click.echo(
        f"{out}: {len(content)} files; {'all of it fits' if not problems else 'SEE fsck.txt'}"
    )


def _content(
    log: Log, low: date, high: date, problems: list[str], *, with_records: bool
) -> Iterator[tuple[str, bytes]]:
    versions = list(_versions(log, low, high))
    if not versions:
        raise BandeauError("no notice was shown in these days: nothing to report")
    noted = [one for one in log.decisions() if low <= _day(one.decision.minute) <= high]
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
    yield "purposes.csv", _purposes(versions)
    yield from _notices(log, versions)
    yield from _published(log)
    if with_records:
        lines = (f"{one.index} ".encode() + record.encode(one.decision) + b"\n" for one in noted)
        yield "records.txt", b"".join(lines)
    yield from _texts(log, versions, len(noted), low, high)


def _versions(log: Log, low: date, high: date) -> Iterator[_Version]:
    """Return the versions of the notice that were in force on at least one of the days."""
    events = log.store.events([Kind.SNAPSHOT])
    for event, following in zip(events, [*events[1:], None], strict=True):
        until = following.minute if following else None
        if _day(event.minute) > high or (until is not None and _day(until) < low):
            continue
        sha256 = event.detail.split()[1]
        shown = json.loads(log.document(sha256) or b"{}")
        if "notice" in shown:
            end = record.time(until) if until is not None else ""
            yield _Version(event.index, sha256, record.time(event.minute), end, shown)


def _notices(log: Log, versions: Iterable[_Version]) -> Iterator[tuple[str, bytes]]:
    before: list[str] = []
    for one in versions:
        yield f"{one.folder}/snapshot.json", log.document(one.sha256) or b""
        lines = list(_flat(one.shown))
        if before:
            diff = difflib.unified_diff(before, lines, "before", one.sha256[:12], lineterm="", n=1)
            yield f"{one.folder}/changes.diff", "\n".join([*diff, ""]).encode()
        before = lines


def _flat(value: Any, place: str = "") -> Iterator[str]:
    """Return a document as lines that a diff can show: its place, then the text, line by line."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _flat(value[key], f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _flat(item, f"{place}[{number}]")
    else:
        yield from (f"{place}: {line}" for line in str(value).splitlines())


def _purposes(versions: Iterable[_Version]) -> bytes:
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
    for one in versions:
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
        day = _day(found.minute).isoformat()
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
    return [event for event in events if low <= _day(event.minute) <= high]


def _events(log: Log, kind: Kind, low: date, high: date) -> bytes:
    """Return a timeline; what was in force when the days began is part of it."""
    events = log.store.events([kind])
    inside = [event for event in events if low <= _day(event.minute) <= high]
    earlier = [event for event in events if _day(event.minute) < low]
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
    log: Log, versions: list[_Version], decisions: int, low: date, high: date
) -> Iterator[tuple[str, bytes]]:
    templates = Environment(
        loader=PackageLoader("bandeau.cli.ledger"),
        autoescape=False,  # noqa: S701 (Markdown for people; nothing of it is HTML)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {lang: locale(lang) for lang in ("en", "fr")}
    templates.filters["said"] = lambda word, lang: (
        words[lang]["data"].get(word) or words[lang]["roles"].get(word) or word
    )
    now = versions[-1].shown
    kinds = Counter(
        Entry.parse(content).kind
        for _, entries, _ in log.tree(log.head.tree.size)
        for content in entries
    )
    values = {
        "bandeau": version("bandeau"),
        "head": log.head,
        "versions": versions,
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


def _day(minute: int) -> date:
    return datetime.fromtimestamp(minute * 60, UTC).date()
