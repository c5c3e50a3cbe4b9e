"""The docs say what the code has: flags, keys, names, problems, tests."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import pytest

import bandeau
from bandeau.cli import main
from bandeau.endpoints import _PAGES
from bandeau.policy.file import loads, loads_with_warnings
from conftest import MAPPED

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def test_every_command_and_flag_is_documented() -> None:
    text = (REFERENCE / "cli.md").read_text("utf-8")
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command
        assert f"`bandeau {name}`" in text
        inner = [command]
        if isinstance(command, click.Group):
            for word in command.list_commands(context):
                assert f"`bandeau {name} {word}" in text, word
                found = command.get_command(context, word)
                assert found
                assert found.help
                inner.append(found)
        for parameter in (one for each in inner for one in each.params):
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[-1]}`" in text, (name, parameter.opts)


def test_every_public_name_and_endpoint_is_documented() -> None:
    text = (REFERENCE / "python.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name in bandeau.__all__)
    endpoints = (REFERENCE / "endpoints.md").read_text("utf-8")
    assert all(f"/_b/{path}" in endpoints for path in [*_PAGES, "choice", "static"])


@pytest.mark.parametrize(
    ("page", "maker"),
    [("policy.md", "reference"), ("formats.md", "formats"), ("rules.md", "rules")],
)
def test_the_reference_is_made_of_the_code(page: str, maker: str) -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make.py"))[maker]
    assert (REFERENCE / page).read_text("utf-8") == made()


def test_every_problem_has_its_line() -> None:
    source = "".join(p.read_text("utf-8") for p in (ROOT / "src/bandeau/policy").glob("*.py"))
    numbers = set(re.findall(r'"(BP\d{3})"', source))
    assert len(numbers) > 15
    text = (REFERENCE / "cli.md").read_text("utf-8")
    assert sorted(numbers) == sorted(set(re.findall(r"`(BP\d{3})`", text)))


def test_the_readme_s_policy_is_good_and_its_tests_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    policy = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert policy
    loads(policy[1])
    tests = "".join(p.read_text("utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", text)
    assert len(named) >= 13
    assert all(f"def {name}(" in tests for name in named)


@pytest.mark.parametrize(
    "page", sorted(ROOT.rglob("docs/**/*.md")) + sorted(ROOT.glob("*.md")), ids=str
)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_the_policy_for_a_consent_platform_is_good() -> None:
    text = (ROOT / "docs" / "tcf.md").read_text("utf-8")
    shown = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert shown
    before = MAPPED.partition("[choice]")[0]
    assert loads_with_warnings(before + shown[1], "docs")[1] == []
