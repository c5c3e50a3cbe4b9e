"""A report in the formats that people and machines read, and a manifest of their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bandeau.audit.pipe import BrowserError
from bandeau.audit.report import csv, github, har, html, junit, pdf, sarif, thumbnails
from bandeau.audit.report.words import picture_name
from bandeau.audit.scenario import Run

Report = Mapping[str, Any]


def as_json(report: Report) -> str:
    """Return the whole report as JSON; the same report gives the same bytes."""
    return json.dumps(report, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "json": ("report.json", as_json),
    "html": ("report.html", html.page),
    "csv": ("report.csv", csv.table),
    "sarif": ("report.sarif", sarif.log),
    "junit": ("report.junit.xml", junit.suite),
    "har": ("report.har", har.archive),
    "github": ("report.github.txt", github.commands),
}
MANIFEST = "manifest.json"


def write(report: Report, runs: Sequence[Run], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write a report and its screenshots into a folder, and the manifest last; return what was written.

    `bandeau ledger log-audit` enters the manifest in the log: then none of it can be changed unseen.
    """
    folder = out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        picture_name(run.scenario, run.number, station): picture
        for run in runs
        for station, picture in run.pictures.items()
    }
    for file, picture in pictures.items():
        (folder / file).write_bytes(picture)
    written = [folder / file for file in pictures]
    main = []
    if {"html", "pdf"} & set(formats):
        page = out / FORMATS["html"][0]
        try:
            small = thumbnails.small(pictures)
        except BrowserError:  # the folder has them, and a report is worth more than its pictures
            small = {}
        page.write_text(html.page(report, small), "utf-8")
    for name in formats:
        path = out / FORMATS[name][0] if name in FORMATS else out / "report.pdf"
        if name == "pdf":
            pdf.printed(page, path)
        elif name != "html":
            path.write_text(FORMATS[name][1](report), "utf-8")
        main.append(path)
    hashes = {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*written, *main])
    }
    manifest = out / MANIFEST
    about = {key: report[key] for key in ("url", "started", "exit", "policy", "ruleset", "bandeau")}
    manifest.write_text(as_json({**about, "sha256": hashes}), "utf-8")
    return [*main, manifest]
