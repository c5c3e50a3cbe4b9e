"""`@consent_needs("social")`: a view that is closed until its purposes are granted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from bandeau.django.middleware import Closed, exchange_of, personal

View = Callable[..., Any]

# What views are said to need, for the check that every purpose is declared: (view, purposes).
needed: list[tuple[str, tuple[str, ...]]] = []


def consent_needs(*purposes: str) -> Callable[[View], View]:
    """Close a view until all of these purposes are granted: 403, our page, one button for each.

    For class-based views: `method_decorator(consent_needs("social"), name="dispatch")`. An answer
    of such a view is not kept by caches of Django's that stand around it.
    """

    def decorate(view: View) -> View:
        needed.append((getattr(view, "__qualname__", "") or repr(view), purposes))
        if iscoroutinefunction(view):

            @wraps(view)
            async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                closed = _closed(request, purposes)
                response = closed or await view(request, *args, **kwargs)
                personal(request)
                return response

            return asynchronous

        @wraps(view)
        def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            closed = _closed(request, purposes)
            response = closed or view(request, *args, **kwargs)
            personal(request)
            return response

        return synchronous

    return decorate


def _closed(request: HttpRequest, purposes: tuple[str, ...]) -> HttpResponseBase | None:
    reply = exchange_of(request).closed(purposes)
    return Closed(reply) if reply else None
