"""A site's own strict policy lets our parts in, and nothing else more."""

from __future__ import annotations

import pytest

from bandeau.gate.strict import Parts, admit
from bandeau.wire.csp import parse
from bandeau.wire.headers import RawHeaders

PARTS = Parts(("'sha256-guard'",), ("'sha256-style'",), "https://own.example", "/_b")
CSP = b"content-security-policy"


def admitted(*policies: bytes) -> tuple[RawHeaders, str | None]:
    return admit([(CSP, policy) for policy in policies], PARTS)


@pytest.mark.parametrize(
    "policy",
    [
        b"default-src 'self' 'unsafe-inline'",
        b"img-src *",
        b"upgrade-insecure-requests",
        b"frame-ancestors 'none'",
    ],
)
def test_a_policy_that_lets_us_in_passes_byte_for_byte(policy: bytes) -> None:
    assert admitted(policy) == ([(CSP, policy)], None)


def test_no_policy_stays_no_policy() -> None:
    assert admit([(b"x", b"y")], PARTS) == ([(b"x", b"y")], None)


def test_a_nonce_is_used_and_the_policy_stays() -> None:
    policy = b"script-src 'nonce-abc' 'strict-dynamic'; style-src 'nonce-abc'; connect-src 'self'; form-action 'self'"
    assert admitted(policy) == ([(CSP, policy)], "abc")


def test_hashes_are_added_where_there_is_no_nonce() -> None:
    ((_, value),), nonce = admitted(b"default-src 'none'; script-src 'self'; style-src 'self'")
    (directives,) = parse(value.decode())
    assert nonce is None
    assert directives["script-src"] == ("'self'", "'sha256-guard'")
    assert directives["style-src"] == ("'self'", "'sha256-style'")
    assert directives["connect-src"] == ("https://own.example/_b/",)
    assert directives["default-src"] == ("'none'",)


def test_nothing_general_is_ever_added() -> None:
    ((_, value),), _ = admitted(b"default-src 'none'")
    assert b"unsafe" not in value
    assert b"*" not in value
    (directives,) = parse(value.decode())
    added = {
        source
        for name, sources in directives.items()
        if name != "default-src"
        for source in sources
    }
    assert added == {
        "'sha256-guard'",
        "'sha256-style'",
        "https://own.example/_b/static/",
        "https://own.example/_b/",
    }


def test_every_policy_of_several_lets_us_in() -> None:
    headers, _ = admitted(b"script-src 'self'", b"script-src 'none', style-src 'none'")
    policies = [directives for _, value in headers for directives in parse(value.decode())]
    assert len(policies) == 3
    for directives in policies:
        if "script-src" in directives:
            assert "'sha256-guard'" in directives["script-src"]
            assert "'none'" not in directives["script-src"]


def test_a_nonce_of_one_policy_does_not_stand_for_another() -> None:
    headers, nonce = admitted(b"script-src 'nonce-abc'", b"script-src 'nonce-xyz'")
    assert nonce == "abc"
    assert b"'sha256-guard'" in headers[1][1]
