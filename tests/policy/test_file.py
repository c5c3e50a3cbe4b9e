"""Owners' mistakes: all of them at once, each with its place and what to write instead."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.errors import PolicyError
from bandeau.notice.texts import languages, locale
from bandeau.policy.digest import digest, fingerprints
from bandeau.policy.file import load, loads, loads_with_warnings
from bandeau.policy.model import BUILT_IN_LANGUAGES, REVIEWED_LANGUAGES
from bandeau.policy.presets import PRESETS
from bandeau.policy.schema import schema
from conftest import MAPPED, SMALL

PARTNER = """[[partner]]
service = "square"
url = "https://square.example/hook"
secret_env = "SQUARE_SECRET"
names = ["sq_a"]
"""
TILL = '[[service]]\nid = "till"\npurpose = "technical"\nrecipient = "Till"\n[[feature]]\n'
WRONG = {
    "BP002": ('id = "social"', 'id = "social'),
    "BP003": ('needs_any = ["social", "ads"]', 'needs_any = ["social", "ads"]\nhostz = []'),
    "BP004": ("keep_days = 912", ""),
    "BP005": ('kind = "local_storage"', 'kind = "localstorage"'),
    "BP010": ('languages = ["fr", "en"]', 'languages = ["fr", "xx"]'),
    "BP030": ('languages = ["fr", "en"]', 'languages = ["fr", "ga"]'),
    "BP031": ('languages = ["fr", "en"]', 'languages = ["fr"]\naccept_unreviewed = ["mt"]'),
    "BP011": ("own_hosts", 'presets = ["djano"]\nown_hosts'),
    "BP012": ('id = "ads"\n', 'id = "social"\n'),
    "BP013": ('id = "ads"\n', 'id = "poll"\n'),
    "BP014": (
        'id = "ads"\ndata = ["identifiers", "geolocation"]',
        'id = "ads"\n[purpose.text.en]\ntitle = "Ads"\nsentence = "To improve your experience."',
    ),
    "BP015": ('service = "square"\nmax_age_days = 30', 'purpose = "socila"'),
    "BP016": ('service = "square"\nmax_age_days = 30', 'service = "sqare"'),
    "BP017": ('routes = ["/comments/*"]', 'routes = ["/_b/settings"]'),
    "BP018": ('"social.localhost"', '"*.own.localhost"'),
    "BP019": ('name = "session"', 'exempt = "audience"\nname = "session"'),
    "BP020": ('name = "session"', 'name = "both"\nkind = "cookie"\npurpose = "ads"\n[[tracker]]\nname = "s"'),
    "BP045": ("[[feature]]", '[notice.colours.dark]\nlink = "#303040"\n[[feature]]'),
    "BP027": ("[[feature]]", PARTNER.replace("square", "till").replace('"sq_a"', "") + TILL),
    "BP028": ("[[feature]]", PARTNER.replace("sq_a", "session") + "[[feature]]"),
}  # fmt: skip
WORTH_SAYING = {
    "BP101": ("[[feature]]", '[[purpose]]\nid = "video"\n[[feature]]'),
    "BP102": ('open = "frame"\nroutes = ["/slot/*"]', 'open = "page"'),
    "BP103": ('"*.ads.localhost"', '"social.localhost"'),
    "BP104": ('"http://www.own.localhost:9000"', '"http://own.example"'),
}

OF_A_PLATFORM = [
    ("BP021", "[choice] · settings_url", 'settings_url = "/choices"', ""),
    ("BP022", "[choice] · cookie", 'source = "tcf"', 'source = "tcf"\ncookie = "other"'),
    ("BP022", "[choice] · cookie", 'purpose = "technical"\nmax_age_days', 'purpose = "ads"\nmax_age_days'),
    ("BP023", '[[purpose]] "social" · tcf_purposes', "tcf_purposes = [1, 11]", ""),
    ("BP025", '[[service]] "platform" · tcf_vendor', 'recipient = "Platform"', 'recipient = "P"\ntcf_vendor = 7'),
    ("BP005", '[[purpose]] 1 "audience" · tcf_purposes[1]', "[1, 8]", "[1, 12]"),
    ("BP005", '[[purpose]] 1 "audience" · tcf_purposes[0]', "[1, 8]", "[true]"),
    ("BP005", '[[purpose]] 2 "ads" · tcf_special_features[0]', "features = [1]", "features = [3]"),
    ("BP005", '[[service]] 3 "chain" · tcf_vendor', "tcf_vendor = 20", "tcf_vendor = 0"),
    ("BP005", '[[service]] 3 "chain" · tcf_vendor', "tcf_vendor = 20", "tcf_vendor = 65536"),
    ("BP005", "[choice] · settings_url", '"/choices"', '"javascript:open()"'),
    ("BP005", "[choice] · settings_url", '"/choices"', '"//elsewhere.example/"'),
    ("BP005", "[choice] · cookie", 'source = "tcf"', 'source = "tcf"\ncookie = "a=b"'),
]  # fmt: skip


@pytest.mark.parametrize(("number", "place", "written", "wrong"), OF_A_PLATFORM)
def test_each_mistake_about_a_consent_platform_is_told(
    number: str, place: str, written: str, wrong: str
) -> None:
    assert loads_with_warnings(MAPPED, "bandeau.toml")[1] == []
    with pytest.raises(PolicyError) as caught:
        loads(MAPPED.replace(written, wrong, 1))
    (problem,) = caught.value.problems
    assert (problem.id, problem.place) == (number, place)
    assert problem.remedy


SIGNALS = """[signals]
gpc_since = 2026-01-01
google = { ad_storage = ["ads"], security_storage = ["technical"] }
matomo = { consent = ["social", "ads"] }
"""


@pytest.mark.parametrize(
    ("number", "place", "written", "wrong"),
    [
        ("BP035", "[signals] · google · key", "ad_storage", "ads_storage"),
        ("BP035", "[signals] · matomo · key", "consent", "ad_storage"),
        ("BP015", "[signals] · google.ad_storage · purpose", '["ads"]', '["adds"]'),
        ("BP005", "[signals] · google.ad_storage", '["ads"]', "[]"),
        ("BP005", "[signals] · google.ad_storage", '["ads"]', '"ads"'),
        ("BP005", "[signals] · google.ad_storage[1]", '["ads"]', '["ads", "</script>"]'),
        ("BP005", "[signals] · gpc_since", "2026-01-01", '"soon"'),
        ("BP003", "[signals] · gogle", "google", "gogle"),
    ],
)
def test_each_mistake_about_signals_is_told(
    number: str, place: str, written: str, wrong: str
) -> None:
    assert loads_with_warnings(SMALL + SIGNALS, "bandeau.toml")[1] == []
    with pytest.raises(PolicyError) as caught:
        loads(SMALL + SIGNALS.replace(written, wrong, 1))
    (problem,) = caught.value.problems
    assert (problem.id, problem.place) == (number, place)
    assert problem.remedy


def test_where_a_platform_asks_it_tells_vendors_itself() -> None:
    with pytest.raises(PolicyError) as caught:
        loads(MAPPED + SIGNALS)
    assert [problem.id for problem in caught.value.problems] == ["BP036", "BP036"]
    assert loads(MAPPED + "[signals]\ngpc_since = 2026-01-01\n").signals.gpc_since


def test_what_vendors_are_told_of_a_purpose_is_part_of_what_was_agreed_to() -> None:
    before = fingerprints(loads(SMALL))
    assert fingerprints(loads(SMALL + "[signals]\ngpc_since = 2026-01-01\n")) == before
    google = fingerprints(loads(SMALL + '[signals.google]\nad_storage = ["ads"]\n'))
    assert {one for one in before if before[one] != google[one]} == {"ads"}


def test_what_is_of_a_platform_is_refused_without_one_all_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        loads(MAPPED.replace('source = "tcf"', 'cookie = "own"'))
    assert [problem.id for problem in caught.value.problems] == ["BP024"] * 10
    assert {problem.place.rpartition(" ")[2] for problem in caught.value.problems} == {
        "cookie",
        "settings_url",
        "tcf_purposes",
        "tcf_special_features",
        "tcf_vendor",
    }


def test_a_string_s_cookie_may_be_a_service_s_or_one_of_several() -> None:
    loads(MAPPED.replace('name = "euconsent-v2"', 'name = "euconsent*"'))
    loads(MAPPED.replace('purpose = "technical"\nmax_age', 'service = "platform"\nmax_age'))


def test_a_platform_without_a_script_of_its_own_is_worth_saying() -> None:
    found = loads_with_warnings(MAPPED.replace('["script", "connect"]', '["connect"]'), "")[1]
    assert [(problem.id, problem.level) for problem in found] == [("BP105", "warning")]


@pytest.mark.parametrize("number", WRONG)
def test_each_mistake_has_its_number_place_and_remedy(number: str) -> None:
    with pytest.raises(PolicyError) as caught:
        loads(SMALL.replace(*WRONG[number]))
    problem = next(p for p in caught.value.problems if p.id == number)
    assert problem.place
    assert problem.message
    assert problem.remedy
    assert number in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://square.example/hook",
        "https://a:b@square.example/",
        "square.example",
        "https:///hook",
    ],
)
def test_partners_are_told_over_https_alone(url: str) -> None:
    loads(SMALL + PARTNER)
    loads(SMALL + PARTNER.replace("https://square.example", "http://127.0.0.1:9"))
    with pytest.raises(PolicyError, match="webhook"):
        loads(SMALL + PARTNER.replace("https://square.example/hook", url))


def test_partners_change_nothing_that_visitors_agreed_to() -> None:
    assert digest(loads(SMALL + PARTNER)) == digest(loads(SMALL))


@pytest.mark.parametrize("number", WORTH_SAYING)
def test_what_is_allowed_and_worth_saying_is_said(number: str) -> None:
    _, warnings = loads_with_warnings(SMALL.replace(*WORTH_SAYING[number]), "x")
    assert number in {warning.id for warning in warnings}
    assert {warning.level for warning in warnings} == {"warning"}


def test_a_missing_file_is_a_problem_too(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="BP001"):
        load(tmp_path / "none.toml")


def test_every_mistake_is_told_at_once() -> None:
    text = SMALL
    for number in ("BP003", "BP004", "BP005"):
        text = text.replace(*WRONG[number])
    with pytest.raises(PolicyError) as caught:
        loads(text)
    assert {problem.id for problem in caught.value.problems} == {"BP003", "BP004", "BP005"}
    text = SMALL
    for number in ("BP010", "BP011", "BP017", "BP018", "BP019"):
        text = text.replace(*WRONG[number])
    with pytest.raises(PolicyError) as caught:
        loads(text)
    found = {problem.id for problem in caught.value.problems}
    assert {"BP010", "BP011", "BP017", "BP018", "BP019"} <= found


def test_a_place_names_the_entry_and_a_remedy_the_key_that_was_meant() -> None:
    with pytest.raises(PolicyError) as caught:
        loads(SMALL.replace('recipient = "Manager"', 'recipiant = "Manager"'))
    said = str(caught.value)
    assert '[[service]] 3 "manager"' in said
    assert "did you mean 'recipient'?" in said


def test_keep_days_has_no_default_and_the_advice_is_told() -> None:
    with pytest.raises(PolicyError, match=r"keep_days = 912 .*24 months"):
        loads(SMALL.replace("keep_days = 912", ""))


@pytest.mark.parametrize(
    "host", ["https://x.example", "x.example:8", "x.example/a", "*.*.x", "x y", "", "*", "*."]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(PolicyError, match="BP005"):
        loads(SMALL.replace('"social.localhost"', f'"{host}"'))


@pytest.mark.parametrize("origin", ["www.own.example", "https://own.example/", "ftp://own.example"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(PolicyError, match="BP005"):
        loads(SMALL.replace('"http://www.own.localhost:9000"', f'"{origin}"'))


@given(st.text(max_size=300))
def test_whatever_stands_in_the_file_is_a_policy_or_problems(text: str) -> None:
    with pytest.raises(PolicyError):
        loads(text)


@given(st.dictionaries(st.sampled_from(["version", "proof", "site", "service", "purpose"]),
                       st.recursive(st.none() | st.integers() | st.text(max_size=5),
                                    lambda inner: st.lists(inner, max_size=3)), max_size=5))  # fmt: skip
def test_whatever_shape_a_table_has_is_a_policy_or_problems(table: dict[str, object]) -> None:
    from bandeau.policy.file import from_table

    with pytest.raises(PolicyError):
        from_table(table)


def test_deep_nesting_is_told_and_not_fatal() -> None:
    with pytest.raises(PolicyError, match="BP002"):
        loads("a = " + "[" * 100_000)


def test_an_exempt_counter_keeps_to_its_rules() -> None:
    good = SMALL + (
        '[[purpose]]\nid = "audience"\n[[tracker]]\nname = "visits"\nkind = "cookie"\n'
        'purpose = "audience"\nmax_age_days = 396\nexempt = "audience"\n'
    )
    assert loads(good)
    for change in (("396", "397"), ('purpose = "audience"\nmax', 'purpose = "ads"\nmax'),
                   ("exempt =", 'domain = "own.localhost"\nexempt ='), ("exempt =", 'party = "third"\nexempt =')):  # fmt: skip
        with pytest.raises(PolicyError, match="BP019"):
            loads(good.replace(*change))


def test_presets_name_session_and_csrf_cookies() -> None:
    for platform in PRESETS:
        policy = loads(SMALL.replace("own_hosts", f'presets = ["{platform}"]\nown_hosts'))
        added = [tracker for tracker in policy.trackers if tracker.purpose == "technical"]
        assert len(added) > 1, platform
    admin = loads(SMALL.replace("own_hosts", 'presets = ["django-admin"]\nown_hosts')).trackers
    assert ("local_storage", "theme", None) in {(t.kind, t.name, t.max_age_days) for t in admin}
    assert "csrftoken" in {
        t.name
        for t in loads(SMALL.replace("own_hosts", 'presets = ["django"]\nown_hosts')).trackers
    }


def test_fingerprints_change_with_what_a_grant_is_about_and_not_with_words() -> None:
    before = loads(SMALL)
    worded = loads(
        SMALL.replace('id = "ads"\n', 'id = "ads"\n[purpose.text.en]\ntitle="A"\nsentence="B"\n', 1)
        .replace('data = ["identifiers", "geolocation"]\n', "", 1)
        .replace('id = "ads"\n', 'id = "ads"\ndata = ["identifiers", "geolocation"]\n', 1)
    )
    assert digest(before) != digest(worded)
    assert fingerprints(before) == fingerprints(worded)
    grown = loads(SMALL.replace('"*.ads.localhost"', '"*.more.localhost"'))
    assert fingerprints(grown)["ads"] != fingerprints(before)["ads"]
    assert fingerprints(grown)["social"] == fingerprints(before)["social"]


def test_a_fingerprint_changes_with_the_mapping_to_a_platform() -> None:
    before = fingerprints(loads(MAPPED))
    for written, other, changed in (
        ("tcf_purposes = [1, 8]", "tcf_purposes = [1, 8, 9]", {"audience"}),
        ("tcf_special_features = [1]", "", {"ads"}),
        ("tcf_vendor = 30", "tcf_vendor = 31", {"ads", "social"}),
    ):
        after = fingerprints(loads(MAPPED.replace(written, other)))
        assert {one for one in before if before[one] != after[one]} == changed


def test_a_host_has_one_spelling() -> None:
    policy = loads(SMALL.replace('"social.localhost"', '"BÜCHER.example."'))
    assert policy.service("square").hosts[0].host == "xn--bcher-kva.example"


def test_the_schema_beside_the_models_is_current() -> None:
    text = (files("bandeau.policy") / "schema.json").read_text("utf-8")
    assert text == schema()
    assert json.loads(text)["title"] == "bandeau.toml"


def test_the_languages_that_a_policy_may_name_have_texts() -> None:
    assert languages() == BUILT_IN_LANGUAGES
    assert len(languages()) == 24
    reviewed = [one for one in languages() if locale(one)["meta"]["reviewed"]]
    assert [*REVIEWED_LANGUAGES] == reviewed


def test_texts_that_no_native_speaker_has_read_are_refused_until_they_are_answered_for() -> None:
    def of(languages: str, accepted: str) -> str:
        both = f"languages = [{languages}]\naccept_unreviewed = [{accepted}]"
        return SMALL.replace('languages = ["fr", "en"]', both)

    with pytest.raises(PolicyError) as caught:
        loads(of('"fr", "ga", "de", "mt"', '"de"'))
    (problem,) = caught.value.problems
    assert (problem.id, problem.place) == ("BP030", "[site] · languages")
    assert "'ga', 'mt'" in problem.message
    assert "notice/locales/ga.toml, mt.toml" in problem.remedy
    line = problem.remedy[problem.remedy.index("accept_unreviewed") :]
    loads(of('"fr", "ga", "de", "mt"', "").replace("accept_unreviewed = []", line))
    loads(of('"fr", "en"', '"en"'))  # answered for, and read since then
    own = '[purpose.text.ga]\ntitle = "A"\nsentence = "B"\n'
    with pytest.raises(PolicyError):  # the owner's words for one purpose are not the whole notice
        loads(of('"fr", "ga"', "").replace('id = "ads"\n', f'id = "ads"\n{own}', 1))


def test_the_newspaper_s_policy_is_good() -> None:
    text = (files("bandeau.demo") / "bandeau.toml").read_bytes()
    assert loads_with_warnings(text, "bandeau.toml")[1] == []
