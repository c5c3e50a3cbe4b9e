"""What of a page view is counted: sums by path, referrer's host and device class, never who.

The user agent is read once, for the class of the device and to leave robots out, and not kept
(rules J1-J5; CNIL, deliberation 2020-092, article 5).
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

from bandeau.wire.hosts import target
from bandeau.wire.messages import Request

DEVICES = ("phone", "tablet", "desktop")
PATH_LENGTH = 300  # characters of a path that are kept
_AGENT = 512  # bytes of a user agent that are looked at
_ROBOT = re.compile(
    rb"bot\b|bot/|crawl|spider|slurp|headless|lighthouse|preview|monitor|archiv|facebookexternalhit"
    rb"|curl/|wget/|python|java/|go-http|okhttp|libwww|httpclient|axios|node-fetch",
    re.IGNORECASE,
)
_TABLET = re.compile(rb"ipad|tablet|kindle|silk/|playbook", re.IGNORECASE)
_PHONE = re.compile(rb"mobi|iphone|ipod", re.IGNORECASE)
_ANDROID = re.compile(rb"android", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class View:
    """One page view as it is counted. `referrer` is a host of somebody else's, or empty."""

    path: str
    referrer: str
    device: str


def view(request: Request, status: int, *, page: bool, own: Container[str]) -> View | None:
    """Return what a response counts as, or None for what is no view by a person.

    `page` says that it is HTML; a 304 has no type, and is a view where a page was asked for.
    """
    if not page and status != 304:  # noqa: PLR2004 (most of what is answered)
        return None
    destination = request.first(b"sec-fetch-dest")
    shown = (page and status == 200) or (status == 304 and destination == b"document")  # noqa: PLR2004
    if request.method != "GET" or not shown or destination not in (None, b"document"):
        return None
    if request.first(b"sec-purpose") or request.first(b"purpose") or request.first(b"x-moz"):
        return None
    agent = request.first(b"user-agent") or b""
    if not agent or _ROBOT.search(agent):
        return None
    referrer = target((request.first(b"referer") or b"").decode("latin-1"), "").host
    foreign = referrer if referrer and referrer not in own else ""
    return View(request.path[:PATH_LENGTH], foreign[:PATH_LENGTH], device(agent))


def device(agent: bytes) -> str:
    """Return a device's class: an Android without "Mobile" is a tablet (as its makers advise)."""
    return _device(agent[:_AGENT])


@lru_cache(maxsize=1024)
def _device(agent: bytes) -> str:
    if _TABLET.search(agent):
        return "tablet"
    if _PHONE.search(agent):
        return "phone"
    return "tablet" if _ANDROID.search(agent) else "desktop"
