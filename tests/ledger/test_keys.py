"""The key file and the marks beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bandeau.errors import KeyFileError
from bandeau.ledger.keys import Keys, derive


def test_a_key_is_made_with_a_new_ledger_only(tmp_path: Path) -> None:
    path = tmp_path / "bandeau.key"
    made = Keys(path, new=True)
    assert [len(secret) for secret in made.secrets] == [32]
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keys(path).secrets == Keys(path, new=True).secrets == made.secrets
    path.unlink()
    with pytest.raises(KeyFileError, match="backup"):
        Keys(path)


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bandeau.key"
    Keys(path, new=True)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Keys(path)
    for wrong in ("short", "0" * 64, "0" * 64 + "\n\n", "G" * 64 + "\n", ""):
        path.write_text(wrong)
        path.chmod(0o600)
        with pytest.raises(KeyFileError, match="64 hex"):
            Keys(path)


def test_the_newest_secret_comes_first_and_the_others_stay(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "bandeau.key", new=True)
    (old,) = keys.derived("choice")
    keys.add()
    assert keys.derived("choice")[1] == old != keys.derived("choice")[0]
    assert Keys(tmp_path / "bandeau.key").secrets == keys.secrets
    assert (tmp_path / "bandeau.key").stat().st_mode & 0o777 == 0o600


def test_several_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Keys(tmp_path / "bandeau.key", new=True).secrets, range(8)))
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bandeau.key"]


def test_each_use_has_a_key_of_its_own() -> None:
    assert derive(b"s" * 32, "choice") != derive(b"s" * 32, "log")


def test_a_mark_belongs_to_one_log(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "bandeau.key", new=True)
    assert keys.mark("a.example/_b/log") is None
    keys.set_mark("a.example/_b/log", b"a")
    keys.set_mark("a.example/_b/log", b"b")
    assert keys.mark("a.example/_b/log") == b"b"
    assert keys.mark("b.example/_b/log") is None
