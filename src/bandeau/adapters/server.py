"""Uvicorn as our commands start it: a socket bound before anything else, one line when it answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from typing import Any

import uvicorn

GRACE_SECONDS = 10  # for running responses after SIGTERM


def listening(host: str, port: int) -> socket.socket:
    """Bind a port, so that a taken one is known at once. Raises OSError with one line to print."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise OSError(f"{host}:{port} cannot be used: {error.strerror}") from None
    return found


def configured(application: Any, *, lifespan: bool = True) -> uvicorn.Server:
    """Return a server for an application: no banner, no access log, no words about itself."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            lifespan="on" if lifespan else "off",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=64 * 1024 * 1024,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )


def serve(applications: list[tuple[Any, socket.socket]], ready: str) -> None:
    """Serve until SIGINT or SIGTERM, then finish what runs; print one line once all answer."""
    # Uvicorn raises the signal again when it has stopped, which would end us before we have closed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(applications, ready))


async def _serve(applications: list[tuple[Any, socket.socket]], ready: str) -> None:
    servers = [configured(application) for application, _ in applications]
    tasks = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, (_, bound) in zip(servers, applications, strict=True)
    ]
    # Uvicorn has a flag for this, not an event.
    while not all(server.started for server in servers) and not any(task.done() for task in tasks):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if all(server.started for server in servers):
        print(ready, flush=True)  # noqa: T201 (the contract's one line)
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*pending)
