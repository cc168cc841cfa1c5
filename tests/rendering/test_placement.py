"""Objects are where their sentences say: judged on drawn silhouettes, and on what Blender renders."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import identbox
from identbox.data.recipe import Recipe
from identbox.data.untouched import project
from identbox.rendering.blender import Blender
from identbox.rendering.generation import records_of, settings_of
from identbox.rendering.placement import CELLS, check_placement, placement_fault
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import RenderRun

SIZE = 96


def disc(location, radius=12) -> np.ndarray:
    (x, y), (rows, columns) = project(np.array([location], float), SIZE)[0], np.mgrid[:SIZE, :SIZE] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def picture(mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], [200, 20, 20], [90, 90, 90])


@pytest.mark.parametrize("cell", range(9))
def test_an_object_in_its_cell_is_right_and_in_any_other_it_is_not(cell):
    ground = picture(np.zeros((SIZE, SIZE), bool))
    for other in range(9):
        mask = disc(CELLS[other])
        fault = placement_fault(picture(mask), picture(mask), ground, mask, CELLS[cell].tolist())
        assert fault == ("" if other == cell else "the object is not in its cell")


def test_an_image_without_a_visible_object_is_named():
    ground, mask = picture(np.zeros((SIZE, SIZE), bool)), disc(CELLS[4])
    own = CELLS[4].tolist()
    assert "its silhouette has 0 pixels" in placement_fault(ground, ground, ground, np.zeros_like(mask), own)
    assert "0% of its silhouette" in placement_fault(ground, picture(mask), ground, mask, own)
    assert "0% of its silhouette" in placement_fault(ground + 60, picture(mask), ground, mask, own)  # a light
    # The object is in another cell than where it is looked for.
    assert "of its silhouette looks" in placement_fault(
        picture(disc(CELLS[0])), picture(mask), ground, mask, own
    )


def test_rendered_objects_are_found_and_one_that_was_moved_is_missed(small, tmp_path):
    recipe = Recipe.read(small)
    assert recipe is not None
    pack = load_pack("builtin", recipe.shape_names, Blender())
    records = records_of(recipe, "val")[:2]

    def render(wanted):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))  # what is there already would not be rendered again
        outcome = RenderRun(wanted, folder, pack.files, settings_of(recipe), Blender()).execute(1)
        assert not outcome.failed
        return folder

    assert check_placement(small, records, render).good
    moved = [
        {**record, "location": [-3.0, 3.0 if record["location"][1] <= 0 else -3.0, 0.0]} for record in records
    ]
    finding = check_placement(small, moved, render)
    assert finding.good is False
    assert "no object is visible" in finding.detail or "not in its cell" in finding.detail
    assert replace(finding, good=True).split == ""


def test_check_names_an_image_whose_object_is_elsewhere(small, tmp_path):
    import shutil

    copy = shutil.copytree(small, tmp_path / "copy")
    recipe = Recipe.read(copy)
    assert recipe is not None
    by_cell = {}
    for record in records_of(recipe, "train"):
        by_cell.setdefault(tuple(record["location"]), copy / record["file"])
    one, other = list(by_cell.values())[:2]
    for path in copy.glob("train/images/*.png"):
        if path not in (one, other):
            path.write_bytes(one.read_bytes())
    done = identbox("check", copy, "--rerender", 19)
    assert done.returncode == 1
    assert "placement" in done.stdout
