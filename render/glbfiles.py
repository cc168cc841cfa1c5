# SPDX-License-Identifier: GPL-3.0-or-later
"""A .glb with its active scene alone, checked: no images, no other files, and no coordinate that is not a number.

Needs numpy alone.
"""

import json
import struct
from math import isfinite
from typing import Any

import numpy as np

from meshes import MeshError

MAGIC, JSON_CHUNK, BINARY_CHUNK = b"glTF", b"JSON", b"BIN\0"
# What the shape of a scene does not depend on; images would be read from wherever they lie.
DROPPED = ("images", "textures", "samplers", "materials", "animations", "cameras", "extras")
COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
ITEMS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
MOST_ITEMS = 100_000_000  # of an accessor
POINT_EXTENSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


def active_scene(content: bytes) -> tuple[bytes, list[str]]:
    """The file with its active scene alone, and in words what is left out. Raises MeshError where it is not whole."""
    try:
        table, binary = _chunks(content)
        _check_buffers(table)
        for place, accessor in enumerate(table.get("accessors", [])):
            _check_accessor(place, accessor, table, binary)
        for place, node in enumerate(table.get("nodes", [])):
            if not all(
                isfinite(x)
                for key in ("matrix", "translation", "rotation", "scale")
                for x in node.get(key, [])
            ):
                raise MeshError(f"node {place}: expected finite numbers, got others")
        left_out = _keep_active(table)
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        if isinstance(error, MeshError):
            raise
        raise MeshError(f"expected a .glb file, got one that is malformed ({error!r:.100})") from error
    return _whole(table, binary), left_out


def _chunks(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk of a .glb."""
    if content[:4] != MAGIC or len(content) < 20:
        raise MeshError("expected a .glb file, got one without its header")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2 or length > len(content):
        raise MeshError(f"expected a whole .glb of version 2, got version {version} and {len(content)} bytes")
    chunks, at = {}, 12
    while at + 8 <= length:
        (size,), kind = struct.unpack_from("<I", content, at), content[at + 4 : at + 8]
        if at + 8 + size > length:
            raise MeshError("expected a whole .glb file, got one cut short")
        chunks.setdefault(kind, content[at + 8 : at + 8 + size])
        at += 8 + size
    table = json.loads(chunks[JSON_CHUNK].decode("utf-8"), parse_constant=_refuse_constant)
    if not isinstance(table, dict):
        raise MeshError("expected a .glb with a table, got one with other JSON")
    return table, chunks.get(BINARY_CHUNK, b"")


def _refuse_constant(name: str) -> None:
    raise MeshError(f"expected finite numbers, got {name}")


def _check_buffers(table: dict[str, Any]) -> None:
    """The only buffer is the file's own: nothing else is opened."""
    buffers = table.get("buffers", [])
    named = [buffer["uri"] for buffer in buffers if "uri" in buffer]
    if named or len(buffers) > 1:
        names = f"{named[0]!r:.60}" if named else f"{len(buffers)} buffers"
        raise MeshError(f"expected a .glb that holds all that it shows, got one that reads {names}")


def _check_accessor(place: int, accessor: dict[str, Any], table: dict[str, Any], binary: bytes) -> None:
    """Each accessor lies within the file, and its floats are numbers."""
    kind, items = np.dtype(COMPONENTS[accessor["componentType"]]), ITEMS[accessor["type"]]
    count = accessor["count"]
    if not isinstance(count, int) or not 0 <= count <= MOST_ITEMS // items:
        raise MeshError(f"accessor {place}: expected a number of items, got {count!r:.40}")
    parts = [(accessor, count)] if "bufferView" in accessor else []
    if "sparse" in accessor:
        parts.append((accessor["sparse"]["values"], accessor["sparse"]["count"]))
    for part, number in parts:
        view = table["bufferViews"][part["bufferView"]]
        if any(name in view.get("extensions", {}) for name in POINT_EXTENSIONS):
            continue
        begin = view.get("byteOffset", 0) + part.get("byteOffset", 0)
        stride = view.get("byteStride") or kind.itemsize * items
        end = begin + stride * (number - 1) + kind.itemsize * items if number else begin
        if not 0 <= begin <= end <= len(binary) or stride < kind.itemsize * items:
            raise MeshError(f"accessor {place}: expected {number} items in the file, got a .glb cut short")
        if kind.kind == "f" and number:
            values = np.ndarray((number, items), kind, binary, begin, (stride, kind.itemsize))
            bad = ~np.isfinite(values).all(axis=1)
            if bad.any():
                raise MeshError(
                    f"accessor {place}: expected finite coordinates, got {int(bad.sum())} of {number} that are not"
                )


def _keep_active(table: dict[str, Any]) -> list[str]:
    """Leave the active scene alone in the table; returns what is left out."""
    scenes = table.get("scenes", [])
    active = table.get("scene", 0)
    left_out = [
        f"the scene {scene.get('name', place)}" for place, scene in enumerate(scenes) if place != active
    ]
    if scenes:
        keep = scenes[active]
        nodes, shown, waiting = table.get("nodes", []), set(), list(keep.get("nodes", []))
        while waiting:
            node = waiting.pop()
            if node in shown:
                raise MeshError(f"node {node}: expected one parent, got two or a circle")
            shown.add(node)
            waiting += nodes[node].get("children", [])
        for place, node in enumerate(nodes):
            if place not in shown:
                node.pop("mesh", None)
                node.pop("skin", None)
        table["scenes"], table["scene"] = [keep], 0
    for name in DROPPED:
        table.pop(name, None)
    for mesh in table.get("meshes", []):
        for primitive in mesh.get("primitives", []):
            primitive.pop("material", None)
            primitive.get("extensions", {}).pop("KHR_materials_variants", None)
    for node in table.get("nodes", []):
        node.pop("camera", None)
        node.pop("extras", None)
    return left_out


def _whole(table: dict[str, Any], binary: bytes) -> bytes:
    """A .glb of a table and a binary chunk."""
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I", len(text)) + JSON_CHUNK + text
    if binary:
        chunks += struct.pack("<I", len(binary)) + BINARY_CHUNK + binary
    return MAGIC + struct.pack("<II", 2, 12 + len(chunks)) + chunks
