"""What a browser says on its visitor's behalf: Global Privacy Control; never Do Not Track."""

from __future__ import annotations

from collections.abc import Iterable


def opted_out(sent: Iterable[bytes]) -> bool:
    """Say whether `Sec-GPC` headers say `1`: exactly that; of several headers one such is enough.

    Global Privacy Control, W3C draft of April 2026, "The Sec-GPC Header Field".
    """
    return b"1" in [value.strip(b" \t") for value in sent]
