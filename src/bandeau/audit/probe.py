"""What a site behind bandeau answers at its public addresses, asked without a browser.

Attempts to choose for somebody else, choices of visitors who are made up here, their records, and what a
shared cache would hand on. Each choice is one that any visitor could make, and the site's ledger has it.
Nothing is judged here. An answer that is not what bandeau gives is an OSError, so nothing is concluded
from it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import math
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from bandeau.audit.pipe import Params

SECONDS = 10  # for a part of one answer
_ALL_SECONDS = 25  # for all answers, which is less than a scenario has
AGENT = "Mozilla/5.0 (X11; Linux x86_64) bandeau-probe/1"  # what a record must not hold
_CHECKPOINT_SECONDS = 1.1  # for which the newest one may be kept by caches
_LONGEST = 4 << 20  # bytes of an answer
_SALT = 32  # bytes after the record that a receipt shows
_WHOLE = 256  # entries of a tile (c2sp.org/tlog-tiles)
_PURPOSE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_STATES = ("undecided", "refused", "partial", "granted")
_SAME = {"Sec-Fetch-Site": "same-origin", "Accept": "application/json"}
_EVIL = "https://elsewhere.invalid"
# Ways to choose for somebody else, all of which must change nothing: name, method, headers.
_FORGED: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("a GET", "GET", {"Sec-Fetch-Site": "same-origin"}),
    ("a prefetch", "GET", {"Sec-Purpose": "prefetch", "Sec-Fetch-Site": "same-origin"}),
    ("a form of another site", "POST", {"Sec-Fetch-Site": "cross-site", "Origin": _EVIL}),
    ("a form of a sister site", "POST", {"Sec-Fetch-Site": "same-site", "Origin": _EVIL}),
    ("a form of another site in an old browser", "POST", {"Origin": _EVIL}),
    ("a form of a sandboxed frame", "POST", {"Origin": "null"}),
    ("a request that says not whence", "POST", {}),
)
_SIGNALS: tuple[dict[str, str], ...] = (
    {},
    {"DNT": "0"},
    {"DNT": "1"},
    {"Sec-GPC": "0"},
    {"Sec-GPC": "1"},
    {"Sec-GPC": "true"},
    {"Sec-GPC": "1, 1"},
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, header lines in their order, the body whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return every line of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    def json(self) -> Params:
        """Return the body as an object; {} where it is none."""
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(self.body)
            return found if isinstance(found, dict) else {}
        return {}

    def granted(self) -> list[str]:
        """Return the purposes that the body says are granted. Raises OSError where it says none."""
        found = self.json().get("granted")
        if not isinstance(found, list) or not all(
            isinstance(one, str) and _PURPOSE.fullmatch(one) for one in found
        ):
            raise OSError(f"an answer ({self.status}) does not say what is granted")
        return found


@dataclass(slots=True)
class Visitor:
    """Somebody with a jar of their own, who keeps what is set and sends it."""

    url: str
    until: float  # time.monotonic(); nothing is asked or read after it
    jar: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for a path of the site. Raises OSError where it does not answer."""
        place = urlsplit(self.url)
        kinds = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}
        link = kinds[place.scheme](_address(place.hostname or ""), place.port, timeout=SECONDS)
        sent = {"Host": place.netloc, "User-Agent": AGENT, "Accept-Language": "fr"}
        body = urlencode(form).encode() if form is not None else None
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        if self.jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        try:
            link.request(method, path, body, {**sent, **(headers or {})})
            found = link.getresponse()
            answer = Answer(found.status, tuple(found.getheaders()), self._read(found))
        except (
            http.client.HTTPException,
            ValueError,
        ) as error:  # ValueError: no such header or path
            raise OSError(str(error)) from error
        finally:
            link.close()
        for line in answer.all("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.jar[name.strip()] = value.strip()
        self.jar = {name: value for name, value in self.jar.items() if value}
        return answer

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        body = b""
        while len(body) < _LONGEST and (part := response.read1(65_536)):
            body += part
            if time.monotonic() > self.until:
                raise OSError("the site's answers take too long")
        if response.length or len(body) >= _LONGEST:
            raise OSError("an answer was cut short, or is too long")
        return body


def probed(url: str, prefix: str) -> Params:
    """Return what the endpoints of a site answered; {} where nobody chooses with them. Raises OSError.

    They are not bandeau's, or a consent platform asks there, and they take no choice.
    """
    asked = _Probe(url, prefix)
    state = asked.visitor().ask("GET", f"{prefix}/state").json()
    if "granted" not in state or state.get("source", "notice") != "notice":
        return {}
    chosen = asked.chosen()
    return {
        "scheme": urlsplit(url).scheme,
        "forged": asked.forged(),
        **chosen,
        "garbled": asked.garbled(),
        "cache": asked.cache(),
        "unknown purpose": asked.unknown(),
        "turned": asked.turned(),
        "signals": asked.signals(),
        "objection": asked.objection(),
    }


def support_file(url: str) -> Params:
    """Return what a site says of Global Privacy Control under its well-known address. Raises OSError."""
    who = Visitor(url, time.monotonic() + SECONDS)
    answer = who.ask("GET", "/.well-known/gpc.json")
    return {"status": answer.status, "document": answer.json()}


class _Probe:
    def __init__(self, url: str, prefix: str) -> None:
        self.url, self.prefix = url, prefix
        self.until = time.monotonic() + _ALL_SECONDS
        place = urlsplit(url)
        self.page = place.path or "/"
        self.key = secrets.token_hex(8)

    def visitor(self) -> Visitor:
        return Visitor(self.url, self.until)

    def choose(self, who: Visitor, choice: str, key: str = "", **more: str) -> Answer:
        """Choose as the notice does. Raises OSError where the choice was not taken."""
        form = {"choice": choice, "back": "/", "lang": "fr", "layer": "first", **more}
        if key:
            form["key"] = f"{self.key}-{key}"
        answer = who.ask("POST", f"{self.prefix}/choice", _SAME, form)
        if answer.status != HTTPStatus.OK:
            raise OSError(f"the choice {choice} got the answer {answer.status}")
        return answer

    def granted(self, who: Visitor) -> list[str]:
        """Return what the server takes as granted."""
        return who.ask("GET", f"{self.prefix}/state").granted()

    def forged(self) -> list[Params]:
        """Try to choose for somebody else."""
        found = []
        path = f"{self.prefix}/choice"
        for what, method, headers in _FORGED:
            who = self.visitor()
            form = {"choice": "all", "back": "/", "lang": "fr", "layer": "first"}
            if method == "GET":
                answer = who.ask(method, f"{path}?{urlencode(form)}", headers)
            else:
                answer = who.ask(method, path, headers, form)
            found.append({"what": what, "status": answer.status, "granted": self.granted(who)})
        return found

    def chosen(self) -> Params:
        """Accept, ask the same again, grant one purpose, refuse; and choose alike twice."""
        before = self.size()
        who = self.visitor()
        accepted = self.choose(who, "all", "1", receipt="1")
        line = next(iter(self.lines(accepted)), "")
        first = next(iter(accepted.granted()), "technical")
        retried = self.choose(self.visitor(), "all", "1", receipt="1")
        decisions = [
            self.decision("all", accepted),
            self.decision("all again", retried),
            self.decision(first, self.choose(who, "save", "2", receipt="1", purpose=first)),
            self.decision("none", self.choose(who, "none", "3", receipt="1")),
        ]
        time.sleep(_CHECKPOINT_SECONDS)
        after = self.size()
        return {
            "decisions": decisions,
            "sizes": [before, after],
            "cookie": {"line": line, "alike": self.alike()},
            "snapshot": self.snapshot(decisions[0]["record"], after),
        }

    def lines(self, answer: Answer) -> list[str]:
        """Return the lines that set the choice's cookie."""
        plain = re.compile(r"(__Host-|__Secure-)?bandeau=")
        return [line for line in answer.all("set-cookie") if plain.match(line)]

    def decision(self, what: str, answer: Answer) -> Params:
        """Return a choice beside the record of it: as its receipt shows it, and its place in the log."""
        receipt = str(answer.json().get("receipt") or "")
        extra = re.search(r"^extra (\S+)$", receipt, re.MULTILINE)
        index = re.search(r"^index (0|[1-9][0-9]{0,18})$", receipt, re.ASCII | re.MULTILINE)
        record = b""
        with contextlib.suppress(ValueError):
            record = base64.b64decode(extra[1], validate=True) if extra else b""
        text = re.fullmatch(rb"[\x20-\x7e]+", record[:-_SALT])
        if receipt and not (index and text):
            raise OSError("the answer to a choice has a receipt that is none")
        return {
            "what": what,
            "granted": answer.granted(),
            "record": text[0].decode("ascii") if text else "",
            "index": int(index[1]) if index else None,
        }

    def size(self) -> int | None:
        """Return how many entries the log has; None where it is not public."""
        answer = self.visitor().ask("GET", f"{self.prefix}/log/checkpoint")
        if answer.status != HTTPStatus.OK:
            return None
        size = re.match(rb"[^\n]*\n(0|[1-9][0-9]{0,18})\n", answer.body)
        if size is None:
            raise OSError("the log's checkpoint has no size")
        return int(size[1])

    def alike(self) -> bool | None:
        """Say whether two who choose alike in one minute get one cookie; None: it took longer."""
        for _ in range(3):
            minute = time.time() // 60
            two = [self.choose(self.visitor(), "none") for _ in range(2)]
            if time.time() // 60 == minute:
                first, second = (self.lines(one) for one in two)
                return first == second
        return None

    def garbled(self) -> Params:
        """Send changed values of the cookie of an acceptance: each character turned, doubled, cut."""
        who = self.visitor()
        self.choose(who, "all")
        name = next((one for one in who.jar if one.endswith("bandeau")), "")
        value = who.jar.get(name, "")
        changed = [value[:at] + chr(ord(one) ^ 1) + value[at + 1 :] for at, one in enumerate(value)]
        changed += [f"{value}.{value}", value[:-1], f"{value}A", "A" * 4000, value.swapcase()]
        taken = []
        for one in changed:
            if one != value and not re.search(r'[\s;,"\\]', one):
                stranger = self.visitor()
                stranger.jar[name] = one
                if granted := self.granted(stranger):
                    taken.append({"value": one[:80], "granted": granted})
        return {"tried": len(changed) if value else 0, "taken": taken}

    def cache(self) -> Params:
        """Let visitors who chose differently take turns through a shared cache (RFC 9111)."""
        visitors = {"granted": self.visitor(), "refused": self.visitor()}
        taken = self.choose(visitors["granted"], "all").granted()
        left = self.choose(visitors["refused"], "none").granted()
        if left or not taken:
            raise OSError("the answers to two choices are not those of an acceptance and a refusal")
        visitors["undecided"] = self.visitor()
        wrong: list[Params] = []
        kept: dict[str, tuple[Answer, dict[str, str]]] = {}
        for path in (self.page, f"{self.prefix}/settings", f"{self.prefix}/state"):
            for state in ("granted", "refused", "undecided", "granted", "refused"):
                who = visitors[state]
                answer = kept.get(path)
                cached = answer is not None and _fits(answer[0], answer[1], who)
                if answer is None or not cached:
                    fresh = who.ask("GET", path)
                    answer, cached = (fresh, dict(who.jar)), bool(fresh.all("age"))
                    if _storable(fresh):
                        kept[path] = answer
                shown = _state(answer[0])
                if cached and shown not in ("", state):
                    wrong.append({"path": path, "who": state, "got": shown})
        return {"wrong": wrong, "kept": sorted(kept)}

    def unknown(self) -> list[str]:
        """Choose a purpose that there is not; return what was granted."""
        who = self.visitor()
        form = {"choice": "save", "purpose": "nobody-declared-this", "back": "/", "lang": "fr"}
        who.ask("POST", f"{self.prefix}/choice", _SAME, {**form, "layer": "first"})
        return self.granted(who)

    def turned(self) -> list[str]:
        """Try to frame pages, to be led elsewhere, and to put markup in; say what worked."""
        found = []
        page = self.visitor().ask("GET", f"{self.prefix}/settings")
        policy = " ".join(page.all("content-security-policy"))
        if "frame-ancestors" not in policy and not page.all("x-frame-options"):
            found.append("the settings can be framed by any site")
        for back in (f"{_EVIL}/", "//elsewhere.invalid/", "\\\\elsewhere.invalid/"):
            form = {"choice": "none", "back": back, "lang": "fr", "layer": "first"}
            answer = self.visitor().ask(
                "POST", f"{self.prefix}/choice", {"Sec-Fetch-Site": "same-origin"}, form
            )
            led = [urlsplit(to.replace("\\", "/")).netloc for to in answer.all("location")]
            if "elsewhere.invalid" in led:
                found.append(f"a choice leads to {back}")
        mark = '"><script>elsewhere</script>'
        for path in ("settings", "trackers", "receipt"):
            query = urlencode({"back": mark, "lang": mark})
            if mark.encode() in self.visitor().ask("GET", f"{self.prefix}/{path}?{query}").body:
                found.append(f"{path} puts what it was sent into its markup")
        return found

    def signals(self) -> list[Params]:
        """Come with each signal and no choice; return what was granted."""
        path = f"{self.prefix}/state"
        answers = [(one, self.visitor().ask("GET", path, one)) for one in _SIGNALS]
        return [{"headers": dict(sent), "granted": one.granted()} for sent, one in answers]

    def objection(self) -> Params:
        """Object to audience measurement, and see what the page sets after it."""
        who = self.visitor()
        path = f"{self.prefix}/audience"
        offered = f'action="{path}"'.encode() in who.ask("GET", f"{self.prefix}/settings").body
        form = {"measure": "off", "back": "/", "lang": "fr"}
        answer = who.ask("POST", path, {"Sec-Fetch-Site": "same-origin"}, form)
        after = who.ask("GET", self.page).all("set-cookie")
        names = [line.partition("=")[0] for line in after]
        return {"offered": offered, "status": answer.status, "set": names}

    def snapshot(self, record: str, size: int | None) -> Params:
        """Return what the record's snapshot is by the log, and what its address gives."""
        match = re.search(r" snapshot=(0|[1-9][0-9]{0,18}) ", record)
        if match is None or size is None or int(match[1]) >= size:
            return {}
        index = int(match[1])
        width = min(_WHOLE, size - index // _WHOLE * _WHOLE)
        part = "" if width == _WHOLE else f".p/{width}"
        path = f"{self.prefix}/log/tile/entries/{_tile(index // _WHOLE)}{part}"
        tile = self.visitor().ask("GET", path)  # gone where the log grew past it
        entries = _entries(tile.body) if tile.status == HTTPStatus.OK else []
        if len(entries) <= index % _WHOLE:
            return {}
        logged = entries[index % _WHOLE][-32:].hex()
        given = self.visitor().ask("GET", f"{self.prefix}/snapshot/{logged}")
        if given.status != HTTPStatus.OK:
            return {}
        return {"logged": logged, "given": hashlib.sha256(given.body).hexdigest()}


def _address(host: str) -> str:
    """Return where a host is: names under localhost are this machine (RFC 6761 6.3)."""
    return "127.0.0.1" if host.endswith(".localhost") else host


def _tile(number: int) -> str:
    parts = [f"{number % 1000:03}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03}")
    return "/".join(parts)


def _entries(bundle: bytes) -> list[bytes]:
    """Return the entries of a tile; [] where it is none (c2sp.org/tlog-tiles, "Log entries")."""
    found, at = [], 0
    while at + 2 <= len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        found.append(bundle[at + 2 : at + 2 + length])
        at += 2 + length
    return found if at == len(bundle) else []


def _storable(answer: Answer) -> bool:
    """Say whether a shared cache may keep a response and give it to others (RFC 9111 section 3)."""
    control: dict[str, str] = {}
    for word in ", ".join(answer.all("cache-control")).lower().split(","):
        name, _, value = word.strip().partition("=")
        control.setdefault(name, value.strip('" '))
    if control.keys() & {"no-store", "private", "no-cache"} or "*" in ", ".join(answer.all("vary")):
        return False
    return _lifetime(answer, control) > _seconds((answer.all("age") or ["0"])[0])


def _lifetime(answer: Answer, control: Mapping[str, str]) -> float:
    """Return for how many seconds a response is fresh in a shared cache (RFC 9111 4.2.1, 4.2.2).

    The first that is there counts: s-maxage, max-age, Expires (5.3: what is no date is past), a guess.
    """
    for name in ("s-maxage", "max-age"):
        if name in control:
            return _seconds(control[name])
    if expires := answer.all("expires"):
        made = _date(answer.all("date")) or datetime.now(UTC)  # the server's clock is not ours
        until = _date(expires)
        return (until - made).total_seconds() if until else 0
    return math.inf if answer.all("last-modified") else 0


def _seconds(text: str) -> int:
    """Return delta-seconds; 0 where it is none, at most ten digits of it (RFC 9111 1.2.2)."""
    return int(text[:10]) if text.isdecimal() else 0


def _date(lines: list[str]) -> datetime | None:
    """Return the first line as a date; None where it is none, or of a zone that nobody knows."""
    with contextlib.suppress(ValueError, IndexError):
        found = parsedate_to_datetime(lines[0])
        return found if found.tzinfo else None
    return None


def _fits(answer: Answer, jar: Mapping[str, str], who: Visitor) -> bool:
    """Say whether a kept response is for this visitor too: `Vary` may name the cookies."""
    varies = ", ".join(answer.all("vary")).lower()
    return "cookie" not in varies or dict(jar) == who.jar


def _state(answer: Answer) -> str:
    """Return the state of the choice that a response was made for; "" where it tells none."""
    told = answer.json().get("state")
    found = re.search(rb'id="bandeau-state"[^>]*data-state="([a-z]+)"', answer.body)
    state = told if isinstance(told, str) else found[1].decode() if found else ""
    return state if state in _STATES else ""
