"""A pack of boxes, meshes whose every measure is known, for the tests of what packs look like."""

from pathlib import Path

import pytest


def box(x: float, y: float, z: float) -> str:
    corners = [(a, b, c) for a in (0, x) for b in (0, y) for c in (0, z)]
    faces = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]
    return "\n".join([f"v {a} {b} {c}" for a, b, c in corners] + [f"f {face}" for face in faces])


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Three classes: two boxes of one form, one of them half as large, and a box with half a side missing."""
    folder = tmp_path / "boxes"
    folder.mkdir()
    (folder / "box.obj").write_text(box(1, 2, 3))
    (folder / "open.obj").write_text(box(1, 2, 3).replace("f 2 6 8 4", "f 2 6 8"))
    (folder / "pack.toml").write_text(
        '[shapes]\nbox.file = "box.obj"\nopen.file = "open.obj"\n[shapes.small]\nfile = "box.obj"\nscale = 0.5\n'
    )
    return folder
