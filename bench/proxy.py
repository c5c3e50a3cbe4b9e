"""CPU of `bandeau proxy` for a 100 kB page, beside nginx that packs the same page with gzip -6.

Both ask the same upstream (nginx with a file), in turn, over four kept-alive connections. Needs nginx.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROUNDS, REQUESTS, CONNECTIONS = 3, 250, 4
ORIGIN, PACKED, GATED = 7601, 7602, 7603
POLICY = (
    'version = 1\n[proof]\nkeep_days = 1\n[controller]\nname = "a"\naddress = "a"\ncontact = "a"\nprivacy_policy = "/"\n'
    f'[site]\norigins = ["http://paper.localhost:{GATED}"]\nlanguages = ["fr"]\n[[purpose]]\nid = "ads"\n'
)


@contextlib.contextmanager
def nginx(folder: Path, name: str, body: str) -> Iterator[int]:
    places = "".join(
        f"{kind}_temp_path {folder / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / f"{name}.conf"
    head = f"daemon off; master_process off; pid {folder / name}.pid; error_log stderr; events {{}}"
    conf.write_text(
        f"{head} http {{ {places} access_log off; keepalive_requests 1000000; {body} }}"
    )
    process = subprocess.Popen(
        ["nginx", "-c", str(conf), "-e", "stderr"], stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[int]:
    """Run a server that prints a line once it answers; yield its pid."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def proxy(folder: Path) -> Iterator[int]:
    (folder / "bandeau.toml").write_text(POLICY)
    command = [sys.executable, "-m", "bandeau", "proxy", "--policy", str(folder / "bandeau.toml"), "--upstream",
               f"http://127.0.0.1:{ORIGIN}", "--listen", f"127.0.0.1:{GATED}", "--ledger", f"sqlite:///{folder / 'b.db'}"]  # fmt: skip
    with started(command) as pid:
        yield pid


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, coding: str) -> None:
    headers = {
        "Host": f"paper.localhost:{GATED}",
        "Accept": "text/html",
        "Sec-Fetch-Dest": "document",
        "Accept-Encoding": coding,
    }

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(REQUESTS):
            connection.request("GET", "/", headers=headers)
            connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    if not shutil.which("nginx"):
        print("proxy: there is no nginx here to compare with")
        return
    splice = importlib.import_module("splice")
    page = b"".join(splice.part() for _ in range(6))[:100_000]
    packing = f"gzip on; gzip_comp_level 6; gzip_proxied any; server {{ listen 127.0.0.1:{PACKED}; location / {{ proxy_pass http://127.0.0.1:{ORIGIN}; }} }}"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "index.html").write_bytes(
            b"<!doctype html><html lang=fr><head><title>t</title></head><body>"
            + page
            + b"</body></html>"
        )
        serving = (
            f"types {{ text/html html; }} server {{ listen 127.0.0.1:{ORIGIN}; root {folder}; }}"
        )
        with (
            nginx(folder, "origin", serving),
            nginx(folder, "packed", packing) as one,
            proxy(folder) as two,
        ):
            time.sleep(1)
            spent: dict[str, list[float]] = {"nginx, gzip 6": [], "bandeau proxy": []}
            for _ in range(ROUNDS):
                for name, pid, port, coding in (
                    ("nginx, gzip 6", one, PACKED, "gzip"),
                    ("bandeau proxy", two, GATED, "identity"),
                ):
                    before = cpu_seconds(pid)
                    load(port, coding)
                    spent[name].append(
                        (cpu_seconds(pid) - before) * 1000 / (REQUESTS * CONNECTIONS)
                    )
    print("CPU for a page of 100 kB through a proxy")
    print(
        "  "
        + "   ".join(f"{name} {sorted(found)[ROUNDS // 2]:.2f} ms" for name, found in spent.items())
    )


if __name__ == "__main__":
    main()
