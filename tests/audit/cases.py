"""Walks that are written down: what the tests of verdicts are made of."""

from __future__ import annotations

from typing import Any

from bandeau.audit.judge import Case, Outcome, Verdict, judge
from bandeau.audit.observe import Observation
from bandeau.audit.ruleset import load
from bandeau.audit.scenario import Run
from bandeau.audit.watch import Setting
from bandeau.policy.file import loads
from bandeau.policy.model import Policy

RULES = load()


def walked(scenario: str, *observed: Observation, **more: Any) -> Run:
    return Run(
        scenario, 1, Setting(), **{"completed": True, "observations": list(observed), **more}
    )


def verdict(rule: str, *runs: Run, policy: Policy | None = None) -> Verdict:
    (found,) = judge(Case(runs, policy), [RULES[rule]])
    return found


def asked(station: str) -> Observation:
    return Observation(
        "request",
        station,
        1,
        "https://fonts.cdn.test/a.woff",
        "fonts.cdn.test",
        third=True,
        chain=(),
    )


def kept(station: str, name: str = "zid", *, third: bool = False, **detail: Any) -> Observation:
    more = {"seconds": 99_999_999, "by": "http", **detail}
    return Observation("cookie_kept", station, 1, name, "site.test", third, (), more)


def layer(**more: Any) -> dict[str, Any]:
    look = {
        "in_view": True, "in_text": False, "width": 100, "height": 44, "role": "button",
        "color": "rgb(0, 0, 0)", "background": "rgb(255, 255, 255)", "checked": None, "disabled": False,
    }  # fmt: skip
    accept = {**look, "goal": "accept", "label": "Accept"}
    return {
        "name": "words",
        "box": box(),
        "controls": [accept, {**look, "goal": "refuse", "label": "Refuse", **more}],
    }


def box(**more: Any) -> dict[str, Any]:
    """What stands around the controls of a layer; without more a good one."""
    ground = {
        "text": "x",
        "color": "rgb(0, 0, 0)",
        "ground": "rgb(255, 255, 255)",
        "size": 16,
        "bold": False,
    }
    return {
        "text": "This site uses cookies for personalised advertising.", "whole": False, "lang": "en", "page_lang": "en",
        "role": "region", "name": "Cookies", "heading": True, "modal": False, "live": False,
        "links": [["Privacy", "http://site.test/privacy"]], "labels": [], "grounds": [ground], "endless": 0, **more,
    }  # fmt: skip


def notice(**more: Any) -> dict[str, Any]:
    """A good first layer, but for what its box has more."""
    return {**layer(), "box": box(**more)}


def tick(label: str = "Advertising", **more: Any) -> dict[str, Any]:
    """A check box."""
    found: dict[str, Any] = layer()["controls"][0]
    return {**found, "role": "checkbox", "goal": None, "label": label, "checked": False, **more}


def request(
    host: str, station: str, *, kind: str = "Script", third: bool = True, **more: Any
) -> Observation:
    """A request to a host."""
    return Observation(
        "request", station, 1, f"https://{host}/x", host, third, (), {"type": kind, **more}
    )


def copied(
    station: str, granted: bool | None, name: str = "Consent Mode ad_storage"
) -> Observation:
    """A copy of the choice."""
    return Observation(
        "copy", station, 1, name, "", third=False, detail={"granted": granted, "what": "x"}
    )


def text(length: int, station: str, words: str = "", path: str = "/") -> dict[str, Any]:
    """What a page said at a station, as a run's facts have it."""
    return {station: {"length": length, "text": words, "path": path, "made": 0}}


def outcome(rule: str, *runs: Run, policy: Policy | None = None) -> str:
    """The outcome, or for what is unknown its reason."""
    found = verdict(rule, *runs, policy=policy)
    return found.reason if found.outcome is Outcome.UNKNOWN else found.outcome.value


def declared(title: str = "", feature: str = "") -> Policy:
    """A policy with advertising and video, a service and a cookie of each; none serves a feature's."""
    return loads(f"""
version = 1
proof.keep_days = 912
controller = {{ name = "Site SA", address = "x", contact = "a@site.test", privacy_policy = "/privacy" }}
site = {{ origins = ["https://site.test"], languages = ["en"] }}
purpose = [{{ id = "ads"{f', text.en = {{ title = "{title}", sentence = "x" }}' if title else ""} }}, {{ id = "video" }}{', { id = "profiles" }' if feature else ""}]
feature = [{feature}]
tracker = [
  {{ name = "ad", kind = "cookie", purpose = "ads", max_age_days = 1 }},
  {{ name = "both", kind = "cookie", purpose = "ads", max_age_days = 1 }},
  {{ name = "both", kind = "cookie", purpose = "video", max_age_days = 1 }},
]
[[service]]
id = "adco"
purpose = "ads"
recipient = "Adco"
hosts = [{{ host = "ads.test", kinds = ["script"] }}]
[[service]]
id = "tube"
purpose = "video"
recipient = "Tube"
hosts = [{{ host = "tube.test", kinds = ["frame"] }}]
""")
