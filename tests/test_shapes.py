import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import meshes
from identbox import shapes
from identbox.blender import Blender
from identbox.errors import IdentboxError
from identbox.processes import SHAPES

EXPORT = """
import os, sys, bpy
sys.path.insert(0, {render!r})
import meshes
bpy.ops.wm.read_factory_settings(use_empty=True)
vertices, faces = meshes.load({source!r})
mesh = bpy.data.meshes.new("m")
mesh.from_pydata(vertices * 3 + [1, 2, 3], [], faces)
thing = bpy.data.objects.new("m", mesh)
bpy.context.scene.collection.objects.link(thing)
folder = {folder!r}
bpy.ops.wm.obj_export(filepath=folder + "/obj.obj", export_materials=False)
bpy.ops.wm.ply_export(filepath=folder + "/ply.ply")
bpy.ops.wm.stl_export(filepath=folder + "/stl.stl")
bpy.ops.export_scene.gltf(filepath=folder + "/glb.glb")
text = bpy.data.texts.new("evil.py")
text.write("open({evil!r}, 'w')")
text.use_module = True
driver = thing.driver_add("location", 0).driver
driver.expression = "open({evil!r}, 'w') and 0"
bpy.app.driver_namespace["x"] = 1
bpy.ops.wm.save_as_mainfile(filepath=folder + "/blend.blend")
os._exit(0)  # Blender's own shutdown can hang
"""


def builtin(name: str) -> Path:
    return shapes.load("builtin", (name,), Blender()).files[name]


def test_every_kind_of_file_gives_the_same_mesh_and_no_script_runs(tmp_path: Path):
    evil = tmp_path / "evil"
    render = str(Path(meshes.__file__).parent)
    script = EXPORT.format(render=render, source=str(builtin("hare")), folder=str(tmp_path), evil=str(evil))
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    evil.unlink(missing_ok=True)  # the exporting process itself may have run its own driver
    kinds = ("obj", "ply", "stl", "glb", "blend")
    pack = shapes.load(str(tmp_path), kinds, Blender())
    wanted = meshes.measure(*meshes.load(builtin("hare")))
    for kind in kinds:
        found = meshes.measure(*meshes.load(pack.files[kind]))
        for key in ("triangles", "vertices", "open_edges", "parts"):
            assert found[key] == wanted[key], (kind, key)
        # Coordinates are stored to 1/32767 of the extent, and exported as text to six digits.
        assert abs(found["volume"] - wanted["volume"]) < 1e-4
        np.testing.assert_allclose(found["centre"], 0, atol=1e-4)
        low = [meshes.load(path)[0].min(0) for path in (pack.files[kind], builtin("hare"))]
        np.testing.assert_allclose(low[0], low[1], atol=2e-4)
    assert not evil.exists(), "a script or driver of the .blend was run"


def tetrahedron(**changes: str) -> str:
    lines = {
        "a": "v 0 0 0",
        "b": "v 1 0 0",
        "c": "v 0 1 0",
        "d": "v 0 0 1",
        "f": "f 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3",
    }
    return "\n".join((lines | changes).values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"teapot.obj: expected a mesh, got a file with no faces"),
        (tetrahedron(f=""), "teapot.obj: expected a mesh, got a file with no faces"),
        (tetrahedron(a="v nan 0 0"), "teapot.obj: line 1: expected finite coordinates, got 'v nan 0 0'"),
        (tetrahedron(d="v 1 1 0"), "teapot.obj: expected a solid, got one of size"),
        (tetrahedron(f="f 1 3 2\nf 1 2 4"), "teapot.obj: expected a surface that closes"),
    ],
)
def test_meshes_that_cannot_be_shown(tmp_path: Path, content: str, message: str):
    (tmp_path / "teapot.obj").write_text(content)
    with pytest.raises(IdentboxError, match=message):
        shapes.load(str(tmp_path), ("teapot",), Blender())


def test_a_binary_file_with_a_coordinate_that_is_no_number(tmp_path: Path):
    header = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
        "property float z\nelement face 4\nproperty list uchar int vertex_indices\nend_header\n"
    )
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, np.nan, 0], [0, 0, 1]], "<f4")
    faces = b"".join(
        b"\3" + np.array(f, "<i4").tobytes() for f in ([0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2])
    )
    (tmp_path / "teapot.ply").write_bytes(header.encode() + corners.tobytes() + faces)
    with pytest.raises(IdentboxError, match=r"teapot.ply: expected finite coordinates, got 1 vertices of 4"):
        shapes.load(str(tmp_path), ("teapot",), Blender())


@pytest.mark.parametrize("kind", ["ply", "stl", "glb", "blend"])
def test_files_that_are_no_meshes(tmp_path: Path, kind: str):
    (tmp_path / f"teapot.{kind}").write_text("this is no mesh")
    with pytest.raises(IdentboxError, match=rf"teapot.{kind}: expected a"):
        shapes.load(str(tmp_path), ("teapot",), Blender())


def test_folders_that_do_not_fit(tmp_path: Path):
    with pytest.raises(IdentboxError, match="--shapes: expected 'builtin' or a folder, got nowhere"):
        shapes.load("nowhere", SHAPES, Blender())
    (tmp_path / "cow.obj").write_text(tetrahedron())
    with pytest.raises(IdentboxError, match=r"expected a mesh for the class teapot .*, got cow"):
        shapes.load(str(tmp_path), SHAPES, Blender())
    (tmp_path / "cow.ply").write_text("")
    with pytest.raises(IdentboxError, match=r"expected one file a class, got cow.obj and cow.ply"):
        shapes.load(str(tmp_path), ("cow",), Blender())


def test_a_tetrahedron_is_normalised_and_kept_in_the_cache(tmp_path: Path, cache: Path):
    (tmp_path / "cow.obj").write_text(tetrahedron())
    pack = shapes.load(str(tmp_path), ("cow",), Blender())
    assert pack.files["cow"].is_relative_to(cache)
    stamp = pack.files["cow"].stat().st_mtime_ns
    again = shapes.load(str(tmp_path), ("cow",), Blender(executable="/nowhere"))  # no Blender is needed
    assert again == pack
    assert again.files["cow"].stat().st_mtime_ns == stamp
    (tmp_path / "cow.obj").write_text(tetrahedron(b="v 2 0 0"))
    assert shapes.load(str(tmp_path), ("cow",), Blender()).sha256 != pack.sha256


def test_the_built_in_pack_is_sound():
    pack = shapes.load("builtin", SHAPES, Blender())
    assert sum(path.stat().st_size for path in pack.files.values()) <= 2 * 2**20
    for name, path in pack.files.items():
        figures = meshes.measure(*meshes.load(path))
        assert 5_000 <= figures["triangles"] <= 20_000, name
        assert figures["open_edges"] == figures["tangled_edges"] == 0, name
        assert figures["parts"] == 1, name
        assert figures["volume"] > 0, name
        # int16 coordinates: a step of at most 1 / 32767 at each end.
        assert abs(figures["extent"] - 1) < 1e-4, name
        np.testing.assert_allclose(figures["centre"], 0, atol=1e-3)
