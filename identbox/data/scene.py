"""Latents to scene records: what the image shows, in metres, radians and RGB (section 4.4, Table 4.1).

A record is one JSON object with everything the renderer needs of one image, so that the renderer knows
nothing of latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Literal

import numpy as np
from jaxtyping import Float

from identbox.errors import IdentboxError
from identbox.settings import settings

IMAGE_FACTORS = (
    "object_shape",
    "object_xpos",
    "object_ypos",
    "object_zpos",
    "object_alpharot",
    "object_betarot",
    "object_gammarot",
    "object_color",
    "spotlight_pos",
    "spotlight_color",
    "background_color",
)
UNIT_FACTORS = IMAGE_FACTORS[4:]  # those on the unit interval
Flavour = Literal["thesis", "published"]

EXTENT = 4.2  # largest extent of the unrotated object, in metres
PUBLISHED_EXTENTS = {"teapot": 4.44, "cow": 4.05}  # the published meshes that differ from it
CELL = 3.0  # metres between neighbouring positions
CAMERA = (8.0, 0.0, 8.0)  # metres; aimed at the origin
SPOT_RADIUS, SPOT_HEIGHT = 4.0, 6.0  # metres; the height is above the top of the object's extent


@settings
class Scene:
    """How latents become a scene.

    ``thesis`` keeps every colour in gamut, and the ground and the spotlight at heights that do not depend on
    the shape. ``published`` reproduces the quirks of the published generator: hues that are negative before
    they are converted, and extents by shape.
    """

    flavour: Flavour = "thesis"

    def extent(self, shape: str) -> float:
        """The largest extent of a shape, in metres."""
        return PUBLISHED_EXTENTS.get(shape, EXTENT) if self.flavour == "published" else EXTENT

    def records(self, latents: Mapping[str, np.ndarray], shapes: tuple[str, ...]) -> list[dict]:
        """One record a sample from columns of latents, each of shape (n,), with shapes named by ``shapes``.

        A record has ``shape``, ``extent``, ``location``, ``rotation`` (Euler XYZ, radians), ``object_color``,
        ``ground_z``, ``ground_color``, ``spot_location`` and ``spot_color`` (linear RGB).
        Raises IdentboxError for a missing factor or a value out of its range.
        """
        check_image_latents(latents, len(shapes))
        wrap = self.flavour == "thesis"
        names = [shapes[k] for k in latents["object_shape"]]
        extents = np.array([self.extent(name) for name in names])
        location = np.stack(
            [
                CELL * latents["object_ypos"] - CELL,
                CELL * latents["object_xpos"] - CELL,
                np.zeros(len(names)),
            ],
            axis=1,
        )
        angles = [latents[f"object_{axis}rot"] for axis in ("alpha", "beta", "gamma")]
        rotation = np.stack(angles, axis=1) * pi - pi / 2
        theta = latents["spotlight_pos"] * pi - pi / 2
        spot = np.stack(
            [SPOT_RADIUS * np.sin(theta), SPOT_RADIUS * np.cos(theta), SPOT_HEIGHT + extents], axis=1
        )
        columns = {
            "shape": names,
            "extent": extents.tolist(),
            "location": location.tolist(),
            "rotation": rotation.tolist(),
            "object_color": hsv_to_rgb(latents["object_color"], 1.0, 1.0).tolist(),
            "ground_z": (-extents).tolist(),
            "ground_color": hsv_to_rgb(_half(latents["background_color"]), 0.6, 1.0, wrap=wrap).tolist(),
            "spot_location": spot.tolist(),
            "spot_color": hsv_to_rgb(_half(latents["spotlight_color"]), 0.8, 1.0, wrap=wrap).tolist(),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _half(hue: np.ndarray) -> np.ndarray:
    return (hue - 0.5) / 2


def check_image_latents(latents: Mapping[str, np.ndarray], shapes: int, where: str = "latents") -> None:
    """Raise IdentboxError where a factor of the image is missing or out of the range of Table 4.1."""
    missing = [name for name in IMAGE_FACTORS if name not in latents]
    if missing:
        raise IdentboxError(
            f"{where}: expected the image factors of Table 4.1, got none of {', '.join(missing)}"
        )
    check_classes(latents, {"object_shape": shapes, "object_xpos": 3, "object_ypos": 3}, where)
    for name in (*UNIT_FACTORS, "object_zpos"):
        _scene_numbers(name, latents, where)
    for name in UNIT_FACTORS:
        _check_rows(name, latents[name], (latents[name] >= 0) & (latents[name] <= 1), "in [0, 1]", where)
    _check_rows("object_zpos", latents["object_zpos"], latents["object_zpos"] == 0, "0", where)


def check_classes(latents: Mapping[str, np.ndarray], classes: dict[str, int], where: str) -> None:
    """Raise IdentboxError where a factor is not a whole number below its number of classes."""
    for name, k in classes.items():
        column = _scene_numbers(name, latents, where)
        good = (column >= 0) & (column < k) & (column == np.floor(column))
        _check_rows(name, column, good, f"a class in 0..{k - 1}", where)


def _scene_numbers(name: str, latents: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    column = latents[name]
    if column.dtype.kind not in "iuf":
        raise IdentboxError(f"{where}: {name}: expected numbers, got texts")
    return column


def _check_rows(name: str, column: np.ndarray, good: np.ndarray, expected: str, where: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise IdentboxError(f"{where}: {name} of sample {row}: expected {expected}, got {column[row]}")


def hsv_to_rgb(
    hue: Float[np.ndarray, " n"], saturation: float, value: float, *, wrap: bool = True
) -> Float[np.ndarray, "n 3"]:
    """RGB of hues in turns, (n, 3).

    With ``wrap`` the hue is taken modulo 1. Without, a negative hue leaves the gamut just as in Python's
    colorsys, which the published generator relied on without meaning to.

    >>> hsv_to_rgb(np.array([-0.125]), 0.8, 1.0, wrap=False).round(3).tolist()
    [[1.0, -0.4, 0.2]]
    >>> hsv_to_rgb(np.array([-0.125]), 0.8, 1.0).round(3).tolist()
    [[1.0, 0.2, 0.8]]
    """
    turn = np.mod(hue, 1.0) if wrap else np.asarray(hue)
    sector = np.trunc(turn * 6.0)
    rest = turn * 6.0 - sector
    low = np.full_like(turn, value * (1 - saturation))
    falling = value * (1 - saturation * rest)
    rising = value * (1 - saturation * (1 - rest))
    high = np.full_like(turn, value)
    orders = [
        (high, rising, low),
        (falling, high, low),
        (low, high, rising),
        (low, falling, high),
        (rising, low, high),
        (high, low, falling),
    ]
    which = sector.astype(int) % 6
    return np.stack([np.choose(which, [order[k] for order in orders]) for k in range(3)], axis=1)
