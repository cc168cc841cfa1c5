"""Renders images of a dataset again with its recipe and compares them pixel for pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from identbox import files
from identbox.data import png
from identbox.data.checks import DatasetFinding
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.rendering.blender import Blender, describe_blender
from identbox.rendering.generation import random_records, settings_of
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import render_all

LARGEST_GAP = 1  # levels of 255 by which a pixel may differ between instruction sets


def rerender(
    folder: Path,
    count: int,
    *,
    blender: Blender,
    pack: str = "builtin",
    offline: bool = False,
    seed: int = 0,
) -> DatasetFinding:
    """Render ``count`` random images of a dataset again with its recipe, and compare them pixel for pixel.

    Raises IdentboxError for a dataset without a recipe, and for a pack of another content.
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
    records = random_records(recipe, count, seed)
    with files.scratch() as again:
        for record in records:
            (again / record["file"]).parent.mkdir(parents=True, exist_ok=True)
        render_all(records, again, shapes.files, settings_of(recipe), blender)
        gaps = [_largest_gap(folder / record["file"], again / record["file"]) for record in records]
    detail = (
        f"{len(records)} images, {sum(map(bool, gaps))} that differ, by {max(gaps, default=0)} levels at most"
    )
    if version != recipe.renderer["blender"]:
        detail += f" (Blender {version} instead of {recipe.renderer['blender']})"
    return DatasetFinding("", "rerender", max(gaps, default=0) <= LARGEST_GAP, detail)


def _largest_gap(one: Path, other: Path) -> int:
    """The largest difference between two images of one size, in levels of 255."""
    again = np.asarray(png.read_image(other), int)
    pixels = np.asarray(png.read_image(one, len(again), "RGB"), int)
    return int(np.abs(pixels - again).max())
