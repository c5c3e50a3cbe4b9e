"""The newspaper itself, as its publisher would have it without us: it knows nothing of bandeau.

Articles are files in `articles`, what stands around them is in `textes`, both by language. It takes
in third parties as papers do, and keeps a few things on the visitor's device that nobody declared.
"""

from __future__ import annotations

import secrets
import tomllib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

LANGUAGES = ("fr", "en")
_ROOTS = {"fr": "", "en": "/en"}
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Paper:
    """The pages. `port` is where its third parties answer."""

    def __init__(self, port: int) -> None:
        folder = files("bandeau.demo")
        self._port = port
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
        named = sorted((f for f in (folder / "articles").iterdir()), key=lambda file: file.name)
        self.articles = {
            article["path"]: article
            for article in (tomllib.loads(file.read_text("utf-8")) for file in named)
        }
        self._static = {
            file.name: (file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
            for file in (folder / "statique").iterdir()
        }

    def routes(self) -> list[Route]:
        """Return every address of the paper, in each language."""
        pages = {"/": self.front, "/confidentialite": self.privacy}
        pages |= dict.fromkeys(self.articles, self.article)
        return [
            *(
                Route(_ROOTS[lang] + path, page)
                for lang in LANGUAGES
                for path, page in pages.items()
            ),
            Route("/pub/emplacement", self.slot),
            Route("/statique/{name}", self.static),
        ]

    def front(self, request: Request) -> Response:
        """The front page leads with the newest article."""
        newest = max(self.articles.values(), key=lambda article: str(article["date"]))
        return self._page(request, "une.html", article=newest)

    def article(self, request: Request) -> Response:
        """One article, with everything that a paper puts around it."""
        language, path = _split(request.url.path)
        found = self.articles[path]
        linked_data = {
            "@context": "https://schema.org",
            "@type": "NewsArticle",
            "headline": found[language]["title"],
            "datePublished": found["date"],
            "inLanguage": language,
            "publisher": {"@type": "NewsMediaOrganization", "name": "La Lanterne"},
        }
        return self._page(request, "article.html", article=found, linked_data=linked_data)

    def privacy(self, request: Request) -> Response:
        """Who does what with which data, in the paper's own words."""
        return self._page(request, "confidentialite.html")

    def slot(self, request: Request) -> Response:
        """The frame in which the advertising chain runs: first-party, as its publishers like it."""
        return self._page(request, "emplacement.html")

    def missing(self, request: Request, _error: Exception) -> Response:
        """What is not there."""
        return self._page(request, "absente.html", 404)

    def static(self, request: Request) -> Response:
        """A style sheet, a script or a picture."""
        found = self._static.get(request.path_params["name"])
        if found is None:
            return self._page(request, "absente.html", 404)
        body, kind = found
        return Response(body, media_type=kind, headers={"Cache-Control": "public, max-age=3600"})

    def _page(self, request: Request, template: str, status: int = 200, **more: Any) -> Response:
        language, path = _split(request.url.path)
        story = more["article"][language] if "article" in more else None
        other = next(one for one in LANGUAGES if one != language)
        html = self._templates.get_template(template).render(
            lang=language,
            root=_ROOTS[language],
            path=request.url.path,
            translated=_ROOTS[other] + path if status == 200 else None,  # noqa: PLR2004
            text=self._texts[language],
            story=story,
            party=lambda name: f"http://{name}.localhost:{self._port}",
            **more,
        )
        response = HTMLResponse(html, status)
        if "lanterne_session" not in request.cookies:
            response.set_cookie(
                "lanterne_session", secrets.token_hex(8), httponly=True, samesite="lax"
            )
        # What a forgotten plugin does: nobody declared it.
        if "visiteur" not in request.cookies:
            response.set_cookie("visiteur", secrets.token_hex(8), max_age=365 * 86_400)
        return response


def application(port: int) -> Starlette:
    """Return the raw paper as an ASGI application; `port` is where its third parties are."""
    paper = Paper(port)
    handlers: Any = {404: paper.missing}
    return Starlette(routes=paper.routes(), exception_handlers=handlers)


def _split(path: str) -> tuple[str, str]:
    """Return the language of an address, and the address without it."""
    if path == "/en" or path.startswith("/en/"):
        return "en", path.removeprefix("/en") or "/"
    return "fr", path
