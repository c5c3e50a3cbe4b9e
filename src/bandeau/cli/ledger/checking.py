"""`bandeau ledger verify | fsck`: what the log says of itself, and what others hold of it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bandeau.cli.ledger.opening import ledger_option, reading
from bandeau.errors import BandeauError
from bandeau.ledger import forks, note, tiles
from bandeau.ledger.log import Log
from bandeau.ledger.receipt import SUFFIX


@click.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="The log's public key (vkey), or a file of such; several times after a rotation.",
)
@click.option(
    "--old", type=click.Path(path_type=Path), help="An older checkpoint that the log must contain."
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Folder of the published log that a receipt must stand in.",
)
@ledger_option
def verify(
    target: Path | None, keys: tuple[str, ...], old: Path | None, against: Path | None, url: str
) -> None:
    """Check a receipt or the folder of a published log, offline; without TARGET, the ledger itself."""
    if target is None:
        sys.exit(_fsck(url, (), None))
    from bandeau.ledger.verify import main  # noqa: PLC0415 (only here)

    if not keys:
        raise click.UsageError(
            "--key is needed: whoever trusts the file for its key trusts nothing"
        )
    words = [word for key in keys for word in ("--key", key)]
    more = {"--old": old, "--against": against}
    words += [word for flag, path in more.items() if path for word in (flag, str(path))]
    sys.exit(main([str(target), *words]))


@click.command()
@click.option(
    "--receipts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of receipts that visitors kept.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True),
    help="A checkpoint from elsewhere, or the folder of a published log.",
)
@ledger_option
def fsck(receipts: Path | None, against: Path | None, url: str) -> None:
    """Recompute the whole log from its entries, and compare it with what others hold.

    0: all of it fits. 1: what does not, a line each.
    """
    held = sorted(receipts.glob(f"*{SUFFIX}")) if receipts else []
    sys.exit(_fsck(url, held, against))


def _fsck(url: str, held: list[Path] | tuple[()], against: Path | None) -> int:
    with reading(url) as log:
        problems = log.fsck()
        folder = against if against and against.is_dir() else None
        checkpoint = folder / "checkpoint" if folder else against
        pieces = [*held, *([checkpoint] if checkpoint else [])]
        found = forks.compare(log, [(path.name, path.read_bytes()) for path in pieces])
        problems += [f"{one.name}: {one.message}" for one in found if not one.sound]
        if folder and not all(one.sound for one in found):
            problems += _where(log, folder)
        if not problems:
            size = log.head.tree.size
            agree = f", and {len(pieces)} from outside fit" if pieces else ""
            click.echo(f"{log.head.origin}: {size} entries, all of it fits{agree}")
    for problem in problems:
        click.echo(problem)
    return 1 if problems else 0


def _where(log: Log, folder: Path) -> list[str]:
    """Say where another published log begins to differ."""
    try:
        size = note.Checkpoint.parse(note.parse((folder / "checkpoint").read_bytes()).text).size
        wanted = [tile for tile in tiles.of(size) if tile[0] == tiles.ENTRIES]
        bundles = (
            tiles.unbundled((folder / "tile" / tiles.name(*tile)).read_bytes(), tile[2])
            for tile in wanted
        )
        found = forks.first_difference(log, bundles)
    except (OSError, tiles.TileError, note.NoteError) as error:
        raise BandeauError(f"{folder}: cannot be read as a published log: {error}") from None
    return [] if found is None else [f"{folder.name}: the first entry that differs is {found}"]
