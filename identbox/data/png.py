"""PNG files: whether one is whole, and its pixels, checked against what is expected before anything is decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from identbox import files
from identbox.errors import IdentboxError

PNG_SIGNATURE, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
HEAD = 29  # bytes up to the end of the first chunk's values
LARGEST_SIDE = 8192  # pixels; PIL warns of images of more than 9459 a side
PNG_KINDS = {
    0: "L",
    2: "RGB",
    3: "P",
    4: "LA",
    6: "RGBA",
}  # PIL's modes, by the colour type of a PNG of 8 bits a channel


@dataclass(frozen=True, kw_only=True)
class PngHead:
    """What the first bytes of a PNG say."""

    width: int
    height: int
    bits: int  # of each channel
    mode: str  # as PIL names it; empty for another kind


def read_head(content: bytes) -> PngHead:
    """What a PNG says of itself. Raises IdentboxError, without a place, for another kind of file."""
    if len(content) < HEAD or content[:8] != PNG_SIGNATURE or content[12:16] != b"IHDR":
        raise IdentboxError("expected a PNG, got another kind of file")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return PngHead(width=width, height=height, bits=content[24], mode=PNG_KINDS.get(content[25], ""))


def fault(content: bytes, size: int | None = None, mode: str | None = None) -> str:
    """What is wrong with a PNG as far as its ends tell; empty where it is whole.

    It must be ``size`` pixels a side and of that ``mode`` where these are given, and have 8 bits a channel.
    """
    try:
        head = read_head(content)
    except IdentboxError as error:
        return str(error)
    if size is not None and (head.width, head.height) != (size, size):
        return f"expected {size} x {size}, got {head.width} x {head.height}"
    if not 0 < max(head.width, head.height) <= LARGEST_SIDE:
        return f"expected at most {LARGEST_SIDE} pixels a side, got {head.width} x {head.height}"
    if head.bits != 8 and not (head.mode == "P" and head.bits < 8):
        return f"expected 8 bits a channel, got {head.bits}"
    if not head.mode or mode not in (None, head.mode):
        return f"expected {mode or 'an image in grey or RGB'}, got {head.mode or 'another kind'}"
    if not content.endswith(PNG_END):
        return "expected a whole PNG, got one cut short"
    return ""


def decode(content: bytes, where: str, size: int | None = None, mode: str | None = None) -> Image.Image:
    """The pixels of a PNG, RGB. Raises IdentboxError, with ``where`` in front, for what `fault` and PIL find."""
    if wrong := fault(content, size, mode):
        raise IdentboxError(f"{where}: {wrong}")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as file:
            return file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise IdentboxError(f"{where}: expected an image, got {error}") from error


def read_image(path: Path, size: int | None = None, mode: str | None = None) -> Image.Image:
    """The pixels of a PNG file, RGB; raises as `decode` does, and where the file cannot be read."""
    return decode(files.read_bytes(path, files.LARGEST_IMAGE, "an image"), str(path), size, mode)


def is_whole(path: Path, size: int) -> bool:
    """Whether the file is a PNG from its first byte to its last, ``size`` pixels a side; its pixels are not decoded."""
    try:
        with files.open_regular(path, files.LARGEST_IMAGE) as file:
            head = file.read(HEAD)
            file.seek(-len(PNG_END), 2)
            return not fault(head + file.read(), size)
    except (OSError, IdentboxError):
        return False
