"""Whether a PNG file is whole."""

from __future__ import annotations

from pathlib import Path

PNG_SIGNATURE, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"


def is_whole(path: Path, size: int) -> bool:
    """Whether the file is a PNG from its first byte to its last, ``size`` pixels a side; its pixels are not decoded."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
            file.seek(-len(PNG_END), 2)
            return (
                head[:8] == PNG_SIGNATURE
                and head[16:] == 2 * size.to_bytes(4, "big")
                and file.read() == PNG_END
            )
    except (OSError, OverflowError):
        return False
