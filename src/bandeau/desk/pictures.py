"""Screenshots of each version of the notice, in each language and size, by a Chromium that is there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bandeau.errors import BandeauError
from bandeau.ledger.entry import Kind
from bandeau.ledger.log import Log
from bandeau.ledger.versions import snapshot

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}  # CSS pixels
_BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--hide-scrollbars", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]
_PAGE = (
    '<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>{lang}</title>'
    '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy"'
    " content=\"default-src 'none'; style-src 'unsafe-inline'\"><style>{style}</style>"
    "<body>{first}{band}</body></html>"
)


def snapshots(log: Log) -> list[str]:
    """Return the hashes of all snapshots, the oldest first."""
    return [event.detail.split()[1] for event in log.store.events([Kind.SNAPSHOT])]


def picture(sha256: str, lang: str, size: str) -> str:
    """Return the name of a screenshot's file."""
    return f"{sha256}-{lang}-{size}.png"


def pictured(log: Log, folder: Path) -> Iterator[Path]:
    """Take a screenshot of each snapshot in each language and size that has none yet."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    missing = [
        (path, shown, lang, size)
        for sha256 in snapshots(log)
        for shown in [snapshot(log, sha256)]
        for lang in shown.get("notice", {}).get("languages", {})
        for name, size in SIZES.items()
        if not (path := folder / picture(sha256, lang, name)).exists()
    ]
    if missing and browser is None:
        raise BandeauError("screenshots need Chromium: install it, or do without pictures")
    for path, shown, lang, size in missing:
        folder.mkdir(parents=True, exist_ok=True)
        yield _picture(str(browser), path, page(shown, lang), size)


def page(shown: dict[str, Any], lang: str) -> str:
    """Return a snapshot's first layer and band as a page of their own; nothing runs in it."""
    notice = shown["notice"]
    parts = notice["languages"][lang]
    return _PAGE.format(lang=lang, style=notice["style"], first=parts["first"], band=parts["band"])


def _picture(browser: str, path: Path, html: str, size: tuple[int, int]) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "notice.html"
        source.write_text(html, "utf-8")
        command = [browser, *_FLAGS, f"--user-data-dir={scratch}/profile"]
        command += [f"--window-size={size[0]},{size[1]}", f"--screenshot={path.resolve()}"]
        try:
            done = subprocess.run(  # noqa: S603 (the browser that was found)
                [*command, source.as_uri()], capture_output=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired:
            raise BandeauError(f"{path.name}: the browser did not end within a minute") from None
    if done.returncode or not path.exists():
        raise BandeauError(f"{path.name}: the browser took no screenshot (exit {done.returncode})")
    return path
