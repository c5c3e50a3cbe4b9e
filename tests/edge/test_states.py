"""What an edge computes by itself is what the site would say, for whatever cookie comes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import serving
from bandeau.adapters.proxy import Proxy
from bandeau.cli import main
from bandeau.decision.cookie import Choice, encode
from bandeau.decision.model import Published
from bandeau.policy.file import loads
from bandeau.site import Request, Site
from conftest import SMALL, chosen
from edge.test_edge import key_file, varnishd

CASES = 10_000 if os.environ.get("BANDEAU_PROVE") else 2_000
ASKED = CASES if CASES > 2_000 else 600  # of a server
HOST = "www.own.localhost:9000"
EDGE = SMALL.replace("[[purpose]]", "edge_cache = true\n[[purpose]]", 1)
OLDER = EDGE.replace('"*.ads.localhost"', '"ads.localhost"').replace(
    "[[service]]", '[[purpose]]\nid = "video"\n[[service]]', 1
)
_TEXTS = "".join(f'[purpose.text.{one}]\ntitle = "T"\nsentence = "S."\n' for one in ("fr", "en"))
WIDE = EDGE.replace('["http://www.own', '["https://www.own.example", "http://www.own').replace(
    "[[service]]",
    "".join(f'[[purpose]]\nid = "p{n}"\n{_TEXTS}' for n in range(40)) + "[[service]]",
    1,
) + "".join(
    f'[[service]]\nid = "more{n}"\npurpose = "%s"\nrecipient = "More"\n'
    f'hosts = [{{ host = "more{n}.localhost", kinds = ["script"] }}]\n'
    for n in range(2)
)
UNKNOWN = Published("f" * 64, ("social",), {"social": "1"})
MINUTE = 29_926_765
_NODE = """
import { readFileSync } from 'node:fs';
import { key } from %r;
Date.now = () => %d * 60000;
const found = [];
for (const [url, headers] of JSON.parse(readFileSync(0, 'utf8'))) {
    const get = (name) => headers[name] ?? null;
    found.push(await key({ url, headers: { get } }));
}
console.log(JSON.stringify(found));
"""


@pytest.fixture(
    params=["", '[rollout]\nlayers = ["cookies", "notice"]\nreport = "seen"\n'],
    ids=["all", "some layers"],
)
def edge_policy(request: pytest.FixtureRequest) -> str:
    return EDGE + str(request.param)


@pytest.fixture
def site(tmp_path: Path, edge_policy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)  # where the report goes
    url = f"sqlite:///{tmp_path / 'b.db'}"
    key_file(tmp_path)
    Site.from_policy(loads(OLDER), url).close()  # it was published before
    made = Site.from_policy(loads(edge_policy), url)
    made._now = lambda: MINUTE
    yield made
    made.close()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Site]:
    """A site of many purposes, over https; and all of its keys but one are of no use to Varnish."""
    key_file(tmp_path, [True, False])
    url = f"sqlite:///{tmp_path / 'b.db'}"
    Site.from_policy(loads(WIDE % ("p3", "p17")), url).close()
    made = Site.from_policy(loads(WIDE % ("p4", "p9")), url)
    yield made
    made.close()


def printed(kind: str, folder: Path, policy: str) -> Path:
    """Have the module printed as an owner does, and return its file."""
    (folder / "bandeau.toml").write_text(policy)
    done = CliRunner().invoke(
        main,
        [
            "edge",
            kind,
            "--policy",
            f"{folder}/bandeau.toml",
            "--ledger",
            f"sqlite:///{folder}/b.db",
        ],
    )
    assert done.exit_code == 0, done.output
    module = folder / "bandeau.mjs"
    module.write_text(done.output)
    return module


def cookie(chance: random.Random, site: Site) -> str:
    """Make a choice's cookie: sound, superseded, too old, too new, unknown, or forged."""
    policies = [site.current, *site.published.values(), UNKNOWN]
    policy = chance.choice(policies)
    decided = frozenset(one for one in policy.order if chance.random() < 0.8)
    granted = frozenset(one for one in decided if chance.random() < 0.6)
    edges = (0, 10, 11, -182 * 1440, -182 * 1440 + 1, -500_000)
    minute = MINUTE + chance.choice((*edges, -chance.randrange(200_000)))
    sealing = chance.choice(site._keys)
    value = encode(Choice(policy.digest, granted, decided, minute), policy.order, sealing)
    if chance.random() < 0.3:
        at = chance.randrange(len(value))
        value = value[:at] + chance.choice("0a.Z-\xe9 ") + value[at + chance.randrange(2) :]
    return value


def headers(chance: random.Random, site: Site, *, secure: bool = False) -> dict[str, str]:
    """Make a visitor's headers."""
    name = "__Host-bandeau" if secure else "bandeau"
    host = "www.own.example" if secure else HOST
    members = ["session=1", "Bandeau=1.a", name, f"{name}-audience=0", f"{name}-audience=1"]
    members = chance.sample(members, chance.randrange(3))
    for _ in range(chance.choice((0, 1, 1, 1, 1, 2))):
        members.insert(0, f"{name}={cookie(chance, site)}")
    members += members[:1] if chance.random() < 0.1 else []
    made = {
        "host": host if chance.random() < 0.95 else chance.choice(("own.localhost", HOST.upper())),
        "x-forwarded-proto": "https" if secure else "",
        "cookie": chance.choice(("; ", ";", " ;\t")).join(members),
        "accept-language": ",".join(
            chance.choice(("fr", "EN-gb", "de", "", "*", "en_US")) + chance.choice(("", "", ";q=0", ";q=0.3", "; q = 1. ", ";q=x"))
            for _ in range(chance.randrange(4))
        ),
        "sec-gpc": chance.choice(("", "", "1", "0", " 1 ")),
        "sec-fetch-dest": chance.choice(("", "document", "iframe", "a-b", "1")),
    }  # fmt: skip
    return {name: value for name, value in made.items() if value}


def told(site: Site, sent: dict[str, str], minute: int = MINUTE) -> str:
    site._now = lambda: minute
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
    scheme = sent.get("x-forwarded-proto", "http")
    asked = Request("GET", scheme, sent["host"], "/", "", pairs)
    return site.exchange(asked).edge_key


def unusual(site: Site, sent: dict[str, str]) -> bool:
    """Say whether an edge may leave a request to the gate."""
    return sent["host"] != HOST or UNKNOWN.digest[:10] in sent.get("cookie", "")


def test_a_worker_computes_what_the_site_says(site: Site, tmp_path: Path, edge_policy: str) -> None:
    node = shutil.which("node")
    if not node:
        pytest.skip("there is no node here (Debian: apt-get install nodejs)")
    chance = random.Random()
    sent = [headers(chance, site) for _ in range(CASES)]
    script = tmp_path / "run.mjs"
    script.write_text(_NODE % (str(printed("worker", tmp_path, edge_policy)), MINUTE))
    cases = json.dumps([[f"http://{one['host']}/", one] for one in sent])
    done = subprocess.run([node, script], input=cases, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    states = set()
    for one, computed in zip(sent, found, strict=True):
        if computed is None:
            assert unusual(site, one), one
        else:
            assert computed == told(site, one), one
            states.add(computed)
    assert sum(computed is not None for computed in found) > CASES * 0.6
    assert len(states) > 100


_WHICH = """
vcl 4.1;
backend default none;
include "%s";
sub vcl_recv { call bandeau_key; return (synth(200)); }
sub vcl_synth {
    set resp.http.BD-Key = req.http.BD-Key;
    return (deliver);
}
"""


def asked_of_varnish(module: Path, sent: list[dict[str, str]]) -> list[str | None]:
    """Have a real varnishd say which keys it computes for requests."""
    (module.parent / "which.vcl").write_text(_WHICH % module)
    found: list[str | None] = []
    with (
        varnishd(module.parent, module.parent / "which.vcl") as port,
        socket.create_connection(("127.0.0.1", port), 30) as connection,
        connection.makefile("rb") as answers,
    ):
        for number, one in enumerate(sent):
            lines = "".join(f"{name}: {value}\r\n" for name, value in one.items())
            if number % 2:  # as HTTP/2 sends them (RFC 9113 8.2.3)
                lines = lines.replace("; bandeau", "\r\ncookie: bandeau")
            connection.sendall(f"HEAD / HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n", one
            said = {}
            while (line := answers.readline()) != b"\r\n":
                name, _, value = line.decode("latin-1").partition(":")
                said[name.lower()] = value.strip()
            found.append(said.get("bd-key") or None)
    return found


def compared(site: Site, sent: list[dict[str, str]], found: list[str | None]) -> set[str]:
    """See that what was computed is what the site says; return the states that were met."""
    minutes = range(MINUTE, int(time.time() // 60) + 1)  # varnishd has a clock of its own
    states = set()
    for one, computed in zip(sent, found, strict=True):
        if computed is not None:
            assert computed in {told(site, one, minute) for minute in minutes}, one
            states.add(computed)
    return states


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "MINUTE", int(time.time() // 60))


@pytest.mark.usefixtures("today")
def test_varnish_computes_what_the_site_says(site: Site, tmp_path: Path, edge_policy: str) -> None:
    chance = random.Random()
    sent = [headers(chance, site) for _ in range(ASKED)]
    found = asked_of_varnish(printed("vcl", tmp_path, edge_policy), sent)
    assert len(compared(site, sent, found)) > min(ASKED // 20, 150)  # there are some 200
    assert all(unusual(site, one) for one, said in zip(sent, found, strict=True) if not said)
    assert sum(computed is not None for computed in found) > ASKED * 0.6


@pytest.mark.usefixtures("today")
def test_varnish_computes_42_purposes_and_leaves_what_it_cannot_read_to_the_gate(
    wide: Site, tmp_path: Path
) -> None:
    chance = random.Random()
    sent = [headers(chance, wide, secure=chance.random() < 0.8) for _ in range(ASKED)]
    tags = ",".join(["de"] * 13)
    sent += [{**sent[0], "host": HOST, "accept-language": tags}]
    found = asked_of_varnish(printed("vcl", tmp_path, WIDE % ("p4", "p9")), sent)
    assert len(compared(wide, sent, found)) > ASKED // 20
    assert ASKED * 0.3 < sum(computed is not None for computed in found) < ASKED * 0.8
    assert found[-1] is None


def test_a_key_that_varnish_cannot_use_is_said(tmp_path: Path) -> None:
    key_file(tmp_path, [False, True])
    Site.from_policy(loads(EDGE), f"sqlite:///{tmp_path / 'b.db'}").close()
    (tmp_path / "bandeau.toml").write_text(EDGE)
    where = [f"--policy={tmp_path}/bandeau.toml", f"--ledger=sqlite:///{tmp_path}/b.db"]
    done = CliRunner().invoke(main, ["edge", "vcl", *where])
    assert done.exit_code == 2
    assert "bandeau ledger rotate" in done.output


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (SMALL, "edge_cache"),
        (EDGE + '[rollout]\npaths = ["/a/*"]\nreport = "r"\n', "rollout"),
        ("version = 1", "BP004"),
    ],
)
def test_where_states_cannot_be_computed_it_says_why(
    site: Site, tmp_path: Path, wrong: str, words: str
) -> None:
    (tmp_path / "bandeau.toml").write_text(wrong)
    where = [f"--policy={tmp_path}/bandeau.toml", f"--ledger=sqlite:///{tmp_path}/b.db"]
    done = CliRunner().invoke(main, ["edge", "njs", *where])
    assert done.exit_code == 2
    assert words in done.output
    assert site.desk.key.hex() not in done.output


_CACHE = """
import http from 'node:http';
import worker from %r;
const kept = new Map(), waiting = [];
globalThis.caches = { default: {
    match: async ({ url }) => kept.get(url)?.clone(),
    put: async ({ url }, response) => { kept.set(url, new Response(await response.arrayBuffer(), response)); },
} };
let asked = 0;
globalThis.fetch = ({ url, headers }) => new Promise((resolve, reject) => {
    asked += 1;
    const { pathname, host } = new URL(url);
    const sent = { ...Object.fromEntries(headers), host };
    http.get({ port: %d, path: pathname, headers: sent }, async (answer) => {
        const pieces = await answer.toArray();
        const given = Object.entries(answer.headersDistinct).flatMap(([name, all]) => all.map((one) => [name, one]));
        resolve(new Response(Buffer.concat(pieces), { status: answer.statusCode, headers: given }));
    }).on('error', reject);
});
const cookies = %s, wrong = [];
for (let n = 0; n < %d; n++) {
    const states = Object.keys(cookies), state = states[n * 7 %% states.length];
    const headers = new Headers({ accept: 'text/html', 'sec-fetch-dest': 'document', cookie: cookies[state] });
    const request = { url: `http://%s/p${n %% 5}`, method: 'GET', headers };
    const answer = await worker.fetch(request, {}, { waitUntil: (one) => waiting.push(one) });
    const body = await answer.text();
    await Promise.all(waiting);
    if (!body.includes(`data-state="${state}"`) || !answer.headers.get('cache-control').includes('private')) {
        wrong.push([n, state, body.slice(0, 200)]);
    }
}
console.log(JSON.stringify({ asked, wrong }));
"""


@pytest.mark.parametrize("current", [True, False], ids=["current", "out of date"])
def test_a_worker_keeps_pages_by_state_and_none_where_the_gate_names_another(
    site: Site, tmp_path: Path, edge_policy: str, current: bool
) -> None:
    node = shutil.which("node")
    if not node:
        pytest.skip("there is no node here (Debian: apt-get install nodejs)")
    module = printed("worker", tmp_path, edge_policy)
    if not current:  # as after an update of the gate alone
        text = module.read_text()
        module.write_text(text.replace(site.current.digest, "0" * 64))
    site._now = lambda: int(time.time() // 60)
    page = b"<html lang=en><head><title>t</title></head><body><p>a</body></html>"
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(serving.upstream())
        for number in range(5):
            up.answers[f"/p{number}"] = serving.page(page, b"Cache-Control: max-age=600")
        gate = stack.enter_context(serving.running(Proxy(site, f"http://127.0.0.1:{up.port}")))
        cookies = {
            state: chosen(site, body)[0][1].decode()
            for state, body in (("granted", b"choice=all"), ("refused", b"choice=none"))
        }
        cookies["undecided"] = "session=1"
        script = tmp_path / "run.mjs"
        script.write_text(_CACHE % (str(module), gate, json.dumps(cookies), 120, HOST))
        done = subprocess.run([node, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"asked": 5 * 3 if current else 120, "wrong": []}
