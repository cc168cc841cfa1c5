# SPDX-License-Identifier: GPL-3.0-or-later
"""Triangle meshes as two numpy arrays: measured, normalised, written and read.

A mesh is ``vertices`` (n, 3) float64 and ``faces`` (m, 3) int64, right-handed, Z up, faces
counter-clockwise seen from outside. Needs numpy alone, so it runs with and without Blender.
"""

from pathlib import Path

import numpy as np

QUANTA = 32767  # vertices are stored as int16; a step is 1/32767 of the largest coordinate


class MeshError(ValueError):
    """A mesh that cannot be shown; the message says what is wrong with it."""


def measure(vertices: np.ndarray, faces: np.ndarray) -> dict:
    """Figures that describe a mesh.

    Returns a dict with ``vertices`` and ``triangles`` (counts), ``extent`` (largest side of the bounding
    box), ``volume`` (signed, by the divergence theorem), ``centre`` (volume-weighted, or that of the
    surface where the mesh encloses almost no volume), ``open_edges`` (edges of one face), ``tangled_edges``
    (edges of three or more faces, or of two faces that disagree on its direction) and ``parts`` (connected
    components).
    """
    corners = vertices[faces]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    sixth = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    volume = float(sixth.sum())
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    box = np.ptp(vertices[np.unique(faces)], axis=0)
    if abs(volume) > 1e-3 * float(box.max()) ** 3:
        centre = (sixth[:, None] * (a + b + c) / 4).sum(axis=0) / volume
    else:
        centre = (areas[:, None] * (a + b + c) / 3).sum(axis=0) / max(areas.sum(), 1e-300)

    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, edge_of, uses = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True, return_counts=True)
    forward = np.bincount(edge_of.ravel(), weights=directed[:, 0] < directed[:, 1])
    return {
        "vertices": len(vertices),
        "triangles": len(faces),
        "extent": float(box.max()),
        "volume": volume,
        "centre": centre.tolist(),
        "open_edges": int((uses == 1).sum()),
        "tangled_edges": int(((uses > 2) | ((uses == 2) & (forward != 1))).sum()),
        "parts": len(np.unique(label_parts(len(vertices), faces)[faces])),
    }


def label_parts(n: int, faces: np.ndarray) -> np.ndarray:
    """For each of n vertices the lowest vertex that faces connect it to, (n,)."""
    label = np.arange(n)
    while True:
        a, b, c = label[faces.T]
        lowest, new = np.minimum(np.minimum(a, b), c), label.copy()
        for k in range(3):
            np.minimum.at(new, faces[:, k], lowest)
        new = new[new]
        if np.array_equal(new, label):
            return label
        label = new


def normalise(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with its largest extent 1, its volume-weighted centre at the origin and its faces outward.

    Vertices that no face uses are dropped. Raises MeshError where there is nothing to show: no faces,
    coordinates that are not finite, indices out of range, a flat mesh, or one that is mostly holes.
    """
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
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)
    box = np.ptp(vertices, axis=0)
    if not box.max() > 0 or box.min() < 1e-4 * box.max():
        raise MeshError(f"expected a solid, got one of size {box[0]:.3g} x {box[1]:.3g} x {box[2]:.3g}")
    figures = measure(vertices, faces)
    edges = 1.5 * len(faces)
    if figures["open_edges"] > 0.25 * edges:
        raise MeshError(
            f"expected a surface that closes (at most 25% of its edges open), "
            f"got {figures['open_edges']} open edges of about {edges:.0f}"
        )
    if figures["volume"] < 0:
        faces = faces[:, ::-1]
    return (vertices - figures["centre"]) / figures["extent"], faces


def turn(vertices: np.ndarray, degrees: list[float]) -> np.ndarray:
    """The vertices turned by Euler angles as Blender means them: about X, then Y, then Z."""
    (a, b, c), (x, y, z) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, a, -x], [0, x, a]])
    about_y = np.array([[b, 0, y], [0, 1, 0], [-y, 0, b]])
    about_z = np.array([[c, -z, 0], [z, c, 0], [0, 0, 1]])
    return vertices @ (about_z @ about_y @ about_x).T


def save(path: Path | str, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a mesh as a compact .npz: int16 vertices with one scale, faces in the smallest integer type."""
    scale = float(np.abs(vertices).max()) / QUANTA
    small = np.uint16 if len(vertices) <= 0xFFFF else np.uint32
    with Path(path).open("wb") as file:
        np.savez_compressed(
            file,
            vertices=np.round(vertices / scale).astype(np.int16),
            scale=np.float64(scale),
            faces=faces.astype(small),
        )


def load(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Read what `save` wrote. No pickled object is ever loaded."""
    with np.load(path, allow_pickle=False) as file:
        return file["vertices"] * float(file["scale"]), file["faces"].astype(np.int64)
