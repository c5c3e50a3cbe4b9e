"""What a browser says on its visitor's behalf: Global Privacy Control; never Do Not Track."""

from __future__ import annotations

from bandeau.wire.headers import RawHeaders, every


def opted_out(headers: RawHeaders) -> bool:
    """Say whether `Sec-GPC: 1` was sent: exactly `1`; of several headers one such is enough.

    Global Privacy Control, W3C draft of April 2026, "The Sec-GPC Header Field".
    """
    return any(value.strip(b" \t") == b"1" for value in every(headers, b"sec-gpc"))
