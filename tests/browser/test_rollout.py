"""What scripts bring in is seen by nobody but browsers: they tell of it, and the policy learns it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import BrowserContext, expect

from bandeau.cli import main
from browser.conftest import eventually
from browser.test_probes import POLICY, served

PAGE = b"""<!doctype html><html lang=en><title>t</title><p>text<script>
const late = document.createElement("script");
late.src = "//stranger.localhost:{port}/late.js"; document.body.append(late);
</script>"""


@pytest.mark.parametrize("layers", ["[]", '["cookies", "sweep", "notice"]'])
def test_what_a_script_brings_in_is_told_by_the_browser_and_learned(
    tmp_path: Path, visitor: Callable[..., BrowserContext], layers: str
) -> None:
    seen = tmp_path / "seen.jsonl"
    policy = POLICY + f'\n[rollout]\nlayers = {layers}\nreport = "{seen}"\ncollect = true\n'
    with served(tmp_path, {"/": PAGE}, policy=policy) as sites:
        page = visitor().new_page()
        with page.expect_request("**/late.js"):  # it is only looked at: the script is asked for
            page.goto(f"http://site.localhost:{sites.port}/")
        expect(page.locator("#bandeau")).to_have_count(int(layers != "[]"))
        eventually(page, lambda: "stranger.localhost" in seen.read_text("utf-8"))
        file = tmp_path / "bandeau.toml"
        file.write_text(policy.format(port=sites.port), "utf-8")
    lines = [json.loads(line) for line in seen.read_text("utf-8").splitlines()]
    (told,) = (one for one in lines if one.get("name") == "stranger.localhost")
    assert (told["held"], told["path"]) == ("script", "/")
    done = CliRunner().invoke(main, ["learn", str(seen), "--policy", str(file)])
    assert done.exit_code == 1, done.output
    assert '{ host = "stranger.localhost", kinds = ["script"] }' in done.stdout
