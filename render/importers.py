# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files of any kind, as vertices and triangles in Blender's axes (Z up).

Of .blend and .glb one gets what Blender renders of the active scene. Nothing but the file itself is read, and no
script, driver or handler of a file is run.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import blendfiles
import bpy
import numpy as np

import glbfiles
import meshfiles
from meshes import MeshError

LARGEST = 256 << 20  # bytes of a file
MOST_TRIANGLES = 360_000  # each takes up to 12 microseconds, and up to 1 kB in a .glb
COARSEST = 1e-4  # of the extent: the most that float32 may round the coordinates of a .glb or .blend
HIDDEN_KINDS = (
    "MESH",
    "CURVE",
    "SURFACE",
    "FONT",
    "META",
)  # of objects, that would have a surface if they were shown


@dataclass
class Imported:
    """A mesh, (n, 3) float64 and (m, 3) int64, and in words what of its file is not in it."""

    vertices: np.ndarray
    faces: np.ndarray
    left_out: list[str] = field(default_factory=list)


def read(path: Path) -> Imported:
    """All that a file shows, as one mesh. Raises MeshError where it is not readable or shows no surface."""
    kind = path.suffix.lower()
    if kind not in READERS:
        raise MeshError(f"expected one of {', '.join(READERS)}, got {kind or 'no ending'}")
    if path.stat().st_size > LARGEST:
        raise MeshError(
            f"expected a file of at most {LARGEST >> 20} MiB, got {path.stat().st_size >> 20} MiB"
        )
    try:
        mesh = READERS[kind](path)
    except (MeshError, MemoryError):
        raise
    except Exception as error:
        raise MeshError(f"expected a {kind} file, got one that Blender cannot read ({error})") from error
    if not len(mesh.faces):
        also = f" ({'; '.join(mesh.left_out)})" if mesh.left_out else ""
        raise MeshError(f"expected a mesh, got a file with no faces{also}")
    return mesh


def _read_polygons(path: Path) -> Imported:
    polygons = meshfiles.READERS[path.suffix.lower()](path.read_bytes())
    _expect_few(int(np.maximum(polygons.sizes - 2, 0).sum()))
    if polygons.single:
        _expect_precise(polygons.vertices)
    return Imported(polygons.vertices, _triangles(polygons), polygons.left_out)


def _expect_few(triangles: int) -> None:
    if triangles > MOST_TRIANGLES:
        raise MeshError(f"expected at most {MOST_TRIANGLES} triangles, got {triangles}")


def _triangles(polygons: meshfiles.Polygons) -> np.ndarray:
    """The polygons as Blender divides them. It is given them in the middle of its numbers, which are float32."""
    corners, sizes = polygons.corners, polygons.sizes
    if not len(sizes) or (sizes == 3).all():
        return corners.reshape(-1, 3)
    points = polygons.vertices - polygons.vertices.min(axis=0)
    points /= max(float(points.max()), 1e-300)
    mesh = bpy.data.meshes.new("polygons")
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", (points - 0.5).astype(np.float32).ravel())
    mesh.loops.add(len(corners))
    mesh.loops.foreach_set("vertex_index", corners.astype(np.int32))
    mesh.polygons.add(len(sizes))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(sizes) - sizes).astype(np.int32))
    mesh.update(calc_edges=True)
    faces = _faces_of(mesh)
    bpy.data.meshes.remove(mesh)
    return faces


def _faces_of(mesh: bpy.types.Mesh) -> np.ndarray:
    mesh.calc_loop_triangles()
    faces = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", faces)
    return faces.reshape(-1, 3).astype(np.int64)


def _empty_blender() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False


def _read_glb(path: Path) -> Imported:
    _empty_blender()
    content, left_out = glbfiles.active_scene(path.read_bytes())
    with tempfile.TemporaryDirectory() as scratch:
        alone = Path(scratch) / "scene.glb"
        alone.write_bytes(content)
        options = {"disable_bone_shape": True}
        known = bpy.ops.import_scene.gltf.get_rna_type().properties.keys()
        bpy.ops.import_scene.gltf(filepath=str(alone), **{k: v for k, v in options.items() if k in known})
    return _rendered(bpy.context.scene, left_out)


def _read_blend(path: Path) -> Imported:
    _empty_blender()
    known = blendfiles.look(path)
    if known.links:
        raise MeshError("expected a .blend that holds all that it shows, got one that links to other files")
    if not known.scenes:
        raise MeshError("expected a .blend with a scene, got one without")
    # The scene is appended rather than the file opened: appending runs no code of the file.
    with bpy.data.libraries.load(str(path), link=False) as (_, target):
        target.scenes = known.scenes[:1]
    (scene,) = target.scenes
    if scene is None:
        raise MeshError(f"expected the scene {known.scenes[0]}, got a .blend that Blender finds none in")
    _expect_alone()
    others = [f"the scene {name}" for name in known.scenes[1:]]
    return _rendered(scene, others)


def _expect_alone() -> None:
    """Raise MeshError where what is loaded takes its shape from other files."""
    needed = [data.filepath for data in (*bpy.data.cache_files, *bpy.data.volumes)]
    needed += [
        font.filepath for font in bpy.data.fonts if font.filepath != "<builtin>" and not font.packed_file
    ]
    images = [texture.image for texture in bpy.data.textures if texture.type == "IMAGE"]
    for group in bpy.data.node_groups:
        for node in group.nodes if group.bl_idname == "GeometryNodeTree" else ():
            if node.bl_idname.startswith("GeometryNodeImport"):
                needed.append(f"what the node {node.name} imports")
            images += [
                getattr(node, "image", None),
                *(getattr(s, "default_value", None) for s in node.inputs),
            ]
    for image in images:
        if isinstance(image, bpy.types.Image) and image.source != "GENERATED" and not image.packed_file:
            needed.append(image.filepath)
    for thing in bpy.data.objects:
        caches = (getattr(modifier, "point_cache", None) for modifier in thing.modifiers)
        needed += [cache.filepath for cache in caches if cache is not None and cache.use_external]
    if needed:
        raise MeshError(f"expected a .blend that holds all that it shows, got one that reads {needed[0]!r}")


class _Taker(bpy.types.RenderEngine):
    """A render engine that keeps the scene as it is rendered: evaluated, with its instances, without what is hidden."""

    bl_idname, bl_label = "IDENTBOX_TAKER", "identbox"
    taken: "Taken | None" = None

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        if _Taker.taken is None:  # the first of the scene's view layers
            _Taker.taken = Taken()
            try:
                _take(depsgraph, _Taker.taken)
            except MeshError as error:
                _Taker.taken.problem = error


@dataclass
class Taken:
    """Vertices and faces of each thing that is rendered, the names of those things, and what cannot be taken."""

    vertices: list[np.ndarray] = field(default_factory=lambda: [np.zeros((0, 3))])
    faces: list[np.ndarray] = field(default_factory=lambda: [np.zeros((0, 3), np.int64)])
    names: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    problem: MeshError | None = None


def _rendered(scene: bpy.types.Scene, left_out: list[str]) -> Imported:
    """What Blender renders of a scene, as one mesh."""
    bpy.utils.register_class(_Taker)
    _Taker.taken = None
    try:
        if scene.camera is None or scene.camera.name not in scene.objects:
            scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
            scene.collection.objects.link(scene.camera)
        render = scene.render
        render.engine = _Taker.bl_idname
        render.resolution_x = render.resolution_y = 8
        render.resolution_percentage = 100
        render.use_compositing = render.use_sequencer = render.use_freestyle = False
        bpy.ops.render.render(scene=scene.name)
    finally:
        bpy.utils.unregister_class(_Taker)
    taken = _Taker.taken or Taken()
    if taken.problem is not None:
        raise taken.problem
    hidden = [
        f"{thing.name} (not rendered)"
        for thing in scene.objects
        if thing.type in HIDDEN_KINDS and thing.name not in taken.names
    ]
    vertices, faces = np.concatenate(taken.vertices), np.concatenate(taken.faces)
    _expect_precise(vertices)
    return Imported(vertices, faces, [*left_out, *hidden, *taken.others])


def _take(depsgraph: bpy.types.Depsgraph, taken: Taken) -> None:
    """Add what a scene shows, in the coordinates of the world."""
    count = triangles = 0
    for instance in depsgraph.object_instances:
        thing = instance.object
        if thing.is_holdout or not instance.show_self:
            continue
        if not isinstance(thing.data, bpy.types.Mesh):
            if thing.type in ("CURVES", "POINTCLOUD", "VOLUME", "GREASEPENCIL", "GPENCIL"):
                taken.others.append(f"{thing.name} ({thing.type.lower()})")
            continue
        mesh = thing.to_mesh()
        vertices = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", vertices)
        faces = _faces_of(mesh)
        thing.to_mesh_clear()
        triangles += len(faces)
        _expect_few(triangles)
        matrix = np.array(instance.matrix_world, float)
        # A mirrored part is turned inside out by its matrix.
        faces = faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else faces
        taken.vertices.append(vertices.reshape(-1, 3).astype(float) @ matrix[:3, :3].T + matrix[:3, 3])
        taken.faces.append(faces + count)
        taken.names.update(_origins(instance))
        count += len(vertices) // 3


def _origins(instance: bpy.types.DepsgraphObjectInstance) -> Iterator[str]:
    """The names of the objects that an instance comes from."""
    for thing in (instance.object, instance.parent, instance.instance_object):
        if thing is not None:
            yield thing.original.name


def _expect_precise(vertices: np.ndarray) -> None:
    """Raise MeshError where numbers of 32 bits round the coordinates by more than one would see."""
    if len(vertices) and np.isfinite(vertices).all():
        extent, farthest = float(np.ptp(vertices, axis=0).max()), float(np.abs(vertices).max())
        if np.spacing(np.float32(farthest)) > COARSEST * extent:
            raise MeshError(
                f"expected a mesh near the origin, got one of extent {extent:.3g} at a distance of {farthest:.3g}, "
                f"where coordinates of 32 bits are coarse; move it to the origin"
            )


READERS = {
    ".obj": _read_polygons,
    ".ply": _read_polygons,
    ".stl": _read_polygons,
    ".glb": _read_glb,
    ".blend": _read_blend,
}
