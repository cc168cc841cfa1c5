# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files of the kinds obj, ply and stl, read in float64 and as strictly as they are written.

Blender's own importers read coordinates in float32, take some line breaks, marks and numbers for something else, and
open the files that a mesh names. These readers do none of that, and need numpy alone. Where a file says something that
they do not know, they raise MeshError rather than leave it out.
"""

import re
from dataclasses import dataclass, field

import numpy as np

import numerals
from meshes import MeshError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHOWN = 60  # characters of a line in a message


@dataclass
class Polygons:
    """A mesh of polygons: ``corners`` are the vertices of all faces in turn, ``sizes`` how many each face has."""

    vertices: np.ndarray  # (n, 3) float64
    corners: np.ndarray  # (sum of sizes,) int64
    sizes: np.ndarray  # (m,) int64
    left_out: list[str] = field(default_factory=list)  # what is in the file and not in the mesh, in words
    single: bool = False  # whether the file has coordinates of 32 bits, which are coarse far from the origin

    def check(self) -> "Polygons":
        """The mesh itself. Raises MeshError for coordinates that are not finite and for indices out of range."""
        finite = np.isfinite(self.vertices).all(axis=1)
        if not finite.all():
            raise MeshError(
                f"expected finite coordinates, got {int((~finite).sum())} vertices of {len(finite)} that are not"
            )
        if len(self.corners) and not 0 <= self.corners.min() <= self.corners.max() < len(self.vertices):
            raise MeshError(
                f"expected vertex indices in 0..{len(self.vertices) - 1}, "
                f"got {self.corners.min()}..{self.corners.max()}"
            )
        return self


def read_obj(content: bytes) -> Polygons:
    """The polygons of a Wavefront .obj, turned from Y up to Z up. Materials and other files are not looked at."""
    text = content.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = re.sub(rb"\\[ \t]*\n", b" ", text)  # a line that is continued
    if b"#" in text:
        text = re.sub(rb"#[^\n]*", b"", text)
    vertices = _obj_vertices(_obj_lines(text, b"v"), text)
    corners, sizes = _obj_faces(_obj_lines(text, b"f"), text)
    if len(corners) and not 1 <= corners.min() <= corners.max() <= len(vertices):
        raise MeshError(
            f"expected vertex indices in 1..{len(vertices)}, got {corners.min()}..{corners.max()}"
        )
    free = len(re.findall(rb"^[ \t]*(?:curv|curv2|surf)[ \t]", text, re.MULTILINE))
    return Polygons(
        vertices=vertices[:, [0, 2, 1]] * [1, -1, 1],
        corners=corners - 1,
        sizes=sizes,
        left_out=[f"{free} free-form curves or surfaces"] if free else [],
    ).check()


def _obj_lines(text: bytes, kind: bytes) -> bytes:
    """What follows ``kind`` in the lines that begin with it."""
    return b"\n".join(re.findall(rb"^[ \t]*%s[ \t]+([^\n]*)" % kind, text, re.MULTILINE))


def _obj_vertices(points: bytes, text: bytes) -> np.ndarray:
    """The coordinates of the lines of vertices, (n, 3); what follows the third number is a weight or a colour."""
    numbers = numerals.read(points)
    if numbers is not None and np.isfinite(numbers).all():
        counts = numerals.words_of_lines(points) if points else np.zeros(0, np.int64)
        if (counts >= 3).all():
            return numbers[(np.cumsum(counts) - counts)[:, None] + np.arange(3)]
    rows = []
    for number, line in enumerate(text.split(b"\n"), 1):  # continued lines count as one
        words = line.split()
        if words[:1] == [b"v"]:
            if not _are_coordinates(words[1:4]):
                raise MeshError(f"line {number}: expected finite coordinates, got {_shown(line)}")
            rows.append([*map(float, words[1:4])])
    return np.array(rows).reshape(-1, 3)


def _are_coordinates(words: list[bytes]) -> bool:
    try:
        return (
            len(words) == 3 and b"_" not in b"".join(words) and bool(np.isfinite([*map(float, words)]).all())
        )
    except ValueError:
        return False


def _obj_faces(faces: bytes, text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The vertices of the lines of faces in turn, counted from 1, and how many each face of three or more has."""
    if not faces:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if b"/" in faces:
        faces = re.sub(rb"/[^ \t\n]*", b"", faces)
    corners = numerals.read(faces, np.int64)
    if corners is None:
        wrong = next((word for word in faces.split() if not re.fullmatch(rb"[+-]?\d{1,18}", word)), b"")
        raise MeshError(f"expected the number of a vertex, got {_shown(wrong)}")
    sizes = numerals.words_of_lines(faces)
    if b"-" in faces:  # counted back from the last vertex before the face
        kinds = np.array(re.findall(rb"^[ \t]*([vf])[ \t]", text, re.MULTILINE))
        before = np.repeat(np.cumsum(kinds == b"v")[kinds == b"f"], sizes)
        corners = np.where(corners < 0, before + 1 + corners, corners)
    return corners[np.repeat(sizes > 2, sizes)], sizes[sizes > 2]


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class Element:
    """An element of the header of a .ply: its rows follow in the body."""

    name: str
    count: int
    # a name and a type for each property; a list has the type of its length too
    properties: list[tuple[str, str, str]] = field(default_factory=list)

    def column(self, *names: str) -> int | None:
        """The place of the first property of one of these names."""
        return next((k for k, (name, _, _) in enumerate(self.properties) if name in names), None)


def read_ply(content: bytes) -> Polygons:
    """The polygons of a .ply (Stanford polygon file), text or binary in either byte order."""
    order, elements, bodies = _ply_header(content.removeprefix(BYTE_ORDER_MARK))
    problem = MeshError("expected a .ply with vertices")
    for body in bodies:  # where the header's last line break can be read in two ways
        try:
            return _ply_mesh(order, elements, body)
        except MeshError as error:
            problem = error
    raise problem


def _ply_header(content: bytes) -> tuple[str, list[Element], list[bytes]]:
    """Byte order, elements, and what may be the body: a binary body may begin with the byte of a line feed."""
    end = re.search(rb"^[ \t]*end_header[ \t]*(\r\n|\n|\r)", content, re.MULTILINE)
    if end is None:
        end = re.search(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r)", content)
    if not content.startswith(b"ply") or end is None or end.start() > 1 << 20:
        raise MeshError("expected a .ply file, got one without its header")
    order, elements = None, []
    for line in re.split(r"\r\n|\n|\r", content[: end.start()].decode("latin1")):
        words = line.split()
        if words[:1] == ["format"] and len(words) == 3:
            order = PLY_ORDERS.get(words[1])
        elif words[:1] == ["element"] and len(words) == 3 and re.fullmatch(r"\d{1,12}", words[2]):
            elements.append(Element(words[1], int(words[2])))
        elif words[:1] == ["property"] and elements:
            elements[-1].properties.append(_ply_property(words))
        elif words and words[0] not in ("ply", "comment", "obj_info"):
            raise MeshError(f"expected the header of a .ply, got the line {_shown(line.encode())}")
    if order is None:
        raise MeshError(f"expected a format among {', '.join(PLY_ORDERS)}; got another")
    bodies = [content[end.end() :]]
    if end[1] == b"\r\n" and order:
        bodies.append(content[end.end() - 1 :])
    return order, elements, bodies


def _ply_property(words: list[str]) -> tuple[str, str, str]:
    types = words[2:4] if words[1:2] == ["list"] else ["", *words[1:2]]
    if len(words) != (5 if words[1:2] == ["list"] else 3) or not all(t in PLY_TYPES for t in types if t):
        raise MeshError(f"expected a property of a .ply, got {_shown(' '.join(words).encode())}")
    return words[-1], PLY_TYPES[types[1]], PLY_TYPES.get(types[0], "")


def _ply_mesh(order: str, elements: list[Element], body: bytes) -> Polygons:
    vertices, corners, sizes = np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64)
    body_or_words = body if order else body.split()
    at, single = 0, False
    for element in elements:
        if element.count > len(body):  # each row has a byte at least
            raise MeshError(
                f"expected {element.count} rows of {element.name}, got a file of {len(body)} bytes"
            )
        read = _ply_rows if not any(length for _, _, length in element.properties) else _ply_lists
        columns, at = read(order, element, body_or_words, at)
        if element.name == "vertex":
            places = [element.column(axis) for axis in "xyz"]
            if None in places:
                raise MeshError("expected vertices with x, y and z, got a .ply without")
            vertices = np.stack([np.asarray(columns[place], float) for place in places], axis=1)
            single = bool(order) and any(element.properties[place][1] == "f4" for place in places)
        elif element.name == "face":
            place = element.column("vertex_indices", "vertex_index")
            if place is None or not element.properties[place][2]:
                raise MeshError("expected faces with a list of vertex_indices, got a .ply without")
            corners, sizes = columns[place]
        elif element.name == "tristrips":
            raise MeshError("expected faces, got a .ply with strips of triangles; export it with faces")
    keep = np.repeat(sizes > 2, sizes)
    return Polygons(vertices, corners[keep], sizes[sizes > 2], single=single).check()


def _ply_rows(
    order: str, element: Element, body: bytes | list[bytes], at: int
) -> tuple[list[np.ndarray], int]:
    """The columns of an element without lists, and where the next element begins."""
    width = len(element.properties)
    if order:
        row = np.dtype([(str(k), order + kind) for k, (_, kind, _) in enumerate(element.properties)])
        size = element.count * row.itemsize
        _expect_room(at + size <= len(body), element)
        table = np.frombuffer(body, row, element.count, at)
        return [table[str(k)] for k in range(width)], at + size
    words = body[at : at + element.count * width]
    _expect_room(len(words) == element.count * width, element)
    table = _numbers(words, element).reshape(element.count, width)
    return list(table.T), at + element.count * width


def _ply_lists(order: str, element: Element, body: bytes | list[bytes], at: int) -> tuple[list, int]:
    """The columns of an element with lists: of each list all items and their numbers."""
    equal = _ply_equal_lists(order, element, body, at) if order else None
    if equal is not None:
        return equal
    items: list[list] = [[] for _ in element.properties]
    sizes: list[list[int]] = [[] for _ in element.properties]
    for _ in range(element.count):
        for place, (_, kind, length) in enumerate(element.properties):
            count = 1
            if length:
                (count,), at = _take(order, length, 1, body, at, element)
            values, at = _take(order, kind, int(count), body, at, element)
            items[place].extend(values)
            sizes[place].append(int(count))
    columns = [
        (np.array(values, np.int64), np.array(counts, np.int64)) if length else np.array(values)
        for values, counts, (_, _, length) in zip(items, sizes, element.properties, strict=True)
    ]
    return columns, at


def _ply_equal_lists(order: str, element: Element, body: bytes, at: int) -> tuple[list, int] | None:
    """As `_ply_lists`, at once, where the element is one list and all are of one length; None where not."""
    if len(element.properties) != 1 or not element.count:
        return None
    ((_, kind, length),) = element.properties
    (count,), _ = _take(order, length, 1, body, at, element)
    row = np.dtype([("count", order + length), ("items", order + kind, (int(count),))])
    if count < 0 or at + element.count * row.itemsize > len(body):
        return None
    table = np.frombuffer(body, row, element.count, at)
    if not (table["count"] == count).all():
        return None
    sizes = np.full(element.count, int(count))
    return [(table["items"].astype(np.int64).ravel(), sizes)], at + element.count * row.itemsize


def _take(order: str, kind: str, count: int, body: bytes | list[bytes], at: int, element: Element):
    """Some values from the body, and the place behind them."""
    size = count * (np.dtype(kind).itemsize if order else 1)
    _expect_room(size >= 0 and at + size <= len(body), element)
    if order:
        return np.frombuffer(body, order + kind, count, at).tolist(), at + size
    values = _numbers(body[at : at + size], element)
    if kind[0] != "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise MeshError(f"expected whole numbers in the rows of {element.name}, got others")
    return values.astype(np.int64 if kind[0] != "f" else float).tolist(), at + size


def _numbers(words: list[bytes], element: Element) -> np.ndarray:
    try:
        if any(b"_" in word for word in words):
            raise ValueError
        return np.array([float(word) for word in words])
    except ValueError:
        raise MeshError(f"expected numbers in the rows of {element.name}, got others") from None


def _expect_room(there: bool, element: Element) -> None:
    if not there:
        raise MeshError(f"expected {element.count} rows of {element.name}, got a .ply cut short")


STL_ROW = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
STL_HEAD = 84  # bytes: a comment of 80, and the number of triangles


def read_stl(content: bytes) -> Polygons:
    """The triangles of an .stl, text or binary."""
    binary = not re.match(rb"\s*solid\b", content) or b"facet" not in content[:4096]
    if binary:
        count = int.from_bytes(content[80:STL_HEAD], "little")
        if len(content) < STL_HEAD or len(content) < STL_HEAD + count * STL_ROW.itemsize:
            raise MeshError(f"expected a whole .stl file of {count} triangles, got {len(content)} bytes")
        corners = np.frombuffer(content, STL_ROW, count, STL_HEAD)["corners"].reshape(-1, 3).astype(float)
    else:
        text = content.lower()
        words = [loop.split() for loop in re.findall(rb"outer\s+loop\s+(.*?)\s+endloop", text, re.DOTALL)]
        whole = all(
            len(re.findall(rb"\b%s\b" % word, text)) == len(words) for word in (b"facet", b"endfacet")
        )
        whole = whole and re.search(rb"\bendsolid\b", text) is not None
        if not whole or any(len(row) != 12 or row[::4] != [b"vertex"] * 3 for row in words):
            raise MeshError("expected an .stl of triangles, got one cut short or with other loops")
        try:
            corners = np.array([float(word) for row in words for k, word in enumerate(row) if k % 4])
        except ValueError:
            raise MeshError("expected numbers in an .stl, got others") from None
        corners = corners.reshape(-1, 3)
    sizes = np.full(len(corners) // 3, 3)
    return Polygons(corners, np.arange(len(corners)), sizes, single=binary).check()


READERS = {".obj": read_obj, ".ply": read_ply, ".stl": read_stl}
