"""A report's requests as HTTP Archive 1.2: a page for each scenario, an entry for each request.

Bodies, cookie values and headers are not in it: an audit keeps no more of a site than its facts need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit


def archive(report: Mapping[str, Any]) -> str:
    """Return the archive."""
    began = datetime.strptime(report["started"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    pages, entries = [], []
    for run in report["runs"]:
        page = f"{run['scenario']}-{run['number']}"
        pages.append(
            {
                "id": page,
                "title": f"{report['url']} ({page})",
                "startedDateTime": _time(began, 0),
                "pageTimings": {},
            }
        )
        entries += [
            _entry(began, page, one) for one in run["observations"] if one["kind"] == "request"
        ]
    creator = {"name": "bandeau audit", "version": report["bandeau"]}
    log = {"version": "1.2", "creator": creator, "pages": pages, "entries": entries}
    return json.dumps({"log": log}, ensure_ascii=False, indent=1) + "\n"


def _entry(began: datetime, page: str, one: Mapping[str, Any]) -> dict[str, Any]:
    query = parse_qsl(urlsplit(one["name"]).query, keep_blank_values=True)
    empty = {"httpVersion": "", "cookies": [], "headers": [], "headersSize": -1, "bodySize": -1}
    return {
        "pageref": page,
        "startedDateTime": _time(began, one["at"]),
        "time": 0,
        "request": {
            **empty,
            "method": one["detail"].get("method", "GET"),
            "url": one["name"],
            "queryString": [{"name": name, "value": value} for name, value in query],
        },
        "response": {
            **empty,
            "status": 0,
            "statusText": "",
            "content": {"size": -1, "mimeType": ""},
            "redirectURL": "",
        },
        "cache": {},
        "timings": {"send": -1, "wait": -1, "receive": -1},
        "_initiator": one["chain"],
        "_station": one["station"],
        "_third_party": one["third"],
        "_resourceType": one["detail"].get("type", ""),
    }


def _time(began: datetime, milliseconds: int) -> str:
    return (began + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")
