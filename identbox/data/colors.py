"""Names of colours: the nearest named colour to a hue, in one of three palettes of matplotlib.

What nearest means is the ``naming``: ``rgb`` is the Euclidean distance between RGB values, ``lab`` the CIEDE2000
distance in CIE Lab, which is closer to the difference that a person sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from identbox.data.scene import hsv_to_rgb

Naming = Literal["rgb", "lab"]
Channel = np.ndarray | np.floating  # one number of each colour; of one colour or of many
DEFAULT_NAMING: Naming = "rgb"
ROWS_AT_A_TIME = {
    "rgb": 8192,
    "lab": 256,
}  # colours whose distances to all of a palette are in memory together


@dataclass(frozen=True)
class Palette:
    """Named colours: ``names`` of length k and their ``rgb`` of shape (k, 3), in [0, 1]."""

    names: tuple[str, ...]
    rgb: Float[np.ndarray, "k 3"]

    @cached_property
    def lab(self) -> Float[np.ndarray, "k 3"]:
        """The colours in CIE Lab (white point D65), as colormath converts them."""
        from colormath.color_conversions import convert_color
        from colormath.color_objects import LabColor, sRGBColor

        return np.array([convert_color(sRGBColor(*rgb), LabColor).get_value_tuple() for rgb in self.rgb])

    def nearest(
        self, rgb: Float[np.ndarray, "n 3"], naming: Naming = DEFAULT_NAMING
    ) -> Int[np.ndarray, " n"]:
        """Indices (n,) of the nearest colours; of several at the same distance the first."""
        rows = ROWS_AT_A_TIME[naming]
        indices = np.empty(len(rgb), dtype=np.int64)
        for start in range(0, len(rgb), rows):
            part = rgb[start : start + rows]
            distances = self._rgb_distances(part) if naming == "rgb" else self._lab_distances(part)
            indices[start : start + rows] = distances.argmin(axis=1)
        return indices

    def _rgb_distances(self, rgb: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n k"]:
        """The squared Euclidean distances to each colour, up to a term that is the same for all colours."""
        return (self.rgb**2).sum(axis=1) - 2 * rgb @ self.rgb.T

    def _lab_distances(self, rgb: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n k"]:
        return ciede2000(rgb_to_lab(rgb)[:, None], self.lab)


@cache
def palettes() -> tuple[Palette, ...]:
    """Tableau (10 colours), CSS4 (148) and XKCD (949) of matplotlib, in this order."""
    from matplotlib import colors

    tables = (colors.TABLEAU_COLORS, colors.CSS4_COLORS, colors.XKCD_COLORS)
    return tuple(
        Palette(tuple(table), np.array([colors.to_rgb(code) for code in table.values()])) for table in tables
    )


@cache
def color_names() -> tuple[str, ...]:
    """All names of all palettes, sorted; ``object_color_index`` is the place of a name in it."""
    return tuple(sorted({name for palette in palettes() for name in palette.names}))


@cache
def color_index() -> dict[str, int]:
    """The place of each name in `color_names`."""
    return {name: index for index, name in enumerate(color_names())}


@cache
def palette_index() -> dict[str, int]:
    """The index of the palette that each name comes from; no two palettes share a name."""
    return {name: index for index, palette in enumerate(palettes()) for name in palette.names}


def name_colors(
    hue: Float[np.ndarray, " n"], palette: Int[np.ndarray, " n"], naming: Naming = DEFAULT_NAMING
) -> list[str]:
    """The name of the nearest colour to hsv(hue, 1, 1) for each sample, in the palette of that index."""
    rgb = hsv_to_rgb(hue, 1.0, 1.0)
    names: list[str] = [""] * len(hue)
    for index, entry in enumerate(palettes()):
        rows = np.flatnonzero(palette == index)
        for row, nearest in zip(rows.tolist(), entry.nearest(rgb[rows], naming).tolist(), strict=True):
            names[row] = entry.names[nearest]
    return names


def rgb_to_lab(rgb: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """sRGB values in [0, 1] in CIE Lab, white point D65.

    The formula and the constants are those of colormath, which converts one colour at a time (45 microseconds each).
    """
    from colormath import color_constants
    from colormath.color_objects import sRGBColor

    matrix = np.array(sRGBColor.conversion_matrices["rgb_to_xyz"])
    white = np.array(color_constants.ILLUMINANTS["2"]["d65"])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ matrix.T / white
    x, y, z = np.where(xyz > color_constants.CIE_E, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def ciede2000(lab: Float[np.ndarray, "... 3"], other: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, ...]:
    """The CIEDE2000 distances between Lab colours; the shapes before the last axis are broadcast.

    With the weights kL = kC = kH = 1. The symbols are those of Sharma, Wu and Dalal, "The CIEDE2000 color-difference
    formula: implementation notes, supplementary test data, and mathematical observations", Color Research and
    Application 30(1), 2005. colormath's own function for it fails with numpy 1.23 and later.
    """
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(lab, -1, 0), np.moveaxis(other, -1, 0)
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturation(mean_chroma)
    c1, h1 = _chroma_and_hue(stretch * a1, b1)
    c2, h2 = _chroma_and_hue(stretch * a2, b2)
    hue, half_turn = _mean_hue(h1, h2, c1 * c2 == 0)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(hue - np.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    off = (lightness - 50) ** 2
    by_lightness = (l2 - l1) / (1 + 0.015 * off / np.sqrt(20 + off))
    by_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    by_hue = 2 * np.sqrt(c1 * c2) * np.sin(half_turn) / (1 + 0.015 * chroma * t)
    angle = 2 * np.radians(30) * np.exp(-(((np.degrees(hue) - 275) / 25) ** 2))
    rotation = -np.sin(angle) * 2 * _saturation(chroma)
    return np.asarray(np.sqrt(by_lightness**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue))


def _saturation(chroma: Channel) -> Channel:
    """sqrt(C^7 / (C^7 + 25^7))."""
    cube = chroma * chroma * chroma  # numpy takes ten times as long for a power of seven
    seventh = cube * cube * chroma
    return np.sqrt(seventh / (seventh + 25.0**7))


def _chroma_and_hue(a: Channel, b: Channel) -> tuple[Channel, Channel]:
    """C' and h', the hue in [0, 2 pi)."""
    return np.hypot(a, b), np.mod(np.arctan2(b, a), 2 * np.pi)


def _mean_hue(h1: Channel, h2: Channel, gray: Any) -> tuple[Channel, Channel]:
    """The mean hue along the shorter arc, and half the turn from the first hue to the second.

    Where one of the colours is gray, which has no hue, the mean is the sum of both hues and the turn is 0.
    """
    turn, total = h2 - h1, h1 + h2
    apart = np.abs(turn) > np.pi
    mean = np.where(apart, total / 2 + np.where(total < 2 * np.pi, np.pi, -np.pi), total / 2)
    turn = np.where(apart, turn - 2 * np.pi * np.sign(turn), turn)
    return np.where(gray, total, mean), np.where(gray, 0.0, turn / 2)
