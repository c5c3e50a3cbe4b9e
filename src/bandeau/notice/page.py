"""The notice's parts as HTML: first layer, band, placeholders, and pages of our own.

The same policy, language and state give the same bytes: parts are rendered once for each and kept;
what differs from page to page is the path to come back to, put in where a marker stands.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
)
from markupsafe import escape

from bandeau.decision.model import TECHNICAL, Consent, Decision, State
from bandeau.notice.changes import Told
from bandeau.notice.texts import Texts, negotiated
from bandeau.policy.colours import palette
from bandeau.policy.digest import digest
from bandeau.policy.model import Feature, Look, Policy, Service, Tracker
from bandeau.wire.csp import hash_source

_BACK = "\ue000"  # private use: stands where the way back goes
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_FILES = ("bandeau.js", "later.js", "pages.css")
_PLAIN = ("plain", "bottom")  # what the style is without a file of its own


@dataclass(frozen=True, slots=True)
class _View:
    """One purpose as templates show it."""

    id: str
    title: str
    sentence: str
    data: str
    services: tuple[Service, ...]
    trackers: tuple[Tracker, ...]
    features: tuple[str, ...]


class Notice:
    """All that a policy's visitors see. Made once at start."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._texts = {lang: Texts(lang, policy) for lang in policy.site.languages}
        self._views = {lang: self._purposes(texts) for lang, texts in self._texts.items()}
        self._static = {name: _read(name) for name in _FILES}
        self._mark = hashlib.sha256(b"".join(self._static.values())).hexdigest()[:12]
        self.style = style(policy.notice)
        self.style_hash = hash_source(self.style.encode())
        self.module_integrity = hash_source(self._static["bandeau.js"]).strip("'")
        loaders: list[BaseLoader] = [PackageLoader("bandeau.notice")]
        if policy.site.templates:
            loaders.insert(0, FileSystemLoader(policy.site.templates))
        self._templates = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._part = lru_cache(maxsize=1024)(self._render_part)
        self._held = lru_cache(maxsize=1024)(self._render_held)
        self._waiting = lru_cache(maxsize=1024)(self._render_waiting)
        self._listed = lru_cache(maxsize=64)(self._render_list)
        self._digest = digest(policy)
        self._head = self.head().decode()
        self._warm()

    def language(self, page: str | None, accept_language: str | None) -> str:
        """Return the notice's language for a page's `<html lang>` and an Accept-Language header."""
        return negotiated(self.policy.site.languages, page, accept_language)

    def static(self, name: str) -> tuple[str, bytes] | None:
        """Return content type and bytes of one of our files."""
        content = self._static.get(name)
        return (_TYPES[name.rpartition(".")[2]], content) if content is not None else None

    def static_url(self, name: str) -> str:
        """Return the path of one of our files; one mark for all, since scripts name each other."""
        return f"{self.policy.site.prefix}/static/{self._mark}/{name}"

    def direction(self, lang: str) -> str:
        """Return "ltr" or "rtl"."""
        return self._texts[lang]("meta", "dir")

    def names(self, lang: str, granted: list[str]) -> str:
        """Return purposes as the band names them."""
        return self._texts[lang].titles(granted)

    def head(self, nonce: str | None = None) -> bytes:
        """Return what goes into `<head>`: the style in line, the script as a module beside the way."""
        marked = f' nonce="{escape(nonce)}"' if nonce else ""
        return (
            f"<style{marked}>{self.style}</style>"
            f'<script type="module"{marked} src="{self.static_url("bandeau.js")}"'
            f' integrity="{self.module_integrity}"></script>'
        ).encode()

    def first(self, lang: str, consent: Consent, *, back: str) -> bytes:
        """Return the first layer, or nothing when nothing is asked."""
        if not consent.asks:
            return b""
        return self._fragment("first.html", lang, consent, back)

    def band(self, lang: str, consent: Consent, *, back: str) -> bytes:
        """Return the state band, with the forms that open one purpose each."""
        return self._fragment("band.html", lang, consent, back)

    def placeholder(
        self, lang: str, *, service: Service | None, url: str, title: str, width: str, height: str
    ) -> bytes:
        """Return what stands for a frame that is held back: phrasing content, no form (ADR 6)."""
        return self._held(lang, service.id if service else None, url, title, width, height)

    def _render_held(
        self, lang: str, service_id: str | None, url: str, title: str, width: str, height: str
    ) -> bytes:
        service = self.policy.service(service_id) if service_id else None
        texts = self._texts[lang]
        needs = list(service.needs_any or (service.purpose or "",)) if service else []
        sized = width.isdecimal() and height.isdecimal()
        return self._render(
            "placeholder.html",
            lang,
            service=service,
            needs=[need for need in needs if need != TECHNICAL],
            data=texts.data(self._data(needs)),
            url=url,
            host=url.partition("//")[2].partition("/")[0] or url,
            title=title,
            size=(width, height) if sized else None,
        ).encode()

    def closed_frame(
        self,
        lang: str,
        feature: Feature,
        consent: Consent,
        *,
        title: str,
        width: str,
        height: str,
    ) -> bytes:
        """Return what stands for a frame of the site's own whose page is closed."""
        name, sentence = self._texts[lang].feature(feature.id)
        needs = [need for need in feature.needs if not consent.allows(need)]
        sized = width.isdecimal() and height.isdecimal()
        return self._render(
            "closed_frame.html",
            lang,
            feature=name,
            sentence=sentence,
            needs=needs,
            data=self._texts[lang].data(self._data(needs)),
            title=title,
            size=(width, height) if sized else None,
        ).encode()

    def held(self, lang: str, needs: tuple[str, ...]) -> bytes:
        """Return what stands for a part of a page that needs purposes; phrasing content (ADR 6)."""
        return self._waiting(lang, needs)

    def _render_waiting(self, lang: str, needs: tuple[str, ...]) -> bytes:
        return self._render(
            "closed_frame.html",
            lang,
            feature=self._texts[lang].titles(list(needs)),
            sentence="",
            needs=needs,
            data=self._texts[lang].data(self._data(needs)),
            title="",
            size=None,
        ).encode()

    def settings(
        self,
        lang: str,
        consent: Consent,
        *,
        back: str,
        confirm: bool = False,
        moved: bool = False,
        objected: bool = False,
    ) -> str:
        """Return the settings page; `confirm` asks once more against the browser's signal.

        `moved` says that somebody signed in or out since the choice was offered, so that it was not
        taken; `objected`, that the visitor objects to audience measurement.
        """
        more = {"confirm": confirm, "moved": moved, "objected": objected}
        return self._page("settings.html", lang, consent, back, **more)

    def trackers(
        self,
        lang: str,
        consent: Consent,
        *,
        back: str,
        objected: bool = False,
        versions: Sequence[Told] = (),
    ) -> str:
        """Return the page of all that is declared, and of what was; the newest version first."""
        more = {"objected": objected, "versions": versions}
        return self._page("trackers.html", lang, consent, back, **more)

    def listing(self, lang: str | None) -> str:
        """Return what is declared as a part of a page of the site's, the same for every visitor.

        `lang` is the page's language (BCP 47). Headings are `<h3>`; no form and no script is in it.
        """
        return self._listed(self.language(lang, None))

    def _render_list(self, lang: str) -> str:
        return self._render("listing.html", lang)

    def receipt(
        self,
        lang: str,
        consent: Consent,
        *,
        back: str,
        decision: Decision | None,
        index: int,
        time: str,
        line: str,
        proof: str,
        vkey: str,
        once: bool = False,
    ) -> str:
        """Return the page of a visitor's own proof: in words, as it is recorded, and to keep.

        Without a decision it says why there is none to show, and how to get one. What is shown `once`
        is downloaded out of the page itself.
        """
        held = base64.b64encode(proof.encode()).decode("ascii")
        served = f"{self.policy.site.prefix}/receipt?format=tlog-proof"
        return self._page(
            "receipt.html",
            lang,
            consent,
            back,
            decision=decision,
            index=index,
            time=time,
            line=line,
            proof=proof,
            download=f"data:text/plain;base64,{held}" if once else served,
            vkey=vkey,
        )

    def closed(self, lang: str, feature: Feature, consent: Consent, *, back: str) -> str:
        """Return the page of a closed feature: what it needs and why, one button for each purpose."""
        title, sentence = self._texts[lang].feature(feature.id)
        needs = [need for need in feature.needs if not consent.allows(need)]
        data = self._texts[lang].data(self._data(needs))
        return self._page(
            "closed.html",
            lang,
            consent,
            back,
            title=title,
            sentence=sentence,
            needs=needs,
            data=data,
        )

    def closed_page(self, lang: str, needs: tuple[str, ...], consent: Consent, *, back: str) -> str:
        """Return the page of an address that needs purposes and belongs to no feature."""
        more = {"needs": needs, "data": self._texts[lang].data(self._data(needs))}
        return self._page("closed.html", lang, consent, back, title="", sentence="", **more)

    def problem(self, lang: str, consent: Consent, *, status: int, kind: str) -> str:
        """Return a page for a request that failed; an unknown kind says so in general words."""
        known = self._texts[lang].words["problem"]
        texts = known.get(kind, known["other"])
        return self._page("problem.html", lang, consent, "/", status=status, problem=texts)

    def trackers_data(self) -> dict[str, Any]:
        """Return the page of all that is declared, for machines. `version` changes with its shape."""
        policy = self.policy
        lang = policy.site.languages[0]
        return {
            "version": 2,
            "policy": digest(policy),
            "controller": policy.controller.model_dump(mode="json"),
            "own": {
                "name": ["__Host-bandeau", "bandeau"],
                "kind": "cookie",
                "party": "first",
                "max_age_days": policy.site.valid_days,
                "content": ["version", "policy", "granted", "decided", "minute", "seal"],
            },
            "receipt": {
                "name": ["__Secure-bandeau-receipt", "bandeau-receipt"],
                "kind": "cookie",
                "party": "first",
                "path": f"{policy.site.prefix}/",
                "max_age_days": policy.site.valid_days,
                "content": ["index", "seal"],
            },
            "account": policy.account.enabled,
            "choice": self.policy.choice.model_dump(mode="json", exclude_none=True),
            "purposes": [
                {
                    "id": view.id,
                    "title": view.title,
                    "sentence": view.sentence,
                    "data": list(self._data([view.id])),
                    "services": [
                        s.model_dump(mode="json", exclude_none=True) for s in view.services
                    ],
                    "trackers": [
                        t.model_dump(mode="json", exclude_none=True) for t in view.trackers
                    ],
                }
                for view in self._views[lang]
            ],
        }

    def shown(self) -> dict[str, Any]:
        """Return the notice as an undecided visitor is shown it: languages, style, script.

        Where a consent platform asks, nothing is asked here. `unreviewed` are the languages whose texts
        no native speaker had read by then.
        """
        asks = self.policy.choice.source == "notice"
        consent = Consent(State.UNDECIDED, asks=frozenset(self.policy.consentable if asks else ()))
        return {
            "style": self.style,
            "script": self._static["bandeau.js"].decode("utf-8"),
            "unreviewed": sorted(
                lang for lang, texts in self._texts.items() if not texts.words["meta"]["reviewed"]
            ),
            "later": self._static["later.js"].decode("utf-8"),
            "languages": {
                lang: {
                    "first": self.first(lang, consent, back="/").decode(),
                    "settings": self.settings(lang, consent, back="/") if asks else "",
                    "band": self.band(lang, consent, back="/").decode(),
                }
                for lang in self.policy.site.languages
            },
        }

    def _fragment(self, template: str, lang: str, consent: Consent, back: str) -> bytes:
        asks, granted = tuple(sorted(consent.asks)), tuple(sorted(consent.granted))
        said = consent.signal, consent.account
        html = self._part(template, lang, consent.state, granted, asks, *said)
        return (
            html.replace(_BACK, str(escape(back))).replace("\ue001", quote(back, safe="/")).encode()
        )

    def _render_part(
        self,
        template: str,
        lang: str,
        state: State,
        granted: tuple[str, ...],
        asks: tuple[str, ...],
        signal: bool,  # noqa: FBT001 (a cache key has no names)
        account: bool,  # noqa: FBT001 (as above)
    ) -> str:
        consent = Consent(state, frozenset(granted), frozenset(asks), signal, account=account)
        return self._render(template, lang, consent=consent, back=_BACK, back_query="\ue001")

    def _page(self, template: str, lang: str, consent: Consent, back: str, **more: object) -> str:
        band = self.band(lang, consent, back=back).decode()
        return self._render(
            template,
            lang,
            consent=consent,
            back=back,
            back_query=quote(back, safe="/"),
            band=band,
            **more,
        )

    def _render(self, template: str, lang: str, **values: object) -> str:
        texts = self._texts[lang]
        return self._templates.get_template(template).render(
            text=texts,
            lang=lang,
            policy=self.policy,
            prefix=self.policy.site.prefix,
            purposes=[view for view in self._views[lang] if view.id != TECHNICAL],
            technical=next((view for view in self._views[lang] if view.id == TECHNICAL), None),
            costs=self._costs(texts),
            head=self._head,
            pages_css=self.static_url("pages.css"),
            digest=self._digest,
            elsewhere=self.policy.choice.settings_url,
            titles={view.id: view.title for view in self._views[lang]},
            **values,
        )

    def _purposes(self, texts: Texts) -> tuple[_View, ...]:
        declared = list(self.policy.consentable)
        return tuple(self._view(texts, purpose) for purpose in [*declared, TECHNICAL])

    def _view(self, texts: Texts, purpose: str) -> _View:
        services = tuple(s for s in self.policy.services if purpose in (s.purpose, *s.needs_any))
        ids = {service.id for service in services}
        title, sentence = texts.purpose(purpose)
        return _View(
            id=purpose,
            title=title,
            sentence=sentence,
            data=texts.data(self._data([purpose])),
            services=services,
            trackers=tuple(
                t for t in self.policy.trackers if t.purpose == purpose or t.service in ids
            ),
            features=tuple(
                texts.feature(f.id)[0] for f in self.policy.features if purpose in f.needs
            ),
        )

    def _data(self, purposes: Iterable[str]) -> tuple[str, ...]:
        wanted = set(purposes)
        found = [item for p in self.policy.purposes if p.id in wanted for item in p.data]
        return tuple(dict.fromkeys(found))

    def _costs(self, texts: Texts) -> str:
        """Say what refusing closes (rule A9): each feature with the purposes it needs."""
        return str(texts.words["meta"]["list"]).join(
            f"{texts.feature(f.id)[0]} ({texts.titles(list(f.needs))})"
            for f in self.policy.features
            if f.needs
        )

    def _warm(self) -> None:
        """Render what every first visitor gets, so that an owner's broken template fails at start."""
        everything = frozenset(self.policy.consentable)
        undecided = Consent(State.UNDECIDED, asks=everything)
        for lang in self.policy.site.languages:
            self.first(lang, undecided, back="/")
            self.settings(lang, undecided, back="/")
            self.trackers(lang, undecided, back="/")
            self.listing(lang)
            self.problem(lang, undecided, status=404, kind="missing")
            self.receipt(
                lang,
                undecided,
                back="/",
                decision=None,
                index=0,
                time="",
                line="",
                proof="",
                vkey="",
            )
            for feature in self.policy.features:
                self.closed(lang, feature, undecided, back="/")


def style(look: Look, *, scheme: str = "", colours: dict[str, str] | None = None) -> str:
    """Return the style that stands in the page: colours, the common part, theme and placement.

    With a `scheme`, "light" or "dark", its colours whatever the visitor prefers; or the given `colours`.
    """
    light, dark = (_variables(palette(look, one)) for one in ("light", "dark"))
    both = f"{light}\n@media (prefers-color-scheme:dark){{{dark}}}"
    shown = _variables(colours) if colours else {"light": light, "dark": dark}.get(scheme, both)
    parts = [name for name in (look.theme, look.placement) if name not in _PLAIN]
    return f"{shown}\n{''.join(_read(f'{name}.css').decode() for name in ('bandeau', *parts))}"


def _variables(colours: dict[str, str]) -> str:
    return f":root{{{';'.join(f'--bandeau-{name}:{value}' for name, value in colours.items())}}}"


def _read(name: str) -> bytes:
    return (files("bandeau.notice") / "static" / name).read_bytes()
