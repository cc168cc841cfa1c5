"""Of a .blend or a .glb one gets what Blender renders of its active scene, and a word on what is left out."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import meshes
from identbox.errors import IdentboxError
from identbox.rendering import shapes
from identbox.rendering.blender import Blender

# Every scene shows a box of sides 1, 2 and 3 or what is said of it; whatever else is in the file would make it larger.
MAKE = """
import os, bpy
folder = {folder!r}

def box(name, sides, at=(0, 0, 0), scene=None):
    bpy.ops.mesh.primitive_cube_add(size=1, location=at)
    thing = bpy.context.object
    thing.name = name
    for vertex in thing.data.vertices:
        vertex.co = [x * side for x, side in zip(vertex.co, sides)]
    return thing

def begin():
    bpy.ops.wm.read_factory_settings(use_empty=True)

def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=f"{{folder}}/{{name}}.blend")

begin()  # half of a box is cut off by another, which is not rendered
body, cutter = box("body", (2, 2, 3)), box("cutter", (4, 4, 4), (2, 0, 0))
cut = body.modifiers.new("cut", "BOOLEAN")
cut.operation, cut.object, cut.solver = "DIFFERENCE", cutter, "EXACT"
cutter.hide_render = True
save("cutter")

begin()  # another scene
box("body", (1, 2, 3))
other = bpy.data.scenes.new("draft")
far = box("far", (9, 9, 9))
bpy.context.scene.collection.objects.unlink(far)
other.collection.objects.link(far)
save("scenes")

begin()  # a collection that only its instances show, one of them mirrored
parts = bpy.data.collections.new("parts")
half = box("half", (1, 0.9, 3), (0, 0.55, 0))
bpy.context.scene.collection.objects.unlink(half)
parts.objects.link(half)
for scale in (1, -1):
    instance = bpy.data.objects.new(f"instance{{scale}}", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", parts
    instance.scale = (1, scale, 1)
    bpy.context.scene.collection.objects.link(instance)
save("instances")

begin()  # a tube along a curve, 3 long and 1 thick, on a parent that makes it twice as thick in Y
curve = bpy.data.curves.new("tube", "CURVE")
curve.dimensions, curve.bevel_depth, curve.use_fill_caps, curve.bevel_resolution = "3D", 0.5, True, 8
line = curve.splines.new("POLY")
line.points.add(1)
line.points[0].co, line.points[1].co = (0, 0, -1.5, 1), (0, 0, 1.5, 1)
tube, parent = bpy.data.objects.new("tube", curve), bpy.data.objects.new("parent", None)
parent.scale, tube.parent = (1, 2, 1), parent
for thing in (parent, tube):
    bpy.context.scene.collection.objects.link(thing)
save("curve")

begin()  # a skeleton, whose bones a glTF importer draws
body = box("body", (1, 2, 3))
bpy.ops.object.armature_add()
bones = bpy.context.object
bones.data.bones[0].name = "bone"
body.vertex_groups.new(name="bone").add(range(8), 1.0, "ADD")
body.modifiers.new("skin", "ARMATURE").object = bones
body.parent = bones
bpy.ops.export_scene.gltf(filepath=folder + "/skin.glb")

begin()  # a box of another file
library = folder + "/library.blend"
box("body", (1, 2, 3))
bpy.ops.wm.save_as_mainfile(filepath=library)
begin()
with bpy.data.libraries.load(library, link=True) as (source, target):
    target.objects = source.objects
bpy.context.scene.collection.objects.link(target.objects[0])
save("linked")
os._exit(0)  # Blender's own shutdown can hang
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    subprocess.run(
        [sys.executable, "-c", MAKE.format(folder=str(folder))], check=True, capture_output=True, timeout=120
    )
    return folder


@pytest.mark.slow
def test_scenes_are_taken_as_blender_renders_them(scenes: Path):
    names = ("cutter", "scenes", "instances", "curve", "skin")
    pack = shapes.load_pack(str(scenes), names, Blender())
    for name, path in pack.files.items():
        vertices, faces = meshes.load(path)
        np.testing.assert_allclose(np.ptp(vertices, axis=0), [1 / 3, 2 / 3, 1], atol=2e-3, err_msg=name)
        figures = meshes.measure(vertices, faces)
        np.testing.assert_allclose(figures["centre"], 0, atol=1e-3, err_msg=name)
        volume = {"curve": np.pi * 1.5, "instances": 5.4}.get(name, 6.0)  # before it is made 1 long
        assert figures["volume"] == pytest.approx(volume / 27, rel=0.03 if name == "curve" else 1e-3), name
    assert set(pack.notes) == {
        "cutter: not in the mesh: cutter (not rendered)",
        "scenes: not in the mesh: the scene draft",
    }


@pytest.mark.slow
def test_a_blend_that_links_to_another_file_is_refused(scenes: Path):
    with pytest.raises(IdentboxError, match="linked.blend: expected a .blend that holds all that it shows"):
        shapes.load_pack(str(scenes), ("linked",), Blender())
