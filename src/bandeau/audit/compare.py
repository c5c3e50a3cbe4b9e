"""What changed between two reports: rules that came to something else, facts that are new or gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bandeau.audit.document import VERSION, normalised


class CompareError(ValueError):
    """A file that is no report, or of another version."""


def changes(path: Path, new: Mapping[str, Any]) -> Iterator[str]:
    """Return what changed since an earlier report, a line each. Raises CompareError."""
    try:
        old = json.loads(path.read_text("utf-8"))
        if old["version"] != VERSION:
            raise CompareError(f"{path}: a report of version {old['version']}, not {VERSION}")
        before, after = normalised(old), normalised(new)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CompareError(f"{path}: not a report that can be compared: {error}") from None
    earlier = {one["rule"]: one for one in before["verdicts"]}
    for one in after["verdicts"]:
        known = earlier.get(one["rule"])
        if known is None:
            yield f"{one['rule']}: new rule, {one['outcome']}"
            continue
        if known["outcome"] != one["outcome"]:
            yield f"{one['rule']}: was {known['outcome']}, is {one['outcome']}"
        texts = [{fact["text"] for fact in side["facts"]} for side in (known, one)]
        yield from (f"{one['rule']}: new: {text}" for text in sorted(texts[1] - texts[0]))
        yield from (f"{one['rule']}: gone: {text}" for text in sorted(texts[0] - texts[1]))
