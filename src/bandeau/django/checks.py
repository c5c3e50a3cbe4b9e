"""System checks: what in the settings keeps the gate from working, each with the lines to paste.

Nothing is opened and nothing is written here but the policy file is read, so `manage.py check` may run
anywhere. Errors are what lets something past the gate or shuts visitors out; the rest are warnings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Warned
from django.http.request import validate_host

from bandeau.django import views
from bandeau.django.conf import DEFAULT_LEDGER, NAMES, PASTE_LEDGER, PASTE_POLICY, right
from bandeau.errors import PolicyError, Problem
from bandeau.ledger.sqlite import path_of
from bandeau.policy.check import undeclared
from bandeau.policy.file import load_with_warnings
from bandeau.policy.model import (
    ADVICE_KEEP_DAYS,
    BUILT_IN_LANGUAGES,
    REVIEWED_LANGUAGES,
    Policy,
    TrackerKind,
)
from bandeau.policy.presets import PRESETS, STORED
from bandeau.wire.hosts import is_loopback, target

_FIRST_POLICY = """save this as {place}, with your own words for the dots:

version = 1

[proof]
keep_days = 912  # {advice}

[controller]
name = "…"
address = "…"
contact = "…"  # of the data protection officer
privacy_policy = "/privacy"

[site]
origins = ["http://127.0.0.1:8000"]  # where visitors meet the site, scheme and port too
languages = ["{language}"]{unreviewed}
presets = [{presets}]
"""
OURS = "bandeau.django.Middleware"
_GZIP = "django.middleware.gzip.GZipMiddleware"
# What may stand before the gate: it sets no cookie, and what it answers itself is no page of the site.
_MAY_BE_FIRST = (
    _GZIP,
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.common.BrokenLinkEmailsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
)
# What must stand behind it: it sets cookies, writes into pages, or keeps what others would get.
_SET = "sets cookies, which nobody would hold back"
_KEPT = "would keep pages that are already one visitor's: it keeps none of them"
_MUST_BE_BEHIND = {
    "debug_toolbar.middleware.DebugToolbarMiddleware": "writes into pages behind the gate's back",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware": "answers with ungated pages",
    "django.contrib.messages.middleware.MessageMiddleware": _SET,
    "django.contrib.sessions.middleware.SessionMiddleware": _SET,
    "django.middleware.cache.FetchFromCacheMiddleware": "answers from its cache, ungated",
    "django.middleware.cache.UpdateCacheMiddleware": _KEPT,
    "django.middleware.csrf.CsrfViewMiddleware": _SET,
    "django.middleware.http.ConditionalGetMiddleware": "never answers 304: ETags are the gate's there",
    "django.middleware.locale.LocaleMiddleware": "reads a cookie before the gate has looked at it",
}
_SIGN_IN = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions")
_DAY = 86_400  # seconds
Found = Iterator[CheckMessage]


def names(**_: Any) -> Found:
    """Say which settings of ours have no such name, or no such value."""
    for name in sorted(name for name in dir(settings) if name.startswith("BANDEAU_")):
        value = getattr(settings, name)
        if name == "BANDEAU_KEY_FILE":
            hint = "set BANDEAU_KEY_FILE in the environment: settings are no place for a secret's"
            yield Error("BANDEAU_KEY_FILE is no setting", hint=hint, id="bandeau.E002")
        elif name not in NAMES:
            close = difflib.get_close_matches(name, NAMES, 1)
            hint = NAMES[close[0]] if close else "remove it; there are " + ", ".join(NAMES)
            yield Error(f"{name} is no setting of bandeau's", hint=hint, id="bandeau.E002")
        elif not right(name, value):
            yield Error(f"{name} cannot be {value!r}", hint=NAMES[name], id="bandeau.E001")
    if getattr(settings, "BANDEAU_POLICY", None) is None:
        yield Error("BANDEAU_POLICY is missing", hint=PASTE_POLICY, id="bandeau.E001")
    ledger = getattr(settings, "BANDEAU_LEDGER", DEFAULT_LEDGER)
    sqlite = right("BANDEAU_LEDGER", ledger) and ledger.startswith("sqlite:")
    if sqlite and not path_of(ledger).is_absolute():
        yield Warned(
            "the ledger and its key lie wherever the process is started: from another folder, every "
            "choice is lost",
            hint=PASTE_LEDGER,
            id="bandeau.W001",
        )


def policy(**_: Any) -> Found:
    """Say everything that is wrong with the policy file."""
    found = _read()
    problems = found.problems if isinstance(found, PolicyError) else found[1] if found else ()
    for one in problems:
        if one.level == "error":
            hint = _first_policy() if one.id == "BP001" else one.remedy
            yield Error(_said(one), hint=hint, id="bandeau.E003")
        else:
            yield Warned(_said(one), hint=one.remedy, id="bandeau.W002")


def middleware(**_: Any) -> Found:
    """Say what stands before the gate and should not."""
    chain = tuple(settings.MIDDLEWARE)
    hint = _pasted("MIDDLEWARE", _arranged(chain))
    if OURS not in chain:
        yield Error(f"{OURS} is not in MIDDLEWARE: nothing is gated", hint=hint, id="bandeau.E004")
        return
    before, behind = chain[: chain.index(OURS)], chain[chain.index(OURS) :]
    for name in before:
        if name in _MUST_BE_BEHIND:
            message = f"{name} stands before the gate and {_MUST_BE_BEHIND[name]}"
            yield Error(message, hint=hint, id="bandeau.E005")
        elif name not in _MAY_BE_FIRST:
            message = f"{name} stands before the gate: what it sets and answers is not gated"
            yield Warned(message, hint=hint, id="bandeau.W003")
    if _GZIP in behind:
        message = (
            f"{_GZIP} stands behind the gate: each page is decompressed there and compressed anew"
        )
        yield Warned(message, hint=hint, id="bandeau.W004")


def _arranged(chain: tuple[str, ...]) -> list[str]:
    """Return MIDDLEWARE as it should be: GZip and what may stand before the gate, the gate, the rest."""
    start = chain.index(OURS) if OURS in chain else len(chain)
    first = [name for name in chain[:start] if name in _MAY_BE_FIRST] if OURS in chain else []
    if _GZIP in chain and _GZIP not in first:
        first.append(_GZIP)
    return [*first, OURS, *(name for name in chain if name not in {*first, OURS})]


@dataclass(frozen=True)
class _Kept:
    """Something that an installed part keeps on a device, and the preset that declares it, if any."""

    part: str
    kind: TrackerKind
    name: str
    seconds: int | None  # how long; None until the session ends
    preset: str


def _kept() -> Iterator[_Kept]:
    """Return what the installed parts keep, by their settings; the rest is as their presets have it."""
    chain = set(settings.MIDDLEWARE)
    if "django.contrib.sessions.middleware.SessionMiddleware" in chain:
        age = None if settings.SESSION_EXPIRE_AT_BROWSER_CLOSE else settings.SESSION_COOKIE_AGE
        yield _Kept("sessions", "cookie", settings.SESSION_COOKIE_NAME, age, "django")
    if "django.middleware.csrf.CsrfViewMiddleware" in chain and not settings.CSRF_USE_SESSIONS:
        age = settings.CSRF_COOKIE_AGE
        yield _Kept("CSRF protection", "cookie", settings.CSRF_COOKIE_NAME, age, "django")
    if "django.contrib.messages.middleware.MessageMiddleware" in chain and _messages_in_cookie():
        yield _Kept("messages", "cookie", "messages", None, "django")
    if "django.middleware.locale.LocaleMiddleware" in chain:
        name, age = settings.LANGUAGE_COOKIE_NAME, settings.LANGUAGE_COOKIE_AGE
        yield _Kept("the language", "cookie", name, age, "django")
    for app, preset in _APPS.items():
        if apps.is_installed(app):
            for name, days in PRESETS[preset]:
                seconds = days * _DAY if days else None
                yield _Kept(app, "cookie", name, seconds, preset)
            for kind, name in STORED.get(preset, ()):
                yield _Kept(app, kind, name, None, preset)


_APPS = {
    "allauth": "allauth",
    "debug_toolbar": "debug-toolbar",
    "django.contrib.admin": "django-admin",
    "wagtail.admin": "wagtail",
}


def _messages_in_cookie() -> bool:
    return str(settings.MESSAGE_STORAGE).rpartition(".")[2] in ("CookieStorage", "FallbackStorage")


def trackers(**_: Any) -> Found:
    """Say what installed applications keep on devices and the policy does not declare."""
    declared = _declared()
    if declared is None:
        return
    lacking = [one for one in _kept() if not _covered(one, declared)]
    by_preset = [one for one in lacking if (one.kind, one.name) in _preset_names(one.preset)]
    wanted = dict.fromkeys([*declared.site.presets, *(one.preset for one in by_preset)])
    presets = f"[site]\npresets = [{_quoted(wanted)}]"
    together: dict[tuple[bool, str], list[_Kept]] = {}
    for one in lacking:
        lines = presets if one in by_preset else _pasted_tracker(one)
        together.setdefault((one.preset == "django", lines), []).append(one)
    for (necessary, lines), kept in together.items():
        parts = ", ".join(dict.fromkeys(one.part for one in kept))
        named = ", ".join(one.name for one in kept)
        message, hint = f"{parts}: held back, for it is not declared: {named}", _in_policy(lines)
        if necessary:
            yield Error(message, hint=hint, id="bandeau.E006")
        else:
            yield Warned(message, hint=hint, id="bandeau.W005")
    for one in _kept():
        days = _declared_days(one, declared)
        if one.seconds and days is not None and one.seconds > days * _DAY:
            yield Warned(
                f"{one.part}: {one.name} lives longer than is declared ({days or 'no'} days)",
                hint=_in_policy(_pasted_tracker(one)),
                id="bandeau.W006",
            )


def accounts(**_: Any) -> Found:
    """Say what keeps accounts from having a choice of their own, where the policy lets them."""
    declared = _declared()
    if declared is None or not declared.account.enabled:
        return
    lacking = [name for name in _SIGN_IN if not apps.is_installed(name)]
    if lacking:
        hint = _pasted("INSTALLED_APPS", [*settings.INSTALLED_APPS, *lacking])
        yield Error("[account] is on, and nobody can sign in", hint=hint, id="bandeau.E009")
    name = settings.SESSION_COOKIE_NAME
    owners = {
        tracker.purpose or declared.service(tracker.service or "").purpose
        for tracker in declared.trackers
        if tracker.kind == "cookie" and _names_it(tracker.name, name)
    }
    if owners - {"technical"}:
        session = _Kept("", "cookie", name, settings.SESSION_COOKIE_AGE, "")
        yield Error(
            f"[account] is on: {name} is read before anything is granted, and is not technical",
            hint=_in_policy(_pasted_tracker(session)),
            id="bandeau.E010",
        )


def _preset_names(preset: str) -> set[tuple[str, str]]:
    return {("cookie", name) for name, _ in PRESETS[preset]} | {*STORED.get(preset, ())}


def _covered(one: _Kept, declared: Policy) -> bool:
    """Say whether the policy names it at all; under which purpose is the owner's matter."""
    return any(t.kind == one.kind and _names_it(t.name, one.name) for t in declared.trackers)


def _names_it(declared: str, name: str) -> bool:
    return name == declared or (declared.endswith("*") and name.startswith(declared[:-1]))


def _declared_days(one: _Kept, declared: Policy) -> int | None:
    """Return the longest declared life of a cookie in days; 0 for a session cookie; None undeclared."""
    found = [t for t in declared.trackers if t.kind == one.kind and _names_it(t.name, one.name)]
    return max((t.max_age_days or 0 for t in found), default=None)


def _pasted_tracker(one: _Kept) -> str:
    lines = ["[[tracker]]", f'name = "{one.name}"', f'kind = "{one.kind}"', 'purpose = "technical"']
    if one.seconds:
        lines.append(f"max_age_days = {-(-one.seconds // _DAY)}")
    return "\n".join(lines)


def hosts(**_: Any) -> Found:
    """Say where ALLOWED_HOSTS and the policy's origins are at odds."""
    declared = _declared()
    if declared is None:
        return
    allowed = list(settings.ALLOWED_HOSTS)
    if settings.DEBUG and not allowed:
        allowed = [".localhost", "127.0.0.1", "[::1]"]  # django.http.request, get_host
    origins = {origin: _host(origin) for origin in declared.site.origins}
    refused = [host for host in origins.values() if not validate_host(host, allowed)]
    for host in dict.fromkeys(refused):
        yield Error(
            f"visitors of {host!r}, an origin of the policy, get 400: ALLOWED_HOSTS lacks it",
            hint=_pasted("ALLOWED_HOSTS", dict.fromkeys([*settings.ALLOWED_HOSTS, *refused])),
            id="bandeau.E007",
        )
    known = set(origins.values())
    for host in settings.ALLOWED_HOSTS:
        if host.startswith(("*", ".")) or host.lower() in known or is_loopback(host.strip("[]")):
            continue
        added = [*declared.site.origins, f"https://{host}"]
        yield Warned(
            f"{host!r} is in ALLOWED_HOSTS and no origin of the policy: nobody can choose there",
            hint=_origins(added),
            id="bandeau.W007",
        )
    if settings.DEBUG and not any(is_loopback(host) for host in known):
        added = [*declared.site.origins, "http://127.0.0.1:8000", "http://localhost:8000"]
        yield Warned(
            "no origin is this machine: with runserver nobody can choose",
            hint=_origins(added),
            id="bandeau.W008",
        )


def needs(**_: Any) -> Found:
    """Say which views need a purpose that is not declared."""
    declared = _declared()
    if declared is None:
        return
    if getattr(settings, "ROOT_URLCONF", None):
        import_module(settings.ROOT_URLCONF)  # brings the views, and what they are said to need
    for view, purposes in views.needed:
        for one in undeclared(declared, f"@consent_needs of {view}", purposes):
            yield Error(_said(one), hint=one.remedy, id="bandeau.E008")


def proxy(**_: Any) -> Found:
    """Say that https may go unnoticed behind a server that ends TLS; for deployments."""
    declared = _declared()
    if declared is None:
        return
    secure = any(origin.startswith("https:") for origin in declared.site.origins)
    if secure and not settings.SECURE_PROXY_SSL_HEADER:
        yield Warned(
            "the origins are https; behind a server that ends TLS, Django takes requests for http, which"
            " is no origin: nobody can choose",
            hint='SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")   # where that server '
            "sets the header itself; none, where this process speaks TLS",
            id="bandeau.W009",
        )


def _read() -> tuple[Policy, list[Problem]] | PolicyError | None:
    """Return the policy with its warnings, or what is wrong with it; None where none is named."""
    place = getattr(settings, "BANDEAU_POLICY", None)
    if place is None or not right("BANDEAU_POLICY", place):
        return None
    try:
        return load_with_warnings(Path(place))
    except PolicyError as error:
        return error


def _first_policy() -> str:
    """Return a policy to begin with: it loads, asks nothing, and lets the installed parts work."""
    language = str(settings.LANGUAGE_CODE).partition("-")[0]
    language = language if language in BUILT_IN_LANGUAGES else "en"
    accepted = f'\naccept_unreviewed = ["{language}"]  # have its texts read: docs/languages.md'
    return _FIRST_POLICY.format(
        place=settings.BANDEAU_POLICY,
        advice=ADVICE_KEEP_DAYS,
        language=language,
        unreviewed="" if language in REVIEWED_LANGUAGES else accepted,
        presets=_quoted(dict.fromkeys(one.preset for one in _kept())),
    )


def _declared() -> Policy | None:
    found = _read()
    return found[0] if isinstance(found, tuple) else None


def _in_policy(lines: str) -> str:
    return f"in {Path(settings.BANDEAU_POLICY).name}:\n{lines}"


def _origins(origins: Iterable[str]) -> str:
    return _in_policy(f"[site]\norigins = [{_quoted(origins)}]")


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _host(origin: str) -> str:
    return target(origin, "").host


def _said(problem: Problem) -> str:
    return f"{problem.id} {problem.place}: {problem.message}"


def _pasted(name: str, items: Iterable[str]) -> str:
    return "\n".join([f"{name} = [", *(f'    "{item}",' for item in items), "]"])


def observing(**_: Any) -> Found:
    """Say that a deployment only observes."""
    if getattr(settings, "BANDEAU_OBSERVE", False):
        yield Warned(
            "BANDEAU_OBSERVE is on: nothing is held back, and nobody is asked",
            hint="remove BANDEAU_OBSERVE",
            id="bandeau.W010",
        )


ALWAYS = (names, policy, middleware, trackers, accounts, hosts, needs)
DEPLOYED = (proxy, observing)
