"""The command explore: a page in the browser."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from identbox.commands.display import images_bar
from identbox.commands.options import blender_option, offline_option
from identbox.errors import IdentboxError

if TYPE_CHECKING:
    from identbox.explore.desk import Desk

TOKEN = "IDENTBOX_TOKEN"  # of the environment: a token of the user's own, with which old links go on working
SHORTEST_TOKEN = 16


@click.command("explore")
@click.argument("dataset", type=Path, required=False)
@click.option(
    "--run",
    "runs",
    type=Path,
    multiple=True,
    help="A run, a sweep, or a folder of them, beside the dataset; may be repeated.",
)
@click.option(
    "--process", metavar="NAME|FILE.toml", help="A process to move live.  [default: that of the dataset]"
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port on the loopback address.  [default: 8765, or the next that is free]",
)
@click.option(
    "--save",
    type=Path,
    metavar="DIR",
    help="Write a static version into a new folder DIR instead, which any web server can show.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="For --save: samples of each split.",
)
@click.option(
    "--moved",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="For --save: test samples of which every variable is rendered at several values.",
)
@click.option("--shapes", default="builtin", show_default=True, help="The pack of shapes for the live scene.")
@offline_option
@blender_option
def explore_command(
    dataset: Path | None,
    runs: tuple[Path, ...],
    process: str | None,
    port: int | None,
    save: Path | None,
    samples: int,
    moved: int,
    shapes: str,
    offline: bool,
    executable: str | None,
) -> None:
    """Open a page in the browser on a DATASET: its samples, its process live, and runs.

    DATASET may also be a folder of runs and sweeps, which are then shown as they train. Without one, a process is
    shown live.
    """
    from identbox.explore.opening import open_desk

    desk = open_desk(
        dataset, runs=runs, process=process, shapes=shapes, offline=offline, executable=executable
    )
    try:
        if save is not None:
            _save_static(desk, save, samples, moved)
        else:
            _serve(desk, port)
    finally:
        desk.close()


def _serve(desk: Desk, port: int | None) -> None:
    from identbox.explore import server

    token = _token()

    def tell(number: int) -> None:
        click.echo(f"http://{server.LOOPBACK}:{number}/{token}/")
        click.echo("This address is for this machine alone. Ctrl-C ends it.")

    server.serve(server.explorer(desk, token), port, tell)


def _save_static(desk: Desk, folder: Path, samples: int, moved: int) -> None:
    from identbox.explore import saved

    with images_bar() as progress:
        task = progress.add_task("images", total=None, already=0)
        count = saved.save(
            desk,
            folder,
            samples=samples,
            moved=moved,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    click.echo(f"{folder}: {count} files; see: python -m http.server --directory {folder}")


def _token() -> str:
    """The token of the address: one that nobody can guess, or the user's own."""
    own = os.environ.get(TOKEN)
    if own is None:
        return secrets.token_urlsafe(24)
    if len(own) < SHORTEST_TOKEN or not own.isascii() or not own.replace("-", "").replace("_", "").isalnum():
        raise IdentboxError(f"{TOKEN}: expected at least {SHORTEST_TOKEN} letters and digits, got others")
    return own
