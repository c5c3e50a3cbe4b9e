"""The counter that needs no tracker: path, day, referrer's host, device class; nothing per visitor."""

from bandeau.measure.count import View, view
from bandeau.measure.store import Views

__all__ = ["View", "Views", "view"]
