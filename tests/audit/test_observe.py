"""What a browser tells, read: events that are written down here."""

from __future__ import annotations

import pytest

from bandeau.audit.observe import Reader
from bandeau.audit.watch import Raw


def test_an_empty_frame_writes_for_its_maker_whatever_another_frame_has_just_asked_for() -> None:
    asked = {
        "requestId": "1",
        "request": {"url": "http://embed.test/frame", "method": "GET"},
        "documentURL": "http://embed.test/frame",
        "type": "Document",
    }
    wrote = {
        "kind": "cookie_written",
        "by": "document.cookie",
        "text": "realm=1; path=/",
        "stack": "at http://site.test/own.js:10:1",
        "url": "about:blank",
        "origin": "http://site.test",
    }
    seen = Reader("http://site.test/").read(
        [Raw(1, "s", "Network.requestWillBeSent", asked), Raw(2, "s", "bandeau.script", wrote)], {}
    )
    (kept,) = (one for one in seen if one.kind == "cookie_kept")
    assert (kept.host, kept.third) == ("site.test", False)


@pytest.mark.parametrize(
    ("reason", "asked"),
    [("csp", []), ("mixed-content", []), ("integrity", ["/end"]), (None, ["/end"])],
)
def test_what_a_page_s_policy_barred_was_asked_of_nobody(
    reason: str | None, asked: list[str]
) -> None:
    def sent(at: int, path: str, **more: object) -> Raw:
        request = {"url": f"https://far.example{path}", "method": "GET"}
        told = {"requestId": "1", "request": request, "initiator": {"type": "parser"}, **more}
        return Raw(at, "s", "Network.requestWillBeSent", told)

    events = [
        sent(1, "/hop"),
        sent(2, "/end", redirectResponse={"status": 302, "headers": {}}),
        Raw(3, "s", "Network.loadingFailed", {"requestId": "1", "blockedReason": reason}),
    ]
    found = Reader("https://own.example/").read(events, {})
    paths = [one.name.removeprefix("https://far.example") for one in found]
    assert paths == ["/hop", *asked]
