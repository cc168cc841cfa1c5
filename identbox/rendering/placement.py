"""Whether the object of an image is where its sentence says: its silhouette is rendered, and looked for in the image.

The silhouette is the object alone, white on black, by the renderer itself. Its middle must be nearest to the projected
middle of its own cell among the nine. Within the silhouette the image must be nearer to the scene with the object than
to the same scene without it: another light alone would make it differ from the latter.

All of it is looked at in small: whatever a recipe asks for, a few images cost some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from identbox import files
from identbox.data import png
from identbox.data.checks import DatasetFinding
from identbox.data.formats import open_source
from identbox.data.recipe import Recipe
from identbox.data.scene import CELL
from identbox.data.untouched import project
from identbox.errors import IdentboxError, first_few
from identbox.rendering.blender import Blender
from identbox.rendering.generation import random_records
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import RenderSettings, render_all

SMALLEST_LOOKED_AT, LARGEST = 32, 128  # pixels a side at which images are looked at; larger ones are reduced
CYCLES_SAMPLES = 4  # of Cycles for each pixel
RENDER_TIMEOUT = 60.0  # seconds that a render may take
LEAST_SHARE = 0.002  # of the image that a silhouette covers
LEAST_GAP = (
    4.0  # levels of 255 by which a pixel is nearer to the scene with the object than to that without it
)
LEAST_SEEN = 0.5  # of the silhouette that is nearer so
CELLS = np.array([(y, x, 0.0) for y in (-CELL, 0.0, CELL) for x in (-CELL, 0.0, CELL)])  # metres


def look_for_objects(
    folder: Path, count: int, *, blender: Blender, pack: str = "builtin", offline: bool = False, seed: int = 0
) -> DatasetFinding:
    """Whether ``count`` random images of a dataset show their objects, and in their cells.

    It is not judged where there is no recipe, no Blender, or another pack than that of the recipe, where images are too
    small, and where a renderer fails; the detail says which.
    """
    try:
        recipe = Recipe.read(folder)
        if recipe is None:
            raise IdentboxError("expected a dataset.toml, got none")
        size = min(recipe.renderer["size"], LARGEST)
        if size < SMALLEST_LOOKED_AT:
            raise IdentboxError(f"expected images of at least {SMALLEST_LOOKED_AT} pixels a side, got {size}")
        blender.command()
        shapes = load_pack(pack, recipe.shape_names, blender, offline=offline)
        if shapes.sha256 != recipe.shapes["sha256"]:
            raise IdentboxError(
                f"--shapes {pack}: expected the pack {recipe.shapes['name']} of the recipe, got one of another content"
            )
        settings = RenderSettings(size=size, samples=CYCLES_SAMPLES)
        with files.scratch() as made:

            def render(wanted: list[dict]) -> Path:
                render_all(wanted, made, shapes.files, settings, blender, timeout=RENDER_TIMEOUT)
                return made

            return check_placement(folder, random_records(recipe, count, seed), render, size)
    except IdentboxError as error:
        return DatasetFinding("", "placement", None, f"not looked at: {error}")


def check_placement(
    folder: Path, records: Sequence[dict], render: Callable[[list[dict]], Path], size: int
) -> DatasetFinding:
    """Whether the objects of some records are visible in their images, and in their cells.

    ``render`` renders records (their ``file`` names the image) at ``size`` pixels a side into a folder, which it
    returns. Raises IdentboxError where it fails.
    """
    wanted = [
        {**record, "show": show, "file": f"{place}-{show}.png"}
        for place, record in enumerate(records)
        for show in ("mask", "ground", "scene")
    ]
    made = render(wanted)
    faults = []
    for place, record in enumerate(records):
        mask = np.asarray(png.read_image(made / f"{place}-mask.png"), int).mean(axis=2) > 127
        ground = np.asarray(png.read_image(made / f"{place}-ground.png"), int)
        scene = np.asarray(png.read_image(made / f"{place}-scene.png"), int)
        try:
            image = np.asarray(_read_in(folder, record["file"], size), int)
        except (IdentboxError, OSError) as error:
            faults.append(str(error))
            continue
        if fault := placement_fault(image, scene, ground, mask, record["location"]):
            faults.append(f"{record['file']}: {fault}")
    detail = first_few(faults, 3) if faults else f"{len(records)} images show their object in its cell"
    return DatasetFinding("", "placement", not faults, detail)


def _read_in(folder: Path, file: str, size: int) -> Image.Image:
    """An image of a dataset folder, or of an export, reduced to ``size`` pixels a side."""
    split, _, name = file.split("/")
    if (folder / split).is_dir():
        image = png.read_image(folder / file)
    else:
        source, index = open_source(folder, split), int(Path(name).stem)
        image = png.decode(source.png(index), source.where(index))
    return image.resize((size, size), Image.Resampling.BOX)


def placement_fault(
    image: Float[np.ndarray, "h w 3"] | np.ndarray,
    scene: Float[np.ndarray, "h w 3"] | np.ndarray,
    ground: Float[np.ndarray, "h w 3"] | np.ndarray,
    mask: Bool[np.ndarray, "h w"],
    location: Sequence[float],
) -> str:
    """What is wrong with an image, given its scene with and without the object, and its silhouette; or nothing."""
    if mask.mean() < LEAST_SHARE:
        return f"no object is visible: its silhouette has {int(mask.sum())} pixels"
    from_ground, from_scene = (np.abs(image - other).mean(axis=2)[mask] for other in (ground, scene))
    seen = float((from_ground - from_scene > LEAST_GAP).mean())
    if seen < LEAST_SEEN:
        return f"no object is visible in its place: {seen:.0%} of its silhouette looks like it"
    rows, columns = np.nonzero(mask)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    distances = np.linalg.norm(project(CELLS, len(mask)) - middle, axis=1)
    own = int(np.linalg.norm(CELLS - location, axis=1).argmin())
    if distances.argmin() != own:
        return "the object is not in its cell"
    return ""
