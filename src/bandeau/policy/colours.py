"""The colours of the themes, and the contrasts that they and an owner's own must have.

Contrast is WCAG 2.2's ratio of relative luminances, 1 to 21: 4.5 for text (SC 1.4.3), 3 for what
controls are told by (SC 1.4.11).
"""

from __future__ import annotations

from collections.abc import Iterator

from bandeau.policy.model import Look

TEXT, CONTROL = 4.5, 3.0
_TEXTS = (
    *((colour, "paper") for colour in ("ink", "link", "yes", "no")),
    *((colour, "soft") for colour in ("ink", "link", "yes", "no")),
    ("label", "button"),
)
_CONTROLS = tuple((colour, behind) for colour in ("button", "line") for behind in ("paper", "soft"))
PALETTES = {
    "plain": {
        "light": {
            "ink": "#1b1b1f", "paper": "#ffffff", "soft": "#f3f2ee", "line": "#6b6b73", "yes": "#0a6b3d",
            "no": "#a3262a", "link": "#0b4f9e", "button": "#1b1b1f", "label": "#ffffff",
        },
        "dark": {
            "ink": "#f1f0ec", "paper": "#1c1c21", "soft": "#26262c", "line": "#9a9aa3", "yes": "#6fd8a0",
            "no": "#ff9d98", "link": "#9cc7ff", "button": "#f1f0ec", "label": "#1c1c21",
        },
    },
    "newspaper": {
        "light": {
            "ink": "#1d1a16", "paper": "#fffdf8", "soft": "#f3ecdf", "line": "#766e61", "yes": "#1f6a3a",
            "no": "#9b2c1d", "link": "#9a3412", "button": "#1d1a16", "label": "#fffdf8",
        },
        "dark": {
            "ink": "#ece6da", "paper": "#1e1b16", "soft": "#26221b", "line": "#9a9080", "yes": "#7fd0a0",
            "no": "#ff9f8a", "link": "#f2a65a", "button": "#ece6da", "label": "#1e1b16",
        },
    },
    "public": {
        "light": {
            "ink": "#161616", "paper": "#ffffff", "soft": "#f5f5fe", "line": "#666666", "yes": "#18753c",
            "no": "#b82b2b", "link": "#000091", "button": "#000091", "label": "#ffffff",
        },
        "dark": {
            "ink": "#f5f5f5", "paper": "#161616", "soft": "#21213f", "line": "#929292", "yes": "#5fd08a",
            "no": "#ff9e9e", "link": "#a3a3ff", "button": "#a3a3ff", "label": "#000061",
        },
    },
}  # fmt: skip


def palette(look: Look, scheme: str) -> dict[str, str]:
    """Return the colours of a scheme, "light" or "dark", as #rrggbb: the owner's, else the theme's."""
    own = getattr(look.colours, scheme).model_dump(exclude_none=True)
    return {**PALETTES[look.theme][scheme], **own}


def contrast(one: str, other: str) -> float:
    """Return WCAG 2.2's contrast ratio of two colours #rrggbb."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def too_faint(look: Look) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield scheme, colour, colour behind it, their contrast and the one needed, where it is less."""
    for scheme in ("light", "dark"):
        colours = palette(look, scheme)
        for pairs, needed in ((_TEXTS, TEXT), (_CONTROLS, CONTROL)):
            for colour, behind in pairs:
                found = contrast(colours[colour], colours[behind])
                if found < needed:
                    yield scheme, colour, behind, found, needed


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, definitions; the threshold is IEC 61966-2-1's)."""
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4  # noqa: PLR2004
        for one in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
