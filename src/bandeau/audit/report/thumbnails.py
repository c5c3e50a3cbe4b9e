"""Screenshots as small as the page shows them, made by a browser; the folder keeps them whole."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bandeau.audit.pipe import BrowserError
from bandeau.audit.watch import FLAGS, executable

_WIDTH = 448  # pixels: twice the 224 of the page's style, for screens of two to one
_SECONDS = 60
_PAGE = """<!doctype html><body>{images}<script>
addEventListener('load', () => {{
  const made = [...document.images].map((image) => {{
    const canvas = document.createElement('canvas'), width = Math.min({width}, image.naturalWidth);
    canvas.width = width;
    canvas.height = Math.round(image.naturalHeight * width / image.naturalWidth);
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL('image/webp', 0.7);
  }});
  document.body.textContent = JSON.stringify(made);
}});
</script>"""


def small(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Return pictures (PNG) by name as addresses (data:) of small ones. Raises BrowserError."""
    if not pictures:
        return {}
    different = list(dict.fromkeys(pictures.values()))  # walks meet the same page again and again
    images = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(one).decode()}">' for one in different
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "page.html"
        page.write_text(_PAGE.format(images=images, width=_WIDTH), "utf-8")
        command = [
            executable(),
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            "--dump-dom",
            page.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise BrowserError(f"the browser made no small pictures: {error}") from error
    made = re.search(r"<body>(\[.*\])</body>", done.stdout.decode("utf-8", "replace"))
    if made is None:
        raise BrowserError("the browser made no small pictures")
    of = dict(zip(different, json.loads(html.unescape(made[1])), strict=True))
    return {name: of[picture] for name, picture in pictures.items()}
