"""The 63 rules as data, and `bandeau explain`, which prints them."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner, Result

from bandeau.audit.judge import DECIDABLE
from bandeau.audit.ruleset import (
    FORCES,
    SEVERITIES,
    Rule,
    RulesetError,
    Scenario,
    load,
    sections,
)
from bandeau.audit.scenario import NAMES
from bandeau.cli import main

RULES = load()
GOOD = """
title = "A section"
[[rule]]
id = "A1"
version = 1
requirement = "Something holds."
failure = "Something does not hold."
scenarios = ["refuse"]
force = "L"
severity = "C"
starred = true
jurisdictions = ["EU"]
sources = ["ours"]
reach = "ext"
decision.fails = "it does not"
decision.passes = "it does"
decision.unknown = "nobody looked"
evidence = "A look."
remedy = "Let it hold."
"""


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments])


def texts(rule: Rule) -> list[str]:
    decision = [rule.decision.fails, rule.decision.passes, rule.decision.unknown]
    more = [rule.remedy_bandeau, rule.question]
    always = [rule.requirement, rule.failure, *rule.sources, *decision, rule.evidence, rule.remedy]
    return [*always, *filter(None, more)]


def test_there_are_63_rules_in_thirteen_sections() -> None:
    counts = Counter(rule[0] for rule in RULES)
    wanted = "A9 B6 C6 D4 E2 F3 G5 H4 I5 J5 K6 L3 M5"
    assert " ".join(f"{letter}{count}" for letter, count in counts.items()) == wanted
    assert len(RULES) == 63
    assert list(RULES) == sorted(RULES)
    assert all(rule.id == name for name, rule in RULES.items())


def test_the_starred_are_the_26_to_be_decided_first() -> None:
    wanted = "A1 A2 A3 A6 B1 B4 B5 C1 C2 C3 C4 D1 D2 F1 G1 G2 G3 G4 H1 I1 J3 K1 K2 K4 M1 M3"
    assert " ".join(name for name, rule in RULES.items() if rule.starred) == wanted


def test_no_notice_and_the_four_behaviours_that_get_sites_fined_are_the_headline() -> None:
    assert [name for name, rule in RULES.items() if rule.headline] == [
        "A1",
        "A2",
        "A3",
        "C1",
        "D1",
        "G3",
    ]


def test_every_scenario_of_a_rule_can_be_walked() -> None:
    assert set(get_args(Scenario)) == {*NAMES, "only:p"}
    used = {scenario for rule in RULES.values() for scenario in rule.scenarios}
    assert used == {*NAMES, "only:p"}


def test_only_rules_that_nobody_walks_for_need_the_server_alone() -> None:
    assert {rule.reach for rule in RULES.values() if not rule.scenarios} == {"self"}


def test_what_is_decided_is_a_rule_and_as_many_as_the_docs_say() -> None:
    assert set(RULES) >= DECIDABLE
    docs = Path(__file__).resolve().parents[2]
    assert f"decides {len(DECIDABLE)} of its 63 rules" in (docs / "README.md").read_text("utf-8")
    said = (docs / "docs" / "audit.md").read_text("utf-8")
    assert f"{len(DECIDABLE)} rules are decided by program" in said
    assert f"({', '.join(sorted(set(RULES) - DECIDABLE))})" in said


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_says_everything_in_sentences(rule: Rule) -> None:
    assert all(text == text.strip() and len(text) > 3 for text in texts(rule))
    assert rule.requirement.endswith(".")
    assert rule.failure.endswith(".")
    assert len(rule.failure) <= 120
    assert rule.failure != rule.requirement
    assert rule.remedy.endswith(".")
    assert rule.evidence.endswith(".")
    assert rule.question is None or rule.question.endswith("?")
    assert rule.sources
    assert all(re.fullmatch("EU|[A-Z]{2}", place) for place in rule.jurisdictions)
    said = " ".join(texts(rule)).casefold()
    assert not re.search(r"illegal|unlawful|compliant|complian|per cent|%", said)


def commands() -> set[str]:
    context = click.Context(main)
    found = set()
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        inner = command.list_commands(context) if isinstance(command, click.Group) else []
        found |= {name, *(f"{name} {word}" for word in inner)}
    return found


def test_remedies_name_commands_and_keys_that_exist() -> None:
    schema = json.loads((files("bandeau.policy") / "schema.json").read_text("utf-8"))
    keys = set(re.findall(r'"([a-z_]+)":', json.dumps(schema)))
    named = [
        word
        for rule in RULES.values()
        for word in re.findall(r"`([^`]+)`", rule.remedy_bandeau or "")
    ]
    told = [word.partition(" --")[0] for word in named if word.startswith("bandeau ")]
    assert told
    assert [word for word in told if word.removeprefix("bandeau ") not in commands()] == []
    plain = [word for word in named if re.fullmatch("[a-z]+(_[a-z]+)+|needs|purpose", word)]
    assert plain
    assert [word for word in plain if word not in keys] == []


def test_one_good_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD, "utf-8")
    (tmp_path / "readme.txt").write_text("no rules", "utf-8")
    assert sections(tmp_path)["A"].title == "A section"
    assert list(load(tmp_path)) == ["A1"]


@pytest.mark.parametrize(
    "broken",
    [
        GOOD + 'colour = "red"\n',
        GOOD.replace('severity = "C"\n', ""),
        GOOD.replace('severity = "C"', 'severity = "X"'),
        GOOD.replace("version = 1", 'version = "1"'),
        GOOD.replace('["refuse"]', '["sleep"]'),
        GOOD.replace("starred = true", 'starred = "yes"'),
        GOOD.replace('decision.unknown = "nobody looked"\n', ""),
        GOOD.replace('id = "A1"', 'id = "A2"'),
        GOOD.replace('id = "A1"', 'id = "B1"'),
        GOOD + GOOD.partition("\n[[rule]]")[2].join(["[[rule]]", ""]),
        GOOD.replace('title = "A section"\n', ""),
        "title = ",
    ],
)
def test_a_broken_section_is_refused_with_the_name_of_its_file(tmp_path: Path, broken: str) -> None:
    (tmp_path / "a.toml").write_text(broken, "utf-8")
    with pytest.raises(RulesetError, match=r"^a\.toml: "):
        load(tmp_path)


@pytest.mark.parametrize("name", RULES)
def test_explain_prints_all_that_a_rule_says(name: str) -> None:
    done = explain(name)
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert [text for text in texts(RULES[name]) if " ".join(text.split()) not in said] == []
    assert FORCES[RULES[name].force] in said
    assert SEVERITIES[RULES[name].severity] in said
    assert all(len(line) <= 100 for line in done.output.splitlines())


def test_explain_takes_several_ids_in_small_letters() -> None:
    done = explain("g3", "A3")
    assert done.exit_code == 0
    assert done.output.index(RULES["G3"].requirement[:40]) < done.output.index(
        RULES["A3"].requirement[:40]
    )


def test_explain_lists_all_rules() -> None:
    lines = explain("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == list(RULES)
    assert all(rule.requirement in line for rule, line in zip(RULES.values(), lines, strict=True))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("C9", "C1, C2, C3, C4, C5, C6"),
        ("A33", "A3"),
        ("withdrawal", "G3, G4"),
        ("zzzz", "bandeau explain --list"),
    ],
)
def test_an_unknown_rule_is_answered_with_what_is_near_it(name: str, near: str) -> None:
    done = explain("A1", name)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr
    assert near in done.stderr


def test_explain_without_a_rule_says_how_to_ask() -> None:
    done = explain()
    assert done.exit_code == 2
    assert "--list" in done.stderr
