# SPDX-License-Identifier: GPL-3.0-or-later
"""A horse prancing: neck arched, mane flying, tail like a plume, one foreleg lifted high and no two legs alike.

Measures are in metres of a horse of 1.6 m at the withers; Y is forward, Z up, the ground at 0.
"""

import numpy as np

from sculptures.clay import Clay

HIP, STANCE = 0.21, 0.36  # of each leg from the middle: at the trunk, at the hoof


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the horse."""
    clay = Clay()
    _trunk(clay)
    _neck(clay)
    _mane(clay)
    _head(clay)
    # The joints as (y, z): elbow or stifle, knee or hock, fetlock, coronet. No two legs are in the same
    # phase, so that the stride shows from every side.
    _fore_leg(clay, 1, [(0.62, 1.06), (1.06, 0.98), (1.02, 0.58), (0.93, 0.47)], tilt=-55)
    _fore_leg(clay, -1, [(0.52, 0.96), (0.68, 0.56), (0.78, 0.20), (0.86, 0.10)], tilt=10)
    _hind_leg(clay, -1, [(-0.26, 1.00), (-0.44, 0.58), (-0.14, 0.24), (-0.05, 0.14)], tilt=12)
    _hind_leg(clay, 1, [(-0.48, 0.95), (-0.88, 0.66), (-1.08, 0.30), (-1.12, 0.17)], tilt=-55)
    _tail(clay)
    return clay.skin(step=0.0165, triangles=12_000)


def _trunk(clay: Clay) -> None:
    """Deep chest, tucked belly, round croup, the back dipping between withers and croup."""
    clay.limb(
        [(0, 0.56, 1.22), (0, 0.30, 1.18), (0, -0.10, 1.20), (0, -0.45, 1.27), (0, -0.62, 1.28)],
        [0.32, 0.385, 0.345, 0.31, 0.25],
        width=[0.95, 0.95, 1.0, 1.0, 1.0],
    )
    clay.limb([(0, 0.48, 1.52), (0, 0.25, 1.51), (0, 0.0, 1.45)], [0.10, 0.09, 0.06], blend=0.18)  # withers
    clay.ball((0.17, -0.50, 1.29), (0.18, 0.31, 0.28), turn=(20, 0, 0), both=True, blend=0.15)  # haunches
    cleft = [(0, -0.88, 1.32), (0, -0.84, 1.10), (0, -0.66, 0.90)]
    clay.limb(cleft, [0.03] * 3, blend=0.10, carve=True)
    clay.ball((0.21, 0.50, 1.18), (0.14, 0.20, 0.30), turn=(-25, 0, 0), both=True, blend=0.06)  # shoulders
    clay.ball((0.12, 0.76, 1.14), (0.13, 0.13, 0.18), both=True, blend=0.05)  # breast


def _neck(clay: Clay) -> None:
    clay.limb(
        [(0, 0.50, 1.34), (0, 0.76, 1.60), (0, 0.86, 1.92), (0, 0.98, 2.15), (0, 1.14, 2.18)],
        [0.34, 0.29, 0.235, 0.18, 0.145],
        width=[0.72, 0.68, 0.66, 0.70, 0.76],
        blend=0.15,
    )


def _mane(clay: Clay) -> None:
    """Streams back from the crest, a lock at a time, now to one side and now to the other; a forelock."""
    crest = [(0.30, 1.58), (0.42, 1.72), (0.52, 1.88), (0.60, 2.05), (0.71, 2.21), (0.87, 2.32), (1.06, 2.34)]
    clay.limb([(0, *p) for p in crest], [0.06] + 5 * [0.11] + [0.07], width=0.6, blend=0.05)
    for place, (y, z) in enumerate(crest[1:]):
        lean = 0.07 if place % 2 else -0.07
        clay.limb(
            [
                (0, y + 0.10, z - 0.02),
                (lean, y - 0.08, z + 0.07),
                (1.8 * lean, y - 0.24, z + 0.02),
                (2.0 * lean, y - 0.36, z - 0.02),
            ],
            [0.10, 0.095, 0.065, 0.012],
            width=0.8,
            blend=0.03,
        )
        for side in (-1, 1):
            hanging = [(0, y + 0.06, z), (0.18 * side, y + 0.03, z - 0.12), (0.25 * side, y - 0.12, z - 0.36)]
            clay.limb(hanging, [0.09, 0.08, 0.014], blend=0.02)
    forelock = [(0, 1.06, 2.32), (0.01, 1.24, 2.27), (0.02, 1.33, 2.10)]
    clay.limb(forelock, [0.07, 0.06, 0.014], blend=0.02)


def _head(clay: Clay) -> None:
    clay.limb(
        [(0, 1.10, 2.17), (0, 1.23, 2.02), (0, 1.33, 1.79), (0, 1.39, 1.63)],
        [0.15, 0.165, 0.12, 0.11],
        width=[0.88, 0.84, 0.84, 0.98],
        blend=0.06,
    )
    clay.ball((0.06, 1.13, 1.98), (0.07, 0.15, 0.15), both=True, blend=0.03)  # cheeks
    clay.ball((0.116, 1.27, 2.08), 0.043, both=True, blend=0.025)  # eyes
    clay.ball((0, 1.33, 1.59), (0.076, 0.082, 0.06), turn=(-60, 0, 0), blend=0.03)  # chin
    clay.ball((0.082, 1.465, 1.65), (0.036, 0.036, 0.05), both=True, blend=0.02, carve=True)  # nostrils
    # Mouth.
    clay.limb(
        [(-0.11, 1.32, 1.65), (-0.10, 1.37, 1.57), (0, 1.42, 1.51), (0.10, 1.37, 1.57), (0.11, 1.32, 1.65)],
        [0.018] * 5,
        blend=0.015,
        carve=True,
    )
    # Ears.
    clay.limb(
        [(0.08, 1.08, 2.26), (0.135, 1.09, 2.41), (0.12, 1.15, 2.56)],
        [0.06, 0.075, 0.014],
        width=0.65,
        across=(0.4, 1, 0),
        both=True,
        blend=0.03,
    )


def _fore_leg(clay: Clay, side: int, joints: list[tuple[float, float]], tilt: float) -> None:
    elbow, knee, fetlock, coronet = _splayed(side, joints)
    clay.limb([(HIP * side, 0.50, 1.20), elbow, knee], [0.20, 0.16, 0.095], blend=0.07)
    _shank(clay, knee, fetlock, coronet, tilt)


def _hind_leg(clay: Clay, side: int, joints: list[tuple[float, float]], tilt: float) -> None:
    stifle, hock, fetlock, coronet = _splayed(side, joints)
    clay.limb([(0.9 * HIP * side, -0.52, 1.25), stifle, hock], [0.27, 0.195, 0.095], width=0.9, blend=0.08)
    above_hock = 0.55 * hock + 0.45 * stifle + (0, -0.05, 0.05)
    # Hamstring.
    clay.limb([(0.8 * HIP * side, -0.68, 1.24), above_hock, hock], [0.19, 0.11, 0.075], blend=0.06)
    clay.ball(hock + (0, -0.035, 0.04), 0.07, blend=0.04)  # point of the hock
    _shank(clay, hock, fetlock, coronet, tilt)


def _splayed(side: int, joints: list[tuple[float, float]]) -> np.ndarray:
    """The joints with their X, ever farther from the middle."""
    return np.column_stack([side * np.linspace(HIP, STANCE, len(joints)), joints])


def _shank(clay: Clay, joint: np.ndarray, fetlock: np.ndarray, coronet: np.ndarray, tilt: float) -> None:
    """From the knee or the hock down: cannon bone, fetlock, pastern, hoof."""
    clay.ball(joint, 0.105, blend=0.04)
    clay.limb([joint, fetlock], [0.082, 0.076], blend=0.04)
    clay.ball(fetlock, 0.092, blend=0.03)
    clay.limb([fetlock, coronet], [0.078, 0.08], blend=0.02)
    _hoof(clay, coronet, tilt)


def _hoof(clay: Clay, coronet: np.ndarray, tilt: float) -> None:
    """A cone that widens to a flat sole; ``tilt`` degrees turn the toe up."""
    turn = np.radians(tilt)
    forward = np.array([0, np.cos(turn), np.sin(turn)])
    down = np.array([0, np.sin(turn), -np.cos(turn)])
    clay.limb([coronet, coronet + 0.13 * down + 0.05 * forward], [0.085, 0.13], blend=0.02)
    beneath = coronet + 0.24 * down
    clay.block(beneath, (0.17, 0.22, 0.12), rounding=0, turn=(tilt, 0, 0), blend=0.03, carve=True)


def _tail(clay: Clay) -> None:
    """Carried high and clear of the haunches, swung to one side, in three strands that part towards the end."""
    for x, back, length in ((0, 0, 0), (0.17, 0.07, 0.14), (-0.17, 0.04, 0.06)):
        clay.limb(
            [
                (0, -0.72, 1.44),
                (0, -0.92, 1.56),
                (0.6 * x + 0.05, -1.16 - 0.5 * back, 1.46),
                (x + 0.14, -1.29 - back, 1.14),
                (1.3 * x + 0.23, -1.31 - 1.5 * back, 0.80 + length),
                (1.7 * x + 0.36, -1.40 - 2 * back, 0.48 + length),
            ],
            [0.08, 0.105, 0.15, 0.17, 0.13, 0.018],
            width=0.85,
            blend=0.03,
        )
