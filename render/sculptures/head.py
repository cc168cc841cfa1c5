# SPDX-License-Identifier: GPL-3.0-or-later
"""A human head on a bust cut clean at the shoulders, with the cropped, combed hair of a classical portrait.

Measures are in centimetres of a head 23 cm high. The eyes lie half way up, at height 0; Y is forward,
counted from the front of the ears, and Z up.
"""

import numpy as np

from sculptures.clay import Clay

CROWN, CHIN = 11.5, -11.5  # heights
BROW, NOSE, MOUTH = 1.9, -5.4, -7.5  # heights of the ridge, the base of the nose and the parting of the lips
EYES_APART = 3.15  # of each eye from the middle
EYE_DEPTH = 6.5  # of the middle of the eyeball, forward
BASE = -23.5  # height at which the bust is cut
HAIR = 0.7  # thickness at the hairline
LOCKS = 15  # in the hair, all round


def sculpt() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the head."""
    clay = Clay()
    _neck_and_bust(clay)
    _skull(clay)
    _jaw(clay)
    clay.relief(_hair, (-10, -14, -9), (10, 12, 14))
    _eyes(clay)
    _nose(clay)
    _mouth(clay)
    _ears(clay)
    return clay.skin(step=0.27, triangles=11_000)


def _skull(clay: Clay) -> None:
    """An egg that is deeper than wide and fuller behind; forehead, brow ridge and cheekbones in front."""
    clay.ball((0, -2.0, 3.6), (7.6, 8.8, CROWN - 3.6), blend=1.5)
    clay.ball((0, 3.2, 3.4), (6.3, 5.2, 6.0), blend=2.5)
    clay.ball((0, 3.0, -3.5), (5.9, 5.0, 6.5), blend=2.0)
    ridge = [(0, 7.9, BROW - 0.2), (2.2, 8.0, BROW + 0.2), (4.3, 7.0, BROW), (5.9, 4.9, BROW - 0.9)]
    clay.limb(ridge, [0.7, 0.85, 0.75, 0.5], blend=1.0, both=True)
    cheekbone = [(7.0, -0.5, -1.7), (6.3, 2.6, -2.0), (5.0, 5.2, -2.5), (3.4, 6.4, -3.3)]
    clay.limb(cheekbone, [0.6, 1.1, 1.4, 1.0], blend=1.6, both=True)


def _jaw(clay: Clay) -> None:
    """From below the ear to its angle and on to the chin; between them the muzzle that bears the lips."""
    jaw = [(5.6, -1.0, -3.5), (4.95, -0.2, -7.3), (3.4, 3.8, -9.6), (1.3, 7.0, CHIN + 1.4)]
    clay.limb(jaw, [1.2, 1.25, 1.2, 1.3], blend=2.2, both=True)
    clay.ball((0, 4.2, -8.0), (3.9, 4.2, 2.6), blend=1.5)
    clay.ball((4.3, 3.6, -5.6), (1.7, 2.2, 2.8), blend=2.0, both=True)  # cheeks
    # Below the cheekbone, before the ear, or the face looks starved.
    clay.ball((5.0, 0.6, -4.2), (1.6, 2.4, 2.6), blend=1.0, both=True)
    clay.ball((0, 7.5, CHIN + 1.5), (1.9, 1.5, 1.5), blend=1.0)


def _hair(points: np.ndarray) -> np.ndarray:
    """How far the hair stands off the skull (negative is outwards), combed in locks from the crown."""
    x, y, z = np.moveaxis(points, -1, 0)
    around = np.degrees(np.arctan2(np.abs(x), y - 0.5))  # 0 at the forehead, 180 at the nape
    line = np.interp(
        around,
        [0, 25, 45, 62, 76, 90, 110, 135, 180],
        [6.8, 7.0, 6.0, 3.2, 0.0, -1.5, -3.0, -5.6, -6.8],
    )
    cover = np.clip((z - line) / 1.5 + 0.5, 0, 1)
    cover = cover * cover * (3 - 2 * cover)
    from_crown = np.hypot(x, y + 4.5)
    turn = np.arctan2(x, y + 4.5) + 0.07 * from_crown
    comb = 0.22 * np.cos(LOCKS * turn) * np.clip((from_crown - 1.5) / 3, 0, 1)
    return -cover * (HAIR + comb)


def _eyes(clay: Clay) -> None:
    """A hollow under the brow, the ball in it and a lid above and below."""
    clay.ball((EYES_APART, 8.9, -0.2), (2.3, 2.0, 1.45), turn=(0, 0, -20), blend=1.0, both=True, carve=True)
    clay.ball((EYES_APART, EYE_DEPTH, -0.1), 1.35, blend=0.15, both=True)
    inner, outer = (1.55, 7.0, -0.45), (4.85, 6.1, -0.35)
    upper = [inner, (2.4, 7.7, 0.6), (3.4, 7.75, 0.85), (4.3, 7.05, 0.5), outer]
    clay.limb(upper, [0.22, 0.34, 0.36, 0.34, 0.25], blend=0.3, both=True)
    lower = [inner, (2.5, 7.5, -1.1), (3.4, 7.45, -1.25), (4.3, 6.9, -0.95), outer]
    clay.limb(lower, [0.2, 0.26, 0.26, 0.26, 0.22], blend=0.4, both=True)


def _nose(clay: Clay) -> None:
    bridge = [(0, 7.7, BROW - 0.6), (0, 8.1, 0.1), (0, 9.15, -2.2), (0, 9.85, NOSE + 1.2)]
    clay.limb(bridge, [0.8, 0.8, 1.0, 1.15], blend=0.9)
    clay.limb([(0, 7.0, -1.0), (0, 7.6, NOSE + 0.9)], [1.0, 1.9], blend=0.9)
    clay.ball((1.4, 8.3, NOSE + 0.9), (0.95, 1.3, 0.95), blend=0.9, both=True)  # wings
    clay.ball((0.75, 9.2, NOSE - 0.2), (0.45, 0.7, 0.5), turn=(0, 0, 15), blend=0.5, both=True, carve=True)


def _mouth(clay: Clay) -> None:
    """Upper lip with its bow, lower lip fuller, the parting between them and the dent above the chin."""
    clay.limb([(0, 8.7, NOSE - 0.2), (0, 8.9, MOUTH + 1.0)], [0.35, 0.4], blend=0.5, carve=True)
    corner = (2.7, 6.9, MOUTH - 0.1)
    clay.limb(
        [corner, (1.3, 8.2, MOUTH + 0.4), (0, 8.6, MOUTH + 0.45)], [0.3, 0.6, 0.6], blend=0.5, both=True
    )
    clay.limb(
        [corner, (1.2, 7.9, MOUTH - 0.7), (0, 8.3, MOUTH - 0.75)], [0.3, 0.65, 0.7], blend=0.5, both=True
    )
    parting = [(2.7, 7.3, MOUTH - 0.15), (1.3, 8.75, MOUTH), (0, 9.2, MOUTH - 0.1)]
    clay.limb(parting, [0.3, 0.35, 0.35], blend=0.5, both=True, carve=True)
    clay.limb([(-1.3, 8.6, -9.0), (0, 9.0, -9.1), (1.3, 8.6, -9.0)], [0.5] * 3, blend=0.8, carve=True)


def _ears(clay: Clay) -> None:
    """A shell that stands off backwards, its rim, the hollow and the lobe; between brow and base of nose."""
    tilt = (-14, 0, 28)
    clay.ball((7.7, -2.0, -1.4), (1.0, 1.8, 3.1), turn=tilt, blend=0.6, both=True)
    rim = [
        (7.5, -0.4, -0.9), (7.7, -0.6, 0.9), (8.3, -1.7, 1.8), (8.9, -3.1, 1.3),
        (9.0, -3.5, -0.6), (8.5, -2.8, -2.6), (7.9, -1.7, -4.1), (7.4, -1.0, -4.5),
    ]  # fmt: skip
    clay.limb(rim, [0.4, 0.45, 0.55, 0.6, 0.55, 0.5, 0.65, 0.5], both=True, blend=0.4)
    clay.ball((7.8, -2.3, 0.0), (0.9, 1.3, 1.5), blend=0.5, both=True)  # the back of the shell
    clay.ball((9.0, -1.5, -1.2), (0.8, 0.9, 1.6), turn=tilt, blend=0.5, both=True, carve=True)
    clay.ball((7.5, -0.4, -2.0), (0.6, 0.6, 0.8), both=True, blend=0.4)


def _neck_and_bust(clay: Clay) -> None:
    """The neck leans forward out of the shoulders, which are cut off on either side and below."""
    clay.limb([(0, -2.2, -3), (0, -2.9, -10), (0, -4.0, -17), (0, -4.4, -21)], [5.4, 5.2, 5.8, 7.0])
    mastoid = [(5.8, -2.8, -4.0), (4.8, -0.9, -10), (2.7, 1.2, -15.5), (1.0, 2.2, -18.5)]
    clay.limb(mastoid, [1.0, 1.25, 1.0, 0.8], blend=0.9, both=True)
    clay.ball((0, 1.7, -13.0), (1.0, 1.0, 1.5), blend=1.2)
    slope = [(2.5, -5.2, -10), (5.5, -5.4, -16.5), (9.5, -5.0, -18.8), (13.5, -4.6, -20.5)]
    clay.limb(slope, [2.5, 3.0, 3.2, 3.6], blend=2.5, both=True)
    clay.ball((0, -3.8, -22.5), (13.0, 8.0, 6.5), blend=2.0)
    collarbone = [(1.2, 2.3, -19.2), (5.5, 1.7, -18.8), (10.5, -1.4, -18.5)]
    clay.limb(collarbone, [0.8, 0.9, 1.2], blend=2.5, both=True)
    clay.block((16.5, -4, -20), (6, 14, 14), rounding=0, turn=(0, -14, 0), blend=1.2, both=True, carve=True)
    clay.block((0, -4, BASE - 5), (30, 30, 5), rounding=0, blend=1.2, carve=True)
