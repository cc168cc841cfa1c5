"""The colour proxy of CUB Image-Captions (appendix A.4): does the image of a bird of one colour have that colour?

Every pixel is assigned to the colours whose range of hue, saturation and value it lies in (Table A.1). An image made
from the caption "this bird is completely COLOUR" counts as coherent where that colour is among the two with the most
pixels: one may be the background's. Hues are halves of degrees, saturation and value bytes, as in OpenCV.

Table A.1 prints the limits of brown in reverse order; here the lower ones come first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class ColorRange(NamedTuple):
    """A range of hue (0 to 180), saturation and value (0 to 255), both ends included."""

    color: str
    low: tuple[int, int, int]
    high: tuple[int, int, int]


RANGES = (
    ColorRange("white", (0, 0, 120), (180, 18, 255)),
    ColorRange("yellow", (25, 50, 70), (35, 255, 255)),
    ColorRange("blue", (90, 50, 70), (158, 255, 255)),
    ColorRange("red", (0, 50, 70), (15, 255, 255)),
    ColorRange("red", (159, 50, 70), (180, 255, 255)),
    ColorRange("green", (36, 50, 70), (89, 255, 255)),
    ColorRange("grey", (0, 0, 50), (180, 18, 120)),
    ColorRange("brown", (16, 50, 70), (24, 255, 255)),
    ColorRange("black", (0, 0, 0), (180, 255, 50)),
)
COLOR_RANGES = tuple(dict.fromkeys(one.color for one in RANGES))
AMONG = 2  # of the most frequent colours
IMAGES_A_COLOR = 10  # of each caption


def caption_of(color: str) -> str:
    """The caption from which images of that colour are generated."""
    return f"this bird is completely {color}"


def hsv_of(images: Float[Tensor, "n 3 h w"]) -> Int[Tensor, "n 3 h w"]:
    """Hue in halves of degrees, saturation and value as bytes, of images in [0, 1] rounded to 8 bits.

    >>> import torch
    >>> hsv_of(torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)).flatten().tolist()
    [120, 255, 255]
    """
    levels = images.clamp(0, 1).mul(255).round()
    value, least = levels.amax(1), levels.amin(1)
    spread = value - least
    red, green, blue = levels.unbind(1)
    divisor = torch.where(spread > 0, spread, 1.0)
    hue = torch.where(
        value == red,
        60 * (green - blue) / divisor,
        torch.where(value == green, 120 + 60 * (blue - red) / divisor, 240 + 60 * (red - green) / divisor),
    )
    hue = torch.where(spread > 0, hue % 360, 0.0)
    saturation = torch.where(value > 0, 255 * spread / value.clamp(min=1), 0.0)
    return torch.stack([(hue / 2).round() % 180, saturation.round(), value], 1).long()


def color_counts(images: Float[Tensor, "n 3 h w"]) -> Int[Tensor, "n 8"]:
    """The number of pixels of each image in each of COLOR_RANGES; a pixel may be in none, or at a limit in two."""
    hsv = hsv_of(images)
    counts = torch.zeros(len(images), len(COLOR_RANGES), dtype=torch.int64, device=images.device)
    for one in RANGES:
        low, high = (torch.tensor(end, device=hsv.device).view(3, 1, 1) for end in (one.low, one.high))
        counts[:, COLOR_RANGES.index(one.color)] += ((hsv >= low) & (hsv <= high)).all(1).sum((1, 2))
    return counts


def shows_color(images: Float[Tensor, "n 3 h w"], color: str) -> Tensor:
    """Whether a colour is among the two with the most pixels of each image; one without any pixel never is."""
    counts = color_counts(images)
    own = counts[:, COLOR_RANGES.index(color)]
    return ((counts > own[:, None]).sum(1) < AMONG) & (own > 0)
