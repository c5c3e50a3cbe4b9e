"""The notice of a page and its controls: found as a visitor or an assistive technology meets them.

Known markup first (our own contract and the widely used notices), then the words on buttons, read from
the accessibility tree, which reaches into closed shadow roots and frames. Whether a click did anything
is not decided here (see `scenario`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bandeau.audit.lexicon import Goal, Known, goal_of, notices
from bandeau.audit.pipe import BrowserError, Params
from bandeau.audit.watch import Watch

_ROLES = frozenset(("button", "link", "menuitem", "checkbox", "switch", "radio"))
_TICKS = frozenset(("checkbox", "switch"))
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
    background: style.backgroundColor, tag: this.tagName.toLowerCase(), in_text: inText };
}"""
_CLICK = "function () { this.scrollIntoView({ block: 'center', inline: 'center' }); }"
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
        goals = {one.goal for one in labelled}
        asks = Goal.ACCEPT in goals and goals & {Goal.REFUSE, Goal.SETTINGS}
        if asks or (Goal.ACCEPT in goals and await self._says_cookies()):
            return Notice("words", tuple(labelled))
        return None

    async def layer(self) -> Notice:
        """Return all that can be pressed in the window now, as a second layer or a page of settings."""
        found = [
            control
            for known in notices()
            for session in self._sessions()
            if await self._any(session, known.detect)
            for control in await self._of(session, known)
        ]
        nodes = {(one.session, one.node) for one in found}
        found += [one for one in await self.controls() if (one.session, one.node) not in nodes]
        return Notice("words", tuple(found))

    async def ticked(self, control: Control) -> bool:
        """Say whether a tick is set now: setting another may have moved it."""
        return bool(await self._on(control, _TICKED))

    async def way_back(self) -> Control | None:
        """Return what leads to the choices again, once one was made."""
        for known in notices():
            for selector in known.way_back:
                control = await self._selected(self._session, selector, Goal.WAY_BACK)
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
            for node in nodes:
                control = _control(session, node)
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
            return bool(await self._on(control, _VISIBLE))
        except BrowserError:
            return False

    async def facts(self, control: Control) -> Params:
        """Return where a control stands and how it looks."""
        found = await self._on(control, _FACTS)
        return found if isinstance(found, dict) else {}

    async def press(self, control: Control) -> None:
        """Press a control: with the pointer where it is in the window's own document, else by its click.

        A form's own default action follows either way.
        """
        await self._on(control, _CLICK)
        if control.session == self._session:
            box = await self._watch.call(
                "DOM.getContentQuads", {"backendNodeId": control.node}, control.session
            )
            if box["quads"]:
                quad = box["quads"][0]
                at = {"x": sum(quad[0::2]) / 4, "y": sum(quad[1::2]) / 4}
                if await self._hits(control, at):
                    for kind in ("mousePressed", "mouseReleased"):
                        event = {**at, "type": kind, "button": "left", "clickCount": 1}
                        await self._watch.call("Input.dispatchMouseEvent", event, control.session)
                    return
        await self._on(control, _PRESS)

    async def _hits(self, control: Control, at: Params) -> bool:
        """Say whether a point of the window is the control's, and not something that lies over it."""
        place = {"x": int(at["x"]), "y": int(at["y"]), "includeUserAgentShadowDOM": True}
        try:
            found = await self._watch.call("DOM.getNodeForLocation", place, control.session)
        except BrowserError:
            return False  # there is nothing: it moved away
        if found.get("backendNodeId") == control.node:
            return True
        inside = "function (other) { return this.contains(other) || other.contains(this); }"
        other = await self._object(control.session, found["backendNodeId"])
        mine = await self._object(control.session, control.node)
        answer = await self._watch.call(
            "Runtime.callFunctionOn",
            {
                "objectId": mine,
                "functionDeclaration": inside,
                "arguments": [{"objectId": other}],
                "returnByValue": True,
            },
            control.session,
        )
        return bool(answer["result"].get("value"))

    async def _known(self, known: Known) -> Notice | None:
        for session in self._sessions():
            if not await self._any(session, known.detect):
                continue
            shown = [await self._selected(session, one, None) for one in known.shown]
            if known.shown and not any(shown):
                continue
            controls = await self._of(session, known)
            if any(one.goal in (Goal.ACCEPT, Goal.REFUSE) for one in controls):
                return Notice(known.name, tuple(controls), known)
        return None

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
            if (control := await self._selected(session, selector, goal))
        ]

    async def _any(self, session: str, selectors: Iterable[str]) -> bool:
        joined = ", ".join(selectors)
        try:
            return bool(
                joined
                and await self._watch.evaluate(session, f"!!document.querySelector({joined!r})")
            )
        except BrowserError:
            return False

    async def _selected(self, session: str, selector: str, goal: Goal | None) -> Control | None:
        """Return the first visible element of a selector in a document."""
        try:
            found = await self._watch.call(
                "Runtime.evaluate",
                {"expression": f"document.querySelector({selector!r})"},
                session,
            )
            if "objectId" not in found["result"]:
                return None
            node = await self._watch.call(
                "DOM.describeNode", {"objectId": found["result"]["objectId"]}, session
            )
            label = await self._watch.evaluate(
                session, f"(document.querySelector({selector!r})?.innerText || '').slice(0, 200)"
            )
        except BrowserError:
            return None
        control = Control(session, node["node"]["backendNodeId"], "button", label.strip(), goal)
        return control if await self.visible(control) else None

    async def _says_cookies(self) -> bool:
        text = "document.body ? document.body.innerText.slice(0, 200000) : ''"
        said = str(await self._watch.evaluate(self._session, text)).casefold()
        return any(word in said for word in ("cookie", "traceur", "kukî", "sušenk", "evästeet"))

    async def _tree(self, session: str) -> list[Params]:
        found = await self._watch.call("Accessibility.getFullAXTree", {}, session)
        nodes: list[Params] = found["nodes"]
        frames = await self._watch.call("Page.getFrameTree", {}, session)
        for frame in _frames(frames["frameTree"])[1:]:
            try:
                more = await self._watch.call(
                    "Accessibility.getFullAXTree", {"frameId": frame}, session
                )
            except BrowserError:
                continue  # of another process: it has a session of its own
            nodes += more["nodes"]
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

    async def _on(self, control: Control, function: str) -> object:
        """Call a function on a control's element."""
        answer = await self._watch.call(
            "Runtime.callFunctionOn",
            {
                "objectId": await self._object(control.session, control.node),
                "functionDeclaration": function,
                "returnByValue": True,
                "userGesture": True,
            },
            control.session,
        )
        if "exceptionDetails" in answer:
            raise BrowserError("the element is gone")
        return answer["result"].get("value")


def _control(session: str, node: Params) -> Control | None:
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
    )


def _frames(tree: Params) -> list[str]:
    found = [str(tree["frame"]["id"])]
    for child in tree.get("childFrames", ()):
        found += _frames(child)
    return found
