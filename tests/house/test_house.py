"""The rules of the house that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "bandeau"
MODULES = sorted(SOURCE.rglob("*.py"))
ROWS = {  # imports go down only; what stands in the same row does not know each other
    "wire": 0, "errors": 0, "policy": 1, "decision": 2, "audit": 3, "gate": 3, "ledger": 3, "measure": 3, "notice": 3,
    "endpoints": 4, "outbox": 4, "site": 5, "adapters": 6, "bandeau": 7, "django": 8, "flask": 8, "starlette": 8, "demo": 8, "desk": 8, "testing": 8, "cli": 9, "__init__": 10, "__main__": 10,
}  # fmt: skip
NO_NETWORK = ("wire", "policy", "decision", "gate", "notice", "ledger", "endpoints", "site")
NETWORK = {
    "socket",
    "aiohttp",
    "uvicorn",
    "starlette",
    "urllib.request",
    "http.client",
    "http.server",
}


def part_of(module: str) -> str:
    steps = module.split(".")
    return "__init__" if len(steps) == 1 else steps[1]


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            inside = [f"{module}.{alias.name}" for alias in node.names]
            found += inside if module == "bandeau" else [module]
    return found


def own_part(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    here = own_part(path)
    for module in imports(path):
        if module.split(".")[0] == "bandeau":
            there = part_of(module)
            assert there == here or ROWS[there] < ROWS[here], f"{here} imports {module}"


@pytest.mark.parametrize("path", [p for p in MODULES if own_part(p) in NO_NETWORK], ids=str)
def test_the_core_opens_no_connection(path: Path) -> None:
    assert not NETWORK & set(imports(path))


def test_importing_bandeau_loads_no_server_and_no_framework() -> None:
    heavy = (
        "aiohttp uvicorn django flask starlette fastapi websockets brotli zstandard"
        " bandeau.adapters.asgi bandeau.demo"
    )
    code = f"import sys, bandeau; print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_modules_import_alone() -> None:
    names = [".".join(p.relative_to(ROOT / "src").with_suffix("").parts) for p in MODULES]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    for name in names[::6]:  # each takes a process of its own: a sixth of them is a fair sample
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)


def test_the_public_names_are_what_all_says() -> None:
    import bandeau

    for name in bandeau.__all__:
        assert getattr(bandeau, name).__doc__, name
    assert sorted(bandeau.__all__) == bandeau.__all__


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_public_function_and_class_says_what_it_does(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert node.name.startswith("_") or ast.get_docstring(node), node.name


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("there is no .git here")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\n") if name]


def test_no_place_of_a_machine_and_no_registry_is_written_down() -> None:
    wrong = re.compile(
        rb"/(?:home|root|Users|work)/[a-z]|[a-z]:\\\\Users|https?://[^/\s]*(?:pypi|registry|npmjs)"
    )
    for path in tracked():
        if (
            path.suffix not in (".png", ".svg")
            and path != Path(__file__).resolve()
            and path.is_file()
        ):
            assert not wrong.search(path.read_bytes()), path


def test_pins_have_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements" / "dev.txt").read_text("utf-8")
    pins = re.findall(r"^[A-Za-z0-9._-]+==\S+", text, re.MULTILINE)
    assert len(pins) > 20
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[>=<]", item)[0] for group in groups for item in group} - {"bandeau"}
    reasons = (ROOT / "docs" / "adr" / "0002-dependencies.md").read_text("utf-8")
    missing = [name for name in sorted(names) if f"`{name}`" not in reasons]
    assert missing == []


def test_ci_runs_nothing_that_a_user_would_not() -> None:
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("./")] == ["./dev lint", "./dev test"]
