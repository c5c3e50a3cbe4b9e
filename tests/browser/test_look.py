"""What is read in a page beside its controls: each fact in a small page that has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext

from bandeau.audit import look


@pytest.mark.parametrize(
    "around", ["{}", "<div><p>Une page</p></div>{}", "<footer><p>{}</p></footer>"]
)
def test_the_colours_around_a_way_back_are_read_also_where_it_stands_alone(
    visitor: Callable[..., BrowserContext], around: str
) -> None:
    page, read = visitor().new_page(), []
    for colour in ("rgb(0, 170, 0)", "rgb(170, 0, 0)"):
        way = f'<button id="way" style="background: {colour}">Cookies</button>'
        page.set_content(f"<body>{around.format(way)}")
        read.append(page.locator("#way").evaluate(f"(one) => ({look.on('state')}).call(one)"))
    assert [one["text"] for one in read] == ["Cookies", "Cookies"]
    assert read[0]["colours"] != read[1]["colours"]
