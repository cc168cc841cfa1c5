# SPDX-License-Identifier: GPL-3.0-or-later
"""From a sampled distance field to a mesh: the surface where it crosses 0, thinned and evened out."""

from itertools import permutations

import bpy
import numpy as np

import placing


def surface_of(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the field crosses 0, in cells, by marching tetrahedra: closed whatever the field is.

    Each cube of the grid is cut into the six tetrahedra that lead from its lowest corner to its highest,
    so that neighbours agree on the diagonal of the face between them.
    """
    # A crossing too close to a corner would give triangles without area.
    field = np.where(np.abs(field) < 0.05, np.where(field < 0, -0.05, 0.05), field)
    inside = field < 0
    count = sum(
        inside[x : x + inside.shape[0] - 1, y : y + inside.shape[1] - 1, z : z + inside.shape[2] - 1].astype(int)
        for x in (0, 1) for y in (0, 1) for z in (0, 1)
    )  # fmt: skip
    cubes = np.argwhere((count > 0) & (count < 8))
    corners = []
    for order in permutations(np.eye(3, dtype=int)):
        steps = np.cumsum([np.zeros(3, int), *order], axis=0)
        corners.append(cubes[:, None] + steps)
    flat = np.ravel_multi_index(np.moveaxis(np.concatenate(corners), -1, 0), field.shape)
    values = field.ravel()
    # Inside corners first; then a tetrahedron is known by how many it has.
    flat = np.take_along_axis(flat, np.argsort(values[flat] > 0, axis=1, kind="stable"), axis=1)
    number = (values[flat] < 0).sum(axis=1)
    one, two, three = flat[number == 1], flat[number == 2], flat[number == 3]
    cuts = np.concatenate([
        one[:, [[0, 1], [0, 2], [0, 3]]],
        three[:, [[0, 3], [1, 3], [2, 3]]],
        two[:, [[0, 2], [0, 3], [1, 3]]],
        two[:, [[0, 2], [1, 3], [1, 2]]],
    ])  # fmt: skip
    edges, faces = np.unique(cuts.reshape(-1, 2), axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    ends = np.stack(np.unravel_index(edges, field.shape), axis=-1).astype(float)
    depth = values[edges]
    share = depth[:, 0] / (depth[:, 0] - depth[:, 1])
    vertices = ends[:, 0] + share[:, None] * (ends[:, 1] - ends[:, 0])
    a, b, c = vertices[faces].transpose(1, 0, 2)
    outward = (ends[faces, 1] - ends[faces, 0]).sum(axis=1)
    wrong = np.einsum("ij,ij->i", np.cross(b - a, c - a), outward) < 0
    faces[wrong] = faces[wrong, ::-1]
    return vertices, faces


def without_crumbs(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the small separate parts that strokes may enclose: those of less than a hundredth of the faces."""
    label = placing.label(len(vertices), np.concatenate([faces[:, :2], faces[:, 1:]]))
    share = np.bincount(label[faces[:, 0]], minlength=len(label)) / len(faces)
    if (share > 0.01).sum() > 1:
        raise ValueError(f"expected strokes that hang together, got {(share > 0.01).sum()} separate parts")
    used, kept = np.unique(faces[share[label[faces[:, 0]]] > 0.01], return_inverse=True)
    return vertices[used], kept.reshape(-1, 3)


def thin(vertices: np.ndarray, faces: np.ndarray, triangles: int) -> tuple[np.ndarray, np.ndarray]:
    """Collapse the edges that change the form least, until about so many triangles are left."""
    mesh = bpy.data.meshes.new("clay")
    mesh.from_pydata(vertices.tolist(), [], faces.tolist())
    thing = bpy.data.objects.new("clay", mesh)
    bpy.context.scene.collection.objects.link(thing)
    modifier = thing.modifiers.new("thin", "DECIMATE")
    modifier.ratio = min(1.0, triangles / len(faces))
    modifier.use_collapse_triangulate = True
    bpy.context.view_layer.update()
    result = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    vertices, faces = np.empty(3 * len(result.vertices)), np.empty(3 * len(result.polygons), np.int32)
    result.vertices.foreach_get("co", vertices)
    result.loops.foreach_get("vertex_index", faces)
    bpy.data.objects.remove(thing)
    bpy.data.meshes.remove(mesh)
    return vertices.reshape(-1, 3), faces.reshape(-1, 3).astype(np.int64)


def even_out(vertices: np.ndarray, faces: np.ndarray, field: np.ndarray, rounds: int) -> np.ndarray:
    """Draw each vertex towards its neighbours and then back onto the surface: same form, fairer triangles."""
    start, stop = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    degree = np.bincount(start, minlength=len(vertices))[:, None]
    for _ in range(rounds):
        mean = (
            np.stack([np.bincount(start, vertices[stop, k], len(vertices)) for k in range(3)], axis=1)
            / degree
        )
        vertices = vertices + 0.4 * (mean - vertices)
        for _ in range(2):
            value, slope = interpolated(field, vertices)
            move = -value[:, None] * slope / np.maximum((slope**2).sum(axis=1), 0.1)[:, None]
            vertices = vertices + np.clip(move, -0.7, 0.7)
    return vertices


def interpolated(field: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and slope of the field at points between its grid's, by trilinear interpolation."""
    base = np.clip(np.floor(points).astype(int), 0, np.array(field.shape) - 2)
    share = points - base
    value, slope = np.zeros(len(points)), np.zeros((len(points), 3))
    for corner in np.ndindex(2, 2, 2):
        at = field[tuple((base + corner).T)]
        weights = np.where(corner, share, 1 - share)
        value += at * weights.prod(axis=1)
        for k in range(3):
            others = weights[:, [j for j in range(3) if j != k]].prod(axis=1)
            slope[:, k] += at * others * (1 if corner[k] else -1)
    return value, slope
