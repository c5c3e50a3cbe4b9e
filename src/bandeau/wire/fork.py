"""What must be shut while a process forks, as servers do that load an application before they fork.

SQLite counts the locks of its process in memory; a child inherits the counts but not the locks, and
would overwrite what its parent writes. So no connection may be open across a fork, not even to be closed
in the child (sqlite.org, "How To Corrupt An SQLite Database File", 2.6).
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Shut(Protocol):
    """Something that can be shut for a moment, whatever its threads are doing."""

    def before_fork(self) -> None:
        """Finish what goes on, and let go of everything that a child must not inherit."""

    def after_fork(self, *, child: bool) -> None:
        """Go on, in the parent and in the child; a child has none of its parent's other threads."""


_guarded: WeakSet[Shut] = WeakSet()
_shut: list[Shut] = []


def guard(one: Shut) -> None:
    """Shut something at every fork, for as long as it is in use."""
    _guarded.add(one)


def _before() -> None:
    _shut[:] = list(_guarded)
    for one in _shut:
        one.before_fork()


def _after(*, child: bool) -> None:
    for one in reversed(_shut):
        one.after_fork(child=child)
    _shut.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
