"""A list of headers, in order and with repeats; not a mapping, and no opinion on any header.

Headers are `list[tuple[bytes, bytes]]` everywhere in bandeau. Names are lower-case (RFC 9113 8.2.1
sends them so; HTTP/1.1 names are case-blind, RFC 9110 5.1), which the adapters see to.
"""

from __future__ import annotations

RawHeaders = list[tuple[bytes, bytes]]


def first(headers: RawHeaders, name: bytes) -> bytes | None:
    """Return the value of the first header called `name`, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def every(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the values of all headers called `name`, in order."""
    return [value for key, value in headers if key == name]


def without(headers: RawHeaders, *names: bytes) -> RawHeaders:
    """Return the headers but for those called one of `names`."""
    return [pair for pair in headers if pair[0] not in names]


def replaced(headers: RawHeaders, name: bytes, value: bytes) -> RawHeaders:
    """Return the headers with exactly one called `name`, the last of them."""
    return [*without(headers, name), (name, value)]


def tokens(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the comma-separated members of every header called `name`, lower-case (RFC 9110 5.6.1)."""
    members = b",".join(every(headers, name)).split(b",")
    return [token for member in members if (token := member.strip().lower())]


def split_list(value: bytes, separator: bytes = b",") -> list[bytes]:
    """Split a header's value where `separator` stands outside quotes and angle brackets.

    `Link` puts URLs with commas in angle brackets (RFC 8288 3), others quote (RFC 9110 5.6.4).
    Never raises: what is left open runs to the end.
    """
    parts, start, closing, at = [], 0, b"", 0
    while at < len(value):
        char = value[at : at + 1]
        if closing:
            if char == b"\\" and closing == b'"':
                at += 1
            elif char == closing:
                closing = b""
        elif char == b'"':
            closing = b'"'
        elif char == b"<":
            closing = b">"
        elif char == separator:
            parts.append(value[start:at])
            start = at + 1
        at += 1
    parts.append(value[start:])
    return [part for item in parts if (part := item.strip())]


def vary(headers: RawHeaders, *names: bytes) -> RawHeaders:
    """Return the headers with `names` among what the answer varies on (RFC 9110 12.5.5)."""
    present = tokens(headers, b"vary")
    if b"*" in present:
        return list(headers)
    missing = [name for name in names if name.lower() not in present]
    if not missing:
        return list(headers)
    merged = [*every(headers, b"vary"), b", ".join(missing)]
    return replaced(headers, b"vary", b", ".join(part for part in merged if part))
