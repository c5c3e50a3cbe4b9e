"""What a page can still reach: the table of docs/vectors.md, in short for Chromium, whole for `./dev prove`."""

from __future__ import annotations

import os
import shutil

import pytest

from browser import vectors

LEADS_AWAY = {"script redirect", "window.open", "link", "302"}
FRESH_REALM = {"fresh realm, frame", "fresh realm, preconnect"}  # a bare connection, and no request
PROVE = bool(os.environ.get("BANDEAU_PROVE"))


@pytest.mark.parametrize("engine", vectors.ENGINES)
def test_only_where_a_visitor_is_led_and_from_a_fresh_realm(engine: str) -> None:
    if not shutil.which(vectors.NEEDS[engine]):
        pytest.skip(f"there is no {engine} here")
    if engine != "Chromium" and not PROVE:
        pytest.skip(f"BANDEAU_PROVE=1 drives {engine} too")
    wait = 8.0 if PROVE else 5.0
    raw = vectors.measure(engine, "raw", wait)
    assert len(raw) >= 40
    reached = vectors.measure(engine, "default", wait)
    assert reached <= LEADS_AWAY | FRESH_REALM
    if engine == "Chromium" and PROVE:
        assert vectors.measure(engine, "strict", wait) <= {"link", "302"}
