"""From what was seen to a first bandeau.toml: everything declared that a browser met, with its evidence.

What a program cannot know is marked `# check:`: who somebody is, and what a thing is for. Purposes are
proposed by the list of known trackers, else by words in names and hosts; where no word helps, the one
that asks for most is taken.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from bandeau.audit import known
from bandeau.audit.inventory import OWN
from bandeau.audit.observe import Observation, file_of, host_of, site_of
from bandeau.audit.scenario import Run
from bandeau.policy.model import Policy
from bandeau.wire.hosts import matches

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
    first: Observation
    hosts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    loads: set[tuple[int, str]] = field(default_factory=set)  # a run's number and its station
    within: set[str] = field(
        default_factory=set
    )  # paths of own frames it came out of; "": the page
    frame: str = ""  # the one whose chain it begins, where that brings others at each load
    others: list[str] = field(default_factory=list)
    recipient: str = ""  # as a policy names it already


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
    partitioned: bool
    evidence: str


def draft(url: str, runs: Sequence[Run]) -> str:
    """Return a policy file for a site as runs of it were seen; `bandeau check` accepts it."""
    seen = [one for run in runs for one in run.observations]
    parties = _parties(runs)
    tables = _tables(url, parties, list(_items(seen, parties)))
    return "\n\n".join([_head(url, _own_hosts(url, seen)), *tables]) + "\n"


def missing(policy: Policy, url: str, runs: Sequence[Run]) -> str:
    """Return the tables to add to a policy for what was seen and it does not declare; "" for none."""
    parties = _parties(runs)
    taken = {service.id for service in policy.services}
    for owner, party in list(parties.items()):
        for host, kinds in list(party.hosts.items()):
            party.hosts[host] = {kind for kind in kinds if not _declared(policy, host, kind)}
            if not party.hosts[host]:
                del party.hosts[host]
        if not party.hosts:
            del parties[owner]
            continue
        of = next((s for s in policy.services for h in s.hosts if site_of(h.host) == owner), None)
        if of:  # somebody who is declared, with less than was seen
            party.purpose, party.sure = of.purpose or of.needs_any[0], True
            party.recipient = of.recipient
        while party.id in taken:
            party.id += "-more"
    seen = [one for run in runs for one in run.observations]
    items = [one for one in _items(seen, parties) if not _tracked(policy, one.kind, one.name)]
    declared = {purpose.id for purpose in policy.purposes}
    tables = _tables(url, parties, items, declared)
    return "\n\n".join(tables) + "\n" if tables else ""


def lacks(policy: Policy, one: Observation) -> bool:
    """Say whether `missing` has a table for a request with its kind, or for a kept cookie."""
    if one.kind == "request":
        return not _declared(policy, one.host, str(one.detail["kind"]))
    return one.name not in OWN and not _tracked(policy, "cookie", _general(one.name))


def _tracked(policy: Policy, kind: str, name: str) -> bool:
    return any(one.kind == kind and _named(one.name, name) for one in policy.trackers)


def _declared(policy: Policy, host: str, kind: str) -> bool:
    hosts = [*policy.site.own_hosts, *(h for service in policy.services for h in service.hosts)]
    return any(matches(one.host, host) and kind in (*one.kinds, "any") for one in hosts)


def _named(pattern: str, name: str) -> bool:
    star = pattern.endswith("*")
    return name.startswith(pattern[:-1]) if star else name == pattern


def _tables(
    url: str, parties: dict[str, _Party], items: Sequence[_Item], declared: Container[str] = ()
) -> list[str]:
    """Return purposes that are not `declared`, services and trackers, each a table with its evidence."""
    home = site_of(_host(url))
    services = list({party.id: party for party in parties.values()}.values())
    used = {party.purpose for party in services} | {one.purpose for one in items}
    parts = []
    for purpose in dict.fromkeys((*_DATA, *sorted(used))):
        if purpose in used and purpose in _DATA and purpose not in declared:
            parts.append(_purpose_of(purpose))
        parts += [_service(one, home) for one in services if one.purpose == purpose]
    return parts + [_tracker(one) for one in items]


def _purpose_of(purpose: str) -> str:
    data = ", ".join(f'"{one}"' for one in _DATA[purpose])
    return f'[[purpose]]\nid = "{purpose}"\ndata = [{data}] # check: what it really uses'


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
origins = ["{split.scheme}://{split.netloc}"] # check: where visitors are; with a proxy, its own
languages = ["fr", "en"] # check: those of the pages, the default first; there are 24 (docs/languages.md)
{own_hosts}""".rstrip()


def _parties(runs: Sequence[Run]) -> dict[str, _Party]:
    """Group third parties by registrable domain; those that a frame brings by turns belong to one."""
    found: dict[str, _Party] = {}
    shown: dict[str, set[tuple[int, str]]] = defaultdict(set)  # an own frame's path to its loads
    for number, run in enumerate(runs):
        frames = {one.name for one in run.observations if _is_frame(one)}
        for one in run.observations:
            load = number, one.station
            if one.kind == "request" and one.name in frames:
                shown[urlsplit(one.name).path].add(load)
            if one.kind not in ("request", "connection") or not one.third or not one.host:
                continue
            owner = site_of(one.host)
            whose = known.of_host(one.host)
            purpose, sure = (whose.purpose, True) if whose else _purpose(f"{one.host} {one.name}")
            party = found.setdefault(owner, _Party(_id(owner), purpose, sure, one))
            if sure and not party.sure:
                party.purpose, party.sure = purpose, True
            kind = one.detail.get("kind") or _KINDS.get(str(one.detail.get("type", "")), "connect")
            party.hosts[one.host].add(str(kind))
            party.loads.add(load)
            outer = [place for step in one.chain if (place := file_of(step)) in frames]
            party.within.add(urlsplit(outer[-1]).path if outer else "")
    heads: dict[str, _Party] = {}
    for owner, party in list(found.items()):
        frame = next(iter(party.within))
        if frame and len(party.within) == 1 == len(party.loads) < len(shown[frame]):
            if frame not in heads:
                heads[frame] = _head_of(frame, found.values()) or replace(
                    party, id=_id(frame), hosts={}
                )
                heads[frame].frame = frame
            heads[frame].others += party.hosts
            found[owner] = heads[frame]
    return found


def _head_of(frame: str, parties: Iterable[_Party]) -> _Party | None:
    """Return who begins the chain of a frame: the first that every load of it brings."""
    return next((one for one in parties if one.within == {frame} and len(one.loads) > 1), None)


def _is_frame(one: Observation) -> bool:
    """Say whether a page of the site's own was asked for by a place in another one."""
    if one.kind != "request" or one.third or one.detail.get("type") != "Document":
        return False
    return file_of(one.chain[0]) not in (one.name, one.chain[0]) if one.chain else False


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
            partitioned=bool(first.detail.get("partitioned")),
            evidence=_evidence(first) + _told(known.of_item(first)),
        )


def _evidence(one: Observation) -> str:
    by = one.chain[0] if one.chain else "nobody that was seen"
    return _line(f"at {one.station}, {one.kind.replace('_', ' ')}, by {by}")


def _owner(one: Observation, parties: dict[str, _Party]) -> _Party | None:
    """Return the third party that keeps an item: by its host, or by the script that wrote it."""
    for host in (one.host, _host(one.chain[0]) if one.chain else ""):
        party = parties.get(site_of(host)) if host else None
        if party:
            return party
    return None


def _host(step: str) -> str:
    """Return the host in a step of a chain."""
    return host_of(step.removeprefix("response of "))


def _own_purpose(one: Observation, name: str) -> tuple[str, bool]:
    """Propose what an item of the site's own is for; a session cookie with a usual name is technical."""
    if whose := known.of_item(one):
        return whose.purpose, True
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


def _told(whose: known.Known | None) -> str:
    """Return the line that says by whose own page something is known."""
    return f"\n# {whose}: {whose.source}" if whose else ""


def _service(party: _Party, home: str) -> str:
    whose = next((one for host in sorted(party.hosts) if (one := known.of_host(host))), None)
    who = _quoted(party.recipient or (whose.owner if whose else party.id))
    own = [step for step in party.first.chain if site_of(_host(step)) == home]
    by = f"\n# started by {_line(own[0])}" if own else ""
    doubt = "" if party.sure else " # check: no word tells what it is for"
    lines = [
        f"# seen: {_line(party.first.name)}{by}{_told(whose)}",
        "[[service]]",
        f'id = "{party.id}"',
        f'purpose = "{party.purpose}"{doubt}',
        f"recipient = {who}{'' if party.recipient else ' # check: who it is'}",
    ]
    if party.frame:
        some = _line(", ".join(sorted(party.others)[:2]))
        lines += [
            f"# {len(party.others)} hosts were met in one load only: {some}, …",
            "# They cannot be listed: their frame gets a policy of its own; the page stays closed.",
            'open = "frame"',
            f"routes = [{_quoted(party.frame)}] # check: every path of such frames",
        ]
    hosts = "".join(
        f'  {{ host = "{host}", kinds = [{_listed(kinds)}] }},\n'
        for host, kinds in sorted(party.hosts.items())
    )
    return "\n".join([*lines, f"hosts = [\n{hosts}]" if hosts else "hosts = []"])


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
    if one.partitioned:
        lines.append("partitioned = true")
    return "\n".join(lines)


def _line(text: str) -> str:
    """Return what a stranger's page said as one line of a comment."""
    return "".join(one if one.isprintable() else " " for one in text[:200])


def _listed(kinds: Iterable[str]) -> str:
    return ", ".join(f'"{kind}"' for kind in sorted(kinds))


def _quoted(name: str) -> str:
    """Return a TOML basic string (TOML 1.0, "String"), which holds no half of a surrogate pair."""
    text = json.dumps(name.encode("utf-8", "replace").decode(), ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
