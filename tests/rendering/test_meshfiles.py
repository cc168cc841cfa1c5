"""Mesh files as their writers meant them: marks, line ends, continued lines, numbers, in every form."""

import json
import struct

import numpy as np
import pytest

import glbfiles
import meshfiles
import numerals
from meshes import MeshError

POINTS = np.array([[x, y, z] for x in (0, 3) for y in (0, 1) for z in (0, 1)], float)
FACES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
OBJ = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in POINTS) + "".join(
    f"f {' '.join(str(corner + 1) for corner in face)}\n" for face in FACES
)


def expect_box(mesh: meshfiles.Polygons, points: np.ndarray = POINTS) -> None:
    np.testing.assert_array_equal(mesh.vertices, points)
    assert mesh.sizes.tolist() == [4] * 6
    assert mesh.corners.reshape(6, 4).tolist() == FACES


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("v 3 0 0", "v 3 \\\n 0 0"),
        lambda text: text.replace("f 1 2 4 3", "f 1 2 \\\r\n4 3"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\nv", "\n  v"),
        lambda text: text.replace("v 3 0 0\n", "v 3 0 0 1.0 0.5 0.5 0.5 # a corner with a colour\n"),
        lambda text: text.replace("f 1 2 4 3", "f 1/1/1 2//2 4/3 3"),
        lambda text: text.replace("f 1 2 4 3", "f -8 -7 -5 -6"),
        lambda text: "mtllib /dev/zero\nusemtl none\no thing\n" + text + "l 1 2\nf 1 2\n",
        lambda text: text.removesuffix("\n"),
    ],
)
def test_an_obj_says_the_same_however_it_is_written(change):
    mesh = meshfiles.read_obj(change(OBJ).encode())
    expect_box(mesh, POINTS[:, [0, 2, 1]] * [1, -1, 1])  # Y is up in the file


def test_faces_count_back_from_the_vertices_before_them():
    """Two triangles: each follows its own vertices; the sizes of faces differ, and a line of two corners is none."""
    corner = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    mesh = meshfiles.read_obj(f"{corner}f -3 -2 -1\n{corner}f -3/1 -2/-1 -1\nf -1 -2\nf 1 2 -1 +4\n".encode())
    assert mesh.sizes.tolist() == [3, 3, 4]
    assert mesh.corners.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 5, 3]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (b"", []),
        (b" \n", []),
        (b"1 -2e3\t.5\n+4.", [1, -2000, 0.5, 4]),
        (b"0.1 1e-320 1e999", [0.1, 1e-320, np.inf]),  # rounded as Python rounds
        (b"1.2.3", None),
        (b"1-2", None),
        (b"1 e", None),
        (b"inf -Infinity", [np.inf, -np.inf]),
        (b"1 none", None),
        (b"0x1", None),
        (b"1_0", None),
        (b"1,5", None),
        ("１".encode(), None),
    ],
)
def test_numbers_in_a_text_are_plain(text, numbers):
    read = numerals.read(text)
    assert read is None if numbers is None else read.tolist() == numbers


def test_whole_numbers_in_a_text_fit_64_bits():
    assert numerals.read(b"7 -9223372036854775806", np.int64).tolist() == [7, -9223372036854775806]
    assert numerals.read(b"9" * 19, np.int64) is None
    assert numerals.read(b"-" + b"9" * 30, np.int64) is None
    assert numerals.read(b"1.5", np.int64) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("v 3 0 0", "v 3,5 0 0", r"line 5: expected finite coordinates, got 'v 3,5 0 0'"),
        ("v 3 0 0", "v nan 0 0", "line 5: expected finite coordinates"),
        ("v 3 0 0", "v 1e999 0 0", "line 5: expected finite coordinates"),
        ("v 3 0 0", "v 3 0", "line 5: expected finite coordinates"),
        ("v 3 0 0", "v 1_0 0 0", "line 5: expected finite coordinates"),
        ("f 1 2 4 3", "f 1 2 4 9", r"expected vertex indices in 1..8, got 1..9"),
        ("f 1 2 4 3", "f 0 2 4 3", r"expected vertex indices in 1..8, got 0..8"),
        ("f 1 2 4 3", f"f {'9' * 30} 2 4", "expected the number of a vertex"),
        ("f 1 2 4 3", "f 1.5 2 4", "expected the number of a vertex, got '1.5'"),
    ],
)
def test_an_obj_that_would_be_torn_is_refused(old, new, message):
    with pytest.raises(MeshError, match=message):
        meshfiles.read_obj(OBJ.replace(old, new).encode())


def ply(
    order: str, end: str = "\n", *, last: str | None = None, comment: str = "", kind: str = "float"
) -> bytes:
    """The box as a .ply; ``end`` ends the lines of the header, ``last`` the last of them."""
    form = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    lines = ["ply", f"format {form} 1.0", "element vertex 8", *(f"property {kind} {axis}" for axis in "xyz")]
    lines += [comment] if comment else []
    lines += ["element face 6", "property list uchar int vertex_indices"]
    head = "".join(line + end for line in lines) + "end_header" + (last or end)
    if order:
        code = {"float": "f", "double": "d"}[kind]
        body = b"".join(struct.pack(f"{order}3{code}", *point) for point in POINTS)
        body += b"".join(struct.pack(f"{order}B4i", 4, *face) for face in FACES)
    else:
        rows = [*POINTS.tolist(), *([4, *face] for face in FACES)]
        body = "".join(" ".join(map(str, row)) + end for row in rows).encode()
    return head.encode() + body


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("comment", ["", "comment between the properties", "obj_info a scan"])
def test_a_ply_says_the_same_in_any_form(order, end, comment):
    for kind in ("float", "double"):
        mesh = meshfiles.read_ply(ply(order, end, comment=comment, kind=kind))
        expect_box(mesh)
        assert mesh.single == (bool(order) and kind == "float")
    expect_box(meshfiles.read_ply(b"\xef\xbb\xbf" + ply(order, end)))


def test_a_ply_whose_header_alone_ends_otherwise_is_read():
    for order in "<>":
        expect_box(meshfiles.read_ply(ply(order, "\n", last="\r\n")))
        expect_box(meshfiles.read_ply(ply(order, "\r\n", last="\n")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "cut short"),
        (
            lambda content: content.replace(b"vertex 8", b"vertex 999999999"),
            "expected 999999999 rows of vertex",
        ),
        (lambda content: content.replace(b"float x", b"float w"), "expected vertices with x, y and z"),
        (lambda content: content.replace(b"property float y", b"property float y y"), "expected a property"),
        (lambda content: content.replace(b"1.0", b"1.0\nformat none 1.0"), "expected a format among"),
        (
            lambda content: content.replace(b"\0\0@@", b"\0\0\xc0\x7f"),
            "expected finite coordinates, got 4 vertices",
        ),
        (lambda content: b"x" + content, "without its header"),
    ],
)
def test_a_damaged_ply_is_refused(change, message):
    content = change(ply("<"))
    assert content != ply("<")
    with pytest.raises(MeshError, match=message):
        meshfiles.read_ply(content)


def stl(corners: np.ndarray, *, text: bool = False) -> bytes:
    if text:
        loops = "".join(
            "facet normal 0 0 0\nouter loop\n"
            + "".join(f"vertex {x!r} {y!r} {z!r}\n" for x, y, z in three)
            + "endloop\nendfacet\n"
            for three in corners.tolist()
        )
        return f"solid thing\n{loops}endsolid thing\n".encode()
    rows = np.zeros(len(corners), meshfiles.STL_ROW)
    rows["corners"] = corners
    return b"solid of a program that says so".ljust(80) + len(corners).to_bytes(4, "little") + rows.tobytes()


@pytest.mark.parametrize("text", [False, True])
def test_an_stl_has_its_triangles_and_no_coordinate_that_is_not_a_number(text):
    corners = POINTS[[face[:3] for face in FACES]]
    mesh = meshfiles.read_stl(stl(corners, text=text))
    np.testing.assert_array_equal(mesh.vertices[mesh.corners].reshape(-1, 3, 3), corners)
    assert len(mesh.vertices) == 8
    assert mesh.sizes.tolist() == [3] * 6
    assert mesh.single == (not text)
    for cut in (16, 30, 60, 400):
        with pytest.raises(MeshError, match=r"expected (a whole .stl file|an .stl of triangles)"):
            meshfiles.read_stl(stl(corners, text=text)[:-cut])
    corners[2, 1, 0] = np.nan
    with pytest.raises(MeshError, match="expected finite coordinates, got 1 vertices of 9"):
        meshfiles.read_stl(stl(corners, text=text))


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace("\n", "\r\n  "),
        lambda text: text.replace("normal 0 0 0", "normal -nan(ind) 1.#QNAN nan"),
        lambda text: text.replace("solid thing", "solid facet of a thing"),
        lambda text: text.replace("facet normal", "endsolid one\nsolid two\nfacet normal", 3).replace(
            "endsolid one", "", 1
        ),
        lambda text: " ".join(text.split()),
    ],
)
def test_an_stl_of_text_says_the_same_however_it_is_written(change, monkeypatch):
    corners = POINTS[[face[:3] for face in FACES]]
    monkeypatch.setattr(meshfiles, "STL_PART", 100)
    mesh = meshfiles.read_stl(change(stl(corners, text=True).decode()).encode())
    np.testing.assert_array_equal(mesh.vertices[mesh.corners].reshape(-1, 3, 3), corners)


@pytest.mark.parametrize(
    ("old", "new"), [("vertex", "vertices"), ("0.0", "0,0"), ("0.0", "0.0 0.0"), ("endloop", "")]
)
def test_an_stl_of_text_that_would_be_torn_is_refused(old, new):
    text = stl(POINTS[[face[:3] for face in FACES]], text=True).decode()
    with pytest.raises(MeshError, match=r"expected (an .stl of triangles|numbers in an .stl)"):
        meshfiles.read_stl(text.replace(old, new, 1).encode())


def test_a_ply_may_have_lists_of_other_lengths_and_other_columns():
    """Triangles and quadrilaterals, with a colour and a second list in each row, in text and in binary."""
    head = (
        "element vertex 4\nproperty double x\nproperty uchar red\nproperty double y\nproperty double z\n"
        "element face 2\n"
        "property uchar red\nproperty list uchar int vertex_indices\nproperty list ushort float other\nend_header\n"
    )
    points = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 2)]
    text = "".join(f"{x} 7 {y} {z}\n" for x, y, z in points) + "9 3 0 1 2 1 0.5\n8 4 0 1 2 3 0\n"
    binary = b"".join(struct.pack("<dBdd", x, 7, y, z) for x, y, z in points)
    binary += struct.pack("<BB3iHf", 9, 3, 0, 1, 2, 1, 0.5) + struct.pack("<BB4iH", 8, 4, 0, 1, 2, 3, 0)
    for form, body in (("ascii", text.encode()), ("binary_little_endian", binary)):
        mesh = meshfiles.read_ply(f"ply\nformat {form} 1.0\n{head}".encode() + body)
        assert mesh.vertices.tolist() == [list(map(float, point)) for point in points]
        assert mesh.sizes.tolist() == [3, 4]
        assert mesh.corners.tolist() == [0, 1, 2, 0, 1, 2, 3]
        with pytest.raises(MeshError, match="cut short"):
            meshfiles.read_ply(f"ply\nformat {form} 1.0\n{head}".encode() + body[:-2])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3 0 1 2", "-1 0 1 2", "the length of a list"),
        ("3 0 1 2", "3.5 0 1 2", "the length of a list"),
        ("3 0 1 2", "nan 0 1 2", "the length of a list"),
        ("3 0 1 2", "999999999999 0 1 2", "the length of a list"),
        ("3 0 1 2", "3 0 1.5 2", "whole numbers"),
        ("3 0 1 2", "3 0 1e300 2", "whole numbers"),
        ("0 1 0", "0 1 a", "expected numbers"),
        ("list uchar", "list float", "expected a property"),
        ("property float x", "property list uchar float x", "vertices with x, y and z"),
    ],
)
def test_a_ply_of_text_that_would_be_torn_is_refused(old, new, message):
    text = (
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    )
    assert meshfiles.read_ply(text.encode()).corners.tolist() == [0, 1, 2]
    with pytest.raises(MeshError, match=message):
        meshfiles.read_ply(text.replace(old, new).encode())


def glb(table: dict, binary: bytes) -> bytes:
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<I", len(text)) + b"JSON" + text + struct.pack("<I", len(binary)) + b"BIN\0" + binary
    )
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def scene(points: np.ndarray = POINTS) -> tuple[dict, bytes]:
    binary = points.astype("<f4").tobytes()
    table = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}, {"name": "draft", "nodes": [1]}],
        "nodes": [{"mesh": 0}, {"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": len(binary)}],
        "buffers": [{"byteLength": len(binary)}],
    }
    return table, binary


def test_of_a_glb_the_active_scene_alone_is_kept_and_the_others_are_named():
    content, left_out = glbfiles.active_scene(glb(*scene()))
    assert left_out == ["the scene draft"]
    table, binary = glbfiles._chunks(content)
    assert (table["nodes"], binary) == ([{"mesh": 0}, {}], scene()[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table["buffers"][0].update(uri="../secret.bin"), "got one that reads '../secret.bin'"),
        (lambda table: table["buffers"].append({"byteLength": 4}), "got one that reads 2 buffers"),
        (lambda table: table["accessors"][0].update(count=9), "expected 9 items in the file"),
        (lambda table: table["accessors"][0].update(count=10**12), "expected a number of items"),
        (lambda table: table["accessors"][0].update(bufferView=-5), "malformed"),
        (lambda table: table["nodes"][0].update(translation=[0, 1e999, 0]), "expected finite numbers"),
        (lambda table: table["nodes"][0].update(children=[0]), "expected one parent, got two or a circle"),
        (lambda table: table.update(scene="x"), "malformed"),
        (lambda table: table.update(nodes=3), "malformed"),
    ],
)
def test_a_glb_that_reads_other_files_or_is_malformed_is_refused(change, message):
    table, binary = scene()
    change(table)
    with pytest.raises(MeshError, match=message):
        glbfiles.active_scene(glb(table, binary))


def test_a_glb_with_a_coordinate_that_is_not_a_number_is_refused():
    points = POINTS.copy()
    points[3, 1] = np.inf
    with pytest.raises(MeshError, match="expected finite coordinates, got 1 of 8 that are not"):
        glbfiles.active_scene(glb(*scene(points)))
