"""Write `docs/reference/policy.md`, the page of every key of bandeau.toml, out of the models.

.venv/bin/python docs/make.py        a test fails when the page is not current
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bandeau.policy.model import BUILT_IN_LANGUAGES, BUILT_IN_PURPOSES, Policy
from bandeau.policy.presets import PRESETS

_HEAD = """# bandeau.toml

What is not declared does not pass. `bandeau check` says everything that is wrong with a file at once. The JSON Schema
for editors is `bandeau/policy/schema.json`.

Built-in purposes, with titles and sentences in {languages}: {purposes}.
Platforms whose session and CSRF cookies `presets` declares as technical: {presets}.
"""


def reference() -> str:
    """Return the page."""
    schema = Policy.model_json_schema(by_alias=True)
    parts = [
        _HEAD.format(
            languages=", ".join(BUILT_IN_LANGUAGES),
            purposes=", ".join(f"`{purpose}`" for purpose in BUILT_IN_PURPOSES),
            presets=", ".join(f"`{name}`" for name in sorted(PRESETS)),
        ),
        _table("the file", schema),
    ]
    tables = {"Proof": "[proof]", "Controller": "[controller]", "Site": "[site]", "Purpose": "[[purpose]]",
              "PurposeText": "[purpose.text.<language>]", "Service": "[[service]]", "Tracker": "[[tracker]]",
              "Feature": "[[feature]]", "FeatureText": "[feature.text.<language>]", "Host": "a host"}  # fmt: skip
    parts += [_table(title, schema["$defs"][name]) for name, title in tables.items()]
    return "\n".join(parts)


def _table(title: str, table: dict[str, Any]) -> str:
    lines = [
        f"## {title}",
        "",
        table.get("description", ""),
        "",
        "| key | | |",
        "| --- | --- | --- |",
    ]
    required = table.get("required", [])
    for key, field in table["properties"].items():
        need = "required" if key in required else _default(field)
        lines.append(
            f"| `{key}` | {_type(field)} | {'; '.join(filter(None, (field.get('description'), need)))} |"
        )
    return "\n".join(lines) + "\n"


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, [], {}, False):
        return ""
    return f"default `{str(default).lower() if isinstance(default, bool) else default}`"


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"] if one.get("type") != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return f"table ({field['$ref'].rpartition('/')[2]})"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("type", "table"))


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "policy.md").write_text(reference(), "utf-8")
