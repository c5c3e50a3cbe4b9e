"""A report as PDF: the HTML page, printed by the browser that did the audit."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from bandeau.audit.pipe import BrowserError
from bandeau.audit.watch import FLAGS, executable


def printed(page: Path, out: Path) -> None:
    """Print a page into a PDF file. Raises BrowserError."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [executable(), *FLAGS, f"--user-data-dir={profile}", "--no-pdf-header-footer"]
        command += [f"--print-to-pdf={out.resolve()}", page.resolve().as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=60, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise BrowserError(f"{out.name}: the browser did not print: {error}") from error
    if not out.exists():
        raise BrowserError(f"{out.name}: the browser did not print")
