# SPDX-License-Identifier: GPL-3.0-or-later
"""A western dragon roaring: neck in an S, jaws wide open, bat wings raised, tail curled up to its spade.

Measures are in metres of a dragon as large as a calf; Y is forward, Z up, the ground at 0.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sculptures.clay import Clay

STEP = 0.0175  # of the grid that the skin is sampled on
MEMBRANE = 3.2 * STEP  # thickness of the wings between the bones
SCALLOP = 0.26  # share of its length by which a membrane is hollowed between two finger tips

# The backbone from nape to tail tip: x, y, z, radius and breadth in proportion to it.
NECK = [
    (0, 0.70, 1.86, 0.125, 0.9),
    (0, 0.50, 1.85, 0.125, 0.9),
    (0, 0.39, 1.67, 0.125, 0.9),
    (0, 0.49, 1.43, 0.145, 0.9),
    (0, 0.59, 1.18, 0.195, 0.9),
]
TRUNK = [
    (0, 0.44, 0.89, 0.335, 0.88),
    (0, 0.10, 0.76, 0.325, 0.9),
    (0, -0.25, 0.76, 0.270, 0.95),
]
TAIL = [
    (0, -0.52, 0.66, 0.225, 1.0),
    (-0.04, -0.78, 0.44, 0.165, 1.0),
    (0.02, -1.02, 0.27, 0.130, 1.0),
    (0.24, -1.19, 0.21, 0.105, 1.0),
    (0.49, -1.18, 0.34, 0.088, 1.0),
    (0.56, -1.08, 0.58, 0.075, 1.0),
    (0.45, -1.10, 0.82, 0.063, 1.0),
    (0.34, -1.20, 0.98, 0.055, 1.0),
]
SKULL = np.array([0, 0.78, 1.86])

# The wing of the side where X is positive.
SHOULDER, ELBOW, WRIST = (0.16, 0.16, 1.02), (0.48, -0.08, 1.28), (0.72, 0.12, 1.78)
FINGERS = [  # each by its middle and its tip
    [(1.08, 0.06, 2.08), (1.42, -0.20, 2.20)],
    [(1.12, -0.20, 1.82), (1.44, -0.66, 1.76)],
    [(0.94, -0.33, 1.54), (1.14, -0.96, 1.30)],
    [(0.70, -0.29, 1.36), (0.72, -0.96, 0.98)],
]
FLANK = (0.20, -0.46, 0.84)  # where the membrane ends on the body


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the dragon."""
    clay = Clay()
    backbone = np.array(NECK + TRUNK + TAIL, float)
    clay.limb(backbone[:, :3], backbone[:, 3], width=backbone[:, 4])
    clay.ball((0.20, 0.36, 0.86), (0.12, 0.20, 0.30), turn=(-25, 0, 0), both=True, blend=0.06)  # shoulders
    clay.ball((0.17, -0.36, 0.70), (0.15, 0.24, 0.24), turn=(20, 0, 0), both=True, blend=0.06)  # haunches
    _breast(clay, backbone)
    _spade(clay)
    _head(clay)
    _fore_leg(clay, 0.28, 0.46)
    _fore_leg(clay, -0.28, 0.62)
    _hind_leg(clay, 0.32, -0.38)
    _hind_leg(clay, -0.32, -0.26)
    _wings(clay)
    _ridge(clay, backbone)
    clay.slice_below(0)
    return clay.skin(STEP, triangles=14_000)


def _spade(clay: Clay) -> None:
    """A thick arrow head, barbed."""
    base = np.array(TAIL[-1][:3])
    along, across = np.array([-0.35, -0.1, 0.93]), np.array([0.7, 0.7, 0.2])
    outline = [(0.02, 0.03), (-0.06, 0.22), (0.10, 0.17), (0.24, 0.09), (0.38, 0.01)]  # along, half across
    rows = [[base + a * along + side * b * across for side in (-1, 0, 1)] for a, b in outline]
    clay.sheet(rows, [(0.05, 0.13, 0.05)] * 4 + [(0.05, 0.06, 0.05)], blend=0.03)


def _head(clay: Clay) -> None:
    """Long jaws at a wide angle, heavy brows, horns; all measured from the middle of the skull."""

    def horn(points: list, radii: list[float], both: bool = True) -> None:
        clay.limb(SKULL + points, radii, both=both, blend=0.025)

    clay.ball(SKULL, (0.15, 0.20, 0.15), turn=(8, 0, 0), blend=0.08)
    upper_jaw = SKULL + [(0, 0.02, 0.04), (0, 0.22, 0.07), (0, 0.38, 0.11), (0, 0.47, 0.115)]
    clay.limb(upper_jaw, [0.13, 0.10, 0.09, 0.062], width=[1.0, 1.05, 1.1, 1.2], blend=0.05)
    lower_jaw = SKULL + [(0, -0.02, -0.07), (0, 0.13, -0.24), (0, 0.26, -0.35), (0, 0.35, -0.39)]
    clay.limb(lower_jaw, [0.11, 0.085, 0.072, 0.05], width=[1.15, 1.15, 1.15, 1.3], blend=0.03)
    tongue = SKULL + [(0, 0.08, -0.14), (0, 0.18, -0.21), (0, 0.26, -0.25)]
    clay.limb(tongue, [0.05, 0.045, 0.025], width=1.2, blend=0.02)
    clay.ball(SKULL + (0.06, 0.44, 0.185), (0.042, 0.055, 0.038), both=True, blend=0.03)  # nostrils
    clay.ball(SKULL + (0.125, 0.12, 0.09), 0.042, both=True, blend=0.01)  # eyes
    brow = SKULL + [(0.07, 0.26, 0.135), (0.125, 0.12, 0.165), (0.14, -0.06, 0.16)]
    clay.limb(brow, [0.03, 0.052, 0.04], both=True, blend=0.03)
    crown = [(0.10, -0.08, 0.11), (0.17, -0.27, 0.22), (0.21, -0.47, 0.25), (0.22, -0.64, 0.37)]
    horn(crown, [0.075, 0.068, 0.054, 0.018])
    # Two on each cheek, one for a beard, one on the nose, and the fangs, upper and lower.
    horn([(0.12, -0.04, -0.02), (0.22, -0.18, -0.03), (0.29, -0.31, 0.03)], [0.07, 0.058, 0.016])
    horn([(0.10, 0.0, -0.12), (0.18, -0.10, -0.18), (0.23, -0.21, -0.18)], [0.06, 0.048, 0.016])
    horn([(0, 0.30, -0.41), (0, 0.30, -0.49), (0, 0.24, -0.57)], [0.055, 0.04, 0.016], both=False)
    horn([(0, 0.40, 0.17), (0, 0.41, 0.24), (0, 0.36, 0.32)], [0.055, 0.04, 0.016], both=False)
    horn([(0.07, 0.41, 0.06), (0.075, 0.415, -0.07)], [0.042, 0.014])
    horn([(0.06, 0.31, -0.36), (0.065, 0.33, -0.23)], [0.04, 0.014])


def _fore_leg(clay: Clay, x: float, y: float) -> None:
    clay.limb(
        [(0.75 * x, 0.36, 0.82), (1.05 * x, y - 0.20, 0.50), (1.1 * x, y - 0.02, 0.26), (1.1 * x, y, 0.08)],
        [0.21, 0.145, 0.10, 0.10],
        blend=0.05,
    )
    _paw(clay, 1.1 * x, y)


def _hind_leg(clay: Clay, x: float, y: float) -> None:
    clay.limb(
        [(0.7 * x, -0.40, 0.72), (x, y + 0.13, 0.48), (1.1 * x, y - 0.14, 0.25), (1.1 * x, y, 0.08)],
        [0.27, 0.175, 0.10, 0.10],
        blend=0.05,
    )
    _paw(clay, 1.1 * x, y)


def _paw(clay: Clay, x: float, y: float) -> None:
    """Three toes that end in claws, spread forward."""
    for spread in (-0.09, 0, 0.09):
        reach = 0.16 - abs(spread) / 3
        toe = [(x, y, 0.08), (x + spread, y + 0.6 * reach, 0.085), (x + 1.3 * spread, y + reach, 0.05)]
        clay.limb(toe, [0.075, 0.062, 0.045], blend=0.025)
        claw = [toe[-1], (x + 1.6 * spread, y + reach + 0.09, 0.0)]
        clay.limb(claw, [0.042, 0.016], blend=0.01)


def _wings(clay: Clay) -> None:
    ribs = [np.array([WRIST, *finger]) for finger in FINGERS]
    ribs.append(np.array([WRIST, ELBOW, FLANK]))
    for first, second in pairwise(ribs):
        _membrane(clay, first, second)
    clay.sheet([[SHOULDER, SHOULDER], [FLANK, ELBOW]], MEMBRANE, both=True)
    fore_edge = [SHOULDER, (0.42, 0.12, 1.38), WRIST]
    clay.sheet([fore_edge, [SHOULDER, ELBOW, WRIST]], MEMBRANE, both=True)
    clay.limb([SHOULDER, ELBOW], [0.13, 0.085], both=True, blend=0.06)
    clay.limb([ELBOW, WRIST], [0.082, 0.066], both=True, blend=0.04)
    clay.ball(WRIST, 0.08, both=True, blend=0.03)
    thumb = [WRIST, np.add(WRIST, (0.0, 0.12, 0.07)), np.add(WRIST, (-0.02, 0.17, 0.17))]
    clay.limb(thumb, [0.055, 0.04, 0.014], both=True, blend=0.03)
    for rib in ribs[:-1]:
        clay.limb(rib, [0.058, 0.046, 0.026], both=True, blend=0.025)


def _membrane(clay: Clay, first: np.ndarray, second: np.ndarray) -> None:
    """Skin between two ribs that leave the wrist, hollowed at the trailing edge and blown out in between."""
    side = np.cross(first[-1] - first[0], second[-1] - first[0])
    up = side / np.linalg.norm(side) * np.sign(side[2])
    rows = []
    for share in np.linspace(0, 1, 5):
        bulge = 4 * share * (1 - share)
        rib = first + share * (second - first)
        root, middle, tip = rib
        tip = tip + SCALLOP * bulge * (middle - tip)
        rows.append([root, middle + 0.06 * bulge * up, tip + 0.05 * bulge * up])
    clay.sheet(rows, MEMBRANE, both=True, blend=0.02)


def _ridge(clay: Clay, backbone: np.ndarray) -> None:
    """Spikes that stand off the backbone, leaning to the tail."""
    for foot, radius, along, side, up in _stations(backbone, 0.08, 3.9, 0.155):
        height = 0.16 + 0.13 * radius
        base = foot + 0.8 * radius * up
        tip = foot + (radius + height) * up + 0.5 * height * along
        clay.limb([base, tip], [0.48 * height, 0.016], width=0.55, across=side, blend=0.015)


def _breast(clay: Clay, backbone: np.ndarray) -> None:
    """Plates across the throat and the breast."""
    for foot, radius, _, side, up in _stations(backbone, 0.30, 1.30, 0.115):
        middle, reach = 1.05 * radius * up, 0.65 * radius * side
        plate = [foot - 0.76 * middle - reach, foot - middle, foot - 0.76 * middle + reach]
        clay.limb(plate, [0.04, 0.03 + 0.11 * radius, 0.04], blend=0.006)


def _stations(backbone: np.ndarray, start: float, stop: float, spacing: float) -> Iterator[tuple]:
    """Points along the backbone, each with its radius and the ways to the tail, to the side and off the back."""
    points, radii = backbone[:, :3], backbone[:, 3]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])

    def point(at: float) -> np.ndarray:
        return np.array([np.interp(at, length, points[:, k]) for k in range(3)])

    side = np.array([1.0, 0, 0])
    for at in np.arange(start, min(stop, length[-1]), spacing):
        along = point(at + 0.08) - point(at - 0.08)
        along /= np.linalg.norm(along)
        side = side - (side @ along) * along  # carried along, so that it turns with the tail
        side /= np.linalg.norm(side)
        yield point(at), np.interp(at, length, radii), along, side, np.cross(along, side)
