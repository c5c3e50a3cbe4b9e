"""The notice's first layer and its settings fit small windows in every language, buttons of one size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from bandeau.notice.texts import languages
from browser.languages import paper

pytestmark = pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 looks at all languages"
)
# Scrolled to, as a visitor would: at the foot of the settings they stand far below. A scroll ends within a pixel.
_BUTTONS = """() => [...document.querySelectorAll('.bandeau-buttons button[name=choice]')].map((one) => {
    one.scrollIntoView({ block: 'nearest' });
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const text = document.createRange();
    text.selectNodeContents(one);
    const words = text.getBoundingClientRect();
    return {
        label: one.textContent, width: box.width, height: box.height,
        style: [style.color, style.backgroundColor, style.font, style.border].join(),
        inside: box.left > -1 && box.top > -1 && box.right < innerWidth + 1 && box.bottom < innerHeight + 1,
        whole: words.left >= box.left && words.right <= box.right && words.top >= box.top && words.bottom <= box.bottom,
        broken: !/\\s/.test(one.textContent.trim()) && text.getClientRects().length > 1,
    };
})"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with paper() as found:
        yield found


def unlike(buttons: list[dict[str, Any]]) -> list[str]:
    """Return what keeps buttons from being a choice between equals."""
    if len(buttons) != 3:
        return [f"{len(buttons)} buttons"]
    found = [
        f"{one['label']}: {key}" for one in buttons for key in ("inside", "whole") if not one[key]
    ]
    found += [f"{one['label']}: broken" for one in buttons if one["broken"]]
    for side in ("width", "height"):
        sizes = [one[side] for one in buttons]
        if max(sizes) > min(sizes) * 1.1:
            found.append(f"{side} {sizes}")
    if len({one["style"] for one in buttons}) > 1:
        found.append("style")
    return found


@pytest.mark.parametrize(
    "window",
    [(320, 256), (320, 568), (390, 844), (1280, 900)],
    ids=lambda one: f"{one[0]}x{one[1]}",
)
def test_the_buttons_are_alike_and_whole_in_all_languages(
    chromium: Browser, address: str, window: tuple[int, int]
) -> None:
    context = chromium.new_context(viewport={"width": window[0], "height": window[1]})
    page = context.new_page()
    wrong = {}
    for language in languages():
        for path in (f"/{language}", f"/_b/settings?lang={language}"):
            page.goto(address + path)
            wrong[path] = unlike(page.evaluate(_BUTTONS))
            across = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            wrong[path] += [f"{across} px too wide"] if across > 0 else []
    context.close()
    assert {path: found for path, found in wrong.items() if found} == {}
