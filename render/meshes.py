# SPDX-License-Identifier: GPL-3.0-or-later
"""Triangle meshes as two numpy arrays: measured, normalised, written and read.

A mesh is ``vertices`` (n, 3) float64 and ``faces`` (m, 3) int64, right-handed, Z up, faces
counter-clockwise seen from outside. Needs numpy alone, so it runs with and without Blender.
"""

from pathlib import Path

import numpy as np

import placing

MERGE = 1e-6  # vertices closer than this fraction of the extent are one
HASH = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # large odd numbers without a pattern
QUANTA = 32767  # vertices are stored as int16; a step is 1/32767 of the largest coordinate


class MeshError(ValueError):
    """A mesh that cannot be shown; the message says what is wrong with it."""


def measure(vertices: np.ndarray, faces: np.ndarray) -> dict:
    """Figures that describe a mesh.

    Returns those of `measure_surface`, and ``volume`` (signed, about the middle of the box), ``centre`` and
    ``centre_of`` (see `placing.find_centre`).
    """
    seen, _ = used(vertices, faces)
    middle = (seen.min(axis=0) + seen.max(axis=0)) / 2
    wound, part = placing.wind_outward(vertices - middle, faces)
    centre, kind = placing.find_centre(vertices - middle, wound, part)
    return {
        **measure_surface(vertices, faces),
        "volume": placing.volume(vertices - middle, faces),
        "centre": (centre + middle).tolist(),
        "centre_of": kind,
    }


def measure_surface(vertices: np.ndarray, faces: np.ndarray) -> dict:
    """Figures of a surface, wherever it lies and whichever side of it is outside.

    Returns a dict with ``vertices`` and ``triangles`` (counts), ``extent`` (largest side of the bounding box),
    ``open_edges`` (edges of one face), ``tangled_edges`` (edges of three or more faces, or of two faces that disagree
    on its direction) and ``parts`` (connected components).
    """
    seen, _ = used(vertices, faces)
    open_edges, tangled_edges = _count_edges(faces)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    return {
        "vertices": len(vertices),
        "triangles": len(faces),
        "extent": float(np.ptp(seen, axis=0).max()),
        "open_edges": open_edges,
        "tangled_edges": tangled_edges,
        "parts": len(np.unique(placing.label(len(vertices), edges)[faces])),
    }


def _count_edges(faces: np.ndarray) -> tuple[int, int]:
    """The numbers of open and of tangled edges, as `measure` has them."""
    starts, uses, forward, _ = placing.sorted_edges(faces)
    two = starts[uses == 2]
    return int((uses == 1).sum()), int((uses > 2).sum() + (forward[two] == forward[two + 1]).sum())


def normalise(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh that `place` gives."""
    vertices, faces, _ = place(vertices, faces)
    return vertices, faces


def place(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """The mesh with its largest extent 1, its centre (see `placing.find_centre`) at the origin, its faces outward.

    Beside the mesh, it returns what the centre is that of: ``volume`` or ``surface``. Vertices at the same place become
    one. Vertices that no face uses, faces that are lines, and copies of a face are dropped. Raises MeshError where
    there is nothing to show: no faces, coordinates that are not finite, indices out of range, a flat mesh, or one
    that is mostly holes."""
    vertices, faces = np.asarray(vertices, float).reshape(-1, 3), np.asarray(faces, int).reshape(-1, 3)
    if not len(faces):
        raise MeshError(f"expected triangles, got {len(vertices)} vertices and no face")
    if not np.isfinite(vertices).all():
        bad = int((~np.isfinite(vertices).all(axis=1)).sum())
        raise MeshError(f"expected finite coordinates, got {bad} vertices of {len(vertices)} that are not")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError(
            f"expected vertex indices in 0..{len(vertices) - 1}, got {faces.min()}..{faces.max()}"
        )
    vertices, faces = used(vertices, faces)
    box = np.ptp(vertices, axis=0)
    if not 0 < box.max() < np.inf or box.min() < 1e-4 * box.max():
        raise MeshError(f"expected a solid, got one of size {box[0]:.3g} x {box[1]:.3g} x {box[2]:.3g}")
    # In the middle of its box and of extent 1, so that no later sum depends on where the origin of the file is.
    vertices = (vertices - vertices.min(axis=0) - box / 2) / box.max()
    vertices, faces = used(vertices, first_equal(vertices)[faces])
    faces = placing.drop_copies(_merged(vertices, faces))
    if not len(faces):
        raise MeshError("expected triangles, got faces without an area")
    vertices, faces = used(vertices, faces)
    faces, part = placing.wind_outward(vertices, faces)
    (open_edges, _), edges = _count_edges(faces), 1.5 * len(faces)
    if open_edges > 0.25 * edges:
        raise MeshError(
            f"expected a surface that closes (at most 25% of its edges open), "
            f"got {open_edges} open edges of about {edges:.0f}"
        )
    centre, kind = placing.find_centre(vertices, faces, part)
    return (vertices - centre) / np.ptp(vertices, axis=0).max(), faces, kind


def used(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh without the vertices that no face uses."""
    seen = np.zeros(len(vertices), bool)
    seen[faces] = True
    return vertices[seen], (np.cumsum(seen) - 1)[faces]


def first_equal(points: np.ndarray) -> np.ndarray:
    """For each point, (n, 3) in float32 or float64, the first of exactly its coordinates; of a few it is not found."""
    bits = np.ascontiguousarray(points).view(f"u{points.itemsize}")
    key = sum(axis.astype(np.uint64) * np.uint64(factor) for axis, factor in zip(bits.T, HASH, strict=True))
    order = np.argsort(key, kind="stable")
    del key
    new = np.ones(len(points), bool)
    new[1:] = (points[order[1:]] != points[order[:-1]]).any(axis=1)
    first = np.empty(len(points), np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first


def _merged(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces with one vertex for all vertices at the same place (formats split them), without those that are lines.

    Vertices count as at the same place where they are in one cell of a grid of MERGE, or of one moved by half a cell,
    so that no rounding parts two that are nearer than half of MERGE.
    """
    scaled = (vertices - vertices.min(axis=0)) / (MERGE * np.ptp(vertices, axis=0).max())
    pairs = []
    for shift in np.ndindex(2, 2, 2):
        x, y, z = np.floor(scaled + np.array(shift) / 2).astype(np.int64).T
        key = x + (y << 21) + (z << 42)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(np.diff(key[order]) == 0)
        pairs.append(np.stack([order[same], order[same + 1]], axis=1))
    faces = placing.label(len(vertices), np.concatenate(pairs))[faces]
    a, b, c = faces.T
    return faces[(a != b) & (b != c) & (a != c)]


def turn(vertices: np.ndarray, degrees: list[float]) -> np.ndarray:
    """The vertices turned by Euler angles as Blender means them: about X, then Y, then Z."""
    (a, b, c), (x, y, z) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, a, -x], [0, x, a]])
    about_y = np.array([[b, 0, y], [0, 1, 0], [-y, 0, b]])
    about_z = np.array([[c, -z, 0], [z, c, 0], [0, 0, 1]])
    return vertices @ (about_z @ about_y @ about_x).T


def save(path: Path | str, vertices: np.ndarray, faces: np.ndarray, **notes: str) -> None:
    """Write a mesh as a compact .npz: int16 vertices with one scale, faces in the smallest integer type, and notes."""
    scale = float(np.abs(vertices).max()) / QUANTA
    small = np.uint16 if len(vertices) <= 0xFFFF else np.uint32
    with Path(path).open("wb") as file:
        np.savez_compressed(
            file,
            vertices=np.round(vertices / scale).astype(np.int16),
            scale=np.float64(scale),
            faces=faces.astype(small),
            **{name: np.array(note) for name, note in notes.items()},
        )


def load(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Read what `save` wrote. No pickled object is ever loaded."""
    with np.load(path, allow_pickle=False) as file:
        return file["vertices"] * float(file["scale"]), file["faces"].astype(np.int64)
