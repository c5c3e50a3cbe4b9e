"""From an empty folder to a site that obeys, as docs/django.md has it: observed, learned, enforced, audited."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from browser.djangos import managed, served
from browser.engines import free_port
from serving import page, upstream

PYTHON = Path(sys.executable)
SCRIPT = """document.cookie = "_st=abcdefgh123; max-age=31536000; path=/"; localStorage.setItem("st.id", "x1");
new Image().src = "http://stats.localhost:{port}/p.gif";"""
URLS = """
from django.contrib import admin
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from bandeau.django import consent_needs

def front(request):
    response = render(request, "front.html")
    response.set_cookie("visits", int(request.COOKIES.get("visits", 0)) + 1, max_age=30 * 86400)
    return response

@consent_needs("video")
def films(request):
    return HttpResponse("<html lang=en><title>Films</title><p>All films")

urlpatterns = [path("", front), path("privacy", lambda r: render(r, "privacy.html")), path("films", films),
               path("admin/", admin.site.urls)]
"""
FRONT = """<!doctype html><html lang="en"><head><title>My site</title>
<script src="http://stats.localhost:{port}/s.js"></script></head><body><h1>My site</h1><p>Hello.</p>
<iframe src="http://video.localhost:{port}/embed/1" title="A film" width="560" height="315"></iframe>
{{% load bandeau %}}{{% consent_needs "video" %}}<p>More films</p>{{% endconsent_needs %}}
<p><a href="/privacy">Privacy</a></p></body></html>"""
PRIVACY = """<!doctype html><html lang="en"><head><title>Privacy</title></head><body><h1>Privacy</h1><p>Who we are.</p></body></html>"""


def run(folder: Path, *words: str) -> str:
    """Run a module of ours or Django's in a folder and return all that was said."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, text=True, check=False, timeout=400,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def paste(settings: Path, said: str) -> None:
    """Do what a person does with what `manage.py check` says: replace lists, add the other lines."""
    text = settings.read_text("utf-8")
    for line in re.findall(r"HINT: (BANDEAU_\w+ = .*)", said):
        text += f"{line}\n"
    for block in re.findall(r"HINT: (MIDDLEWARE = \[.*?\n\])", said, re.DOTALL):
        start = text.index("MIDDLEWARE = [")
        text = text[:start] + block + text[text.index("]", start) + 1 :]
    settings.write_text(text, "utf-8")


@pytest.mark.skipif("BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 goes the whole way")
def test_an_empty_folder_becomes_a_site_that_obeys(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    policy, settings = tmp_path / "bandeau.toml", tmp_path / "mysite" / "settings.py"
    run(tmp_path, "django", "startproject", "mysite", ".")
    with upstream() as third:
        third.answers |= {
            "/s.js": page(SCRIPT.format(port=third.port).encode()),
            "/p.gif": page(b"GIF89a"),
            "/embed/1": page(
                b"<title>A film</title><p>A film",
                b"Set-Cookie: vid=1; Max-Age=99999; SameSite=None; Secure",
            ),
        }
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates" / "front.html").write_text(FRONT.format(port=third.port), "utf-8")
        (tmp_path / "templates" / "privacy.html").write_text(PRIVACY, "utf-8")
        (tmp_path / "mysite" / "urls.py").write_text(URLS, "utf-8")
        text = settings.read_text("utf-8").replace(
            "INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "bandeau.django",'
        )
        settings.write_text(
            re.sub(r"([\"']DIRS[\"']: )\[\]", r'\1[BASE_DIR / "templates"]', text), "utf-8"
        )

        said = managed(PYTHON, tmp_path, "check")  # what is missing, with the lines to paste
        assert "bandeau.E001" in said
        assert "bandeau.E004" in said
        paste(settings, said)
        said = managed(PYTHON, tmp_path, "check")
        first = said.partition("with your own words for the dots:\n\n")[2].partition("\n\n\n")[0]
        policy.write_text(first.replace(":8000", f":{port}"), "utf-8")
        said = managed(PYTHON, tmp_path, "check")
        assert set(re.findall(r"bandeau\.\w+\)", said)) == {"bandeau.E008)"}, (
            said
        )  # it needs "video"
        policy.write_text(policy.read_text("utf-8") + '\n[[purpose]]\nid = "video"\n', "utf-8")
        assert "bandeau.W002" in managed(PYTHON, tmp_path, "check")  # nothing belongs to it yet
        managed(PYTHON, tmp_path, "migrate")

        settings.write_text(
            settings.read_text("utf-8") + 'BANDEAU_OBSERVE = BASE_DIR / "seen.jsonl"\n', "utf-8"
        )
        with served(PYTHON, tmp_path, port):
            drafted = run(tmp_path, "bandeau", "init", address, "-o", "draft.toml", "--quiet")
        seen = [
            json.loads(line) for line in (tmp_path / "seen.jsonl").read_text("utf-8").splitlines()
        ]
        assert {one["name"] for one in seen if one["held"] != "summary"} >= {
            "visits",
            "stats.localhost",
            "video.localhost",
        }

        draft = (tmp_path / "draft.toml").read_text("utf-8")
        assert "lines to check" in drafted, drafted
        presets = 'languages = ["en"]\npresets = ["django", "django-admin"]'
        edited = re.sub("languages = .*", lambda _: presets, draft)
        edited = re.sub(
            r'(name = "visits"\nkind = "cookie"\npurpose = )"\w+"', r'\1"technical"', edited
        )
        unused = re.search(r'\[\[purpose\]\]\nid = "ads"\n.*?\n\n', edited, re.DOTALL)
        edited = (
            edited.replace(unused[0], "") if unused and 'purpose = "ads"' not in edited else edited
        )
        policy.write_text(edited, "utf-8")
        settings.write_text(
            settings.read_text("utf-8").replace("BANDEAU_OBSERVE", "# BANDEAU_OBSERVE"), "utf-8"
        )
        said = managed(PYTHON, tmp_path, "check")
        assert "no issues" in said
        with served(PYTHON, tmp_path, port):
            words = ("audit", address, "--policy", "bandeau.toml", "--out", "report", "--quiet")
            audited = run(tmp_path, "bandeau", *words)
    assert ": clean (0 fail" in audited, audited
