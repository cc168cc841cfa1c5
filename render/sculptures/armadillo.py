# SPDX-License-Identifier: GPL-3.0-or-later
"""An armadillo reared up to sniff the air: banded shell like a cape, great claws, ringed tail for a prop.

One unit is about half the height of the shell; Y is forward, Z up, the ground at 0.
"""

import numpy as np

from sculptures.tools import Clay

# Up the back, the middle line of the shell and its radius.
SHELL = [(0, 0.02, 0.52), (0, -0.06, 0.84), (0, 0.00, 1.20), (0, 0.14, 1.50), (0, 0.26, 1.68)]
SHELL_RADII = [0.61, 0.76, 0.78, 0.68, 0.55]
RIM = 0.34  # height at which it ends over the thighs
OPENING = 0.16  # Y of the rim, at the height of MIDDLE; in front of it is the belly
OPENING_LEAN = -20  # degrees that the rim leans forward
MIDDLE = 1.1
FLARE, FLARE_DEPTH = 0.06, 0.22  # outwards at the rim, from how far behind it

# The grooves between the bands lie on planes that fan out from a line before the belly.
FAN = (1.9, 1.02)  # Y and Z of that line
BANDS = 4  # nine would blur together from afar
BANDS_FROM, BANDS_TO = -13.0, 15.0  # degrees upwards
GROOVE = 0.09

# The middle line of the tail, and its radius at each point.
TAIL = [
    (0.00, -0.38, 0.52),
    (0.00, -0.68, 0.34),
    (0.03, -0.95, 0.22),
    (0.12, -1.18, 0.18),
    (0.30, -1.36, 0.20),
    (0.54, -1.43, 0.32),
    (0.74, -1.40, 0.52),
]
TAIL_RADII = [0.36, 0.32, 0.265, 0.22, 0.18, 0.135, 0.055]
RINGS = 8


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the armadillo."""
    clay = Clay()
    _shell(clay)
    _belly(clay)
    _tail(clay)
    _head(clay)
    _hind_leg(clay, 1, 0.30)
    _hind_leg(clay, -1, 0.20)
    _fore_leg(clay, 1, 0.10)
    _fore_leg(clay, -1, 0.0)
    clay.slice_below(0)
    return clay.skin(step=0.0125, triangles=15_000)


def _shell(clay: Clay) -> None:
    """A tall dome opened in front, with grooves across its middle."""
    clay.limb(SHELL, SHELL_RADII)
    clay.relief(_flare, (-1, -2, 0), (1, 2, 3))
    tilt = np.radians(OPENING_LEAN)
    forward = np.array([0, np.cos(tilt), np.sin(tilt)])
    clay.block(
        np.array([0, OPENING, MIDDLE]) + 0.8 * forward,
        (2, 0.8, 2),
        rounding=0.02,
        turn=(OPENING_LEAN, 0, 0),
        blend=0.07,
        carve=True,
    )
    clay.block((0, 0, RIM - 0.5), (2, 2, 0.5), rounding=0.02, turn=(12, 0, 0), blend=0.08, carve=True)
    clay.relief(_bands, (-1, -1, 0.2), (1, 0.9, 2.2))


def _flare(points: np.ndarray) -> np.ndarray:
    """Outwards the more, the nearer to the rim."""
    tilt = np.radians(OPENING_LEAN)
    behind = (OPENING - points[..., 1]) * np.cos(tilt) + (MIDDLE - points[..., 2]) * np.sin(tilt)
    return -FLARE * np.clip(1 - behind / FLARE_DEPTH, 0, 1) ** 2


def _bands(points: np.ndarray) -> np.ndarray:
    """Depth of the grooves, which lie between the bands and at either end of them."""
    angle = np.degrees(np.arctan2(points[..., 2] - FAN[1], FAN[0] - points[..., 1]))
    place = (angle - BANDS_FROM) / (BANDS_TO - BANDS_FROM) * BANDS
    off = np.abs(place - np.clip(np.round(place), 0, BANDS))
    return GROOVE * np.cos(np.pi * np.minimum(off, 0.5)) ** 4


def _belly(clay: Clay) -> None:
    """What the shell leaves free, narrower than it."""
    clay.limb(
        [(0, 0.10, 0.48), (0, 0.14, 0.80), (0, 0.20, 1.15), (0, 0.32, 1.46), (0, 0.42, 1.70)],
        [0.42, 0.48, 0.44, 0.36, 0.28],
        width=1.12,
        blend=0.02,
    )


def _tail(clay: Clay) -> None:
    """A tapering core strung with round rings."""
    clay.limb(TAIL, [0.78 * radius for radius in TAIL_RADII], blend=0.04)
    ends = np.linspace(0.7, len(TAIL) - 1.35, RINGS + 1)
    places = np.arange(len(TAIL))
    knots = np.array([[np.interp(end, places, column) for column in np.array(TAIL).T] for end in ends])
    radii = np.interp(ends, places, TAIL_RADII)
    for start, stop, radius in zip(knots[:-1], knots[1:], radii, strict=False):
        middle, along = (start + stop) / 2, stop - start
        pitch = np.degrees(np.arctan2(-along[2], np.hypot(along[0], along[1])))
        heading = np.degrees(np.arctan2(along[0], -along[1]))
        half = 0.54 * np.linalg.norm(along)
        clay.ball(middle, (1.12 * radius, half, 1.12 * radius), turn=(pitch, 0, heading), blend=0.012)


def _head(clay: Clay) -> None:
    """A cone that points up, with a shield on its brow; the ears turned out."""
    clay.limb([(0, 0.34, 1.66), (0, 0.46, 1.98)], [0.30, 0.25], blend=0.02)  # neck
    clay.limb(
        [(0, 0.42, 2.02), (0, 0.58, 2.06), (0, 0.82, 2.13), (0, 1.02, 2.23), (0, 1.17, 2.32)],
        [0.25, 0.265, 0.20, 0.135, 0.105],
        blend=0.04,
    )
    clay.ball((0, 1.19, 2.33), (0.12, 0.075, 0.10), turn=(25, 0, 0), blend=0.02)  # snout
    clay.ball((0.05, 1.26, 2.365), 0.028, blend=0.01, both=True, carve=True)  # nostrils
    clay.ball((0.195, 0.72, 2.14), 0.055, blend=0.015, both=True)  # eyes
    clay.limb(
        [(0, 0.40, 2.24), (0, 0.60, 2.30), (0, 0.92, 2.32)],
        [0.065, 0.075, 0.035],
        width=2.6,
        blend=0.004,
    )  # shield
    ear = np.array([(0.14, 0.42, 2.14), (0.30, 0.36, 2.28), (0.43, 0.29, 2.43), (0.50, 0.25, 2.56)])
    facing = (0.5, 1, 0.1)
    clay.limb(ear, [0.10, 0.17, 0.16, 0.055], width=0.5, across=facing, both=True, blend=0.02)
    hollow = ear[1:3] + (0.03, 0.07, 0)
    clay.limb(hollow, [0.105, 0.095], width=0.7, across=facing, both=True, blend=0.02, carve=True)


def _hind_leg(clay: Clay, side: int, foot: float) -> None:
    """Thick, the knee turned out, the whole sole on the ground."""
    x = 0.54 * side
    clay.ball((0.42 * side, 0.16, 0.50), (0.25, 0.34, 0.36), turn=(20, 0, 0), blend=0.03)  # thigh
    clay.limb(
        [
            (x, 0.20, 0.44),
            (1.05 * x, 0.12, 0.24),
            (1.08 * x, foot - 0.10, 0.13),
            (1.1 * x, foot + 0.18, 0.10),
        ],
        [0.24, 0.19, 0.17, 0.15],
        width=1.15,
        blend=0.03,
    )
    _claws(clay, np.array([1.1 * x, foot + 0.25, 0.10]), np.array([0.04 * side, 0.22, -0.10]), 0.12, 0.085)


def _fore_leg(clay: Clay, side: int, lift: float) -> None:
    """Spread before the belly, the paw hanging."""
    shoulder, elbow = (0.36 * side, 0.38, 1.48), (0.74 * side, 0.62, 1.30)
    wrist = (0.78 * side, 0.94, 1.40 + lift)
    clay.limb([shoulder, elbow, wrist], [0.23, 0.185, 0.15], blend=0.04)
    paw = np.array(wrist) + (-0.02 * side, 0.08, -0.03)
    clay.ball(paw, (0.16, 0.14, 0.13), blend=0.03)
    _claws(clay, paw + (0, 0.05, -0.03), np.array([-0.02 * side, 0.17, -0.26]), 0.11, 0.07)


def _claws(clay: Clay, root: np.ndarray, reach: np.ndarray, apart: float, radius: float) -> None:
    """Three that fan out and bend down, the middle one the longest."""
    for spread in (-1, 0, 1):
        start = root + (apart * spread, 0, 0)
        ahead = (1 - 0.2 * spread**2) * reach + (0.5 * apart * spread, 0, 0)
        bend = np.array([0, -0.15 * reach[1], 0.15 * abs(reach[2])])
        clay.limb(
            [start, start + 0.55 * ahead + 2 * bend * (0, 0, 1), start + ahead],
            [radius, 0.8 * radius, 0.015],
            blend=0.015,
        )
