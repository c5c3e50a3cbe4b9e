"""Hosts, host patterns, and where a URL leads as a browser reads it; no network, no public suffixes.

The reading follows the WHATWG URL Standard as far as the *host* goes: what cannot be read is
"invalid", which nobody may treat as own. Names are mapped to ASCII as UTS #46 does for the names
that registries accept (NFKC, lower case, punycode); a name that would need more is not a host.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

SPECIAL_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_CONTROLS = re.compile(r"[\t\n\r]")
_EDGES = "".join(map(chr, range(33)))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SLASHES = re.compile(r"[/\\]*")
_FORBIDDEN = re.compile(r"[\ufffd\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)")
_IDEOGRAPHIC_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_LABEL_BYTES = 63  # RFC 1035 2.3.4
_HOST_BYTES = 253  # RFC 1035 2.3.4, as text


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: lower-case scheme, host ("" where the scheme has none), explicit port."""

    scheme: str
    host: str
    port: int | None = None


INVALID = Target("invalid", "")


def normalise(host: str) -> str | None:
    """Return a host in its one spelling, or None when it is none.

    Lower case, IDN in punycode, no trailing dot, IPv4 dotted, IPv6 compressed in brackets.
    """
    if host.startswith("["):
        return _ipv6(host)
    name = unicodedata.normalize("NFKC", host.translate(_IDEOGRAPHIC_DOTS)).lower()
    name = name.replace("\u00ad", "").removesuffix(".")
    if not name or _FORBIDDEN.search(name):
        return None
    labels = [_ascii(label) for label in name.split(".")]
    if any(label is None for label in labels):
        return None
    text = ".".join(str(label) for label in labels)
    if _NUMBER.fullmatch(text.rpartition(".")[2]):
        return _ipv4(text)
    return text if len(text) <= _HOST_BYTES else None


def matches(pattern: str, host: str) -> bool:
    """Say whether a pattern means a host: the same host, or `*.h` for every host below h, not h."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return pattern == host


def parents(host: str) -> list[str]:
    """Return the patterns that could mean a host, the exact one first: h, then each `*.parent`."""
    labels = host.split(".")
    return [host, *("*." + ".".join(labels[n:]) for n in range(1, len(labels)))]


def is_loopback(host: str) -> bool:
    """Say whether a host never leaves the machine (RFC 6761 6.3, RFC 1122 3.2.1.3, RFC 4291 2.5.3)."""
    return (
        host == "localhost"
        or host.endswith(".localhost")
        or host == "[::1]"
        or bool(re.fullmatch(r"127\.\d+\.\d+\.\d+", host))
    )


def authority(value: str) -> tuple[str, int | None] | None:
    """Read `host[:port]` as in a Host header (RFC 9110 7.2); None when it is not one."""
    host, port = value, ""
    bracket = value.rfind("]")
    colon = value.find(":", bracket + 1)
    if colon >= 0:
        host, port = value[:colon], value[colon + 1 :]
    name = normalise(host)
    if name is None or (port and not re.fullmatch(r"[0-9]{1,5}", port)):
        return None
    number = int(port) if port else None
    return None if number is not None and number > 65535 else (name, number)  # noqa: PLR2004


def spelt(url: str) -> str | None:
    """Return an http or https address, host and port in one spelling; None where it has no host."""
    found = re.fullmatch(r"(https?)://((?:[^/?#]*@)?)([^/?#]*)(.*)", url, re.DOTALL)
    read = authority(found[3]) if found else None
    if found is None or read is None:
        return None
    host, port = read
    place = host if port in (None, SPECIAL_PORTS[found[1]]) else f"{host}:{port}"
    return f"{found[1]}://{found[2]}{place}{found[4]}"


def target(url: str, base: str) -> Target:
    """Say where a URL leads, resolved against an absolute base, as a browser reads it.

    Edges and inner tabs and line ends are dropped, backslashes are slashes, `https:/x` and
    `https:x` have an authority unless the base has the same scheme, user names do not count.
    """
    text = _CONTROLS.sub("", url.strip(_EDGES))
    match = _SCHEME.match(text)
    origin = (_remembered if len(base) <= _SHORT else _origin)(base)
    if match is None:
        if origin.scheme not in SPECIAL_PORTS:
            return INVALID
        if len(slashes := _slashes(text)) < 2:  # noqa: PLR2004
            return origin
        return _authority(origin.scheme, text[len(slashes) :])
    scheme = match[1].lower()
    rest = text[match.end() :]
    if scheme in SPECIAL_PORTS and scheme == origin.scheme and len(_slashes(rest)) < 2:  # noqa: PLR2004
        return origin
    return _absolute(text)


def _origin(base: str) -> Target:
    return _absolute(_CONTROLS.sub("", base.strip(_EDGES)))


_SHORT = 2048  # characters: addresses are strangers' words, and what is remembered is bounded
_remembered = lru_cache(maxsize=256)(_origin)  # a page's links are all read against its address


def _slashes(text: str) -> str:
    found = _SLASHES.match(text)
    return found[0] if found else ""


def _absolute(text: str) -> Target:
    match = _SCHEME.match(text)
    if match is None:
        return INVALID
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme in SPECIAL_PORTS:
        return _authority(scheme, rest[len(_slashes(rest)) :])
    return Target(scheme, "")


def _authority(scheme: str, rest: str) -> Target:
    name = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    read = authority(unquote(name) if "%" in name else name) if name else None
    if read is None:
        return INVALID
    host, port = read
    return Target(scheme, host, None if port == SPECIAL_PORTS[scheme] else port)


def _ascii(label: str) -> str | None:
    if not label:
        return None
    if label.isascii():
        return label if len(label) <= _LABEL_BYTES else None
    try:
        encoded = "xn--" + label.encode("punycode").decode("ascii")
    except UnicodeError:
        return None
    return encoded if len(encoded) <= _LABEL_BYTES else None


def _ipv6(host: str) -> str | None:
    if not host.endswith("]") or "%" in host:
        return None
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
    except ValueError:
        return None


def _ipv4(text: str) -> str | None:
    """Read an IPv4 address in all the spellings browsers take (WHATWG URL, "IPv4 parser")."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):  # noqa: PLR2004
        return None
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):  # noqa: PLR2004
        return None
    value = numbers[-1] + sum(n << (8 * (3 - place)) for place, n in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(value))


def _number(part: str) -> int:
    if part[:2].lower() == "0x":
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part.startswith("0") else int(part)
