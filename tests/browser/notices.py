"""Real builds of six widely used notices, each in a page that uses it as its manual says."""

from __future__ import annotations

import contextlib
import functools
import mimetypes
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

FETCH_SECONDS = 120


@dataclass(frozen=True)
class Peer:
    """A notice: the pinned package, what of it is needed, and a page that uses it as its manual says.

    Each page keeps one cookie, `stat`, by the notice's own means, once its purpose is granted.
    """

    package: str
    members: tuple[str, ...]
    page: str
    clicks: tuple[int, int, int]  # that refusing, accepting and withdrawing take

    @property
    def folder(self) -> str:
        return self.package.replace("/", "_")


def _page(head: str, body: str = "") -> str:
    return f"""<!doctype html><html lang="fr"><head><meta charset="utf-8"><title>Une page</title>
{head}</head><body><main><h1>Une page</h1><p>Elle dit quelque chose, <a href="/suite">puis la suite</a>.</p>
</main>{body}</body></html>"""


STAT = "document.cookie = 'stat=1; path=/; max-age=9999'"
PEERS = {
    "klaro": Peer(
        "klaro@0.7.22",
        ("dist/klaro.js",),
        _page(
            f"""<script>var klaroConfig = {{ lang: "fr", privacyPolicy: "/donnees", acceptAll: true,
translations: {{ fr: {{ purposes: {{ stat: "Mesure" }} }} }},
services: [{{ name: "stat", title: "Mesure", purposes: ["stat"], cookies: ["stat"] }}] }};</script>
<script defer src="/dist/klaro.js"></script>
<script type="text/plain" data-type="text/javascript" data-name="stat">{STAT}</script>""",
            '<footer><a href="#" onclick="klaro.show(); return false">Gérer mes cookies</a></footer>',
        ),
        (1, 1, 3),
    ),
    "tarteaucitron": Peer(
        "tarteaucitronjs@1.34.0",
        ("tarteaucitron.min.js", "tarteaucitron.services.min.js", "css/", "lang/"),
        _page(
            """<script src="/tarteaucitron.min.js"></script><script>
tarteaucitron.init({ privacyUrl: "/donnees", orientation: "middle", showAlertSmall: false, showIcon: true,
  DenyAllCta: true, AcceptAllCta: true, highPrivacy: true, mandatory: true, removeCredit: true });
tarteaucitron.services.stat = { key: "stat", type: "analytic", name: "Mesure", uri: "", needConsent: true,
  cookies: ["stat"], js: () => { STAT; } };
(tarteaucitron.job = tarteaucitron.job || []).push("stat");</script>""".replace("STAT", STAT)
        ),
        (1, 1, 2),
    ),
    "vanilla-cookieconsent": Peer(
        "vanilla-cookieconsent@3.1.0",
        ("dist/cookieconsent.umd.js", "dist/cookieconsent.css"),
        _page(
            f"""<link rel="stylesheet" href="/dist/cookieconsent.css">
<script src="/dist/cookieconsent.umd.js"></script>
<script type="text/plain" data-category="stat">{STAT}</script>""",
            """<footer><button type="button" data-cc="show-preferencesModal">Gérer mes cookies</button></footer>
<script>CookieConsent.run({
  categories: { necessary: { enabled: true, readOnly: true },
    stat: { autoClear: { cookies: [{ name: "stat" }] } } },
  language: { default: "fr", translations: { fr: {
    consentModal: { title: "Des cookies", description: "Pour mesurer l'audience.",
      acceptAllBtn: "Tout accepter", acceptNecessaryBtn: "Tout refuser", showPreferencesBtn: "Gérer" },
    preferencesModal: { title: "Vos choix", acceptAllBtn: "Tout accepter",
      acceptNecessaryBtn: "Tout refuser", savePreferencesBtn: "Enregistrer", closeIconLabel: "Fermer",
      sections: [{ title: "Mesure", description: "L'audience.", linkedCategory: "stat" }] } } } },
});</script>""",
        ),
        (1, 1, 2),
    ),
    "orejime": Peer(
        "orejime@3.2.1",
        ("dist/orejime-standard-fr.js", "dist/orejime-standard.css"),
        _page(
            """<link rel="stylesheet" href="/dist/orejime-standard.css"><script>
window.orejimeConfig = { privacyPolicyUrl: "/donnees",
  purposes: [{ id: "stat", title: "Mesure", description: "L'audience.", cookies: ["stat"] }] };
</script>""",
            f"""<template data-purpose="stat"><script>{STAT}</script></template>
<footer><button type="button" onclick="orejime.prompt()">Gérer mes cookies</button></footer>
<script src="/dist/orejime-standard-fr.js"></script>""",
        ),
        (1, 1, 3),
    ),
    "dsfr": Peer(
        "@gouvfr/dsfr@1.15.3",
        ("dist/dsfr.min.css", "dist/dsfr.module.min.js"),
        _page(
            '<link rel="stylesheet" href="/dist/dsfr.min.css">',
            """<div class="fr-consent-banner" hidden><h2 class="fr-h6">À propos des cookies</h2>
<div class="fr-consent-banner__content"><p>Nous demandons votre accord pour mesurer l'audience.</p></div>
<ul class="fr-consent-banner__buttons fr-btns-group fr-btns-group--inline-sm">
<li><button class="fr-btn" title="Autoriser tous les cookies" data-all="1">Tout accepter</button></li>
<li><button class="fr-btn" title="Refuser tous les cookies" data-all="0">Tout refuser</button></li>
<li><button class="fr-btn fr-btn--secondary" data-fr-opened="false" aria-controls="fr-consent-modal"
  title="Personnaliser les cookies">Personnaliser</button></li></ul></div>
<dialog id="fr-consent-modal" class="fr-modal" aria-labelledby="fr-consent-modal-title">
<div class="fr-container"><div class="fr-modal__body">
<div class="fr-modal__header"><button class="fr-btn--close fr-btn" aria-controls="fr-consent-modal">Fermer</button></div>
<div class="fr-modal__content"><h2 id="fr-consent-modal-title" class="fr-modal__title">Panneau de gestion des cookies</h2>
<div class="fr-consent-manager">
<div class="fr-consent-service fr-consent-manager__header"><fieldset class="fr-fieldset">
<legend class="fr-consent-service__title">Préférences pour tous les services</legend>
<div class="fr-consent-service__radios">
<div class="fr-radio-group"><input type="radio" id="consent-all-accept" name="consent-all">
<label class="fr-label" for="consent-all-accept">Tout accepter</label></div>
<div class="fr-radio-group"><input type="radio" id="consent-all-refuse" name="consent-all">
<label class="fr-label" for="consent-all-refuse">Tout refuser</label></div></div></fieldset></div>
<ul class="fr-consent-manager__buttons fr-btns-group"><li>
<button class="fr-btn" id="keep">Confirmer mes choix</button></li></ul>
</div></div></div></div></dialog>
<footer class="fr-footer"><button class="fr-footer__bottom-link" data-fr-opened="false"
  aria-controls="fr-consent-modal">Gestion des cookies</button></footer>
<script type="module" src="/dist/dsfr.module.min.js"></script><script>
const banner = document.querySelector(".fr-consent-banner");
const decide = (all) => {
  localStorage.setItem("choix", all); banner.hidden = true;
  if (all === "1") { STAT; } else document.cookie = "stat=; path=/; max-age=0";
};
const choice = localStorage.getItem("choix");
banner.hidden = choice !== null;
document.querySelector(choice === "1" ? "#consent-all-accept" : "#consent-all-refuse").checked = choice !== null;
for (const one of document.querySelectorAll("[data-all]")) one.onclick = () => decide(one.dataset.all);
document.querySelector("#keep").onclick = () => {
  decide(document.querySelector("#consent-all-accept").checked ? "1" : "0");
  dsfr(document.querySelector("#fr-consent-modal")).modal.conceal();
};</script>""".replace("STAT", STAT),
        ),
        (1, 1, 3),
    ),
    "cookieconsent": Peer(
        "cookieconsent@3.1.1",
        ("build/cookieconsent.min.js", "build/cookieconsent.min.css"),
        _page(
            '<link rel="stylesheet" href="/build/cookieconsent.min.css">',
            """<script src="/build/cookieconsent.min.js"></script><script>
const keep = (status) => {
  if (status === "allow") { STAT; } else document.cookie = "stat=; path=/; max-age=0";
};
cookieconsent.initialise({ type: "opt-in", animateRevokable: false,
  palette: { popup: { background: "#222" }, button: { background: "#fd0" } },
  content: { message: "Ce site utilise des cookies.", allow: "Accepter", deny: "Refuser", policy: "Cookies" },
  onInitialise: keep, onStatusChange: keep });</script>""".replace("STAT", STAT),
        ),
        (1, 1, 2),
    ),
}

AXE = Peer("axe-core@4.14.1", ("axe.min.js",), "", (0, 0, 0))  # no notice, fetched like one


def fetch(folder: Path, peers: list[Peer]) -> None:
    """Get the pinned packages from the registry; skip the test where none can be reached."""
    for peer in peers:
        try:
            done = subprocess.run(
                ["npm", "pack", "--silent", peer.package],
                cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=True,
            )  # fmt: skip
        except subprocess.SubprocessError:
            if subprocess.run(["npm", "ping"], check=False, timeout=FETCH_SECONDS).returncode:
                pytest.skip("no npm registry can be reached")
            raise
        packed = folder / done.stdout.split()[-1]
        made = folder / f"{peer.folder}.part"
        shutil.rmtree(made, ignore_errors=True)
        with tarfile.open(packed) as archive:
            wanted = tuple(f"package/{one}" for one in peer.members)
            members = [one for one in archive if one.isfile() and one.name.startswith(wanted)]
            archive.extractall(made, members, filter="data")
        packed.unlink()
        (made / "package").rename(folder / peer.folder)
        shutil.rmtree(made)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, peer: Peer, folder: Path, *args: object) -> None:
        self.peer, self.folder = peer, folder
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = self.folder / path.lstrip("/")
        if path in ("/", "/suite", "/donnees"):
            body, kind = self.peer.page.encode(), "text/html; charset=utf-8"
        elif file.is_file():
            body, kind = file.read_bytes(), mimetypes.guess_type(path)[0] or "text/plain"
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(peer: Peer, builds: Path) -> Iterator[str]:
    """Serve a peer's page on loopback."""
    handler = functools.partial(_Handler, peer, builds / peer.folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://site.localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
