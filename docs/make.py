"""Write the pages of the reference that are made of the code: every key of bandeau.toml, every format.

.venv/bin/python docs/make.py        a test fails when a page is not current
"""

from __future__ import annotations

from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from bandeau.audit.ruleset import FORCES, REACHES, RULESET_VERSION, SEVERITIES, Rule, sections
from bandeau.policy.model import BUILT_IN_LANGUAGES, BUILT_IN_PURPOSES, Policy
from bandeau.policy.presets import PRESETS
from bandeau.policy.vendors import vendors

_HEAD = """# bandeau.toml

What is not declared does not pass. `bandeau check` says everything that is wrong with a file at once. The JSON Schema
for editors is `bandeau/policy/schema.json`.

Built-in purposes, with titles and sentences in {languages}: {purposes}.
Platforms whose own cookies and storage `presets` declares as technical: {presets}.
"""


_FORMATS = {  # module to title
    "decision.cookie": "The cookie of a choice",
    "ledger.record": "The record of a decision",
    "ledger.entry": "The entries of the log",
    "ledger.note": "Signed notes and checkpoints",
    "ledger.tiles": "The published log",
    "wire.tcf": "The TC string of a consent platform",
    "ledger.receipt": "A visitor's receipt",
    "ledger.keys": "The key file",
    "outbox": "What partners are told",
}


def formats() -> str:
    """Return the page of every format, out of the modules that write and read them."""
    parts = [
        "# Formats",
        "Each is specified where it is parsed; this page is made of those modules. Limits and spellings are tested.",
    ]
    for module, title in _FORMATS.items():
        words = (import_module(f"bandeau.{module}").__doc__ or "").strip()
        first, _, rest = words.partition("\n\n")
        parts += [f"## {title}", f"`bandeau/{module.replace('.', '/')}.py`: {first}", rest]
    return "\n\n".join(parts) + "\n"


def rules() -> str:
    """Return the page of every rule of the inspector, out of the files that it judges by."""
    found = sections()
    number = sum(len(section.rule) for section in found.values())
    parts = [
        f"# The {number} rules",
        (
            f"Version {RULESET_VERSION} of the rules. `bandeau audit` judges by them, `bandeau explain A3` prints one."
            " A verdict is a fact beside its source: *fail* needs kept evidence, *pass* a walk that came to its end;"
            " everything else is *unknown*, with its reason. Not legal advice."
        ),
        (
            "★ decided first; ‼ the behaviours that get sites fined first. Words in brackets behind a source: how far"
            " it was read (read, second-hand, unverified), or what else it is (research, ours)."
        ),
    ]
    for letter, section in found.items():
        parts += [f"## ({letter.lower()}) {section.title}", *map(_rule, section.rule)]
    return "\n\n".join(parts) + "\n"


def _rule(rule: Rule) -> str:
    marks = (" ★" if rule.starred else "") + (" ‼" if rule.headline else "")
    walks = ", ".join(f"`{one}`" for one in rule.scenarios) or "tests of their own"
    rows = {
        "A failure is": rule.failure,
        "Fails": rule.decision.fails,
        "Passes": rule.decision.passes,
        "Unknown": rule.decision.unknown,
        "Changed by": rule.evidence,
        "Remedy": rule.remedy,
        "With bandeau": rule.remedy_bandeau,
        "For a person": rule.question,
        "Sources": "; ".join(rule.sources),
    }
    facts = (SEVERITIES[rule.severity], FORCES[rule.force], ", ".join(rule.jurisdictions))
    lines = [
        f"### {rule.id}{marks}",
        "",
        f"**{rule.requirement}** {' · '.join(facts)} · {REACHES[rule.reach]} · {walks}",
        "",
        *(f"- {label}: {text}" for label, text in rows.items() if text),
    ]
    return "\n".join(lines)


def reference() -> str:
    """Return the page of every key."""
    schema = Policy.model_json_schema(by_alias=True)
    parts = [
        _HEAD.format(
            languages=", ".join(BUILT_IN_LANGUAGES),
            purposes=", ".join(f"`{purpose}`" for purpose in BUILT_IN_PURPOSES),
            presets=", ".join(f"`{name}`" for name in sorted(PRESETS)),
        ),
        _table("the file", schema),
    ]
    tables = {"Proof": "[proof]", "Register": "[register]", "Controller": "[controller]", "Site": "[site]", "Choice": "[choice]", "Look": "[notice]",
              "Schemes": "[notice.colours]", "Colours": "[notice.colours.light], [notice.colours.dark]", "Measure": "[measure]", "Rollout": "[rollout]", "Purpose": "[[purpose]]",
              "PurposeText": "[purpose.text.<language>]", "Service": "[[service]]", "Tracker": "[[tracker]]",
              "Partner": "[[partner]]", "Feature": "[[feature]]", "FeatureText": "[feature.text.<language>]", "Host": "a host",
              "Signals": "[signals]", "Witness": "a witness"}  # fmt: skip
    parts += [_table(title, schema["$defs"][name]) for name, title in tables.items()]
    return "\n".join(parts)


def told() -> str:
    """Return the table of vendors that can be told, out of the data that their calls are made of."""
    lines = [
        "| `[signals]` | vendor | keys | default, then update | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in vendors().items():
        lined = "<br>".join(map(_code, one.default.strip().splitlines())) or "none"
        calls = f"{lined}<br>then {_code(one.update)}"
        unverified = f"Not verified: {one.unverified}." if one.unverified else ""
        words = " ".join(filter(None, (one.remark, unverified, f"[source]({one.source})")))
        keys = ", ".join(f"`{key}`" for key in one.keys)
        lines.append(f"| `{name}` | {one.title} | {keys} | {calls} | {words} |")
    return "\n".join(lines) + "\n"


def _code(line: str) -> str:
    return f"<code>{escape(line, quote=False).replace('|', '&#124;')}</code>"


def with_table(page: str) -> str:
    """Return docs/signals.md with the table of vendors between its marks."""
    before, mark, rest = page.partition("<!-- vendors -->\n")
    return before + mark + told() + rest[rest.index("<!-- end -->") :]


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
    if default in (None, [], False) or isinstance(default, dict):
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
    folder = Path(__file__).resolve().parent / "reference"
    (folder / "policy.md").write_text(reference(), "utf-8")
    (folder / "formats.md").write_text(formats(), "utf-8")
    (folder / "rules.md").write_text(rules(), "utf-8")
    signals = folder.parent / "signals.md"
    signals.write_text(with_table(signals.read_text("utf-8")), "utf-8")
