# SPDX-License-Identifier: GPL-3.0-or-later
"""A horse at the trot: neck arched, mane flying, tail carried, one diagonal pair of legs swung forward.

Measures are in metres of a horse of 1.6 m at the withers; Y is forward, Z up, the ground at 0.
"""

import numpy as np

from sculptures.tools import Clay

LEGS_APART = 0.17  # of each leg from the middle


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the horse."""
    clay = Clay()
    _trunk(clay)
    _neck(clay)
    _head(clay)
    # The joints as (y, z): elbow or stifle, knee or hock, fetlock, coronet. No two legs are in the same
    # phase, so that the stride shows from every side.
    right, left = LEGS_APART, -LEGS_APART
    _fore_leg(clay, right, [(0.50, 1.02), (0.84, 0.84), (0.88, 0.44), (0.82, 0.32)], tilt=-50)
    _fore_leg(clay, left, [(0.42, 0.96), (0.36, 0.54), (0.26, 0.19), (0.31, 0.07)], tilt=-8)
    _hind_leg(clay, left, [(-0.26, 1.00), (-0.42, 0.60), (-0.14, 0.26), (-0.06, 0.15)], tilt=12)
    _hind_leg(clay, right, [(-0.44, 0.95), (-0.80, 0.65), (-0.97, 0.30), (-1.00, 0.17)], tilt=-55)
    _tail(clay)
    return clay.skin(step=0.0165, triangles=12_000)


def _trunk(clay: Clay) -> None:
    """Deep chest, tucked belly, round croup, the back dipping between withers and croup."""
    clay.limb(
        [(0, 0.58, 1.22), (0, 0.30, 1.19), (0, -0.10, 1.21), (0, -0.45, 1.28), (0, -0.62, 1.28)],
        [0.28, 0.35, 0.31, 0.28, 0.22],
        width=[0.88, 0.82, 0.92, 0.92, 0.9],
    )
    clay.limb([(0, 0.48, 1.50), (0, 0.25, 1.50), (0, 0.0, 1.44)], [0.09, 0.08, 0.06], blend=0.18)  # withers
    clay.ball((0.13, -0.50, 1.29), (0.15, 0.28, 0.25), turn=(20, 0, 0), both=True, blend=0.15)  # haunches
    cleft = [(0, -0.84, 1.32), (0, -0.80, 1.10), (0, -0.62, 0.90)]
    clay.limb(cleft, [0.03] * 3, blend=0.10, carve=True)
    clay.ball((0.17, 0.50, 1.20), (0.11, 0.18, 0.28), turn=(-25, 0, 0), both=True, blend=0.06)  # shoulders
    clay.ball((0.10, 0.73, 1.14), (0.11, 0.12, 0.17), both=True, blend=0.05)  # breast


def _neck(clay: Clay) -> None:
    clay.limb(
        [(0, 0.52, 1.33), (0, 0.77, 1.60), (0, 0.92, 1.92), (0, 1.08, 2.12)],
        [0.30, 0.24, 0.19, 0.135],
        width=[0.64, 0.62, 0.62, 0.72],
        blend=0.15,
    )
    crest = [(0.34, 1.57), (0.47, 1.66), (0.58, 1.78), (0.67, 1.92), (0.76, 2.06), (0.87, 2.18), (1.01, 2.25)]
    clay.limb([(0, *p) for p in [*crest, (1.16, 2.22)]], [0.05] + 6 * [0.085] + [0.03], width=0.5, blend=0.04)
    # The mane streams back from the crest, a lock at a time, now to one side and now to the other.
    for place, (y, z) in enumerate(crest[1:]):
        lean = 0.05 if place % 2 else -0.05
        clay.limb(
            [(0, y + 0.08, z), (lean, y - 0.05, z + 0.045), (1.6 * lean, y - 0.17, z - 0.01)],
            [0.07, 0.06, 0.012],
            width=0.7,
            blend=0.03,
        )
        hanging = [(0, y, z), (0.11, y, z - 0.09), (0.14, y - 0.04, z - 0.24)]
        clay.limb(hanging, [0.07, 0.055, 0.012], blend=0.02)
    forelock = [(0, 1.10, 2.24), (0.01, 1.24, 2.20), (0.02, 1.31, 2.06)]
    clay.limb(forelock, [0.05, 0.045, 0.012], blend=0.02)


def _head(clay: Clay) -> None:
    clay.limb(
        [(0, 1.12, 2.12), (0, 1.25, 1.97), (0, 1.38, 1.76), (0, 1.47, 1.62)],
        [0.125, 0.135, 0.098, 0.09],
        width=[0.85, 0.8, 0.8, 0.95],
        blend=0.06,
    )
    clay.ball((0.05, 1.16, 1.94), (0.055, 0.13, 0.13), both=True, blend=0.03)  # cheeks
    clay.ball((0.092, 1.28, 2.03), 0.038, both=True, blend=0.025)  # eyes
    clay.ball((0, 1.415, 1.585), (0.062, 0.07, 0.05), turn=(-55, 0, 0), blend=0.03)  # chin
    clay.ball((0.068, 1.525, 1.64), (0.03, 0.03, 0.042), both=True, blend=0.02, carve=True)  # nostrils
    clay.limb(
        [(-0.09, 1.41, 1.64), (-0.08, 1.46, 1.57), (0, 1.50, 1.52), (0.08, 1.46, 1.57), (0.09, 1.41, 1.64)],
        [0.016] * 5,
        blend=0.015,
        carve=True,
    )  # mouth
    clay.limb(
        [(0.06, 1.09, 2.18), (0.095, 1.09, 2.31), (0.085, 1.14, 2.45)],
        [0.05, 0.06, 0.012],
        width=0.65,
        across=(0.4, 1, 0),
        both=True,
        blend=0.03,
    )  # ears


def _fore_leg(clay: Clay, x: float, joints: list[tuple[float, float]], tilt: float) -> None:
    elbow, knee, fetlock, coronet = [(x, *joint) for joint in joints]
    clay.limb([(x, 0.50, 1.20), elbow, knee], [0.17, 0.13, 0.07], blend=0.07)
    _shank(clay, knee, fetlock, coronet, tilt)


def _hind_leg(clay: Clay, x: float, joints: list[tuple[float, float]], tilt: float) -> None:
    stifle, hock, fetlock, coronet = [(x, *joint) for joint in joints]
    clay.limb([(0.9 * x, -0.52, 1.25), stifle, hock], [0.24, 0.165, 0.075], width=0.85, blend=0.08)
    above_hock = 0.55 * np.array(hock) + 0.45 * np.array(stifle) + (0, -0.05, 0.05)
    clay.limb([(0.8 * x, -0.66, 1.24), above_hock, hock], [0.17, 0.09, 0.06], blend=0.06)  # hamstring
    clay.ball(np.array(hock) + (0, -0.03, 0.035), 0.058, blend=0.04)  # point of the hock
    _shank(clay, hock, fetlock, coronet, tilt)


def _shank(clay: Clay, joint: tuple, fetlock: tuple, coronet: tuple, tilt: float) -> None:
    """From the knee or the hock down: cannon bone, fetlock, pastern, hoof."""
    clay.ball(joint, 0.08, blend=0.04)
    clay.limb([joint, fetlock], [0.062, 0.057], blend=0.04)
    clay.ball(fetlock, 0.068, blend=0.03)
    clay.limb([fetlock, coronet], [0.056, 0.06], blend=0.02)
    _hoof(clay, coronet, tilt)


def _hoof(clay: Clay, coronet: tuple, tilt: float) -> None:
    """A cone that widens to a flat sole; ``tilt`` degrees turn the toe up."""
    turn = np.radians(tilt)
    forward = np.array([0, np.cos(turn), np.sin(turn)])
    down = np.array([0, np.sin(turn), -np.cos(turn)])
    clay.limb([coronet, coronet + 0.11 * down + 0.04 * forward], [0.062, 0.098], blend=0.02)
    beneath = coronet + 0.19 * down
    clay.block(beneath, (0.13, 0.17, 0.1), rounding=0, turn=(tilt, 0, 0), blend=0.03, carve=True)


def _tail(clay: Clay) -> None:
    """Carried clear of the haunches, in three strands that part towards the end."""
    for x, back, length in ((0, 0, 0), (0.08, 0.05, 0.10), (-0.08, 0.03, 0.04)):
        clay.limb(
            [
                (0, -0.70, 1.44),
                (0, -0.86, 1.49),
                (0.6 * x, -1.00 - 0.5 * back, 1.34),
                (x, -1.07 - back, 1.04),
                (1.3 * x, -1.10 - 1.5 * back, 0.78 + length),
                (1.6 * x, -1.18 - 2 * back, 0.56 + length),
            ],
            [0.06, 0.065, 0.085, 0.10, 0.08, 0.015],
            width=0.75,
            blend=0.03,
        )
