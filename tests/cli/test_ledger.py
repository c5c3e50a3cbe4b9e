"""`bandeau ledger`: each command on a ledger that a site wrote."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner

from bandeau.cli import main
from bandeau.ledger import note, tree
from bandeau.ledger.entry import Kind
from bandeau.policy.file import loads
from bandeau.site import Site
from conftest import SMALL, chosen, request

PHONE = (b"user-agent", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148")
ORIGIN = "www.own.localhost:9000/_b/log"


class Filled:
    """A ledger with three decisions: accept (3), withdraw (4), custom (5)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "b.db"
        self.url = f"sqlite:///{self.path}"
        site = Site.from_policy(loads(SMALL), self.url)
        chosen(site, b"choice=all&layer=first", [PHONE])
        chosen(site, b"choice=none&layer=first")
        chosen(site, b"choice=save&purpose=social&layer=settings")
        self.vkey = site.ledger.vkey
        self.shown = site.ledger.store.events([Kind.SNAPSHOT])[0].detail.split()[1]
        site.close()

    def run(self, *words: str, expected: int = 0) -> str:
        done = CliRunner().invoke(main, ["ledger", *words, "--ledger", self.url])
        assert done.exit_code == expected, done.output + str(done.exception)
        return done.output


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filled:
    monkeypatch.chdir(tmp_path)
    return Filled(tmp_path)


def test_records_are_exported_as_text_csv_and_json_ld(filled: Filled) -> None:
    lines = filled.run("export").splitlines()
    assert [line.split()[2] for line in lines] == ["accept_all", "refuse_all", "custom"]
    rows = list(csv.DictReader(io.StringIO(filled.run("export", "--format", "csv"))))
    assert [(row["index"], row["social"], row["ads"], row["device"]) for row in rows] == [
        ("3", "yes", "yes", "phone"), ("4", "no", "no", "unknown"), ("5", "yes", "no", "unknown"),
    ]  # fmt: skip
    records = [json.loads(line) for line in filled.run("export", "--format", "json").splitlines()]
    assert [one["dpv:hasConsentStatus"][0]["@type"] for one in records] == [
        "dpv:ConsentGiven", "dpv:ConsentRefused", "dpv:ConsentGiven",
    ]  # fmt: skip
    first = records[0]
    assert first["dpv:hasDataController"]["dpv:hasName"] == "Own Press"
    assert first["dpv:hasNotice"]["dct:identifier"] == filled.shown
    social = first["dpv:hasProcess"][0]
    assert social["dpv:hasPurpose"]["dct:identifier"] == "social"
    assert social["dpv:hasRecipient"][0]["dpv:hasName"] == "Square"
    assert first["bandeau:integrity"].startswith("c2sp.org/tlog-proof@v1\n")


def test_decisions_are_counted(filled: Filled) -> None:
    text = filled.run("stats")
    assert "3 decisions are kept; the log has 6 entries" in text
    assert "device phone: 1" in text
    assert "purpose social: 2 of 3 granted" in text


def test_a_snapshot_is_found_by_hash_or_place(filled: Filled) -> None:
    for name in (filled.shown[:12], "2"):
        text = filled.run("snapshot", name)
        assert hashlib.sha256(text.rstrip("\n").encode()).hexdigest() == filled.shown
    decision = "4" if filled.shown.startswith("3") else "3"  # a hash may begin with any digit
    for wrong in ("ffff", "", decision):
        filled.run("snapshot", wrong, expected=1)


def test_a_receipt_is_proved_verified_and_refused(filled: Filled) -> None:
    filled.run("prove", "3", "-o", "r.tlog-proof")
    text = filled.run("verify", "r.tlog-proof", "--key", filled.vkey)
    assert "accept_all" in text
    Path("key").write_text(filled.vkey + "\n")
    filled.run("verify", "r.tlog-proof", "--key", "key")
    alone = [sys.executable, "-m", "bandeau.ledger.verify", "r.tlog-proof", "--key", filled.vkey]
    done = subprocess.run(alone, capture_output=True, text=True, check=True)
    assert "accept_all" in done.stdout
    content = Path("r.tlog-proof").read_bytes()
    Path("w.tlog-proof").write_bytes(content.replace(b"index 3", b"index 4"))
    filled.run("verify", "w.tlog-proof", "--key", filled.vkey, expected=1)
    filled.run("verify", "r.tlog-proof", expected=2)
    filled.run("prove", "0", expected=2)
    filled.run("prove", "99", expected=2)


def test_a_history_is_found_by_place_or_receipt(tmp_path: Path, filled: Filled) -> None:
    site = Site.from_policy(loads(SMALL), filled.url)
    asked = request("/_b/choice", [(b"content-type", b"application/x-www-form-urlencoded"), (b"sec-fetch-site", b"same-origin")], "POST")  # fmt: skip
    reply = site.answer_sync(site.exchange(asked), b"choice=all")
    pairs = [v.partition(b";")[0] for n, v in reply.headers if n == b"set-cookie"]
    chosen(site, b"choice=none", [(b"cookie", b"; ".join(pairs))])
    site.close()
    filled.run("prove", "7", "-o", str(tmp_path / "w.tlog-proof"))
    for which in ("6", "7", "w.tlog-proof"):
        lines = filled.run("history", which).splitlines()
        assert [(line.split()[0], line.split()[2]) for line in lines] == [("6", "accept_all"), ("7", "withdraw")]  # fmt: skip
    filled.run("history", "2", expected=2)
    filled.run("history", "nonsense", expected=2)


def test_erasing_holding_and_releasing(filled: Filled) -> None:
    filled.run("prove", "3", "-o", "r.tlog-proof")
    filled.run("hold", "3", "--because", "case 12/2026")
    assert "(on hold)" in filled.run("history", "3")
    assert "case 12/2026" in filled.run("erase", "r.tlog-proof", expected=2)
    filled.run("release", "3")
    assert "entry 6 says so" in filled.run("erase", "r.tlog-proof", "--reason", "order")
    assert "accept_all" not in filled.run("export")
    filled.run("erase", "3", expected=2)
    assert "all of it fits" in filled.run("fsck")
    assert "accept_all" in filled.run("verify", "r.tlog-proof", "--key", filled.vkey)
    assert "nothing is old enough" in filled.run("retain", "--days", "912")


def test_publishing_adds_what_is_new_and_anybody_can_check_it(filled: Filled) -> None:
    filled.run("publish", "--out", "log", "--no-pictures")
    names = {str(path.relative_to("log")) for path in Path("log").rglob("*") if path.is_file()}
    assert names == {"checkpoint", "vkey", "tile/0/000.p/6", "tile/entries/000.p/6", f"snapshots/{filled.shown}.json"}  # fmt: skip
    site = Site.from_policy(loads(SMALL), filled.url)
    for _ in range(300):
        chosen(site, b"choice=all")
    site.close()
    filled.run("publish", "--out", "log", "--no-pictures")
    assert not list(Path("log").rglob("000.p/6"))
    assert (Path("log") / "tile/0/000").stat().st_size == 8192
    assert "306 entries" in filled.run("verify", "log", "--key", filled.vkey)
    assert "1 from outside fit" in filled.run("fsck", "--against", "log")
    bundle = Path("log/tile/entries/001.p/50")
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
    filled.run("verify", "log", "--key", filled.vkey, expected=1)


def test_screenshots_show_each_version_in_each_language_and_size(filled: Filled) -> None:
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium here")
    filled.run("publish", "--out", "log")
    found = sorted(
        path.name.removeprefix(filled.shown) for path in Path("log/snapshots").glob("*.png")
    )
    assert found == ["-en-desktop.png", "-en-phone.png", "-fr-desktop.png", "-fr-phone.png"]
    header = (Path("log/snapshots") / f"{filled.shown}-fr-phone.png").read_bytes()[16:24]
    assert struct.unpack(">II", header) == (390, 844)


def test_a_fork_is_named_with_the_first_index_that_differs(filled: Filled) -> None:
    shutil.copytree(filled.folder, "elsewhere", ignore=lambda *_: ["elsewhere"])
    other = f"sqlite:///{filled.folder}/elsewhere/b.db"
    for url, count in ((filled.url, 4), (other, 7)):
        site = Site.from_policy(loads(SMALL), url)
        for _ in range(count):
            chosen(site, b"choice=all")
        site.close()
    run = CliRunner().invoke
    assert (
        run(
            main, ["ledger", "publish", "--out", "theirs", "--no-pictures", "--ledger", other]
        ).exit_code
        == 0
    )
    Path("held").mkdir()
    for index in ("5", "6", "9"):
        done = run(
            main, ["ledger", "prove", index, "-o", f"held/{index}.tlog-proof", "--ledger", other]
        )
        assert done.exit_code == 0
    text = filled.run("fsck", "--receipts", "held", "--against", "theirs", expected=1)
    assert "rewind: it was signed when the log had 13 entries, and 10 are here" in text
    assert "theirs: the first entry that differs is 6" in text
    site = Site.from_policy(loads(SMALL), filled.url)
    for _ in range(3):
        chosen(site, b"choice=all")
    site.close()
    text = filled.run("fsck", "--receipts", "held", expected=1)
    assert text.count("fork: another tree of 13 entries was signed under this name; the first index that differs is 6") == 3  # fmt: skip
    with_checkpoint = filled.run("fsck", "--against", "theirs/checkpoint", expected=1)
    assert "lies between 0 and 12" in with_checkpoint
    assert "another history" in filled.run(
        "publish", "--out", "theirs", "--no-pictures", expected=2
    )


def test_a_receipt_of_another_key_proves_nothing(filled: Filled, tmp_path: Path) -> None:
    stranger = Path("stranger")
    stranger.mkdir()
    other = Filled(stranger.resolve())
    other.run("prove", "3", "-o", "stranger/x.tlog-proof")
    assert "proves nothing" in filled.run("fsck", "--receipts", "stranger", expected=1)


def test_a_backup_that_was_restored_signs_nothing_until_it_has_another_name(filled: Filled) -> None:
    shutil.copy(filled.path, "backup.db")
    site = Site.from_policy(loads(SMALL), filled.url)
    chosen(site, b"choice=all")
    site.close()
    filled.run("prove", "6", "-o", "lost.tlog-proof")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{filled.path}{suffix}").unlink(missing_ok=True)
    shutil.copy("backup.db", filled.path)
    text = filled.run("erase", "3", expected=2)
    assert "restored from a backup" in text
    assert "rotate --restored" in text
    assert f"{ORIGIN}/~2" in filled.run("rotate", "--restored")
    assert "all of it fits" in filled.run("fsck")
    Path("held").mkdir()
    shutil.copy("lost.tlog-proof", "held")
    assert "fork" in filled.run("fsck", "--receipts", "held", expected=1)
    site = Site.from_policy(loads(SMALL), filled.url)
    assert site.ledger.origin == f"{ORIGIN}/~2"
    chosen(site, b"choice=all")
    site.close()


def test_a_key_is_rotated_and_what_it_sealed_stays_readable(filled: Filled) -> None:
    site = Site.from_policy(loads(SMALL), filled.url)
    cookie = chosen(site, b"choice=all")
    filled.run("prove", "6", "-o", "old.tlog-proof")
    filled.run("rotate")
    chosen(site, b"choice=all")  # the site that runs meets the new key
    new = site.ledger.vkey
    assert new != filled.vkey
    site.close()
    site = Site.from_policy(loads(SMALL), filled.url)
    assert site.exchange(request("/", cookie)).consent.granted == {"social", "ads"}
    site.close()
    filled.run("publish", "--out", "log", "--no-pictures")
    assert Path("log/vkey").read_text().split() == [filled.vkey, new]
    filled.run("verify", "old.tlog-proof", "--key", filled.vkey)
    assert "all of it fits" in filled.run("fsck")


def test_a_lost_key_is_replaced_and_the_log_says_so(filled: Filled) -> None:
    Path("bandeau.key").unlink()
    assert "rotate --lost" in filled.run("erase", "3", expected=2)
    filled.run("rotate", "--lost")
    assert "all of it fits" in filled.run("fsck")
    filled.run("rotate", "--lost", "--restored", expected=2)


def test_an_audit_is_logged_once_by_its_manifest(filled: Filled) -> None:
    Path("manifest.json").write_text('{"report.html": "…"}')
    assert filled.run("log-audit", "manifest.json") == filled.run("log-audit", "manifest.json")


def test_a_dossier_explains_itself_and_its_log_verifies(filled: Filled) -> None:
    irish = 'languages = ["fr", "en", "ga"]\naccept_unreviewed = ["ga"]'
    other = SMALL.replace("Own Press", "Other Press").replace('languages = ["fr", "en"]', irish)
    site = Site.from_policy(loads(other), filled.url)
    site.close()
    Path("manifest.json").write_text("{}")
    filled.run("log-audit", "manifest.json")
    filled.run("dossier", "-o", "d.zip", "--with-records", "--no-pictures")
    first = Path("d.zip").read_bytes()
    filled.run("dossier", "-o", "d.zip", "--with-records", "--no-pictures")
    assert Path("d.zip").read_bytes() == first  # the same ledger gives the same bytes
    with zipfile.ZipFile("d.zip") as packed:
        packed.extractall()
    names = {
        str(path.relative_to("dossier")) for path in Path("dossier").rglob("*") if path.is_file()
    }
    assert {"LISEZ-MOI.fr.md", "README.en.md", "article-30.fr.md", "article-30.en.md", "modes.csv", "log/checkpoint", "SHA256SUMS"} <= names  # fmt: skip
    assert len([name for name in names if name.endswith("changes.diff")]) == 1
    diff = next(Path("dossier").rglob("changes.diff")).read_text("utf-8")
    assert "+declared.controller.name: Other Press" in diff
    for name, words in (
        ("README.en.md", "no native speaker had read: ga"),
        ("LISEZ-MOI.fr.md", "n’avait relus : ga"),
    ):
        told = (Path("dossier") / name).read_text("utf-8").splitlines()
        versions = [line for line in told if "SHA-256 `" in line]
        assert [words in line for line in versions] == [False, True]
    done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd="dossier", check=False)
    assert done.returncode == 0
    assert "9 entries" in filled.run("verify", "dossier/log", "--key", filled.vkey)
    assert "Square" in Path("dossier/purposes.csv").read_text("utf-8")
    assert "accept_all" in Path("dossier/records.txt").read_text("ascii")
    assert hashlib.sha256(b"{}").hexdigest() in Path("dossier/audits.csv").read_text()
    filled.run("dossier", "--from", "1999-01-01", "--to", "1999-01-02", "-o", "n.zip", expected=2)
    filled.run("dossier", "--from", "2026-01-02", "--to", "2026-01-01", "-o", "n.zip", expected=2)


OLD = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', '1');
CREATE TABLE policy (digest TEXT PRIMARY KEY, published_minute INTEGER NOT NULL, purposes TEXT NOT NULL, fingerprints TEXT NOT NULL);
INSERT INTO policy VALUES ('aaaaaaaaaaaa', 4, '["social"]', '{"social": "1"}');
CREATE TABLE decision (
    number INTEGER PRIMARY KEY, minute INTEGER NOT NULL, event TEXT NOT NULL, policy TEXT NOT NULL,
    choices TEXT NOT NULL, language TEXT NOT NULL, signal INTEGER NOT NULL);
INSERT INTO decision VALUES (1, 5, 'refuse_all', 'aaaa', '{"social": false}', 'fr', 0);
INSERT INTO decision VALUES (2, 9, 'accept_all', 'aaaa', '{"social": true}', 'fr', 0);
CREATE TABLE page_view (day INTEGER NOT NULL, path TEXT NOT NULL, referrer TEXT NOT NULL, device TEXT NOT NULL, views INTEGER NOT NULL, PRIMARY KEY (day, path, referrer, device)) WITHOUT ROWID;
INSERT INTO page_view VALUES (1, '/', '', 'phone', 7);
"""


def test_a_ledger_of_an_earlier_version_is_migrated(filled: Filled) -> None:
    filled.path.unlink()
    for suffix in ("-wal", "-shm"):
        Path(f"{filled.path}{suffix}").unlink(missing_ok=True)
    for mark in Path().glob("*.mark"):
        mark.unlink()
    database = sqlite3.connect(filled.path)
    database.executescript(OLD)
    database.close()
    Path("p.toml").write_text(SMALL, "utf-8")
    assert "bandeau ledger migrate" in filled.run("export", expected=2)
    assert "2 decisions are in the log now" in filled.run("migrate", "--policy", "p.toml")
    assert "up to date" in filled.run("migrate", "--policy", "p.toml")
    lines = filled.run("export").splitlines()
    assert [line.split()[1:3] for line in lines] == [["1970-01-01T00:05Z", "refuse_all"], ["1970-01-01T00:09Z", "accept_all"]]  # fmt: skip
    assert "all of it fits" in filled.run("fsck")
    assert len(filled.run("export", "--format", "json").splitlines()) == 2
    database = sqlite3.connect(filled.path)
    assert database.execute("SELECT views FROM page_view").fetchall() == [(7,)]
    assert database.execute("SELECT digest FROM policy").fetchall() == [("aaaaaaaaaaaa",)]
    database.close()
    assert Path(f"{filled.path}.schema-1").exists()


def test_without_a_ledger_one_line_says_so(tmp_path: Path) -> None:
    for words in (["stats"], ["erase", "3"], ["publish", "--out", "x"]):
        done = CliRunner().invoke(
            main, ["ledger", *words, "--ledger", f"sqlite:///{tmp_path}/none.db"]
        )
        assert done.exit_code == 2
        assert done.output.count("\n") == 1
        assert not (tmp_path / "none.db").exists()


class Witness(BaseHTTPRequestHandler):
    """A witness as c2sp.org/tlog-witness describes it, for one log."""

    log: ClassVar[note.Verifier]
    seed: ClassVar[bytes] = b"w" * 32
    size: ClassVar[int] = 0
    root: ClassVar[bytes] = tree.EMPTY

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        head, _, checkpoint = body.partition(b"\n\n")
        lines = head.decode().split("\n")
        old = int(lines[0].removeprefix("old "))
        proof = [base64.b64decode(line) for line in lines[1:]]
        found = note.opened(checkpoint, [self.log])
        cls = type(self)
        if old != cls.size:
            self._answer(409, f"{cls.size}\n".encode())
        elif not tree.consistent(old, cls.root, found.size, found.root, proof):
            self._answer(422, b"")
        else:
            cls.size, cls.root = found.size, found.root
            self._answer(200, cosignature(found.text()))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def cosigner() -> note.Verifier:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(Witness.seed).public_key().public_bytes_raw()
    return note.Verifier("witness.example/w1", public, note.COSIGNATURE)


def cosignature(text: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(Witness.seed)
    signed = struct.pack(">Q", 1_764_000_000) + key.sign(
        f"cosignature/v1\ntime 1764000000\n{text}".encode()
    )
    return note.Signature("witness.example/w1", cosigner().key_id, signed).line().encode()


@pytest.fixture
def witness(filled: Filled) -> Iterator[Path]:
    Witness.log, Witness.size, Witness.root = note.Verifier.parse(filled.vkey), 0, tree.EMPTY
    server = HTTPServer(("127.0.0.1", 0), Witness)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    line = f'witnesses = [{{ url = "http://127.0.0.1:{server.server_port}", vkey = "{cosigner().vkey}" }}]'
    path = filled.folder / "w.toml"
    path.write_text(SMALL.replace("keep_days = 912", f"keep_days = 912\n{line}"), "utf-8")
    yield path
    server.shutdown()
    server.server_close()


def test_a_witness_cosigns_what_grows_and_stops_what_does_not(
    filled: Filled, witness: Path
) -> None:
    shutil.copy(filled.path, "backup.db")
    verifiers = [note.Verifier.parse(filled.vkey), cosigner()]
    for count in (6, 306):
        filled.run("publish", "--out", "log", "--no-pictures", "--policy", str(witness))
        checkpoint = Path("log/checkpoint").read_bytes()
        assert note.opened(checkpoint, verifiers).size == count == Witness.size
        assert len(note.parse(checkpoint).signatures) == 2
        site = Site.from_policy(loads(SMALL), filled.url)
        for _ in range(300):
            chosen(site, b"choice=all")
        site.close()
    Witness.root = b"\0" * 32
    text = filled.run(
        "publish", "--out", "log", "--no-pictures", "--policy", str(witness), expected=2
    )
    assert "another history" in text
    Witness.size = 1000
    text = filled.run(
        "publish", "--out", "log", "--no-pictures", "--policy", str(witness), expected=2
    )
    assert "has seen 1000 entries" in text
    assert note.opened(Path("log/checkpoint").read_bytes(), verifiers).size == 306


def test_a_witness_that_is_away_is_named_and_left_out(filled: Filled) -> None:
    line = f'witnesses = [{{ url = "http://127.0.0.1:1", vkey = "{cosigner().vkey}" }}]'
    Path("w.toml").write_text(SMALL.replace("keep_days = 912", f"keep_days = 912\n{line}"), "utf-8")
    text = filled.run("publish", "--out", "log", "--no-pictures", "--policy", "w.toml")
    assert "http://127.0.0.1:1: no cosignature" in text
    assert len(note.parse(Path("log/checkpoint").read_bytes()).signatures) == 1
