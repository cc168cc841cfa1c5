# SPDX-License-Identifier: GPL-3.0-or-later
"""What a .blend says before Blender opens it: its active scene, and whether it needs other files. Needs numpy alone."""

import gzip
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from meshes import MeshError

LARGEST = 2 << 30  # bytes of a .blend when it is unpacked
CHUNK, KEPT = 1 << 20, 1 << 12  # bytes read at a time, and kept of a block
ZSTANDARD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
SCENE_AT = {4: (16, 20), 8: (16, 24)}  # bytes of FileGlobal before the pointers to its screen and scene


@dataclass
class BlendFile:
    """What is known of a .blend: the names of its scenes, the active one first, and whether it links to other files."""

    scenes: list[str]
    links: bool


def look(path: Path) -> BlendFile:
    """Walk over the blocks of a .blend, compressed or not. Raises MeshError where it is none."""
    with path.open("rb") as raw:
        file = _unpacked(raw)
        head = _read(file, 12)
        if head.startswith(b"BLENDER17-"):
            head += _read(file, 5)
        match = re.fullmatch(rb"BLENDER(?:17)?([_-])(?:\d\d)?([vV])\d{3,4}", head)
        if match is None:
            raise MeshError("expected a .blend file, got one without its header")
        return _walk(
            file, "<" if match[2] == b"v" else ">", 4 if match[1] == b"_" else 8, large=len(head) > 12
        )


def _read(file: BinaryIO, size: int) -> bytes:
    """The first KEPT of just so many bytes. Raises MeshError where there are fewer."""
    kept, left = b"", size
    while left:
        part = file.read(min(left, CHUNK))
        if not part:
            raise MeshError("expected a whole .blend file, got one cut short")
        kept += part[: KEPT - len(kept)]
        left -= len(part)
    return kept


def _walk(file: BinaryIO, order: str, pointer: int, *, large: bool) -> BlendFile:
    # code, size, old address, number of the structure, how many of it; newer files have longer counts
    form = order + ("4siQqq" if large else f"4si{'Q' if pointer == 8 else 'I'}ii")
    active, scenes, links, total = 0, {}, False, 0
    while True:
        code, *rest = struct.unpack(form, _read(file, struct.calcsize(form)))
        size, address = (rest[2], rest[1]) if large else (rest[0], rest[1])
        total += size
        if size < 0 or total > LARGEST:
            raise MeshError(f"expected a .blend of at most {LARGEST >> 30} GiB, got a larger one")
        content = _read(file, size)
        if code == b"GLOB":
            (active,) = struct.unpack_from(
                order + ("Q" if pointer == 8 else "I"), content, SCENE_AT[pointer][1]
            )
        elif code == b"SC\0\0":
            scenes[address] = _name(content)
        elif code == b"LI\0\0":
            links = True
        elif code == b"ENDB":
            names = sorted(scenes, key=lambda place: place != active)
            return BlendFile([scenes[place] for place in names], links)


def _name(content: bytes) -> str:
    """The name of a scene, which stands behind a few addresses."""
    match = re.search(rb"SC([^\0]{1,255})\0", content[:330])
    return match[1].decode(errors="replace") if match else ""


def _unpacked(raw: BinaryIO) -> BinaryIO:
    start = raw.read(4)
    raw.seek(0)
    if start == ZSTANDARD:
        try:
            import zstandard
        except ImportError as error:
            raise MeshError(
                "expected a .blend that is not compressed, since the package zstandard is missing"
            ) from error
        return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    if start[:2] == GZIP:
        return gzip.GzipFile(fileobj=raw)
    return raw
