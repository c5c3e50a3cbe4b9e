"""The desk's pages: each a function from a request to an answer. What changes is the ledger's to do."""

from __future__ import annotations

import difflib
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from bandeau.desk import chart, counts
from bandeau.desk.app import Asked, Check, Desk, Place, number
from bandeau.desk.counts import Figure, Line, Period
from bandeau.desk.dossier import packed
from bandeau.desk.pictures import SIZES, page, picture, pictured
from bandeau.desk.versions import Version, flat, said, text, versions
from bandeau.errors import BandeauError
from bandeau.ledger import forks, receipt, record, tally
from bandeau.ledger.entry import Kind, Reason
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log
from bandeau.ledger.place import POSTGRESQL, key_file, store_at
from bandeau.ledger.sqlite import path_of

_NEWEST = 256  # entries that are looked through for one that tells its time
_RENDERED = (  # the notice as it was: nothing of it runs, is sent or leads anywhere
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
)
_SERIES = {"action": (), "purpose": (0, 2)}  # outcomes that have a column in a table; else all have
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


# -- in and out ------------------------------------------------------------------------------------


def login(desk: Desk, asked: Asked) -> Response:
    """Ask for name and password."""
    return desk.page(asked, "login.html", said="", out="out" in asked.query)


def enter(desk: Desk, asked: Asked) -> Response:
    """Begin a session; a name that failed too often waits, whether there is such a user or not."""
    name, t = asked.form.get("name", "").strip().lower()[:64], asked.words
    wait = desk.attempts.begin(name)
    if wait:
        said = t("login.wait", minutes=-(-wait // 60))
        answer = desk.page(asked, "login.html", 429, said=said, out=False)
        answer.headers["retry-after"] = str(wait)
        return answer
    user = desk.users.checked(name, asked.form.get("password", ""))
    if user is None:
        return desk.page(asked, "login.html", 403, said=t("login.failed"), out=False)
    desk.attempts.succeeded(name)
    desk.users.end(asked.token)
    answer = desk.to(asked, "/")
    answer.set_cookie(
        desk.session, desk.users.begin(user), secure=desk.secure, httponly=True, samesite="strict"
    )
    desk.users.note(user, "login")
    return answer


def leave(desk: Desk, asked: Asked) -> Response:
    """End the session."""
    desk.did(asked, "logout")
    desk.users.end(asked.token)
    answer = desk.to(asked, "/login", out=1)
    answer.delete_cookie(desk.session, secure=desk.secure, httponly=True, samesite="strict")
    return answer


def style(desk: Desk, asked: Asked) -> Response:  # noqa: ARG001 (the same for everybody)
    """Return the style sheet."""
    return Response(_static("desk.css"), media_type="text/css")


def icon(desk: Desk, asked: Asked) -> Response:  # noqa: ARG001 (the same for everybody)
    """Return the icon."""
    return Response(_static("desk.svg"), media_type="image/svg+xml")


@cache
def _static(name: str) -> bytes:
    return (files("bandeau.desk") / "static" / name).read_bytes()


# -- choices ---------------------------------------------------------------------------------------


def choices(desk: Desk, asked: Asked) -> Response:
    """Show the choices of a period as charts, each with its table."""
    period = Period.of(asked.query)
    found = counts.read(desk.log.store, period)
    shown = {
        str(e.index): record.time(e.minute)[:10] for e in desk.log.store.events([Kind.SNAPSHOT])
    }
    t, series = asked.words, [asked.words(f"outcome.{one}") for one in counts.OUTCOMES]
    parts = [(_part(period, line.value), line) for line in found.parts]
    kinds = {
        kind: [(_named(asked, kind, line.value, shown), line) for line in lines]
        for kind, lines in found.kinds.items()
    }
    over = [(label, [figure.n for figure in line.figures]) for label, line in parts]
    charts = {
        kind: chart.bars(kind, [(label, *_drawn(asked, series, line)) for label, line in lines])
        for kind, lines in kinds.items()
    }
    return desk.page(
        asked,
        "choices.html",
        period=period,
        named=_span(period),
        later=period.end if period.end <= datetime.now(UTC).date() else None,
        units=counts.UNITS,
        series=series,
        whole=found.whole,
        over=chart.columns("over", t("choices.over"), t("choices.over_about"), over),
        parts=parts,
        kinds=kinds,
        charts=charts,
        columns={kind: _SERIES.get(kind, (0, 1, 2)) for kind in kinds},
        figure=lambda one: _figure(asked, one),
    )


def _drawn(asked: Asked, series: list[str], line: Line) -> tuple[list[int], str]:
    """Return the lengths of a bar, and in words what it shows."""
    words = (
        f"{name} {_figure(asked, figure)}"
        for name, figure in zip(series, line.figures, strict=True)
    )
    return [figure.n for figure in line.figures], ", ".join(words)


def _figure(asked: Asked, one: Figure) -> str:
    """Write a figure; what is under ten never as a number."""
    return number(one.n) if one.n else asked.words("base.under")


def _named(asked: Asked, kind: str, value: str, shown: Mapping[str, str]) -> str:
    if kind == "snapshot":
        return f"{shown.get(value, '')} ({value})"
    return asked.words.named(kind, value)


def _span(period: Period) -> str:
    match period.unit:
        case "week":
            year, week, _ = period.first.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{period.first:%Y-%m}"
        case "year":
            return f"{period.first:%Y}"
    return period.first.isoformat()


def _part(period: Period, value: str) -> str:
    return value[:7] if period.unit == "year" else value[5:]


# -- notices ---------------------------------------------------------------------------------------


def notices(desk: Desk, asked: Asked) -> Response:
    """List the versions of the notice, the newest first."""
    found = _versions(desk)
    newest = found[0].shown.get("policy") if found else None
    return desk.page(
        asked,
        "notices.html",
        versions=found,
        digest=desk.digest,
        newest=newest == desk.digest,
        taken=asked.query.get("taken", "") if asked.query.get("taken", "").isdecimal() else "",
    )


def notice(desk: Desk, asked: Asked) -> Response:
    """Show one version: what it said, what it declared, how it looked."""
    found = _versions(desk)
    one = _version(found, asked.params["sha256"])
    if one is None:
        return desk.problem(asked, 404)
    languages = one.shown["notice"]["languages"]
    older = [other for other in found if other.index < one.index]
    return desk.page(
        asked,
        "notice.html",
        one=one,
        others=[other for other in found if other is not one],
        before=older[0] if older else None,
        purposes=list(_purposes(one)),
        texts={
            lang: {layer: text(parts.get(layer, "")) for layer in ("first", "settings")}
            for lang, parts in sorted(languages.items())
        },
        pictures=[
            (lang, size)
            for lang in sorted(languages)
            for size in SIZES
            if (desk.pictures / picture(one.sha256, lang, size)).exists()
        ],
        sizes=SIZES,
    )


def rendered(desk: Desk, asked: Asked) -> Response:
    """Return a version's first layer and band as they were rendered, in a page that can do nothing."""
    one = _version(_versions(desk), asked.params["sha256"])
    if one is None or asked.params["lang"] not in one.shown["notice"]["languages"]:
        return desk.problem(asked, 404)
    headers = {"content-security-policy": _RENDERED}
    html = page(one.shown, asked.params["lang"])
    return Response(html, headers=headers, media_type="text/html; charset=utf-8")


def screenshot(desk: Desk, asked: Asked) -> Response:
    """Return a screenshot."""
    sha256, lang, size = (asked.params[name] for name in ("sha256", "lang", "size"))
    one = _version(_versions(desk), sha256)
    if one is None or size not in SIZES or lang not in one.shown["notice"]["languages"]:
        return desk.problem(asked, 404)
    path = desk.pictures / picture(sha256, lang, size)
    return FileResponse(path, media_type="image/png") if path.exists() else desk.problem(asked, 404)


def take(desk: Desk, asked: Asked) -> Response:
    """Take the screenshots that are missing."""
    if not desk.busy.acquire(blocking=False):
        return desk.problem(asked, 503, "busy")
    try:
        many = sum(1 for _ in pictured(desk.log, desk.pictures))
    finally:
        desk.busy.release()
    desk.did(asked, "pictures", str(many))
    return desk.to(asked, "/notices", taken=many)


def compared(desk: Desk, asked: Asked) -> Response:
    """Show what changed from one version to another, side by side."""
    found = _versions(desk)
    one = _version(found, asked.params["sha256"])
    other = _version(found, asked.query.get("with", ""))
    if one is None or other is None:
        return desk.problem(asked, 404)
    before, after = sorted((one, other), key=lambda version: version.index)
    old, new = said(before.shown), said(after.shown)
    return desk.page(
        asked,
        "compared.html",
        before=before,
        after=after,
        groups=[list(_rows(old, new, group)) for group in _groups(old, new)],
        code=before.shown["notice"] != after.shown["notice"] and _code(before) != _code(after),
    )


class _Row(NamedTuple):
    """A line of a comparison: the old text, the new one, and whether they differ."""

    old: str | None
    new: str | None
    differs: bool


_Opcodes = list[tuple[str, int, int, int, int]]


def _groups(old: list[str], new: list[str]) -> Iterator[_Opcodes]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    yield from (group for group in matcher.get_grouped_opcodes(1))


def _rows(old: list[str], new: list[str], group: _Opcodes) -> Iterator[_Row]:
    for word, low, high, start, end in group:
        for pair in zip_longest(old[low:high], new[start:end]):
            yield _Row(*pair, differs=word != "equal")


def _code(one: Version) -> list[str]:
    """Return what of a notice is no text: its style, and its markup without the words."""
    notice = one.shown["notice"]
    parts = (part for lang in notice["languages"].values() for part in flat(lang))
    return [str(notice.get("style")), *("".join(re.findall(r"<[^>]*>", part)) for part in parts)]


def _versions(desk: Desk) -> list[Version]:
    return list(versions(desk.log, date.min, date.max))[::-1]


def _version(found: list[Version], sha256: str) -> Version | None:
    return next((one for one in found if one.sha256 == sha256), None)


def _purposes(one: Version) -> Iterator[dict[str, Any]]:
    for purpose in one.shown.get("declared", {}).get("purposes", ()):
        yield {
            "title": purpose["title"],
            "sentence": purpose["sentence"],
            "data": purpose["data"],
            "recipients": [s.get("legal_name") or s["recipient"] for s in purpose["services"]],
            "trackers": [tracker["name"] for tracker in purpose["trackers"]],
        }


# -- in force, audits --------------------------------------------------------------------------------


def modes(desk: Desk, asked: Asked) -> Response:
    """Show what was in force, the newest first."""
    found = []
    for event in reversed(desk.log.store.events([Kind.MODE])):
        words = dict(pair.partition("=")[::2] for pair in event.detail.split(" "))
        since = words.pop("since", record.time(event.minute))
        known = {name: words.pop(name, "") for name in ("enforced", "observed", "paths")}
        policy, version = words.pop("policy", ""), words.pop("bandeau", "")
        more = " ".join(f"{name}={value}" for name, value in words.items())
        found.append((event.index, since, known, policy, version, more))
    return desk.page(asked, "modes.html", modes=found)


def audits(desk: Desk, asked: Asked) -> Response:
    """List the audits that were logged, the newest first."""
    found = []
    for event in reversed(desk.log.store.events([Kind.AUDIT])):
        sha256 = event.detail.split()[-1]
        found.append((event.index, record.time(event.minute), sha256, _about(desk, sha256)))
    return desk.page(asked, "audits.html", audits=found)


def _about(desk: Desk, sha256: str) -> list[str]:
    """Return what a manifest says, but for the hashes of its files."""
    try:
        manifest = json.loads(desk.log.document(sha256) or b"")
        manifest.pop("sha256", None)
        return list(islice(flat(manifest), 20))
    except (ValueError, AttributeError, TypeError, RecursionError):  # any file may be logged
        return []


# -- the ledger ------------------------------------------------------------------------------------


def ledger(desk: Desk, asked: Asked, compared: tuple[bool, str] | None = None) -> Response:
    """Show where the log stands."""
    log, store = desk.log, desk.log.store
    head, rows = log.head, store.tally(0, tally.NEVER)
    every = [row for row in rows if row[1] in ("action", "lost")]
    path = None if desk.url.startswith(POSTGRESQL) else path_of(desk.url)
    files = path.parent.glob(f"{path.name}*") if path else ()
    disk = sum(file.stat().st_size for file in files if file.suffix != ".new")
    return desk.page(
        asked,
        "ledger.html",
        size=head.tree.size,
        decisions=sum(row[4] for row in every),
        gone=sum(row[5] for row in every),
        origin=head.origin,
        checkpoint=head.checkpoint.decode("utf-8", "replace"),
        age=_age(asked, log),
        place=store.url,
        megabytes=round(disk / 1e6, 1) if path else None,
        untold=store.untold(),
        holds=[(index, record.time(minute), reason) for index, minute, reason in store.holds()],
        keys=log.vkeys(),
        check=desk.check,
        compared=compared,
    )


def _age(asked: Asked, log: Log) -> str:
    """Return how old the newest entry is that tells its time; a checkpoint itself tells none."""
    size = log.head.tree.size
    minutes = [event.minute for event in log.store.events()[-1:]]
    minutes += [one.decision.minute for one in log.decisions(max(size - _NEWEST, 0), size)]
    age = max(int(datetime.now(UTC).timestamp()) // 60 - max(minutes, default=0), 0)
    hours = age >= 120  # noqa: PLR2004 (minutes)
    return (
        asked.words("ledger.hours", n=age // 60) if hours else asked.words("ledger.minutes", n=age)
    )


def fsck(desk: Desk, asked: Asked) -> Response:
    """Begin a check of the whole ledger, where none runs."""
    if desk.check and desk.check.problems is None:
        return desk.to(asked, "/ledger")
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    check = desk.check = Check(asked.user.name if asked.user else "", began)

    def run() -> None:
        try:
            check.size = desk.log.head.tree.size
            check.problems = desk.log.fsck()
        except Exception as error:  # noqa: BLE001 (whatever it was is the answer)
            check.problems = [str(error)]

    threading.Thread(target=run, name="bandeau-desk-fsck", daemon=True).start()
    desk.did(asked, "fsck")
    return desk.to(asked, "/ledger")


def outside(desk: Desk, asked: Asked) -> Response:
    """Compare what somebody outside holds with the log."""
    content = asked.form.get("text", "").replace("\r\n", "\n").encode()
    if content and not content.endswith(b"\n"):
        content += b"\n"
    desk.did(asked, "compare")
    (found,) = forks.compare(desk.log, [("", content)])
    return ledger(desk, asked, (found.sound, found.message))


# -- erasing, packing, the journal -------------------------------------------------------------------


def erase(desk: Desk, asked: Asked) -> Response:
    """Look a record up, show it with what belongs to it, and erase it once that is confirmed."""
    t, which = asked.words, (asked.form or asked.query).get("which", "").strip()
    index = _index(which)
    said, chain = "", []
    if which and index is None:
        said = t("erase.unreadable")
    elif index is not None:
        chain = [
            (one.index, record.encode(one.decision).decode("ascii"), one.held)
            for one in desk.log.history(index)
        ]
        if not chain:
            said = t("erase.missing")
        elif asked.form.get("erase") and asked.form.get("sure") != "yes":
            said = t("erase.unsure")
        elif asked.form.get("erase"):
            return _erased(desk, asked, index)
    status = 400 if said else 200
    return desk.page(
        asked, "erase.html", status, said=said, done="", index=index, chain=chain, which=which
    )


def _erased(desk: Desk, asked: Asked, index: int) -> Response:
    t, said, done = asked.words, "", ""
    try:
        reason = Reason[asked.form.get("reason", "").upper()]
        with closing(_writing(desk)) as opened:
            entry = opened.erase(index, reason)
    except KeyError:
        said = t("erase.failed", why=t("erase.reason"))
    except (BandeauError, OSError) as error:
        said = t("erase.failed", why=str(error))
    else:
        done = t("erase.done", index=index, entry=entry)
        desk.did(asked, "erase", f"{index} ({reason.name.lower()})")
    status = 400 if said else 200
    return desk.page(
        asked, "erase.html", status, said=said, done=done, index=None, chain=[], which=""
    )


def _writing(desk: Desk) -> Ledger:
    """Open the ledger with its key, for as long as one change takes."""
    store = store_at(desk.url)
    try:
        return Ledger(store, Keys(key_file(desk.url)), Log(store).head.origin)
    except BaseException:
        store.close()
        raise


def _index(which: str) -> int | None:
    if _INDEX.fullmatch(which):
        return int(which)
    try:
        return receipt.parse(which.replace("\r\n", "\n").encode() + b"\n").index
    except receipt.ReceiptError:
        return None


def dossier(desk: Desk, asked: Asked) -> Response:
    """Ask for which days."""
    return desk.page(asked, "dossier.html", said="")


def pack(desk: Desk, asked: Asked) -> Response:
    """Pack the dossier, and hand it over."""
    t, form = asked.words, asked.form
    try:
        low = date.fromisoformat(form.get("from") or date.min.isoformat())
        high = date.fromisoformat(form.get("to") or date.max.isoformat())
    except ValueError:
        low, high = date.max, date.min
    if high < low:
        return desk.page(asked, "dossier.html", 400, said=t("dossier.wrong"))
    if not desk.busy.acquire(blocking=False):
        return desk.problem(asked, 503, "busy")
    handle = tempfile.NamedTemporaryFile(suffix=".zip", delete=False)  # noqa: SIM115 (sent later)
    out, records = Path(handle.name), form.get("records") == "yes"
    handle.close()
    try:
        packed(desk.log, out, low, high, with_records=records, pictures=desk.pictures)
    except (BandeauError, OSError) as error:
        out.unlink()
        return desk.page(asked, "dossier.html", 400, said=t("dossier.failed", why=str(error)))
    finally:
        desk.busy.release()
    desk.did(asked, "dossier", f"{form.get('from', '')} {form.get('to', '')}".strip())
    name = f"dossier-{datetime.now(UTC):%Y-%m-%d}.zip"
    return FileResponse(out, filename=name, background=BackgroundTask(out.unlink))


def journal(desk: Desk, asked: Asked) -> Response:
    """Show what was done at the desk."""
    found = []
    for at, name, what in desk.users.journal():
        word, _, about = what.partition(" ")
        when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
        found.append((when, name, f"{asked.words.named('journal', word)} {about}".strip()))
    return desk.page(asked, "journal.html", journal=found)


PLACES = {
    "/": Place(choices),
    "/login": Place(login, enter, role=""),
    "/logout": Place(post=leave, role=""),
    "/desk.css": Place(style, role=""),
    "/desk.svg": Place(icon, role=""),
    "/notices": Place(notices),
    "/notices/{sha256}": Place(notice),
    "/notices/{sha256}/compared": Place(compared),
    "/notices/{sha256}/{lang}": Place(rendered),
    "/notices/{sha256}/{lang}/{size}": Place(screenshot),
    "/pictures": Place(notices, take, role="editor"),
    "/modes": Place(modes),
    "/ledger": Place(ledger),
    "/ledger/check": Place(ledger, fsck, role="editor"),
    "/ledger/compare": Place(ledger, outside, role="editor"),
    "/audits": Place(audits),
    "/erase": Place(erase, erase, role="editor"),
    "/dossier": Place(dossier, pack, role="editor"),
    "/journal": Place(journal, role="editor"),
}
