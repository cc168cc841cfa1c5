# SPDX-License-Identifier: GPL-3.0-or-later
"""A cow at rest: a box of a body on short legs, head held level, horns, dewlap, udder, tufted tail.

Measures are in metres of a cow of about 1.4 m at the withers; Y is forward, Z up, the ground at 0.
"""

import numpy as np

from sculptures.tools import Clay

FORE_HIP, HIND_HIP = 0.23, 0.24  # half the distance between the left and the right leg
HOOF = 0.13  # height


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the cow."""
    clay = Clay()
    _trunk(clay)
    _neck(clay)
    _head(clay)
    _fore_leg(clay, FORE_HIP, 0.62)
    _fore_leg(clay, -FORE_HIP, 0.50)
    _hind_leg(clay, HIND_HIP, -0.66)
    _hind_leg(clay, -HIND_HIP, -0.52)
    _udder(clay)
    _tail(clay)
    clay.slice_below(0)
    return clay.skin(step=0.017, triangles=11_000)


def _trunk(clay: Clay) -> None:
    """Level back, deep barrel, hip bones that show with a hollow before them."""
    clay.block((0, -0.02, 1.05), (0.32, 0.82, 0.36), rounding=0.20)
    clay.limb(
        [(0, 0.55, 0.95), (0, 0.15, 0.93), (0, -0.30, 0.92), (0, -0.60, 1.05)],
        [0.36, 0.40, 0.38, 0.30],
        width=[0.9, 1.0, 1.04, 1.0],
        blend=0.12,
    )
    spine = [(0, 0.66, 1.35), (0, 0.45, 1.40), (0, 0.1, 1.36), (0, -0.7, 1.38)]
    clay.limb(spine, [0.08, 0.08, 0.05, 0.06], blend=0.1)
    clay.ball((0.37, -0.26, 1.22), (0.05, 0.16, 0.12), both=True, blend=0.12, carve=True)  # flank
    clay.ball((0.25, -0.50, 1.33), (0.09, 0.12, 0.07), both=True, blend=0.12)  # hip bones
    clay.ball((0.15, -0.80, 1.28), (0.08, 0.08, 0.08), both=True, blend=0.12)  # pin bones
    clay.ball((0.28, 0.52, 1.02), (0.12, 0.19, 0.33), turn=(-12, 0, 0), both=True, blend=0.06)  # shoulders
    clay.ball((0.25, -0.62, 0.98), (0.13, 0.23, 0.30), both=True, blend=0.06)  # thighs


def _neck(clay: Clay) -> None:
    clay.limb(
        [(0, 0.60, 1.10), (0, 0.86, 1.15), (0, 1.08, 1.24)],
        [0.36, 0.29, 0.21],
        width=[0.75, 0.68, 0.72],
        blend=0.12,
    )
    clay.limb(
        [(0, 1.16, 1.06), (0, 1.05, 0.84), (0, 0.92, 0.66), (0, 0.70, 0.54), (0, 0.50, 0.55)],
        [0.05, 0.10, 0.13, 0.11, 0.06],
        width=0.42,
        blend=0.06,
    )  # dewlap


def _head(clay: Clay) -> None:
    clay.limb(
        [(0, 1.12, 1.38), (0, 1.23, 1.27), (0, 1.38, 1.06), (0, 1.46, 0.96)],
        [0.13, 0.165, 0.125, 0.11],
        width=[1.1, 1.0, 0.92, 1.05],
        blend=0.06,
    )
    clay.ball((0, 1.11, 1.46), (0.12, 0.06, 0.05), blend=0.04)  # poll
    clay.ball((0.07, 1.16, 1.16), (0.075, 0.15, 0.11), turn=(-40, 0, 0), both=True, blend=0.04)  # jaws
    clay.block((0, 1.47, 0.965), (0.145, 0.085, 0.11), rounding=0.07, turn=(-40, 0, 0), blend=0.05)  # muzzle
    clay.ball((0.085, 1.545, 0.985), (0.032, 0.035, 0.026), both=True, blend=0.02, carve=True)  # nostrils
    half = [(0.155, 1.41, 0.93), (0.12, 1.48, 0.885), (0, 1.505, 0.865)]
    clay.limb(half, [0.02] * 3, blend=0.03, both=True, carve=True)  # mouth
    clay.ball((0.148, 1.24, 1.31), 0.042, both=True, blend=0.025)  # eyes
    clay.limb(
        [(0.10, 1.11, 1.45), (0.25, 1.14, 1.49), (0.335, 1.26, 1.54), (0.27, 1.40, 1.68)],
        [0.07, 0.064, 0.054, 0.016],
        both=True,
        blend=0.025,
    )  # horns: out, then forward and up
    ear = np.array([(0.12, 1.07, 1.33), (0.25, 1.02, 1.30), (0.37, 0.98, 1.22), (0.44, 0.96, 1.14)])
    facing = (0.4, 1, 0)
    clay.limb(ear, [0.05, 0.09, 0.085, 0.025], width=0.5, across=facing, both=True, blend=0.025)
    hollow = ear[1:3] + (0, 0.045, 0.01)
    clay.limb(hollow, [0.05, 0.045], width=0.6, across=facing, both=True, blend=0.02, carve=True)


def _fore_leg(clay: Clay, x: float, y: float) -> None:
    clay.limb(
        [(x, 0.52, 0.98), (x, y - 0.02, 0.66), (x, y, 0.40), (x, y, 0.16)],
        [0.20, 0.145, 0.088, 0.07],
        blend=0.07,
    )
    clay.ball((x, y + 0.01, 0.40), 0.098, blend=0.05)  # knee
    _hoof(clay, x, y)


def _hind_leg(clay: Clay, x: float, y: float) -> None:
    clay.limb(
        [(x * 0.9, -0.58, 1.02), (x, y + 0.06, 0.74), (x, y - 0.12, 0.48), (x, y - 0.04, 0.16)],
        [0.27, 0.16, 0.09, 0.07],
        width=[0.75, 0.9, 1, 1],
        blend=0.07,
    )
    clay.ball((x, y - 0.15, 0.50), 0.07, blend=0.06)  # hock
    _hoof(clay, x, y - 0.04)


def _hoof(clay: Clay, x: float, y: float) -> None:
    """Two claws side by side."""
    clay.ball((x, y, HOOF + 0.10), 0.086, blend=0.03)  # fetlock
    for side in (-0.056, 0.056):
        claw = [(x + side, y + 0.01, HOOF - 0.03), (x + side, y + 0.05, 0.0)]
        clay.limb(claw, [0.085, 0.105], width=0.62, blend=0.006)


def _udder(clay: Clay) -> None:
    clay.ball((0, -0.36, 0.58), (0.20, 0.24, 0.16), blend=0.05)
    for y in (-0.27, -0.45):
        teat = [(0.09, y, 0.50), (0.10, y, 0.42), (0.105, y, 0.36)]
        clay.limb(teat, [0.055, 0.042, 0.034], both=True, blend=0.03)


def _tail(clay: Clay) -> None:
    clay.limb(
        [(0, -0.76, 1.36), (0, -0.90, 1.36), (0, -0.98, 1.18), (0, -1.0, 0.85), (0, -1.02, 0.66)],
        [0.06, 0.055, 0.042, 0.036, 0.036],
        blend=0.05,
    )
    tuft = [(0, -1.01, 0.70), (0, -1.03, 0.52), (0, -1.06, 0.34)]
    clay.limb(tuft, [0.045, 0.105, 0.015], blend=0.03)
