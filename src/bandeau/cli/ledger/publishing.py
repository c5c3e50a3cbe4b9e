"""`bandeau ledger publish`: the log as files, cosigned by witnesses, with screenshots of the notice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from bandeau.cli.ledger.opening import ledger_option, reading
from bandeau.cli.ledger.witnesses import cosigned
from bandeau.desk.pictures import pictured, snapshots
from bandeau.errors import BandeauError
from bandeau.ledger import note, tiles
from bandeau.ledger.log import Log


@click.command()
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder; what it has is kept."
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True),
    help="Policy file that names witnesses ([proof] witnesses).",
)
@click.option("--no-pictures", is_flag=True, help="No screenshots of the notice's versions.")
@ledger_option
def publish(out: Path, policy: Path | None, url: str, *, no_pictures: bool) -> None:
    """Write checkpoint, vkey, tile/… and snapshots/… into a folder that any web server can serve.

    Called again it adds what is new. It refuses a folder that holds another history.
    """
    with reading(url) as log:
        checkpoint = log.head.checkpoint
        size = note.Checkpoint.parse(note.parse(checkpoint).text).size
        for leftover in out.rglob("*.new"):  # of a run that was cut off
            leftover.unlink()
        before = _published(log, out)
        if policy:
            checkpoint = cosigned(log, policy, checkpoint)
        written = _tiles(log, out, size, before)
        _write(out / "vkey", "".join(f"{vkey}\n" for vkey in log.vkeys()).encode())
        for sha256 in snapshots(log):
            path = out / "snapshots" / f"{sha256}.json"
            if not path.exists():
                _write(path, log.document(sha256) or b"")
        pictures = 0 if no_pictures else sum(1 for _ in pictured(log, out / "snapshots"))
        _write(out / "checkpoint", checkpoint)  # last: what it describes is there
        for path in _outgrown(out, size):
            path.unlink()
        click.echo(
            f"{out}: {size} entries, {written} files, {pictures} screenshots;"
            f" check it with: bandeau ledger verify {out} --key {log.head.vkey}"
        )


def _published(log: Log, out: Path) -> int:
    """Return the size that a folder was published at; refuse a folder of another history."""
    path = out / "checkpoint"
    if not path.exists():
        return 0
    verifiers = [note.Verifier.parse(vkey) for vkey in log.vkeys()]
    try:
        known = note.opened(path.read_bytes(), verifiers)
    except note.NoteError as error:
        raise BandeauError(f"{path}: not a checkpoint of this log: {error}") from None
    if known.size > log.head.tree.size or log.root(known.size) != known.root:
        raise BandeauError(
            f"{out}: another history of {known.size} entries was published here;"
            f" bandeau ledger fsck --against {out} says where it differs"
        )
    return known.size


def _tiles(log: Log, out: Path, size: int, before: int) -> int:
    written = 0
    for tile in tiles.of(size, before):
        name = tiles.name(*tile)
        content = log.tile(name)
        if content is None:
            raise BandeauError(f"{name}: the ledger has no such tile: bandeau ledger fsck")
        _write(out / "tile" / name, content)
        written += 1
    return written


def _outgrown(out: Path, size: int) -> Iterator[Path]:
    """Yield the partial tiles whose full tile is there (tlog-tiles, "Partial Tiles")."""
    for path in sorted((out / "tile").rglob("*.p/*")):
        tile = tiles.parse(path.relative_to(out / "tile").as_posix())
        if tile and tiles.exists((tile[0], tile[1], tiles.WIDTH), size):
            yield path


def _write(path: Path, content: bytes) -> None:
    """Replace a file whole and durably: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
