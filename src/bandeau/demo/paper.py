"""The newspaper itself, as its publisher would have it without us.

Articles are files in `articles`, what stands around them is in `textes`, both by language. It takes
in third parties as papers do, and keeps a few things on the visitor's device that nobody declared.
All that it knows of bandeau are the headers that say what was granted (docs/reference/endpoints.md).
"""

from __future__ import annotations

import hashlib
import secrets
import tomllib
from collections import Counter
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from bandeau.demo import profile
from bandeau.demo.backstage import Backstage, mark
from bandeau.demo.comments import LONGEST, Comments

LANGUAGES = ("fr", "en")
FRONT_PAGE_DAY = "2017-07-06"
_ROOTS = {"fr": "", "en": "/en"}
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PUBLIC = {"Cache-Control": "public, max-age=3600"}
_AUDIENCE_DAYS = 390  # rule J3: 13 months at most, and never renewed
_FORM_BYTES = 16_384


class Readings(Protocol):
    """The counter of page views."""

    def days(self, path: str | None = None, last: int = 30) -> list[tuple[int, int]]:
        """Return (day, views)."""

    def sums(self, column: str, path: str | None = None, last: int = 30) -> list[tuple[str, int]]:
        """Return (value, views)."""


class Paper:
    """The pages. `port` is where its third parties answer, and the comment server one further on."""

    def __init__(
        self,
        port: int,
        readings: Readings | None = None,
        declared: dict[str, Any] | None = None,
    ) -> None:
        folder = files("bandeau.demo")
        self._port = port
        self._readings = readings
        self._declared = declared  # what bandeau's page of trackers says, for the privacy page
        self._comments = Comments(port + 1)
        self.backstage = Backstage(port)
        self._templates = Environment(
            loader=PackageLoader("bandeau.demo"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._texts = {
            language: tomllib.loads((folder / "textes" / f"{language}.toml").read_text("utf-8"))
            for language in LANGUAGES
        }
        named = [tomllib.loads(f.read_text("utf-8")) for f in (folder / "articles").iterdir()]
        named.sort(key=lambda article: (article["date"], article["path"]), reverse=True)
        self.articles: dict[str, dict[str, Any]] = {article["path"]: article for article in named}
        self.sections = tuple(self._texts["fr"]["sections_list"])
        self._static = {
            file.name: (file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
            for file in (folder / "statique").iterdir()
        }

    def routes(self) -> list[Route]:
        """Return every address of the paper, in each language."""
        pages: dict[str, Any] = {
            "/": self.front,
            "/confidentialite": self.privacy,
            "/coulisses": self.backstage_page,
            "/redaction": self.editors,
            "/flux.atom": self.feed,
            "/commentaires/{article:path}": self.comment_frame,
        }
        pages |= dict.fromkeys(self.articles, self.article)
        posted = {"/commentaires/{article:path}": ["GET", "POST"]}
        return [
            *(
                Route(_ROOTS[lang] + path, page, methods=posted.get(path, ["GET"]))
                for lang in LANGUAGES
                for path, page in pages.items()
            ),
            Route("/coulisses.json", self.backstage_data),
            Route("/pub/emplacement", self.slot),
            Route("/plan.xml", self.sitemap),
            Route("/robots.txt", self.robots),
            Route("/statique/{name}", self.static),
        ]

    def front(self, request: Request) -> Response:
        """The front page leads with the newest article, and has the others by section."""
        lead = self.articles["/international/2017/07/06/paris-moscou"]
        others = [article for article in self.articles.values() if article is not lead]
        by_section = {
            name: [article for article in others if article["section"] == name]
            for name in self.sections
        }
        box = self._box(request, lead)
        return self._page(request, "une.html", article=lead, by_section=by_section, box=box)

    async def article(self, request: Request) -> Response:
        """One article, with everything that a paper puts around it."""
        language, path = _split(request.url.path)
        found = self.articles[path]
        story = found[language]
        linked_data = {
            "@context": "https://schema.org",
            "@type": "NewsArticle",
            "headline": story["title"],
            "description": story["lede"],
            "datePublished": found["date"],
            "dateModified": found["date"],
            "inLanguage": language,
            "articleSection": self._texts[language]["sections_list"][found["section"]],
            "image": [str(request.url_for("static", name=found["picture"]))],
            "mainEntityOfPage": str(request.url.replace(query="", fragment="")),
            "author": {"@type": "Organization", "name": "La Lanterne"},
            "publisher": {"@type": "NewsMediaOrganization", "name": "La Lanterne"},
        }
        response = self._page(
            request,
            "article.html",
            article=found,
            also=self.articles[found["also"]],
            linked_data=linked_data,
            comments=await self._comments.published(path),
            box=self._box(request, found),
        )
        if response.status_code == 200 and _allows(request, "profiles"):  # noqa: PLR2004
            readings = self._profile(request)
            readings[found["section"]] += 1
            response.set_cookie(
                profile.NAME,
                profile.written(readings),
                max_age=profile.DAYS * 86_400,
                samesite="lax",
            )
        return response

    def privacy(self, request: Request) -> Response:
        """Who does what with which data, in the paper's own words."""
        rows = []
        for purpose in self._declared["purposes"] if self._declared else ():
            recipients = {one["id"]: one["recipient"] for one in purpose["services"]}
            rows += [
                (purpose["id"], tracker, recipients.get(tracker.get("service"), "La Lanterne"))
                for tracker in purpose["trackers"]
            ]
        return self._page(request, "confidentialite.html", rows=rows)

    def slot(self, request: Request) -> Response:
        """The frame in which the advertising chain runs: first-party, as its publishers like it."""
        return self._page(request, "emplacement.html")

    async def comment_frame(self, request: Request) -> Response:
        """The page that the form for comments is on, framed by the article; POST is for no scripts."""
        path = "/" + request.path_params["article"]
        found = self.articles.get(path)
        if found is None:
            return self._page(request, "absente.html", 404)
        status = None
        if request.method == "POST":
            if not _same_origin(request):
                return Response("403\n", 403, media_type="text/plain")
            fields = parse_qs((await _body(request)).decode("utf-8", "replace"))
            text = fields.get("texte", [""])[0].strip()[:LONGEST]
            author = fields.get("nom", [""])[0].strip()[:80]
            title = found["fr"]["title"]
            status = await self._comments.write(path, title, author, text) if text else 400
        said = {None: "", 201: "published", 202: "waiting", 503: "silent"}.get(status, "refused")
        return self._page(request, "commentaires.html", article=found, said=said)

    def backstage_page(self, request: Request) -> Response:
        """«Coulisses»: what the third parties received, with buttons that replay the visit."""
        return self._page(request, "coulisses.html")

    async def backstage_data(self, request: Request) -> Response:
        """The same figures for the panel that is filled while one reads."""
        browser = mark(request.headers.get("user-agent", "").encode("latin-1"))
        return JSONResponse(
            await self.backstage.received(browser), headers={"Cache-Control": "no-store"}
        )

    def editors(self, request: Request) -> Response:
        """What the editors see: page views by article, and how comments are approved."""
        charts = []
        counted = self._readings
        for article in self.articles.values():
            days = Counter[int]()
            for root in _ROOTS.values():
                days.update(dict(counted.days(root + article["path"])) if counted else {})
            charts.append((article, [count for _, count in sorted(days.items())]))
        charts.sort(key=lambda chart: -sum(chart[1]))
        sums = {
            column: counted.sums(column)[:8] if counted else [] for column in ("device", "referrer")
        }
        return self._page(
            request, "redaction.html", charts=charts, sums=sums, comments_port=self._port + 1
        )

    def feed(self, request: Request) -> Response:
        """The articles as an Atom feed (RFC 4287)."""
        return self._xml(request, "flux.atom", "application/atom+xml")

    def sitemap(self, request: Request) -> Response:
        """Every page in each language (sitemaps.org, 0.9)."""
        return self._xml(request, "plan.xml", "application/xml")

    def robots(self, request: Request) -> Response:
        """What robots may read."""
        address = request.url_for("sitemap")
        text = f"User-agent: *\nDisallow: /coulisses\nDisallow: /redaction\nSitemap: {address}\n"
        return Response(text, media_type="text/plain", headers=_PUBLIC)

    def missing(self, request: Request, _error: Exception) -> Response:
        """What is not there."""
        return self._page(request, "absente.html", 404)

    def static(self, request: Request) -> Response:
        """A style sheet, a script or a picture."""
        found = self._static.get(request.path_params["name"])
        if found is None:
            return self._page(request, "absente.html", 404)
        body, kind = found
        return Response(body, media_type=kind, headers=_PUBLIC)

    def _profile(self, request: Request) -> Counter[str]:
        return profile.read(request.cookies.get(profile.NAME), frozenset(self.sections))

    def _box(self, request: Request, current: dict[str, Any]) -> dict[str, Any]:
        """Return the box beside an article: by profile where granted, else the editors' choice."""
        others = [article for article in self.articles.values() if article is not current]
        readings = self._profile(request) if _allows(request, "profiles") else Counter[str]()
        if readings:
            others.sort(key=lambda article: -readings[article["section"]])
        else:
            others.sort(key=lambda article: article["path"] != current["also"])
        return {"readings": readings.most_common(), "articles": others[:3]}

    def _xml(self, request: Request, template: str, kind: str) -> Response:
        language, _ = _split(request.url.path)
        text = self._templates.get_template(template).render(
            lang=language,
            root=_ROOTS[language],
            roots=_ROOTS,
            text=self._texts[language],
            base=str(request.base_url).rstrip("/"),
            articles=list(self.articles.values()),
            updated=FRONT_PAGE_DAY,
        )
        return Response(text, media_type=kind, headers=_PUBLIC)

    def _page(self, request: Request, template: str, status: int = 200, **more: Any) -> Response:
        language, path = _split(request.url.path)
        granted = _granted(request)
        story = more["article"][language] if "article" in more else None
        other = next(one for one in LANGUAGES if one != language)
        html = self._templates.get_template(template).render(
            lang=language,
            root=_ROOTS[language],
            path=request.url.path,
            here=str(request.url.replace(query="", fragment="")),
            base=str(request.base_url).rstrip("/"),
            translated=_ROOTS[other] + path if status == 200 else None,  # noqa: PLR2004
            text=self._texts[language],
            story=story,
            raw=granted is None,
            profiled=_allows(request, "profiles"),
            party=lambda name: f"http://{name}.localhost:{self._port}",
            comment_server=f"http://commentaires.localhost:{self._port + 1}",
            **more,
        )
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:16]}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if status == 200 and etag in request.headers.get("if-none-match", ""):  # noqa: PLR2004
            response: Response = Response(status_code=304, headers=headers)
        else:
            response = HTMLResponse(html, status, headers)
        self._remember(request, response)
        return response

    def _remember(self, request: Request, response: Response) -> None:
        """Set the cookies of a paper: its session, its audience, and one that nobody declared."""
        browser = mark(request.headers.get("user-agent", "").encode("latin-1"))
        if request.headers.get("sec-fetch-dest", "document") == "document":
            granted = _granted(request)
            self.backstage.viewed(browser, "raw" if granted is None else " ".join(sorted(granted)))
        if "lanterne_session" not in request.cookies:
            response.set_cookie(
                "lanterne_session", secrets.token_hex(8), httponly=True, samesite="lax"
            )
        # The month of the first visit, for new and returning readers; the same for thousands.
        if "lanterne_depuis" not in request.cookies:
            month = datetime.now(UTC).strftime("%Y-%m")
            response.set_cookie(
                "lanterne_depuis",
                month,
                max_age=_AUDIENCE_DAYS * 86_400,
                httponly=True,
                samesite="lax",
            )
        # What a forgotten plugin does: nobody declared it.
        if "visiteur" not in request.cookies:
            response.set_cookie("visiteur", secrets.token_hex(8), max_age=365 * 86_400)


def application(
    port: int, readings: Readings | None = None, declared: dict[str, Any] | None = None
) -> Starlette:
    """Return the raw paper as an ASGI application; `port` is where its third parties are."""
    paper = Paper(port, readings, declared)
    handlers: Any = {404: paper.missing}
    return Starlette(routes=paper.routes(), exception_handlers=handlers)


def _split(path: str) -> tuple[str, str]:
    """Return the language of an address, and the address without it."""
    if path == "/en" or path.startswith("/en/"):
        return "en", path.removeprefix("/en") or "/"
    return "fr", path


def _granted(request: Request) -> frozenset[str] | None:
    """Return what the gate says was granted; None where there is no gate, and everything runs."""
    said = request.headers.get("bd-purposes")
    return None if said is None else frozenset(filter(None, said.split(", ")))


def _allows(request: Request, purpose: str) -> bool:
    granted = _granted(request)
    return granted is None or purpose in granted


def _same_origin(request: Request) -> bool:
    """Say whether a form came from a page of ours (Fetch Metadata; Origin in older browsers)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == f"{request.url.scheme}://{request.url.netloc}"


async def _body(request: Request) -> bytes:
    """Read a form; what is longer than any comment is nothing."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            return b""
    return body
