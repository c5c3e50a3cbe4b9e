"""A report as JUnit XML: a test suite of rules, for whatever shows test results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def suite(report: Mapping[str, Any]) -> str:
    """Return the document."""
    verdicts = report["verdicts"]
    root = ET.Element(
        "testsuite",
        name=f"bandeau audit {report['url']}",
        timestamp=report["started"],
        tests=str(len(verdicts)),
        failures=str(sum(one["outcome"] == "fail" for one in verdicts)),
        skipped=str(sum(one["outcome"] in ("unknown", "not applicable") for one in verdicts)),
        errors="0",
    )
    for one in verdicts:
        case = ET.SubElement(
            root, "testcase", classname="bandeau.audit", name=f"{one['rule']} {one['requirement']}"
        )
        if one["outcome"] == "fail":
            told = "\n".join(fact["text"] for fact in one["facts"])
            failure = ET.SubElement(case, "failure", message=_clean(one["facts"][0]["text"]))
            failure.text = _clean(f"{told}\n\n{one['remedy']}")
        elif one["outcome"] != "pass":
            ET.SubElement(case, "skipped", message=f"{one['outcome']}: {one['reason']}")
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
