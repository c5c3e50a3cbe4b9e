"""What Django users have beside the gate itself: settings, checks, the template tag, the decorator, caches."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, assert_type

import django.core.checks
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateSyntaxError, engines
from django.test import Client, override_settings
from django.test.client import RequestFactory
from django.urls import path
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page

import bandeau.django
import serving
from adapters import django_site
from adapters.test_frameworks import Visitor, preset
from bandeau import Consent
from bandeau.django import ConsentHttpRequest, checks, conf, consent_needs, views
from bandeau.policy.file import loads
from conftest import ORIGIN

POLICY = preset("django")
OURS = "bandeau.django.Middleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
HOST = {"host": ORIGIN.partition("//")[2], "accept": "text/html", "sec-fetch-dest": "document"}
PLACE = "<html lang=en><head><title>t</title></head><body>"
BLOCK = '{% load bandeau %}{% consent_needs "social" %}<p>the square</p>{% endconsent_needs %}'


def rendered(text: str, request: Any, **more: Any) -> str:
    return str(engines["django"].from_string(PLACE + text).render(more, request))


asked: list[str] = []


def square(request: Any) -> HttpResponse:
    asked.append("square")
    return HttpResponse(rendered(BLOCK, request))


def otherwise(request: Any) -> HttpResponse:
    text = BLOCK.replace("{% endc", "{% else %}<p>not yet</p>{% endc")
    return HttpResponse(rendered(text + "[{{ consent.state }}]", request))


def fragment(request: Any) -> HttpResponse:
    text = "{% load cache %}{% cache 500 square consent.key %}" + BLOCK + "{% endcache %}"
    return HttpResponse(rendered(text, request))


def plain(_request: Any) -> HttpResponse:
    asked.append("plain")
    return HttpResponse(PLACE + "x" * 999 + "<iframe src=//social.localhost/f></iframe>")


@consent_needs("social")
def closed(_request: Any) -> HttpResponse:
    asked.append("closed")
    response = HttpResponse("<p>inside")
    response.set_cookie("sq_1", "1")
    return response


@consent_needs("social", "ads")
async def closed_async(_request: Any) -> HttpResponse:
    return HttpResponse("<p>inside")


@method_decorator(consent_needs("social"), name="dispatch")
class Closed(View):  # type: ignore[misc]
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("<p>inside")


@method_decorator(consent_needs("social"), name="dispatch")
class ClosedAsync(View):  # type: ignore[misc]
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("<p>inside")


def twice(request: ConsentHttpRequest) -> HttpResponse:
    assert_type(request.consent, Consent)
    assert isinstance(request.consent, Consent)
    return HttpResponse(f"{request.consent.state} {request.consent.allows('social')}")


def preview(request: Any) -> Any:
    """Show another page of the site by sending a request of its own through the chain."""

    class Inner(BaseHandler):  # type: ignore[misc]
        def _get_response(self, inner: Any) -> Any:
            return square(inner)

    handler = Inner()
    handler.load_middleware()
    inner = RequestFactory().get("/square", headers={"cookie": request.headers.get("cookie", "")})
    return handler.get_response(inner)


def table(request: Any) -> JsonResponse:
    return JsonResponse({"social": request.consent.allows("social")})


def nonced(request: Any) -> HttpResponse:
    from django.middleware.csp import get_nonce

    return HttpResponse(f"{PLACE}<script nonce={get_nonce(request)}>a()</script>")


def patterns() -> list[Any]:
    return [
        path("nonced", nonced),
        path("square", square),
        path("kept/square", cache_page(60)(square)),
        path("otherwise", otherwise),
        path("fragment", fragment),
        path("plain", plain),
        path("closed", closed),
        path("kept/closed", cache_page(60)(closed)),
        path("inner/closed", consent_needs("social")(cache_page(60)(closed))),
        path("closed/async", closed_async),
        path("closed/class", Closed.as_view()),
        path("closed/class/async", ClosedAsync.as_view()),
        path("twice", twice),
        path("table", table),
        path("preview", preview),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("django")
    django_site.configure()
    django_site.ready(made, POLICY, *patterns())
    yield made
    bandeau.django.site().close()


@pytest.fixture(autouse=True)
def fresh(folder: Path) -> None:
    cache.clear()
    asked.clear()


def visitor(choice: str | None = None, **more: Any) -> Client:
    """Return a visitor who has chosen, in Django's own test client."""
    client = Client(headers=HOST, **more)
    if choice:
        choose(client, choice)
    return client


def choose(client: Client, choice: str) -> None:
    kind = "application/x-www-form-urlencoded"
    answered = client.post(
        "/_b/choice", choice, content_type=kind, headers={"sec-fetch-site": "same-origin"}
    )
    assert answered.status_code == 303


def text(client: Client, where: str) -> str:
    return str(client.get(where).content.decode())


@pytest.mark.skipif(
    django.VERSION < (6,), reason="there is no Django 6 here, the first with a middleware for CSP"
)
def test_our_scripts_run_under_django_s_own_browser_policy_and_it_stays() -> None:
    policy = {"default-src": ["'self'"], "script-src": ["'self'", "<CSP_NONCE_SENTINEL>"]}
    chain = [OURS, "django.middleware.csp.ContentSecurityPolicyMiddleware"]
    with override_settings(SECURE_CSP=policy, MIDDLEWARE=chain):
        client = visitor()
        for where in ("/nonced", "/plain"):
            answered = client.get(where)
            django_s, *ours = answered.headers["content-security-policy"].split(", ")
            page = answered.content.decode()
            assert django_s.startswith("default-src 'self'; script-src 'self'")
            assert len(ours) == 2
            (guard,) = re.findall(r"<head><script([^>]*)>", page)
            if where == "/nonced":
                (nonce,) = re.findall(r"<script nonce=(\S+)>a\(\)", page)
                assert f"'nonce-{nonce}'" in django_s
                assert f'nonce="{nonce}"' in guard
            else:  # it names no nonce that nobody has asked for
                assert "'sha256-" in django_s


def with_cache(*, gate: int = 0) -> Any:
    """Settings with the cache of whole pages; `gate` is where the gate stands in MIDDLEWARE."""
    chain = ["django.middleware.cache.UpdateCacheMiddleware", SESSION,
             "django.middleware.cache.FetchFromCacheMiddleware"]  # fmt: skip
    chain.insert(gate, OURS)
    return override_settings(MIDDLEWARE=chain)


def test_a_block_waits_behind_its_placeholder_and_opens() -> None:
    undecided, granted = text(visitor(), "/square"), text(visitor("choice=all"), "/square")
    assert "the square" not in undecided
    assert 'data-bandeau-needs="social" lang="en"' in undecided
    assert 'form="bandeau-add-social"' in undecided
    assert undecided.count('id="bandeau-add-social"') == 1
    assert "Closed: your consent to" in undecided
    assert "<p>the square</p>" in granted
    assert "bandeau-hold" not in granted.partition("<body>")[2].partition("bandeau-state")[0]


def test_the_button_in_a_placeholder_opens_the_block() -> None:
    client = visitor()
    choose(client, "choice=add&purpose=social&back=/square")
    assert "<p>the square</p>" in text(client, "/square")
    choose(client, "choice=none")
    assert "the square" not in text(client, "/square")


def test_a_placeholder_speaks_the_language_that_django_renders_in() -> None:
    with override_settings(LANGUAGE_CODE="fr"):
        assert 'data-bandeau-needs="social" lang="fr"' in text(visitor(), "/square")


def test_else_stands_instead_of_the_placeholder_and_consent_is_in_templates() -> None:
    undecided = text(visitor(), "/otherwise")
    assert "<p>not yet</p>[undecided]" in undecided
    assert "<p>the square</p>[granted]" in text(visitor("choice=all"), "/otherwise")


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ('"sociall"', "did you mean 'social'"),
        ("social", "name the purposes in quotes"),
        ("", "name the purposes in quotes"),
    ],
)
def test_a_tag_that_cannot_be_right_is_refused_when_it_is_read(tag: str, said: str) -> None:
    text = f"{{% load bandeau %}}{{% consent_needs {tag} %}}x{{% endconsent_needs %}}"
    with pytest.raises(TemplateSyntaxError, match=said):
        engines["django"].from_string(text)


def test_all_that_is_declared_stands_in_a_page_in_its_language() -> None:
    tag = engines["django"].from_string("{% load bandeau %}{% consent_trackers %}")
    with translation.override("fr-ca"):
        assert "<h3>Réseaux sociaux</h3>" in tag.render()
    with translation.override("en"):
        assert "<h3>Social networks</h3>" in tag.render()


def test_a_template_without_its_request_says_so() -> None:
    template = engines["django"].from_string(BLOCK)
    for request in (None, RequestFactory().get("/")):
        with pytest.raises(ImproperlyConfigured, match=r"render\(request"):
            template.render({}, request)
    undecided = engines["django"].from_string("{{ consent.state }}")
    assert undecided.render({}, RequestFactory().get("/")) == "undecided"


@pytest.mark.parametrize("where", ["/closed", "/closed/class", "/closed/class/async"])
def test_a_view_is_closed_until_granted(where: str) -> None:
    client = visitor()
    answered = client.get(where)
    page = answered.content.decode()
    assert answered.status_code == 403
    assert asked == []
    assert page.count('<section id="bandeau-state"') == 1
    assert 'name="purpose" value="social"' in page
    assert f'name="back" value="{where}"' in page
    choose(client, "choice=add&purpose=social")
    answered = client.get(where)
    assert (answered.status_code, b"<p>inside" in answered.content) == (200, True)


def test_asynchronous_views_are_closed_until_all_is_granted() -> None:
    from django.core.asgi import get_asgi_application

    form = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
    choices = (b"choice=add&purpose=social", b"choice=all")
    with serving.running(get_asgi_application(), lifespan=False) as port:
        for where, expected in (
            ("/closed/async", [403, 403, 200]),
            ("/closed/class/async", [403, 200, 200]),
            ("/closed", [403, 200, 200]),
        ):
            somebody = Visitor(port)
            statuses = [somebody.ask(where).status]
            for choice in choices:
                somebody.ask("/_b/choice", *form, method="POST", body=choice)
                statuses.append(somebody.ask(where).status)
            assert statuses == expected, where


def test_the_consent_of_a_request_is_typed_and_is_a_consent() -> None:
    assert "undecided False" in text(visitor(), "/twice")
    assert "refused False" in text(visitor("choice=none"), "/twice")


@pytest.mark.parametrize(
    "where",
    [
        "/square",
        "/preview",
        "/kept/square",
        "/fragment",
        "/closed",
        "/kept/closed",
        "/inner/closed",
    ],
)
@pytest.mark.parametrize("gate", [0, 1])
def test_no_cache_gives_a_granted_page_to_who_refused_it(where: str, gate: int) -> None:
    with with_cache(gate=gate):
        granted, refused = visitor("choice=all"), visitor("choice=none")
        for _ in range(2):
            assert "the square" in (seen := text(granted, where)) or "inside" in seen
            assert "the square" not in (seen := text(refused, where))
            assert "inside" not in seen
    with with_cache(gate=gate):  # and the other way round
        cache.clear()
        for _ in range(2):
            text(refused, where)
            assert "the square" in (seen := text(granted, where)) or "inside" in seen


def test_a_request_within_a_request_is_gated_once_and_is_the_visitor_s() -> None:
    undecided = text(visitor(), "/preview")
    assert undecided.count("<script data-bd=") == undecided.count('<section id="bandeau"') == 1
    assert "the square" not in undecided
    granted = text(visitor("choice=all"), "/preview")
    assert granted.count("<script data-bd=") == 1
    assert "the square" in granted


def test_data_that_depend_on_the_consent_say_so_to_caches_outside() -> None:
    assert visitor().get("/table").headers["Vary"] == "Cookie, Sec-GPC"


def looks_first(get_response: Any) -> Any:
    """Be a middleware that asks for the consent before the cache does anything."""

    def middleware(request: Any) -> Any:
        request.consent.allows("ads")
        return get_response(request)

    return middleware


def test_who_asked_before_the_cache_does_not_hide_who_asks_behind_it() -> None:
    with with_cache():
        sys.modules["test_urls"].looks_first = looks_first  # type: ignore[attr-defined]
        settings.MIDDLEWARE.insert(1, "test_urls.looks_first")
        for choice, seen in (("all", "granted True"), ("none", "refused False")):
            assert seen in text(visitor(f"choice={choice}"), "/twice")


def test_a_page_that_asks_nobody_is_kept_once_and_gated_for_each() -> None:
    with with_cache():
        granted, refused = visitor("choice=all"), visitor("choice=none")
        for _ in range(2):
            assert "<iframe src=//social.localhost/f>" in text(granted, "/plain")
            assert "data-bd-src=//social.localhost/f" in text(refused, "/plain")
        assert asked == ["plain"]
    asked.clear()
    cache.clear()
    with with_cache(gate=1):  # behind the cache's back every page is one visitor's
        for _ in range(2):
            text(visitor(), "/plain")
        assert asked == ["plain", "plain"]


def test_a_fragment_that_would_be_kept_for_all_is_refused_when_it_is_read() -> None:
    text = "{% load cache %}{% cache 500 square %}" + BLOCK + "{% endcache %}"
    with pytest.raises(TemplateSyntaxError, match=r"cache 500 square request\.consent\.key"):
        engines["django"].from_string(text)


def test_conditional_requests_are_answered_behind_the_gate_and_not_before_it() -> None:
    conditional = "django.middleware.http.ConditionalGetMiddleware"
    for chain, status in (([OURS, conditional], 304), ([conditional, OURS], 200)):
        with override_settings(MIDDLEWARE=chain):
            client = visitor()
            tag = client.get("/plain").headers["ETag"]
            assert client.get("/plain", headers={"if-none-match": tag}).status_code == status


def test_a_page_is_compressed_whichever_way_gzip_stands() -> None:
    zipped = "django.middleware.gzip.GZipMiddleware"
    for chain in ([OURS, zipped], [zipped, OURS]):
        with override_settings(MIDDLEWARE=chain):
            answered = visitor().get("/plain", headers={"accept-encoding": "gzip"})
            assert answered.headers["Content-Encoding"] == "gzip"
            assert b"data-bd-src" in gzip.decompress(answered.content)


def test_observed_nothing_changes_and_everything_is_written_down(tmp_path: Path) -> None:
    report = tmp_path / "seen.jsonl"
    with override_settings(BANDEAU_OBSERVE=report, BANDEAU_LEDGER=f"sqlite:///{tmp_path}/o.db"):
        assert "<p>the square</p></body>" in text(visitor(), "/square") + "</body>"
        assert visitor().get("/closed").content == b"<p>inside"
        assert visitor().get("/closed").cookies["sq_1"].value == "1"
        assert b"bandeau" not in visitor().get("/plain").content
        bandeau.django.site().close()
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert {line["name"] for line in lines[:-1]} == {"sq_1", "social.localhost"}
    assert lines[-1]["held"] == "summary"


def test_cookies_that_pass_stay_what_the_site_set() -> None:
    answered = visitor("choice=all").get("/closed")
    assert answered.cookies["sq_1"].value == "1"


def accounts(text: str) -> str:
    return text.replace("[[purpose]]", "[account]\nenabled = true\n[[purpose]]", 1)


BROKEN: dict[str, tuple[dict[str, Any], Callable[[str], str], str]] = {
    "E001 missing": ({"BANDEAU_POLICY": None}, str, 'BANDEAU_POLICY = BASE_DIR / "bandeau.toml"'),
    "E001 type": ({"BANDEAU_OBSERVE": 1.5}, str, "BANDEAU_OBSERVE = True"),
    "E001 ledger": ({"BANDEAU_LEDGER": Path("x.db")}, str, "BANDEAU_LEDGER = f"),
    "E001 empty": ({"BANDEAU_LEDGER": "sqlite:///"}, str, "BANDEAU_LEDGER = f"),
    "E002": ({"BANDEAU_POLICI": "x"}, str, "BANDEAU_POLICY = "),
    "E002 key": ({"BANDEAU_KEY_FILE": "x"}, str, "environment"),
    "E003": ({}, lambda text: text.replace("keep_days = 912", ""), "keep_days = 912"),
    "W002": ({}, lambda text: text.replace('"http://www', '"http://www.own.example", "http://www'), "write https"),
    "E004": ({"MIDDLEWARE": [SESSION]}, str, f'MIDDLEWARE = [\n    "{OURS}",\n    "{SESSION}",\n]'),
    "E005": ({"MIDDLEWARE": [SESSION, OURS]}, str, f'MIDDLEWARE = [\n    "{OURS}",\n    "{SESSION}",\n]'),
    "W003": ({"MIDDLEWARE": ["own.First", OURS]}, str, f'    "{OURS}",\n    "own.First",'),
    "W004": ({"MIDDLEWARE": [OURS, "django.middleware.gzip.GZipMiddleware"]}, str, f'GZipMiddleware",\n    "{OURS}",'),
    "E006": ({}, lambda text: text.replace('presets = ["django"]\n', ""), '[site]\npresets = ["django"]'),
    "E006 renamed": ({"SESSION_COOKIE_NAME": "sid"}, str, '[[tracker]]\nname = "sid"\nkind = "cookie"\npurpose = "technical"\nmax_age_days = 14'),
    "E006 csrf": ({"CSRF_COOKIE_NAME": "xt"}, str, 'name = "xt"'),
    "E006 language": ({"LANGUAGE_COOKIE_NAME": "lang", "MIDDLEWARE": [OURS, "django.middleware.locale.LocaleMiddleware"]}, str, 'name = "lang"'),
    "E006 messages": ({"MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage"},
        lambda text: text.replace('presets = ["django"]', "").replace('name = "session"', 'name = "sessionid"\nmax_age_days = 14\nkind = "cookie"\npurpose = "technical"\n[[tracker]]\nname = "csrftoken"\nmax_age_days = 364', 1), '"django"'),
    "W005 admin": ({"INSTALLED_APPS": [f"django.contrib.{one}" for one in ("auth", "contenttypes", "admin")]}, str, 'presets = ["django", "django-admin"]'),
    "W005 debug_toolbar": ({"INSTALLED_APPS": ["debug_toolbar"]}, str, 'presets = ["django", "debug-toolbar"]'),
    "W005 allauth": ({"INSTALLED_APPS": ["allauth"]}, str, 'presets = ["django", "allauth"]'),
    "W005 wagtail": ({"INSTALLED_APPS": ["wagtail.admin"]}, str, 'presets = ["django", "wagtail"]'),
    "W006": ({"SESSION_COOKIE_AGE": 86_400 * 30}, str, "max_age_days = 30"),
    "E007": ({"ALLOWED_HOSTS": ["own.example"]}, str, '"www.own.localhost",\n]'),
    "W007": ({"ALLOWED_HOSTS": ["www.own.localhost", "own.example"]}, str, 'origins = ["http://www.own.localhost:9000", "https://own.example"]'),
    "W008": ({"DEBUG": True}, lambda text: text.replace(ORIGIN, "https://own.example"), '"http://127.0.0.1:8000"'),
    "W009": ({}, lambda text: text.replace(ORIGIN, "https://own.example"), "SECURE_PROXY_SSL_HEADER = ("),
    "E009": ({"INSTALLED_APPS": ["bandeau.django"]}, accounts, '"django.contrib.auth",'),
    "E010": ({"SESSION_COOKIE_NAME": "both"}, accounts, 'name = "both"\nkind = "cookie"\npurpose = "technical"'),
    "W010": ({"BANDEAU_OBSERVE": True}, str, "remove BANDEAU_OBSERVE"),
    "W001": ({"BANDEAU_LEDGER": "sqlite:///bandeau.db"}, str, "BANDEAU_LEDGER = f\"sqlite:///{BASE_DIR / 'bandeau.db'}\""),
}  # fmt: skip


def found() -> list[Any]:
    return list(django.core.checks.run_checks(tags=["bandeau"], include_deployment_checks=True))


def test_what_is_right_is_not_complained_about() -> None:
    """Nor is SQLite in a deployment: several processes may write to one ledger."""
    assert found() == []


@pytest.mark.parametrize("case", BROKEN)
def test_a_check_says_what_is_wrong_with_the_lines_to_paste(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides, edited, hint = BROKEN[case]
    for name in (
        "allauth",
        "debug_toolbar",
        "wagtail/admin",
    ):  # a check only looks whether they are there
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "bandeau.toml"
    file.write_text(edited(POLICY), "utf-8")
    with override_settings(**{"BANDEAU_POLICY": file, **overrides}):
        mine = [one for one in found() if one.id == f"bandeau.{case.split(' ', maxsplit=1)[0]}"]
    assert mine, case
    assert any(hint in one.hint for one in mine), [one.hint for one in mine]


@pytest.mark.parametrize(
    ("code", "spoken"),
    [("en-us", '["en"]\n'), ("pt-br", '["pt"]\naccept_unreviewed = ["pt"]'), ("nb", '["en"]\n')],
)
def test_a_policy_that_is_not_there_yet_is_printed_to_begin_with(
    code: str, spoken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "needed", [])  # it declares no purpose yet
    place = tmp_path / "bandeau.toml"
    with override_settings(BANDEAU_POLICY=place, DEBUG=True, ALLOWED_HOSTS=[], LANGUAGE_CODE=code):
        (error,) = found()
        assert error.id == "bandeau.E003"
        assert f"languages = {spoken}" in error.hint
        (tmp_path / "bandeau.toml").write_text(error.hint.partition("\n\n")[2], "utf-8")
        assert found() == []


def test_a_view_that_needs_an_undeclared_purpose_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "needed", [*views.needed])
    consent_needs("sozial")(plain)
    (error,) = found()
    assert (error.id, error.hint) == ("bandeau.E008", "did you mean 'social'?")
    assert "plain" in error.msg


def test_every_id_has_its_test_and_its_line() -> None:
    source = Path(checks.__file__).read_text("utf-8")
    ids = set(re.findall(r'"bandeau\.([EW]\d{3})"', source))
    assert ids == {case.split(" ")[0] for case in BROKEN} | {"E008"}
    page = (Path(__file__).resolve().parents[2] / "docs" / "django.md").read_text("utf-8")
    assert set(re.findall(r"`bandeau\.([EW]\d{3})`", page)) == ids


def test_the_policy_of_the_docs_is_good_and_its_client_chooses(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "django.md").read_text("utf-8")
    first, *more = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert more == []
    policy = loads(first)
    assert policy.site.origins[0] == "https://www.example.org"
    file = tmp_path / "bandeau.toml"
    file.write_text(f'{first}\n[[purpose]]\nid = "social"\n', "utf-8")
    with override_settings(BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{tmp_path}/b.db"):
        assert [one.id for one in found() if one.id != "bandeau.W002"] == [
            "bandeau.E008",
            "bandeau.W009",
        ]
        (example,) = re.findall(r"```python\n(client = .*?)assert", page, re.DOTALL)
        scope: dict[str, Any] = {"Client": Client}
        exec(example, scope)
        assert "granted True" in scope["client"].get("/twice", secure=True).content.decode()
        bandeau.django.site().close()


def test_the_lines_to_paste_put_it_right() -> None:
    chain = [SESSION, "own.First", "django.middleware.gzip.GZipMiddleware", OURS]
    with override_settings(MIDDLEWARE=chain):
        hints = {one.hint for one in found() if one.id in ("bandeau.E005", "bandeau.W003")}
    (hint,) = hints
    scope: dict[str, Any] = {}
    exec(hint, scope)
    with override_settings(MIDDLEWARE=scope["MIDDLEWARE"]):
        assert found() == []


def test_a_wrong_setting_stops_the_gate(tmp_path: Path) -> None:
    for name, value in (("BANDEAU_POLICY", None), ("BANDEAU_LEDGER", 3), ("BANDEAU_OBSERVE", 0.5)):
        with (
            override_settings(**{name: value}),
            pytest.raises(ImproperlyConfigured, match=f"write {name} = "),
        ):
            conf.site()
    with (
        override_settings(BANDEAU_POLICY=tmp_path / "none.toml"),
        pytest.raises(ImproperlyConfigured, match="BP001"),
    ):
        conf.site()
