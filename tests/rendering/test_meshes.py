"""The renderer's mesh arithmetic, which needs numpy alone."""

import numpy as np
import pytest

import meshes
import png

CUBE = (
    np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float),
    np.array(
        [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
         [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    ),
)  # fmt: skip


def test_the_figures_of_a_cube():
    figures = meshes.measure(*CUBE)
    assert figures["volume"] == pytest.approx(1)
    assert figures["centre"] == pytest.approx([0.5, 0.5, 0.5])
    assert (figures["open_edges"], figures["tangled_edges"], figures["parts"]) == (0, 0, 1)


def test_normalise_centres_scales_and_turns_faces_outward():
    vertices, faces = meshes.normalise(CUBE[0] * [4, 2, 1] + 7, CUBE[1][:, ::-1])
    figures = meshes.measure(vertices, faces)
    assert figures["extent"] == pytest.approx(1)
    assert figures["centre"] == pytest.approx([0, 0, 0], abs=1e-12)
    assert figures["volume"] == pytest.approx(1 / 8)


def test_holes_tangles_and_parts_are_counted():
    vertices, faces = CUBE
    assert meshes.measure(vertices, faces[1:])["open_edges"] == 3
    flipped = faces.copy()
    flipped[0] = flipped[0, ::-1]
    assert meshes.measure(vertices, flipped)["tangled_edges"] == 3
    two = np.concatenate([vertices, vertices + 5]), np.concatenate([faces, faces + 8])
    assert meshes.measure(*two)["parts"] == 2


def test_a_saved_mesh_is_loaded_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    vertices, faces = rng.normal(size=(100, 3)), rng.integers(0, 100, (50, 3))
    meshes.save(tmp_path / "a.npz", vertices, faces)
    back = meshes.load(tmp_path / "a.npz")
    np.testing.assert_allclose(back[0], vertices, atol=np.abs(vertices).max() / meshes.QUANTA)
    np.testing.assert_array_equal(back[1], faces)
    first = (tmp_path / "a.npz").read_bytes()
    meshes.save(tmp_path / "a.npz", vertices, faces)
    assert (tmp_path / "a.npz").read_bytes() == first


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (CUBE[0], [], "expected triangles, got 8 vertices and no face"),
        (CUBE[0] * np.nan, CUBE[1], "expected finite coordinates, got 8 vertices of 8"),
        (CUBE[0], [[0, 1, 9]], r"expected vertex indices in 0..7, got 0..9"),
        (CUBE[0] * [1, 1, 0], CUBE[1], "expected a solid, got one of size 1 x 1 x 0"),
        (CUBE[0], CUBE[1][:4], "expected a surface that closes"),
    ],
)
def test_meshes_that_cannot_be_shown_are_refused(vertices, faces, message):
    with pytest.raises(meshes.MeshError, match=message):
        meshes.normalise(vertices, faces)


def test_png_strip_refuses_what_is_cut_short(tmp_path):
    from PIL import Image, PngImagePlugin

    notes = PngImagePlugin.PngInfo()
    notes.add_text("Date", "today")
    Image.new("RGB", (9, 7), (1, 2, 3)).save(tmp_path / "a.png", pnginfo=notes)
    content = (tmp_path / "a.png").read_bytes()
    stripped = png.strip(content)
    assert b"today" not in stripped
    (tmp_path / "b.png").write_bytes(stripped)
    assert list(Image.open(tmp_path / "b.png").getdata()) == [(1, 2, 3)] * 63
    for length in range(len(content)):
        with pytest.raises(ValueError, match="image: expected"):
            png.strip(content[:length])
    damaged = content.replace(b"today", b"todax")
    with pytest.raises(ValueError, match="breaks off"):
        png.strip(damaged)
