"""Django's settings of ours, and the process's one Site, made of them when first asked for.

BANDEAU_POLICY   path of bandeau.toml; required
BANDEAU_LEDGER   "sqlite:////absolute/path.db" or "postgresql://…"; default "sqlite:///bandeau.db"
BANDEAU_OBSERVE  True: change nothing, report what would be held back on stderr; a path: in that file
"""

from __future__ import annotations

import atexit
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from bandeau.errors import BandeauError
from bandeau.gate.observe import Observer
from bandeau.ledger.place import POSTGRESQL
from bandeau.policy.file import load
from bandeau.policy.model import Policy
from bandeau.site import Site

PASTE_POLICY = 'BANDEAU_POLICY = BASE_DIR / "bandeau.toml"'
PASTE_LEDGER = "BANDEAU_LEDGER = f\"sqlite:///{BASE_DIR / 'bandeau.db'}\""
NAMES = {
    "BANDEAU_POLICY": PASTE_POLICY,
    "BANDEAU_LEDGER": PASTE_LEDGER,
    "BANDEAU_OBSERVE": "BANDEAU_OBSERVE = True   # or a path for the report; off: leave it out",
}
DEFAULT_LEDGER = "sqlite:///bandeau.db"  # relative to the working directory, as everywhere else

_sites: dict[tuple[str, str, str], Site] = {}


def right(name: str, value: Any) -> bool:
    """Say whether a setting's value is of its type."""
    if name == "BANDEAU_POLICY":
        return isinstance(value, str | os.PathLike) and bool(str(value))
    if name == "BANDEAU_LEDGER":
        schemes = ("sqlite:///", *POSTGRESQL)
        return isinstance(value, str) and value.startswith(schemes) and value not in schemes
    return isinstance(value, bool | str | os.PathLike)


def setting(name: str) -> Any:
    """Return a setting; the default where it is left out. Raises ImproperlyConfigured."""
    defaults = {"BANDEAU_LEDGER": DEFAULT_LEDGER, "BANDEAU_OBSERVE": False}
    value = getattr(settings, name, defaults.get(name))
    if not right(name, value):
        what = "is missing" if value is None else f"cannot be {value!r}"
        raise ImproperlyConfigured(f"{name} {what}; write {NAMES[name]}")
    return value


def policy() -> Policy:
    """Return the policy that the settings name. Raises ImproperlyConfigured with every problem."""
    return _policy(str(setting("BANDEAU_POLICY")))


def site() -> Site:
    """Return the process's site. Raises ImproperlyConfigured with every problem."""
    ledger, observe = setting("BANDEAU_LEDGER"), setting("BANDEAU_OBSERVE")
    key = (str(setting("BANDEAU_POLICY")), ledger, str(observe))
    if key not in _sites:
        try:
            made = Site.from_policy(policy(), ledger, observer=_observer(observe))
        except (BandeauError, OSError) as error:
            raise ImproperlyConfigured(str(error)) from error
        _sites[key] = made
        atexit.register(made.close)  # page views and the summary of an observation wait for it
    return _sites[key]


def _observer(observe: Any) -> Observer | None:
    if not observe:
        return None
    out = sys.stderr if observe is True else Path(observe).open("a", encoding="utf-8")  # noqa: SIM115
    return Observer(out)


@lru_cache(maxsize=8)
def _policy(path: str) -> Policy:
    try:
        return load(Path(path))
    except BandeauError as error:
        raise ImproperlyConfigured(str(error)) from error
