from math import pi
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from identbox.data import cards
from identbox.errors import IdentboxError
from identbox.rendering import blender, shape_pictures, shapes


def test_the_picture_of_a_pack(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shape_pictures, "LARGE", 240)
    (boxes / "pack.toml").write_text('[shapes.box]\nfile = "box.obj"\n')
    pack = shapes.load_pack(str(boxes), None, blender.Blender())
    seen: list[None] = []
    out = tmp_path / "boxes.png"
    shape_pictures.draw_pack(pack, out, blender.Blender(), samples=1, on_image=lambda: seen.append(None))
    assert len(seen) == shape_pictures.count_pictures(pack) == 16
    with Image.open(out) as picture:
        pixels = np.asarray(picture)
    left, top = shape_pictures.EDGE + shape_pictures.NAMES, shape_pictures.EDGE + shape_pictures.TITLE
    top += shape_pictures.HEADER
    step = shape_pictures.CROP + shape_pictures.BETWEEN
    tiles = [pixels[top : top + 224, left + k * step : left + k * step + 224] for k in range(8)]
    # A box looks the same after half a turn, but its shadow and light do too; after a quarter it does not.
    assert np.abs(tiles[0].astype(int) - tiles[4]).mean() < 2
    assert np.abs(tiles[0].astype(int) - tiles[2]).mean() > 4
    edge = pixels[top:, left - shape_pictures.BETWEEN : left]
    assert (edge == cards.PAPER).all(), "a label reaches into the first tile"
    assert not list(tmp_path.glob(".*")), "a temporary file was left"


def test_records_stand_in_the_middle_and_turn_once_around():
    records = shape_pictures.picture_records(("a", "b"), 64)
    assert [record["shape"] for record in records] == 8 * ["a"] + 8 * ["b"]
    assert {tuple(record["location"]) for record in records} == {(0.0, 0.0, 0.0)}
    np.testing.assert_allclose([record["rotation"][2] for record in records[:8]], np.arange(8) * pi / 4)
    assert len({record["file"] for record in records}) == 16


@pytest.mark.parametrize("name", ["picture.jpg", "nowhere/picture.png", ""])
def test_a_path_where_no_picture_can_be_written_is_refused(tmp_path: Path, name: str):
    with pytest.raises(IdentboxError, match=r"--out: expected a file name ending in .png"):
        shape_pictures.expect_writable(tmp_path / name)
