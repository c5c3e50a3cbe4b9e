"""What a browser tells, read: events that are written down here."""

from __future__ import annotations

import pytest

from bandeau.audit.observe import Reader, file_of
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
        [Raw(1, "s", "Network.requestWillBeSent", asked), Raw(2, "s", "bandeau.script", wrote)]
    )
    (kept,) = (one for one in seen if one.kind == "cookie_kept")
    assert (kept.host, kept.third) == ("site.test", False)


def test_keys_of_one_name_in_two_origins_have_each_their_own_writer() -> None:
    def wrote(host: str) -> Raw:
        told = {"kind": "storage_written", "area": "local_storage", "name": "uid", "size": 1}
        page = {"url": f"http://{host}/", "origin": f"http://{host}"}
        stack = f"at http://{host}/a.js:1:1"
        return Raw(1, "s", "bandeau.script", {**told, **page, "stack": stack})

    def item(host: str) -> Raw:
        place = {"isLocalStorage": True, "storageKey": f"http://{host}/"}
        told = {"storageId": place, "key": "uid", "newValue": "x"}
        return Raw(2, "s", "DOMStorage.domStorageItemAdded", told)

    hosts = ("site.test", "ads.test")
    seen = Reader("http://site.test/").read([*map(wrote, hosts), *map(item, hosts)])
    there = [(one.host, one.chain[0]) for one in seen if one.detail["by"] == "browser"]
    assert there == [(host, f"http://{host}/a.js:1:1") for host in hosts]


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
    found = Reader("https://own.example/").read(events)
    paths = [one.name.removeprefix("https://far.example") for one in found]
    assert paths == ["/hop", *asked]


PAGE, FAR = "https://own.example/page", "https://far.example/x"
TAG = f'<iframe src="{FAR}">'


@pytest.mark.parametrize(
    ("initiator", "step"),
    [
        ({"type": "parser", "url": PAGE, "lineNumber": 156}, f"{PAGE} {TAG}"),
        ({"type": "other"}, f"{PAGE} {TAG}"),  # as of a frame that waits until it is near
        ({"type": "parser", "url": "https://own.example/a.css", "lineNumber": 4}, "https://own.example/a.css:5"),
        (
            {"type": "script", "stack": {"callFrames": [{"url": PAGE, "lineNumber": 2, "columnNumber": 4}]}},
            f"{PAGE}:3:5",
        ),
    ],
)  # fmt: skip
def test_what_no_script_asked_for_is_led_to_its_tag(
    initiator: dict[str, object], step: str
) -> None:
    request = {"url": FAR, "method": "GET"}
    asked = {"requestId": "1", "request": request, "documentURL": FAR, "initiator": initiator}
    tags = {"tags": [[PAGE, FAR, TAG]]}
    events = [
        Raw(1, "s", "Network.requestWillBeSent", asked),
        Raw(2, "", "bandeau.tags", tags),
    ]
    (found,) = Reader("https://own.example/").read(events)
    assert found.chain[0] == step
    assert file_of(step) == initiator.get("url", PAGE)


def test_a_transport_is_a_connection_unless_the_policy_of_the_page_bars_it() -> None:
    def seen(*, report_only: bool | None) -> list[str]:
        said = {"kind": "connection", "api": "WebTransport", "to": FAR, "url": PAGE, "origin": PAGE}
        issue = {"blockedURL": FAR, "isReportOnly": report_only}
        told = {"issue": {"details": {"contentSecurityPolicyIssueDetails": issue}}}
        events = [
            Raw(1, "s", "bandeau.script", said),
            *([] if report_only is None else [Raw(1, "s", "Audits.issueAdded", told)]),
            Raw(1, "s", "Network.webTransportCreated", {"url": FAR}),
        ]
        return [one.name for one in Reader("https://own.example/").read(events)]

    assert seen(report_only=False) == []
    assert seen(report_only=True) == seen(report_only=None) == [FAR, FAR]


def test_no_link_to_a_page_is_why_it_was_opened() -> None:
    link = '<link href="https://own.example/page">'
    events = [
        Raw(1, "s", "Network.requestWillBeSent", {
            "requestId": "1", "request": {"url": PAGE, "method": "GET"}, "documentURL": PAGE,
            "initiator": {"type": "other"}, "type": "Document",
        }),
        Raw(2, "", "bandeau.tags", {"tags": [["https://own.example/en/page", PAGE, link]]}),
    ]  # fmt: skip
    (found,) = Reader("https://own.example/").read(events)
    assert found.chain == (PAGE,)


@pytest.mark.parametrize(("kind", "step"), [("Font", PAGE), ("Script", f"{PAGE}:157")])
def test_a_line_of_the_page_is_named_only_where_it_means_something(kind: str, step: str) -> None:
    initiator = {"type": "parser", "url": PAGE, "lineNumber": 156}
    request = {"url": FAR, "method": "GET"}
    asked = {
        "requestId": "1",
        "request": request,
        "documentURL": PAGE,
        "initiator": initiator,
        "type": kind,
    }
    (found,) = Reader(PAGE).read([Raw(1, "s", "Network.requestWillBeSent", asked)])
    assert found.chain == (step,)
