"""The inspector before real builds of six widely used notices: it finds, presses, and sees what holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bandeau.audit.lexicon import notices
from bandeau.audit.scenario import Plan, Run, apart, run
from browser.notices import PEERS, served

PROVE = bool(os.environ.get("BANDEAU_PROVE"))


def audited(name: str, builds: Path, scenario: str) -> Run:
    """Walk through a peer's page, and say why where it is not done."""
    with served(PEERS[name], builds) as url:
        done = apart(run(Plan(url), scenario))
    assert done.completed, (done.reason, done.facts.get("error"), done.layers)
    return done


def kept(done: Run) -> list[str]:
    """Return the stations at which the peer's purpose kept its cookie; a lifetime of 0 removes it."""
    return [
        one.station
        for one in done.observations
        if one.kind == "cookie_kept" and one.name == "stat" and one.detail["seconds"] != 0
    ]


every_peer = pytest.mark.parametrize("name", PEERS)
some_peers = pytest.mark.parametrize("name", PEERS if PROVE else ["vanilla-cookieconsent", "klaro"])
thorough = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 walks through all of them")


@some_peers
def test_a_refusal_is_one_click_that_holds_and_keeps_nothing(name: str, builds: Path) -> None:
    done = audited(name, builds, "refuse")
    assert done.layers[0]["name"] == name
    assert done.clicks == {"refuse": PEERS[name].clicks[0]}
    assert kept(done) == []


@thorough
@every_peer
def test_the_notice_is_found_by_its_markup_before_a_choice(name: str, builds: Path) -> None:
    done = audited(name, builds, "no-choice")
    assert [layer["name"] for layer in done.layers] == [name]
    goals = {one["goal"] for one in done.layers[0]["controls"]}
    assert goals >= {"accept", "refuse"}
    assert kept(done) == []


@thorough
@every_peer
def test_an_acceptance_is_one_click_that_holds_and_opens_the_purpose(
    name: str, builds: Path
) -> None:
    done = audited(name, builds, "accept")
    assert done.clicks == {"accept": PEERS[name].clicks[1]}
    assert "accept" in kept(done) or "accept-reload" in kept(done)


@thorough
@every_peer
def test_a_withdrawal_goes_by_the_notice_s_own_way_back(name: str, builds: Path) -> None:
    done = audited(name, builds, "withdraw")
    assert done.clicks["withdraw"] == PEERS[name].clicks[2]
    assert not [one for one in kept(done) if one.startswith("withdraw-")]


def test_what_is_called_checked_is_checked_here() -> None:
    variants = {"vanilla-cookieconsent-2", "orejime-dsfr"}  # of builds that are walked here
    assert {one.name for one in notices() if one.checked} == {"bandeau", *PEERS, *variants}
