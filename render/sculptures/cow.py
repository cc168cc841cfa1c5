# SPDX-License-Identifier: GPL-3.0-or-later
"""A cow at rest: a deep barrel on short stout legs, broad head, wide curved horns, dewlap, udder, tufted tail.

Measures are in metres of a sturdy cow of about 1.4 m at the withers; Y is forward, Z up, the ground at GROUND.
"""

import numpy as np

from sculptures.clay import Clay

GROUND = -0.14
FORE_HIP, HIND_HIP = 0.31, 0.32  # half the distance between the left and the right leg
HOOF = GROUND + 0.13  # top of it


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the cow."""
    clay = Clay()
    _trunk(clay)
    _neck(clay)
    _head(clay)
    _fore_leg(clay, FORE_HIP, 0.60)
    _fore_leg(clay, -FORE_HIP, 0.42)
    _hind_leg(clay, HIND_HIP, -0.66)
    _hind_leg(clay, -HIND_HIP, -0.47)
    _udder(clay)
    _tail(clay)
    clay.slice_below(GROUND)
    return clay.skin(step=0.017, triangles=11_000)


def _trunk(clay: Clay) -> None:
    """Level back, deep barrel, hip bones that show with a hollow before them."""
    clay.block((0, -0.06, 1.02), (0.40, 0.68, 0.38), rounding=0.24)
    clay.limb(
        [(0, 0.46, 0.93), (0, 0.12, 0.88), (0, -0.26, 0.87), (0, -0.54, 1.00)],
        [0.40, 0.45, 0.44, 0.34],
        width=[0.98, 1.08, 1.12, 1.04],
        blend=0.12,
    )
    spine = [(0, 0.54, 1.37), (0, 0.36, 1.42), (0, 0.05, 1.37), (0, -0.62, 1.38)]
    clay.limb(spine, [0.09, 0.09, 0.06, 0.06], blend=0.1)
    clay.ball((0.46, -0.26, 1.22), (0.06, 0.14, 0.11), both=True, blend=0.12, carve=True)  # flank
    clay.ball((0.30, -0.44, 1.33), (0.10, 0.12, 0.08), both=True, blend=0.12)  # hip bones
    clay.ball((0.18, -0.70, 1.28), (0.09, 0.08, 0.09), both=True, blend=0.12)  # pin bones
    clay.ball((0.34, 0.44, 1.00), (0.14, 0.20, 0.34), turn=(-12, 0, 0), both=True, blend=0.06)  # shoulders
    clay.ball((0.32, -0.54, 0.96), (0.15, 0.24, 0.32), both=True, blend=0.06)  # thighs


def _neck(clay: Clay) -> None:
    clay.limb(
        [(0, 0.46, 1.06), (0, 0.74, 1.16), (0, 0.92, 1.28)],
        [0.42, 0.34, 0.25],
        width=[0.85, 0.78, 0.8],
        blend=0.12,
    )
    # Dewlap.
    clay.limb(
        [(0, 1.00, 1.06), (0, 0.93, 0.84), (0, 0.82, 0.64), (0, 0.62, 0.50), (0, 0.42, 0.50)],
        [0.06, 0.11, 0.15, 0.13, 0.07],
        width=0.45,
        blend=0.06,
    )


def _head(clay: Clay) -> None:
    clay.limb(
        [(0, 0.98, 1.50), (0, 1.10, 1.37), (0, 1.26, 1.13), (0, 1.34, 1.00)],
        [0.19, 0.23, 0.185, 0.17],
        width=[1.15, 1.05, 0.98, 1.1],
        blend=0.06,
    )
    clay.ball((0, 0.97, 1.60), (0.17, 0.09, 0.08), blend=0.05)  # poll
    clay.ball((0.10, 1.02, 1.24), (0.10, 0.18, 0.14), turn=(-40, 0, 0), both=True, blend=0.04)  # jaws
    clay.block((0, 1.35, 1.00), (0.225, 0.13, 0.17), rounding=0.11, turn=(-40, 0, 0), blend=0.05)  # muzzle
    clay.ball((0.125, 1.472, 1.035), (0.045, 0.045, 0.036), both=True, blend=0.02, carve=True)  # nostrils
    half = [(0.235, 1.28, 0.93), (0.175, 1.385, 0.875), (0, 1.415, 0.85)]
    clay.limb(half, [0.023] * 3, blend=0.03, both=True, carve=True)  # mouth
    clay.ball((0.212, 1.12, 1.42), 0.055, both=True, blend=0.025)  # eyes
    # Horns: far out, then forward and up.
    clay.limb(
        [(0.13, 0.95, 1.60), (0.38, 0.97, 1.63), (0.60, 1.06, 1.70), (0.65, 1.15, 1.87), (0.55, 1.22, 2.01)],
        [0.11, 0.10, 0.086, 0.062, 0.018],
        both=True,
        blend=0.03,
    )
    ear = np.array([(0.16, 0.93, 1.45), (0.33, 0.88, 1.42), (0.48, 0.83, 1.33), (0.57, 0.80, 1.23)])
    facing = (0.4, 1, 0)
    clay.limb(ear, [0.06, 0.115, 0.11, 0.03], width=0.5, across=facing, both=True, blend=0.025)
    hollow = ear[1:3] + (0, 0.058, 0.01)
    clay.limb(hollow, [0.062, 0.055], width=0.6, across=facing, both=True, blend=0.02, carve=True)


def _fore_leg(clay: Clay, x: float, y: float) -> None:
    clay.limb(
        [(x, 0.44, 0.92), (x, y - 0.02, 0.56), (x, y, 0.28), (x, y, HOOF + 0.04)],
        [0.24, 0.18, 0.115, 0.09],
        blend=0.07,
    )
    clay.ball((x, y + 0.01, 0.27), 0.122, blend=0.05)  # knee
    _hoof(clay, x, y)


def _hind_leg(clay: Clay, x: float, y: float) -> None:
    clay.limb(
        [(x * 0.9, -0.50, 0.98), (x, y + 0.05, 0.64), (x, y - 0.11, 0.35), (x, y - 0.03, HOOF + 0.04)],
        [0.31, 0.20, 0.115, 0.09],
        width=[0.8, 0.9, 1, 1],
        blend=0.07,
    )
    clay.ball((x, y - 0.14, 0.37), 0.09, blend=0.06)  # hock
    _hoof(clay, x, y - 0.03)


def _hoof(clay: Clay, x: float, y: float) -> None:
    """Two claws side by side."""
    clay.ball((x, y, HOOF + 0.08), 0.105, blend=0.03)  # fetlock
    for side in (-0.072, 0.072):
        claw = [(x + side, y + 0.01, HOOF - 0.03), (x + side, y + 0.06, GROUND)]
        clay.limb(claw, [0.11, 0.13], width=0.64, blend=0.006)


def _udder(clay: Clay) -> None:
    clay.ball((0, -0.30, 0.49), (0.24, 0.26, 0.19), blend=0.05)
    for y in (-0.19, -0.40):
        teat = [(0.11, y, 0.40), (0.12, y, 0.31), (0.125, y, 0.24)]
        clay.limb(teat, [0.07, 0.052, 0.04], both=True, blend=0.03)


def _tail(clay: Clay) -> None:
    clay.limb(
        [(0, -0.66, 1.36), (0, -0.80, 1.38), (0, -0.87, 1.20), (0, -0.89, 0.88), (0, -0.90, 0.66)],
        [0.075, 0.07, 0.055, 0.048, 0.048],
        blend=0.05,
    )
    tuft = [(0, -0.89, 0.78), (0, -0.92, 0.56), (0, -0.94, 0.40), (0, -0.96, 0.22)]
    clay.limb(tuft, [0.05, 0.10, 0.105, 0.02], blend=0.03)
