# SPDX-License-Identifier: GPL-3.0-or-later
"""A round-bellied porcelain teapot with a domed lid, an S of a spout and a great loop of a handle.

The unit is the radius of the rim; the body is turned about Z, the spout points to +Y.
"""

import numpy as np

from sculptures.clay import Clay

BELLY, RIM, FOOT = 1.44, 1.0, 0.98  # radii
SHOULDER, RIM_HEIGHT = 0.80, 1.86  # heights of the widest place and of the rim
MOUTH = 1.86  # height of the mouth of the spout


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
            (BELLY - 0.12, 0.34),
            (BELLY, SHOULDER),
            (BELLY - 0.09, 1.22),
            (RIM + 0.14, 1.62),
            (RIM + 0.05, 1.72),
            (RIM + 0.10, 1.80),
            (RIM + 0.03, RIM_HEIGHT),
            (RIM - 0.10, RIM_HEIGHT),
            (0.0, RIM_HEIGHT),
        ]
    )  # fmt: skip


def _spout(clay: Clay) -> None:
    """An S that leaves low and broad and narrows to a mouth cut level, with a hole in it."""
    curve = [
        (0, 1.06, 0.64),
        (0, 1.54, 0.74),
        (0, 1.83, 1.10),
        (0, 2.03, 1.54),
        (0, 2.30, 1.84),
        (0, 2.52, 2.02),
    ]
    clay.limb(curve, [0.50, 0.42, 0.30, 0.225, 0.205, 0.225], blend=0.18)
    clay.block((0, 2.46, MOUTH + 0.4), (0.4, 0.5, 0.4), rounding=0.0, blend=0.03, carve=True)
    clay.limb([(0, 2.11, 1.62), (0, 2.30, 1.83), (0, 2.43, 1.94)], [0.08, 0.11, 0.12], blend=0.03, carve=True)


def _handle(clay: Clay) -> None:
    """A loop behind, broad enough to put fingers through."""
    curve = [
        (0, -1.12, 1.66), (0, -1.60, 1.78), (0, -2.12, 1.66), (0, -2.34, 1.22),
        (0, -2.18, 0.74), (0, -1.80, 0.42), (0, -1.30, 0.36),
    ]  # fmt: skip
    clay.limb(curve, [0.19, 0.165, 0.16, 0.16, 0.16, 0.16, 0.19], width=1.2, blend=0.10)


def _lid(clay: Clay) -> None:
    """A flange on the rim, a low dome, a waist and a knob."""
    base = RIM_HEIGHT - 0.03
    clay.lathe(
        [
            (0.0, base),
            (RIM - 0.14, base),
            (RIM - 0.08, base + 0.05),
            (RIM - 0.11, base + 0.12),
            (0.80, 2.04),
            (0.52, 2.18),
            (0.24, 2.26),
            (0.13, 2.34),
            (0.17, 2.43),
            (0.28, 2.54),
            (0.27, 2.67),
            (0.12, 2.77),
            (0.0, 2.78),
        ],
        blend=0.03,
    )  # fmt: skip
