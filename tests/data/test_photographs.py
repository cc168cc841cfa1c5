"""Pictures of the user's: read as RGB, or refused in one line before they are decoded."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from identbox.data.photographs import read_photograph
from identbox.errors import IdentboxError


def black(side: int) -> bytes:
    """A PNG of some kilobytes that says it has so many black pixels a side."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * (3 * side + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1", "CMYK"])
def test_pictures_of_eight_bits_are_read_as_rgb(tmp_path: Path, mode: str):
    levels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(levels).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    with Image.open(path) as file:
        expected = np.asarray(file.convert("RGB"))
    got = read_photograph(path, "a picture", least=20, most=30)
    assert (got.mode, got.size) == ("RGB", (30, 20))
    assert np.array_equal(got, expected)


def test_pictures_that_are_no_pictures_of_a_user_are_refused(tmp_path: Path):
    path = tmp_path / "a.png"
    grey = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(grey).save(path)
    sixteen_bits = path.read_bytes()
    Image.new("RGB", (20, 20)).save(tmp_path / "a.gif")
    Image.new("RGB", (20, 20)).save(path)
    whole = path.read_bytes()
    contents = {
        "8 bits a channel, got mode I;16": sixteen_bits,
        "of 1 to 8192 pixels a side, got 9000 x 9000": black(9000),
        "got 12000 x 12000": black(12000),  # of which the library warns
        "a picture, got Image size": black(20000),  # which it refuses
        "a picture, got cannot identify image file": (tmp_path / "a.gif").read_bytes(),
        "a picture, got cannot identify": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "a picture, got ": whole[:-20],
    }
    for message, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(IdentboxError, match=message) as refused:  # where a warning would be an error
            read_photograph(path, "a picture")
        assert str(refused.value).startswith(f"{path}: expected ")
    path.unlink()
    with pytest.raises(IdentboxError, match="expected a picture, got No such file"):
        read_photograph(path, "a picture")
