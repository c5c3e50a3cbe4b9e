"""From observations to verdicts: facts first, each against the rule that it bears on.

FAIL needs positive evidence, kept. PASS needs the walk to have come to its end. Everything else is
UNKNOWN with its reason. The gate is never asked: what is judged is what a browser saw.
"""

from __future__ import annotations

from collections.abc import Iterable

from bandeau.audit.judge import access, after, before, first, server, settings, special
from bandeau.audit.judge.base import Case, Fact, Outcome, Verdict
from bandeau.audit.ruleset import Rule

__all__ = ["DECIDABLE", "Case", "Fact", "Outcome", "Verdict", "judge"]
_DECIDE = {
    **first.DECIDE,
    **settings.DECIDE,
    **before.DECIDE,
    **after.DECIDE,
    **special.DECIDE,
    **access.DECIDE,
    **server.DECIDE,
}
DECIDABLE = frozenset(_DECIDE)


def judge(case: Case, rules: Iterable[Rule]) -> list[Verdict]:
    """Judge a case by rules, in their order."""
    return [_judged(case, rule) for rule in rules]


def _judged(case: Case, rule: Rule) -> Verdict:
    decide = _DECIDE.get(rule.id)
    if decide is None:  # what no browser can see
        return Verdict(rule.id, Outcome.UNKNOWN, "needs-server")
    return decide(case, rule.id)
