"""The second policy: what each state lets through, told by the rules of CSP3 itself."""

from __future__ import annotations

import pytest

from bandeau.gate import csp
from bandeau.gate.verdict import KINDS, Rules
from bandeau.policy.file import loads
from bandeau.policy.model import Policy
from bandeau.wire.csp import parse

DIRECTIVES = dict(
    zip(KINDS, ["script-src", "style-src", "img-src", "font-src", "media-src", "frame-src", "connect-src",
                "object-src", "form-action"], strict=True)
)  # fmt: skip


def admits(header: str, kind: str, host: str) -> bool:
    """Read the header as a browser does: every policy must allow (CSP3 8.1)."""
    for directives in parse(header):
        name = DIRECTIVES[kind]
        if name not in directives and name == "form-action":
            continue
        sources = directives.get(name, directives["default-src"])
        hosts = [source.removesuffix(":*") for source in sources]
        wild = any(s.startswith("*.") and host.endswith(s[1:]) for s in hosts)
        if host not in hosts and not wild and "*" not in sources and "https:" not in sources:
            return False
    return True


@pytest.mark.parametrize("granted", [(), ("social",), ("ads",), ("social", "ads")])
def test_the_header_says_what_the_rules_say(policy: Policy, granted: tuple[str, ...]) -> None:
    allowance = Rules(policy).allowance(frozenset(granted))
    header = csp.policy(allowance)
    for host in (
        "social.localhost",
        "x.ads.localhost",
        "tags.localhost",
        "img.own.localhost",
        "no.example",
    ):
        for kind in KINDS:
            assert admits(header, kind, host) is allowance.allows(host, kind), (host, kind)


def test_one_or_two_policies_say_the_same() -> None:
    services = "".join(
        f'[[service]]\nid="s{n}"\npurpose="ads"\nrecipient="R"\n'
        f'hosts=[{{host="h{n}.example", kinds=["script","connect","image","media"]}}]\n'
        for n in range(60)
    )
    own = ", ".join(f'{{host="i{n}.example", kinds=["image","media"]}}' for n in range(60))
    text = (
        'version=1\n[proof]\nkeep_days=1\n[controller]\nname="a"\naddress="a"\ncontact="a"\n'
        f'privacy_policy="a"\n[site]\norigins=["https://a.example"]\nlanguages=["fr"]\nown_hosts=[{own}]\n'
        f'[[purpose]]\nid="ads"\n{services}'
    )
    allowance = Rules(loads(text)).allowance(frozenset({"ads"}))
    header = csp.policy(allowance)
    assert header.count(", ") == 1
    assert all(header.count(f"h{n}.example") <= 2 for n in range(60))
    for host in ("h1.example", "i1.example", "x.example"):
        for kind in KINDS:
            assert admits(header, kind, host) is allowance.allows(host, kind), (host, kind)


def test_the_same_state_gives_the_same_bytes(policy: Policy) -> None:
    one, two = Rules(policy), Rules(policy)
    granted = frozenset({"social"})
    assert csp.policy(one.allowance(granted)) == csp.policy(two.allowance(granted))


def test_own_code_that_reaches_nobody_stays_with_the_site_s_own_policy(policy: Policy) -> None:
    for directives in parse(csp.policy(Rules(policy).allowance(frozenset()))):
        assert {"'self'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"} <= set(
            directives["default-src"]
        )


def test_a_frame_of_an_open_chain_is_a_sandbox(policy: Policy) -> None:
    header = csp.frame_policy(Rules(policy).allowance(frozenset({"ads"})), ["script", "image"])
    (directives,) = parse(header)
    assert "allow-same-origin" not in directives["sandbox"]
    assert "allow-top-navigation" not in directives["sandbox"]
    assert "https:" in directives.get("script-src", directives["default-src"])
