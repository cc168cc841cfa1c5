"""The static version has a file for each address that the page reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from identbox.errors import IdentboxError
from identbox.explore import saved
from identbox.explore.desk import Desk
from identbox.explore.scene import LiveProcess
from identbox.process.presets import multimodal3dident


def test_files_are_the_answers_of_the_server(desk: Desk, tmp_path: Path):
    out = tmp_path / "site"
    count = saved.save(desk, out, samples=12)
    assert count == sum(path.is_file() for path in out.rglob("*"))
    info = json.loads((out / "info.json").read_text())
    assert [split["n"] for split in info["dataset"]["splits"]] == [12] * 5
    assert [split["whole"] for split in info["dataset"]["splits"]] == [300, 30, 40, 40, 20]
    assert json.loads((out / "data/0/sentences/0.json").read_text()) == desk.sentences(0, 0)[:12]
    assert (out / "data/2/images/11.png").read_bytes() == desk.image(2, 11)
    assert not (out / "data/2/images/12.png").exists()
    assert np.array_equal(
        np.frombuffer((out / "data/0/columns/3.f64").read_bytes()), np.frombuffer(desk.column(0, 3))[:12]
    )
    page = (out / "index.html").read_text()
    assert "Content-Security-Policy" in page
    assert "frame-ancestors" not in page  # a browser warns of it in a file
    assert (out / "static" / "main.js").read_bytes()


def test_a_folder_that_is_there_is_left_alone(desk: Desk, tmp_path: Path):
    (tmp_path / "own").write_text("mine")
    with pytest.raises(IdentboxError, match="expected a new folder"):
        saved.save(desk, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_frames_move_each_variable_of_the_image_through_its_values(squares: Path, desk: Desk):
    live = LiveProcess(multimodal3dident(), desk.dataset.recipe)
    frames = saved.moved_frames(live, 2)
    own = [one for one in frames if one.row == 1]
    assert not own[0].moves
    shapes = [one.moves["object_shape"].to for one in own if "object_shape" in one.moves]
    assert shapes == [(float(k),) for k in range(7)]
    hues = [one.moves["object_color"].to[0] for one in own if "object_color" in one.moves]
    assert hues == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert not any("text_phrasing" in one.moves for one in frames)
    assert len(frames) == 2 * (1 + 7 + 3 + 3 + 7 * 5)
