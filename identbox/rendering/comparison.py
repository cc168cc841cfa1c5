"""Renders images of a dataset again with its recipe and compares them pixel for pixel."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from identbox import files
from identbox.data import png
from identbox.data.checks import DatasetFinding
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError, first_few
from identbox.rendering import placement
from identbox.rendering.blender import Blender, describe_blender
from identbox.rendering.generation import records_of, settings_of
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import RenderRun

LOOKED_AT = 10  # of the images, those whose objects are looked for
LARGEST_GAP = 1  # levels of 255 by which a pixel may differ between instruction sets


def rerender(
    folder: Path,
    count: int,
    *,
    blender: Blender,
    pack: str = "builtin",
    offline: bool = False,
    seed: int = 0,
) -> Iterator[DatasetFinding]:
    """Render ``count`` random images of a dataset again with its recipe, and compare them pixel for pixel.

    Of a few of them the object's silhouette is rendered too: see `placement`. Raises IdentboxError for a dataset
    without a recipe, and for a pack of another content.
    """
    recipe = Recipe.read(folder)
    if recipe is None:
        raise IdentboxError(f"{folder}: expected a dataset.toml to render images again, got none")
    version = describe_blender(blender)["blender"]
    shapes = load_pack(pack, recipe.shape_names, blender, offline=offline)
    if shapes.sha256 != recipe.shapes["sha256"]:
        raise IdentboxError(
            f"--shapes {pack}: expected the pack {recipe.shapes['name']} of the recipe, got one of another content"
        )
    records = [record for split, n in recipe.samples.items() if n for record in records_of(recipe, split)]
    records = random.Random(seed).sample(records, min(count, len(records)))
    with files.scratch() as again:

        def render(wanted: list[dict]) -> Path:
            for record in wanted:
                (again / record["file"]).parent.mkdir(parents=True, exist_ok=True)
            run = RenderRun(wanted, again, shapes.files, settings_of(recipe), blender)
            failed = run.execute(min(len(wanted), os.cpu_count() or 1)).failed
            if failed:
                raise IdentboxError(
                    f"{folder}: expected images, got {len(failed)} failed: {first_few(failed, 3)}"
                )
            return again

        render(records)
        gaps = [_largest_gap(folder / record["file"], again / record["file"]) for record in records]
        detail = (
            f"{len(records)} images, {sum(map(bool, gaps))} that differ, "
            f"by {max(gaps, default=0)} levels at most"
        )
        if version != recipe.renderer["blender"]:
            detail += f" (Blender {version} instead of {recipe.renderer['blender']})"
        yield DatasetFinding("", "rerender", max(gaps, default=0) <= LARGEST_GAP, detail)
        if recipe.renderer["size"] >= placement.SMALLEST_OBJECT:
            yield placement.check_placement(folder, records[:LOOKED_AT], render)


def _largest_gap(one: Path, other: Path) -> int:
    """The largest difference between two images of one size, in levels of 255."""
    again = np.asarray(png.read_image(other), int)
    pixels = np.asarray(png.read_image(one, len(again), "RGB"), int)
    return int(np.abs(pixels - again).max())
