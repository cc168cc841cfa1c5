# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files of any kind that Blender reads, as vertices and triangles in Blender's axes (Z up)."""

from math import isfinite
from pathlib import Path

import bpy
import numpy as np

from meshes import MeshError

MERGE = 1e-6  # vertices closer than this fraction of the extent are one


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All meshes of a file as one, modifiers and transforms applied, (n, 3) vertices and (m, 3) triangles.

    Scripts, drivers and handlers of a .blend are never run. Raises MeshError where the file is not readable
    or has no mesh.
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


# Blender's importers turn a coordinate that is not a number into 0, so such coordinates are found before they run.


def _read_obj(path: Path) -> None:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if line.startswith("v "):
            try:
                good = all(map(isfinite, map(float, line.split()[1:4])))
            except ValueError:
                good = False
            if not good:
                raise MeshError(f"line {number}: expected finite coordinates, got {line!r}")
    bpy.ops.wm.obj_import(filepath=str(path))


PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip


def _read_ply(path: Path) -> None:
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = [line.split() for line in header.decode("latin1").splitlines()]
    elements = [k for k, line in enumerate(lines) if line[:1] == ["element"]] + [len(lines)]
    if len(elements) > 1 and lines[elements[0]][1] == "vertex":
        count, kind = int(lines[elements[0]][2]), next(line[1] for line in lines if line[:1] == ["format"])
        columns = lines[elements[0] + 1 : elements[1]]
        if kind == "ascii":
            rows = [line.split()[: len(columns)] for line in body.decode("latin1").splitlines()[:count]]
            finite = np.isfinite(np.array(rows, float)).all(axis=1)
        else:
            order = "<" if kind == "binary_little_endian" else ">"
            row = np.dtype([(name, order + PLY_TYPES[form]) for _, form, name in columns])
            vertices = np.frombuffer(body, row, count)
            finite = np.all([np.isfinite(vertices[axis]) for axis in "xyz"], axis=0)
        if not finite.all():
            raise MeshError(
                f"expected finite coordinates, got {int((~finite).sum())} vertices of {count} that are not"
            )
    bpy.ops.wm.ply_import(filepath=str(path))


def _read_blend(path: Path) -> None:
    # Objects are appended rather than the file opened: appending runs no code of the file.
    with bpy.data.libraries.load(str(path), link=False) as (source, target):
        target.objects = source.objects
    for thing in target.objects:
        if thing is not None and thing.type == "MESH":
            bpy.context.scene.collection.objects.link(thing)


READERS = {
    ".obj": _read_obj,
    ".ply": _read_ply,
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=str(path), use_mesh_validate=False),
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
    """One vertex for all vertices at the same place (formats split them), without faces that become lines."""
    if not np.isfinite(vertices).all():
        return vertices, faces  # normalise raises for them
    step = MERGE * max(float(np.ptp(vertices, axis=0).max()), 1e-30)
    _, first, place = np.unique(np.round(vertices / step), axis=0, return_index=True, return_inverse=True)
    faces = place.ravel()[faces]
    a, b, c = faces.T
    return vertices[first], faces[(a != b) & (b != c) & (a != c)]
