# SPDX-License-Identifier: GPL-3.0-or-later
"""An armadillo on the alert: domed shell of two shields with bands between, mule's ears, ringed tail.

One unit is about half the length of the shell; Y is forward, Z up, the ground at 0. The tail sweeps round
to one side, which leaves the body large within the whole.
"""

import numpy as np

from sculptures.tools import Clay

# Along the shell: Y, and its radius upwards from AXIS, where it is widest.
SHELL = [(-0.46, 0.60), (-0.24, 0.74), (0.03, 0.79), (0.27, 0.74), (0.44, 0.65)]
AXIS = 0.44
SHELL_WIDTH = 0.80  # over its height
RIM = 0.36  # height at which the shell ends
FLARE, FLARE_HEIGHT = 0.04, 0.16  # outwards at the rim, from how far above it
ARCH = 0.20  # radius of the rim's arches over the legs
FRONT = 0.80  # Y of its edge over the neck

BANDS = 5  # nine would blur together from afar
BANDS_FROM, BANDS_TO = -0.45, 0.38  # along Y, at the height of BANDS_AT
BANDS_AT = 0.8
BANDS_LEAN = 0.10  # backwards, for each unit down the flank
GROOVE = 0.07

# The middle line of the tail, and its radius at each point.
TAIL = [
    (0.00, -0.80, 0.44),
    (0.00, -1.04, 0.34),
    (0.08, -1.28, 0.23),
    (0.25, -1.48, 0.17),
    (0.48, -1.59, 0.19),
    (0.68, -1.60, 0.32),
    (0.75, -1.59, 0.50),
]
TAIL_RADII = [0.24, 0.21, 0.18, 0.155, 0.13, 0.10, 0.04]
RINGS = 9

EARS_FACE = (0.3, 1, 0)  # where the ears turn their hollows
FORE_LEGS, HIND_LEGS = 0.50, -0.58  # Y
LEGS_APART = 0.34  # of each leg from the middle


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the armadillo."""
    clay = Clay()
    _shell(clay)
    _belly(clay)
    _tail(clay)
    _head(clay)
    for side in (-1, 1):
        _leg(clay, side, FORE_LEGS, FORE_LEGS + 0.05)
        _leg(clay, side, HIND_LEGS, HIND_LEGS + 0.08)
    clay.slice_below(0)
    return clay.skin(step=0.0115, triangles=15_000)


def _shell(clay: Clay) -> None:
    """A dome cut off at the rim and before the neck, with grooves across its middle."""
    clay.limb([(0, y, AXIS) for y, _ in SHELL], [radius for _, radius in SHELL], width=SHELL_WIDTH)
    clay.relief(_flare, (-1, -2, 0), (1, 2, RIM + FLARE_HEIGHT))
    clay.block((0, 0, RIM - 0.5), (1, 2, 0.5), rounding=0.02, blend=0.07, carve=True)
    for y in (FORE_LEGS, HIND_LEGS):
        clay.limb([(-1, y, RIM - 0.12), (1, y, RIM - 0.12)], [ARCH, ARCH], blend=0.12, carve=True)
    clay.block((0, FRONT + 0.5, 0.7), (1, 0.5, 1), rounding=0.02, turn=(8, 0, 0), blend=0.06, carve=True)
    clay.relief(_bands, (-1, BANDS_FROM - 0.2, RIM - 0.02), (1, BANDS_TO + 0.2, 2))


def _flare(points: np.ndarray) -> np.ndarray:
    """Outwards the more, the nearer to the rim."""
    return -FLARE * np.clip(1 - (points[..., 2] - RIM) / FLARE_HEIGHT, 0, 1) ** 2


def _bands(points: np.ndarray) -> np.ndarray:
    """Depth of the grooves, which lie between the bands and at either end of them."""
    y = points[..., 1] + BANDS_LEAN * (BANDS_AT - points[..., 2])
    place = (y - BANDS_FROM) / (BANDS_TO - BANDS_FROM) * BANDS
    off = np.abs(place - np.clip(np.round(place), 0, BANDS))
    return GROOVE * np.cos(np.pi * np.minimum(off, 0.5)) ** 4


def _belly(clay: Clay) -> None:
    """What hangs below the rim, narrower than the shell."""
    clay.limb(
        [(0, -0.58, 0.46), (0, -0.2, 0.46), (0, 0.3, 0.46), (0, 0.62, 0.50)],
        [0.20, 0.28, 0.27, 0.22],
        width=1.55,
        blend=0.02,
    )


def _tail(clay: Clay) -> None:
    """A tapering core strung with round rings."""
    clay.limb(TAIL, [0.78 * radius for radius in TAIL_RADII], blend=0.04)
    ends = np.linspace(0.55, len(TAIL) - 1.35, RINGS + 1)
    places = np.arange(len(TAIL))
    knots = np.array([[np.interp(end, places, column) for column in np.array(TAIL).T] for end in ends])
    radii = np.interp(ends, places, TAIL_RADII)
    for start, stop, radius in zip(knots[:-1], knots[1:], radii, strict=False):
        middle, along = (start + stop) / 2, stop - start
        pitch = np.degrees(np.arctan2(-along[2], np.hypot(along[0], along[1])))
        heading = np.degrees(np.arctan2(along[0], -along[1]))
        half = 0.52 * np.linalg.norm(along)
        clay.ball(middle, (1.14 * radius, half, 1.14 * radius), turn=(pitch, 0, heading), blend=0.012)


def _head(clay: Clay) -> None:
    """A cone with a shield on its brow; the ears close together on the crown."""
    clay.limb([(0, 0.60, 0.58), (0, 0.92, 0.62)], [0.27, 0.22], blend=0.02)  # neck
    clay.limb(
        [(0, 0.92, 0.66), (0, 1.08, 0.62), (0, 1.28, 0.49), (0, 1.48, 0.34), (0, 1.62, 0.25)],
        [0.21, 0.23, 0.165, 0.10, 0.075],
        blend=0.04,
    )
    clay.ball((0, 1.63, 0.245), (0.088, 0.06, 0.07), turn=(-35, 0, 0), blend=0.02)  # snout
    clay.ball((0.04, 1.69, 0.235), 0.022, blend=0.01, both=True, carve=True)  # nostrils
    clay.ball((0.165, 1.20, 0.60), 0.05, blend=0.015, both=True)  # eyes
    clay.limb(
        [(0, 1.00, 0.85), (0, 1.17, 0.79), (0, 1.40, 0.565)],
        [0.055, 0.065, 0.03],
        width=2.6,
        blend=0.004,
    )  # shield
    clay.limb(
        [(0.09, 0.97, 0.80), (0.135, 0.94, 0.98), (0.18, 0.91, 1.16), (0.21, 0.90, 1.30)],
        [0.10, 0.16, 0.14, 0.055],
        width=0.5,
        across=EARS_FACE,
        both=True,
        blend=0.02,
    )  # ears
    clay.limb(
        [(0.145, 1.03, 0.94), (0.20, 1.00, 1.18)],
        [0.10, 0.075],
        width=0.7,
        across=EARS_FACE,
        both=True,
        blend=0.02,
        carve=True,
    )  # their hollows


def _leg(clay: Clay, side: int, y: float, foot: float) -> None:
    """Thick and short, with a great claw on each toe."""
    x = side * LEGS_APART
    clay.limb([(0.85 * x, y, 0.44), (x, y, 0.28), (1.1 * x, foot, 0.11)], [0.15, 0.16, 0.135], blend=0.02)
    for spread in (-1, 0, 1):
        start = np.array([1.1 * x + 0.085 * spread, foot + 0.06, 0.09])
        ahead = np.array([0.06 * spread, 0.17 - 0.03 * spread**2, 0])
        clay.limb(
            [start, start + 0.7 * ahead, start + 1.6 * ahead + (0, 0, -0.09)],
            [0.07, 0.065, 0.015],
            blend=0.015,
        )
