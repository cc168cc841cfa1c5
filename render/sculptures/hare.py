# SPDX-License-Identifier: GPL-3.0-or-later
"""A hare that sits and listens: round as a loaf, great haunches, long broad ears, a puff of a tail.

Y is forward, Z up, the ground at 0; the unit is about half a metre.
"""

import numpy as np

from sculptures.clay import Clay


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the hare."""
    clay = Clay()
    _trunk(clay)
    _hind_legs(clay)
    _fore_legs(clay)
    _head(clay)
    # The ears are laid back unequally: in profile, too, one sees two.
    _ear(clay, side=1, tip=(0.36, 0.30, 1.86))
    _ear(clay, side=-1, tip=(-0.44, -0.06, 1.78))
    clay.slice_below(0)
    return clay.skin(step=0.0095, triangles=11_000)


def _trunk(clay: Clay) -> None:
    clay.limb(
        [(0, -0.26, 0.29), (0, -0.14, 0.39), (0, 0.06, 0.43), (0, 0.20, 0.50), (0, 0.28, 0.64)],
        [0.29, 0.375, 0.34, 0.28, 0.21],
        width=[1.0, 0.98, 0.95, 1.0, 0.98],
    )
    clay.ball((0, 0.24, 0.34), (0.24, 0.21, 0.26), blend=0.08)  # chest
    clay.ball((0, -0.54, 0.25), (0.115, 0.12, 0.15), turn=(30, 0, 0), blend=0.05)  # tail


def _hind_legs(clay: Clay) -> None:
    clay.ball((0.31, -0.13, 0.28), (0.155, 0.275, 0.275), turn=(25, 0, 0), both=True, blend=0.02)  # thighs
    clay.ball((0.33, 0.06, 0.17), (0.09, 0.12, 0.12), both=True, blend=0.05)  # knees
    # Feet.
    clay.limb(
        [(0.31, -0.32, 0.08), (0.32, -0.06, 0.065), (0.34, 0.20, 0.065)],
        [0.085, 0.075, 0.08],
        width=1.2,
        both=True,
        blend=0.02,
    )
    _toes(clay, (0.34, 0.24, 0.045), 0.046)


def _fore_legs(clay: Clay) -> None:
    clay.ball((0.16, 0.20, 0.43), (0.11, 0.15, 0.18), turn=(-20, 0, 0), both=True, blend=0.03)  # shoulders
    leg = [(0.14, 0.28, 0.38), (0.12, 0.34, 0.22), (0.10, 0.36, 0.07)]
    clay.limb(leg, [0.125, 0.085, 0.068], both=True, blend=0.04)
    clay.limb([(0.10, 0.37, 0.05), (0.10, 0.43, 0.05)], [0.064, 0.064], both=True, blend=0.02)  # paws
    _toes(clay, (0.10, 0.45, 0.037), 0.034)


def _toes(clay: Clay, middle: tuple, size: float) -> None:
    x, y, z = middle
    for aside, back in ((-1.5, 0.6), (0, 0), (1.5, 0.6)):
        centre = (x + aside * size, y - back * size, z)
        clay.ball(centre, (0.85 * size, 1.5 * size, size), both=True, blend=0.006)


def _head(clay: Clay) -> None:
    clay.limb(
        [(0, 0.27, 0.83), (0, 0.38, 0.85), (0, 0.52, 0.80), (0, 0.595, 0.75)],
        [0.18, 0.20, 0.15, 0.105],
        width=[1.0, 0.96, 0.92, 0.98],
        blend=0.05,
    )
    clay.ball((0.105, 0.42, 0.755), (0.10, 0.125, 0.115), both=True, blend=0.05)  # cheeks
    clay.ball((0.05, 0.625, 0.715), (0.068, 0.072, 0.062), both=True, blend=0.03)  # whisker pads
    clay.ball((0, 0.60, 0.655), (0.05, 0.05, 0.042), blend=0.02)  # chin
    clay.limb([(0, 0.715, 0.74), (0, 0.69, 0.66)], [0.02, 0.02], blend=0.015, carve=True)  # harelip
    clay.ball((0, 0.69, 0.765), (0.034, 0.022, 0.022), blend=0.01)  # nose
    clay.ball((0.163, 0.465, 0.885), (0.036, 0.062, 0.06), turn=(0, 0, 15), both=True, blend=0.01)  # eyes


def _ear(clay: Clay, side: int, tip: tuple) -> None:
    """A long spoon, thin across, with its hollow turned forward and out."""
    root, tip = np.array([side * 0.07, 0.30, 0.93]), np.array(tip)
    facing = np.array([side * 0.35, 1.0, 0.0]) / 1.06
    path = [root + t * (tip - root) for t in (0.0, 0.3, 0.65, 1.0)]
    clay.limb(path, [0.09, 0.16, 0.185, 0.04], width=0.38, across=facing, blend=0.03)
    hollow = [root + t * (tip - root) + 0.045 * facing for t in (0.2, 0.42, 0.66, 0.86)]
    clay.limb(hollow, [0.05, 0.11, 0.128, 0.025], width=0.48, across=facing, blend=0.015, carve=True)
