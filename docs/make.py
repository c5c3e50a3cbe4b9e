"""Write the pages of the reference that are made of the code: every key of bandeau.toml, every format.

.venv/bin/python docs/make.py        a test fails when a page is not current
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from bandeau.audit.ruleset import FORCES, REACHES, RULESET_VERSION, SEVERITIES, Rule, sections
from bandeau.decision.model import Consent, State
from bandeau.notice import Notice
from bandeau.notice.texts import locale
from bandeau.policy.file import loads
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
    "ledger.tally": "The tally",
    "wire.tcf": "The TC string of a consent platform",
    "ledger.receipt": "A visitor's receipt",
    "ledger.keys": "The key file",
    "outbox": "What partners are told",
}


_LANGUAGES = """# Languages

The notice is there in the 24 official languages of the Union. `[site] languages` says which a site offers:

```toml
[site]
languages = ["fr", "de", "pt"]       # the first is for whoever wants none of them
accept_unreviewed = ["de", "pt"]     # no native speaker has read these yet: the owner answers for them
```

The notice speaks the language of the page (`<html lang>`), else the first that the visitor's browser accepts, else the first of the list. Only the
primary subtag counts: a page in `pt-BR` gets `pt`, which is Portugal's. Norwegian (`nb`, `nn`) and Serbian have no texts, and are given no neighbour's.

A language that no native speaker has read is refused by `bandeau check` and at start (`BP030`) until `accept_unreviewed` names it; each version of the
notice in the register says which of its languages were unreviewed. Naming one asks no visitor again.

## To read one

One file holds a language: `src/bandeau/notice/locales/LANGUAGE.toml`, beside `en.toml` and `fr.toml`, in which the notice was specified. Who reads it

1. looks at `./dev demo`, or at `/_b/settings?lang=LANGUAGE`, `/_b/trackers` and `/_b/receipt` of a site of their own: texts are read where they stand;
2. keeps what is in braces, and the four labels that robots and the inspector know (`all`, `none`, `settings`, `save`), or adds the new label to `audit/lexicon.toml`;
3. uses the words of the official translations of the GDPR and the ePrivacy Directive for *controller*, *consent*, *recipient*, *supervisory authority*;
4. sets `reviewed = true` in the file, adds the language to `REVIEWED_LANGUAGES` in `policy/model.py`, and says in the commit who read it.

Who adds a text adds it to all 24 files; a test names what each lacks. `plural` chooses between the forms of `[duration]`, as in gettext. Tests compare keys, places in braces, plural forms (with CLDR's), the labels (with the inspector's
lexicon), and hold the first layer to 80 words before its buttons.

## What each is

Words before the buttons with the newspaper's policy, which has all five built-in purposes. autoconsent {autoconsent}, unmodified, in Chromium {chromium}: *heuristics* is what it does knowing
nothing of bandeau, *rule* is with one rule for `#bandeau`; ● it refused, and was asked nothing after a reload. Written by `docs/make.py`, out of what
`tests/browser/languages.py` saw.

| | language | reviewed | words | heuristics | rule |
| --- | --- | --- | --- | --- | --- |
"""


def languages() -> str:
    """Return the page of the notice's languages."""
    paper = (files("bandeau.demo") / "bandeau.toml").read_text("utf-8")
    names = json.dumps(BUILT_IN_LANGUAGES)
    spoken = f"languages = {names}\naccept_unreviewed = {names}"
    notice = Notice(loads(paper.replace('languages = ["fr", "en"]', spoken)))
    seen = json.loads((Path(__file__).parent / "autoconsent.json").read_text("utf-8"))
    rows = []
    for language in BUILT_IN_LANGUAGES:
        meta, robot = locale(language)["meta"], seen["refused"][language]
        cells = [
            f"`{language}`",
            meta["name"],
            "yes" if meta["reviewed"] else "no",
            str(_words(notice, language)),
            *("●" if robot[how] else "" for how in ("heuristics", "rule")),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return _LANGUAGES.format(**seen) + "\n".join(rows) + "\n"


def _words(notice: Notice, language: str) -> int:
    everything = frozenset(notice.policy.consentable)
    html = notice.first(language, Consent(State.UNDECIDED, asks=everything), back="/").decode()
    before = html.partition('name="choice"')[0].rpartition("<p")[0]
    return len(re.sub(r"<[^>]*>", " ", before).split())


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
    tables = {"Proof": "[proof]", "Register": "[register]", "Controller": "[controller]", "Authority": "[controller] authority", "Site": "[site]", "Choice": "[choice]", "Accounts": "[account]", "Look": "[notice]",
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
    (folder.parent / "languages.md").write_text(languages(), "utf-8")
