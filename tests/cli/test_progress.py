"""What is seen of an audit while it runs: a line that changes on a terminal, lines in a file."""

from __future__ import annotations

import io

import pytest

from bandeau.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def walk(progress: Progress) -> None:
    with progress:
        progress.station("refuse (1 of 2)", "arrive")
        progress.station("only:[b] (2 of 2)", "arrive")
        progress.station("refuse (1 of 2)", "refuse-reload")
        progress.done("only:[b] (2 of 2)", "done")


def test_a_terminal_has_one_line_with_host_walks_and_stations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with Terminal() as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        walk(Progress("https://www.a.test/x"))
        seen = terminal.getvalue()
    assert "www.a.test · refuse (1 of 2): refuse-reload" in seen
    assert "only:[b] (2 of 2): done\n" in seen.replace("\r", "")
    assert "walking" not in seen


def test_the_line_is_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    with Terminal() as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with Progress("https://www.a.test/x") as progress:
            progress.station("refuse (1 of 2)", "a station of a long name")
        seen = terminal.getvalue()
    assert "www.a.test · refuse (1 of 2): a stat…" in seen
    assert "name" not in seen


def test_elsewhere_there_are_plain_lines_for_each_walk(capsys: pytest.CaptureFixture[str]) -> None:
    walk(Progress("https://www.a.test/x"))
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.splitlines() == [
        "refuse (1 of 2): walking",
        "only:[b] (2 of 2): walking",
        "only:[b] (2 of 2): done",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    walk(Progress("https://www.a.test/x", quiet=True))
    assert capsys.readouterr().err == ""
