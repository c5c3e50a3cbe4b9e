"""The desk over real sockets: who gets in, what they see, what they may do, and that nothing breaks it."""

from __future__ import annotations

import hashlib
import io
import random
import re
import stat
import string
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner

from bandeau.cli import main
from bandeau.desk import users as module
from bandeau.desk.pages import PLACES
from bandeau.desk.texts import LANGUAGES
from bandeau.desk.users import IDLE, TRIES, WHOLE, WINDOW, Attempts, User, Users
from bandeau.desk.versions import versions
from bandeau.errors import BandeauError
from bandeau.ledger.entry import Kind
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log
from bandeau.ledger.place import key_file, store_at
from conftest import SMALL
from desk.office import ORIGIN, PASSWORD, QUICK, Browser, Office, built
from ledger.faults import PROVE
from ledger.postgres_server import server
from serving import running

EDITOR = [path for path, place in PLACES.items() if place.role == "editor"]
READER = [path for path, place in PLACES.items() if place.role == "reader"]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return built(tmp_path_factory.mktemp("office"), 3_000, days=60)


@pytest.fixture(scope="module")
def port(office: Office) -> Iterator[int]:
    with running(office.desk(ORIGIN)) as found:
        yield found


@pytest.fixture
def stranger(port: int) -> Browser:
    return Browser(port)


@pytest.fixture
def reader(office: Office, port: int) -> Browser:
    return Browser(port, f"desk={office.users.begin(User('rea', 'reader'))}")


@pytest.fixture
def editor(office: Office, port: int) -> Browser:
    return Browser(port, f"desk={office.users.begin(User('edith', 'editor'))}")


def hashes(office: Office) -> list[str]:
    store = store_at(office.url)
    found = [event.detail.split()[1] for event in store.events([Kind.SNAPSHOT])]
    store.close()
    return found


def decision(office: Office, place: int) -> int:
    """Return the index of a decision whose record is still there."""
    store = store_at(office.url)
    found = [one.index for one in store.records(0, 10_000)]
    store.close()
    return found[place]


def real(office: Office, path: str) -> str:
    sha256 = hashes(office)[-1]
    return path.format(sha256=sha256, lang="fr", size="phone")


# -- in and out ------------------------------------------------------------------------------------


def test_nobody_sees_anything_without_a_session(office: Office, stranger: Browser) -> None:
    for path in (*READER, *EDITOR):
        seen = stranger.get(real(office, path))
        assert (seen.status, seen.headers["location"]) == (303, "/login"), path
        assert stranger.post(real(office, path)).status in (303, 405), path


def test_name_and_password_open_a_session_that_the_log_out_ends(stranger: Browser) -> None:
    answer = stranger.post("/login", name=" Edith ", password=PASSWORD)
    assert answer.status == 303
    line = answer.headers["set-cookie"]
    assert re.fullmatch(r"desk=[\w-]{43}; HttpOnly; Path=/; SameSite=strict", line)
    assert stranger.get("/").status == 200
    token = stranger.cookie
    assert stranger.post("/logout").headers["location"] == "/login?out=1"
    stranger.cookie = token
    assert stranger.get("/").status == 303


@pytest.mark.parametrize(
    ("name", "password"),
    [("edith", "wrong"), ("nobody", PASSWORD), ("", ""), ("edith", ""), ("\0", "x" * 5000)],
)
def test_a_wrong_name_or_password_opens_nothing(
    stranger: Browser, name: str, password: str
) -> None:
    seen = stranger.post("/login", name=name, password=password)
    assert seen.status == 403
    assert "set-cookie" not in seen.headers
    assert "do not go together" in seen.words


def test_a_name_that_failed_too_often_waits_whether_it_exists_or_not(office: Office) -> None:
    with office.browser() as browser:
        for name in ("edith", "nobody"):
            statuses = [browser.post("/login", name=name, password="x").status for _ in range(6)]
            assert statuses == [403] * TRIES + [429]
            late = browser.post("/login", name=name, password=PASSWORD)
            assert late.status == 429
            assert 0 < int(late.headers["retry-after"]) <= WINDOW + 1
        assert browser.post("/login", name="rea", password=PASSWORD).status == 303


def test_waiting_ends_and_all_names_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(TRIES):
        assert attempts.begin("a") == 0
    assert attempts.begin("a") > 0
    now[0] += WINDOW + 1
    assert attempts.begin("a") == 0
    attempts.succeeded("a")
    monkeypatch.setattr(module, "ALL_TRIES", 10)
    for number in range(10):
        assert attempts.begin(f"n{number}") == 0
    assert attempts.begin("another") > 0


def test_of_many_log_ins_at_once_no_more_are_tried_than_in_a_row(office: Office) -> None:
    tried: list[str] = []
    all_came = threading.Barrier(TRIES + 1)

    class Slow(Users):
        def checked(self, name: str, password: str) -> User | None:
            tried.append(name)
            all_came.wait(30)  # none is known to have failed before all of them are being tried
            return super().checked(name, password)

    slow = replace(office, users=Slow(office.users.path, hasher=QUICK))
    with slow.browser() as browser, ThreadPoolExecutor(TRIES) as pool:
        asked = [
            pool.submit(browser.post, "/login", name="rea", password="x") for _ in range(TRIES)
        ]
        while len(tried) < TRIES and not any(one.done() for one in asked):
            time.sleep(0.005)
        late = browser.post("/login", name="rea", password=PASSWORD)
        all_came.wait(30)
        assert late.status == 429
        assert [one.result().status for one in asked] == [403] * TRIES


def test_who_logs_in_five_times_need_not_wait(office: Office) -> None:
    with office.browser() as browser:
        for _ in range(TRIES + 1):
            assert browser.post("/login", name="rea", password=PASSWORD).status == 303


def test_a_session_ends_by_itself_with_a_new_password_and_with_its_user(tmp_path: Path) -> None:
    now = [1_000_000.0]
    users = Users(tmp_path / "u", lambda: now[0], QUICK)
    users.add("a", PASSWORD, "reader")
    (user,) = users.all()
    token = users.begin(user)
    for _ in range(WHOLE // IDLE * 2 - 1):
        now[0] += IDLE // 2
        assert users.of(token) == user
    now[0] += IDLE // 2
    assert users.of(token) is None
    token = users.begin(user)
    now[0] += IDLE
    assert users.of(token) is None
    token = users.begin(user)
    users.add("a", PASSWORD + "!", "editor")
    assert users.of(token) is None
    token = users.begin(user)
    assert users.of(token) != user  # the role of today counts
    users.remove("a")
    assert users.of(token) is None
    with pytest.raises(BandeauError, match="no user"):
        users.remove("a")


def test_the_file_of_users_is_for_its_owner_and_holds_no_password_and_no_token(
    office: Office, reader: Browser
) -> None:
    content = office.users.path.read_bytes()
    assert stat.S_IMODE(office.users.path.stat().st_mode) == 0o600
    assert PASSWORD.encode() not in content
    assert reader.cookie.partition("=")[2].encode() not in content
    assert b"$argon2id$" in content


@pytest.mark.parametrize(("name", "password"), [("Édith", PASSWORD), ("", PASSWORD), ("a", "short"), ("a b", PASSWORD), ("a", "x" * 1025)])  # fmt: skip
def test_a_name_or_password_that_cannot_be_is_refused(
    tmp_path: Path, name: str, password: str
) -> None:
    with pytest.raises(BandeauError):
        Users(tmp_path / "u").add(name, password, "reader")


# -- what an answer carries ------------------------------------------------------------------------


def test_every_answer_is_protected_and_has_no_script(office: Office, editor: Browser) -> None:
    paths = [real(office, path) for path, place in PLACES.items() if place.get]
    for path in (*paths, "/nowhere", "/notices/" + "0" * 64):
        for lang in LANGUAGES:
            seen = editor.get(f"{path}?lang={lang}")
            policy = seen.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script" not in policy
            assert seen.headers["cache-control"] == "no-store"
            assert seen.headers["x-content-type-options"] == "nosniff"
            assert b"<script" not in seen.body.lower()
            if seen.headers["content-type"].startswith("text/html") and "sandbox" not in policy:
                assert f'<html lang="{lang}">' in seen.text
                assert "style=" not in seen.text


def test_nobody_is_led_to_another_name_or_scheme(office: Office, port: int) -> None:
    seen = Browser(port).get("/login/", Host="evil.example")
    assert (seen.status, seen.headers["location"]) == (404, None)


def test_over_https_the_cookie_is_bound_to_the_host(office: Office) -> None:
    desk = office.desk("https://desk.example.org")
    assert desk.session == "__Host-desk"
    assert desk.secure
    desk.log.store.close()


@pytest.mark.parametrize("host", ["evil.example", "desk.localhost", "desk.localhost:80", ""])
def test_under_another_name_nothing_is_answered(reader: Browser, host: str) -> None:
    assert reader.ask("GET", "/", b"", Host=host).status in (400, 421)
    form = urlencode({"name": "rea", "password": PASSWORD}).encode()
    assert reader.send("/login", form, Host=host, Sec_Fetch_Site="same-origin").status in (400, 421)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": ORIGIN}, True),
        ({}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": ORIGIN}, False),
        ({"Sec_Fetch_Site": "same-site", "Origin": ORIGIN}, False),
        ({"Sec_Fetch_Site": "none"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "https://desk.localhost:9010"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_only_a_page_of_the_desk_changes_anything(
    editor: Browser, headers: dict[str, str], allowed: bool
) -> None:
    token = editor.cookie
    assert editor.send("/logout", b"", **headers).status == (303 if allowed else 403)
    editor.cookie = token
    assert editor.get("/").status == (303 if allowed else 200)


def test_what_is_no_form_or_too_long_is_refused(editor: Browser) -> None:
    same = {"Sec_Fetch_Site": "same-origin"}
    assert editor.send("/erase", b"{}", Content_Type="application/json", **same).status == 415
    assert editor.send("/erase", b"which=" + b"1" * 70_000, **same).status == 413
    assert editor.send("/erase", b"&".join([b"a=1"] * 60), **same).status == 413


# -- roles -----------------------------------------------------------------------------------------


def test_a_reader_sees_and_does_nothing(office: Office, reader: Browser) -> None:
    for path in READER:
        if PLACES[path].get and "{size}" not in path:
            seen = reader.get(real(office, path) + ("?with=" + hashes(office)[0]))
            assert seen.status == 200, path
            assert 'href="/erase' not in seen.text
    for path in EDITOR:
        assert reader.get(path).status in (403, 405), path
        assert reader.post(path, which="3", sure="yes", erase="yes").status in (403, 405), path


# -- pages -----------------------------------------------------------------------------------------


def test_choices_are_counted_by_the_calendar(editor: Browser) -> None:
    words = editor.get("/?unit=month&day=2026-11-10").words
    assert "What visitors decided, 2026-11." in words
    assert "Accepted all" in words
    assert "Social networks" in words
    for unit, name in (("day", "2026-11-10"), ("week", "2026-W46"), ("year", "2026")):
        seen = editor.get(f"/?unit={unit}&day=2026-11-10")
        assert f"decided, {name}." in seen.words
        assert seen.text.count('<div class="axis"') == (0 if unit == "day" else 1)
        assert seen.text.count("<h2") == (7 if unit == "day" else 8)
    assert "there is nothing to show" in editor.get("/?unit=day&day=1999-01-01").words


def test_no_number_under_ten_is_on_the_page_of_choices(editor: Browser) -> None:
    for unit in ("day", "week", "month", "year"):
        seen = editor.get(f"/?unit={unit}&day=2026-11-10")
        cells = re.findall(r'<td class="n">([^<]*)</td>', seen.text.replace("&lt;", "LESS"))
        assert "LESS 10" in cells
        numbers = [cell.replace("\u202f", "") for cell in cells if "%" not in cell]
        assert all(int(n) % 10 == 0 and int(n) for n in numbers if n.isdecimal())
        assert {n for n in numbers if not n.isdecimal()} <= {"LESS 10", "–"}


def test_a_version_is_shown_compared_and_rendered(office: Office, reader: Browser) -> None:
    old, new = hashes(office)
    listed = reader.get("/notices").text
    assert listed.index(new) < listed.index(old)
    one = reader.get(f"/notices/{new}")
    assert "Square &amp; &lt;b&gt;Sons&lt;/b&gt;" in one.text
    assert "Tout accepter" in one.words
    both = reader.get(f"/notices/{new}/compared?with={old}")
    assert both.words == reader.get(f"/notices/{old}/compared?with={new}").words
    assert "removed: en settings: browsing, IP address" in both.words
    assert "added: en settings: browsing" in both.words
    assert "read the same" in reader.get(f"/notices/{new}/compared?with={new}").words
    page = reader.get(f"/notices/{new}/fr")
    assert "sandbox" in page.headers["content-security-policy"]
    assert 'id="bandeau"' in page.text
    assert reader.get(f"/notices/{new}/fr/desktop").status == 404  # no screenshot was taken


def test_a_screenshot_that_lies_beside_the_key_is_shown(office: Office, reader: Browser) -> None:
    (new,) = hashes(office)[-1:]
    folder = office.folder / "bandeau.pictures"
    folder.mkdir()
    (folder / f"{new}-fr-phone.png").write_bytes(b"\x89PNG")
    assert f"/notices/{new}/fr/phone" in reader.get(f"/notices/{new}").text
    picture = reader.get(f"/notices/{new}/fr/phone")
    assert (picture.headers["content-type"], picture.body) == ("image/png", b"\x89PNG")


def test_what_was_in_force_and_the_audits_are_listed(reader: Browser) -> None:
    words = reader.get("/modes").words
    assert words.index("2026-11") < words.index("2026-09")
    assert "cookies, headers, browser-policy" in words
    assert "verdict: clean" in reader.get("/audits").words


@pytest.mark.parametrize("manifest", [b"[1, 2]", b'"x"', b"null", b"7", b"\xff", b"[" * 100_000])
def test_an_audit_is_listed_whatever_file_was_logged(tmp_path: Path, manifest: bytes) -> None:
    there = built(tmp_path, 2, days=2)
    store = store_at(there.url)
    ledger = Ledger(store, Keys(key_file(there.url)), Log(store).head.origin)
    ledger.audited(manifest)
    ledger.close()
    with there.browser("rea") as browser:
        seen = browser.get("/audits")
    assert seen.status == 200
    assert hashlib.sha256(manifest).hexdigest() in seen.text


def test_the_ledger_s_health_is_shown_and_checked_on_demand(editor: Browser) -> None:
    assert "Newest checkpoint covers" in editor.get("/ledger").words
    assert editor.post("/ledger/check").status == 303
    words = editor.get("/ledger").words
    while "is running" in words:
        words = editor.get("/ledger").words
    assert "all of it fits" in words
    head = re.search(r"<pre[^>]*>(.*?)</pre>", editor.get("/ledger").text, re.DOTALL)
    assert head
    assert "fits: " in editor.post("/ledger/compare", text=head[1].replace("\n", "\r\n")).words
    assert "proves nothing" in editor.post("/ledger/compare", text="nonsense").words


def test_a_record_is_erased_after_it_was_shown_and_confirmed(
    office: Office, editor: Browser
) -> None:
    index = decision(office, 5)
    seen = editor.post("/erase", which=str(index))
    assert f"Record {index}" in seen.words
    assert "snapshot=2" in seen.words
    form = {"which": str(index), "erase": "yes", "reason": "order"}
    assert "Confirm that it is this record" in editor.post("/erase", **form).words
    assert (
        "Nothing was erased"
        in editor.post("/erase", **{**form, "sure": "yes", "reason": "x"}).words
    )
    done = editor.post("/erase", sure="yes", **form)
    assert done.status == 200
    assert f"Record {index} is erased" in done.words
    assert "erased before" in editor.post("/erase", sure="yes", **form).words
    store = store_at(office.url)
    assert Log(store).kept(index) is None
    assert Log(store).fsck() == []
    store.close()
    assert f"edith erased a record {index} (order)" in editor.get("/journal").words


def test_a_record_is_found_by_its_receipt_and_a_held_one_is_not_erased(
    office: Office, editor: Browser
) -> None:
    index = decision(office, 9)
    store = store_at(office.url)
    receipt = Log(store).receipt(index)
    assert receipt
    store.close()
    text = receipt.encode().decode()
    assert f"Record {index}" in editor.post("/erase", which=text).words
    assert (
        f"Record {index}" in editor.post("/erase", which=text.strip().replace("\n", "\r\n")).words
    )
    CliRunner().invoke(
        main, ["ledger", "hold", str(index), "--because", "case 1", "--ledger", office.url]
    )
    assert "it cannot be erased" in editor.post("/erase", which=str(index)).words
    form = {"which": str(index), "erase": "yes", "reason": "order", "sure": "yes"}
    assert "record is held" in editor.post("/erase", **form).words.replace(f" {index} ", " ")


def test_a_dossier_is_packed_and_handed_over(editor: Browser) -> None:
    answer = editor.post("/dossier", **{"from": "2026-11-01", "to": "2026-11-30", "records": "yes"})
    assert answer.headers["content-disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as packed:
        assert "dossier/SHA256SUMS" in packed.namelist()
        assert packed.read("dossier/fsck.txt") == b"all of it fits\n"
        assert b"snapshot=" in packed.read("dossier/records.txt")
    assert "packed a dossier 2026-11-01 2026-11-30" in editor.get("/journal").words
    assert editor.post("/dossier", **{"from": "2026-12-01", "to": "2026-11-30"}).status == 400
    assert editor.post("/dossier", **{"from": "nonsense"}).status == 400
    assert "no notice was shown" in editor.post("/dossier", to="1999-01-01").words


def test_over_postgresql_the_desk_shows_and_erases_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANDEAU_KEY_FILE", str(tmp_path / "bandeau.key"))
    with server().database() as url:
        there = built(tmp_path, 200, days=2, url=url)
        with there.browser("edith") as browser:
            for path in READER:
                if "{size}" not in path:
                    seen = browser.get(real(there, path) + f"?with={hashes(there)[0]}")
                    assert seen.status == 200, (path, seen.words)
            assert "Accepted all" in browser.get("/?unit=year&day=2026-11-28").words
            form = {"which": str(decision(there, 5)), "reason": "request", "sure": "yes"}
            assert "is erased" in browser.post("/erase", erase="yes", **form).words
            assert browser.post("/dossier").headers["content-disposition"]
        store = store_at(url)
        assert Log(store).fsck() == []
        store.close()


def test_the_language_is_the_browser_s_or_the_one_that_was_asked_for(editor: Browser) -> None:
    assert "Was die Besucher" in editor.get("/", Accept_Language="nl, de;q=0.5").words
    seen = editor.get("/?lang=fr", Accept_Language="de")
    assert "Ce que les visiteurs" in seen.words
    assert 'href="/notices?lang=fr"' in seen.text
    assert "What visitors" in editor.get("/?lang=xx").words


def test_every_locale_of_the_desk_has_the_same_keys_and_places() -> None:
    found = {}
    for lang in LANGUAGES:
        text = (files("bandeau.desk") / "locales" / f"{lang}.toml").read_text("utf-8")
        found[lang] = {
            (section, key): sorted(set(re.findall(r"\{\w+\}", words)))
            for section, keys in tomllib.loads(text).items()
            for key, words in keys.items()
        }
    assert found["fr"] == found["en"] == found["de"]


# -- garbage ---------------------------------------------------------------------------------------


def test_no_parameter_whatever_is_in_it_makes_an_error_of_ours(
    office: Office, editor: Browser
) -> None:
    pick = random.Random(3)
    names = ("unit", "day", "lang", "with", "taken", "which", "erase", "sure", "reason", "from", "to", "records", "text", "name", "password")  # fmt: skip
    nasty = (
        "", "0", "-1", "9" * 30, "1e9", "\0", "\ud7ff\u202e", "<script>", "' OR 1=1 --", "../../x", "%00", "2026-13-40",
        "9999-12-31", "0001-01-01", "۳", "²", "NaN", "year", "c2sp.org/tlog-proof@v1", "💥" * 50, hashes(office)[0],
    )  # fmt: skip

    def value() -> str:
        letters = "".join(pick.choice(string.printable) for _ in range(pick.randrange(40)))
        return pick.choice((*nasty, letters))

    places = [path for path in PLACES if path not in ("/pictures", "/logout", "/login")]
    for _ in range(5_000 if PROVE else 120):
        path = re.sub(r"\{\w+\}", lambda _: quote(value(), safe="") or "x", pick.choice(places))
        form = {name: value() for name in pick.sample(names, 4)}
        seen = (
            editor.get(f"{path}?{urlencode(form, errors='replace')}")
            if pick.random() < 0.6
            else editor.post(path, **form)
        )
        assert seen.status < 500, (path, form, seen.words)
    for raw in (b"%", b"=&=&;", b"\xff\xfe=\x80", b"which=%ff%fe", b"which"):
        assert editor.send("/erase", raw, Sec_Fetch_Site="same-origin").status < 500
    for cookie in ("desk=", "desk=\x7f", "desk=%00", "x", "desk=a; desk=b", '__Host-desk="'):
        assert editor.get("/", Cookie=cookie).status in (303, 400)


def test_a_ledger_that_cannot_be_read_is_said(office: Office, tmp_path: Path) -> None:
    there = built(tmp_path, 20, days=2)
    with there.browser("rea") as browser:
        Path(there.url.removeprefix("sqlite:///")).write_bytes(b"nothing of a database" * 500)
        seen = browser.get("/")
        assert seen.status == 503
        assert "cannot be read" in seen.words


# -- the command -----------------------------------------------------------------------------------


def run(*words: str, stdin: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(main, ["desk", *words], input=stdin)
    return done.exit_code, done.output


def test_without_users_it_refuses_to_start_and_says_how_to_add_one(tmp_path: Path) -> None:
    there = built(tmp_path, 20, days=2)
    policy = tmp_path / "bandeau.toml"
    policy.write_text(SMALL, "utf-8")
    (tmp_path / "bandeau.desk").unlink()
    serve = ("--policy", str(policy), "--ledger", there.url, "--listen", "127.0.0.1:0")
    code, said = run(*serve)
    assert code == 2
    assert "bandeau desk adduser NAME" in said
    words = ("adduser", "ann", "--role", "editor", "--ledger", there.url)
    assert run(*words, stdin=f"{PASSWORD}\n{PASSWORD}\n")[0] == 0
    assert run(*words, "--password-stdin", stdin="short\n")[0] == 2
    assert run(*words, "--password-stdin", stdin=f"{PASSWORD}\n")[0] == 0
    assert run("users", "--ledger", there.url)[1] == "ann editor\n"
    assert Users(tmp_path / "bandeau.desk").checked("ann", PASSWORD)
    assert run("--ledger", there.url, "users")[1] == "ann editor\n"
    assert run("removeuser", "ann", "--ledger", there.url)[0] == 0
    assert run("removeuser", "ann", "--ledger", there.url)[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--listen", "0.0.0.0:0"), "--origin https://HOST"),
        (("--listen", "0.0.0.0:0", "--origin", "http://desk.example.org"), "write https://HOST"),
        (("--listen", "127.0.0.1:0", "--origin", "https://x/path"), "write https://HOST"),
        (("--listen", "nonsense"), "HOST:PORT"),
        ((), "--listen"),
    ],
)
def test_it_does_not_listen_where_others_could_read_along(
    office: Office, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    policy = tmp_path / "bandeau.toml"
    policy.write_text(SMALL, "utf-8")
    users = str(office.users.path)
    code, out = run("--policy", str(policy), "--ledger", office.url, "--users", users, *words)
    assert code == 2
    assert said in out


def test_versions_that_are_none_are_left_out(tmp_path: Path) -> None:
    from datetime import date

    from ledger.faults import at

    ledger = at(tmp_path)
    for content in (b"no json", b'{"notice": "text"}', b"[]", b'{"notice": {"languages": []}}'):
        ledger.snapshot(content)
    assert list(versions(ledger, date.min, date.max)) == []
    ledger.close()
