"""The desk in a real browser: without scripts, on a phone, and as axe-core sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from bandeau.desk.texts import LANGUAGES
from bandeau.desk.users import User
from bandeau.desk.versions import versions
from browser.conftest import free_ports
from browser.notices import Peer, fetch
from desk.office import PASSWORD, Office, built
from ledger.faults import PROVE
from serving import running

AXE = Peer("axe-core@4.14.1", ("axe.min.js",), "", (0, 0, 0))
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
needs_time = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 judges every page of it")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    made = built(tmp_path_factory.mktemp("office"), 6_000, days=60)
    made.users.note(User("edith", "editor"), "fsck")
    return made


@pytest.fixture(scope="module")
def address(office: Office) -> Iterator[str]:
    port = free_ports()
    origin = f"http://127.0.0.1:{port}"
    with running(office.desk(origin), port=port):
        yield origin


@contextlib.contextmanager
def visiting(
    chromium: Browser, office: Office, address: str, size: str, **how: object
) -> Iterator[Page]:
    """Yield the page of an editor who is logged in."""
    width, height = SIZES[size]
    context: BrowserContext = chromium.new_context(
        viewport={"width": width, "height": height},
        **how,  # type: ignore[arg-type]
    )
    token = office.users.begin(User("edith", "editor"))
    context.add_cookies([{"name": "desk", "value": token, "url": address}])
    yield context.new_page()
    context.close()


def pages(office: Office) -> dict[str, str]:
    """Return every page of the desk, by name."""
    desk = office.desk("http://127.0.0.1:1")
    old, new = (one.sha256 for one in versions(desk.log, date.min, date.max))
    index = next(one.index for one in desk.log.decisions())
    desk.log.store.close()
    return {
        "choices": "/?unit=month&day=2026-11-10", "day": "/?unit=day&day=2026-11-10", "nothing": "/?unit=day&day=1999-01-01",
        "year": "/?unit=year&day=2026-11-10", "notices": "/notices", "notice": f"/notices/{new}",
        "compared": f"/notices/{new}/compared?with={old}", "modes": "/modes", "ledger": "/ledger", "audits": "/audits",
        "erase": f"/erase?which={index}", "unreadable": "/erase?which=x", "dossier": "/dossier", "journal": "/journal",
        "login": "/login?out=1", "missing": "/nowhere",
    }  # fmt: skip


def test_an_editor_logs_in_looks_and_erases_without_a_script(
    chromium: Browser, office: Office, address: str
) -> None:
    context = chromium.new_context(java_script_enabled=False, locale="fr-FR")
    page = context.new_page()
    page.goto(f"{address}/erase")
    page.get_by_label("Nom").fill("edith")
    page.get_by_label("Mot de passe").fill(PASSWORD)
    page.get_by_role("button", name="Se connecter").click()
    page.get_by_label("Période", exact=True).select_option("year")
    page.get_by_role("button", name="Afficher").click()
    assert page.get_by_role("img", name="Au fil du temps").is_visible()
    page.get_by_role("link", name="Effacer").click()
    page.get_by_label("Numéro").fill("4")
    page.get_by_role("button", name="Chercher").click()
    page.get_by_label("J’ai vérifié").check()
    page.get_by_role("button", name="Effacer l’enregistrement 4").click()
    assert page.get_by_role("status").inner_text().startswith("L’enregistrement 4 est effacé")
    page.get_by_role("link", name="Deutsch").click()
    page.get_by_role("button", name="Abmelden").click()
    assert page.get_by_role("status").inner_text() == "Sie sind abgemeldet."
    context.close()


@needs_time
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_wrong_and_nothing_to_look_at(
    chromium: Browser, office: Office, address: str, language: str, scheme: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    folder = Path(request.config.cache.mkdir("axe"))
    if not (folder / AXE.folder).is_dir():
        fetch(folder, [AXE])
    source = (folder / AXE.folder / "axe.min.js").read_text("utf-8")
    ask = "async (tags) => { const r = await axe.run(document, {runOnly: {type: 'tag', values: tags}});"
    ask += (
        " const brief = (l) => l.map((x) => [x.id, x.nodes.map((n) => [n.target, n.failureSummary"
    )
    ask += " || '', n.any.map((c) => c.message)])]); return [r.passes.length, brief(r.violations),"
    ask += " brief(r.incomplete)]; }"
    looked = 0
    for size in SIZES:
        how = {"color_scheme": scheme, "locale": language}
        with visiting(chromium, office, address, size, **how) as page:
            said: list[str] = []
            page.on("console", lambda one: said.append(one.text))  # noqa: B023 (read at once)
            for name, path in pages(office).items():
                said.clear()
                page.goto(f"{address}{path}")
                for summary in page.locator("summary").all():
                    summary.click()
                wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, (name, size)
                expected = ["404", "400"] if name in ("missing", "unreadable") else []
                assert all(any(code in one for code in expected) for one in said), (name, said)
                page.evaluate(source)
                passes, violations, incomplete = page.evaluate(ask, TAGS)
                assert (violations, incomplete) == ([], []), (name, size)
                assert passes > 10
                looked += 1
    assert looked == 2 * len(pages(office))


@needs_time
def test_screenshots_are_taken_at_the_button_and_shown(
    chromium: Browser, office: Office, address: str
) -> None:
    with visiting(chromium, office, address, "desktop", locale="en") as page:
        page.goto(f"{address}/notices")
        page.get_by_role("button", name="Take those that are missing").click()
        page.get_by_text("8 screenshots were taken.").wait_for(timeout=120_000)
        page.get_by_role("link", name="Version of").first.click()
        page.wait_for_url("**/notices/*")
        page.wait_for_load_state("load")
        pictures = page.get_by_role("img", name="The notice in")
        assert pictures.count() == 4
        widths = pictures.evaluate_all("all => all.map((one) => one.naturalWidth)")
        assert sorted(widths) == [390, 390, 1280, 1280]
