# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files of any kind that Blender reads, as vertices and triangles in Blender's axes (Z up)."""

from pathlib import Path

import bpy
import numpy as np

from meshes import MeshError

MERGE = 1e-6  # vertices closer than this fraction of the extent are one


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All meshes of a file as one, modifiers and transforms applied, (n, 3) vertices and (m, 3) triangles.

    Scripts, drivers and handlers of a .blend are never run. Raises MeshError where the file is not readable
    or holds no mesh.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    kind = path.suffix.lower()
    if kind not in READERS:
        raise MeshError(f"expected one of {', '.join(READERS)}, got {kind or 'no ending'}")
    try:
        READERS[kind](path)
    except MeshError:
        raise
    except Exception as error:
        raise MeshError(f"expected a {kind} file, got one that Blender cannot read ({error})") from error
    vertices, faces = _collect()
    if not len(faces):
        raise MeshError("expected a mesh, got a file with no faces")
    return _merge(vertices, faces)


def _read_blend(path: Path) -> None:
    # Objects are appended rather than the file opened: appending runs nothing that the file brings.
    with bpy.data.libraries.load(str(path), link=False) as (source, target):
        target.objects = source.objects
    for thing in target.objects:
        if thing is not None and thing.type == "MESH":
            bpy.context.scene.collection.objects.link(thing)


READERS = {
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=str(path)),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=str(path)),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=str(path)),
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=str(path)),
    ".blend": _read_blend,
}


def _collect() -> tuple[np.ndarray, np.ndarray]:
    graph = bpy.context.evaluated_depsgraph_get()
    all_vertices, all_faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), int)], 0
    for thing in bpy.context.scene.objects:
        if thing.type != "MESH":
            continue
        shown = thing.evaluated_get(graph)
        mesh = shown.to_mesh()
        vertices = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", vertices)
        mesh.calc_loop_triangles()
        faces = np.empty(3 * len(mesh.loop_triangles), np.int32)
        mesh.loop_triangles.foreach_get("vertices", faces)
        matrix = np.array(shown.matrix_world)
        all_vertices.append(vertices.reshape(-1, 3).astype(float) @ matrix[:3, :3].T + matrix[:3, 3])
        all_faces.append(faces.reshape(-1, 3).astype(int) + count)
        count += len(mesh.vertices)
        shown.to_mesh_clear()
    return np.concatenate(all_vertices), np.concatenate(all_faces)


def _merge(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One vertex for all at the same place (formats split them), without faces that become lines."""
    if not np.isfinite(vertices).all():
        return vertices, faces  # normalise names this fault
    step = MERGE * max(float(np.ptp(vertices, axis=0).max()), 1e-30)
    _, first, place = np.unique(np.round(vertices / step), axis=0, return_index=True, return_inverse=True)
    faces = place.ravel()[faces]
    a, b, c = faces.T
    return vertices[first], faces[(a != b) & (b != c) & (a != c)]
