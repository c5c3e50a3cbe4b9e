"""What visitors see: words, bytes, escapes and buttons."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import brotli
import html5lib
import pytest
from babel import Locale
from babel.units import format_unit
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from bandeau.decision.model import Consent, State
from bandeau.notice import Notice
from bandeau.notice.form import local, read
from bandeau.notice.page import style
from bandeau.notice.texts import Texts, form_of, languages, locale, negotiated
from bandeau.policy.colours import too_faint
from bandeau.policy.file import loads
from bandeau.policy.model import BUILT_IN_PURPOSES, Look, Policy
from conftest import SMALL

LOOKS = [
    Look(theme=theme, placement=placement)
    for theme in get_args(Look.model_fields["theme"].annotation)
    for placement in get_args(Look.model_fields["placement"].annotation)
]
ALL = frozenset({"social", "ads"})
UNDECIDED = Consent(State.UNDECIDED, asks=ALL)
REFUSED = Consent(State.REFUSED)
PARTIAL = Consent(State.PARTIAL, frozenset({"social"}))
# Brotli bytes, each file alone: together these go down only (ADR 24).
SIZES = {
    "bandeau.js": 809,
    "later.js": 1_370,
    "bandeau.css": 962,
    "pages.css": 489,
    "newspaper.css": 111,
    "public.css": 67,
    "top.css": 130,
    "corner.css": 148,
}
FIRST = 2_000  # what the first layer needs: its script, and the style that stands in the page
EVERYTHING = 3_827  # all that a page of ours may load
HTML = "{http://www.w3.org/1999/xhtml}"
# Words that frighten, flatter or promise (rule A8, EDPB 03/2022 on deceptive patterns).
FORBIDDEN = re.compile(
    r"\b(?:experience|expérience|sorry|désolé|hélas|degraded|dégradé|best\b|meilleur|изживяване|съжаляваме|най-добр"
    r"|iskustv|nažalost|najbolj|zážitek|bohužel|nejlep|oplevelse|desværre|bedste|ervaring|helaas|beste\b|kogemus|kahjuks"
    r"|parim|kokemu|valitettavasti|paras\b|erlebnis|leider|besser|εμπειρία|δυστυχώς|καλύτερ|élmény|sajnos|legjobb|eispéireas"
    r"|faraor|is fearr|esperienza|purtroppo|migliore|pieredz|diemžēl|labāk|patirt|geriaus|esperjenza|sfortunatament"
    r"|aħjar|doświadczeni|niestety|najleps|experiência|infelizmente|melhor|experienț|din păcate|cel mai bun|zážitok|bohužiaľ"
    r"|najlepš|izkušnj|žal\b|najboljš|experiencia|lamentablemente|mejor|upplevelse|tyvärr|bästa)",
    re.IGNORECASE,
)
PAPER = (files("bandeau.demo") / "bandeau.toml").read_text("utf-8")
# Units that CLDR has only shortened, by another word or in another case.
OTHER_WORDS = {
    ("et", "day"),
    ("ga", "year"),
    ("mt", "day"),
    ("mt", "month"),
    ("mt", "year"),
    ("sl", "day"),
    ("sl", "year"),
    ("sv", "day"),
}


def leaves(table: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return a locale's texts by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        deeper = leaves(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
        found.update(deeper)
    return found


def spoken_in(language: str, text: str = SMALL) -> Policy:
    """Return a policy whose notice speaks one language."""
    only = f'languages = ["{language}"]\naccept_unreviewed = ["{language}"]'
    return loads(text.replace('languages = ["fr", "en"]', only))


@pytest.fixture(scope="module")
def notice(policy: Policy) -> Notice:
    return Notice(policy)


def tree(html: str | bytes) -> Any:
    text = html if isinstance(html, str) else html.decode()
    return html5lib.parse(text, namespaceHTMLElements=True)


def words(html: str) -> list[str]:
    return re.sub(r"<[^>]*>", " ", html).split()


STANDARD = SMALL + "".join(
    f'[[purpose]]\nid = "{p}"\n'
    for p in BUILT_IN_PURPOSES
    if p not in ("technical", "social", "ads")
)


@pytest.mark.parametrize("account", [False, True], ids=["", "signed in"])
@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("text", [STANDARD, PAPER], ids=["five purposes", "the newspaper"])
def test_the_first_layer_says_it_in_eighty_words(language: str, text: str, account: bool) -> None:
    policy = spoken_in(language, text)
    undecided = Consent(State.UNDECIDED, asks=frozenset(policy.consentable), account=account)
    html = Notice(policy).first(language, undecided, back="/").decode()
    before = html.partition('name="choice"')[0].rpartition("<p")[0]
    assert len(words(before)) <= 80
    positions = [
        before.index(purpose)
        for purpose, _ in map(Texts(language, policy).purpose, policy.consentable)
    ]
    assert positions == sorted(positions)


@pytest.mark.parametrize("language", languages())
def test_accept_and_refuse_are_told_alike(language: str) -> None:
    root = tree(Notice(spoken_in(language)).first(language, UNDECIDED, back="/"))
    buttons = [b for b in root.iter(f"{HTML}button") if b.get("name") == "choice"]
    assert [b.get("value") for b in buttons] == ["all", "none", "settings"]
    accept, refuse = (dict(b.attrib) for b in buttons[:2])
    del accept["value"], refuse["value"]
    assert accept == refuse


@pytest.mark.parametrize("language", languages())
def test_no_word_frightens_or_flatters(language: str) -> None:
    said = [text for text in leaves(locale(language)).values() if isinstance(text, str)]
    assert [text for text in said if FORBIDDEN.search(text)] == []


@pytest.mark.parametrize("language", languages())
def test_every_locale_has_the_keys_and_places_of_the_english_one(language: str) -> None:
    def places(value: object) -> set[str]:
        return set(re.findall(r"\{(\w*)\}", str(value)))

    wanted, found = leaves(locale("en")), leaves(locale(language))
    file = f"notice/locales/{language}.toml"
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    assert missing == [], f"{file} lacks {', '.join(missing)}"
    assert extra == [], f"{file} has what en.toml has not: {', '.join(extra)}"
    wrong = {key: places(found[key]) for key in wanted if places(found[key]) != places(wanted[key])}
    assert wrong == {}, f"{file} has other places than en.toml"
    assert {f"purpose.{p}.title" for p in BUILT_IN_PURPOSES} <= wanted.keys()


def test_no_two_languages_are_one_text_copied() -> None:
    """A name, a loan word or a sign may be alike; a sentence of four words is not."""
    seen: dict[str, str] = {}
    for language in languages():
        for key, text in leaves(locale(language)).items():
            if isinstance(text, str) and key != "meta.plural" and len(text.split()) > 3:
                assert seen.setdefault(text, language) == language, (key, language, seen[text])


@pytest.mark.parametrize("language", languages())
def test_plural_forms_are_chosen_as_cldr_chooses_them(language: str) -> None:
    cldr = Locale.parse("pt_PT" if language == "pt" else language)
    place = form_of(locale(language)["meta"]["plural"])
    chosen = {number: cldr.plural_form(number) for number in range(401)}
    places = {number: place(number) for number in chosen}
    assert len(set(zip(chosen.values(), places.values(), strict=True))) == len({*chosen.values()})
    assert {*places.values()} == set(range(len({*chosen.values()})))
    for unit, forms in locale(language)["duration"].items():
        assert len(forms) == len({*chosen.values()}), unit
        if (language, unit) in OTHER_WORDS:
            continue
        said = {n: forms[at].format(n=n).replace("\u00a0", " ") for n, at in places.items()}
        units = {n: format_unit(n, f"duration-{unit}", "long", locale=cldr) for n in said}
        assert said == {n: one.replace("\u00a0", " ") for n, one in units.items()}


def test_the_languages_are_those_of_the_union_and_say_their_names() -> None:
    for language in languages():
        name = Locale.parse(language).get_display_name(language)
        assert name
        assert locale(language)["meta"]["name"].casefold() == name.casefold(), language


@pytest.mark.parametrize("language", languages())
def test_signs_are_the_printer_s_and_not_the_typewriter_s(language: str) -> None:
    texts = {k: v for k, v in leaves(locale(language)).items() if isinstance(v, str)}
    del texts["meta.plural"]
    assert {k: v for k, v in texts.items() if re.search(r"""["']|\.\.\.| - |  """, v)} == {}
    assert {k for k, v in texts.items() if v != v.strip(" ")} <= {"meta.list", "meta.colon"}
    assert all(texts.values())


def test_nothing_is_ticked_beforehand_and_the_first_button_saves(notice: Notice) -> None:
    root = tree(notice.settings("fr", UNDECIDED, back="/"))
    boxes = [i for i in root.iter(f"{HTML}input") if i.get("type") == "checkbox"]
    assert [box.get("value") for box in boxes] == ["social", "ads"]
    assert all(box.get("checked") is None for box in boxes)
    form = next(f for f in root.iter(f"{HTML}form") if f.get("id") == "bandeau-settings")
    assert next(form.iter(f"{HTML}button")).get("value") == "save"


def test_settings_show_what_was_chosen(notice: Notice) -> None:
    root = tree(notice.settings("fr", PARTIAL, back="/"))
    ticked = [i.get("value") for i in root.iter(f"{HTML}input") if i.get("checked") is not None]
    assert ticked == ["social"]


def test_the_band_says_the_state_and_shows_the_way(notice: Notice) -> None:
    for consent, shown in ((UNDECIDED, "no"), (REFUSED, "no"), (PARTIAL, "yes")):
        root = tree(notice.band("fr", consent, back="/a?b=1&c"))
        line = next(p for p in root.iter(f"{HTML}p") if p.get("data-line") == "cookies")
        visible = [
            s.get("class")
            for s in line.iter(f"{HTML}span")
            if s.get("class") and s.get("hidden") is None
        ]
        assert visible == [f"bandeau-{shown}"]
        way = next(a for a in root.iter(f"{HTML}a") if a.get("class") == "bandeau-way")
        assert way.text == "Paramétrer vos choix"
        assert way.get("href") == "/_b/settings?back=/a%3Fb%3D1%26c&lang=fr"


def test_a_choice_in_force_asks_nothing(notice: Notice) -> None:
    assert notice.first("fr", REFUSED, back="/") == b""


def test_only_what_changed_is_asked_again(notice: Notice) -> None:
    consent = Consent(State.PARTIAL, frozenset({"social"}), asks=frozenset({"ads"}))
    html = notice.first("fr", consent, back="/").decode()
    assert "Publicité" in html
    assert "ils suivent votre visite" not in html


def test_the_same_state_gives_the_same_bytes(policy: Policy, notice: Notice) -> None:
    other = Notice(policy)
    for consent in (UNDECIDED, REFUSED, PARTIAL):
        assert notice.first("en", consent, back="/") == other.first("en", consent, back="/")
        assert notice.band("en", consent, back="/") == other.band("en", consent, back="/")
        assert notice.settings("en", consent, back="/") == other.settings("en", consent, back="/")


@given(st.text(max_size=60))
def test_nothing_an_owner_or_a_url_says_becomes_markup(text: str) -> None:
    nasty = text + "\"><script>x</script><img src=x onerror=y>'"
    notice = _NASTY
    for html in (
        notice.band("en", UNDECIDED, back="/" + nasty),
        notice.first("en", UNDECIDED, back="/" + nasty),
        notice.placeholder("en", service=notice.policy.services[0], url="https://x/" + nasty,
                           title=nasty, width=nasty, height="1"),
    ):  # fmt: skip
        root = tree(html)
        assert not list(root.iter(f"{HTML}script"))
        assert not list(root.iter(f"{HTML}img"))
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)


_NASTY = Notice(
    loads(SMALL.replace('recipient = "Square"', "recipient = '\"><script>x</script>'")
          .replace('name = "Own Press"', "name = '<img src=x onerror=y>'"))
)  # fmt: skip


def test_a_placeholder_keeps_size_and_title_and_offers_just_its_purposes(notice: Notice) -> None:
    service = notice.policy.service("square")
    html = notice.placeholder(
        "fr",
        service=service,
        url="https://social.localhost/x",
        title="A post",
        width="640",
        height="360",
    ).decode()
    assert 'viewBox="0 0 640 360"' in html
    assert "<strong>A post</strong>" in html
    assert re.findall(r'form="bandeau-add-(\w+)"', html) == ["social"]
    assert 'href="https://social.localhost/x"' in html
    manager = notice.placeholder(
        "fr",
        service=notice.policy.service("manager"),
        url="https://t.localhost/",
        title="",
        width="",
        height="100%",
    ).decode()
    assert re.findall(r'form="bandeau-add-(\w+)"', manager) == ["social", "ads"]


def test_a_frame_of_nobody_declared_can_only_be_left(notice: Notice) -> None:
    html = notice.placeholder(
        "fr", service=None, url="https://x.example/a", title="", width="", height=""
    ).decode()
    assert "<button" not in html
    assert "x.example" in html


def test_placeholders_are_phrasing_content_so_that_a_paragraph_holds_them(notice: Notice) -> None:
    html = notice.placeholder(
        "fr",
        service=notice.policy.service("square"),
        url="https://social.localhost/",
        title="T",
        width="1",
        height="1",
    ).decode()
    root = tree(f"<p>before {html} after")
    (paragraph,) = root.iter(f"{HTML}p")
    assert "after" in "".join(paragraph.itertext())


def test_the_trackers_page_names_everything_declared(notice: Notice) -> None:
    html = notice.trackers("fr", UNDECIDED, back="/")
    data = notice.trackers_data()
    for tracker in notice.policy.trackers:
        assert tracker.name in html
    listed = {t["name"] for purpose in data["purposes"] for t in purpose["trackers"]}
    assert listed == {tracker.name for tracker in notice.policy.trackers}
    assert data["own"]["max_age_days"] == 182
    assert {s["recipient"] for p in data["purposes"] for s in p["services"]} == {
        "Square",
        "Chain",
        "Manager",
    }


def test_an_owner_s_template_goes_before_ours(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "band.html").write_text(
        '<section id="bandeau-state">{{ policy.controller.name }}</section>'
    )
    site = policy.site.model_copy(update={"templates": str(tmp_path)})
    own = Notice(policy.model_copy(update={"site": site}))
    assert own.band("fr", REFUSED, back="/") == b'<section id="bandeau-state">Own Press</section>'
    (tmp_path / "first.html").write_text("{{ nothing }}")
    with pytest.raises(UndefinedError):
        Notice(policy.model_copy(update={"site": site}))


def packed(content: bytes) -> int:
    return len(brotli.compress(content))


def test_the_notice_stays_small() -> None:
    folder = files("bandeau.notice") / "static"
    sizes = {entry.name: packed(entry.read_bytes()) for entry in folder.iterdir()}
    assert sizes.keys() == SIZES.keys()
    assert all(sizes[name] <= most for name, most in SIZES.items()), sizes
    for look in LOOKS:
        first = sizes["bandeau.js"] + packed(style(look).encode())
        assert first <= FIRST, (look.theme, look.placement, first)
        assert first + sizes["later.js"] + sizes["pages.css"] <= EVERYTHING


# What cookie lists hide or bar by name (EasyList's generic parts and Liste FR, as far as read).
LISTED = re.compile(
    r"cookie|consent|gdpr|rgpd|cnil|lgpd|rodo|dsgvo|cmp|tcf|eu-notice|privacy|banner|bandeau-pub|/bandeau/"
    r"|^bandeau[-_](c|cgv|info|wrapper|sellsecure)$|^band-|^b-p|^cc-|^bar_",
    re.IGNORECASE,
)


def test_no_name_is_one_that_block_lists_hide(notice: Notice) -> None:
    html = [
        notice.head().decode(),
        notice.first("fr", UNDECIDED, back="/").decode(),
        notice.band("fr", PARTIAL, back="/").decode(),
        notice.settings("fr", PARTIAL, back="/"),
        notice.held("fr", ("social",)).decode(),
        notice.closed_page("fr", ("social",), REFUSED, back="/"),
    ]
    named = {"id", "class", "name", "value", "action", "formaction", "src", "form"}
    found = {
        word
        for part in html
        for element in tree(part).iter()
        for name, value in element.attrib.items()
        if name in named or name.startswith("data-bandeau")
        for word in value.split()
    }
    assert {"bandeau", "bandeau-hold", "all", "/_b/choice"} <= found
    assert [word for word in sorted(found) if LISTED.search(word)] == []


@pytest.mark.parametrize("name", sorted(SIZES))
def test_what_ships_is_what_is_read(name: str) -> None:
    text = (files("bandeau.notice") / "static" / name).read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 320
    if name.endswith(".js"):
        assert not re.search(
            r"\b(eval\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write)", text
        )


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.theme}-{look.placement}")
def test_no_look_tells_one_button_from_another(look: Look) -> None:
    assert not re.search(r"value=|name=choice|nth-|:first|:last|formmethod", style(look))


def test_a_look_changes_the_style_and_nothing_else(policy: Policy, notice: Notice) -> None:
    other = Notice(policy.model_copy(update={"notice": Look(theme="public", placement="corner")}))
    assert other.first("fr", UNDECIDED, back="/") == notice.first("fr", UNDECIDED, back="/")
    assert other.style_hash != notice.style_hash
    assert "#000091" in other.head().decode()


def test_an_owner_s_colours_stand_instead_of_the_theme_s(policy: Policy) -> None:
    own = loads(SMALL + '[notice.colours.light]\nbutton = "#5a0f5a"\n')
    told = Notice(own).head().decode()
    assert "--bandeau-button:#5a0f5a" in told
    assert told.count("--bandeau-button:") == Notice(policy).head().decode().count(
        "--bandeau-button:"
    )


@pytest.mark.parametrize("look", LOOKS[::3], ids=lambda look: look.theme)
def test_every_theme_can_be_read_in_both_schemes(look: Look) -> None:
    assert not list(too_faint(look))


def test_static_files_have_the_address_of_their_bytes(notice: Notice) -> None:
    assert re.fullmatch(r"/_b/static/[0-9a-f]{12}/bandeau\.js", notice.static_url("bandeau.js"))
    assert notice.static("../secret") is None


@pytest.mark.parametrize(
    ("page", "accepted", "language"),
    [
        (None, None, "fr"),
        ("en-GB", "fr", "en"),
        ("de", "en;q=0.5, fr;q=0.9", "fr"),
        ("", "de, en;q=0.1", "en"),
        (None, "en;q=0, de", "fr"),
        ("x" * 999, ";;;,q=,\xff", "fr"),
        ("en-Latn-GB-oxendict", "fr", "en"),
        ("EN_gb", "fr", "en"),
        ("*", "*", "fr"),
        ("und", "nb, nn;q=0.9, no;q=0.8", "fr"),
        ("i-klingon", "x-en, en-x-own;q=0.2", "en"),
    ],
)
def test_the_language_is_the_page_s_then_the_visitor_s(
    page: str | None, accepted: str | None, language: str
) -> None:
    assert negotiated(("fr", "en"), page, accepted) == language


@pytest.mark.parametrize(
    ("page", "accepted", "language"),
    [
        ("pt-BR", None, "pt"),  # Portugal's Portuguese is nearer than another language
        ("pt-BR", "de", "pt"),
        (None, "pt-BR, de", "pt"),
        ("de-AT", None, "de"),
        ("sr-Latn", None, "bg"),  # neither hr nor another: who reads Serbian asked for none of them
        ("nb", None, "bg"),  # nor is Norwegian Danish
        ("nn-NO", "nb, da;q=0.5", "da"),  # but who asks for Danish gets it
        ("zh-Hant", "ga-IE", "ga"),
        ("mo", "ro-MD", "ro"),
        ("", "el-CY, en;q=0.5", "el"),
    ],
)
def test_only_the_primary_subtag_chooses_the_language(
    page: str | None, accepted: str | None, language: str
) -> None:
    assert negotiated(languages(), page, accepted) == language


@pytest.mark.parametrize(
    ("days", "said"),
    [(None, "session"), (1, "1 jour"), (30, "30 jours"), (182, "6 mois"), (365, "1 an"), (396, "13 mois"), (730, "2 ans"),
     (180, "180 jours"), (0, "0 jour")],
)  # fmt: skip
def test_durations_are_said_to_the_day(policy: Policy, days: int | None, said: str) -> None:
    assert Texts("fr", policy).duration(days).replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    "path",
    ["//x.example", "/\\x.example", "https://x.example", "", "x", "/a\r\nb", "/a\x00", "\\\\x"],
)
def test_the_way_back_never_leads_away(path: str) -> None:
    assert local(path) == "/"


def test_a_form_is_read_or_it_is_nothing(policy: Policy) -> None:
    posted = read(
        [("choice", "save"), ("purpose", "social"), ("purpose", "unknown"), ("lang", "xx")], policy
    )
    assert posted is not None
    assert posted.purposes == {"social"}
    assert posted.language is None
    for fields in (
        [],
        [("choice", "ALL")],
        [("choice", "all"), ("choice", "none")],
        [("purpose", "ads")],
    ):
        assert read(fields, policy) is None
