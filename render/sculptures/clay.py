# SPDX-License-Identifier: GPL-3.0-or-later
"""Clay: strokes that melt into one another, and the skin around all of them.

Each stroke is a distance field (negative inside). Strokes are laid on in order, each with a width of
``blend`` over which it flows into what is there, as one muscle flows into another. Only when the skin is asked
for are the fields sampled on a grid, and the surface taken where they cross 0.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sculptures.strokes import Ball, Block, Point, Relief, Sheet, Tube, Turned, curve, rotation_of
from sculptures.surfaces import even_out, surface_of, thin, without_crumbs


class Clay:
    """A body formed stroke by stroke. X is left and right, and ``both`` repeats a stroke mirrored in X."""

    def __init__(self) -> None:
        self._strokes: list[tuple] = []

    def limb(
        self,
        path: Sequence[Point],
        radii: Sequence[float],
        *,
        width: float | Sequence[float] = 1.0,
        across: Point = (1, 0, 0),
        blend: float = 0.05,
        both: bool = False,
        carve: bool = False,
    ) -> None:
        """A smooth tube through the points of ``path``, of the given radius at each.

        ``width`` (one figure, or one a point) is the ratio of its radius along ``across`` to the others:
        1 is round, less is a blade. ``carve`` takes clay away instead.
        """
        widths = np.full(len(path), width) if np.isscalar(width) else np.asarray(width)
        knots = curve(np.column_stack([np.asarray(path, float), radii, widths]))
        self._lay(Tube(knots, np.asarray(across, float)), blend, both, carve)

    def ball(
        self,
        centre: Point,
        radii: float | Point,
        *,
        turn: Point = (0, 0, 0),
        blend: float = 0.05,
        both: bool = False,
        carve: bool = False,
    ) -> None:
        """An ellipsoid, turned by degrees about X, then Y, then Z."""
        radii = np.full(3, radii) if np.isscalar(radii) else np.asarray(radii, float)
        self._lay(Ball(np.asarray(centre, float), radii, rotation_of(turn)), blend, both, carve)

    def block(
        self,
        centre: Point,
        half: Point,
        *,
        rounding: float,
        turn: Point = (0, 0, 0),
        blend: float = 0.05,
        both: bool = False,
        carve: bool = False,
    ) -> None:
        """A box of the given half sides with rounded edges, turned like a ball."""
        block = Block(np.asarray(centre, float), np.asarray(half, float), rotation_of(turn), rounding)
        self._lay(block, blend, both, carve)

    def lathe(
        self,
        profile: Sequence[Point],
        *,
        centre: Point = (0, 0, 0),
        turn: Point = (0, 0, 0),
        blend: float = 0.05,
        both: bool = False,
        carve: bool = False,
    ) -> None:
        """A body turned about the Z axis through ``centre``, which ``turn`` tilts like a ball.

        ``profile`` is a smooth curve of (radius, height) from one end of the axis to the other; a point
        given twice is a corner.
        """
        outline = curve(np.asarray(profile, float))
        self._lay(Turned(outline, np.asarray(centre, float), rotation_of(turn)), blend, both, carve)

    def sheet(
        self,
        rows: Sequence[Sequence[Point]],
        thickness: float | Sequence[Sequence[float]],
        *,
        fineness: int = 3,
        blend: float = 0.02,
        both: bool = False,
        carve: bool = False,
    ) -> None:
        """A curved plate through a grid of points, ``rows`` of equal length, such as an ear or a wing.

        ``thickness`` is one figure, or one for each point of the grid. Between the points it is smooth, in
        ``fineness`` pieces either way (1 keeps it angular).
        """
        grid = np.asarray(rows, float)
        depth = np.broadcast_to(np.asarray(thickness, float), grid.shape[:2])
        grid = np.concatenate([grid, depth[..., None]], axis=-1)
        grid = np.stack([curve(row, fineness) for row in grid])
        grid = np.stack([curve(column, fineness) for column in grid.transpose(1, 0, 2)])
        self._lay(Sheet(grid), blend, both, carve)

    def relief(self, depth: Callable[[np.ndarray], np.ndarray], low: Point, high: Point) -> None:
        """Push the surface made so far in by ``depth(points)`` (out where negative), between two corners.

        For patterns that follow a body, such as bands: shallow ones, since the depth is only near enough.
        """
        self._strokes.append((Relief(depth, np.asarray(low, float), np.asarray(high, float)), 0.0, False))

    def slice_below(self, height: float) -> None:
        """Cut everything below ``height`` off flat, so that feet stand on the ground."""
        self._strokes.append((None, height, True))

    def _lay(self, stroke, blend: float, both: bool, carve: bool) -> None:
        self._strokes.append((stroke, blend, carve))
        if both:
            self._strokes.append((stroke.mirrored(), blend, carve))

    def skin(self, step: float, triangles: int, evening: int = 6) -> tuple[np.ndarray, np.ndarray]:
        """The surface, sampled at ``step``, thinned to about so many triangles and evened out.

        ``evening`` is the number of rounds of the last: fewer keep narrow edges crisp, more make broad
        faces fair.
        Raises ValueError where the strokes do not hang together.
        """
        field, origin = self._sample(step)
        vertices, faces = without_crumbs(*surface_of(field))
        vertices, faces = thin(vertices, faces, triangles)
        vertices = even_out(vertices, faces, field, evening)
        return origin + step * vertices, faces

    def _sample(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        solid = [stroke for stroke, _, carve in self._strokes if not carve and not isinstance(stroke, Relief)]
        boxes = np.array([stroke.box() for stroke in solid])
        origin = boxes[:, 0].min(axis=0) - 4 * step
        shape = np.ceil((boxes[:, 1].max(axis=0) + 4 * step - origin) / step).astype(int) + 1
        field = np.full(shape, 1e3)
        for stroke, blend, carve in self._strokes:
            if stroke is None:
                z = origin[2] + step * np.arange(shape[2])
                np.maximum(field, blend - z, out=field)
                continue
            low, high = stroke.box()
            start = np.clip(np.floor((low - blend - origin) / step).astype(int) - 2, 0, shape)
            stop = np.clip(np.ceil((high + blend - origin) / step).astype(int) + 3, 0, shape)
            part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            axes = [o + step * np.arange(a, b) for o, a, b in zip(origin, start, stop, strict=True)]
            if 0 in field[part].shape:
                continue
            points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
            if isinstance(stroke, Relief):
                field[part] += stroke.depth(points)
                continue
            new = stroke.distance(points, blend + 3 * step)
            old = field[part]
            field[part] = -_melt(-old, new, blend) if carve else _melt(old, new, blend)
        return field / step, origin


def _melt(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """The lesser of two distances, with a fillet where they are within ``blend`` of each other."""
    near = np.maximum(blend - np.abs(a - b), 0) / max(blend, 1e-9)
    return np.minimum(a, b) - near**2 * blend / 4
