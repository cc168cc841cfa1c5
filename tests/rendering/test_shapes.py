import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import meshes
from conftest import identbox
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.process import presets, tables
from identbox.process.presets import SHAPE_NAMES
from identbox.rendering import shapes
from identbox.rendering.blender import Blender

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
    return shapes.load_pack("builtin", (name,), Blender()).files[name]


def test_every_kind_of_file_gives_the_same_mesh_and_no_script_runs(tmp_path: Path):
    evil = tmp_path / "evil"
    render = str(Path(meshes.__file__).parent)
    script = EXPORT.format(render=render, source=str(builtin("hare")), folder=str(tmp_path), evil=str(evil))
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    evil.unlink(missing_ok=True)  # the exporting process itself may have run its own driver
    kinds = ("obj", "ply", "stl", "glb", "blend")
    pack = shapes.load_pack(str(tmp_path), kinds, Blender())
    hare = meshes.normalise(*meshes.load(builtin("hare")))  # the built-in ones have extents of their own
    wanted = meshes.measure(*hare)
    for kind in kinds:
        measured = meshes.measure(*meshes.load(pack.files[kind]))
        for key in ("triangles", "vertices", "open_edges", "parts"):
            assert measured[key] == wanted[key], (kind, key)
        # Coordinates are stored to 1/32767 of the extent, and exported as text to six digits.
        assert abs(measured["volume"] - wanted["volume"]) < 1e-4
        np.testing.assert_allclose(measured["centre"], 0, atol=1e-4)
        low = meshes.load(pack.files[kind])[0].min(0)
        np.testing.assert_allclose(low, hare[0].min(0), atol=2e-4)
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
def test_meshes_that_cannot_be_shown_are_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "teapot.obj").write_text(content)
    with pytest.raises(IdentboxError, match=message):
        shapes.load_pack(str(tmp_path), ("teapot",), Blender())


def test_a_binary_file_with_a_coordinate_that_is_not_a_number_is_refused(tmp_path: Path):
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
        shapes.load_pack(str(tmp_path), ("teapot",), Blender())


@pytest.mark.parametrize("kind", ["ply", "stl", "glb", "blend"])
def test_files_without_a_mesh_are_refused(tmp_path: Path, kind: str):
    (tmp_path / f"teapot.{kind}").write_text("this is no mesh")
    with pytest.raises(IdentboxError, match=rf"teapot.{kind}: expected a"):
        shapes.load_pack(str(tmp_path), ("teapot",), Blender())


def test_folders_that_do_not_fit_the_process_are_refused(tmp_path: Path):
    with pytest.raises(
        IdentboxError, match="^shapes: expected 'builtin', 'published' or a folder, got nowhere"
    ):
        shapes.load_pack("nowhere", SHAPE_NAMES, Blender())
    (tmp_path / "cow.obj").write_text(tetrahedron())
    with pytest.raises(IdentboxError, match=r"expected a mesh for the class teapot .*, got cow"):
        shapes.load_pack(str(tmp_path), SHAPE_NAMES, Blender())
    (tmp_path / "cow.ply").write_text("")
    with pytest.raises(IdentboxError, match=r"expected one file a class, got cow.obj and cow.ply"):
        shapes.load_pack(str(tmp_path), ("cow",), Blender())


def test_a_tetrahedron_is_normalised_and_kept_in_the_cache(tmp_path: Path, cache: Path):
    (tmp_path / "cow.obj").write_text(tetrahedron())
    pack = shapes.load_pack(str(tmp_path), ("cow",), Blender())
    assert pack.files["cow"].is_relative_to(cache)
    stamp = pack.files["cow"].stat().st_mtime_ns
    again = shapes.load_pack(str(tmp_path), ("cow",), Blender(executable="/nowhere"))  # no Blender is needed
    assert again == pack
    assert again.files["cow"].stat().st_mtime_ns == stamp
    (tmp_path / "cow.obj").write_text(tetrahedron(b="v 2 0 0"))
    assert shapes.load_pack(str(tmp_path), ("cow",), Blender()).sha256 != pack.sha256


def pack_of(folder: Path, toml: str, *names: str) -> Path:
    """A folder with a pack.toml and a tetrahedron of sides 1, 2 and 3 under each name."""
    folder.mkdir(exist_ok=True)
    (folder / "pack.toml").write_text(toml)
    for name in names:
        (folder / name).write_text(tetrahedron(c="v 0 2 0", d="v 0 0 3"))
    return folder


def sides(path: Path) -> np.ndarray:
    return np.ptp(meshes.load(path)[0], axis=0)


def test_a_pack_says_names_files_orientation_scale_licence_and_credit(tmp_path: Path):
    toml = """
    name = "spikes"
    licence = "CC-BY-4.0"
    credit = "the geometer"
    [shapes.up]
    file = "a.obj"
    [shapes.lying-down]
    file = "a.obj"
    orientation = [90, 0, 0]
    [shapes.small]
    file = "b.obj"
    scale = 0.5
    """
    name = str(pack_of(tmp_path, toml, "a.obj", "b.obj", "left-out.obj"))
    assert shapes.find_pack(name).classes == ("up", "lying-down", "small")
    pack = shapes.load_pack(name, None, Blender())
    assert pack.table() == {
        "name": "spikes",
        "sha256": pack.sha256,
        "licence": "CC-BY-4.0",
        "credit": "the geometer",
    }
    # An .obj has Y up, and comes with Z up. int16 coordinates: a step of 1 / 32767 of the largest at each end of a
    # side, so 1e-4 is three of them.
    np.testing.assert_allclose(sides(pack.files["up"]), [1 / 3, 1, 2 / 3], atol=1e-4)
    np.testing.assert_allclose(sides(pack.files["lying-down"]), [1 / 3, 2 / 3, 1], atol=1e-4)
    np.testing.assert_allclose(sides(pack.files["small"]), [1 / 6, 1 / 2, 1 / 3], atol=1e-4)
    for path in pack.files.values():
        np.testing.assert_allclose(meshes.measure(*meshes.load(path))["centre"], 0, atol=1e-4)


@pytest.mark.parametrize("change", ["scale = 0.5", "orientation = [90, 0, 0]"])
def test_orientation_and_scale_are_part_of_the_hash_and_of_the_kept_mesh(tmp_path: Path, change: str):
    toml = '[shapes.spike]\nfile = "a.obj"\n'
    plain = shapes.load_pack(str(pack_of(tmp_path, toml, "a.obj")), None, Blender())
    changed = shapes.load_pack(str(pack_of(tmp_path, toml + change, "a.obj")), None, Blender())
    assert changed.sha256 != plain.sha256
    assert changed.files != plain.files
    assert plain.files["spike"].exists()


def test_turning_is_that_of_blender():
    degrees = [20.0, -50.0, 110.0]
    script = (
        "import bpy, math, mathutils, os\n"
        f"angles = [math.radians(angle) for angle in {degrees}]\n"
        "print([list(row) for row in mathutils.Euler(angles, 'XYZ').to_matrix()], flush=True)\n"
        "os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    matrix = np.array(ast.literal_eval(done.stdout))
    np.testing.assert_allclose(meshes.turn(np.eye(3), degrees), matrix.T, atol=1e-6)  # Blender's are float32


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            '[shapes.a]\nfile = "../a.obj"',
            "shapes.a.file: expected the name of a file inside .*, got '../a.obj'",
        ),
        ('[shapes.a]\nfile = "/etc/a.obj"', "expected the name of a file inside .*, got '/etc/a.obj'"),
        ('[shapes.a]\nfile = "link.obj"', "expected the name of a file inside .*, got 'link.obj'"),
        ('[shapes.a]\nfile = ""', "expected the name of a file inside .*, got ''"),
        ('[shapes.a]\nfile = "."', "expected the name of a file inside .*, got '.'"),
        ('[shapes.a]\nfile = "b.obj"', "shapes.a.file: expected a file, got no b.obj in"),
        (
            '[shapes.a]\nfile = "pack.toml"',
            "expected a file of .obj, .ply, .stl, .glb, .blend, got pack.toml",
        ),
        (
            '[shapes.a]\nfile = "a.obj"\nsize = 1',
            "shapes.a: expected keys among file, orientation, scale; got size",
        ),
        (
            '[shapes.a]\nfile = "a.obj"\nscale = 0',
            r"shapes.a.scale: expected a number in \[0.05, 1.5\], got 0.0",
        ),
        ('[shapes.a]\nfile = "a.obj"\nscale = nan', "shapes.a.scale: expected a number, got nan"),
        (
            '[shapes.a]\nfile = "a.obj"\norientation = [1, 2]',
            r"orientation: expected 3 numbers, got \[1, 2\]",
        ),
        (
            '[shapes.a]\nfile = "a.obj"\norientation = [inf, 0, 0]',
            r"orientation\[0\]: expected a number, got inf",
        ),
        ('[shapes."two words"]\nfile = "a.obj"', "expected a word of the letters a to z and hyphens"),
        ('[shapes.Cow]\nfile = "a.obj"', "expected a word of the letters a to z and hyphens, got 'Cow'"),
        ("colour = 1\n[shapes]", "expected keys among name, licence, credit, shapes; got colour"),
        ("[shapes]", r"expected at least one table \[shapes.NAME\], got none"),
        ("shapes = 1", "pack.toml.shapes: expected"),
        ("shapes", "pack.toml: expected TOML, got"),
    ],
)
def test_mistakes_in_a_pack_are_named(tmp_path: Path, toml: str, message: str):
    (tmp_path / "outside.obj").write_text(tetrahedron())
    folder = pack_of(tmp_path / "pack", toml, "a.obj")
    (folder / "link.obj").symlink_to(tmp_path / "outside.obj")
    with pytest.raises(IdentboxError, match=message):
        shapes.find_pack(str(folder))


OTHERS = """
credit = "a geometer"
[shapes]
urchin = { file = "a.obj" }
spike = { file = "a.obj", orientation = [0, 90, 0] }
"""
SMALL = ("--n", 6, "--val", 0, "--test", 0, "--size", 16, "--samples", 1, "--workers", 1)


def test_names_count_and_text_follow_a_pack_of_other_classes(tmp_path: Path):
    pack, out = pack_of(tmp_path / "pack", OTHERS, "a.obj"), tmp_path / "out"
    done = identbox("render", *SMALL, "--shapes", pack, "--out", out)
    assert done.returncode == 0, done.stderr
    assert Recipe.read(out).shape_names == ("urchin", "spike")
    sentences = (out / "train" / "text" / "text_raw.txt").read_text()
    assert sentences.count("an urchin") + sentences.count("a spike") == 6
    assert "credit: a geometer" in (out / "README.md").read_text()
    done = identbox("check", out, "--rerender", 2, "--placement", 0, "--shapes", pack)
    assert done.returncode == 0, done.stdout + done.stderr
    (pack / "pack.toml").write_text(OTHERS.replace("90", "80"))
    done = identbox("check", out, "--rerender", 2, "--placement", 0, "--shapes", pack)
    assert "expected the pack pack of the recipe, got one of another content" in done.stderr


def test_a_process_file_that_names_its_shapes_keeps_them(tmp_path: Path):
    pack = pack_of(tmp_path / "pack", OTHERS, "a.obj")
    toml = """
    base = "multimodal3dident"
    [variables.object_shape]
    role = "content"
    distribution = "categorical"
    classes = ["spike", "cow"]
    """
    (tmp_path / "own.toml").write_text(toml)
    assert not tables.inherits(tmp_path / "own.toml", "object_shape")
    assert tables.inherits(tmp_path / "own.toml", "object_xpos")
    assert tables.inherits("multimodal3dident", "object_shape")
    arguments = ("render", *SMALL, "--shapes", pack, "--out", tmp_path / "out")
    done = identbox(*arguments, "--process", tmp_path / "own.toml")
    assert done.returncode == 1
    assert "expected the class cow of the process in the pack, got urchin, spike" in done.stderr
    (tmp_path / "own.toml").write_text(toml.replace(', "cow"', ""))
    done = identbox(*arguments, "--process", tmp_path / "own.toml")
    assert done.returncode == 0, done.stderr
    assert Recipe.read(tmp_path / "out").shape_names == ("spike",)


def test_the_published_classes_keep_their_numbers_in_whatever_order_a_pack_names_them():
    from identbox.data.recipe import shape_names, with_shapes

    process = presets.multimodal3dident()
    assert with_shapes(process, SHAPE_NAMES[::-1]) is process
    assert shape_names(with_shapes(process, ("urchin",))) == ("urchin",)


def test_the_built_in_pack_describes_itself():
    listing = shapes.find_pack("builtin")
    assert listing.classes == SHAPE_NAMES == shapes.find_pack("published").classes
    assert (listing.name, listing.licence) == ("builtin", "CC0-1.0")
    # Its meshes are rendered as they are, so that a scale or an orientation would go unheard.
    assert {(entry.orientation, entry.scale) for entry in listing.entries.values()} == {((0, 0, 0), 1)}


def test_the_built_in_pack_is_sound():
    pack = shapes.load_pack("builtin", SHAPE_NAMES, Blender())
    assert sum(path.stat().st_size for path in pack.files.values()) <= 2 * 2**20
    for name, path in pack.files.items():
        figures = meshes.measure(*meshes.load(path))
        assert 5_000 <= figures["triangles"] <= 20_000, name
        assert figures["open_edges"] == figures["tangled_edges"] == 0, name
        assert figures["parts"] == 1, name
        assert figures["volume"] > 0, name
        assert 0.9 <= figures["extent"] <= 1.15, name  # comparable, and of comparable area
        np.testing.assert_allclose(figures["centre"], 0, atol=1e-3)
