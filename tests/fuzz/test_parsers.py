"""Whatever bytes come, each reader gives what it announces: a value, None, or the one error it names.

docs/security.md lists the readers and their fuzzers, those here and those beside the code.
BANDEAU_PROVE=1 tries 5,000 inputs of each.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandeau.decision.tcf import Platform
from bandeau.endpoints import objection_name, receipt_name
from bandeau.errors import PolicyError
from bandeau.ledger.verify import RefusedError, verify_log, verify_receipt
from bandeau.measure.count import device
from bandeau.notice.form import local
from bandeau.notice.texts import negotiated
from bandeau.policy.file import load, loads
from bandeau.policy.model import Policy
from bandeau.site import Request, Site
from bandeau.wire import charsets, codings, cookies, csp, headers, hosts, reports
from bandeau.wire.codings import CodingError
from conftest import MAPPED, POSTED, SMALL
from ledger.publishing import Published

TRIES = 5_000 if os.environ.get("BANDEAU_PROVE") else 60
fuzz = settings(max_examples=TRIES, suppress_health_check=list(HealthCheck))
LOG = Published(300)
FILES = {name: content for name, content in LOG.files().items() if name != "vkey"}
KEYS = [LOG.signer.verifier]
# A field's value as servers hand it on: RFC 9110 5.5, and what llhttp lets through beside it.
VALUES = st.binary(max_size=80).map(lambda value: re.sub(rb"[\r\n\0]", b"", value))
PIECES = st.sampled_from([
    *(b",", b";", b"=", b'"', b"\\", b"<", b">", b" ", b"\t", b"*", b"%", b"'", b"/", b"0", b"-1", b"\xff"),
    *(b"q=0.5", b"//evil.example", b"https://www.own.localhost:9000/", b"nonce-", b"data:", b"9" * 400),
    *(b"bandeau=", b"text/html"),
])  # fmt: skip
SPELT = st.lists(PIECES, max_size=12).map(b"".join) | VALUES
WORDS = st.none() | st.integers() | st.floats() | st.text(max_size=8) | st.just("csp-violation")
NAMED = ["csp-report", "type", "body", "blockedURL", "lineNumber", "document-uri"]
JSON: st.SearchStrategy[Any] = WORDS
for _ in range(3):
    JSON = (
        WORDS
        | st.lists(JSON, max_size=3)
        | st.dictionaries(st.sampled_from(NAMED), JSON, max_size=4)
    )
ASKED = [
    *(b"cookie", b"accept", b"accept-language", b"accept-encoding", b"user-agent", b"sec-gpc"),
    *(b"sec-fetch-dest", b"sec-fetch-site", b"sec-purpose", b"origin", b"range", b"if-none-match"),
    *(b"x-forwarded-for", b"forwarded", b"connection", b"content-type", b"bd-purposes", b"referer"),
]
ANSWERED = [
    *(b"content-type", b"content-length", b"content-encoding", b"set-cookie", b"link", b"refresh"),
    *(b"content-security-policy", b"content-security-policy-report-only", b"report-to", b"nel"),
    *(b"reporting-endpoints", b"alt-svc", b"location", b"cache-control", b"vary", b"etag"),
    *(b"speculation-rules", b"surrogate-control", b"permissions-policy", b"last-modified", b"age"),
]


def asked(path: str, sent: list[tuple[bytes, bytes]], host: str, method: str = "GET") -> Request:
    at, _, query = path.partition("?")
    return Request(method, "http", host, "/" + at, query, sent)


@fuzz
@given(SPELT, SPELT)
def test_headers_are_split_and_merged(one: bytes, two: bytes) -> None:
    given = [(b"vary", one), (b"vary", two), (b"x", two)]
    assert all(token == token.strip().lower() for token in headers.tokens(given, b"vary"))
    assert headers.vary(headers.vary(given, b"Cookie"), b"Cookie") == headers.vary(given, b"Cookie")
    for separator in (b",", b";"):
        assert all(headers.split_list(one, separator))


@fuzz
@given(SPELT)
def test_set_cookie_lines_are_read(line: bytes) -> None:
    assert cookies.name_value(line) is None or any(cookies.name_value(line) or ())
    assert isinstance(cookies.removes(line), bool)
    assert all(name == name.lower() for name in cookies.attributes(line))


@fuzz
@given(SPELT)
def test_a_policy_of_a_site_is_read_and_printed_the_same_again(value: bytes) -> None:
    for directives in csp.parse(value.decode("latin-1")):
        printed = csp.serialise(directives)
        assert [csp.serialise(again) for again in csp.parse(printed)] == [printed]
        for name in csp.FALLBACKS:
            csp.governing(directives, name)
            csp.nonce(directives, name)


@fuzz
@given(st.text(max_size=80) | SPELT.map(lambda value: value.decode("latin-1")))
def test_hosts_are_one_spelling_or_none(text: str) -> None:
    found = hosts.authority(text)
    if found:
        assert hosts.normalise(found[0]) == found[0]
        assert found[1] is None or 0 <= found[1] <= 65_535
    spelt = hosts.spelt(f"https://{text}")
    assert spelt is None or hosts.spelt(spelt) == spelt


@fuzz
@given(SPELT, st.binary(max_size=120))
def test_an_encoding_is_one_that_python_has(kind: bytes, start: bytes) -> None:
    codec = charsets.unsafe_codec(kind, start)
    if codec:
        page = charsets.Transcoder(codec)
        (page.feed(start) + page.close()).decode("utf-8")


@fuzz
@given(
    st.sampled_from(["gzip", "deflate", "br", "zstd"]),
    st.binary(max_size=200),
    st.integers(0, 80),
    st.integers(1, 9),
)
def test_a_coded_body_is_decoded_or_refused(coding: str, noise: bytes, at: int, size: int) -> None:
    encoder = codings.encoder(coding)
    good = encoder.feed(b"<p>page</p>" * 9) + encoder.close()
    for body in (noise, good[:at] + noise, good[:at] + noise + good[at:]):
        decoder = codings.decoder(coding)
        with contextlib.suppress(CodingError):
            for start in range(0, len(body), size):
                decoder.feed(body[start : start + size])
            decoder.close()


@fuzz
@given(JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200) | st.just(b"[" * 100_000))
def test_reports_are_read_as_far_as_they_are_some(body: bytes) -> None:
    for one in reports.violations(body):
        assert all(
            len(text) <= 600 for text in (one.directive, one.blocked, one.document, one.source)
        )
        hosts.target(one.blocked, "")


@fuzz
@given(SPELT, st.text(max_size=20))
def test_languages_and_devices_are_one_of_a_few(value: bytes, page: str) -> None:
    assert negotiated(("fr", "en"), page, value.decode("latin-1")) in ("fr", "en")
    assert device(value) in ("tablet", "phone", "desktop")


@pytest.fixture(scope="module")
def platform() -> Platform:
    return Platform(loads(MAPPED))


@fuzz
@given(st.lists(st.binary(max_size=60) | st.just(b"C") | SPELT, max_size=2))
def test_a_platform_s_answer_is_one_or_none(platform: Platform, values: list[bytes]) -> None:
    assert platform.answer(values, 29_000_000) is None


@pytest.fixture(scope="module")
def site(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.from_policy(policy, f"sqlite:///{tmp_path_factory.mktemp('f') / 'b.db'}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def policy() -> Policy:
    return loads(SMALL)


HEADS = st.lists(st.tuples(st.sampled_from(ASKED), SPELT), max_size=6)
PATHS = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=30)


@fuzz
@given(
    PATHS,
    HEADS,
    SPELT,
    st.lists(st.tuples(st.sampled_from(ANSWERED), SPELT), max_size=6),
    st.binary(max_size=120),
)
def test_any_head_meets_any_answer(
    site: Site, path: str, sent: list[tuple[bytes, bytes]], host: bytes,
    answer: list[tuple[bytes, bytes]], body: bytes,
) -> None:  # fmt: skip
    """Nothing is granted, nothing raises but a body that is not what its header says."""
    exchange = site.exchange(asked(path, sent, host.decode("latin-1")))
    assert not exchange.consent.granted
    assert all(name != b"bd-purposes" or value == b"" for name, value in exchange.request_headers)
    with contextlib.suppress(CodingError):
        filtered = exchange.response(200, answer)
        assert all(not re.search(rb"[\r\n\0]", name + value) for name, value in filtered.headers)
        if not filtered.passthrough:
            filtered.feed(body)
            filtered.close()


FORM = st.lists(
    st.tuples(st.sampled_from(["choice", "purpose", "back", "lang", "held", "layer", "key", "receipt", "confirm", "measure"]),
              st.sampled_from(["all", "none", "add", "save", "social", "fr", "1", "on", "off", "/"]) | st.text(max_size=12)),
    max_size=6)  # fmt: skip


@fuzz
@given(
    st.sampled_from(["choice", "audience", "settings", "trackers", "state", "receipt", "out", "key", "report", "log/tile/", "snapshot/", "static/"]),
    PATHS, HEADS, FORM, st.binary(max_size=60), st.booleans(),
)  # fmt: skip
def test_whatever_our_endpoints_get_no_line_of_a_head_is_a_stranger_s(
    site: Site, name: str, rest: str, sent: list[tuple[bytes, bytes]],
    form: list[tuple[str, str]], noise: bytes, posts: bool,
) -> None:  # fmt: skip
    """Nothing raises, no header breaks, and no answer but a signed one leads elsewhere."""
    head = [*POSTED, *((key, value) for key, value in sent if key not in dict(POSTED))]
    where = "/_b/" + name + (rest if name.endswith("/") else "?" + rest)
    request = asked(where[1:], head, "www.own.localhost:9000", "POST" if posts else "GET")
    for body in (urlencode(form).encode(), noise):
        reply = site.answer_sync(site.exchange(request), body)
        assert 200 <= reply.status < 500
        for key, value in reply.headers:
            assert not re.search(rb"[^\t\x20-\x7e\x80-\xff]", key + value), (key, value)
            assert key != b"location" or re.match(rb"/(?![/\\])", value), value


@fuzz
@given(st.text(max_size=40) | SPELT.map(lambda value: value.decode("latin-1")))
def test_a_way_back_is_a_path_of_this_site(text: str) -> None:
    for path in (text, "/" + text, "/" + text.replace("/", "\\")):
        found = local(path)
        assert found.startswith("/")
        assert hosts.target(found, "https://www.own.example/x").host == "www.own.example"


@fuzz
@given(st.binary(max_size=80))
def test_no_seal_is_guessed(site: Site, value: bytes) -> None:
    value = re.sub(rb"[;\r\n\0]", b"", value)
    for name in (b"bandeau", receipt_name("http")):
        sent = [(b"cookie", name + b"=" + value)]
        assert not site.exchange(asked("", sent, "www.own.localhost:9000")).consent.granted
        found = site.answer_sync(
            site.exchange(
                asked(
                    "_b/receipt",
                    [*sent, (b"accept", b"application/json")],
                    "www.own.localhost:9000",
                )
            ),
            b"",
        )
        assert found.status == 404
    assert objection_name("http") not in (b"bandeau", receipt_name("http"))


@fuzz
@given(st.sampled_from(sorted(FILES)), st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_a_log_with_other_bytes_in_it_is_refused(
    name: str, noise: bytes, at: int, keeps: bool
) -> None:
    content = FILES[name][:at] + noise + (FILES[name][at:] if keeps else b"")
    if content != FILES[name]:
        with pytest.raises(RefusedError):
            verify_log(
                {**FILES, name: content}.get,
                KEYS,
                None,
                [n.removeprefix("tile/") for n in FILES if n.startswith("tile/")],
            )


@fuzz
@given(st.binary(max_size=300))
def test_a_receipt_of_other_bytes_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError):
        verify_receipt(content, KEYS)


@fuzz
@given(st.integers(0, len(SMALL)), st.integers(0, 40), st.binary(max_size=12) | SPELT)
def test_a_policy_file_that_was_spoilt_is_a_policy_or_problems(
    tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, noise: bytes
) -> None:
    place: Path = tmp_path_factory.getbasetemp() / "spoilt.toml"
    place.write_bytes(SMALL.encode()[:at] + noise + SMALL.encode()[at + cut :])
    with contextlib.suppress(PolicyError):
        assert load(place).site.origins
