"""The docs say what the code has: flags, keys, names, problems, tests."""

from __future__ import annotations

import json
import re
import runpy
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import brotli
import click
import pytest
from jinja2 import DictLoader

import bandeau
from bandeau.cli import main
from bandeau.endpoints import _PAGES
from bandeau.notice.page import style
from bandeau.policy.file import loads, loads_with_warnings
from bandeau.policy.model import Look
from conftest import MAPPED, ORIGIN, SMALL
from serving import ask, running

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


def test_the_page_of_languages_is_made_of_the_locales_and_of_what_a_robot_did() -> None:
    page = (ROOT / "docs" / "languages.md").read_text("utf-8")
    assert page == runpy.run_path(str(ROOT / "docs" / "make.py"))["languages"]()
    policy = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert policy
    site = f'[site]\norigins = ["{ORIGIN}"]'
    loads(
        re.sub(
            r"\[site\].*?(?=own_hosts)", policy[1].replace("[site]", site), SMALL, flags=re.DOTALL
        )
    )


@pytest.mark.parametrize("module", ["bandeau.flask", "bandeau.starlette"])
def test_every_name_for_a_framework_is_documented(module: str) -> None:
    text = (REFERENCE / "python.md").read_text("utf-8")
    part = text[text.index(f"| name of `{module}`") :].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", part, re.MULTILINE)) == import_module(module).__all__


def example(section: str) -> Any:
    """Run the first example of a section of the page on Python; return its application."""
    text = (REFERENCE / "python.md").read_text("utf-8")
    code = re.search(rf"## {section}\n\n```python\n(.*?)```", text, re.DOTALL)
    assert code
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code[1], section, "exec"), names)
    return names["app"]


def test_the_example_for_flask_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bandeau.toml").write_text(SMALL, "utf-8")
    app = example("Flask")
    text = (REFERENCE / "python.md").read_text("utf-8")
    template = re.search(r"```jinja\n(.*?)```", text, re.DOTALL)
    assert template
    app.jinja_loader = DictLoader({"front.html": template[1] + "{{ square }}"})
    client = app.test_client()
    front = client.get("/", base_url=ORIGIN, headers={"Sec-Fetch-Dest": "document"}).text
    assert "False" in front
    assert 'data-bandeau-needs="social"' in front
    assert "agora" not in front
    assert client.get("/square", base_url=ORIGIN).status_code == 403
    app.extensions["bandeau"].close()


def test_the_example_for_fastapi_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bandeau.toml").write_text(SMALL, "utf-8")
    with running(example("FastAPI and Starlette")) as port:
        assert ask(port, "/recommended", b"Accept: */*").body == b'["for everybody"]'
        assert ask(port, "/square").status == 403
        described = json.loads(ask(port, "/openapi.json", b"Accept: */*").body)
        assert "403" in described["paths"]["/square"]["get"]["responses"]


def test_the_applications_in_the_docs_are_those_that_are_walked() -> None:
    text = (ROOT / "docs" / "applications.md").read_text("utf-8")
    walks = ROOT / "tests" / "browser"
    source = (walks / "test_applications.py").read_text("utf-8")
    named = re.findall(r'"([\w-]+)==([\d.]+)"', source)
    assert len(named) >= 4
    assert all(f"`{name}` {version}" in text for name, version in named)
    for policy in (walks / "applications").glob("*.toml"):
        lines = len(policy.read_text("utf-8").splitlines())
        assert f"| [{lines}](../tests/browser/applications/{policy.name}) |" in text
        loads(policy.read_text("utf-8"))


def test_the_table_of_notices_has_every_notice_and_row_that_is_measured() -> None:
    bench = runpy.run_path(str(ROOT / "bench" / "notice.py"))
    lines = (ROOT / "docs" / "notice-peers.md").read_text("utf-8").splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    names = [one.title for one in bench["NOTICES"].values()]
    assert table[0] == [*names, "bandeau is"]
    assert [row[0] for row in table[2:]] == list(bench["ROWS"].values())
    assert {len(row) for row in table[2:]} == {len(names) + 2}
    assert all(row[-1].startswith(("first", "after ")) for row in table[2:])
    for name in set(bench["NOTICES"]) - {"bandeau"}:
        assert (ROOT / "bench" / "notices" / f"{name}.html").exists()
    assert "not measured" not in "\n".join(lines)


def test_every_problem_has_its_line() -> None:
    source = "".join(p.read_text("utf-8") for p in (ROOT / "src/bandeau").rglob("*.py"))
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


def test_the_tests_that_security_rests_on_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    tests = "".join(p.read_text("utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) >= 80
    assert sorted(name for name in named if f"def {name}(" not in tests) == []
    for file in set(re.findall(r"`((?:tests|src)/[\w/.]+)`", text)):
        assert (ROOT / file).exists(), file
    readers = text[text.index("## Who reads") : text.index("## When something")]
    wire = {p.name for p in (ROOT / "src/bandeau/wire").glob("*.py")} - {"__init__.py"}
    assert sorted(name for name in wire if f"`wire/{name}`" not in readers) == []


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


def test_the_policies_for_accounts_are_good() -> None:
    text = (ROOT / "docs" / "account.md").read_text("utf-8")
    site = SMALL.replace('name = "session"', 'name = "sessionid"')
    shown = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(shown) == 2
    assert all(loads(f"{site}\n{one}").account.enabled for one in shown)


def test_the_page_on_the_notice_has_its_sizes_variables_and_tests() -> None:
    text = (ROOT / "docs" / "notice.md").read_text("utf-8")
    names = {look: get_args(Look.model_fields[look].annotation) for look in ("theme", "placement")}
    script = len(brotli.compress((ROOT / "src/bandeau/notice/static/bandeau.js").read_bytes()))
    for theme in names["theme"]:
        sizes = [
            script + len(brotli.compress(style(Look(theme=theme, placement=place)).encode()))
            for place in names["placement"]
        ]
        assert f"| `{theme}` | {' | '.join(f'{size:,}' for size in sizes)} |" in text
    used = set(re.findall(r"--bandeau-[a-z]+", style(Look())))
    assert used == set(re.findall(r"--bandeau-[a-z]+", text))
    tests = "".join(p.read_text("utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", text)
    assert len(named) >= 18
    assert [name for name in named if f"def {name}(" not in tests] == []
    shown = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert shown
    loads(SMALL + shown[1])
