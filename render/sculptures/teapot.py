# SPDX-License-Identifier: GPL-3.0-or-later
"""A squat porcelain teapot with a domed lid, after the one that stood on many a programmer's desk.

The unit is the radius of the rim; the body is turned about Z, the spout points to +Y.
"""

import numpy as np

from sculptures.tools import Clay

BELLY, RIM, FOOT = 1.36, 1.0, 0.98  # radii
SHOULDER, RIM_HEIGHT = 0.62, 1.56  # heights of the widest place and of the rim
MOUTH = 1.62  # height of the mouth of the spout


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the teapot."""
    clay = Clay()
    _body(clay)
    _spout(clay)
    _handle(clay)
    _lid(clay)
    return clay.skin(step=0.017, triangles=12_000, evening=1)


def _body(clay: Clay) -> None:
    clay.lathe(
        [
            (0.0, 0.0),
            (FOOT - 0.10, 0.0),
            (FOOT, 0.05),
            (FOOT + 0.06, 0.12),
            (BELLY - 0.10, 0.28),
            (BELLY, SHOULDER),
            (BELLY - 0.08, 0.98),
            (RIM + 0.13, 1.33),
            (RIM + 0.05, 1.42),
            (RIM + 0.10, 1.50),
            (RIM + 0.03, RIM_HEIGHT),
            (RIM - 0.10, RIM_HEIGHT),
            (0.0, RIM_HEIGHT),
        ]
    )  # fmt: skip


def _spout(clay: Clay) -> None:
    """An S that leaves low and broad and narrows to a mouth cut level, with a hole in it."""
    curve = [
        (0, 1.00, 0.56),
        (0, 1.50, 0.66),
        (0, 1.80, 0.98),
        (0, 2.02, 1.36),
        (0, 2.32, 1.62),
        (0, 2.56, 1.78),
    ]
    clay.limb(curve, [0.46, 0.38, 0.27, 0.205, 0.19, 0.21], blend=0.18)
    clay.block((0, 2.5, MOUTH + 0.4), (0.4, 0.5, 0.4), rounding=0.0, blend=0.03, carve=True)
    clay.limb([(0, 2.12, 1.40), (0, 2.32, 1.59), (0, 2.46, 1.70)], [0.07, 0.10, 0.11], blend=0.03, carve=True)


def _handle(clay: Clay) -> None:
    """A loop behind, broad enough to put fingers through."""
    curve = [
        (0, -1.14, 1.32), (0, -1.50, 1.36), (0, -1.92, 1.32), (0, -2.08, 1.08),
        (0, -1.92, 0.76), (0, -1.60, 0.52), (0, -1.22, 0.42),
    ]  # fmt: skip
    clay.limb(curve, [0.17, 0.145, 0.14, 0.14, 0.14, 0.14, 0.17], width=1.2, blend=0.10)


def _lid(clay: Clay) -> None:
    """A flange on the rim, a low dome, a waist and a knob."""
    base = RIM_HEIGHT - 0.03
    clay.lathe(
        [
            (0.0, base),
            (RIM - 0.14, base),
            (RIM - 0.08, base + 0.05),
            (RIM - 0.11, base + 0.12),
            (0.80, 1.73),
            (0.52, 1.84),
            (0.22, 1.90),
            (0.11, 1.98),
            (0.14, 2.06),
            (0.23, 2.16),
            (0.22, 2.27),
            (0.10, 2.35),
            (0.0, 2.36),
        ],
        blend=0.03,
    )  # fmt: skip
