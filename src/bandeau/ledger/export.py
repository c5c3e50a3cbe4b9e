"""Records for others: CSV, and JSON-LD after ISO/IEC TS 27560:2023 in the terms of the W3C DPV.

The standard's fields were taken from the W3C mapping "Implementing ISO/IEC TS 27560:2023 Consent Records
and Receipts with DPV" (final report, 1 August 2024). A record's constant half (controller, purposes,
recipients, wording) stands in the snapshot it refers to, so the export joins the two. What has no field
there is in our own namespace.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from bandeau.decision.model import Event
from bandeau.errors import LedgerError
from bandeau.ledger import record
from bandeau.ledger.log import Log, Noted

CONTEXT = {
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "bandeau": "urn:bandeau:",
}
_FIXED = (
    "index",
    "time",
    "action",
    "snapshot",
    "language",
    "layer",
    "device",
    "signal",
    "replaces",
)
_UNSHOWN: dict[str, Any] = {  # a record from before snapshots were kept says what it can
    "controller": {"name": "", "address": "", "contact": "", "privacy_policy": ""},
    "purposes": [],
    "own": {"max_age_days": 0},
}
_STATUS = {
    Event.REFUSE_ALL: "dpv:ConsentRefused",
    Event.WITHDRAW: "dpv:ConsentWithdrawn",
    Event.RENEW: "dpv:RenewedConsentGiven",
    Event.SIGNAL: "dpv:ConsentRefused",
}


def as_csv(decisions: Iterable[Noted], purposes: Iterable[str]) -> Iterator[str]:
    """Write decisions as CSV (RFC 4180), a line at a time; a purpose that was not asked is empty."""
    columns = list(purposes)
    yield _row([*_FIXED, *columns])
    for noted in decisions:
        one, choices = noted.decision, dict(noted.decision.choices)
        fixed = (
            noted.index,
            record.time(one.minute),
            one.event.value,
            one.snapshot,
            one.language,
            one.layer,
            one.device,
            _word(one.signal),
            "" if one.replaces is None else one.replaces,
        )
        yield _row([*fixed, *(_word(choices[p]) if p in choices else "" for p in columns)])


class DpvExport:
    """Turns records of one log into consent records of ISO/IEC TS 27560 in DPV's terms."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._origin = log.head.origin
        self._snapshot = lru_cache(maxsize=64)(self._read)

    def record(self, noted: Noted) -> dict[str, Any]:
        """Return one consent record as JSON-LD. Raises LedgerError where its snapshot is missing."""
        one = noted.decision
        shown = self._snapshot(one.snapshot)
        declared = shown.get("declared", _UNSHOWN)
        known = {purpose["id"]: purpose for purpose in declared["purposes"]}
        receipt = self._log.receipt(noted.index)
        return {
            "@context": CONTEXT,
            "@id": f"urn:bandeau:{self._origin}:{noted.index}",
            "@type": "dpv:ConsentRecord",
            "dct:conformsTo": "https://w3id.org/dpv/schema/dpv-27560",
            "dct:identifier": f"{self._origin}/{noted.index}",
            "dct:created": _when(one.minute),
            "dpv:hasDataSubject": {"@id": f"urn:bandeau:{self._origin}:{noted.index}:visitor"},
            "dpv:hasDataController": _controller(declared["controller"]),
            "dpv:hasNotice": {
                "@type": "dpv:ConsentNotice",
                "dct:identifier": shown["sha256"],
                "dct:language": one.language,
                "bandeau:snapshot": one.snapshot,
            },
            "dpv:hasProcess": [
                _process(known[purpose], granted=granted)
                for purpose, granted in one.choices
                if purpose in known
            ],
            "dpv:hasConsentStatus": [
                {
                    "@type": _status(one.event, granted=any(yes for _, yes in one.choices)),
                    "dct:date": _when(one.minute),
                    "dpv:isIndicatedBy": "dpv:DataSubject",
                    "dpv:hasDuration": f"P{declared['own']['max_age_days']}D",
                    "dpv:isIndicatedAtTime": _when(one.minute),
                    "dpv:hasIndicationMethod": f"{one.event.value} ({one.layer}, {one.device})",
                    "bandeau:signal": one.signal,
                }
            ],
            "dpv:hasJurisdiction": "eu-gdpr:EU-GDPR",
            "dpv:hasStorageCondition": {"dpv:hasDuration": f"P{shown.get('keep_days', 0)}D"},
            "bandeau:replaces": one.replaces,
            "bandeau:integrity": receipt.encode().decode("utf-8") if receipt else None,
        }

    def _read(self, index: int) -> dict[str, Any]:
        content = self._log.snapshot_at(index)
        if content is None:
            raise LedgerError(f"the snapshot {index} is missing: bandeau ledger fsck says more")
        found: dict[str, Any] = json.loads(content)
        found["sha256"] = self._log.store.entries(index, index + 1)[0][2:].hex()
        return found


def _controller(declared: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "dpv:DataController",
        "dpv:hasName": declared["name"],
        "dpv:hasAddress": declared["address"],
        "dpv:hasContact": declared["contact"],
        "dpv:hasPolicy": declared["privacy_policy"],
    }


def _process(purpose: dict[str, Any], *, granted: bool) -> dict[str, Any]:
    return {
        "@type": "dpv:Process",
        "dpv:hasPurpose": {"dct:identifier": purpose["id"], "dct:title": purpose["title"]},
        "dct:description": purpose["sentence"],
        "dpv:hasLegalBasis": "eu-gdpr:A6-1-a",
        "dpv:hasConsentStatus": "dpv:ConsentGiven" if granted else "dpv:ConsentRefused",
        "dpv:hasPersonalData": list(purpose["data"]),
        "dpv:hasRecipient": [_recipient(service) for service in purpose["services"]],
        "dpv:hasRight": [
            "eu-gdpr:A7-3",
            "eu-gdpr:A15",
            "eu-gdpr:A16",
            "eu-gdpr:A17",
            "eu-gdpr:A77",
        ],
    }


def _recipient(service: dict[str, Any]) -> dict[str, Any]:
    found = {
        "@type": "dpv:Recipient",
        "dct:identifier": service["id"],
        "dpv:hasName": service.get("legal_name") or service["recipient"],
        "bandeau:role": service.get("role"),
        "dpv:hasLocation": service.get("country"),
        "dpv:hasPolicy": service.get("privacy_policy"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _status(event: Event, *, granted: bool) -> str:
    """Name a decision in DPV's terms; a withdrawal of some purposes leaves the rest given."""
    if event is Event.RENEW and not granted:
        return "dpv:ConsentRefused"
    return _STATUS.get(event) or ("dpv:ConsentGiven" if granted else "dpv:ConsentRefused")


def _when(minute: int) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": record.time(minute).replace("Z", ":00Z")}


def _word(yes: bool) -> str:  # noqa: FBT001
    return "yes" if yes else "no"


def _row(values: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()
