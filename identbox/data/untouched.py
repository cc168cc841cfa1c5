"""Which pixels may differ between two scenes: those of the object, of its shadows, and of what a changed light reaches.

Light does not bounce in the scenes (`render/studio.py` sets that), so that a pixel shows one surface and the lights
that reach it. The object is taken as the ball around it, whatever its shape and rotation: the answer is too large
rather than too small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation

from identbox.data.scene import CAMERA

# The camera and the lights of render/studio.py, in metres and millimetres; a test compares them.
LENS, SENSOR = 35.0, 50.0
AREA, AREA_SIDE = (0.0, 0.0, 7.0), 1.0
SUN_HEIGHT = 1e6  # metres: the sun is above, and its rays are parallel
SPOT_CONE, SPOT_SOFT_SIZE = 35 / 180 * math.pi, 0.5
BALL = math.sqrt(3) / 2  # the radius around an object of extent 1: half the diagonal of its box
MARGIN = 1 / 16  # of the image's side, by which the denoiser carries a change further

OBJECT_KEYS = ("shape", "extent", "location", "rotation")
SPOT_KEYS = ("spot_location", "spot_color", "location")  # the spot is aimed at the object

Points = Float[np.ndarray, "n 3"]


def may_change(before: dict[str, Any], after: dict[str, Any], size: int) -> Bool[np.ndarray, "size size"]:
    """The pixels of an image of ``size`` pixels a side that may differ between two scene records (`Scene.records`)."""
    differing = {key for key in before if before[key] != after[key]}
    may = np.zeros(size * size, dtype=bool)
    if differing & {"ground_color", "ground_z"}:
        return np.ones((size, size), dtype=bool)
    for record in (before, after):
        rays = _rays(size)
        ground = np.array(CAMERA) + rays * ((record["ground_z"] - CAMERA[2]) / rays[:, 2:])
        ball = np.array(record["location"]), BALL * record["extent"]
        on_object = _hits(np.array(CAMERA), rays, *ball)
        if differing & {*OBJECT_KEYS, "object_color", *SPOT_KEYS}:
            may |= on_object
        if differing & set(OBJECT_KEYS):
            for light, soft in _lights(record):
                may |= _hits(ground, light - ground, ball[0], ball[1] + soft, within=True)
        if differing & set(SPOT_KEYS):
            may |= _lit(ground, record)
    margin = max(1, round(size * MARGIN))
    return binary_dilation(may.reshape(size, size), iterations=margin)


def project(points: Points, size: int) -> Float[np.ndarray, "n 2"]:
    """Where points in metres are in an image of ``size`` pixels a side: pixels from the left and from the top."""
    forward, right, up = _camera_axes()
    seen = points - np.array(CAMERA)
    scale = LENS / SENSOR * size / (seen @ forward)
    return np.stack([size / 2 + scale * (seen @ right), size / 2 - scale * (seen @ up)], axis=1)


def _camera_axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the camera looks, and what is right and up in its images."""
    forward = -np.array(CAMERA) / np.linalg.norm(CAMERA)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return forward, right, np.cross(right, forward)


def _rays(size: int) -> Points:
    """The directions in which the camera looks through the middles of the pixels, row by row from the top."""
    forward, right, up = _camera_axes()
    place = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(place, -place)
    rays = LENS / SENSOR * forward + x.reshape(-1, 1) * right + y.reshape(-1, 1) * up
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _lights(record: dict[str, Any]) -> list[tuple[np.ndarray, float]]:
    """Where the lights are, and by how much their size widens a shadow."""
    return [
        (np.array((0.0, 0.0, SUN_HEIGHT)), 0.0),
        (np.array(AREA), AREA_SIDE),
        (np.array(record["spot_location"]), SPOT_SOFT_SIZE),
    ]


def _hits(
    origins: np.ndarray, directions: Points, centre: np.ndarray, radius: float, *, within: bool = False
) -> Bool[np.ndarray, " n"]:
    """Whether rays meet a ball; with ``within`` before the end of their direction."""
    lengths = np.linalg.norm(directions, axis=1)
    units = directions / lengths[:, None]
    along = ((centre - origins) * units).sum(1)
    if within:
        along = along.clip(0, lengths)
    nearest = origins + along[:, None] * units
    return (np.linalg.norm(nearest - centre, axis=1) <= radius) & (along >= 0)


def _lit(ground: Points, record: dict[str, Any]) -> Bool[np.ndarray, " n"]:
    """The points of the ground in the cone of the spot, and somewhat around it."""
    spot = np.array(record["spot_location"])
    aim, to = np.array(record["location"]) - spot, ground - spot
    cosine = to @ aim / (np.linalg.norm(to, axis=1) * np.linalg.norm(aim))
    return cosine >= math.cos(SPOT_CONE / 2 + SPOT_SOFT_SIZE / float(np.linalg.norm(aim)))
