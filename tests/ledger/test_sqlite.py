"""Decisions on disk before they are answered."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bandeau.decision.model import Decision, Event, Published
from bandeau.errors import KeyFileError, LedgerError
from bandeau.ledger import keys
from bandeau.ledger.sqlite import Ledger

POLICY = Published("a" * 64, ("social", "ads"), {"social": "1", "ads": "2"})


def decision(minute: int, event: Event = Event.REFUSE_ALL) -> Decision:
    return Decision(
        minute, event, POLICY.digest, (("social", False), ("ads", True)), "fr", signal=False
    )


def test_a_decision_is_read_back_after_reopening(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.db")
    assert ledger.append(decision(1)).number == 1
    assert ledger.append(decision(2, Event.ADD)).number == 2
    ledger.close()
    again = Ledger(tmp_path / "l.db")
    assert again.decisions() == [decision(1), decision(2, Event.ADD)]
    again.close()


def test_a_published_policy_is_found_by_the_start_of_its_digest(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.db")
    assert not ledger.used
    ledger.publish(POLICY, 5)
    ledger.publish(POLICY, 6)
    assert ledger.published() == {"a" * 10: POLICY}
    assert ledger.used
    ledger.close()


def test_threads_and_two_ledgers_on_one_file_lose_nothing(tmp_path: Path) -> None:
    ledgers = [Ledger(tmp_path / "l.db") for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: ledgers[n % 2].append(decision(n)), range(400)))
    assert sorted(d.minute for d in ledgers[0].decisions()) == list(range(400))
    for ledger in ledgers:
        ledger.close()


def test_a_closed_ledger_takes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.db")
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.append(decision(1))


def test_a_bad_decision_fails_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.db")
    bad = Decision(None, Event.ADD, POLICY.digest, (), "fr", signal=False)  # type: ignore[arg-type]
    futures = [ledger.submit(item) for item in (decision(1), bad, decision(3))]
    assert futures[0].result(5).number
    with pytest.raises(LedgerError):
        futures[1].result(5)
    assert futures[2].result(5).number
    ledger.close()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match="cannot open"):
        Ledger(tmp_path / "l.db")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path / "l.db").close()
    database = sqlite3.connect(tmp_path / "l.db")
    with database:
        database.execute("UPDATE meta SET value = '99'")
    database.close()
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger(tmp_path / "l.db")


_WRITER = """
import sys
from pathlib import Path
from bandeau.ledger.sqlite import Ledger
from bandeau.decision.model import Decision, Event
ledger = Ledger(Path(sys.argv[1]))
for n in range(10**9):
    receipt = ledger.append(Decision(n, Event.ADD, "a" * 64, (), "fr", signal=False))
    print(receipt.number, flush=True)
"""


def test_no_acknowledged_decision_is_lost_to_kill_9(tmp_path: Path) -> None:
    """5 kills; 100 with BANDEAU_PROVE=1."""
    path = tmp_path / "l.db"
    acknowledged = 0
    for _ in range(100 if os.environ.get("BANDEAU_PROVE") else 5):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
        acknowledged += sum(line.endswith("\n") for line in lines + rest)
    ledger = Ledger(path)
    assert len(ledger.decisions()) >= acknowledged > 0
    ledger.close()


def test_a_key_is_made_with_a_new_ledger_only(tmp_path: Path) -> None:
    path = tmp_path / "bandeau.key"
    secret = keys.load(path, new=True)
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.load(path, new=False) == secret
    path.unlink()
    with pytest.raises(KeyFileError, match="backup"):
        keys.load(path, new=False)


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bandeau.key"
    keys.load(path, new=True)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.load(path, new=False)
    path.write_text("short")
    with pytest.raises(KeyFileError, match="64 hex"):
        keys.load(path, new=False)


def test_each_use_has_a_key_of_its_own() -> None:
    assert keys.derive(b"s" * 32, "choice") != keys.derive(b"s" * 32, "log")
