"""What a browser tells, read: events that are written down here."""

from __future__ import annotations

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
