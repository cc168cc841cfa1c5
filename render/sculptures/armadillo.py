# SPDX-License-Identifier: GPL-3.0-or-later
"""An armadillo that noses along the ground: a long low dome of banded shell, a cone of a head, mule's ears, and a
thick ringed tail stretched out behind.

One unit is about half the length of the shell; Y is forward, Z up, the ground at 0.
"""

import numpy as np

from sculptures.clay import Clay

# Along the shell: Y, height of its middle line and radius upwards.
SHELL = [
    (-0.76, 0.46, 0.50),
    (-0.50, 0.50, 0.73),
    (-0.08, 0.54, 0.87),
    (0.34, 0.52, 0.82),
    (0.68, 0.46, 0.62),
]
SHELL_WIDTH = 1.0  # over its height
RIM = 0.36  # height at which the shell ends
FLARE, FLARE_HEIGHT = 0.07, 0.20  # outwards at the rim, from how far above it
ARCH = 0.17  # radius of the rim's arches over the legs
FRONT = 0.98  # Y of its edge over the neck

BANDS = 3  # broad ones: nine would blur together from afar
# The grooves between the bands lie on planes that fan out from a line below the belly.
FAN = (-0.06, -1.2)  # Y and Z of that line
BANDS_FROM, BANDS_TO = -20.0, 20.0  # degrees forward
GROOVE = 0.14

# The middle line of the tail, and its radius at each point.
TAIL = [
    (0.00, -0.92, 0.50),
    (0.00, -1.18, 0.43),
    (0.02, -1.46, 0.38),
    (0.06, -1.74, 0.37),
    (0.12, -2.00, 0.41),
    (0.19, -2.22, 0.50),
]
TAIL_RADII = [0.39, 0.335, 0.28, 0.22, 0.16, 0.07]
RINGS = 6

EARS_FACE = (0.3, 1, 0)  # where the ears turn their hollows
FORE_LEGS, HIND_LEGS = 0.58, -0.58  # Y
LEGS_APART = 0.54  # of each leg from the middle


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the armadillo."""
    clay = Clay()
    _shell(clay)
    _belly(clay)
    _tail(clay)
    _head(clay)
    _leg(clay, 1, FORE_LEGS, FORE_LEGS + 0.16)
    _leg(clay, -1, FORE_LEGS, FORE_LEGS - 0.02)
    _leg(clay, 1, HIND_LEGS, HIND_LEGS - 0.02)
    _leg(clay, -1, HIND_LEGS, HIND_LEGS + 0.18)
    clay.slice_below(0)
    return clay.skin(step=0.0135, triangles=15_000)


def _shell(clay: Clay) -> None:
    """A dome cut off at the rim and before the neck, with grooves across its middle."""
    clay.limb([(0, y, z) for y, z, _ in SHELL], [radius for *_, radius in SHELL], width=SHELL_WIDTH)
    clay.relief(_flare, (-1, -2, 0), (1, 2, RIM + FLARE_HEIGHT))
    clay.block((0, 0, RIM - 0.5), (2, 2, 0.5), rounding=0.02, blend=0.07, carve=True)
    for y in (FORE_LEGS + 0.05, HIND_LEGS):
        clay.limb([(-1, y, RIM - 0.10), (1, y, RIM - 0.10)], [ARCH, ARCH], blend=0.12, carve=True)
    clay.block((0, FRONT + 0.5, 0.7), (1, 0.5, 1), rounding=0.02, turn=(8, 0, 0), blend=0.06, carve=True)
    clay.relief(_bands, (-1, -1, RIM - 0.02), (1, 1, 2))


def _flare(points: np.ndarray) -> np.ndarray:
    """Outwards the more, the nearer to the rim."""
    return -FLARE * np.clip(1 - (points[..., 2] - RIM) / FLARE_HEIGHT, 0, 1) ** 2


def _bands(points: np.ndarray) -> np.ndarray:
    """Depth of the grooves, which lie between the bands and at either end of them."""
    angle = np.degrees(np.arctan2(points[..., 1] - FAN[0], points[..., 2] - FAN[1]))
    place = (angle - BANDS_FROM) / (BANDS_TO - BANDS_FROM) * BANDS
    off = np.abs(place - np.clip(np.round(place), 0, BANDS))
    return GROOVE * np.cos(np.pi * np.minimum(off, 0.5)) ** 4


def _belly(clay: Clay) -> None:
    """What hangs below the rim, narrower than the shell."""
    clay.limb(
        [(0, -0.70, 0.46), (0, -0.3, 0.44), (0, 0.3, 0.44), (0, 0.76, 0.48)],
        [0.20, 0.28, 0.27, 0.22],
        width=2.2,
        blend=0.02,
    )


def _tail(clay: Clay) -> None:
    """A tapering core strung with round rings."""
    clay.limb(TAIL, [0.78 * radius for radius in TAIL_RADII], blend=0.04)
    ends = np.linspace(0.45, len(TAIL) - 1.3, RINGS + 1)
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
    """A cone with a shield on its brow; the ears close together on the crown."""
    clay.limb([(0, 0.66, 0.60), (0, 1.02, 0.60)], [0.38, 0.30], blend=0.02)  # neck
    clay.limb(
        [(0, 1.02, 0.62), (0, 1.18, 0.58), (0, 1.40, 0.46), (0, 1.60, 0.33), (0, 1.74, 0.25)],
        [0.28, 0.30, 0.225, 0.15, 0.115],
        blend=0.04,
    )
    clay.ball((0, 1.75, 0.245), (0.125, 0.085, 0.10), turn=(-35, 0, 0), blend=0.02)  # snout
    clay.ball((0.054, 1.83, 0.24), 0.03, blend=0.01, both=True, carve=True)  # nostrils
    clay.ball((0.215, 1.31, 0.57), 0.06, blend=0.015, both=True)  # eyes
    # Shield.
    clay.limb(
        [(0, 1.06, 0.87), (0, 1.25, 0.82), (0, 1.50, 0.60)],
        [0.07, 0.085, 0.04],
        width=2.6,
        blend=0.004,
    )
    # Ears.
    clay.limb(
        [(0.14, 1.04, 0.80), (0.23, 1.00, 1.02), (0.31, 0.96, 1.24), (0.37, 0.94, 1.42)],
        [0.12, 0.20, 0.18, 0.07],
        width=0.5,
        across=EARS_FACE,
        both=True,
        blend=0.02,
    )
    # Their hollows.
    clay.limb(
        [(0.245, 1.10, 0.98), (0.33, 1.06, 1.26)],
        [0.125, 0.095],
        width=0.7,
        across=EARS_FACE,
        both=True,
        blend=0.02,
        carve=True,
    )


def _leg(clay: Clay, side: int, y: float, foot: float) -> None:
    """Thick and short, with a great claw on each toe."""
    x = side * LEGS_APART
    clay.limb([(0.85 * x, y, 0.46), (x, y, 0.28), (1.1 * x, foot, 0.12)], [0.22, 0.21, 0.17], blend=0.02)
    for spread in (-1, 0, 1):
        start = np.array([1.1 * x + 0.10 * spread, foot + 0.07, 0.10])
        ahead = np.array([0.06 * spread, 0.19 - 0.03 * spread**2, 0])
        clay.limb(
            [start, start + 0.7 * ahead, start + 1.6 * ahead + (0, 0, -0.10)],
            [0.08, 0.075, 0.015],
            blend=0.015,
        )
