"""The desk as an ASGI application: who may see what, and what every answer carries. No script anywhere.

What changes something is a POST out of a page of the desk, as of the site's own choices
(`endpoints.same_origin`); a session is a cookie that no script reads and no other site sends. The pages
themselves are functions in `pages`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from bandeau.desk.texts import LANGUAGES, NAMES, Words
from bandeau.desk.users import Attempts, User, Users
from bandeau.endpoints import same_origin
from bandeau.errors import BandeauError
from bandeau.ledger.log import Log
from bandeau.ledger.place import key_file, store_at
from bandeau.notice.texts import negotiated
from bandeau.policy.digest import digest
from bandeau.policy.model import Policy
from bandeau.wire import messages

MAX_BODY = 64 * 1024  # bytes
MAX_FIELDS = 50
_FORM = "application/x-www-form-urlencoded"
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CSP,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_log = logging.getLogger("bandeau")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the pages see it. `token` is of the session, empty where there is none."""

    words: Words
    user: User | None
    token: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]

    def url(self, path: str, **query: object) -> str:
        """Return a link to a page that keeps the language, where it was asked for."""
        values = {name: str(value) for name, value in query.items() if value != ""}
        if self.query.get("lang") in LANGUAGES:
            values.setdefault("lang", self.query["lang"])
        return f"{path}?{urlencode(values)}" if values else path


def number(n: int) -> str:
    """Write a number with narrow spaces between its thousands."""
    return f"{n:,}".replace(",", "\u202f")


@dataclass(slots=True)
class Check:
    """A run of fsck: who began it and when; `problems` and the log's size once it has ended."""

    by: str
    begun: str
    problems: list[str] | None = None
    size: int = 0


Page = Callable[["Desk", Asked], Response]


@dataclass(frozen=True, slots=True)
class Place:
    """What answers at a path: to a GET, to a POST, and from which role on (none: to everybody)."""

    get: Page | None = None
    post: Page | None = None
    role: str = "reader"


class Desk:
    """The application. `origin` is its address as browsers know it; other names are not answered."""

    def __init__(self, policy: Policy, name: str, url: str, users: Users, origin: str) -> None:
        from bandeau.desk.pages import PLACES  # noqa: PLC0415 (each needs the other)

        self.policy, self.policy_name, self.url = policy, name, url
        self.digest = digest(policy)
        self.users, self.attempts = users, Attempts()
        self.log = Log(store_at(url))
        self.pictures = key_file(url).with_suffix(".pictures")
        self.check: Check | None = None
        self.busy = threading.Lock()  # of what takes long, one at a time
        self.origin = origin
        self._scheme, self._host = urlsplit(origin).scheme, urlsplit(origin).netloc
        self.secure = self._scheme == "https"
        self.session = "__Host-desk" if self.secure else "desk"
        self._words = {language: Words(language, policy) for language in LANGUAGES}
        self._templates = Environment(
            loader=PackageLoader("bandeau.desk"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["when"] = lambda time: time.replace("T", " ").removesuffix("Z")
        self._templates.filters["number"] = number
        self._app = Starlette(
            routes=[self._route(path, place) for path, place in PLACES.items()],
            exception_handlers={HTTPException: self._refused, Exception: self._refused},
            lifespan=self._lifespan,
        )
        self._app.router.redirect_slashes = False  # it would name scheme and host as they came

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; every answer carries the same protection."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                more = ((n.encode(), v.encode()) for n, v in _HEADERS.items())
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in more if pair[0] not in there),
                ]
            await send(message)

        await self._app(scope, receive, sent)

    def page(self, asked: Asked, template: str, status: int = 200, **values: Any) -> Response:
        """Fill a template."""
        language = asked.words.language
        html = self._templates.get_template(template).render(
            t=asked.words,
            url=asked.url,
            user=asked.user,
            here=asked.path,
            policy=self.policy,
            policy_name=self.policy_name,
            languages=[(code, NAMES[code], self._in(asked, code)) for code in LANGUAGES],
            lang=language,
            chosen=asked.query.get("lang", "") if asked.query.get("lang") in LANGUAGES else "",
            **values,
        )
        headers = {"content-language": language, "vary": "Accept-Language, Cookie"}
        return Response(html, status, headers, "text/html; charset=utf-8")

    def problem(self, asked: Asked, status: int, key: str = "", **values: str) -> Response:
        """Return a page that says what did not work."""
        said = asked.words(f"problem.{key or status}", origin=self.origin, **values)
        return self.page(asked, "problem.html", status, said=said)

    def to(self, asked: Asked, path: str, **query: object) -> RedirectResponse:
        """Send the browser to another page of the desk."""
        return RedirectResponse(asked.url(path, **query), 303)

    def did(self, asked: Asked, what: str, about: str = "") -> None:
        """Write down what somebody did, in the desk's journal and on its log."""
        if asked.user:
            self.users.note(asked.user, f"{what} {about}".strip())
            _log.info("desk: %s: %s %s", asked.user.name, what, about)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self.log.store.close()

    def _in(self, asked: Asked, language: str) -> str:
        """Return the link to a page in another language; the language comes last, and decides."""
        query = {name: value for name, value in asked.query.items() if name != "lang"}
        return f"{asked.path}?{urlencode({**query, 'lang': language})}"

    def _route(self, path: str, place: Place) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("host", "").lower() != self._host:
                raise HTTPException(421)
            form = await self._posted(request) if request.method == "POST" else {}
            asked = await run_in_threadpool(self._asked, request, form)
            if place.role and asked.user is None:
                return self.to(asked, "/login")
            if place.role == "editor" and not (asked.user and asked.user.edits):
                return self.problem(asked, 403)
            answer = place.post if request.method == "POST" else place.get
            if answer is None:
                return self.problem(asked, 405)
            try:
                return await run_in_threadpool(answer, self, asked)
            except BandeauError as error:
                return self.problem(asked, 503, why=str(error))

        return Route(path, endpoint, methods=["GET", "POST"])

    async def _posted(self, request: Request) -> dict[str, str]:
        """Read a form of the desk's own. Raises HTTPException for any other body."""
        head = messages.Request(
            "POST", self._scheme, request.headers.get("host", ""), "/", headers=request.headers.raw
        )
        if not same_origin(head):
            raise HTTPException(403, "origin")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise HTTPException(415)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise HTTPException(413)
        try:
            text = body.decode("utf-8", "replace")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise HTTPException(413) from None

    def _asked(self, request: Request, form: Mapping[str, str]) -> Asked:
        token = request.cookies.get(self.session, "")
        user = self.users.of(token) if token else None
        query = dict(request.query_params)
        wanted = query.get("lang") or form.get("lang")
        if wanted in LANGUAGES:
            query["lang"] = wanted
        words = self._words[negotiated(LANGUAGES, wanted, request.headers.get("accept-language"))]
        return Asked(words, user, token, request.url.path, request.path_params, query, form)

    async def _refused(self, request: Request, error: Exception) -> Response:
        """Say what did not work, without a look at who asks."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        accepted = request.headers.get("accept-language")
        words = self._words[negotiated(LANGUAGES, request.query_params.get("lang"), accepted)]
        asked = Asked(words, None, "", "/", {}, {}, {})
        key = "origin" if isinstance(error, HTTPException) and error.detail == "origin" else ""
        return self.problem(asked, status, key)
