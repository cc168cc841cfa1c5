"""The renderer's mesh arithmetic, which needs numpy alone."""

import numpy as np
import pytest

import meshes
import placing
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


def bent() -> tuple[np.ndarray, np.ndarray]:
    """Two boxes side by side of different heights, as one surface: no turn or mirror image of it is itself."""
    low, high = CUBE[0] * [2, 1, 1], CUBE[0] * [1, 1, 3] + [0.5, 0.25, 1]
    return np.concatenate([low, high]), np.concatenate([CUBE[1], CUBE[1] + 8])


def bowl() -> tuple[np.ndarray, np.ndarray]:
    """A surface that does not close."""
    v, u = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(0.1, 2.2, 12))
    points = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), -np.cos(u)], -1).reshape(-1, 3)
    place = np.arange(12 * 24).reshape(12, 24)
    a, b, c, d = place[:-1], np.roll(place, -1, 1)[:-1], np.roll(place, -1, 1)[1:], place[1:]
    return points, np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)


def corners_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The middles of the faces in an order of their own: a mesh without the numbers of its vertices and faces."""
    middles = vertices[faces].mean(axis=1)
    return middles[np.lexsort(middles.round(6).T)]


ANOTHER_FILE = {
    "turned inside out": lambda v, f: (v, f[:, ::-1]),
    "wound both ways by turns": lambda v, f: (v, np.where(np.arange(len(f))[:, None] % 2, f, f[:, ::-1])),
    "every face twice": lambda v, f: (v, np.concatenate([f, f])),
    "every face from both sides": lambda v, f: (v, np.concatenate([f, f[:, ::-1]])),
    "a vertex for each corner": lambda v, f: (v[f].reshape(-1, 3), np.arange(f.size).reshape(-1, 3)),
    "far away": lambda v, f: (v + [431_000.0, 5_411_000.0, 300.0], f),
    "in micrometres": lambda v, f: (v * 1e-6, f),
    "in light years": lambda v, f: (v * 1e16, f),
    "with vertices of no face": lambda v, f: (np.concatenate([v, [[1e9, 0, 0]]]), f),
}


@pytest.mark.parametrize("mesh", [bent, bowl])
@pytest.mark.parametrize("how", ANOTHER_FILE)
def test_a_mesh_is_placed_alike_however_its_file_says_it(mesh, how):
    vertices, faces = mesh()
    wanted, kept, kind = meshes.place(vertices, faces)
    found, again, other = meshes.place(*ANOTHER_FILE[how](vertices, faces))
    assert (kind, other) == (("volume", "volume") if mesh is bent else ("surface", "surface"))
    np.testing.assert_allclose(corners_of(found, again), corners_of(wanted, kept), atol=1e-6)
    if mesh is bent:
        assert meshes.measure(found, again)["volume"] == pytest.approx(meshes.measure(wanted, kept)["volume"])


@pytest.mark.parametrize("mesh", [bent, bowl])
def test_a_mirrored_mesh_is_placed_as_the_mirror_image(mesh):
    vertices, faces = mesh()
    wanted = meshes.place(vertices, faces)
    found = meshes.place(vertices * [-1, 1, 1], faces)
    mirrored = corners_of(wanted[0] * [-1, 1, 1], wanted[1])
    np.testing.assert_allclose(corners_of(found[0], found[1]), mirrored, atol=1e-9)


def test_a_part_that_nobody_sees_moves_no_mesh():
    vertices, faces = bent()
    inner = CUBE[0] * 0.2 + [0.1, 0.1, 0.1]
    more = np.concatenate([vertices, inner]), np.concatenate([faces, CUBE[1] + 16])
    wanted, found = meshes.place(vertices, faces), meshes.place(*more)
    np.testing.assert_allclose(found[0].min(0), wanted[0].min(0), atol=1e-12)
    np.testing.assert_allclose(found[0].max(0), wanted[0].max(0), atol=1e-12)


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


def test_what_pairs_connect_has_one_name_and_faces_beside_each_other_are_wound_alike():
    """Against a walk from thing to thing; and a long chain in any order takes a few rounds, not one for each link."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(1, 30))
        pairs, side = rng.integers(0, n, (int(rng.integers(0, 40)), 2)), rng.random(n) < 0.5
        lowest = np.arange(n)
        for _ in range(n):
            for a, b in pairs:
                lowest[[a, b]] = min(lowest[a], lowest[b])
        found, turned = placing._joined(n, pairs, side[pairs[:, 0]] ^ side[pairs[:, 1]])
        assert np.array_equal(found, lowest)
        assert np.array_equal(turned, side ^ side[lowest])
    order = rng.permutation(100_000)
    found, turned = placing._joined(
        len(order), np.stack([order[:-1], order[1:]], axis=1), np.ones(99_999, bool)
    )
    assert not found.any()
    place = np.argsort(order)
    assert np.array_equal(turned, (place - place[0]) % 2 == 1)


def test_the_winding_number_says_how_often_a_surface_goes_round_a_point():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    points = np.array([[0.1, 0.1, 0.1], [2, 0, 0], [-0.1, 0.1, 0.1], [0.2, 0.3, 0.2]])
    twice = np.concatenate([faces, faces])
    np.testing.assert_allclose(placing._winding_numbers(points, corners, faces), [1, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(placing._winding_numbers(points, corners, twice), [2, 0, 0, 2], atol=1e-12)
    assert placing._winding_numbers(points[:0], corners, faces).shape == (0,)
