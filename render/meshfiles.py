# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files of the kinds obj, ply and stl, read in float64 and as strictly as they are written.

Blender's own importers read coordinates in float32, take some line breaks, marks and numbers for something else, and
open the files that a mesh names. These readers do none of that, and need numpy alone. Where a file says something that
they do not know, they raise MeshError rather than leave it out.
"""

import re

import numpy as np

import numerals
from meshes import MeshError, first_equal, used
from plyfiles import read_ply
from polygons import BYTE_ORDER_MARK, Polygons, shown


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
                raise MeshError(f"line {number}: expected finite coordinates, got {shown(line)}")
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
        raise MeshError(f"expected the number of a vertex, got {shown(wrong)}")
    sizes = numerals.words_of_lines(faces)
    if b"-" in faces:  # counted back from the last vertex before the face
        kinds = np.array(re.findall(rb"^[ \t]*([vf])[ \t]", text, re.MULTILINE))
        before = np.repeat(np.cumsum(kinds == b"v")[kinds == b"f"], sizes)
        corners = np.where(corners < 0, before + 1 + corners, corners)
    return corners[np.repeat(sizes > 2, sizes)], sizes[sizes > 2]


STL_ROW = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
STL_HEAD = 84  # bytes: a comment of 80, and the number of triangles
STL_PART = 1 << 22  # bytes of text that are read at a time
STL_WORDS = b"fn###olv###v###v###ee"  # of a facet: how each word begins, # for a number
STL_KEYWORDS = (b"endfacet", b"facet", b"endloop", b"loop", b"outer", b"normal", b"vertex")
STL_END = re.compile(rb"\bendfacet\b", re.IGNORECASE)


def read_stl(content: bytes) -> Polygons:
    """The triangles of an .stl, text or binary; corners at the same place are one vertex."""
    head = content[:4096].lower()
    binary = not re.match(rb"\s*solid\b", head) or b"facet" not in head
    corners = _stl_corners(content) if binary else _stl_corners_of_text(content)
    del content
    vertices, corners = used(corners, first_equal(corners))
    return Polygons(vertices.astype(float), corners, np.full(len(corners) // 3, 3), single=binary).check()


def _stl_corners(content: bytes) -> np.ndarray:
    """The corners of the triangles of a binary .stl in turn, (n, 3)."""
    count = int.from_bytes(content[80:STL_HEAD], "little")
    if len(content) < STL_HEAD or len(content) < STL_HEAD + count * STL_ROW.itemsize:
        raise MeshError(f"expected a whole .stl file of {count} triangles, got {len(content)} bytes")
    return np.frombuffer(content, STL_ROW, count, STL_HEAD)["corners"].reshape(-1, 3)


def _stl_corners_of_text(content: bytes) -> np.ndarray:
    """The corners of the triangles of an .stl of text in turn, (n, 3)."""
    corners, at = [], 0
    while at < len(content):
        end = STL_END.search(content, at + STL_PART)
        after = end.end() if end else len(content)
        corners.append(_stl_corners_of_part(content[at:after].lower().replace(b"\r", b"\n")))
        at = after
    if not re.search(rb"\bendsolid\b[^\n\r]*\s*\Z", content[-STL_PART:], re.IGNORECASE):
        raise MeshError("expected an .stl of triangles, got one cut short")
    return np.concatenate(corners)


def _stl_corners_of_part(text: bytes) -> np.ndarray:
    """The corners of whole facets; a file may have several solids."""
    if b"solid" in text:
        text = re.sub(rb"\b(?:end)?solid\b.*?(?=\bfacet\s+normal\b|\n|\Z)", b"", text)
    letters = np.frombuffer(text, np.uint8)[numerals.beginnings(text)]
    facets, rest = divmod(len(letters), len(STL_WORDS))
    wanted = np.frombuffer(STL_WORDS, np.uint8)
    keyword = wanted != ord("#")
    if rest or (letters.reshape(facets, len(STL_WORDS))[:, keyword] != wanted[keyword]).any():
        raise MeshError("expected an .stl of triangles, got one cut short or with other loops")
    numbers = _numbers_between_keywords(text)
    if numbers is None:  # normals are not used, and some programs write none that are numbers
        numbers = _numbers_between_keywords(re.sub(rb"normal(?:\s+\S+){3}", b"0 0 0", text))
    if numbers is None or len(numbers) != 12 * facets:
        raise MeshError("expected numbers in an .stl, got others")
    return numbers.reshape(facets, 12)[:, 3:].reshape(-1, 3)


def _numbers_between_keywords(text: bytes) -> np.ndarray | None:
    for word in STL_KEYWORDS:
        text = text.replace(word, b"")  # what else is in a word makes it no number
    return numerals.read(text)


READERS = {".obj": read_obj, ".ply": read_ply, ".stl": read_stl}
