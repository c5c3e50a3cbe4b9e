"""Partners are told of withdrawals, at least once, by webhooks in the form of Standard Webhooks 1.0.

    POST <url>
    webhook-id: msg_<32 hex digits>         the same for each try, so that a second one is known
    webhook-timestamp: <seconds since 1970 UTC>
    webhook-signature: v1,<base64 of HMAC-SHA-256 over id "." timestamp "." body>

    {"type": "consent.withdrawn", "timestamp": "2026-11-25T11:25Z",
     "data": {"log": "www.own.example/_b/log", "index": 5, "service": "square",
              "purposes": ["social"], "cookies": {"sq_id": "a1"}}}

A row of the outbox is written in the transaction of the decision, and goes once the partner answered
2xx. Until then it is tried again after 2, 4, 8, up to 256 minutes, by whichever process claims it; after
`KEEP_DAYS` it is dropped, with an error in the log, because it may hold what names a visitor. Cookies
are a visitor's word: what a partner does with an id that it does not know is its own to decide.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bandeau.errors import PolicyError, Problem
from bandeau.ledger import record
from bandeau.ledger.ledger import Ledger, Tell
from bandeau.ledger.store import Untold
from bandeau.policy.model import Partner, Policy
from bandeau.wire import fork
from bandeau.wire.cookies import value_of

KEEP_DAYS = 7  # Standard Webhooks advises to try for days
_VALUE_BYTES = 512  # of one cookie: an id is shorter
_POLL_SECONDS = 5.0  # between looks for what other processes left
_POST_SECONDS = 10.0  # well below the first wait, so that no other process sends meanwhile
_log = logging.getLogger("bandeau")


@dataclass(frozen=True, slots=True)
class _Address:
    """A partner, and which purposes open its service: any of them."""

    partner: Partner
    needs: frozenset[str]
    secret: bytes


class Outbox:
    """Tells partners, with a thread for each. One per process; `close` when done."""

    def __init__(self, policy: Policy, ledger: Ledger, now: Callable[[], int]) -> None:
        """`now` counts minutes since 1970, UTC. Raises PolicyError for a secret that is not there."""
        problems = [found for one in policy.partners if isinstance(found := _secret(one), Problem)]
        if problems:
            raise PolicyError(problems)
        self._addresses = [
            _Address(partner, _needs(policy, partner), secret)
            for partner in policy.partners
            if isinstance(secret := _secret(partner), bytes)
        ]
        self._ledger = ledger
        self._now = now
        self._start()
        fork.guard(self)

    def before_fork(self) -> None:
        """See `wire.fork`: nothing here is held across a fork."""

    def after_fork(self, *, child: bool) -> None:
        """See `wire.fork`: a child has none of these threads."""
        if child and not self._ended.is_set():
            self._start()

    def _start(self) -> None:
        self._ended = threading.Event()
        self._wakes = [threading.Event() for _ in self._addresses]
        self._threads = [
            threading.Thread(target=self._run, args=pair, name="bandeau-outbox", daemon=True)
            for pair in zip(self._addresses, self._wakes, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def tell(
        self, withdrawn: frozenset[str], granted: frozenset[str], sent: Sequence[bytes]
    ) -> Tell:
        """Return who is told of a withdrawal, and what; `sent` are the visitor's Cookie headers."""
        told = []
        for one in self._addresses:
            gone = one.needs & withdrawn
            if gone and not one.needs & granted:
                values = {name: _value(sent, name) for name in one.partner.names}
                cookies = {name: value for name, value in values.items() if value}
                detail = {"purposes": sorted(gone), "cookies": cookies}
                told.append((one.partner.service, json.dumps(detail)))
        return told

    def wake(self) -> None:
        """See to it soon that partners learn what has just been stored for them."""
        for wake in self._wakes:
            wake.set()

    def close(self) -> None:
        """Stop. What is not told stays in the outbox, for the next process."""
        self._ended.set()
        self.wake()
        for thread in self._threads:
            thread.join(1.0)

    def _run(self, one: _Address, wake: threading.Event) -> None:
        while not self._ended.is_set():
            wake.clear()
            try:
                going = self._next(one)
            except Exception as error:  # noqa: BLE001 (the next round may go better)
                _log.warning("the outbox for %r waits: %s", one.partner.service, error)
                going = False
            if not going:
                wake.wait(_POLL_SECONDS)

    def _next(self, one: _Address) -> bool:
        """Tell one partner one thing; say whether to go on at once."""
        store, service = self._ledger.store, one.partner.service
        found = store.claim(service, self._now())
        if found is None:
            return False
        problem = self._post(one, found)
        late = self._now() - found.minute > KEEP_DAYS * 1440
        if problem is None or late:
            store.told(found.index, service)
        if problem and late:
            _log.error("%r was never told of the withdrawal %d: %s", service, found.index, problem)
        elif problem:
            _log.warning("%r is to be told of %d again: %s", service, found.index, problem)
        return problem is None

    def _post(self, one: _Address, found: Untold) -> str | None:
        """Send one webhook; return what went wrong. A redirect is: the owner named one URL."""
        where = urlsplit(one.partner.url)
        kinds = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}
        connection = kinds[where.scheme](where.netloc, timeout=_POST_SECONDS)
        content = body(self._ledger.origin, found)
        message = f"{self._ledger.origin}\n{found.index}\n{found.partner}".encode()
        identity = f"msg_{hashlib.sha256(message).hexdigest()[:32]}"
        headers = signed(one.secret, identity, int(time.time()), content)
        try:
            connection.request("POST", where.path or "/", content, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        return None if 200 <= status < 300 else f"it answered {status}"  # noqa: PLR2004


def body(log: str, found: Untold) -> bytes:
    """Return what a partner is sent; see the example above."""
    data = {"log": log, "index": found.index, "service": found.partner, **json.loads(found.detail)}
    said = {"type": "consent.withdrawn", "timestamp": record.time(found.minute), "data": data}
    return json.dumps(said).encode()


def signed(secret: bytes, identity: str, seconds: int, content: bytes) -> dict[str, str]:
    """Return the headers of a webhook; `seconds` since 1970 are the time of this try."""
    text = b"%s.%d.%s" % (identity.encode("ascii"), seconds, content)
    signature = base64.b64encode(hmac.digest(secret, text, "sha256")).decode("ascii")
    return {
        "content-type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }


def _secret(partner: Partner) -> bytes | Problem:
    """Read a partner's secret, 24 to 64 bytes as Standard Webhooks has them."""
    text = os.environ.get(partner.secret_env, "").strip()
    try:
        found = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        found = b""
    if text.startswith("whsec_") and 24 <= len(found) <= 64:  # noqa: PLR2004
        return found
    return Problem(
        "BP029",
        f'[[partner]] "{partner.service}" · secret_env',
        f"{partner.secret_env} holds no secret: whsec_ and the base64 of 24 to 64 bytes",
        f'{partner.secret_env}="whsec_$(openssl rand -base64 32)", known to the partner too',
    )


def _needs(policy: Policy, partner: Partner) -> frozenset[str]:
    service = policy.service(partner.service)
    return frozenset((service.purpose,) if service.purpose else service.needs_any)


def _value(sent: Sequence[bytes], name: str) -> str | None:
    """Return what a visitor's cookie says; None where it is not there, or is not one short text."""
    found = {value for header in sent for value in value_of(header, name.encode("ascii"))}
    value = found.pop() if len(found) == 1 else b""
    readable = value.isascii() and len(value) <= _VALUE_BYTES and b"\0" not in value
    return value.decode("ascii") if value and readable else None
