"""Objects are where their sentences say: judged on drawn silhouettes, and on what Blender renders."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import identbox
from identbox.data.recipe import Recipe
from identbox.data.untouched import project
from identbox.rendering import blender
from identbox.rendering.blender import Blender
from identbox.rendering.generation import records_of
from identbox.rendering.placement import CELLS, look_for_objects, placement_fault

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


def test_check_finds_rendered_objects_and_names_images_that_show_another_cell(small, tmp_path):
    found = identbox("check", small, "--placement", 3)
    assert found.returncode == 0, found.stdout
    assert re.search(r"^ok +placement +3 images show their object in its cell$", found.stdout, re.MULTILINE)
    copy = Path(shutil.copytree(small, tmp_path / "copy"))
    recipe = Recipe.read(copy)
    assert recipe is not None
    records = records_of(recipe, "train")
    one, other = records[0], next(r for r in records if r["location"] != records[0]["location"])
    (copy / other["file"]).write_bytes((copy / one["file"]).read_bytes())
    done = identbox("check", copy, "--placement", 19)
    assert done.returncode == 1
    assert re.search(
        rf"^FAULT +placement +{other['file']}: no object is visible in its place", done.stdout, re.MULTILINE
    )
    assert done.stdout.count("FAULT") == 1


def test_check_says_why_it_does_not_look_for_objects(small, tmp_path, monkeypatch):
    def detail(folder: Path, pack: str = "builtin", executable: str | None = None) -> str:
        finding = look_for_objects(folder, 2, blender=Blender(executable=executable), pack=pack)
        assert (finding.what, finding.good) == ("placement", None)
        return finding.detail

    assert "not looked at: --blender: expected an executable" in detail(small, executable="/none")
    monkeypatch.setattr(blender, "find_spec", lambda name: None)
    assert detail(small).startswith("not looked at: Blender: expected the bpy module")
    monkeypatch.undo()
    assert "expected a dataset.toml, got none" in detail(tmp_path)
    shutil.copytree(small, tmp_path / "copy")
    recipe = tmp_path / "copy" / "dataset.toml"
    recipe.write_text(recipe.read_text().replace("size = 48", "size = 16"))
    assert "expected images of at least 32 pixels a side, got 16" in detail(tmp_path / "copy")
    recipe.write_text(re.sub('sha256 = ".*"', 'sha256 = "x"', (small / "dataset.toml").read_text()))
    assert "expected the pack builtin of the recipe, got one of another content" in detail(tmp_path / "copy")
