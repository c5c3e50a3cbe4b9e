"""Cookie and Set-Cookie as browsers read them (RFC 6265bis 5.6, 5.8.3); never `http.cookies`.

Only the name is ever taken out of a line. What is kept is kept as the bytes that came: nothing is
re-serialised, since every spelling that a browser forgives means something to somebody.
Nothing here raises: the bytes are a stranger's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def name_value(line: bytes) -> tuple[bytes, bytes] | None:
    """Return name and value of a Set-Cookie line, or None where a browser ignores the line.

    RFC 6265bis 5.6: up to the first ";", then split at the first "=", both trimmed of space and
    tab; without "=" the name is empty; a control character drops the line; so do two empty halves.
    """
    if _CONTROL.search(line):
        return None
    pair = line.partition(b";")[0]
    name, equals, value = pair.partition(b"=")
    if not equals:
        name, value = b"", pair
    name, value = name.strip(b" \t"), value.strip(b" \t")
    return (name, value) if name or value else None


def attributes(line: bytes) -> dict[bytes, bytes]:
    """Return the attributes of a Set-Cookie line, names lower-case, the last of a name wins."""
    found = {}
    for part in line.split(b";")[1:]:
        name, _, value = part.partition(b"=")
        found[name.strip(b" \t").lower()] = value.strip(b" \t")
    return found


def removes(line: bytes) -> bool:
    """Say whether a Set-Cookie line only deletes: `Max-Age` of zero or less (it wins), else no.

    A deletion by `Expires` alone is told by its one year: 1970 and its neighbours are what servers
    write, and a clock is not needed to read that.
    """
    found = attributes(line)
    age = found.get(b"max-age", b"")
    if re.fullmatch(rb"-?[0-9]+", age):  # it wins over Expires, whatever that says
        return age.startswith(b"-") or not age.strip(b"0")
    years = re.findall(rb"(?<![0-9])[0-9]{4}(?![0-9])", found.get(b"expires", b""))
    return len(years) == 1 and int(years[0]) < 2002  # noqa: PLR2004


def pairs(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, raw pair) for each member of a Cookie header, repeats and order kept.

    Split at ";" only, then at the first "=" (RFC 6265bis 5.8.3 writes it so); a member without "="
    has an empty name.
    """
    found = []
    for part in header.split(b";"):
        raw = part.strip(b" \t")
        if raw:
            name, equals, _ = raw.partition(b"=")
            found.append((name.strip(b" \t") if equals else b"", raw))
    return found


def value_of(header: bytes, name: bytes) -> list[bytes]:
    """Return every value that a Cookie header gives for a name, in order."""
    return [raw.partition(b"=")[2].strip(b" \t") for key, raw in pairs(header) if key == name]


@dataclass(frozen=True, slots=True)
class Removal:
    """A cookie to expire: what a browser needs to find it again (RFC 6265bis 5.7, step 23)."""

    name: bytes
    path: bytes = b"/"
    domain: str | None = None
    partitioned: bool = False

    def line(self, *, secure: bool) -> bytes:
        """Return the Set-Cookie line that removes it; `secure` where the page came by https."""
        name = self.name.lower()
        domain = None if name.startswith(b"__host-") else self.domain
        safe = secure or name.startswith(PREFIXES)
        return self.name + expiry(self.path, domain, partitioned=self.partitioned, secure=safe)


PREFIXES = (b"__host-", b"__secure-")  # RFC 6265bis 4.1.3; read without regard to case


def expiry(path: bytes, domain: str | None, *, partitioned: bool, secure: bool) -> bytes:
    """Return what follows the name in a Set-Cookie line that removes a cookie without a prefix."""
    parts = [b"=", b"Max-Age=0", b"Path=" + path]
    if domain:
        parts.append(b"Domain=" + domain.encode("ascii"))
    if secure or partitioned:
        parts.append(b"Secure")
    if partitioned:
        parts += [b"SameSite=None", b"Partitioned"]
    return b"; ".join(parts)


def lifetime(line: bytes, now: datetime) -> int | None:
    """Return the seconds that a Set-Cookie line asks for (RFC 6265bis 5.6.1-2); None for a session."""
    given = attributes(line)
    age = given.get(b"max-age", b"")
    if re.fullmatch(rb"-?[0-9]{1,18}", age):
        return max(0, int(age))
    if given.get(b"expires"):
        try:
            until = parsedate_to_datetime(given[b"expires"].decode("latin-1").replace("-", " "))
        except (ValueError, TypeError):
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0, round((until - now).total_seconds()))
    return None
