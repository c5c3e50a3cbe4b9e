"""Caches in front of the gate, as docs/edge.md sets them up: nobody gets another one's state."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

import serving
from bandeau.adapters.proxy import Proxy
from bandeau.cli import main
from bandeau.ledger.keys import derive
from bandeau.policy.file import loads
from bandeau.site import Site
from browser.conftest import free_ports
from conftest import SMALL
from serving import ask

ROUNDS = 100_000 if os.environ.get("BANDEAU_PROVE") else 3_000
DOCS = Path(__file__).resolve().parents[2] / "docs" / "edge.md"
HOST = "www.own.localhost:9000"
CACHED = SMALL.replace("[[purpose]]", "edge_cache = true\n[[purpose]]", 1)
_DIGEST = "lib*/**/varnish/vmods/libvmod_digest.so"
_NJS = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
PAGE = b"<html lang=en><head><title>t</title></head><body><p>%d<iframe src=//social.localhost/f></iframe></body></html>"
FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")


def snippets(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found
    return found


def installed(program: str, package: str) -> str:
    """Return where a server is; Debian puts some where only root looks."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        pytest.skip(f"there is no {program} here (Debian: apt-get install {package})")
    return found


@contextlib.contextmanager
def process(command: list[str], port: int) -> Iterator[None]:
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            running.kill()
            pytest.fail(str(running.communicate()[0]))
        yield
    finally:
        running.terminate()
        running.wait(10)
        if running.stdout:
            running.stdout.close()


@contextlib.contextmanager
def nginx(folder: Path, gate: int, site: int | None = None, *, njs: str = "") -> Iterator[int]:
    """Run the page's recipes: by headers only for a `site` that no gate stands before, or with `njs`."""
    program = installed("nginx", "nginx-light")
    port = free_ports()
    places, headers, zone, limited, computed = snippets("nginx")
    recipe = computed if njs else headers if site else f"{places}\n{limited}"
    conf = folder / "nginx.conf"
    paths = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf.write_text(
        f"{f'load_module {_NJS};' if njs else ''} daemon off; pid {folder / 'pid'}; error_log stderr;\n{'user root;' if os.geteuid() == 0 else ''}\nevents {{}}\nhttp {{\n{paths}"
        f"access_log off; proxy_cache_path {folder / 'cache'} keys_zone=pages:10m; proxy_http_version 1.1;\n"
        f"{zone}\nupstream gate {{ server 127.0.0.1:{gate}; keepalive 8; }}\n"
        f"upstream site {{ server 127.0.0.1:{site or gate}; }}\n"
        f"{njs}\n"
        f"server {{ listen 127.0.0.1:{port};\n {'location = /which { return 200 $bandeau; }' if njs else ''} proxy_set_header Connection '';\n{recipe} }} }}\n"
    )
    with process([program, "-c", str(conf), "-e", "stderr"], port):
        yield port


@contextlib.contextmanager
def computing(folder: Path, gate: int) -> Iterator[int]:
    """Run nginx with what `bandeau edge njs` prints: it asks nobody for states."""
    if not _NJS.exists():
        pytest.skip("nginx has no njs here (Debian: apt-get install libnginx-mod-http-js)")
    (folder / "bandeau.js").write_text(printed("njs", folder))
    njs = f"js_path {folder}; {snippets('njs')[0]}"
    with nginx(folder, gate, njs=njs) as port:
        yield port


def key_file(folder: Path, zeros: Sequence[bool] = (False,)) -> None:
    """Write secrets; from some of them a key with a zero byte is derived, which Varnish cannot use."""
    secrets = (os.urandom(32) for _ in itertools.count())
    found = [next(one for one in secrets if (0 in derive(one, "choice")) is zero) for zero in zeros]
    path = folder / "bandeau.key"
    path.write_text("".join(f"{one.hex()}\n" for one in found))
    path.chmod(0o600)


def printed(kind: str, folder: Path) -> str:
    """Return what `bandeau edge` prints for the site whose ledger is in a folder."""
    (folder / "bandeau.toml").write_text(CACHED)
    where = [f"--policy={folder}/bandeau.toml", f"--ledger=sqlite:///{folder}/b.db"]
    done = CliRunner().invoke(main, ["edge", kind, *where])
    assert done.exit_code == 0, done.output
    return done.output


@contextlib.contextmanager
def varnish(folder: Path, gate: int, recipe: int = 0) -> Iterator[int]:
    """Run one of the page's recipes."""
    vcl = folder / "default.vcl"
    backend = f'backend default {{ .host = "127.0.0.1"; .port = "{gate}"; }}'
    vcl.write_text(f"vcl 4.1;\nimport std;\n{backend}\n{snippets('vcl')[recipe]}")
    with varnishd(folder, vcl) as port:
        yield port


@contextlib.contextmanager
def varnish_that_computes(folder: Path, gate: int) -> Iterator[int]:
    """Run Varnish with what `bandeau edge vcl` prints: it asks nobody for states."""
    (folder / "bandeau.vcl").write_text(printed("vcl", folder))
    with varnish(folder, gate, 1) as port:
        yield port


@contextlib.contextmanager
def varnishd(folder: Path, vcl: Path) -> Iterator[int]:
    program = installed("varnishd", "varnish")
    if "include" in vcl.read_text() and not any(Path("/usr").glob(_DIGEST)):
        pytest.skip("Varnish has no digest here (Debian: apt-get install varnish-vmod-digest)")
    port = free_ports()
    command = [
        program,
        "-F",
        "-j",
        "none",
        "-n",
        str(folder / "v"),
        "-a",
        f"127.0.0.1:{port}",
        "-f",
        str(vcl),
        "-p",
        f"vcl_path={folder}",
        "-s",
        "malloc,50m",
    ]
    with process(command, port):
        yield port


class Visitor:
    """One connection through the edge, with one cookie."""

    def __init__(self, port: int, cookie: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.cookie = cookie

    def state(self, path: str) -> str:
        """Open a page and return the state that it shows, after checking that markup and policy agree."""
        headers = {"Host": HOST, "Accept": "text/html", "Sec-Fetch-Dest": "document"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        assert "private" in (answer.getheader("cache-control") or "")
        shown = re.search(rb'data-state="(\w+)"', body)
        assert shown
        opened = b"<iframe src=//social.localhost/f>" in body
        assert opened is (
            b"social.localhost" in (answer.getheader("content-security-policy") or "").encode()
        )
        return shown[1].decode()


def choice(port: int, body: bytes) -> str:
    answered = ask(port, "/_b/choice", *FORM, method="POST", body=body)
    assert answered.status == 303
    return answered.every(b"set-cookie")[0].partition(b";")[0].decode()


@pytest.mark.parametrize(
    "edge",
    [nginx, varnish, computing, varnish_that_computes],
    ids=["nginx", "varnish", "njs", "vcl"],
)
def test_a_cache_in_front_never_gives_one_s_state_to_another(edge: object, tmp_path: Path) -> None:
    key_file(tmp_path)
    site = Site.from_policy(loads(CACHED), f"sqlite:///{tmp_path / 'b.db'}")
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(serving.upstream())
        up.answers.update(
            {f"/p{n}": serving.page(PAGE % n, b"Cache-Control: max-age=600") for n in range(5)}
        )
        up.answers["/private"] = serving.page(
            PAGE % 9, b"Cache-Control: private, max-age=600", b"X-Accel-Expires: 600"
        )
        up.answers["/plain"] = serving.page(PAGE % 8)
        gate = stack.enter_context(serving.running(Proxy(site, f"http://127.0.0.1:{up.port}")))
        port = stack.enter_context(edge(tmp_path, gate))  # type: ignore[operator]
        cookies = {"granted": choice(port, b"choice=all"), "refused": choice(port, b"choice=none"), "undecided": "",
                   "partial": choice(port, b"choice=add&purpose=social")}  # fmt: skip

        def visit(seed: int) -> int:
            chance = random.Random(seed)
            visitors = {state: Visitor(port, cookie) for state, cookie in cookies.items()}
            wrong = 0
            for _ in range(ROUNDS // 4):
                state = chance.choice(list(visitors))
                wrong += visitors[state].state(f"/p{chance.randrange(5)}") != state
            for visitor in visitors.values():
                visitor.connection.close()
            return wrong

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(visit, range(4))) == 0
        pages = [head for head in up.heads if head.startswith(b"GET /p")]
        assert len(pages) <= 5 * 4 * 4  # a page for each state, and what raced at the start
        for path in ("/private", "/plain"):
            before = len(up.heads)
            for state, cookie in cookies.items():
                for _ in range(2):
                    visitor = Visitor(port, cookie)
                    assert visitor.state(path) == state
                    visitor.connection.close()
            assert len(up.heads) - before == 8, path  # nothing of it was kept
    site.close()


def test_headers_alone_close_routes_and_bring_purposes_and_policy(tmp_path: Path) -> None:
    site = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}")
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(serving.upstream())
        up.answers["/p"] = serving.page(PAGE % 1, b"Content-Security-Policy: img-src *")
        up.answers["/comments/1"] = serving.page(PAGE % 2)
        gate = stack.enter_context(serving.running(Proxy(site, f"http://127.0.0.1:{up.port}")))
        port = stack.enter_context(nginx(tmp_path, gate, up.port))
        granted = b"Cookie: " + choice(port, b"choice=all").encode()
        partial = b"Cookie: " + choice(port, b"choice=add&purpose=ads").encode()
        forged = b"BD-Purposes: social, ads"

        page = ask(port, "/p", forged)
        assert page.status == 200
        assert b"bd-purposes" not in up.heads[-1].lower()
        assert len(page.every(b"content-security-policy")) == 2
        assert b"social.localhost" not in b"".join(page.every(b"content-security-policy"))
        for path in ("/comments/1", "/Comments/1", "/x/../comments/1?a=b", "/%63omments/1"):
            for cookie in (b"X-Original-URI: /p", partial):
                before = len(up.heads)
                assert ask(port, path, forged, cookie).status == 403
                assert len(up.heads) == before

        page = ask(port, "/p", granted, forged)
        assert b"\r\nbd-purposes: social, ads\r\n" in up.heads[-1].lower()
        assert b"social.localhost" in b"".join(page.every(b"content-security-policy"))
        assert b"<iframe" in page.body  # as it came
        ask(port, "/p", partial, forged)
        assert b"\r\nbd-purposes: ads\r\n" in up.heads[-1].lower()
        assert ask(port, "/comments/1", granted).status == 200
        told = ask(port, "/_b/key", granted, b"X-Original-URI: /comments/1")
        assert not any(
            cookie in str(told.headers).encode() for cookie in (b"bandeau=", granted[8:])
        )
    site.close()


def test_nginx_limits_choices_and_neither_pages_nor_what_is_read(tmp_path: Path) -> None:
    site = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}")
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(serving.upstream())
        up.answers["/p0"] = serving.page(PAGE % 0)
        gate = stack.enter_context(serving.running(Proxy(site, f"http://127.0.0.1:{up.port}")))
        port = stack.enter_context(nginx(tmp_path, gate))

        def post(_: int) -> int:
            return ask(port, "/_b/choice", *FORM, method="POST", body=b"choice=none").status

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(post, range(200)))
        assert statuses.count(303) >= 21
        assert set(statuses) == {303, 429}
        assert {ask(port, path).status for path in ["/p0", "/_b/settings"] * 30} == {200}
    site.close()


def test_njs_computes_what_the_gate_answers(tmp_path: Path) -> None:
    site = Site.from_policy(loads(CACHED), f"sqlite:///{tmp_path / 'b.db'}")
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(serving.running(Proxy(site, "http://127.0.0.1:9")))
        port = stack.enter_context(computing(tmp_path, gate))
        chosen = [
            choice(port, f"choice={word}".encode()) for word in ("all", "none", "save&purpose=ads")
        ]
        cookies = [*chosen, "", "bandeau=1.a", chosen[0][:-1] + "~", f"{chosen[0]}; {chosen[1]}"]
        keys = set()
        for cookie in cookies:
            for extra in (b"X: 1", b"Sec-GPC: 1", b"Accept-Language: en;q=0.2, fr;q=0.1"):
                sent = [f"Cookie: {cookie}; bandeau-audience={len(cookie) % 2}".encode(), extra]
                (said,) = ask(port, "/_b/key", *sent).every(b"bd-key")
                assert ask(port, "/which", *sent).body == said
                keys.add(said)
        assert len(keys) > 10
        assert ask(port, "/which", host="other.localhost").body == b""
    site.close()
