"""Whether the object of an image is where its sentence says: its silhouette is rendered, and looked for in the image.

The silhouette is the object alone, white on black, by the renderer itself. Its middle must be nearest to the projected
middle of its own cell among the nine, and within the silhouette the image must differ from the same scene without the
object.
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
LEAST_GAP = 4.0  # levels of 255 by which a pixel differs from the ground where the object is
LEAST_SEEN = 0.5  # of the silhouette that differs so
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
        for show in ("mask", "ground")
    ]
    made = render(wanted)
    faults = []
    for place, record in enumerate(records):
        mask = np.asarray(png.read_image(made / f"{place}-mask.png"), int).mean(axis=2) > 127
        ground = np.asarray(png.read_image(made / f"{place}-ground.png"), int)
        try:
            image = np.asarray(png.read_image(folder / record["file"], len(ground)), int)
        except IdentboxError as error:
            faults.append(str(error))
            continue
        if fault := placement_fault(image, ground, mask, record["location"]):
            faults.append(f"{record['file']}: {fault}")
    detail = first_few(faults, 3) if faults else f"{len(records)} images show their object in its cell"
    return DatasetFinding("", "placement", not faults, detail)


def placement_fault(
    image: Float[np.ndarray, "h w 3"] | np.ndarray,
    ground: Float[np.ndarray, "h w 3"] | np.ndarray,
    mask: Bool[np.ndarray, "h w"],
    location: Sequence[float],
) -> str:
    """What is wrong with an image, given the same scene without the object, and the object's silhouette; or nothing."""
    if mask.mean() < LEAST_SHARE:
        return f"no object is visible: its silhouette has {int(mask.sum())} pixels"
    seen = float((np.abs(image - ground).mean(axis=2)[mask] > LEAST_GAP).mean())
    if seen < LEAST_SEEN:
        return f"no object is visible in its place: {seen:.0%} of its silhouette differs from the ground"
    rows, columns = np.nonzero(mask)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    distances = np.linalg.norm(project(CELLS, len(mask)) - middle, axis=1)
    own = int(np.linalg.norm(CELLS - location, axis=1).argmin())
    if distances.argmin() != own:
        return "the object is not in its cell"
    return ""
