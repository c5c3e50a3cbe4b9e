"""The notice of a page and its controls: found as a visitor or an assistive technology meets them.

Known markup first (our own contract and the widely used notices), then the words on buttons, read from
the accessibility tree, which reaches into closed shadow roots and frames. Words make a layer only where
they share a container: «Accept» under a form and «Settings» in the footer are none. Whether a click did
anything is not decided here (see `scenario`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bandeau.audit import look
from bandeau.audit.lexicon import Goal, Known, goal_of, notices, said
from bandeau.audit.pipe import BrowserError, Params
from bandeau.audit.watch import Watch

_ROLES = frozenset(("button", "link", "menuitem", "checkbox", "switch", "radio"))
_TICKS = frozenset(("checkbox", "switch"))
_POLL, _ARRIVES = 0.1, 20  # seconds, and how often a layer that fades in is looked at
# A tick is often drawn by its label, over an input that is not to be seen.
_VISIBLE = """function () {
  return [this, ...(this.labels ?? [])].some((one) => {
    const box = one.getBoundingClientRect();
    const seen = one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    return seen && box.width > 1 && box.height > 1;
  });
}"""
_TICKED = "function () { return this.checked ?? this.getAttribute('aria-checked') === 'true'; }"
_FACTS = """function () {
  const box = this.getBoundingClientRect(), style = getComputedStyle(this);
  const inText = !["BUTTON", "INPUT"].includes(this.tagName) && style.display === "inline";
  const across = box.right > 0 && box.left < innerWidth, down = box.bottom > 0 && box.top < innerHeight;
  return { x: box.x, y: box.y, width: box.width, height: box.height, in_view: across && down,
    font: style.fontSize, weight: style.fontWeight, color: style.color,
    background: style.backgroundColor, tag: this.tagName.toLowerCase(), in_text: inText,
    marks: [this.value, this.name, this.id].filter((one) => typeof one === "string" && one),
    scrolled: [scrollX, scrollY] };
}"""
# The container of a control: the outermost element around it that is not the page itself, through
# slots and shadow roots of either kind. A frame is a container as a whole.
_AROUND = """function (...others) {
  const up = (one) => one.assignedSlot ?? one.parentElement ?? one.getRootNode().host;
  const own = 'form, dialog, [popover], [role=dialog], [role=alertdialog], [aria-modal=true]';
  const page = (one) => window === top && (one.matches('html, body')
    || (!one.matches(own) && one.querySelector('main, article, nav, [role=main]') !== null));
  const text = (one) => (one.innerText ?? '').slice(0, 20000);
  let container = up(this) ?? this, told = [text(container)];
  for (let one = up(container); one; one = up(one)) {
    if (page(one)) continue;
    container = one;
    told.push(text(one));
  }
  const inside = (one) => one != null && (one === container || inside(up(one)));
  return { told: told.join('\\n'), inside: others.map(inside) };
}"""
_CLICK = """function () {
  // At once: where the page scrolls smoothly, what is pressed next would not be there yet.
  this.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
}"""
# Where the pointer meets a control; null where something lies over it, or it is out of view.
_AIM = """function () {
  const box = this.getClientRects()[0];
  const at = box && { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const hit = at && this.getRootNode().elementFromPoint(at.x, at.y);
  return hit && [this, ...(this.labels ?? [])].some((one) => one.contains(hit)) ? at : null;
}"""
_PRESS = "function () { this.click(); }"


@dataclass(frozen=True, slots=True)
class Control:
    """Something to press: in which session, which node, what it is called and what it is for."""

    session: str
    node: int  # backendDOMNodeId
    role: str
    label: str
    goal: Goal | None
    checked: bool | None = None
    disabled: bool = False
    frame: str = ""  # of a document inside the session's own, its frameId


@dataclass(frozen=True, slots=True)
class Notice:
    """A layer of a notice: which one it is ("words": told by its labels), and its visible controls."""

    name: str
    controls: tuple[Control, ...]
    known: Known | None = None

    def control(self, *goals: Goal) -> Control | None:
        """Return the first control for one of the goals, in the order of the goals."""
        for goal in goals:
            for one in self.controls:
                if one.goal is goal:
                    return one
        return None

    @property
    def ticks(self) -> tuple[Control, ...]:
        """The check boxes and switches."""
        return tuple(one for one in self.controls if one.role in _TICKS)


class Finder:
    """Finds and presses controls in one window and the frames in it."""

    def __init__(self, watch: Watch, session: str) -> None:
        self._watch = watch
        self._session = session

    async def notice(self) -> Notice | None:
        """Return the notice that asks for a choice now; None where none is to be seen."""
        for known in notices():
            found = await self._known(known)
            if found:
                return found
        labelled = [one for one in await self.controls() if one.goal]
        accepting = [one for one in labelled if one.goal is Goal.ACCEPT]
        layers = [await self._around(one, labelled) for one in accepting]
        for layer, _ in layers:
            if {one.goal for one in layer} & {Goal.REFUSE, Goal.SETTINGS}:
                return Notice("words", tuple(layer))
        for one, (layer, says_cookies) in zip(accepting, layers, strict=True):
            # Out of view it may be what stands in place of an embed, or begs those who refused.
            if says_cookies and await self._in_view(one):
                return Notice("words", tuple(layer))
        return None

    async def layer(self) -> Notice:
        """Return what can be pressed now in a second layer or on a page of settings.

        What saves, else refuses or accepts, tells where it is; where nothing does, or what saves has
        no tick about it, it is all of the window.
        """
        found = [
            control
            for known in notices()
            for session in self._sessions()
            if await self._any(session, known, known.detect)
            for control in await self._of(session, known)
        ]
        nodes = {(one.session, one.node) for one in found}
        found += [one for one in await self.controls() if (one.session, one.node) not in nodes]
        every = Notice("words", tuple(found))
        anchor = every.control(Goal.SAVE, Goal.REFUSE, Goal.ACCEPT)
        if anchor is None:
            return every
        layers = [await self._around(one, found) for one in found if one.goal is anchor.goal]
        near = next((layer for layer, says_cookies in layers if says_cookies), layers[0][0])
        if anchor.goal is Goal.SAVE and not any(one.role in _TICKS for one in near):
            return every
        return Notice("words", tuple(near))

    async def ticked(self, control: Control) -> bool:
        """Say whether a tick is set now: setting another may have moved it."""
        return bool(await self.on(control, _TICKED))

    async def way_back(self) -> Control | None:
        """Return what leads to the choices again, once one was made."""
        for known in notices():
            for selector in known.way_back:
                control = await self._selected(self._session, "document", selector, Goal.WAY_BACK)
                if control:
                    return control
        found = await self.controls()
        return next((one for one in found if one.goal in (Goal.WAY_BACK, Goal.SETTINGS)), None)

    async def controls(self) -> list[Control]:
        """Return every visible control that has a goal, and every tick, in all frames of the window."""
        found: list[Control] = []
        for session in self._sessions():
            try:
                nodes = await self._tree(session)
            except BrowserError:
                continue  # a frame that went away while it was read
            for frame, node in nodes:
                control = _control(session, frame, node)
                if (
                    control
                    and (control.goal or control.role in _TICKS)
                    and await self.visible(control)
                ):
                    found.append(control)
        return found

    async def visible(self, control: Control) -> bool:
        """Say whether a person could see a control."""
        try:
            return bool(await self.on(control, _VISIBLE))
        except BrowserError:
            return False

    async def _in_view(self, control: Control) -> bool:
        try:
            return bool((await self.facts(control)).get("in_view"))
        except BrowserError:
            return False  # the page moved on

    async def facts(self, control: Control) -> Params:
        """Return where a control stands and how it looks."""
        found = await self.on(control, _FACTS)
        return found if isinstance(found, dict) else {}

    async def box(self, layer: Notice) -> Params:
        """Return what stands around the controls of a layer (`look.js`); {} where it has none.

        What fades or slides in is waited for: half-way its colours are nobody's.
        """
        goals = (Goal.ACCEPT, Goal.REFUSE, Goal.SAVE)
        held = [one for one in layer.controls if one.goal in goals] or list(layer.controls)
        held = [one for one in held if one.session == held[0].session]
        found: Params = {}
        for _ in range(_ARRIVES if held else 0):
            found = await self.on(held[0], look.on("box"), *held[1:]) or {}
            if not found.get("arrives"):
                break
            await asyncio.sleep(_POLL)
        return found

    async def reach(self, control: Control) -> Params:
        """Scroll to a control; say whether its middle can be pressed, and its size in CSS pixels."""
        await self.on(control, _CLICK)
        box, at = await self.facts(control), await self.on(control, _AIM)
        return {
            "label": control.label,
            "width": box["width"],
            "height": box["height"],
            "hit": bool(at),
        }

    async def press(self, control: Control) -> None:
        """Press a control: with the pointer where it is in the window's own document, else by its click.

        A form's own default action follows either way.
        """
        await self.on(control, _CLICK)
        at = await self.on(control, _AIM) if control.session == self._session else None
        if isinstance(at, dict):
            for kind in ("mousePressed", "mouseReleased"):
                event = {**at, "type": kind, "button": "left", "clickCount": 1}
                await self._watch.call("Input.dispatchMouseEvent", event, control.session)
        else:
            await self.on(control, _PRESS)

    async def _known(self, known: Known) -> Notice | None:
        for session in self._sessions():
            if not await self._any(session, known, known.detect):
                continue
            root = _root(known)
            shown = [await self._selected(session, root, one, None) for one in known.shown]
            if known.shown and not any(shown):
                continue
            controls = await self._of(session, known)
            goals = {one.goal for one in controls}
            if not goals & {Goal.ACCEPT, Goal.REFUSE}:
                continue
            if not goals >= {Goal.ACCEPT, Goal.REFUSE}:  # of another build: words tell the rest
                near, _ = await self._around(controls[0], await self.controls())
                controls += [one for one in near if one.goal and one.goal not in goals]
            return Notice(known.name, tuple(controls), known)
        return None

    async def _around(
        self, control: Control, others: Iterable[Control]
    ) -> tuple[list[Control], bool]:
        """Return which of others share a control's container, and whether that speaks of cookies."""
        same = [
            one for one in others if (one.session, one.frame) == (control.session, control.frame)
        ]
        try:
            found = await self.on(control, _AROUND, *same)
        except BrowserError:
            return [], False  # the page moved on
        near = [one for one, inside in zip(same, found["inside"], strict=True) if inside]
        return near, bool(said("cookies", found["told"]))

    async def _of(self, session: str, known: Known) -> list[Control]:
        wanted = (
            (Goal.ACCEPT, known.accept),
            (Goal.REFUSE, known.refuse),
            (Goal.SETTINGS, known.settings),
            (Goal.SAVE, known.save),
        )
        return [
            control
            for goal, selectors in wanted
            for selector in selectors
            if (control := await self._selected(session, _root(known), selector, goal))
        ]

    async def _any(self, session: str, known: Known, selectors: Iterable[str]) -> bool:
        joined = ", ".join(selectors)
        asked = f"!!{_root(known)}.querySelector({joined!r})"
        try:
            return bool(joined and await self._watch.evaluate(session, asked))
        except BrowserError:
            return False

    async def _selected(
        self, session: str, root: str, selector: str, goal: Goal | None
    ) -> Control | None:
        """Return the first element of a selector in a root (an expression), if it is visible."""
        wanted = f"{root}.querySelector({selector!r})"
        try:
            found = await self._watch.call("Runtime.evaluate", {"expression": wanted}, session)
            if "objectId" not in found["result"]:
                return None
            node = await self._watch.call(
                "DOM.describeNode", {"objectId": found["result"]["objectId"]}, session
            )
            label = await self._watch.evaluate(
                session, f"({wanted}?.innerText || '').slice(0, 200)"
            )
        except BrowserError:
            return None
        control = Control(session, node["node"]["backendNodeId"], "button", label.strip(), goal)
        return control if await self.visible(control) else None

    async def _tree(self, session: str) -> list[tuple[str, Params]]:
        """Return the accessible nodes of a session's document and of the frames in it, by frame."""
        found = await self._watch.call("Accessibility.getFullAXTree", {}, session)
        nodes: list[tuple[str, Params]] = [("", node) for node in found["nodes"]]
        frames = await self._watch.call("Page.getFrameTree", {}, session)
        for frame in _frames(frames["frameTree"])[1:]:
            try:
                more = await self._watch.call(
                    "Accessibility.getFullAXTree", {"frameId": frame}, session
                )
            except BrowserError:
                continue  # of another process: it has a session of its own
            nodes += [(frame, node) for node in more["nodes"]]
        return nodes

    def _sessions(self) -> list[str]:
        """Return the window's session and those of the frames in it."""
        found = [self._session]
        for session, target in self._watch.targets.items():
            if target.type == "iframe" and target.opener in found and target.watched:
                found.append(session)
        return found

    async def _object(self, session: str, node: int) -> str:
        found = await self._watch.call("DOM.resolveNode", {"backendNodeId": node}, session)
        return str(found["object"]["objectId"])

    async def on(self, control: Control, function: str, *others: Control) -> Any:
        """Call a function on a control's element, with others of its session. Raises BrowserError."""
        answer = await self._watch.call(
            "Runtime.callFunctionOn",
            {
                "objectId": await self._object(control.session, control.node),
                "functionDeclaration": function,
                "arguments": [
                    {"objectId": await self._object(one.session, one.node)} for one in others
                ],
                "returnByValue": True,
                "userGesture": True,
            },
            control.session,
        )
        if "exceptionDetails" in answer:
            raise BrowserError("the element is gone")
        return answer["result"].get("value")


def _root(known: Known) -> str:
    """Return the expression for what a notice's selectors are of: the page, or an open shadow root."""
    if known.host is None:
        return "document"
    return f"(document.querySelector({known.host!r})?.shadowRoot ?? document)"


def _control(session: str, frame: str, node: Params) -> Control | None:
    if node.get("ignored") or "backendDOMNodeId" not in node:
        return None
    role = str(node.get("role", {}).get("value", ""))
    if role not in _ROLES:
        return None
    label = str(node.get("name", {}).get("value", ""))
    states = {one["name"]: one["value"].get("value") for one in node.get("properties", ())}
    checked = states.get("checked")
    return Control(
        session,
        node["backendDOMNodeId"],
        role,
        label,
        None if role in _TICKS else goal_of(label),
        None if checked is None else checked in ("true", True, "mixed"),
        states.get("disabled") is True,
        frame,
    )


def _frames(tree: Params) -> list[str]:
    found = [str(tree["frame"]["id"])]
    for child in tree.get("childFrames", ()):
        found += _frames(child)
    return found
