"""The newspaper itself, as its publisher would have it; it knows nothing of bandeau."""

from __future__ import annotations

import secrets
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

ARTICLE = "/international/2017/07/06/paris-moscou-quai-d-orsay"
_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def application(port: int) -> Starlette:
    """Return the raw paper; `port` is where its third parties are."""
    templates = Environment(
        loader=PackageLoader("bandeau.demo"), autoescape=True, undefined=StrictUndefined
    )

    def page(request: Request, template: str, status: int = 200) -> HTMLResponse:
        english = request.url.path == "/en" or request.url.path.startswith("/en/")
        html = templates.get_template(template).render(
            lang="en" if english else "fr",
            root="/en" if english else "",
            article=ARTICLE,
            party=lambda name: f"http://{name}.localhost:{port}",
            path=request.url.path,
        )
        response = HTMLResponse(html, status)
        if "lanterne_session" not in request.cookies:
            response.set_cookie("lanterne_session", secrets.token_hex(8), httponly=True, samesite="lax")
        # What a forgotten plugin does: nobody declared it, so the gate has to hold it back.
        response.set_cookie("visiteur", secrets.token_hex(8), max_age=31_536_000)
        return response

    def front(request: Request) -> Response:
        return page(request, "une.html")

    def article(request: Request) -> Response:
        return page(request, "article.html")

    def privacy(request: Request) -> Response:
        return page(request, "confidentialite.html")

    def slot(request: Request) -> Response:
        return page(request, "emplacement.html")

    def missing(request: Request, _error: Exception) -> Response:
        return page(request, "absente.html", 404)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        found = files("bandeau.demo") / "statique" / name
        kind = _TYPES.get(name[name.rfind(".") :])
        if kind is None or not found.is_file():
            raise HTTPException(404)
        headers = {"Cache-Control": "public, max-age=3600"}
        return Response(found.read_bytes(), media_type=kind, headers=headers)

    handlers: Any = {404: missing}
    return Starlette(
        routes=[
            Route("/", front),
            Route("/en/", front),
            Route(ARTICLE, article),
            Route("/en" + ARTICLE, article),
            Route("/confidentialite", privacy),
            Route("/en/confidentialite", privacy),
            Route("/pub/emplacement", slot),
            Route("/statique/{name}", static),
        ],
        exception_handlers=handlers,
    )
