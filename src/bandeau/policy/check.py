"""What needs the whole policy to be seen: references, contradictions, the rules for exempt trackers.

Each finding has an id that stays, a place, and what to write instead. Errors refuse the policy at
start; warnings are said by `bandeau check`.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from bandeau.errors import Problem
from bandeau.policy.colours import palette, too_faint
from bandeau.policy.model import (
    BUILT_IN_LANGUAGES,
    BUILT_IN_PURPOSES,
    REVIEWED_LANGUAGES,
    Policy,
    Service,
    Tracker,
)
from bandeau.policy.presets import PRESETS
from bandeau.policy.vendors import vendors
from bandeau.wire.hosts import matches, target

EXEMPT_DAYS = 396  # 13 months: CNIL deliberation 2020-092, article 5 (rule J3)
# Held too vague to inform anybody: CNIL SAN-2020-013 paragraph 94, EDPB 05/2020 (rule A6).
_VAGUE = (
    "améliorer votre expérience",
    "améliorer nos services",
    "exploiter et améliorer nos services",
    "improve your experience",
    "improve our services",
    "operate and improve our services",
    "provide a better experience",
)


def check(policy: Policy) -> list[Problem]:
    """Return every problem that the models cannot see, in the order of the file."""
    return [problem for rule in _RULES for problem in rule(policy)]


def undeclared(policy: Policy, place: str, purposes: Iterable[str]) -> list[Problem]:
    """Return a problem for each purpose that is asked for somewhere and that no policy declares."""
    known = {*policy.consentable, "technical"}
    return [
        _unknown("BP015", place, "purpose", name, known) for name in purposes if name not in known
    ]


def speakers(policy: Policy, *, told: bool) -> list[Problem]:
    """Return what is wrong where nobody says who is signed in, or says it in vain."""
    if policy.account.enabled == told:
        return []
    if told:
        message, remedy = (
            "nothing asks who is signed in",
            "enabled = true   # or leave account= out",
        )
    else:
        message = "nothing says who is signed in: every visitor would be taken for a stranger"
        remedy = "site.asgi(app, account=…); for the proxy ask = …; else enabled = false"
    return [Problem("BP041", "[account] · enabled", message, remedy)]


def _languages(policy: Policy) -> Iterator[Problem]:
    for language in policy.site.languages:
        if language not in BUILT_IN_LANGUAGES:
            yield Problem(
                "BP010",
                "[site] · languages",
                f"there are no texts in {language!r}",
                f"write languages out of {', '.join(BUILT_IN_LANGUAGES)}",
            )
    yield from _unreviewed(policy)


def _unreviewed(policy: Policy) -> Iterator[Problem]:
    """What no native speaker has read may inform nobody (GDPR art. 12(1)): the owner answers for it."""
    site = policy.site
    unreviewed = [
        one for one in site.languages if one in BUILT_IN_LANGUAGES and one not in REVIEWED_LANGUAGES
    ]
    if refused := [one for one in unreviewed if one not in site.accept_unreviewed]:
        files = ", ".join(f"{one}.toml" for one in refused)
        accepted = ", ".join(f'"{one}"' for one in unreviewed)
        yield Problem(
            "BP030",
            "[site] · languages",
            f"no native speaker has read the texts in {', '.join(map(repr, refused))}",
            f"have bandeau/notice/locales/{files} read (docs/languages.md says how), or answer for them:"
            f" accept_unreviewed = [{accepted}]",
        )
    for language in site.accept_unreviewed:
        if language not in site.languages:
            yield _unknown(
                "BP031", "[site] · accept_unreviewed", "language", language, site.languages
            )


def _presets(policy: Policy) -> Iterator[Problem]:
    for name in policy.site.presets:
        if name not in PRESETS:
            yield Problem(
                "BP011",
                "[site] · presets",
                f"no platform is called {name!r}",
                _close(name, PRESETS),
            )


def _ids(policy: Policy) -> Iterator[Problem]:
    tables = {
        "purpose": [purpose.id for purpose in policy.purposes],
        "service": [service.id for service in policy.services],
        "feature": [feature.id for feature in policy.features],
        "partner": [partner.service for partner in policy.partners],
    }
    for table, ids in tables.items():
        for found, count in Counter(ids).items():
            if count > 1:
                yield Problem(
                    "BP012",
                    f'[[{table}]] "{found}"',
                    f"the id stands {count} times",
                    "give each its own id",
                )


def _texts(policy: Policy) -> Iterator[Problem]:
    for purpose in policy.purposes:
        place = f'[[purpose]] "{purpose.id}"'
        missing = [lang for lang in policy.site.languages if lang not in purpose.text]
        if purpose.id not in BUILT_IN_PURPOSES and missing:
            yield Problem(
                "BP013",
                place,
                f"this purpose is not built in and has no text in {', '.join(missing)}",
                f'[purpose.text.{missing[0]}] title = "…", sentence = "…"',
            )
        for language, text in purpose.text.items():
            for vague in _VAGUE:
                if vague in text.sentence.lower() or vague in text.title.lower():
                    yield Problem(
                        "BP014",
                        f"{place} · text.{language}",
                        f"«{vague}» says nothing that one could agree to (rule A6)",
                        "say what is done, with which data, for whom",
                    )


def _references(policy: Policy) -> Iterator[Problem]:
    purposes = {purpose.id for purpose in policy.purposes} | {"technical"}
    services = {service.id for service in policy.services}
    for service in policy.services:
        for name in (*service.needs_any, *([service.purpose] if service.purpose else [])):
            if name not in purposes:
                yield _unknown("BP015", f'[[service]] "{service.id}"', "purpose", name, purposes)
    for tracker in policy.trackers:
        place = f'[[tracker]] "{tracker.name}"'
        if tracker.purpose and tracker.purpose not in purposes:
            yield _unknown("BP015", place, "purpose", tracker.purpose, purposes)
        if tracker.service and tracker.service not in services:
            yield _unknown("BP016", place, "service", tracker.service, services)
    for feature in policy.features:
        for name in feature.needs:
            if name not in purposes:
                yield _unknown("BP015", f'[[feature]] "{feature.id}"', "purpose", name, purposes)


def _partners(policy: Policy) -> Iterator[Problem]:
    services = {service.id: service for service in policy.services}
    for partner in policy.partners:
        place = f'[[partner]] "{partner.service}"'
        service = services.get(partner.service)
        if service is None:
            yield _unknown("BP016", place, "service", partner.service, services)
        elif service.purpose == "technical":
            yield Problem(
                "BP027",
                f"{place} · service",
                "it needs no consent, so none is ever withdrawn",
                "remove the table",
            )
        declared = [
            tracker.name
            for tracker in policy.trackers
            if tracker.kind == "cookie" and tracker.service == partner.service
        ]
        for name in partner.names:
            if not any(_named(name, one) for one in declared):
                yield Problem(
                    "BP028",
                    f"{place} · names",
                    f"{name!r} is no cookie of this service: its value is none of its business",
                    f'name one of its own, or declare [[tracker]] name = "{name}"',
                )


def _named(name: str, declared: str) -> bool:
    start = declared.removesuffix("*")
    return name == declared or (start != declared and name.startswith(start))


def _routes(policy: Policy) -> Iterator[Problem]:
    prefix = policy.site.prefix
    owners = [(f'[[service]] "{s.id}"', s.routes) for s in policy.services]
    owners += [(f'[[feature]] "{f.id}"', f.routes) for f in policy.features]
    for place, routes in owners:
        for route in routes:
            start = route.removesuffix("*")
            if start.startswith(prefix + "/") or (route.endswith("*") and prefix.startswith(start)):
                yield Problem(
                    "BP017",
                    f"{place} · routes",
                    f"{route!r} would close bandeau's own pages under {prefix!r}",
                    "name a route beside it, or change [site] prefix",
                )


def _own_hosts(policy: Policy) -> Iterator[Problem]:
    own = {target(origin, "").host for origin in policy.site.origins}
    for service in policy.services:
        for host in service.hosts:
            for name in sorted(own):
                if matches(host.host, name):
                    yield Problem(
                        "BP018",
                        f'[[service]] "{service.id}" · hosts',
                        f"{host.host!r} means {name!r}, which is the site itself",
                        "name the service's own host; for own paths use routes",
                    )


def _exempt(policy: Policy) -> Iterator[Problem]:
    """Rules J1-J3 and J5 as far as a declaration can show them (CNIL 2020-092, article 5)."""
    for tracker in policy.trackers:
        if tracker.exempt is None:
            continue
        place = f'[[tracker]] "{tracker.name}"'
        for holds, rule, message, remedy in _exempt_conditions(tracker, policy):
            if not holds:
                yield Problem("BP019", place, f"exempt, but {message} (rule {rule})", remedy)


def _exempt_conditions(tracker: Tracker, policy: Policy) -> list[tuple[bool, str, str, str]]:
    service = next((s for s in policy.services if s.id == tracker.service), None)
    purpose = tracker.purpose or (service.purpose if service else None)
    age = tracker.max_age_days
    return [
        (purpose == "audience", "J1", "its purpose is not audience", 'purpose = "audience"'),
        (
            service is None or not service.hosts,
            "J1",
            "its service has hosts of its own, where the data would be somebody else's too",
            "declare the tracker under the purpose, without a service",
        ),
        (tracker.party == "first", "J2", "it is a third party's", 'party = "first"'),
        (tracker.domain is None, "J2", "it is shared with other hosts", "remove domain"),
        (
            age is not None and age <= EXEMPT_DAYS,
            "J3",
            f"its age is {'not said' if age is None else f'{age} days'}",
            f"max_age_days = {EXEMPT_DAYS}   # or less, and never renewed",
        ),
    ]


def _choice(policy: Policy) -> Iterator[Problem]:
    """What a string can open has to be said, and by whom it is changed (GDPR art. 7(3))."""
    if policy.choice.source != "tcf":
        yield from _without_strings(policy)
        return
    cookie = policy.choice.cookie
    if policy.choice.settings_url is None:
        yield Problem(
            "BP021",
            "[choice] · settings_url",
            "nothing leads to the platform's settings, and a choice must be as easy to take back",
            'settings_url = "/…"   # or "#id": what opens them on every page',
        )
    if not any(_keeps(tracker, cookie, policy) for tracker in policy.trackers):
        yield Problem(
            "BP022",
            "[choice] · cookie",
            f"{cookie!r} is no technical cookie here: it would be swept, and no choice would hold",
            f'[[tracker]] name = "{cookie}", kind = "cookie", purpose = "technical", max_age_days = …',
        )
    for purpose in policy.purposes:
        place = f'[[purpose]] "{purpose.id}"'
        if purpose.id != "technical" and not purpose.tcf_purposes:
            yield Problem(
                "BP023",
                f"{place} · tcf_purposes",
                "no purpose of the TCF is named, so that no string could open it",
                "tcf_purposes = [1, …]   # all of them must be consented to",
            )
        if purpose.id == "technical" and (purpose.tcf_purposes or purpose.tcf_special_features):
            yield _needless(place, "tcf_purposes")
    for service in policy.services:
        if service.tcf_vendor and "technical" in (service.purpose, *service.needs_any):
            yield _needless(f'[[service]] "{service.id}"', "tcf_vendor")


def _without_strings(policy: Policy) -> Iterator[Problem]:
    named: list[tuple[str, str]] = [
        ("[choice]", key)
        for key in ("cookie", "settings_url")
        if key in policy.choice.model_fields_set
    ]
    for purpose in policy.purposes:
        keys = ("tcf_purposes", "tcf_special_features")
        named += [(f'[[purpose]] "{purpose.id}"', key) for key in keys if getattr(purpose, key)]
    named += [(f'[[service]] "{s.id}"', "tcf_vendor") for s in policy.services if s.tcf_vendor]
    for place, key in named:
        yield Problem(
            "BP024",
            f"{place} · {key}",
            "this is of a consent platform, and visitors choose with bandeau's notice",
            '[choice] source = "tcf"   # or remove it',
        )


def _needless(place: str, key: str) -> Problem:
    return Problem(
        "BP025",
        f"{place} · {key}",
        "what is technical passes without consent: no string could close it",
        "remove it, or name a purpose that needs consent",
    )


def _keeps(tracker: Tracker, cookie: str, policy: Policy) -> bool:
    """Say whether a tracker is a first-party cookie that always passes, and that has this name."""
    owner = next((s.purpose for s in policy.services if s.id == tracker.service), tracker.purpose)
    named = tracker.name == cookie or (
        tracker.name.endswith("*") and cookie.startswith(tracker.name[:-1])
    )
    return tracker.kind == "cookie" and tracker.party == "first" and owner == "technical" and named


def _colours(policy: Policy) -> Iterator[Problem]:
    for scheme, colour, behind, found, needed in too_faint(policy.notice):
        own = getattr(policy.notice.colours, scheme)
        key = colour if getattr(own, colour) else behind
        used = palette(policy.notice, scheme)
        yield Problem(
            "BP045",
            f"[notice.colours.{scheme}] · {key}",
            f"{colour} {used[colour]} on {behind} {used[behind]} has a contrast of {found:.1f}:1"
            f" (WCAG 2.2, rule K3)",
            f"take colours further apart: {needed}:1 at least",
        )


def _accounts(policy: Policy) -> Iterator[Problem]:
    if policy.account.enabled and policy.choice.source != "notice":
        yield Problem(
            "BP040",
            "[account] · enabled",
            "a consent platform keeps its string on each device: no account has one",
            '[choice] source = "notice"   # or enabled = false',
        )
    if bool(policy.account.ask) != bool(policy.account.cookies):
        yield Problem(
            "BP042",
            "[account] · ask, cookies",
            "one of them is missing: where the site is asked, and for which visitors",
            'ask = "/…", cookies = ["sessionid"]   # or neither',
        )
    for cookie in policy.account.cookies:
        if not any(_keeps(tracker, cookie, policy) for tracker in policy.trackers):
            yield Problem(
                "BP043",
                "[account] · cookies",
                f"{cookie!r} is no technical cookie here: nobody would be signed in for long",
                f'[[tracker]] name = "{cookie}", kind = "cookie", purpose = "technical"',
            )


def _platform(policy: Policy) -> Iterator[Problem]:
    hosts = [h for s in policy.services if s.purpose == "technical" for h in s.hosts]
    scripted = any("script" in host.kinds for host in (*hosts, *policy.site.own_hosts))
    if policy.choice.source == "tcf" and not scripted:
        yield Problem(
            "BP105",
            "[choice] · source",
            "no technical service has a host with scripts: only the site itself can bring the platform",
            '[[service]] purpose = "technical", hosts = [{ host = "…", kinds = ["script", "connect"] }]',
            "warning",
        )


def _rollout(policy: Policy) -> Iterator[Problem]:
    rollout = policy.rollout
    if not rollout.whole and rollout.report is None:
        yield Problem(
            "BP026",
            "[rollout] · report",
            "not everything is enforced, and nothing says where the rest is reported",
            'report = "seen.jsonl"',
        )
    if rollout.layers and "notice" not in rollout.layers:
        yield Problem(
            "BP106",
            "[rollout] · layers",
            "what needs consent is held back, and no notice asks for it",
            'add "notice"',
            "warning",
        )


def _signals(policy: Policy) -> Iterator[Problem]:
    purposes = {purpose.id for purpose in policy.purposes} | {"technical"}
    for name, told in policy.signals.vendors.items():
        known = vendors()[name].keys
        if policy.choice.source == "tcf":
            yield Problem(
                "BP036",
                f"[signals] · {name}",
                "the consent platform tells vendors what they may do, by its string",
                'remove it, or [choice] source = "notice"',
            )
        for key, needs in told.items():
            place = f"[signals] · {name}"
            if key not in known:
                yield _unknown("BP035", place, "key", key, known)
            for need in needs:
                if need not in purposes:
                    yield _unknown("BP015", f"{place}.{key}", "purpose", need, purposes)


def _repeats(policy: Policy) -> Iterator[Problem]:
    found = Counter((t.kind, t.name, t.purpose, t.service) for t in policy.trackers)
    for (kind, name, *_), count in found.items():
        if count > 1:
            yield Problem(
                "BP020",
                f'[[tracker]] "{name}"',
                f"this {kind} is declared {count} times alike",
                "keep one",
            )


def _unused(policy: Policy) -> Iterator[Problem]:
    used = {t.purpose for t in policy.trackers} | {n for f in policy.features for n in f.needs}
    used |= {name for s in policy.services for name in (s.purpose, *s.needs_any)}
    for purpose in policy.purposes:
        if purpose.id not in used:
            yield Problem(
                "BP101",
                f'[[purpose]] "{purpose.id}"',
                "nothing belongs to it: visitors are asked for nothing",
                "declare what it opens, or remove it",
                "warning",
            )


def _open_pages(policy: Policy) -> Iterator[Problem]:
    for service in policy.services:
        if service.open == "page":
            yield Problem(
                "BP102",
                f'[[service]] "{service.id}" · open',
                "once granted, any host may be contacted: purposes are no longer kept apart there",
                'open = "frame" keeps the page closed',
                "warning",
            )


def _shared_hosts(policy: Policy) -> Iterator[Problem]:
    owners: dict[str, list[Service]] = {}
    for service in policy.services:
        for host in service.hosts:
            owners.setdefault(host.host, []).append(service)
    for name, services in owners.items():
        needs = {(s.purpose, s.needs_any) for s in services}
        if len(needs) > 1:
            yield Problem(
                "BP103",
                f'[[service]] "{services[1].id}" · hosts',
                f"{name!r} belongs to several purposes: it opens only when all are granted",
                "use a host for each purpose, if the third party has them",
                "warning",
            )


def _plain_http(policy: Policy) -> Iterator[Problem]:
    for origin in policy.insecure_origins:
        yield Problem(
            "BP104",
            "[site] · origins",
            f"{origin} is neither https nor loopback: anybody on the way can read and change the choice",
            f"write https, or start with --insecure-origin ({origin})",
            "warning",
        )


_RULES: tuple[Callable[[Policy], Iterator[Problem]], ...] = (
    _languages,
    _presets,
    _plain_http,
    _ids,
    _texts,
    _references,
    _partners,
    _routes,
    _own_hosts,
    _exempt,
    _choice,
    _colours,
    _accounts,
    _platform,
    _rollout,
    _signals,
    _repeats,
    _unused,
    _open_pages,
    _shared_hosts,
)


def _unknown(number: str, place: str, what: str, name: str, known: Iterable[str]) -> Problem:
    return Problem(number, f"{place} · {what}", f"there is no {what} {name!r}", _close(name, known))


def _close(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return (
        f"did you mean {close[0]!r}?"
        if close
        else f"declare it, or use one of {', '.join(names[:12])}"
    )
