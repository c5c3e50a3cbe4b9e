"""Isso, the comment server, as a process of its own: `python -m bandeau.demo.commentserver`.

It is given a socket that is bound already, and ends when its standard input does: whatever becomes
of the newspaper's process, none of this one is left behind.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import threading
from pathlib import Path

CONFIGURATION = """[general]
dbpath = {data}/comments.db
host = {hosts}
notify = stdout
[moderation]
enabled = true
[admin]
enabled = true
password = {password}
[server]
listen = http://127.0.0.1:{port}
public-endpoint = http://commentaires.localhost:{port}
trusted-proxies = 127.0.0.1
[guard]
enabled = true
ratelimit = 10
direct-reply = 20
[markup]
renderer = mistune
[hash]
salt = {salt}
"""


def configured(data: Path, port: int, origins: list[str]) -> Path:
    """Write Isso's configuration, keeping the password and the salt of an earlier one."""
    file = data / "isso.cfg"
    known = file.read_text("utf-8") if file.exists() else ""
    kept = {
        name: next(
            (line[len(name) + 3 :] for line in known.splitlines() if line.startswith(f"{name} = ")),
            secrets.token_urlsafe(12),
        )
        for name in ("password", "salt")
    }
    text = CONFIGURATION.format(data=data, port=port, hosts="\n    ".join(origins), **kept)
    file.touch(mode=0o600)
    file.write_text(text, "utf-8")
    return file


def main() -> None:
    """Serve on the socket whose number is given until standard input ends."""
    file, fd = sys.argv[1], int(sys.argv[2])
    import isso  # noqa: PLC0415 (only this process has it)
    from isso import config  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    for name in ("isso", "werkzeug"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.FileHandler(Path(file).with_name("isso.log"))]
        logger.propagate = False
    read = config.load(config.default_file(), file)
    application = isso.make_app(read, threading=True)
    server = make_server("127.0.0.1", 0, application, threaded=True, fd=fd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    while os.read(0, 4096):
        pass
    server.shutdown()


if __name__ == "__main__":
    main()
