"""Users of Django's without a database: in a session stands who it is. To be imported once Django is set up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.utils.functional import SimpleLazyObject


class Reader:
    """A user."""

    def __init__(self, pk: str | None) -> None:
        self.pk = pk
        self.is_authenticated = pk is not None


class Known(AuthenticationMiddleware):  # type: ignore[misc]
    """Django's own, but for where users are kept."""

    def process_request(self, request: Any) -> None:
        def user() -> Reader:
            who = request.session.get("who")
            if who == "broken":
                raise ValueError("the sessions cannot be read")
            return Reader(who)

        async def auser() -> Reader:
            return user()

        request.user, request.auser = SimpleLazyObject(user), auser
