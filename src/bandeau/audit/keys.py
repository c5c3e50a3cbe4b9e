"""A page gone through by keyboard alone: which stops Tab makes, and what can be pressed there.

Whether a choice then held is not decided here (see `scenario`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bandeau.audit import look
from bandeau.audit.find import Control, Finder, Notice
from bandeau.audit.lexicon import Goal
from bandeau.audit.pipe import Params
from bandeau.audit.watch import Watch

_CODES = {"Tab": 9, "Enter": 13, "Escape": 27}  # Windows virtual key codes, as the protocol asks
_SHIFT = 8  # a modifier
_MOST_STOPS = 80
_SCROLLED_SECONDS, _LOOKS = (
    0.1,
    15,
)  # between two looks at what the page may still scroll out of cover
_STUCK = 3  # stops in one place
_DRAWN_SECONDS = 0.3  # for a mark of the focus that comes by a transition
_MARGIN = 6  # CSS pixels around a control, where its mark of the focus is drawn
_WANTED = (Goal.ACCEPT, Goal.REFUSE, Goal.SETTINGS, Goal.SAVE)


@dataclass(slots=True)
class Stops:
    """What a walk by Tab met; `met` is the stop at which the focus came into the notice (0: before)."""

    met: int | None = None
    whole: bool = False  # every control was reached, or the page was gone round
    stuck: str = ""  # where the focus stayed although Tab was pressed
    stops: list[str] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    faint: list[str] = field(default_factory=list)  # looked the same with the focus and without it


class Keys:
    """Presses keys in a window."""

    def __init__(self, watch: Watch, session: str, finder: Finder) -> None:
        self._watch = watch
        self._session = session
        self._finder = finder

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press Tab, Enter or Escape."""
        code = _CODES[key]
        event: Params = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if shift:
            event["modifiers"] = _SHIFT
        text = {"text": "\r"} if key == "Enter" else {}
        down = {"type": "keyDown" if text else "rawKeyDown", **event, **text}
        await self._watch.call("Input.dispatchKeyEvent", down, self._session)
        await self._watch.call("Input.dispatchKeyEvent", {"type": "keyUp", **event}, self._session)

    async def through(self, layer: Notice) -> Stops:
        """Go through the page until every control of a layer had the focus. Raises BrowserError."""
        wanted = [one for one in layer.controls if one.goal in _WANTED]
        found, left = Stops(), list(range(len(wanted)))
        await self._watch.call(
            "Emulation.setFocusEmulationEnabled", {"enabled": True}, self._session
        )
        state = await self._focus(wanted)
        found.met = 0 if state["inside"] else None
        first, last, drawn = "", "", (-1, "")
        same = 0
        for number in range(1, _MOST_STOPS + 1):
            await self.press("Tab")
            state = await self._focus(wanted)
            same = same + 1 if state["path"] == last and not state["none"] else 1
            if same == _STUCK:
                found.stuck = state["what"]
                break
            if drawn[1] and await self._picture(wanted[drawn[0]]) == drawn[1]:
                found.faint.append(wanted[drawn[0]].label)
            drawn = (-1, "")
            if number > 1 and state["path"] == first:
                found.whole = True
                break
            first, last = first or state["path"], state["path"]
            found.stops.append(state["what"])
            if found.met is None and state["inside"]:
                found.met = number
            at = state["control"]
            if not left and at < 0:
                found.whole = True
                break
            if at in left:
                left.remove(at)
                if wanted[at].goal in (Goal.ACCEPT, Goal.REFUSE):
                    drawn = (at, await self._picture(wanted[at]))
        found.whole = found.whole or not left
        found.reached = [one.label for at, one in enumerate(wanted) if at not in left]
        found.missed = [wanted[at].label for at in left]
        return found

    async def back_to(self, control: Control) -> bool:
        """Go back by Shift and Tab until a control has the focus; say whether it did."""
        for _ in range(_MOST_STOPS):
            if (await self._focus([control]))["control"] == 0:
                return True
            await self.press("Tab", shift=True)
        return False

    async def covered(self, layer: Notice, stops: int) -> list[str]:
        """Return what had the focus in the page, by Tab, while the notice lay over all of it."""
        wanted = [one for one in layer.controls if one.goal in _WANTED]
        await self._watch.call(
            "Emulation.setFocusEmulationEnabled", {"enabled": True}, self._session
        )
        found = []
        for _ in range(stops):
            await self.press("Tab")
            for _ in range(_LOOKS):
                state = await self._focus(wanted)
                if not state["covered"]:
                    break
                await asyncio.sleep(_SCROLLED_SECONDS)
            else:
                found.append(str(state["what"]))
        return found

    async def _focus(self, wanted: list[Control]) -> Params:
        found = await self._finder.on(wanted[0], look.on("focus"), *wanted[1:])
        return found if isinstance(found, dict) else {}

    async def _picture(self, control: Control) -> str:
        """Return a picture of a control and its edge, as text."""
        await asyncio.sleep(_DRAWN_SECONDS)
        box = await self._finder.facts(control)
        clip = {
            "x": box["x"] + box["scrolled"][0] - _MARGIN,
            "y": box["y"] + box["scrolled"][1] - _MARGIN,
            "width": box["width"] + 2 * _MARGIN,
            "height": box["height"] + 2 * _MARGIN,
            "scale": 1,
        }
        shot = await self._watch.call(
            "Page.captureScreenshot", {"format": "png", "clip": clip}, self._session
        )
        return str(shot["data"])
