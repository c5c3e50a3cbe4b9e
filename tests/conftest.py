"""What several tests need: a small policy, a site of it, and where the shared material lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bandeau.decision.model import Decision
from bandeau.policy.file import loads
from bandeau.policy.model import Policy
from bandeau.site import Exchange, Request, Site
from bandeau.wire.headers import RawHeaders

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")

ORIGIN = "http://www.own.localhost:9000"
SMALL = f"""
version = 1
[proof]
keep_days = 912
[controller]
name = "Own Press"
address = "1 Quay, Paris"
contact = "dpo@own.example"
privacy_policy = "/privacy"
[site]
origins = ["{ORIGIN}"]
languages = ["fr", "en"]
own_hosts = [{{ host = "img.own.localhost", kinds = ["image", "style", "font"] }}]
[[purpose]]
id = "social"
data = ["browsing", "ip_address"]
[[purpose]]
id = "ads"
data = ["identifiers", "geolocation"]
[[service]]
id = "square"
purpose = "social"
recipient = "Square"
hosts = [{{ host = "social.localhost", kinds = ["script", "frame", "image"] }}]
[[service]]
id = "chain"
purpose = "ads"
recipient = "Chain"
open = "frame"
routes = ["/slot/*"]
hosts = [{{ host = "*.ads.localhost", kinds = ["script", "image"] }}]
[[service]]
id = "manager"
needs_any = ["social", "ads"]
recipient = "Manager"
hosts = [{{ host = "tags.localhost", kinds = ["script"] }}]
[[tracker]]
name = "session"
kind = "cookie"
purpose = "technical"
[[tracker]]
name = "sq_*"
kind = "cookie"
service = "square"
max_age_days = 30
[[tracker]]
name = "seen"
kind = "local_storage"
service = "square"
[[tracker]]
name = "both"
kind = "cookie"
purpose = "social"
[[tracker]]
name = "both"
kind = "cookie"
purpose = "ads"
[[feature]]
id = "comments"
needs = ["social"]
routes = ["/comments/*"]
"""

MAPPED = f"""
version = 1
[proof]
keep_days = 912
[controller]
name = "Own Press"
address = "1 Quay, Paris"
contact = "dpo@own.example"
privacy_policy = "/privacy"
[site]
origins = ["{ORIGIN}"]
languages = ["en", "fr"]
[choice]
source = "tcf"
settings_url = "/choices"
[[purpose]]
id = "audience"
tcf_purposes = [1, 8]
[[purpose]]
id = "ads"
data = ["geolocation"]
tcf_purposes = [1, 2]
tcf_special_features = [1]
[[purpose]]
id = "social"
tcf_purposes = [1, 11]
[[service]]
id = "platform"
purpose = "technical"
recipient = "Platform"
hosts = [{{ host = "platform.localhost", kinds = ["script", "connect"] }}]
[[service]]
id = "counter"
purpose = "audience"
tcf_vendor = 10
recipient = "Counter"
hosts = [{{ host = "counter.localhost", kinds = ["script"] }}]
[[service]]
id = "chain"
purpose = "ads"
tcf_vendor = 20
recipient = "Chain"
routes = ["/slot/*"]
hosts = [{{ host = "chain.localhost", kinds = ["script", "frame"] }}]
[[service]]
id = "follower"
purpose = "ads"
tcf_vendor = 10
recipient = "Counter"
hosts = [{{ host = "follower.localhost", kinds = ["image"] }}]
[[service]]
id = "manager"
needs_any = ["ads", "social"]
tcf_vendor = 30
recipient = "Manager"
hosts = [{{ host = "tags.localhost", kinds = ["script"] }}]
[[service]]
id = "square"
purpose = "social"
recipient = "Square"
hosts = [{{ host = "square.localhost", kinds = ["frame"] }}]
[[tracker]]
name = "euconsent-v2"
kind = "cookie"
purpose = "technical"
max_age_days = 182
[[tracker]]
name = "count_*"
kind = "cookie"
service = "counter"
max_age_days = 30
[[tracker]]
name = "chained"
kind = "cookie"
service = "chain"
path = "/slot/"
[[tracker]]
name = "seen"
kind = "cookie"
purpose = "social"
[[feature]]
id = "comments"
needs = ["social"]
routes = ["/comments/*"]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests in a browser come last: the quick ones fail first."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared pages and judges, where there is one."""
    found = Path(__file__).resolve().parents[2] / "shared"
    if not found.is_dir():
        pytest.skip("there is no ../shared here")
    return found


@pytest.fixture(scope="session")
def policy() -> Policy:
    return loads(SMALL)


@pytest.fixture
def site(policy: Policy, tmp_path: Path) -> Iterator[Site]:
    made = Site.from_policy(policy, f"sqlite:///{tmp_path / 'bandeau.db'}")
    yield made
    made.close()


def request(path: str = "/", headers: RawHeaders | None = None, method: str = "GET") -> Request:
    """Make a request to the small site, as a browser that opens a page sends it."""
    where, _, query = path.partition("?")
    sent = [(b"sec-fetch-dest", b"document"), *(headers or [])]
    if not any(name == b"accept" for name, _ in sent):
        sent.insert(0, (b"accept", b"text/html,*/*;q=0.8"))
    return Request(method, "http", ORIGIN.partition("//")[2], where, query, sent)


POSTED: RawHeaders = [
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"sec-fetch-site", b"same-origin"),
]


def chosen(site: Site, body: bytes, headers: RawHeaders | None = None) -> RawHeaders:
    """Post a choice and return the Cookie header that a browser sends from then on."""
    sent = [*POSTED, *(headers or [])]
    exchange = site.exchange(request("/_b/choice", sent, "POST"))
    reply = site.answer_sync(exchange, body)
    assert reply.status == 303, reply
    line = next(value for name, value in reply.headers if name == b"set-cookie")
    return [(b"cookie", line.partition(b";")[0])]


def decisions(site: Site) -> list[Decision]:
    """Return what the site's ledger holds, in order."""
    return [noted.decision for noted in site.ledger.decisions()]


def through(exchange: Exchange, headers: RawHeaders, body: bytes, status: int = 200) -> bytes:
    """Return a body after the gate."""
    filtered = exchange.response(status, headers)
    return filtered.feed(body) + filtered.close()
