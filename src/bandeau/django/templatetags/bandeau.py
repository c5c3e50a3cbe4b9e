"""`{% consent_needs "social" %} … {% else %} … {% endconsent_needs %}`: a part that needs purposes.

`{% consent_trackers %}` is all that is declared, for the site's own privacy page.

Without `{% else %}` our placeholder stands there, with a button for each purpose that is lacking, in the
language that Django renders in.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.template.base import NodeList, Parser, Token
from django.utils.safestring import mark_safe
from django.utils.translation import get_language

from bandeau.django.conf import policy, site
from bandeau.django.middleware import exchange_of, personal
from bandeau.policy.check import undeclared

register = template.Library()
_QUOTED = re.compile(r"""(["'])([a-z][a-z0-9_-]*)\1""")


class _Needs(template.Node):  # type: ignore[misc]
    """What a page shows when its purposes are granted, and what otherwise."""

    def __init__(
        self, purposes: tuple[str, ...], granted: NodeList, other: NodeList | None
    ) -> None:
        self.purposes = purposes
        self.nodelist = granted
        self.other = other
        self.child_nodelists = ("nodelist", "other") if other is not None else ("nodelist",)

    def render(self, context: Any) -> str:
        request = getattr(context, "request", None) or context.get("request")
        exchange = exchange_of(request)
        personal(request)
        if not exchange.lacking(self.purposes):
            return str(self.nodelist.render(context))
        if self.other is not None:
            return str(self.other.render(context))
        return str(mark_safe(exchange.held(self.purposes, get_language())))  # noqa: S308 (our own markup)


@register.simple_tag  # type: ignore[untyped-decorator]
def consent_trackers() -> str:
    """Show all that is declared, in the language that Django renders in; the same for every visitor."""
    return mark_safe(site().notice.listing(get_language()))  # type: ignore[no-any-return]  # noqa: S308 (our own markup)


@register.tag  # type: ignore[untyped-decorator]
def consent_needs(parser: Parser, token: Token) -> _Needs:
    """Show a block when all of the purposes are granted. Raises TemplateSyntaxError when it is read."""
    words = [_QUOTED.fullmatch(word) for word in token.split_contents()[1:]]
    purposes = tuple(word[2] for word in words if word)
    if not purposes or len(purposes) < len(words):
        raise template.TemplateSyntaxError(
            'name the purposes in quotes, as the policy does: {% consent_needs "social" %}'
        )
    with suppress(
        ImproperlyConfigured
    ):  # no policy to be had here, as when templates are only read
        problems = undeclared(policy(), "{% consent_needs %}", purposes)
        if problems:
            raise template.TemplateSyntaxError("\n".join(map(str, problems)))
    for name, around in parser.command_stack:
        if name == "cache" and "consent" not in around.contents:
            raise template.TemplateSyntaxError(
                f"{{% {around.contents} %}} would keep one visitor's choice for all; write "
                f"{{% {around.contents} request.consent.key %}}"
            )
    granted = parser.parse(("else", "endconsent_needs"))
    other = None
    if parser.next_token().contents == "else":
        other = parser.parse(("endconsent_needs",))
        parser.delete_first_token()
    return _Needs(purposes, granted, other)
