"""Real builds of six notices, whole and broken: each fault is found under its rule, the whole ones have none.

BANDEAU_PROVE=1 breaks each of them in every way; else a few faults stand in one page and are found in one walk.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bandeau.audit.judge import Case, Outcome, judge
from bandeau.audit.lexicon import notices
from bandeau.audit.ruleset import load
from bandeau.audit.scenario import Plan, apart
from bandeau.cli.audit import walked
from bandeau.cli.progress import Progress
from bandeau.policy.file import loads
from bandeau.policy.model import Policy
from browser.notices import PEERS, STAT, Peer, served

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
thorough = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 breaks all of them in every way")
WALKS = ("no-choice", "refuse", "accept", "withdraw", "settings", "keyboard", "small", "gpc")
CLOSED = "/(?:^|; )stat=1/.test(document.cookie)"
# orejime keeps the cookie when its purpose is withdrawn: its own record tells.
GRANTED = f"({CLOSED} && !/%22stat%22:false/.test(document.cookie))"
# A fault, the walks that show it, and the rule that must name it.
FAULTS = {
    "tracker before choice": (("no-choice",), "C1"),
    "granted before choice": (("no-choice",), "C4"),
    "refuse hidden": (("no-choice",), "A2"),
    "pre-ticked": (("settings",), "B1"),
    "refusal ignored": (("refuse",), "D1"),
    "withdrawal ignored": (("withdraw",), "G4"),
    "colour alone": (("accept", "refuse", "withdraw"), "K4"),
    "no keyboard": (("keyboard",), "K2"),
    "another language": (("no-choice",), "K6"),
    "pale": (("no-choice",), "K3"),
}
# What is planted into the configuration; where there are no ticks, none can be set beforehand.
TICKED = {
    "klaro": ('cookies: ["stat"] }]', 'cookies: ["stat"], default: true }]'),
    "vanilla-cookieconsent": ("stat: { autoClear", "stat: { enabled: true, autoClear"),
    "orejime": ('cookies: ["stat"] }]', 'cookies: ["stat"], default: true }]'),
}
# Findings on the whole builds that are true of them.
KNOWN = {  # klaro, orejime and DSFR have no refusal behind their way back, which costs a click more
    "klaro": {"G2", "K3", "L2"},  # white on green, 3.9:1
    "tarteaucitron": {"L2"},
    "vanilla-cookieconsent": {"L2"},
    "orejime": {"G2", "G3", "G4", "L2"},
    "dsfr": {"G2", "L2"},
    "cookieconsent": {"K2", "L2"},  # links without an address: Enter does nothing
}


def policy() -> Policy:
    """What a site with any of these notices declares."""
    own = ["klaro", "tarteaucitron", "cc_cookie", "eu-consent", "orejime", "cookieconsent_status"]
    cookies = "".join(
        f'{{ name = "{name}", kind = "cookie", purpose = "technical", max_age_days = 400 }},'
        for name in own
    )
    return loads(f"""
version = 1
proof.keep_days = 912
controller = {{ name = "Une page", address = "x", contact = "dpo@page.example", privacy_policy = "/donnees" }}
site = {{ origins = ["http://site.localhost:8000"], languages = ["fr"] }}
purpose = [{{ id = "audience" }}]
tracker = [ {cookies}
  {{ name = "stat", kind = "cookie", purpose = "audience", max_age_days = 1 }},
  {{ name = "choix", kind = "local_storage", purpose = "technical" }},
]
""")


def broken(name: str, *faults: str) -> Peer:
    """Return a peer with faults in its page."""
    page = PEERS[name].page
    refuse = ", ".join(s for known in notices() if known.name == name for s in known.refuse)
    for fault in faults:
        head = foot = ""
        if fault == "tracker before choice":
            head = f"<script>{STAT}</script>"
        elif fault == "granted before choice":
            # An update: some notices add a default of their own afterwards, which would end one.
            head = "<script>(window.dataLayer ??= []).push(['consent', 'update', { ad_storage: 'granted' }])</script>"
        elif fault == "refuse hidden":
            head = f"<style>{refuse} {{ display: none !important }}</style>"
        elif fault == "pale":
            head = (
                f"<style>{refuse} {{ color: #888 !important; background: #fff !important }}</style>"
            )
        elif fault == "another language":
            page = page.replace('lang="fr"', 'lang="de"', 1)
            head = "<script>tarteaucitronForceLanguage = 'fr'</script>"  # else it follows the page
        elif fault == "pre-ticked":
            page = page.replace(*TICKED[name])
        elif fault == "refusal ignored":
            foot = f"<script>addEventListener('click', () => setTimeout(() => {{ {STAT} }}, 300))</script>"
        elif fault == "withdrawal ignored":
            foot = f"<script>setInterval(() => {{ if ({CLOSED}) localStorage.choix_stat = 1; if (localStorage.choix_stat) {STAT} }}, 50)</script>"
        elif fault == "no keyboard":
            foot = f"<script>setInterval(() => document.querySelectorAll({refuse!r}).forEach((one) => {{ one.tabIndex = -1 }}), 50)</script>"
        elif fault == "colour alone":
            foot = f"<script>setInterval(() => document.querySelectorAll('#tarteaucitronManager, footer, .cc-revoke').forEach((one) => {{ one.style.background = {GRANTED} ? '#0a0' : '#a00' }}), 50)</script>"
        page = page.replace("</head>", f"{head}</head>").replace("</body>", f"{foot}</body>")
    return replace(PEERS[name], page=page)


def found(peer: Peer, builds: Path, *scenarios: str) -> dict[str, list[str]]:
    """Walk through a page and return the facts of each rule that fails."""
    with served(peer, builds) as url:
        runs = apart(walked(Plan(url), scenarios, 2, Progress(url, quiet=True)))
    verdicts = judge(Case(runs, policy()), load().values())
    return {
        one.rule: [fact.text for fact in one.facts]
        for one in verdicts
        if one.outcome is Outcome.FAIL
    }


@pytest.mark.parametrize("name", ["klaro"])
def test_several_faults_of_a_page_are_found_in_one_walk(name: str, builds: Path) -> None:
    several = [fault for fault, (walks, _) in FAULTS.items() if walks == ("no-choice",)]
    rules = found(broken(name, *several), builds, "no-choice")
    assert set(rules) >= {FAULTS[fault][1] for fault in several} - {
        "K3"
    }  # what is hidden has no colour


@thorough
@pytest.mark.parametrize(
    ("fault", "name"), [(f, n) for f in FAULTS for n in PEERS if f != "pre-ticked" or n in TICKED]
)
def test_a_fault_is_found_under_its_rule(fault: str, name: str, builds: Path) -> None:
    walks, rule = FAULTS[fault]
    assert rule in found(broken(name, fault), builds, *walks)


@thorough
@pytest.mark.parametrize("name", PEERS)
def test_a_whole_notice_has_no_finding_but_those_that_are_true_of_it(
    name: str, builds: Path
) -> None:
    rules = found(PEERS[name], builds, *WALKS)
    assert set(rules) == KNOWN.get(name, set()), rules
