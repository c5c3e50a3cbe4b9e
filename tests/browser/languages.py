"""A page in each language behind the gate, and what autoconsent makes of its notice.

    .venv/bin/python tests/browser/languages.py FOLDER [LANGUAGE …]     writes docs/autoconsent.json

FOLDER holds `autoconsent_probe.mjs`, which drives autoconsent as npm has it, and `bandeau_rule.json`, the
rule for our notice. Once by its heuristics alone, once by the rule alone: did it refuse, and does the
refusal hold after a reload? Then `docs/make.py` writes the table.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import serving
from bandeau.adapters.asgi import Receive, Scope, Send
from bandeau.bandeau import Bandeau
from bandeau.notice.texts import languages
from bandeau.policy.file import loads
from bandeau.policy.model import BUILT_IN_PURPOSES, Policy

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "autoconsent.json"
_POLICY = """
version = 1
[proof]
keep_days = 912
[controller]
name = "La Lanterne"
address = "12, rue des Allumeurs, Paris"
contact = "dpo@lanterne.example"
privacy_policy = "/privacy"
[site]
origins = ["http://lanterne.localhost:PORT"]
languages = LANGUAGES
accept_unreviewed = LANGUAGES
[[feature]]
id = "comments"
needs = ["social"]
"""


def policy(port: int = 80) -> Policy:
    """Return a policy of all languages and of the five purposes that have built-in texts."""
    text = _POLICY.replace("PORT", str(port)).replace("LANGUAGES", json.dumps(languages()))
    asked = [one for one in BUILT_IN_PURPOSES if one != "technical"]
    return loads(text + "".join(f'[[purpose]]\nid = "{one}"\n' for one in asked))


async def _page(scope: Scope, _receive: Receive, send: Send) -> None:
    language = scope["path"].strip("/")
    body = f'<!doctype html><html lang="{language}"><meta name="viewport" content="width=device-width">'
    body += "<title>La Lanterne</title><h1>La Lanterne</h1></html>"
    kind = (b"content-type", b"text/html; charset=utf-8")
    await send({"type": "http.response.start", "status": 200, "headers": [kind]})
    await send({"type": "http.response.body", "body": body.encode()})


@contextlib.contextmanager
def paper() -> Iterator[str]:
    """Serve a page for each language behind the gate; gives the address they stand under."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        site = Bandeau.from_policy(policy(port), f"sqlite:///{Path(folder) / 'bandeau.db'}")
        assert isinstance(site, Bandeau)
        with serving.running(site.asgi(_page), lifespan=False, port=port):
            yield f"http://lanterne.localhost:{port}"
        site.close()


def _refused(folder: Path, url: str, *options: str) -> tuple[bool, dict[str, Any]]:
    """Run the probe; say whether it refused, and whether nothing was asked after a reload."""
    command = ["node", str(folder / "autoconsent_probe.mjs"), url, "--modes=optOut", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    told = json.loads(done.stdout)
    (one,) = told["results"]
    return one["result"] is True and not one["popupAfterReload"], told


def main() -> None:
    """Ask autoconsent about each language, and keep what it did."""
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or [*languages()]
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"refused": {}}
    rule = f"--rules={folder / 'bandeau_rule.json'}"
    with paper() as address:
        for language in wanted:
            url = f"{address}/{language}"
            alone, told = _refused(folder, url, "--heuristics=reject", "--wait=6000")
            ruled, _ = _refused(folder, url, "--heuristics=off", rule, "--wait=6000")
            kept["refused"][language] = {"heuristics": alone, "rule": ruled}
            kept["autoconsent"] = told["pins"]["@duckduckgo/autoconsent"]
            kept["chromium"] = told["chromium"]
            RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")
            print(language, kept["refused"][language], flush=True)  # noqa: T201 (a script)


if __name__ == "__main__":
    main()
