"""What an assistive technology is told of live regions, one JSON line each; the system's Python runs it.

AT-SPI knows no "announced" for `role="status"`: a screen reader hears of text that is inserted into an
object whose attribute `live` says so.
"""

# mypy: ignore-errors
# ruff: noqa: E402, T201

import json

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib


def heard(event: Atspi.Event) -> None:
    """Write down what is inserted, and how it is live."""
    try:
        live = (event.source.get_attributes() or {}).get("live", "off")
    except GLib.Error:  # it is gone already
        return
    if live != "off":
        print(json.dumps([live, str(event.any_data)]), flush=True)


listener = Atspi.EventListener.new(heard)
listener.register("object:text-changed:insert")
Atspi.event_main()
