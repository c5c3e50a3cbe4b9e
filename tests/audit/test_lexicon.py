"""What the buttons of notices say, and by what markup notices are known."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bandeau.audit.lexicon import (
    Goal,
    Known,
    LexiconError,
    _read,
    folded,
    goal_of,
    languages,
    notices,
    said,
    spoken,
)
from bandeau.decision.model import Consent, State
from bandeau.notice import Notice
from bandeau.policy.model import Policy

OFFICIAL = [
    "bg",
    "cs",
    "da",
    "de",
    "el",
    "en",
    "es",
    "et",
    "fi",
    "fr",
    "ga",
    "hr",
    "hu",
    "it",
    "lt",
    "lv",
    "mt",
    "nl",
    "pl",
    "pt",
    "ro",
    "sk",
    "sl",
    "sv",
]
GOALS = {*Goal}


def entries() -> Iterator[tuple[str, Goal]]:
    for language in languages().values():
        for goal in Goal:
            for label in language.labels(goal):
                yield label, goal


def test_all_24_official_languages_are_known() -> None:
    assert sorted(languages()) == OFFICIAL


@pytest.mark.parametrize("language", OFFICIAL)
def test_each_language_has_labels_for_every_goal_and_forbidden_words(language: str) -> None:
    known = languages()[language]
    assert [goal for goal in Goal if not known.labels(goal)] == []
    assert known.never


def test_no_label_belongs_to_two_goals() -> None:
    goals: dict[tuple[str, ...], set[Goal]] = {}
    for label, goal in entries():
        goals.setdefault(folded(label), set()).add(goal)
    assert not {label: found for label, found in goals.items() if len(found) > 1}


def test_each_label_is_recognised_as_what_it_is_listed_for() -> None:
    assert [label for label, goal in entries() if goal_of(label) is not goal] == []


def test_a_label_stands_once_in_its_language() -> None:
    for language, known in languages().items():
        said = [folded(label) for goal in Goal for label in known.labels(goal)]
        assert sorted({one for one in said if said.count(one) > 1}) == [], language


@pytest.mark.parametrize("language", OFFICIAL)
def test_our_own_notice_is_understood_in_each_language(language: str) -> None:
    """Its labels as what they are, and in that language; its purposes by their words (rules A6, K6)."""
    text = files("bandeau.notice").joinpath("locales", f"{language}.toml").read_text("utf-8")
    words = tomllib.loads(text)
    buttons = words["buttons"]
    del buttons["reload"]
    assert {name: goal_of(label) for name, label in buttons.items()} == {
        "all": Goal.ACCEPT,
        "none": Goal.REFUSE,
        "settings": Goal.SETTINGS,
        "save": Goal.SAVE,
        "reopen": Goal.SETTINGS,
    }
    assert [label for label in buttons.values() if language not in spoken(label)] == []
    assert said("cookies", words["first"]["title"])
    purposes = {id_: f"{one['title']} {one['sentence']}" for id_, one in words["purpose"].items()}
    assert [
        one
        for one in ("social", "profiles", "audience", "ads", "video")
        if not said(one, purposes[one])
    ] == []
    first = " ".join([*words["first"].values(), *purposes.values()])
    assert [topic for topic in ("pay", "loss", "interest") if said(topic, first)] == []


@pytest.mark.parametrize(
    ("label", "goal"),
    [
        ("Tout refuser", Goal.REFUSE),
        ("  TOUT   REFUSER\n", Goal.REFUSE),
        ("« Tout refuser »", Goal.REFUSE),
        ("“Reject all”", Goal.REFUSE),
        ("Tout\xa0refuser", Goal.REFUSE),
        ("Continuer sans accepter →", Goal.REFUSE),
        ("➡️ Continuer sans accepter", Goal.REFUSE),
        ("Accept all 🍪", Goal.ACCEPT),
        ("Accept all!", Goal.ACCEPT),
        ("J’accepte", Goal.ACCEPT),
        ("J'accepte", Goal.ACCEPT),
        ("\uff21ccept all", Goal.ACCEPT),  # NFKC
        ("Zu\u00adstimmen", Goal.ACCEPT),  # a soft hyphen is not to be seen
        ("Cookie-Einstellungen", Goal.SETTINGS),
        ("Cookie Einstellungen", Goal.SETTINGS),
        ("PARAMETRER VOS CHOIX", Goal.SETTINGS),
        ("ΑΠΟΡΡΙΨΗ ΟΛΩΝ", Goal.REFUSE),
        ("✗ Interdire tous les cookies", Goal.REFUSE),
        ("✓ OK, tout accepter", Goal.ACCEPT),
        ("Cookies : Tout refuser", Goal.REFUSE),
        ("×", Goal.CLOSE),
        ("✕", Goal.CLOSE),
        ("X", Goal.CLOSE),
        ("Cookie settings", Goal.SETTINGS),
        ("Withdraw consent", Goal.WAY_BACK),
        ("Retirer mon consentement", Goal.WAY_BACK),
    ],
)  # fmt: skip
def test_spelling_signs_and_quotes_do_not_matter(label: str, goal: Goal) -> None:
    assert goal_of(label) is goal


@pytest.mark.parametrize(
    ("label", "goal"),
    [
        ("Accept necessary cookies", Goal.REFUSE),
        ("Accept cookies", Goal.ACCEPT),
        ("Accepter les cookies", Goal.ACCEPT),
        ("Accepter les cookies nécessaires", Goal.REFUSE),
        ("Accept selected cookies", Goal.SAVE),
        ("Allow all", Goal.ACCEPT),
        ("Allow selection", Goal.SAVE),
    ],
)
def test_the_longest_phrase_decides(label: str, goal: Goal) -> None:
    assert goal_of(label) is goal


@pytest.mark.parametrize(
    "label",
    [
        "",
        " ",
        "→",
        "Accept invitation",
        "Autoriser Mesure d'audience",
        "Save article",
        "Close account",
        "Refused shipments",
        "Voir l'offre",
        "Reject all new taxes, say the farmers who met in the capital on Sunday",
        "Accept all " * 100,
    ],
)
def test_what_only_begins_like_a_button_is_for_no_goal(label: str) -> None:
    assert goal_of(label) is None


@pytest.mark.parametrize(
    "label",
    [
        "Accepter et s'abonner",
        "Tout refuser et s’abonner",
        "Accept all and subscribe",
        "Reject all and pay",
        "Refuser et se connecter",
        "Accept all or log in",
        "Accept all: subscribe now",
        "Alle akzeptieren oder Abo abschließen",
        "Akzeptieren und weiter mit dem Pur-Abo",
        "Accetta tutto e abbonati",
    ],
)
def test_a_button_that_sells_or_signs_in_is_for_no_goal(label: str) -> None:
    assert goal_of(label) is None


@pytest.mark.parametrize(
    ("label", "goal"),
    [
        ("Do not accept", Goal.REFUSE),
        ("I do not accept all", Goal.REFUSE),
        ("Ne pas accepter", Goal.REFUSE),
        ("Ne pas tout accepter", None),
        ("Nicht alle akzeptieren", None),
        ("Never accept all", None),
        ("No aceptar todo", None),
    ],
)
def test_an_acceptance_turned_round_is_none(label: str, goal: Goal | None) -> None:
    assert goal_of(label) is goal


def test_each_forbidden_word_wins_over_any_label() -> None:
    words = {word for language in languages().values() for word in language.never}
    assert [word for word in words if goal_of(f"Tout refuser {word.rstrip('*')}")] == []


@given(st.text())
def test_no_text_is_an_error(label: str) -> None:
    assert goal_of(label) in {None, *GOALS}


@given(st.sampled_from(list(entries())), st.text(" \t\n\xa0«»“”‘’\"'…→⇒🍪.!()", max_size=6))
def test_what_stands_around_a_label_does_not_change_it(
    entry: tuple[str, Goal], around: str
) -> None:
    label, goal = entry
    assert goal_of(f"{around}{label.upper()}{around}") is goal


def test_our_own_notice_is_looked_for_first() -> None:
    assert notices()[0].name == "bandeau"


def test_the_widely_used_notices_are_known() -> None:
    wanted = (
        "klaro tarteaucitron vanilla-cookieconsent orejime dsfr cookieconsent didomi onetrust cookiebot usercentrics"
        " sourcepoint axeptio quantcast complianz cookieyes iubenda trustarc borlabs finsweet"
    )
    names = [one.name for one in notices()]
    assert set(names) >= set(wanted.split())
    assert len(names) == len(set(names))


@pytest.mark.parametrize("known", notices(), ids=lambda one: one.name)
def test_each_known_notice_can_be_found_and_refused(known: Known) -> None:
    assert known.detect
    assert known.refuse


@pytest.mark.parametrize("known", notices(), ids=lambda one: one.name)
def test_what_remembers_a_choice_is_a_cookie_or_a_storage_key(known: Known) -> None:
    assert [one for one in known.kept if one.partition(" ")[0] not in ("cookie", "local")] == []


@pytest.mark.parametrize(
    "broken",
    [
        '[[notice]]\nname = "x"\nchecked = true\n',
        '[[notice]]\nname = "x"\nchecked = true\ndetect = ["a"]\nreject = ["b"]\n',
        '[[notice]]\nname = "x"\nchecked = "yes"\ndetect = ["a"]\n',
        '[[notices]]\nname = "x"\nchecked = true\ndetect = ["a"]\n',
        "[[notice",
    ],
)
def test_a_broken_list_of_notices_is_refused_with_the_name_of_its_file(broken: str) -> None:
    adapter = TypeAdapter(dict[Literal["notice"], tuple[Known, ...]])
    with pytest.raises(LexiconError, match=r"^list\.toml: "):
        _read("list.toml", broken, adapter)


def in_chromium(page: Path, body: str, expression: str) -> Any:
    """Return what an expression comes to in a page with this body; the browser prints its document."""
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium here")
    script = f"<script>document.title = JSON.stringify({expression})</script>"
    page.write_text(f"<!doctype html><meta charset=utf-8><title></title>{body}{script}", "utf-8")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title
    return json.loads(html.unescape(title[1]))


def selectors(known: Known) -> list[str]:
    found = [*known.detect, *known.shown, *known.accept, *known.refuse, *known.settings]
    found += [*known.save, *known.way_back, *known.purposes]
    return [*found, *filter(None, [known.host])]


def test_every_selector_is_one_that_a_browser_takes(tmp_path: Path) -> None:
    every = json.dumps([one for known in notices() for one in selectors(known)] + ["li >> a"])
    refused = in_chromium(
        tmp_path / "page.html",
        "",
        every + ".filter((one) => {"
        " try { document.querySelector(one); return false } catch { return true } })",
    )
    assert refused == ["li >> a"]


def test_our_own_notice_is_built_as_it_is_known(tmp_path: Path, policy: Policy) -> None:
    notice, known = Notice(policy), notices()[0]
    asks = Consent(State.UNDECIDED, asks=frozenset(policy.consentable))
    granted = Consent(State.GRANTED, frozenset(policy.consentable))
    first = notice.first("fr", asks, back="/").decode()
    settings = notice.settings("fr", granted, back="/").partition("<body")[2]  # and the band
    found = in_chromium(
        tmp_path / "page.html",
        f"{first}<div {settings}",
        json.dumps(selectors(known)) + ".map((one) => document.querySelectorAll(one).length)",
    )
    counts = dict(zip(selectors(known), found, strict=True))
    assert counts.pop(known.purposes[0]) == len(policy.consentable)
    assert set(counts.values()) == {1}
