# SPDX-License-Identifier: GPL-3.0-or-later
"""A hare that sits and listens: long ears apart, arched back, great haunches, forelegs straight.

Y is forward, Z up, the ground at 0; the unit is about half a metre.
"""

import numpy as np

from sculptures.tools import Clay


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the hare."""
    clay = Clay()
    _trunk(clay)
    _hind_legs(clay)
    _fore_legs(clay)
    _head(clay)
    # The ears are laid back unequally: in profile, too, one sees two.
    _ear(clay, side=1, tip=(0.21, 0.30, 1.42))
    _ear(clay, side=-1, tip=(-0.20, 0.10, 1.36))
    clay.slice_below(0)
    return clay.skin(step=0.0095, triangles=11_000)


def _trunk(clay: Clay) -> None:
    clay.limb(
        [(0, -0.34, 0.22), (0, -0.20, 0.33), (0, 0.02, 0.37), (0, 0.19, 0.46), (0, 0.30, 0.62)],
        [0.18, 0.265, 0.225, 0.18, 0.14],
        width=[0.95, 0.88, 0.85, 0.95, 0.95],
    )
    clay.ball((0, 0.25, 0.38), (0.13, 0.13, 0.18), blend=0.08)  # chest
    clay.ball((0, -0.54, 0.20), (0.08, 0.085, 0.105), turn=(25, 0, 0), blend=0.02)  # tail


def _hind_legs(clay: Clay) -> None:
    clay.ball((0.20, -0.19, 0.25), (0.105, 0.20, 0.215), turn=(25, 0, 0), both=True, blend=0.02)  # thighs
    clay.ball((0.225, -0.03, 0.16), (0.07, 0.10, 0.10), both=True, blend=0.05)  # knees
    clay.limb(
        [(0.22, -0.36, 0.075), (0.225, -0.14, 0.055), (0.24, 0.10, 0.05)],
        [0.07, 0.055, 0.06],
        width=1.15,
        both=True,
        blend=0.02,
    )  # feet
    _toes(clay, (0.24, 0.12, 0.035), 0.034)


def _fore_legs(clay: Clay) -> None:
    clay.ball((0.12, 0.17, 0.42), (0.085, 0.13, 0.16), turn=(-25, 0, 0), both=True, blend=0.03)  # shoulders
    leg = [(0.125, 0.18, 0.38), (0.115, 0.25, 0.21), (0.105, 0.30, 0.06)]
    clay.limb(leg, [0.10, 0.066, 0.052], both=True, blend=0.04)
    clay.limb([(0.105, 0.31, 0.04), (0.11, 0.38, 0.04)], [0.05, 0.05], both=True, blend=0.02)  # paws
    _toes(clay, (0.11, 0.395, 0.03), 0.027)


def _toes(clay: Clay, middle: tuple, size: float) -> None:
    x, y, z = middle
    for aside, back in ((-1.5, 0.6), (0, 0), (1.5, 0.6)):
        centre = (x + aside * size, y - back * size, z)
        clay.ball(centre, (0.85 * size, 1.5 * size, size), both=True, blend=0.006)


def _head(clay: Clay) -> None:
    clay.limb(
        [(0, 0.33, 0.77), (0, 0.45, 0.775), (0, 0.55, 0.73), (0, 0.60, 0.70)],
        [0.115, 0.135, 0.10, 0.075],
        width=[0.95, 0.88, 0.88, 0.95],
        blend=0.05,
    )
    clay.ball((0.06, 0.45, 0.70), (0.07, 0.09, 0.08), both=True, blend=0.05)  # cheeks
    clay.ball((0.034, 0.615, 0.685), (0.046, 0.055, 0.05), both=True, blend=0.03)  # whisker pads
    clay.ball((0, 0.60, 0.645), (0.035, 0.035, 0.03), blend=0.02)  # chin
    clay.limb([(0, 0.685, 0.715), (0, 0.665, 0.645)], [0.014, 0.014], blend=0.015, carve=True)  # harelip
    clay.ball((0, 0.66, 0.72), (0.028, 0.02, 0.018), blend=0.01)  # nose
    clay.ball((0.108, 0.47, 0.80), (0.024, 0.046, 0.044), turn=(0, 0, 15), both=True, blend=0.01)  # eyes


def _ear(clay: Clay, side: int, tip: tuple) -> None:
    """A long spoon, thin across, with its hollow turned forward and out."""
    root, tip = np.array([side * 0.05, 0.35, 0.85]), np.array(tip)
    facing = np.array([side * 0.5, 1.0, 0.0]) / 1.12
    path = [root + t * (tip - root) for t in (0.0, 0.3, 0.65, 1.0)]
    clay.limb(path, [0.05, 0.082, 0.088, 0.02], width=0.5, across=facing, blend=0.03)
    hollow = [root + t * (tip - root) + 0.036 * facing for t in (0.18, 0.4, 0.66, 0.88)]
    clay.limb(hollow, [0.03, 0.056, 0.056, 0.015], width=0.55, across=facing, blend=0.015, carve=True)
