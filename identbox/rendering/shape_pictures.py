"""A picture of a pack: each shape from eight directions, large and at the size of training images."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import pi
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from identbox import files
from identbox.data import cards, png
from identbox.data.scene import IMAGE_FACTORS, UNIT_FACTORS, Scene
from identbox.errors import IdentboxError, first_few
from identbox.rendering.blender import Blender
from identbox.rendering.shapes import Pack
from identbox.rendering.workers import RenderRun, RenderSettings

DIRECTIONS = 8
LARGE, CROP, SMALL = 480, 224, 64  # pixels: rendered, the part of it that is kept, and the training size
MAGNIFIED = 2  # times the small images, so that one sees each pixel that a learner is given
EDGE, NAMES, BETWEEN = 28, 150, 10  # pixels: around the picture, left of a row, between tiles
TITLE, HEADER = 54, 30
HUE, GROUND_HUE, SPOT_HUE = 0.12, 0.02, 0.74  # gold on violet stands out in light and in shadow


def picture_records(shapes: tuple[str, ...], size: int) -> list[dict]:
    """Scene records of each shape in the middle of the picture, turned about the vertical in eight steps."""
    count = len(shapes) * DIRECTIONS
    latents = {name: np.full(count, 0.5) for name in UNIT_FACTORS}
    latents |= {name: np.ones(count, int) for name in set(IMAGE_FACTORS) - set(UNIT_FACTORS)}
    latents["object_zpos"] = np.zeros(count)
    latents["object_shape"] = np.repeat(np.arange(len(shapes)), DIRECTIONS)
    latents["object_color"] = np.full(count, HUE)
    latents["background_color"] = np.full(count, GROUND_HUE)
    latents["spotlight_color"] = np.full(count, SPOT_HUE)
    records = Scene().records(latents, shapes)
    for place, record in enumerate(records):
        step = place % DIRECTIONS
        record["rotation"] = [0.0, 0.0, 2 * pi * step / DIRECTIONS]  # latents cover only half of a turn
        record["file"] = f"{size}/{record['shape']}-{step}.png"
        record["seed"] = 0
    return records


def count_pictures(pack: Pack) -> int:
    """The number of images that `draw_pack` renders."""
    return 2 * DIRECTIONS * len(pack.files)


def expect_writable(out: Path) -> None:
    """Raise IdentboxError where a picture cannot be written, before anything is rendered."""
    parent = out.resolve().parent
    if out.suffix.lower() != ".png" or out.is_dir() or not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise IdentboxError(
            f"--out: expected a file name ending in .png in a folder that can be written, got {out}"
        )


def draw_pack(
    pack: Pack,
    out: Path,
    blender: Blender,
    *,
    samples: int = 4,
    workers: int = 1,
    on_image: Callable[[], None] = lambda: None,
) -> None:
    """Render each shape from eight directions and write the picture of them all to ``out``."""
    shapes = tuple(pack.files)
    with files.scratch() as folder:
        for size in (LARGE, SMALL):
            (folder / str(size)).mkdir()
            settings = RenderSettings(size=size, samples=samples)
            run = RenderRun(
                picture_records(shapes, size), folder, pack.files, settings, blender, on_image=on_image
            )
            outcome = run.execute(workers)
            if outcome.failed:
                file, reason = next(iter(outcome.failed.items()))
                raise IdentboxError(
                    f"{first_few(outcome.failed, 3)}: expected images, got '{reason}' ({file})"
                )
        picture = sheet(pack, folder)
    try:
        with files.whole(out) as part:
            picture.save(part, format="PNG", optimize=True)
    except OSError as error:
        raise IdentboxError(f"{out}: expected a file that can be written, got {error.strerror}") from error


def sheet(pack: Pack, folder: Path) -> Image.Image:
    """The picture of rendered images: one row for each shape, one column for each direction, small below large."""
    plain, bold = cards.fonts(17)
    names = max(NAMES, *(round(bold.getlength(shape)) + 2 * BETWEEN for shape in pack.files))
    step, tall = CROP + BETWEEN, CROP + MAGNIFIED * SMALL + 3 * BETWEEN
    left, top = EDGE + names, EDGE + TITLE + HEADER
    width = left + DIRECTIONS * step - BETWEEN + EDGE
    picture = Image.new("RGB", (width, top + len(pack.files) * tall + EDGE - BETWEEN), cards.PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text(
        (EDGE, EDGE),
        f"{pack.name}: {len(pack.files)} {'shape' if len(pack.files) == 1 else 'shapes'}",
        cards.INK,
        cards.fonts(26)[1],
    )
    for column in range(DIRECTIONS):
        middle = left + column * step + CROP / 2
        draw.text((middle, top - 10), f"{360 * column // DIRECTIONS}°", cards.FAINT_INK, plain, anchor="ms")
    for row, shape in enumerate(pack.files):
        y = top + row * tall
        draw.text((EDGE, y + CROP / 2), shape, cards.INK, bold, anchor="lm")
        draw.text(
            (EDGE, y + CROP + BETWEEN + MAGNIFIED * SMALL / 2),
            f"at {SMALL} px",
            cards.FAINT_INK,
            plain,
            anchor="lm",
        )
        for column in range(DIRECTIONS):
            x = left + column * step
            large, small = _tiles(folder, f"{shape}-{column}.png")
            picture.paste(large, (x, y))
            picture.paste(small, (x + (CROP - small.width) // 2, y + CROP + BETWEEN))
    return picture


def _tiles(folder: Path, name: str) -> tuple[Image.Image, Image.Image]:
    """The middle of a large image, and the small image magnified."""
    margin = (LARGE - CROP) // 2
    large, small = (png.read_image(folder / str(side) / name, side) for side in (LARGE, SMALL))
    middle = large.crop((margin, margin, margin + CROP, margin + CROP))
    return middle, small.resize((MAGNIFIED * SMALL,) * 2, Image.Resampling.NEAREST)
