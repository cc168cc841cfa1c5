"""The commands of packs of shapes: list, show, fetch, check."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from identbox.commands.display import cores, images_bar, print_step
from identbox.commands.options import blender_option, offline_option
from identbox.texts import visible


@click.group()
def shapes() -> None:
    """Packs of shapes: 'builtin', 'published', or a folder of your own."""


@shapes.command("list")
def list_shapes() -> None:
    """List the packs that come without a folder: licence, credit and classes. Touches no network."""
    from identbox.rendering import downloads
    from identbox.rendering.shapes import find_pack

    for name in ("builtin", "published"):
        listing = find_pack(name)
        lacking = len(downloads.missing(listing.folder)) if name == "published" else 0
        state = f"{lacking} of {len(listing.classes)} files not fetched" if lacking else "here"
        click.echo(f"{name:<10} {visible(f'{state}; {listing.licence}; {listing.credit}')}")
        click.echo(f"{'':<10} {', '.join(listing.classes)}")


@shapes.command("fetch")
@click.option("--offline", is_flag=True, help="Only verify the files that are in the cache.")
def fetch_shapes(offline: bool) -> None:
    """Download the published shapes into the cache; each file is verified by its hash."""
    from identbox.rendering import downloads
    from identbox.rendering.shapes import find_pack

    folder = find_pack("published").folder
    downloads.fetch_files(folder, offline=offline, on_file=lambda name: print_step(f"fetching {name}"))
    click.echo(f"{folder}: {len(downloads.BLOBS)} files, each with the content that was published")


@shapes.command("check")
@click.argument("pack", default="builtin")
@click.option(
    "--turns", type=click.IntRange(min=2), default=64, show_default=True, help="Random orientations of each."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the orientations."
)
@offline_option
@blender_option
def check_shapes(pack: str, turns: int, seed: int, offline: bool, executable: str | None) -> None:
    """Measure the meshes of a PACK, and warn where the size alone identifies a class."""
    from rich.console import Console

    from identbox.rendering import shape_checks
    from identbox.rendering.blender import Blender
    from identbox.rendering.shapes import load_pack

    blender = Blender(executable=executable)
    meshes = load_pack(pack, None, blender, offline=offline, on_step=print_step)
    with images_bar("outlines") as progress:
        task = progress.add_task("measuring", total=len(meshes.files) * turns, already=0)
        rows = shape_checks.measure_pack(
            meshes, blender, turns=turns, seed=seed, on_turn=lambda: progress.advance(task)
        )
    Console(width=None if sys.stdout.isatty() else 110).print(shape_checks.table(rows))
    for warning in (*meshes.notes, *shape_checks.warnings(rows)):
        click.echo(f"{click.style('warning', fg='yellow')}: {visible(warning)}")


@shapes.command("show")
@click.argument("pack", default="builtin")
@click.option("--out", type=Path, required=True, metavar="FILE.png", help="Where the picture goes.")
@click.option(
    "--samples", type=int, default=4, show_default=True, help="Cycles samples a pixel, before denoising."
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that render side by side.  [default: cores]"
)
@offline_option
@blender_option
def show_shapes(
    pack: str, out: Path, samples: int, workers: int | None, offline: bool, executable: str | None
) -> None:
    """Draw each shape of a PACK from eight directions, large and at 64 pixels."""
    from identbox.rendering import shape_pictures
    from identbox.rendering.blender import Blender
    from identbox.rendering.shapes import load_pack

    blender = Blender(executable=executable)
    shape_pictures.expect_writable(out)
    meshes = load_pack(pack, None, blender, offline=offline, on_step=print_step)
    with images_bar() as progress:
        task = progress.add_task("images", total=shape_pictures.count_pictures(meshes), already=0)
        shape_pictures.draw_pack(
            meshes,
            out,
            blender,
            samples=samples,
            workers=workers or cores(),
            on_image=lambda: progress.advance(task),
        )
    click.echo(str(out))
