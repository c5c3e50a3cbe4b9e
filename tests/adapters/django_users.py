"""Users of Django's without a database; the third cannot be read. To be imported once Django is set up."""

from __future__ import annotations

NAMES = {"ada": "1", "bob": "2", "broken": "3"}


class Reader:
    """A user."""

    is_active = is_authenticated = True

    def __init__(self, pk: int) -> None:
        self.pk = pk

    def get_session_auth_hash(self) -> str:
        return "now"

    def get_session_auth_fallback_hash(self) -> list[str]:
        return ["before"]


class Backend:
    """Knows users by their numbers."""

    def get_user(self, pk: int) -> Reader:
        if str(pk) == NAMES["broken"]:
            raise ValueError("the users cannot be read")
        return Reader(pk)

    async def aget_user(self, pk: int) -> Reader:
        return self.get_user(pk)
