"""Figures of the meshes of a pack, and whether the size of its outline alone identifies a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw

from identbox import seeding
from identbox.data.scene import CAMERA, EXTENT
from identbox.rendering.blender import Blender, run_once
from identbox.rendering.mesh_cache import read_mesh
from identbox.rendering.shapes import Pack
from identbox.texts import visible

if TYPE_CHECKING:
    from rich.table import Table


ZOOM = 35 / 50  # lens over sensor
SIZE = 224  # pixels a side of the images whose covered pixels are counted
MOST_DRAWN = (
    1_000_000  # triangles of a mesh over all turns, some microseconds each; turns beyond are left out
)
FINER = 2  # masks are drawn so many times larger, since PIL widens a polygon by half a pixel
# Balanced accuracy from which a class counts as identified by its size: one mistake in ten. Natural outlines differ by
# more than chance (0.5, or 0.62 at the 5% level of Kuiper's test with 64 orientations), so with less every pack would
# get a warning.
IDENTIFIED_BY_SIZE = 0.9


@dataclass(frozen=True, kw_only=True)
class ShapeFigures:
    """The figures of one shape."""

    shape: str
    triangles: int
    sides: tuple[float, float, float]  # of the bounding box, metres
    open_edges: int
    tangled_edges: int
    parts: int
    offset: float  # of the middle of the bounding box from the origin, which is what is placed, in extents
    pixels: float  # covered on average, of an image of SIZE x SIZE
    accuracy_by_size: float  # balanced accuracy of telling the shape from the others by its pixels alone

    @property
    def manifold(self) -> bool:
        """Whether every edge has two faces that agree on its direction."""
        return not self.open_edges and not self.tangled_edges


def measure_pack(
    pack: Pack,
    blender: Blender,
    *,
    turns: int = 64,
    seed: int,
    on_turn: Callable[[], None] = lambda: None,
) -> list[ShapeFigures]:
    """The figures of each shape of a pack; covered pixels over ``turns`` orientations, the same for each shape.

    ``on_turn`` is called at each orientation of each shape.
    """
    reports = run_once(blender, {"task": "measure"}, [{"mesh": str(path)} for path in pack.files.values()])
    measured = [report for report in reports if "done" in report]
    rotations = orientations(turns, seed=seed)
    meshes = [read_mesh(path) for path in pack.files.values()]
    pixels = {
        shape: covered(vertices * EXTENT, faces, rotations, on_turn=on_turn)
        for shape, (vertices, faces) in zip(pack.files, meshes, strict=True)
    }
    accuracies = accuracy_by_size(pixels)
    return [
        ShapeFigures(
            shape=shape,
            triangles=figures["triangles"],
            sides=tuple((np.ptp(vertices, axis=0) * EXTENT).tolist()),
            open_edges=figures["open_edges"],
            tangled_edges=figures["tangled_edges"],
            parts=figures["parts"],
            offset=float(np.linalg.norm(vertices.min(0) + vertices.max(0))) / 2 / figures["extent"],
            pixels=float(pixels[shape].mean()),
            accuracy_by_size=accuracies[shape],
        )
        for shape, figures, (vertices, _) in zip(pack.files, measured, meshes, strict=True)
    ]


def orientations(n: int, *, seed: int) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices drawn as the dataset draws them: Euler XYZ, each angle uniform in ±90 degrees."""
    from scipy.spatial.transform import Rotation

    angles = (np.random.default_rng(seeding.derive(seed, "orientations")).random((n, 3)) - 0.5) * pi
    return Rotation.from_euler("xyz", angles).as_matrix()


def covered(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    rotations: Float[np.ndarray, "n 3 3"],
    *,
    on_turn: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, " k"]:
    """Pixels of an image of SIZE x SIZE that a mesh in metres at the origin covers, for each rotation.

    A mesh of very many triangles larger than a pixel is drawn for the first rotations alone, see MOST_DRAWN.

    Shadows, the ground and all colours are left out: only the size of the outline counts. Each vertex covers its pixel,
    so that a triangle smaller than a pixel need not be drawn. ``on_turn`` is called at each rotation.
    """
    side = SIZE * FINER
    forward = -np.array(CAMERA) / np.linalg.norm(CAMERA)
    right = np.array([0.0, 1.0, 0.0])
    axes = np.stack([right, np.cross(right, forward), forward], axis=1)
    faces, reach = _not_always_small(vertices, faces, side)
    counts: list[float] = []
    drawn_already = 0
    for rotation in rotations:
        on_turn()
        if drawn_already > MOST_DRAWN:
            continue
        x, y, depth = (vertices @ (rotation.T @ axes) - CAMERA @ axes).T
        scale = ZOOM * side / depth
        points = side / 2 + scale * x, side / 2 - scale * y
        drawn = Image.new("1", (side, side))
        draw = ImageDraw.Draw(drawn)
        large = _large(points, faces[:, reach >= depth[faces[0]]])
        drawn_already += len(large)
        for corners in large.tolist():
            draw.polygon(corners, fill=1)
        mask = np.array(drawn)
        columns, rows = np.floor(points).astype(int)
        inside = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
        mask[rows[inside], columns[inside]] = True
        counts.append(np.count_nonzero(mask) / FINER**2)
    return np.array(counts)


def _not_always_small(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], side: int
) -> tuple[Int[np.ndarray, "3 k"], Float[np.ndarray, " k"]]:
    """The triangles that may be larger than a pixel, and the depth of their first corner from which on none is.

    An edge of length L that begins at depth d is at most ZOOM side L / (d - L) pixels long, and 1 + r / d times as long
    at r beside the middle of the image. Depths are at least that of the nearest point of a sphere about the mesh.
    """
    a, b, c = (vertices[corner] for corner in faces.T)
    edges = np.sqrt(np.max([np.square(x - y).sum(axis=1) for x, y in ((a, b), (b, c), (c, a))], axis=0))
    farthest = float(np.linalg.norm(vertices, axis=1).max(initial=0.0))
    nearest = float(np.linalg.norm(CAMERA)) - farthest
    if nearest <= 0:
        return np.ascontiguousarray(faces.T), np.full(len(faces), np.inf)
    reach = edges + ZOOM * side * (1 + farthest / nearest) * edges
    large = reach >= nearest
    return np.ascontiguousarray(faces[large].T), reach[large]


def _large(
    points: tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v"]], faces: Int[np.ndarray, "3 k"]
) -> Float[np.ndarray, "n 6"]:
    """The corners of the triangles that reach over a pixel or more along an axis: x and y of each."""
    corners = [[axis[corner] for corner in faces] for axis in points]
    large = np.zeros(faces.shape[1], dtype=bool)
    for a, b, c in corners:
        large |= np.maximum(np.maximum(a, b), c) - np.minimum(np.minimum(a, b), c) >= 1
    return np.stack([axis[large] for both in zip(*corners, strict=True) for axis in both], axis=1)


def accuracy_by_size(pixels: dict[str, np.ndarray]) -> dict[str, float]:
    """How well the covered pixels alone tell each class from all others: the balanced accuracy of the best interval.

    (1 + V) / 2 with Kuiper's V = max(F - G) + max(G - F), where F and G are the distribution functions of the
    class and of the others, every other class counting the same. An interval rather than a threshold, so that a
    class of middling size among small and large ones is noticed too. 0.5 is chance, 1 certainty.
    """
    if len(pixels) < 2:
        return dict.fromkeys(pixels, 0.5)
    at = np.sort(np.concatenate(list(pixels.values())))
    below = {
        shape: np.searchsorted(np.sort(values), at, side="right") / len(values)
        for shape, values in pixels.items()
    }
    total = np.sum(list(below.values()), axis=0)
    accuracies = {}
    for shape, own in below.items():
        gap = own - (total - own) / (len(below) - 1)
        accuracies[shape] = float(1 + max(gap.max(), 0.0) + max(-gap.min(), 0.0)) / 2
    return accuracies


def warnings(rows: list[ShapeFigures]) -> list[str]:
    """A sentence for each shape that has holes or tangled edges, or that its size alone identifies."""
    lines = [
        f"{row.shape}: {row.open_edges} open and {row.tangled_edges} tangled edges"
        for row in rows
        if not row.manifold
    ]
    lines += [
        f"{row.shape}: {row.accuracy_by_size:.0%} right by the number of covered pixels alone (50% is chance, "
        f"from {IDENTIFIED_BY_SIZE:.0%} on a learner need not look at the shape); scale it in pack.toml"
        for row in rows
        if row.accuracy_by_size >= IDENTIFIED_BY_SIZE
    ]
    return lines


def table(rows: list[ShapeFigures]) -> Table:
    """The figures as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(
        caption=f"sides in metres; pixels of {SIZE} x {SIZE} on average; by size: predicted by pixels alone"
    )
    grid.add_column("class")
    columns = ("triangles", "sides", "open", "tangled", "parts", "offset", "pixels", "by size")
    for name in columns:
        grid.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        grid.add_row(
            Text(visible(row.shape)),
            str(row.triangles),
            " x ".join(f"{side:.2f}" for side in row.sides),
            str(row.open_edges),
            str(row.tangled_edges),
            str(row.parts),
            f"{row.offset:.1%}",
            f"{row.pixels:.0f}",
            f"{row.accuracy_by_size:.0%}",
        )
    return grid
