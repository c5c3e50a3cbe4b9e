"""`bandeau audit`: a real browser walks through a site's choices, and what it saw is judged."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bandeau.audit.scenario import Plan, Run
    from bandeau.cli.progress import Progress
    from bandeau.policy.model import Policy

Report = dict[str, Any]
FORMATS = ("json", "html", "csv", "sarif", "junit", "har", "github", "pdf")


@click.command()
@click.argument("url")
@click.option(
    "--policy", type=click.Path(path_type=Path, exists=True), help="Judge against this policy file."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the report and its evidence."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    help="What to write into --out; several times. Default: json and html.",
)
@click.option("--scenario", "scenarios", multiple=True, help="Walk only this one; several times.")
@click.option("--thorough", is_flag=True, help="Longer stations, three pages, everything twice.")
@click.option("--language", default="fr-FR", show_default=True, help="Of the browser.")
@click.option(
    "--compare", type=click.Path(path_type=Path, exists=True), help="An earlier report (JSON)."
)
@click.option("--jobs", type=click.IntRange(1, 16), help="Walks at once; else two for each core.")
@click.option("--quiet", is_flag=True, help="No progress, only what it came to.")
def audit(
    url: str,
    policy: Path | None,
    out: Path | None,
    formats: tuple[str, ...],
    scenarios: tuple[str, ...],
    language: str,
    compare: Path | None,
    jobs: int | None,
    *,
    thorough: bool,
    quiet: bool,
) -> None:
    """Audit a site: 0 clean, 1 findings, 2 it could not be audited; the report is written anyway."""
    try:
        from bandeau.audit.compare import CompareError, changes  # noqa: PLC0415 (keeps --help quick)
        from bandeau.audit.pipe import BrowserError  # noqa: PLC0415
        from bandeau.audit.report import write  # noqa: PLC0415
        from bandeau.audit.scenario import Plan, apart  # noqa: PLC0415
        from bandeau.audit.watch import Setting  # noqa: PLC0415
        from bandeau.cli.progress import Progress  # noqa: PLC0415
    except ModuleNotFoundError as error:
        click.echo(f"more packages are needed: pip install 'bandeau[audit]' ({error})", err=True)
        sys.exit(2)
    from bandeau.errors import BandeauError  # noqa: PLC0415
    from bandeau.policy.file import load  # noqa: PLC0415

    url = address(url)
    try:
        declared = load(policy) if policy else None
    except BandeauError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    own = tuple(one.host for one in declared.site.own_hosts) if declared else ()
    prefix = declared.site.prefix if declared else ""
    plan = Plan(url, Setting(language=language), thorough=thorough, own=own, prefix=prefix)
    wanted = chosen(scenarios, declared)
    started = datetime.now(UTC)
    try:
        with Progress(url, quiet=quiet) as progress:
            runs = apart(walked(plan, wanted, jobs or 2 * (os.cpu_count() or 1), progress))
    except KeyboardInterrupt:
        click.echo("interrupted: nothing was judged", err=True)
        sys.exit(2)
    report = judged(plan, runs, declared, started)
    for line in summary(report):
        click.echo(line)
    try:
        if out:
            for path in write(report, runs, out, formats or ("json", "html")):
                click.echo(str(path))
        if compare:
            for line in changes(compare, report):
                click.echo(line)
    except (OSError, BrowserError, CompareError) as error:  # no finding: so not 1
        click.echo(str(error), err=True)
        sys.exit(2)
    sys.exit(report["exit"])


def address(url: str) -> str:
    """Return a site's address with its host as browsers send it. Raises click.BadParameter."""
    from bandeau.wire.hosts import spelt  # noqa: PLC0415 (as above)

    found = spelt(url)
    if found is None:
        raise click.BadParameter("write http://… or https://…", param_hint="URL")
    return found


def chosen(scenarios: Sequence[str], policy: Policy | None) -> list[str]:
    """Return the scenarios to walk: the ones named, else the default and one for each purpose.

    Raises click.BadParameter for a name that there is not.
    """
    from bandeau.audit.scenario import DEFAULT, NAMES  # noqa: PLC0415 (as above)

    for name in scenarios:
        if name not in NAMES and not name.startswith("only:"):
            raise click.BadParameter(
                f"there is no {name}; there are {', '.join(NAMES)} and only:PURPOSE",
                param_hint="--scenario",
            )
    alone = [f"only:{one}" for one in policy.consentable] if policy else []
    return list(dict.fromkeys(scenarios)) or [*DEFAULT, *alone, *(["endpoints"] if policy else [])]


async def walked(plan: Plan, scenarios: Sequence[str], jobs: int, progress: Progress) -> list[Run]:
    """Walk scenarios, some at once, in one browser; return the runs in the order asked.

    What another begins with is not walked twice: the first part of a withdrawal is an acceptance.
    """
    from bandeau.audit.scenario import BEGINS, LONG, run, shared  # noqa: PLC0415 (as above)

    gate = asyncio.Semaphore(jobs)
    parts = {BEGINS[one] for one in scenarios if one in BEGINS}
    numbers = (1, 2) if plan.thorough else (1,)
    walks = [(one, number) for one in scenarios if one not in parts for number in numbers]

    async with shared(plan) as browser:

        async def one(place: int, scenario: str, number: int) -> Run:
            name = f"{scenario} ({place} of {len(walks)})"

            def told(at: str) -> None:
                progress.station(name, at)

            async with gate:
                told("start")
                done = await run(plan, scenario, number, told, browser=browser)
                progress.done(name, "done" if done.completed else f"not done ({done.reason})")
                return done

        order = sorted(range(len(walks)), key=lambda at: walks[at][0] not in LONG)
        runs = await asyncio.gather(*(one(at + 1, *walks[at]) for at in order))
    runs += [each.first for each in runs if each.first and each.first.scenario in scenarios]
    return sorted(runs, key=lambda each: (scenarios.index(each.scenario), each.number))


def judged(plan: Plan, runs: list[Run], policy: Policy | None, started: datetime) -> Report:
    """Judge runs and return the report's document."""
    from bandeau.audit.document import document  # noqa: PLC0415 (as above)
    from bandeau.audit.judge import Case, judge  # noqa: PLC0415
    from bandeau.audit.ruleset import load as load_rules  # noqa: PLC0415

    rules = load_rules()
    verdicts = judge(Case(runs, policy), rules.values())
    return document(
        plan.url,
        runs,
        verdicts,
        rules,
        started=started,
        policy=policy,
        version=version("bandeau"),
    )


def summary(report: Report) -> list[str]:
    """Return the report in a few lines: what does not hold, and what was not done."""
    lines = []
    for one in report["verdicts"]:
        if one["outcome"] == "fail":
            lines.append(f"{one['rule']} {one['failure']}")
            lines += [f"    {fact['scenario']}: {fact['text']}" for fact in one["facts"][:5]]
            more = len(one["facts"]) - 5
            if more > 0:
                lines.append(f"    and {more} more")
    for run in report["runs"]:
        if not run["completed"]:
            lines.append(
                f"{run['scenario']} was not done: {run['facts'].get('error', run['reason'])}"
            )
        lines += [f"{run['scenario']}: not watched: {one}" for one in run["unwatched"]]
    counts = report["counts"]
    words = ("clean", "findings", "could not be audited whole")[report["exit"]]
    told = ", ".join(f"{counts[name]} {name}" for name in counts)
    return [*lines, f"{report['url']}: {words} ({told})"]
