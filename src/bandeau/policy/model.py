"""The policy as frozen models; the descriptions here are the reference of every key.

Models check one table each. What needs two tables to be seen is checked in `check`.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bandeau.wire.hosts import is_loopback, normalise, target

BUILT_IN_PURPOSES = ("technical", "social", "profiles", "audience", "ads", "video")
# The official languages of the Union (Regulation No 1/58, article 1), as ISO 639-1 orders them.
BUILT_IN_LANGUAGES = (
    *("bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr"),
    *("hu", "it", "lt", "lv", "mt", "nl", "pl", "pt", "ro", "sk", "sl", "sv"),
)
# As their files under `notice/locales` say, which stand above the policy.
REVIEWED_LANGUAGES = ("en", "fr")
ADVICE_KEEP_DAYS = "validity of the choice (182 days) + 24 months is 912; 5 years (1826) at most"

Kind = Literal["script", "style", "image", "font", "media", "frame", "connect", "object", "form"]
TrackerKind = Literal[
    "cookie", "local_storage", "session_storage", "indexed_db", "cache", "service_worker"
]
Layer = Literal[
    "cookies", "headers", "browser-policy", "markup", "guard", "sweep", "routes", "notice"
]
LAYERS: tuple[Layer, ...] = get_args(Layer)
DataCategory = Literal[
    "ip_address",
    "browsing",
    "usage",
    "geolocation",
    "social_interactions",
    "comments",
    "identifiers",
    "device",
    "preferences",
    "account",
    "purchases",
]


def _host(value: str) -> str:
    star, name = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    if re.search(r"://|[/?#@]|(?<!\[):\d*$", name):
        raise ValueError("a host has no scheme, no port and no path")
    found = normalise(name)
    if found is None or "*" in found:
        raise ValueError("this is not a host name")
    return star + found


def _origin(value: str) -> str:
    match = re.fullmatch(r"(https?)://([^/?#@\\\s]+)", value)
    found = target(value, "")
    if match is None or not found.host:
        raise ValueError("an origin is https://host or https://host:port, without a path")
    port = f":{found.port}" if found.port else ""
    return f"{found.scheme}://{found.host}{port}"


def _route(value: str) -> str:
    if not value.startswith("/") or "*" in value[:-1] or re.search(r"[?#\s]", value):
        raise ValueError('a route is a path from "/", with at most one "*" at its end')
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise ValueError('a prefix is a path without a slash at its end, as "/_b"')
    return value


def _link(value: str) -> str:
    if not re.fullmatch(r"(/(?!/)|https?://|#)[^\s\\]*", value):
        raise ValueError('a link is a path from "/", an https URL, or "#id" on every page')
    return value


def _webhook(value: str) -> str:
    found = target(value, "")
    sound = re.fullmatch(r"https?://[^/\\\s?#@]+(/[^\\\s?#]*)?", value) and found.host
    if not sound or (found.scheme != "https" and not is_loopback(found.host)):
        raise ValueError("a webhook is https://host/path; plain http is for loopback")
    return value


Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
HostName = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
Route = Annotated[str, AfterValidator(_route)]
Link = Annotated[str, AfterValidator(_link)]
# IAB Europe, TCF Policies, appendix A: what later versions add no platform asks for yet.
TcfPurpose = Annotated[int, Field(strict=True, ge=1, le=11)]
TcfSpecialFeature = Annotated[int, Field(strict=True, ge=1, le=2)]
TcfVendor = Annotated[int, Field(strict=True, ge=1, le=65_535)]  # 16 bits of the string
CookieName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]  # RFC 6265bis 4.1.1
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1, two letters")]

# A vendor's keys, each with the purposes that must all be granted.
Told = dict[str, Annotated[tuple[Id, ...], Field(min_length=1)]]


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, str_strip_whitespace=True
    )


class Witness(_Table):
    """Somebody outside who sees to it that the log only grows (c2sp.org/tlog-witness)."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")] = Field(
        description="submission prefix, without a slash at its end"
    )
    vkey: Annotated[str, Field(pattern=r"^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*$")] = Field(
        description="its public key: NAME+8 hex digits+base64"
    )


class Proof(_Table):
    """How consent is proven (GDPR art. 7(1))."""

    keep_days: int = Field(
        ge=1, le=1826, description="how long records of decisions are kept, in days; no default"
    )
    publish: Literal["off", "checkpoint", "tiles"] = Field(
        default="tiles",
        description="what of the log anybody may fetch under /_b/log: its signed checkpoint, or all of"
        " its entries (which say nothing of persons, but how many decide and when)",
    )
    metrics: bool = Field(
        default=False,
        description="serve the figures of ledger and gate under /_b/metrics (OpenMetrics)",
    )
    witnesses: tuple[Witness, ...] = Field(
        default=(),
        description="who countersigns checkpoints when they are published (tlog-witness)",
    )


class Authority(_Table):
    """Who hears complaints (GDPR art. 13(2)(d), 77)."""

    name: Text = Field(description='as visitors know it: "CNIL"')
    url: Annotated[str, Field(pattern=r"^https://[^\s\\]+$")] = Field(
        description="where a complaint is lodged: https://www.cnil.fr/fr/plaintes"
    )


class Controller(_Table):
    """Who decides why and how data are processed (GDPR art. 4(7), 13(1)(a))."""

    name: Text = Field(description="legal name")
    address: Text = Field(description="postal address")
    contact: Text = Field(description="e-mail address or URL of the data protection officer")
    privacy_policy: Text = Field(description="URL or path of the privacy policy")
    authority: Authority | None = Field(
        default=None, description="the supervisory authority, named on the page of trackers"
    )


class Host(_Table):
    """A host, and the kinds of things that may be fetched from it."""

    host: HostName = Field(description='"h", or "*.h" for every host below h but not h itself')
    kinds: tuple[Kind, ...] = Field(min_length=1, description="what may be fetched there")


class Site(_Table):
    """The site itself."""

    origins: tuple[Origin, ...] = Field(min_length=1, description="scheme, host and port of each")
    languages: tuple[Language, ...] = Field(
        min_length=1, description="of the notice, first = default"
    )
    valid_days: int = Field(
        default=182, ge=1, le=396, description="how long a choice holds, in days"
    )
    own_hosts: tuple[Host, ...] = Field(default=(), description="the publisher's other hosts")
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        default="/_b", description="of our URLs"
    )
    choice_scope: Literal["site"] | None = Field(
        default=None, description='"site": the choice holds for sister subdomains too'
    )
    network: Literal["default", "strict"] = Field(
        default="default",
        description='"strict": engines that know Connection-Allowlist connect to nothing but the site,'
        " its own hosts, granted services and link_hosts; outbound links go through a signed redirect",
    )
    link_hosts: tuple[HostName, ...] = Field(
        default=(),
        description="in strict mode: where scripts may go, as to share, to pay, to log in",
    )
    edge_cache: bool = Field(
        default=False,
        description="a cache in front keeps pages by the state that `GET /_b/key` names (docs/edge.md)",
    )
    quiet: bool = Field(
        default=False,
        description="take what is held back out of the page, so that browsers report no violation of it",
    )
    page_memory: int = Field(
        default=16,
        ge=0,
        le=65_536,
        description="MiB for rewritten pages that the site lets shared caches keep; 0 for none",
    )
    anonymise_upstream_ip: bool = Field(
        default=False,
        description="cut the forwarded address until a granted purpose declares ip_address",
    )
    accept_unreviewed: tuple[Language, ...] = Field(
        default=(),
        description="languages whose texts no native speaker has read, answered for all the same",
    )
    templates: str | None = Field(default=None, description="folder of the owner's own templates")
    presets: tuple[str, ...] = Field(
        default=(), description="platforms whose own cookies and storage are technical"
    )


class Choice(_Table):
    """Where visitors choose: with bandeau's notice, or with a consent platform that is there already."""

    source: Literal["notice", "tcf"] = Field(
        default="notice",
        description='"tcf": a registered platform of the TCF asks; the string that it wrote is obeyed'
        " (docs/tcf.md)",
    )
    cookie: CookieName = Field(
        default="euconsent-v2",
        description='"tcf": the first-party cookie in which the platform keeps the string',
    )
    settings_url: Link | None = Field(
        default=None,
        description='"tcf", required: where the platform\'s settings open, as a path, a URL or "#id"',
    )


Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Colours(_Table):
    """The owner's colours of one scheme, instead of the theme's; their contrasts are checked."""

    ink: Colour | None = Field(default=None, description="text")
    paper: Colour | None = Field(default=None, description="behind it")
    soft: Colour | None = Field(default=None, description="behind the band and placeholders")
    line: Colour | None = Field(default=None, description="borders")
    yes: Colour | None = Field(default=None, description="what is authorised")
    no: Colour | None = Field(default=None, description="what is refused")
    link: Colour | None = Field(default=None, description="links, and the ring of focus")
    button: Colour | None = Field(default=None, description="all buttons alike")
    label: Colour | None = Field(default=None, description="what stands on them")


class Schemes(_Table):
    """Colours by the scheme that the visitor prefers."""

    light: Colours = Colours()
    dark: Colours = Colours()


class Look(_Table):
    """How the notice looks; what it says and asks is the same everywhere (docs/notice.md)."""

    theme: Literal["plain", "newspaper", "public"] = Field(
        default="plain", description='"public": in the spirit of French public sites'
    )
    placement: Literal["bottom", "top", "corner"] = Field(
        default="bottom", description="of the first layer; a corner is the bottom on a phone"
    )
    colours: Schemes = Field(default=Schemes(), description="the owner's own")


class Accounts(_Table):
    """Whose choice holds for signed-in visitors (CNIL, deliberation 2025-131)."""

    enabled: bool = Field(
        default=False,
        description="who is signed in chooses for the account, on all devices; the application says who"
        " is (docs/account.md)",
    )
    ask: Route | None = Field(
        default=None,
        description="`bandeau proxy`: the path where the site answers a visitor's cookies with the id of"
        " who is signed in, in the header BD-Account",
    )
    cookies: tuple[CookieName, ...] = Field(
        default=(), description="`bandeau proxy`: the site is asked where one of these came"
    )


class PurposeText(_Table):
    """What the notice says of a purpose, in one language."""

    title: Text = Field(max_length=60)
    sentence: Text = Field(max_length=240)


class Purpose(_Table):
    """One reason for which consent is asked."""

    id: Id
    data: tuple[DataCategory, ...] = Field(default=(), description="categories of data it uses")
    tcf_purposes: tuple[TcfPurpose, ...] = Field(
        default=(), description='with source "tcf", required: purposes of the TCF, all consented to'
    )
    tcf_special_features: tuple[TcfSpecialFeature, ...] = Field(
        default=(), description='with source "tcf": special features, all opted in to'
    )
    text: dict[Language, PurposeText] = Field(default={}, description="titles and sentences")


class Service(_Table):
    """A third party, or a module, that belongs to a purpose."""

    id: Id
    purpose: Id | None = Field(default=None, description="the purpose it needs")
    needs_any: tuple[Id, ...] = Field(
        default=(), description="instead of purpose: any of these opens it (a tag manager)"
    )
    recipient: Text = Field(description="who receives the data, as the notice names it")
    hosts: tuple[Host, ...] = Field(default=(), description="hosts that are contacted")
    routes: tuple[Route, ...] = Field(
        default=(), description="own paths answered with 204 until granted"
    )
    open: Literal["frame", "page"] | None = Field(
        default=None, description="a chain that cannot be listed: any https host, where it says"
    )
    tcf_vendor: TcfVendor | None = Field(
        default=None, description='with source "tcf": its id there, consented to as well'
    )
    legal_name: Text | None = None
    role: Literal["processor", "controller", "joint_controller"] | None = None
    country: Country | None = None
    transfer: Text | None = Field(
        default=None, description="safeguard of a transfer outside the EEA"
    )
    privacy_policy: Text | None = None
    retention_days: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_need(self) -> Service:
        if (self.purpose is None) == (not self.needs_any):
            raise ValueError("name exactly one of purpose and needs_any")
        if self.open == "frame" and not self.routes:
            raise ValueError('open = "frame" needs routes: the own pages that are its frames')
        return self


class Tracker(_Table):
    """A cookie, a storage key, a database: anything kept on the visitor's device."""

    name: Text = Field(description='its name; "name*" for every name that starts so')
    kind: TrackerKind
    purpose: Id | None = None
    service: Id | None = None
    max_age_days: int | None = Field(
        default=None, ge=0, description="absent: until the session ends"
    )
    party: Literal["first", "third"] = "first"
    path: Route | None = None
    domain: HostName | None = None
    partitioned: bool = False
    exempt: Literal["audience"] | None = Field(
        default=None, description="needs no consent, as a first-party audience counter (J1-J5)"
    )

    @model_validator(mode="after")
    def _one_owner(self) -> Tracker:
        if (self.purpose is None) == (self.service is None):
            raise ValueError("name exactly one of purpose and service")
        if "*" in self.name[:-1]:
            raise ValueError('a "*" may only stand at the end of a name')
        return self


class FeatureText(_Table):
    """What the site says of a closed feature, in one language."""

    title: Text = Field(max_length=60)
    sentence: Text = Field(max_length=240)


class Partner(_Table):
    """A service whose recipient is told of withdrawals (GDPR art. 7(3), 19), by a signed webhook."""

    service: Id = Field(description="the service whose consent was withdrawn")
    url: Annotated[str, AfterValidator(_webhook)] = Field(description="where it is told, by POST")
    secret_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = Field(
        description='the environment variable that holds the secret, "whsec_" and base64'
    )
    names: tuple[CookieName, ...] = Field(
        default=(),
        description="cookies of that service by whose values it knows a visitor; they are told to it,"
        " and kept until then; without any it learns that somebody withdrew",
    )


class Feature(_Table):
    """Something on the site that needs purposes, closed until they are granted."""

    id: Id
    needs: tuple[Id, ...] = Field(description="all of these; empty: always open")
    routes: tuple[Route, ...] = Field(
        default=(), description="own paths answered with 403 until then"
    )
    text: dict[Language, FeatureText] = {}


class Register(_Table):
    """What only the record of processing activities needs (GDPR art. 30(1))."""

    representative: Text | None = Field(
        default=None, description="of a controller outside the Union (art. 27)"
    )
    officer: Text | None = Field(
        default=None, description="the data protection officer, where contact is somebody else"
    )
    authority: Text = Field(default="CNIL", description="the supervisory authority")
    subjects: tuple[Text, ...] = Field(
        default=(), description="categories of persons (art. 30(1)(c)); else the site's visitors"
    )
    security: Text | None = Field(
        default=None, description="security measures, in general (art. 30(1)(g))"
    )


class Measure(_Table):
    """The counter that needs no tracker: path, day, referrer's host, device class."""

    page_views: bool = Field(default=False, description="count page views in the ledger's database")
    keep_days: int = Field(
        default=760, ge=1, le=760, description="how long the sums are kept; 25 months at most (J4)"
    )


class Rollout(_Table):
    """How a policy comes to be enforced on a site that runs: looked at, then by path and by layer."""

    layers: tuple[Layer, ...] = Field(
        default=LAYERS,
        description="what is enforced; what the others would do is only reported; empty: nothing is",
    )
    paths: tuple[Route, ...] = Field(
        default=("/*",), description="where; every other path is passed on as it is, and reported"
    )
    report: Text | None = Field(
        default=None, description="file for what would be held back: one JSON line for each item"
    )
    collect: bool = Field(
        default=False,
        description="where the browser policy is not enforced, send it to be reported on: only so is"
        " seen what scripts bring in",
    )

    @property
    def whole(self) -> bool:
        """Whether everything is enforced everywhere."""
        return set(self.layers) == set(LAYERS) and "/*" in self.paths

    @property
    def state(self) -> str:
        """What of it the state of a page is made of; "" where everything is enforced everywhere."""
        return "" if self.whole else f"{' '.join(sorted(self.layers))} {' '.join(self.paths)}"


class Signals(_Table):
    """What browsers, and the tags of vendors, are told (docs/signals.md)."""

    gpc_since: date | None = Field(
        default=None,
        description="serve /.well-known/gpc.json with this date as soon as all of [rollout] is enforced;"
        " absent: that path is the site's own",
    )
    google: Told = Field(default={}, description="Google Consent Mode v2, basic")
    uet: Told = Field(default={}, description="Microsoft UET")
    clarity: Told = Field(default={}, description="Microsoft Clarity")
    meta: Told = Field(default={}, description="Meta Pixel")
    tiktok: Told = Field(default={}, description="TikTok Pixel")
    matomo: Told = Field(default={}, description="Matomo")
    piano: Told = Field(default={}, description="Piano Analytics")

    @property
    def vendors(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The vendors that are told, by name, each with its keys and the purposes these need."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: told for name, told in found.items() if told and isinstance(told, dict)}


class Policy(_Table):
    """The whole of bandeau.toml."""

    version: Literal[1]
    proof: Proof = Field(description="how long proofs are kept")
    controller: Controller
    site: Site
    choice: Choice = Field(default=Choice(), description="where visitors choose")
    notice: Look = Field(default=Look(), description="how the notice looks")
    account: Accounts = Field(default=Accounts(), description="choices of signed-in visitors")
    purposes: tuple[Purpose, ...] = Field(default=(), alias="purpose")
    measure: Measure = Field(default=Measure(), description="the counter of page views")
    register_: Register = Field(
        default=Register(), alias="register", description="for the record of processing activities"
    )
    rollout: Rollout = Field(default=Rollout(), description="what is enforced, and where")
    signals: Signals = Field(default=Signals(), description="what browsers and vendors are told")
    services: tuple[Service, ...] = Field(default=(), alias="service")
    trackers: tuple[Tracker, ...] = Field(default=(), alias="tracker")
    features: tuple[Feature, ...] = Field(default=(), alias="feature")
    partners: tuple[Partner, ...] = Field(default=(), alias="partner")

    @cached_property
    def consentable(self) -> tuple[str, ...]:
        """The ids of the purposes that need consent, in the order of the file."""
        return tuple(purpose.id for purpose in self.purposes if purpose.id != "technical")

    def purpose(self, purpose_id: str) -> Purpose:
        """Return a declared purpose. Raises KeyError."""
        return self._purposes[purpose_id]

    def service(self, service_id: str) -> Service:
        """Return a declared service. Raises KeyError."""
        return self._services[service_id]

    @cached_property
    def _purposes(self) -> dict[str, Purpose]:
        return {purpose.id: purpose for purpose in self.purposes}

    @cached_property
    def _services(self) -> dict[str, Service]:
        return {service.id: service for service in self.services}

    @property
    def insecure_origins(self) -> tuple[str, ...]:
        """The plain-http origins that are not loopback."""
        return tuple(
            origin
            for origin in self.site.origins
            if origin.startswith("http:") and not is_loopback(target(origin, "").host)
        )
