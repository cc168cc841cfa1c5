from math import pi
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import identbox
from identbox.data.scene import EXTENT
from identbox.rendering import blender, shape_checks, shape_pictures, shapes, workers


def sphere(radius: float, steps: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A globe of quadrilaterals cut in two."""
    theta, phi = np.meshgrid(np.linspace(0, pi, steps), np.linspace(0, 2 * pi, 2 * steps), indexing="ij")
    vertices = radius * np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1
    )
    corner = np.arange(theta.size).reshape(theta.shape)
    a, b, c, d = (
        part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:])
    )
    return vertices.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def test_the_outline_of_a_sphere_is_the_circle_of_perspective():
    vertices, faces = sphere(2.1)
    pixels = shape_checks.covered(vertices, faces, shape_checks.orientations(4, seed=0))
    # Seen from distance d a sphere fills a cone of sine r / d: a circle of radius r / sqrt(d^2 - r^2) times the
    # zoom. The polygons lie inside by 0.2%; half a pixel of the finer mask at the edge adds 0.25 in 29.6, so 1.7%.
    radius = 0.7 * 224 * 2.1 / np.sqrt(128 - 2.1**2)
    np.testing.assert_allclose(pixels, pi * radius**2, rtol=0.025)


def test_a_mesh_of_triangles_smaller_than_pixels_covers_the_same_pixels():
    coarse, fine = (
        shape_checks.covered(*sphere(2.1, steps), shape_checks.orientations(2, seed=0)) for steps in (40, 400)
    )
    np.testing.assert_allclose(
        fine, coarse, rtol=0.01
    )  # a polygon of 80 corners is 0.1% smaller than a circle


def test_a_mesh_of_very_many_large_triangles_is_drawn_for_fewer_turns(monkeypatch: pytest.MonkeyPatch):
    rotations = shape_checks.orientations(64, seed=0)
    whole = shape_checks.covered(*sphere(2.1), rotations)
    monkeypatch.setattr(shape_checks, "MOST_DRAWN", 10_000)
    some = shape_checks.covered(*sphere(2.1), rotations)
    assert len(whole) == 64
    assert 1 < len(some) < 8
    np.testing.assert_array_equal(some, whole[: len(some)])


def test_covered_pixels_are_those_that_the_renderer_fills(tmp_path: Path):
    pack = shapes.load_pack("builtin", ("hare",), blender.Blender())
    record = shape_pictures.picture_records(("hare",), 224)[1]
    settings = workers.RenderSettings(size=224, samples=16)
    # Nothing but the object changes with its colour, since light does not bounce.
    twice = [
        record | {"object_color": color, "file": f"{number}.png"}
        for number, color in enumerate(([1.0, 0.0, 0.0], [0.0, 1.0, 1.0]))
    ]
    workers.RenderRun(twice, tmp_path, pack.files, settings, blender.Blender()).execute(1)
    images = []
    for one in twice:
        with Image.open(tmp_path / one["file"]) as image:
            images.append(np.asarray(image.convert("RGB"), int))
    seen = np.count_nonzero(np.abs(images[0] - images[1]).max(axis=-1) > 8)
    cosine, sine = np.cos(record["rotation"][2]), np.sin(record["rotation"][2])
    turned = np.array([[[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]])
    vertices, faces = shape_checks.read_mesh(pack.files["hare"])
    told = shape_checks.covered(vertices * EXTENT, faces, turned)[0]
    # Every pixel that the outline crosses differs here, and counts as half a pixel there: with an outline of some
    # 200 pixels about 8% more. Parts in deep shadow could make it less, by a few percent.
    assert 0.95 * told < seen < 1.15 * told


def test_orientations_are_rotations_as_the_dataset_draws_them():
    rotations = shape_checks.orientations(500, seed=1)
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    # Angles about Y lie within 90 degrees, and those about Z and X too: so the turned X axis never points back.
    assert (rotations[:, 0, 0] >= 0).all()
    assert (rotations[:, 2, 2] >= 0).all()
    np.testing.assert_array_equal(rotations, shape_checks.orientations(500, seed=1))
    assert not np.array_equal(rotations, shape_checks.orientations(500, seed=2))


def test_the_accuracy_by_size_is_that_of_the_best_interval():
    same, far = np.arange(100.0), np.arange(100.0) + 1000
    assert shape_checks.accuracy_by_size({"a": same, "b": same}) == {"a": 0.5, "b": 0.5}
    assert shape_checks.accuracy_by_size({"a": same, "b": far}) == {"a": 1.0, "b": 1.0}
    assert shape_checks.accuracy_by_size({"a": same}) == {"a": 0.5}
    # Half of one class lies above all of the other: right for that half and for all of the other.
    assert shape_checks.accuracy_by_size({"a": same, "b": same + 50})["a"] == pytest.approx(0.75)
    # Of middling size: no threshold tells it, but an interval does.
    assert shape_checks.accuracy_by_size({"a": same, "middle": same + 200, "b": same + 400})["middle"] == 1.0


def test_the_sizes_of_many_classes_are_compared_in_one_pass(monkeypatch):
    """Each class is looked up once among the sizes of all, and not once for each pair or each size."""
    looked: list[int] = []
    find = np.searchsorted
    monkeypatch.setattr(np, "searchsorted", lambda *a, **k: looked.append(np.size(a[1])) or find(*a, **k))
    shape_checks.accuracy_by_size({str(k): np.arange(5.0) + k for k in range(40)})
    assert looked == [40 * 5] * 40


def test_figures_and_warnings(boxes: Path):
    said: list[str] = []
    pack = shapes.load_pack(str(boxes), None, blender.Blender(), on_step=said.append)
    assert [Path(what.removeprefix("reading ")).stem for what in said] == ["box", "open", "box"]
    rows = shape_checks.measure_pack(
        pack, blender.Blender(), turns=16, seed=0, on_turn=lambda: said.append("turned")
    )
    assert said[3:] == 3 * 16 * ["turned"]
    large, holed, small = rows
    assert [row.shape for row in rows] == ["box", "open", "small"]
    assert (large.triangles, holed.triangles) == (12, 11)
    # An .obj has Y up. int16 coordinates: 1e-4 of the extent.
    np.testing.assert_allclose(large.sides, [1.4, 4.2, 2.8], atol=1e-3)
    np.testing.assert_allclose(small.sides, [0.7, 2.1, 1.4], atol=1e-3)
    assert (large.open_edges, large.tangled_edges, large.parts) == (0, 0, 1)
    assert large.manifold
    assert holed.open_edges == 3
    assert large.offset == pytest.approx(0, abs=1e-4)
    assert holed.offset > 0.01
    # A quarter of the area in parallel projection; in this perspective the nearer corners add a few percent.
    assert 3.6 < large.pixels / small.pixels < 4.6
    assert small.accuracy_by_size == 1.0
    warnings = shape_checks.warnings(rows)
    assert warnings[0].startswith("open: 3 open and 0 tangled edges")
    assert [text.split(":")[0] for text in warnings] == ["open", "small"]
    done = identbox("shapes", "check", boxes, "--turns", 16)
    assert done.returncode == 0, done.stderr
    assert "warning: small: 100% right by the number of covered pixels alone" in done.stdout
    assert "1.40 x 4.20 x 2.80" in done.stdout
