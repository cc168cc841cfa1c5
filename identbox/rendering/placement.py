"""Whether the object of an image is where its sentence says: its silhouette is rendered, and looked for in the image.

The silhouette is the object alone, white on black, by the renderer itself. Its middle must be nearest to the projected
middle of its own cell among the nine. Within the silhouette the image must be nearer to the scene with the object than
to the same scene without it: another light alone would make it differ from the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from identbox.data import png
from identbox.data.checks import DatasetFinding
from identbox.data.scene import STEP
from identbox.data.untouched import project
from identbox.errors import IdentboxError, first_few

SMALLEST_OBJECT = 32  # pixels a side of images that are looked at
LEAST_SHARE = 0.002  # of the image that a silhouette covers
LEAST_GAP = (
    4.0  # levels of 255 by which a pixel is nearer to the scene with the object than to that without it
)
LEAST_SEEN = 0.5  # of the silhouette that is nearer so
CELLS = np.array([(y, x, 0.0) for y in (-STEP, 0.0, STEP) for x in (-STEP, 0.0, STEP)])  # metres


def check_placement(
    folder: Path, records: Sequence[dict], render: Callable[[list[dict]], Path]
) -> DatasetFinding:
    """Whether the objects of some records are visible in their images, and in their cells.

    ``render`` renders records (their ``file`` names the image) into a folder, which it returns. Raises IdentboxError
    where it fails, or an image of the dataset cannot be read.
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
        try:
            image = np.asarray(png.read_image(folder / record["file"], len(ground)), int)
            scene = np.asarray(png.read_image(made / f"{place}-scene.png"), int)
        except IdentboxError as error:
            faults.append(str(error))
            continue
        if fault := placement_fault(image, scene, ground, mask, record["location"]):
            faults.append(f"{record['file']}: {fault}")
    detail = first_few(faults, 3) if faults else f"{len(records)} images show their object in its cell"
    return DatasetFinding("", "placement", not faults, detail)


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
