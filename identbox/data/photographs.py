"""Photographs and other pictures of the user's, in PNG or JPEG: looked at before anything is decoded."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from identbox import files
from identbox.errors import IdentboxError

FORMATS = ("PNG", "JPEG")
LARGEST_PICTURE_SIDE = 8192  # pixels
# PIL's modes of 8 bits a channel or fewer. Of others it makes RGB by cutting off what is brighter.
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read_photograph(
    path: Path, what: str, *, least: int = 1, most: int = LARGEST_PICTURE_SIDE
) -> Image.Image:
    """The pixels of a picture, RGB. No side may have fewer pixels than ``least``, or more than ``most``.

    Raises IdentboxError, which names ``what`` was expected, for another size or kind of file, one that is damaged, and
    one of more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an image that is too large is refused, in one line
            with (
                files.open_regular(path, files.LARGEST_IMAGE) as file,
                Image.open(file, formats=FORMATS) as image,
            ):
                if not least <= min(image.size) <= max(image.size) <= most:
                    raise IdentboxError(
                        f"{path}: expected {what} of {least} to {most} pixels a side, "
                        f"got {image.width} x {image.height}"
                    )
                if image.mode not in EIGHT_BITS:
                    raise IdentboxError(f"{path}: expected {what} of 8 bits a channel, got mode {image.mode}")
                return image.convert("RGB")
    except OSError as error:
        raise IdentboxError(f"{path}: expected {what}, got {error.strerror or error}") from error
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise IdentboxError(f"{path}: expected {what}, got {error}") from error
