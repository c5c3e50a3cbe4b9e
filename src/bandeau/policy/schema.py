"""The JSON Schema of bandeau.toml, made from the models, so that editors complete it."""

from __future__ import annotations

import json

from bandeau.policy.model import Policy


def schema() -> str:
    """Return the schema as text; `schema.json` beside this file is the same bytes (a test says so)."""
    document = Policy.model_json_schema(by_alias=True)
    document["title"] = "bandeau.toml"
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
