"""From what was seen to a first bandeau.toml: everything declared that a browser met, with its evidence.

What a program cannot know is marked `# check:`: who somebody is, and what a thing is for. Purposes are
proposed by words in names and hosts; where no word helps, the one that asks for most is taken.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bandeau.audit.inventory import OWN
from bandeau.audit.observe import Observation, site_of
from bandeau.audit.scenario import Run

_KINDS = {  # Chromium's resource types to kinds of the policy
    "Script": "script",
    "Stylesheet": "style",
    "Image": "image",
    "Font": "font",
    "Media": "media",
    "Document": "frame",
    "XHR": "connect",
    "Fetch": "connect",
    "EventSource": "connect",
    "WebSocket": "connect",
    "Ping": "connect",
    "Preflight": "connect",
}
_WORDS = {  # in names and hosts; the first that fits is proposed
    "social": (
        "social|facebook|fbcdn|twitter|twimg|instagram|linkedin|pinterest|tiktok|telegram|disqus"
        "|comment|agora|share"
    ),
    "video": "video|youtube|ytimg|vimeo|dailymotion|twitch|player|jwplat|brightcove|lecteur",
    "audience": (
        "analytic|metric|mesure|matomo|piwik|piano|stat|xiti|chartbeat|plausible|hotjar|clarity"
        "|audience|_ga|_pk|metreur"
    ),
    "profiles": "profil|recommend|recommand|personal|taboola|outbrain",
}
_MOST = "ads"
_SESSION = re.compile(r"sess|csrf|xsrf|token|sid$|lang|locale|auth|cart|panier", re.IGNORECASE)
_RANDOM = re.compile(r"[-_.](?:[0-9a-f]{8,}|[0-9]{6,}|[A-Z0-9]{8,})$")
_DATA = {
    "social": ["ip_address", "browsing", "identifiers", "social_interactions"],
    "video": ["ip_address", "browsing"],
    "audience": ["ip_address", "usage", "identifiers"],
    "profiles": ["browsing", "identifiers"],
    "ads": ["ip_address", "browsing", "identifiers"],
}


@dataclass(slots=True)
class _Party:
    """Somebody who was met: hosts with what was fetched there, and why it is thought to be for that."""

    id: str
    purpose: str
    sure: bool
    hosts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    first: Observation | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """One thing that is kept on the device, as it is to be declared."""

    name: str
    kind: str
    owner: str  # a service's id, or "" for a purpose of the site's own
    purpose: str
    sure: bool
    days: int | None
    third: bool
    evidence: str


def draft(url: str, runs: Sequence[Run]) -> str:
    """Return a policy file for a site as runs of it were seen; `bandeau check` accepts it."""
    seen = [one for run in runs for one in run.observations]
    parties = _parties(seen)
    items = list(_items(seen, parties))
    own = _own_hosts(url, seen)
    purposes = [
        purpose
        for purpose in ("social", "video", "audience", "profiles", "ads")
        if purpose in {party.purpose for party in parties.values()} | {one.purpose for one in items}
    ]
    parts = [_head(url, own)]
    for purpose in purposes:
        data = ", ".join(f'"{one}"' for one in _DATA[purpose])
        parts.append(f'[[purpose]]\nid = "{purpose}"\ndata = [{data}] # check: what it really uses')
        parts += [_service(one) for one in parties.values() if one.purpose == purpose]
    parts += [_tracker(one) for one in items]
    return "\n\n".join(parts) + "\n"


def _head(url: str, own: dict[str, set[str]]) -> str:
    split = urlsplit(url)
    hosts = "".join(
        f'  {{ host = "{host}", kinds = [{_listed(kinds)}] }}, # check: is it the publisher\'s own?\n'
        for host, kinds in sorted(own.items())
    )
    own_hosts = f"own_hosts = [\n{hosts}]\n" if hosts else ""
    return f"""# A draft by `bandeau init`, out of what a browser met at {url}
# Every line that says "check:" needs a person. Then: bandeau check, proxy --observe, audit.
version = 1

[proof]
keep_days = 912 # the choice's 182 days and 24 months; check: your own term

[controller]
name = "{split.hostname}" # check: the legal name
address = "to be filled in" # check: the postal address
contact = "dpo@{split.hostname}" # check: the data protection officer
privacy_policy = "/privacy" # check: where it is

[site]
origins = ["{split.scheme}://{split.netloc}"]
languages = ["fr", "en"] # check: those of the pages
{own_hosts}""".rstrip()


def _parties(seen: Iterable[Observation]) -> dict[str, _Party]:
    """Group third parties by registrable domain."""
    found: dict[str, _Party] = {}
    for one in seen:
        if one.kind not in ("request", "connection", "beacon") or not one.third or not one.host:
            continue
        owner = site_of(one.host)
        purpose, sure = _purpose(f"{one.host} {one.name}")
        party = found.setdefault(owner, _Party(_id(owner), purpose, sure, first=one))
        if sure and not party.sure:
            party.purpose, party.sure = purpose, True
        kind = _KINDS.get(str(one.detail.get("type", "")))
        party.hosts[one.host].add(kind or "connect")
    return found


def _own_hosts(url: str, seen: Iterable[Observation]) -> dict[str, set[str]]:
    home = urlsplit(url).hostname
    found: dict[str, set[str]] = defaultdict(set)
    for one in seen:
        if one.kind == "request" and not one.third and one.host != home:
            found[one.host].add(_KINDS.get(str(one.detail.get("type", "")), "connect"))
    return found


def _items(seen: Sequence[Observation], parties: dict[str, _Party]) -> Iterator[_Item]:
    """Return what is kept, each once, with who keeps it and for how long it asks."""
    written: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for one in seen:
        if one.kind in ("cookie_kept", "cookie_refused", "storage_kept"):
            area = str(one.detail.get("area", "cookie"))
            if not (area == "cookie" and one.name in OWN):
                written[area, _general(one.name)].append(one)
    for (area, name), them in sorted(written.items()):
        first = next((one for one in them if one.chain != ("unattributed",)), them[0])
        owner = _owner(first, parties)
        purpose, sure = _own_purpose(first, name)
        longest = max(
            (s for one in them if isinstance(s := one.detail.get("seconds"), int)), default=0
        )
        yield _Item(
            name=name,
            kind=area,
            owner=owner.id if owner else "",
            purpose=owner.purpose if owner else purpose,
            sure=bool(owner and owner.sure) or sure,
            days=_days(area, longest),
            third=first.third,
            evidence=_evidence(first),
        )


def _evidence(one: Observation) -> str:
    by = one.chain[0] if one.chain else "nobody that was seen"
    return _line(f"at {one.station}, {one.kind.replace('_', ' ')}, by {by}")


def _owner(one: Observation, parties: dict[str, _Party]) -> _Party | None:
    """Return the third party that keeps an item: by its host, or by the script that wrote it."""
    writer = urlsplit(one.chain[0].removeprefix("response of ")).hostname if one.chain else ""
    for host in (one.host, writer or ""):
        party = parties.get(site_of(host)) if host else None
        if party:
            return party
    return None


def _own_purpose(one: Observation, name: str) -> tuple[str, bool]:
    """Propose what an item of the site's own is for; a session cookie with a usual name is technical."""
    session = one.detail.get("seconds") is None and one.detail.get("by") == "http"
    if session and _SESSION.search(name):
        return "technical", True
    return _purpose(name)


def _purpose(text: str) -> tuple[str, bool]:
    for purpose, words in _WORDS.items():
        if re.search(words, text, re.IGNORECASE):
            return purpose, True
    return _MOST, False


def _general(name: str) -> str:
    """Return a name, with a star for an end that differs from visit to visit."""
    return _RANDOM.sub("", name) + "*" if _RANDOM.search(name) and not name.endswith("*") else name


def _days(area: str, seconds: int) -> int | None:
    """Return how long an item asks to be kept; storage of the page's own has no end by itself."""
    if area in ("local_storage", "indexed_db", "cache", "service_worker"):
        return 365
    return math.ceil(seconds / 86_400) if seconds else None


def _id(owner: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", owner.rpartition(".")[0].lower() or owner.lower()).strip("-")
    return (name if re.match(r"[a-z]", name) else f"party-{name}")[:64]


def _service(party: _Party) -> str:
    hosts = "".join(
        f'  {{ host = "{host}", kinds = [{_listed(kinds)}] }},\n'
        for host, kinds in sorted(party.hosts.items())
    )
    first = party.first
    by = f"\n# started by {_line(first.chain[-1])}" if first and first.chain else ""
    doubt = "" if party.sure else " # check: no word tells what it is for"
    return (
        f"# seen: {_line(first.name) if first else ''}{by}\n[[service]]\n"
        f'id = "{party.id}"\npurpose = "{party.purpose}"{doubt}\n'
        f'recipient = "{party.id}" # check: who it is\nhosts = [\n{hosts}]'
    )


def _tracker(one: _Item) -> str:
    owner = f'service = "{one.owner}"' if one.owner else f'purpose = "{one.purpose}"'
    doubt = "" if one.sure or one.owner else " # check: no word tells what it is for"
    lines = [
        f"# seen: {one.evidence}",
        "[[tracker]]",
        f"name = {_quoted(one.name)}",
        f'kind = "{one.kind}"',
        f"{owner}{doubt}",
    ]
    if one.days is not None:
        chosen = " # check: how long it is really needed" if one.kind != "cookie" else ""
        lines.append(f"max_age_days = {one.days}{chosen}")
    if one.third:
        lines.append('party = "third"')
    return "\n".join(lines)


def _line(text: str) -> str:
    """Return what a stranger's page said as one line of a comment."""
    return "".join(one if one.isprintable() else " " for one in text[:200])


def _listed(kinds: Iterable[str]) -> str:
    return ", ".join(f'"{kind}"' for kind in sorted(kinds))


def _quoted(name: str) -> str:
    """Return a TOML basic string (TOML 1.0, "String")."""
    return json.dumps(name, ensure_ascii=False)
