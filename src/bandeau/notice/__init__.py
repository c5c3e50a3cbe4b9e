"""What visitors see and choose with: rendered here from the policy, served by others."""

from __future__ import annotations

from bandeau.notice.page import Notice

__all__ = ["Notice"]
