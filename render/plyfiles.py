# SPDX-License-Identifier: GPL-3.0-or-later
"""Polygon files of Stanford (.ply), text or binary, read as strictly as they are written. Needs numpy alone."""

import re
import struct
from dataclasses import dataclass, field, replace

import numpy as np

import numerals
from meshes import MeshError
from polygons import BYTE_ORDER_MARK, Polygons, shown

PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
LENGTH_LETTERS = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f8": "d"}  # of struct
PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
# Of each property of an element: the items of all rows in turn, and how many each row has.
Columns = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class Element:
    """An element of the header of a .ply: its rows follow in the body."""

    name: str
    count: int
    # a name and a type for each property; a list has the type of its length too
    properties: list[tuple[str, str, str]] = field(default_factory=list)

    def as_text(self) -> "Element":
        """The element with float64 for every type."""
        return replace(
            self, properties=[(name, "f8", length and "f8") for name, _, length in self.properties]
        )

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
            raise MeshError(f"expected the header of a .ply, got the line {shown(line.encode())}")
    if order is None:
        raise MeshError(f"expected a format among {', '.join(PLY_ORDERS)}; got another")
    bodies = [content[end.end() :]]
    if end[1] == b"\r\n" and order:
        bodies.append(content[end.end() - 1 :])
    return order, elements, bodies


def _ply_property(words: list[str]) -> tuple[str, str, str]:
    types = words[2:4] if words[1:2] == ["list"] else ["", *words[1:2]]
    known = len(words) == (5 if words[1:2] == ["list"] else 3) and all(t in PLY_TYPES for t in types if t)
    if not known or PLY_TYPES.get(types[0], "").startswith("f"):
        raise MeshError(f"expected a property of a .ply, got {shown(' '.join(words).encode())}")
    return words[-1], PLY_TYPES[types[1]], PLY_TYPES.get(types[0], "")


def _ply_mesh(order: str, elements: list[Element], body: bytes | memoryview) -> Polygons:
    vertices, corners, sizes = np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64)
    at, single = 0, False
    if not order:
        elements, body = [element.as_text() for element in elements], _numbers(body)
    for element in elements:
        if element.count > len(body):  # each row has a byte at least
            raise MeshError(
                f"expected {element.count} rows of {element.name}, got a file of {len(body)} bytes"
            )
        columns, at = _equal_rows(order or "=", element, body, at) or _any_rows(
            order or "=", element, body, at
        )
        if element.name == "vertex":
            places = [element.column(axis) for axis in "xyz"]
            if None in places or any(element.properties[place][2] for place in places):
                raise MeshError("expected vertices with x, y and z, got a .ply without")
            vertices = np.stack([columns[place][0].astype(float) for place in places], axis=1)
            single = bool(order) and any(element.properties[place][1] == "f4" for place in places)
        elif element.name == "face":
            place = element.column("vertex_indices", "vertex_index")
            if place is None or not element.properties[place][2]:
                raise MeshError("expected faces with a list of vertex_indices, got a .ply without")
            corners, sizes = _whole_numbers(columns[place][0], element), columns[place][1]
        elif element.name == "tristrips":
            raise MeshError("expected faces, got a .ply with strips of triangles; export it with faces")
    keep = np.repeat(sizes > 2, sizes)
    return Polygons(vertices, corners[keep], sizes[sizes > 2], single=single).check()


def _numbers(body: bytes | memoryview) -> memoryview:
    """The numbers of a body of text, as those of a binary one whose types are all float64."""
    text = bytes(body).replace(b"\r", b"\n")
    numbers = numerals.read(text)
    if numbers is None:
        wrong = next((word for word in text.split() if numerals.read(word) is None), b"")
        raise MeshError(f"expected numbers in the rows of a .ply, got {shown(wrong)}")
    return memoryview(numbers).cast("B")


def _whole_numbers(values: np.ndarray, element: Element) -> np.ndarray:
    if values.dtype.kind == "f" and not ((np.abs(values) < 2**53) & (values == np.round(values))).all():
        raise MeshError(f"expected whole numbers in the rows of {element.name}, got others")
    return values.astype(np.int64)


def _equal_rows(
    order: str, element: Element, body: bytes | memoryview, at: int
) -> tuple[Columns, int] | None:
    """The columns of an element and where the next begins; None where lists differ in length from the first row's."""
    parts: list[tuple] = []
    size = 0
    for place, (_, kind, length) in enumerate(element.properties if element.count else ()):
        count = 1
        if length:
            count = _length(order, element, length, body, at + size)
            parts.append((f"length {place}", order + length))
            size += np.dtype(length).itemsize
        size += count * np.dtype(kind).itemsize
        _expect_room(at + size <= len(body), element)
        parts.append((f"items {place}", order + kind, (count,)))
    if not parts:
        return [(np.zeros(0), np.zeros(0, np.int64)) for _ in element.properties], at
    if at + element.count * size > len(body):
        return None
    table = np.frombuffer(body, np.dtype(parts), element.count, at)
    if any((table[name] != table[name][0]).any() for name, *_ in parts if name.startswith("length")):
        return None
    columns = []
    for place in range(len(element.properties)):
        items = table[f"items {place}"]
        columns.append((items.ravel(), np.full(element.count, items.shape[1])))
    return columns, at + element.count * size


def _any_rows(order: str, element: Element, body: bytes | memoryview, at: int) -> tuple[Columns, int]:
    """As `_equal_rows`, row by row."""
    pieces: list[list] = [[] for _ in element.properties]
    counts: list[list[int]] = [[] for _ in element.properties]
    properties = [
        (place, np.dtype(kind).itemsize, length, np.dtype(length or "u1").itemsize)
        for place, (_, kind, length) in enumerate(element.properties)
    ]
    for _ in range(element.count):
        for place, size, length, size_of_length in properties:
            count = 1
            if length:
                count = _length(order, element, length, body, at)
                at += size_of_length
            _expect_room(at + count * size <= len(body), element)
            pieces[place].append(body[at : at + count * size])
            counts[place].append(count)
            at += count * size
    columns = [
        (np.frombuffer(b"".join(items), order + kind), np.array(sizes, np.int64))
        for items, sizes, (_, kind, _) in zip(pieces, counts, element.properties, strict=True)
    ]
    return columns, at


def _length(order: str, element: Element, kind: str, body: bytes | memoryview, at: int) -> int:
    """The length of a list, which begins there."""
    form = order + LENGTH_LETTERS[kind]
    _expect_room(at + struct.calcsize(form) <= len(body), element)
    (count,) = struct.unpack_from(form, body, at)
    if not 0 <= count == count // 1 <= len(body):
        raise MeshError(f"expected the length of a list in the rows of {element.name}, got {count}")
    return int(count)


def _expect_room(there: bool, element: Element) -> None:
    if not there:
        raise MeshError(f"expected {element.count} rows of {element.name}, got a .ply cut short")
