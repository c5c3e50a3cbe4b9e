"""The settings of a notice (B): what is ticked, what saving does, and whether the list is complete."""

from __future__ import annotations

from bandeau.audit.judge.base import (
    KEPT,
    SANCTIONED,
    Case,
    Decide,
    Fact,
    Outcome,
    Verdict,
    after,
    beside_the_point,
    copies,
    granted_copies,
    kept_fact,
    needs_human,
    unknown,
    verdict,
    writers,
)
from bandeau.audit.lexicon import folded, said
from bandeau.audit.observe import ASKED, Observation, days
from bandeau.audit.scenario import Run

_TICKS = ("checkbox", "switch")


def _b1(case: Case, rule: str) -> Verdict:
    """Nothing optional is ticked when the settings are opened before a choice."""
    seen = False
    for run in case.runs:
        if run.scenario.partition(":")[0] not in ("no-choice", "refuse", "only", "settings"):
            continue
        for layer in run.layers:
            ticks = [one for one in layer["controls"] if one["checked"] is not None]
            seen = seen or bool(ticks)
            facts = tuple(
                Fact(f"«{one['label']}» is ticked before anybody chose", run.scenario)
                for one in ticks
                if one["checked"] and not one["disabled"]
            )
            if facts:
                return Verdict(rule, Outcome.FAIL, "", facts)
    if not seen:
        return unknown(rule, "not-watched" if any(run.layers for run in case.runs) else "no-notice")
    return Verdict(rule, Outcome.PASS)


def _b2(case: Case, rule: str) -> Verdict:
    """Each declared purpose has a tick of its own, which moves no other."""
    if case.policy is None:
        return unknown(rule, "needs-policy")
    facts, walked = [], set()
    for run in case.of("only"):
        wanted, found = run.scenario.partition(":")[2], run.facts.get("set")
        if not found or not found["found"]:
            continue
        walked.add(wanted)
        if found["ticks"] < len(case.purposes):
            text = f"{found['ticks']} ticks for {len(case.purposes)} purposes"
            facts.append(Fact(text, run.scenario))
        others = sorted(set(found["ticked"]) & (case.purposes - {wanted}))
        if others:
            text = f"with {wanted} alone, {', '.join(others)} is ticked as well"
            facts.append(Fact(text, run.scenario))
    if not facts and walked < case.purposes:
        return unknown(rule, case.missing("only") or "not-run")
    return verdict(case, rule, facts, (), "only")


def _b3(case: Case, rule: str) -> Verdict:
    """Ticks tell a state, and are named after a purpose and not after a command."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    ticks = [(run, layer, one) for run, layer in case.layers("no-choice", "settings", "only", "withdraw")
             for one in layer["controls"] if one["role"] in _TICKS]  # fmt: skip
    for run, layer, one in ticks:
        name = f"the {one['role']} «{one['label']}»"
        if one["checked"] is None:
            facts.append(Fact(f"{name} tells no state", run.scenario))
        if said("command", one["label"]) == [" ".join(folded(one["label"]))]:
            facts.append(Fact(f"{name} is named after a command", run.scenario))
        if one["disabled"] and one["checked"]:
            around = f"{one['label']} {layer.get('box', {}).get('text', '')}"
            if not said("always", around):
                doubtful.append(Fact(f"{name} cannot be moved, and nothing says why", run.scenario))
    if not ticks:
        return _no_settings(case, rule)
    return needs_human(case, rule, facts, doubtful, "settings")


def _no_settings(case: Case, rule: str) -> Verdict:
    if any(run.facts.get("settings") == "none" for run in case.of("settings")):
        return beside_the_point(rule, "the notice has no settings")
    return unknown(rule, case.missing("settings") or "not-watched")


def _b4(case: Case, rule: str) -> Verdict:
    """Settings that are saved untouched grant nothing, and show afterwards what they showed before."""
    facts: list[Fact] = []
    saved = [run for run in case.of("settings") if run.facts.get("settings") == "saved"]
    for run in saved:
        earlier = {one.name for one in copies(run, "arrive", "settings") if one.detail["granted"]}
        facts += [
            one for one in granted_copies(run, "saved") if one.text.split(" says")[0] not in earlier
        ]
        facts += _brought(case, run, "saved")
        before = {one["label"]: one["ticked"] for one in run.facts.get("shown", ())}
        facts += [
            Fact(
                f"«{one['label']}» was saved as ticked, and nobody ticked it", run.scenario, "saved"
            )
            for one in run.facts.get("reopened", ())
            if one["ticked"] and not one["locked"] and one["label"] in before
        ]
    if not saved:
        reasons = [run.facts["settings"] for run in case.of("settings") if "settings" in run.facts]
        if reasons and reasons[0] != "none":
            return unknown(rule, reasons[0])
        return _no_settings(case, rule)
    seen = any("reopened" in run.facts or list(copies(run, "saved")) for run in saved)
    if not facts and not seen and case.missing("no-choice", "refuse", "accept"):
        return unknown(rule, "unclassified")
    return verdict(case, rule, facts, (), "settings")


def _brought(case: Case, run: Run, station: str) -> list[Fact]:
    """Return what appeared at a station that acceptance brings, and neither visit nor refusal do."""
    if case.missing("no-choice", "refuse", "accept"):
        return []
    closed = {_item(one) for name in ("no-choice", "refuse") for other in case.of(name)
              for one in other.observations}  # fmt: skip
    closed |= {_item(one) for one in run.observations if not one.station.startswith(station)}
    opened = {_item(one) for other in case.of("accept") for one in after(other, "accept")}
    found: dict[tuple[str, str, str], Fact] = {}
    for one in after(run, station):
        if (one.kind in KEPT or (one.kind in ASKED and one.third)) and _item(
            one
        ) in opened - closed:
            what = f"{one.name} of {one.host}" if one.kind in KEPT else one.host
            text = f"{what} came with saving, as with accepting and not with refusing"
            found.setdefault(_item(one), Fact(text, run.scenario, one.station, one.at, one.chain))
    return list(found.values())


def _item(one: Observation) -> tuple[str, str, str]:
    kept = one.kind in KEPT
    return (
        str(one.detail.get("area", "cookie")) if kept else "host",
        one.name if kept else "",
        one.host,
    )


def _b5(case: Case, rule: str) -> Verdict:
    """Every item is declared, and lives no longer than declared."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    facts: dict[tuple[str, str], Fact] = {}
    for run in case.runs:
        wrote = writers(run)
        for one in run.observations:
            if one.kind not in KEPT:
                continue
            needs = case.inventory.purposes_of_item(one)
            if needs is None:
                facts.setdefault((one.name, one.host), kept_fact(case, one, run, wrote))
            declared = case.inventory.too_long(one)
            if declared is not None:
                asked = days(one.detail.get("seconds"))
                text = (
                    f"{one.name} of {one.host} asks for {asked:g} days, declared are {declared:g}"
                )
                facts.setdefault(
                    (one.name, "age"), Fact(text, run.scenario, one.station, one.at, one.chain)
                )
    if facts:
        return Verdict(rule, Outcome.FAIL, "", tuple(facts.values()))
    return verdict(case, rule, (), (), "accept")


def _b6(case: Case, rule: str) -> Verdict:
    """Nothing is based on legitimate interests, and no advertising or social network is locked on."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    layers = list(case.layers("no-choice", "settings", "refuse", "only"))
    for run, layer in layers:
        for one in layer["controls"]:
            if said("interest", one["label"]):
                facts.append(
                    Fact(f"«{one['label']}» is a switch of legitimate interest", run.scenario)
                )
            spoken_of = [topic for topic in SANCTIONED if said(topic, one["label"])]
            if one["disabled"] and one["checked"] and spoken_of:
                facts.append(Fact(f"«{one['label']}» is on and cannot be moved", run.scenario))
        words = said("interest", layer.get("box", {}).get("text", ""))
        if words:
            text = f"the notice speaks of {words[0]}"
            doubtful.append(Fact(text, run.scenario))
    for run in [*case.of("no-choice"), *case.of("refuse")]:
        for one in run.observations:
            if one.kind == "copy" and "interest" in one.name and one.detail["granted"]:
                text = f"the consent string carries legitimate interests ({one.detail['what']})"
                facts.append(Fact(text, run.scenario, one.station, one.at))
    if not facts and not any(run.layers for run in case.of("settings")):
        return unknown(rule, case.missing("settings") or "no-notice")
    return needs_human(case, rule, facts[:5], doubtful[:5], "no-choice", "settings")


DECIDE: dict[str, Decide] = {"B1": _b1, "B2": _b2, "B3": _b3, "B4": _b4, "B5": _b5, "B6": _b6}
