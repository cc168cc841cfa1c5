# SPDX-License-Identifier: GPL-3.0-or-later
"""PNG files without metadata, so that equal pixels are equal files."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def strip(content: bytes) -> bytes:
    """The file with its pixels alone: no date, render time, or software in it.

    Raises ValueError where the file is cut short or damaged.
    """
    if not content.startswith(SIGNATURE):
        raise ValueError(f"image: expected a PNG, got {len(content)} bytes of something else")
    kept, place, name = [SIGNATURE], len(SIGNATURE), b""
    while place < len(content):
        length = struct.unpack(">I", content[place : place + 4].rjust(4, b"\xff"))[0]
        chunk = content[place : place + length + 12]
        name = chunk[4:8]
        if len(chunk) < length + 12 or zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
            raise ValueError(
                f"image: expected a whole PNG, got one that breaks off in {name.decode('latin1')}"
            )
        if name in KEPT:
            kept.append(chunk)
        place += length + 12
    if name != b"IEND":
        raise ValueError("image: expected a whole PNG, got one without its end")
    return b"".join(kept)
