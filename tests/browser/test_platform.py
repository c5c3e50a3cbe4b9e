"""The six probes where a consent platform asks: what its string refuses is held, what it grants passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from browser.conftest import names
from browser.test_probes import POLICY, SIX, probes, served
from wire.tcf_strings import DAY, made

PROBE = 42  # the third party's id among vendors
PLATFORM = (
    POLICY.replace('id = "ads"', 'id = "ads"\ntcf_purposes = [1, 2]')
    .replace('id = "social"', 'id = "social"\ntcf_purposes = [11]')
    .replace('recipient = "Probe"', f'recipient = "Probe"\ntcf_vendor = {PROBE}')
    + """
[[tracker]]
name = "euconsent-v2"
kind = "cookie"
purpose = "technical"
max_age_days = 182
[choice]
source = "tcf"
settings_url = "/plain"
"""
)


def test_six_probes_of_six_are_held_until_a_string_grants_them(
    tmp_path: Path, visitor: Callable[..., BrowserContext]
) -> None:
    today = int(time.time()) // 86_400 * DAY

    def choose(purposes: Iterable[int], vendors: Iterable[int], **more: Any) -> None:
        """Do as a platform does: write the string from the page."""
        string = made(purposes, vendors, created=today, updated=today, **more)
        page.goto(f"http://site.localhost:{sites.port}/plain")
        page.evaluate(f"document.cookie = 'euconsent-v2={string}; path=/; max-age=99999'")

    pages = {"/": SIX.encode(), "/plain": b"<!doctype html><html lang=en><title>t</title><p>plain"}
    with served(tmp_path, pages, policy=PLATFORM) as sites:
        page = visitor().new_page()
        assert set(probes(page, sites).values()) == {False}
        expect(page.locator("#bandeau")).to_have_count(0)
        expect(page.locator("form")).to_have_count(0)
        choose((), ())
        assert set(probes(page, sites).values()) == {False}
        choose((1, 2, 11), ())
        assert set(probes(page, sites).values()) == {False}
        choose((1, 2, 11), (PROBE,), disclosed=())
        assert set(probes(page, sites).values()) == {False}
        assert sites.asked == []
        choose((1, 2), (PROBE,))
        assert set(probes(page, sites).values()) == {True}
        choose((), (PROBE,))
        before = len(sites.asked)
        assert set(probes(page, sites).values()) == {False}
        assert len(sites.asked) == before
        assert names(page.context, "site.localhost") == {"bandeau", "euconsent-v2"}


PLATFORM_SCRIPT = """
const answer = string => {{
  document.cookie = `euconsent-v2=${{string}}; path=/; max-age=15000000; samesite=lax`;
  location.href = "/";
}};
if (location.pathname === "/choices" || !document.cookie.includes("euconsent-v2=")) {{
  const asks = document.createElement("div");
  asks.setAttribute("role", "dialog");
  asks.setAttribute("aria-label", "Your privacy");
  asks.style = "position:fixed;left:0;right:0;bottom:0;padding:20px;background:#fff;color:#111;border:1px solid #111";
  asks.innerHTML = `<h2>Your privacy</h2><p>We and our partners use cookies for personalised advertising.
    You can accept or reject them. <a href="/_b/trackers">Our partners</a></p><button id=yes>Accept all</button> <button id=no>Reject all</button>`;
  addEventListener("DOMContentLoaded", () => {{
    document.body.prepend(asks);
    document.getElementById("yes").onclick = () => answer("{granting}");
    document.getElementById("no").onclick = () => answer("{refusing}");
  }});
}}
"""


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 audits a site with a platform"
)
def test_a_site_with_a_platform_is_audited(tmp_path: Path) -> None:
    today = int(time.time()) // 86_400 * DAY
    strings = {
        "granting": made((1, 2, 11), (PROBE,), created=today, updated=today),
        "refusing": made((), (), created=today, updated=today),
    }
    page = SIX.replace("<title>", '<script src="/platform.js"></script><title>')
    page = page.replace("<p>text", f"<p>{'An article of many words. ' * 60}")
    script = PLATFORM_SCRIPT.format(**strings)
    pages = {"/": page.encode(), "/choices": page.encode(), "/platform.js": script.encode()}
    policy = PLATFORM.replace('settings_url = "/plain"', 'settings_url = "/choices"')
    walks = ("no-choice", "refuse", "accept", "withdraw", "gpc", "endpoints")
    with served(tmp_path, pages, policy=policy) as sites:
        file = tmp_path / "bandeau.toml"
        file.write_text(policy.format(port=sites.port), "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "bandeau", "audit", f"http://site.localhost:{sites.port}/",
             "--policy", str(file), "--out", str(tmp_path / "report"), "--language", "en-GB",
             *(word for walk in walks for word in ("--scenario", walk))],
            capture_output=True, check=False, text=True, timeout=500,
        )  # fmt: skip
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert [one["facts"] for one in report["verdicts"] if one["outcome"] == "fail"] == []
    assert done.returncode == 0, done.stdout
    outcomes = {one["rule"]: one["outcome"] for one in report["verdicts"]}
    for rule in ("C1", "C3", "D1", "E1", "G3", "G4", "L1"):
        assert outcomes[rule] == "pass", rule
    assert outcomes["M1"] == "unknown"  # its public addresses take no choice
