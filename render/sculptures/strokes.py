# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of strokes of clay: each a distance field (negative inside), with its box and its mirror image."""

from collections.abc import Callable, Sequence

import numpy as np

Point = Sequence[float]
FINENESS = 6  # straight pieces that a curve is made of between two of its points
MIRROR = np.array([-1.0, 1.0, 1.0])


class Ball:
    def __init__(self, centre: np.ndarray, radii: np.ndarray, rotation: np.ndarray) -> None:
        self.centre, self.radii, self.rotation = centre, radii, rotation

    def mirrored(self) -> "Ball":
        return Ball(self.centre * MIRROR, self.radii, MIRROR[:, None] * self.rotation)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        half = np.sqrt(((self.rotation * self.radii) ** 2).sum(axis=1))
        return self.centre - half, self.centre + half

    def distance(self, points: np.ndarray, _: float) -> np.ndarray:
        own = (points - self.centre) @ self.rotation / self.radii
        near = np.linalg.norm(own, axis=-1)
        slope = np.linalg.norm(own / self.radii, axis=-1)
        return np.where(near > 1e-6, near * (near - 1) / np.maximum(slope, 1e-9), -self.radii.min())


class Block:
    def __init__(self, centre: np.ndarray, half: np.ndarray, rotation: np.ndarray, rounding: float) -> None:
        self.centre, self.half, self.rotation, self.rounding = centre, half, rotation, rounding

    def mirrored(self) -> "Block":
        return Block(self.centre * MIRROR, self.half, MIRROR[:, None] * self.rotation, self.rounding)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        half = np.abs(self.rotation) @ self.half
        return self.centre - half, self.centre + half

    def distance(self, points: np.ndarray, _: float) -> np.ndarray:
        past = np.abs((points - self.centre) @ self.rotation) - self.half + self.rounding
        return np.linalg.norm(np.maximum(past, 0), axis=-1) + np.minimum(past.max(axis=-1), 0) - self.rounding


class Tube:
    """Cones end to end; ``knots`` has rows of x, y, z, radius, width."""

    def __init__(self, knots: np.ndarray, across: np.ndarray) -> None:
        self.knots, self.across = knots, across / np.linalg.norm(across)

    def mirrored(self) -> "Tube":
        return Tube(self.knots * np.append(MIRROR, [1, 1]), self.across * MIRROR)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        reach = (self.knots[:, 3] * np.maximum(self.knots[:, 4], 1))[:, None]
        return (self.knots[:, :3] - reach).min(axis=0), (self.knots[:, :3] + reach).max(axis=0)

    def distance(self, points: np.ndarray, reach: float) -> np.ndarray:
        nearest = np.full(points.shape[:-1], np.inf)
        for start, stop in zip(self.knots[:-1], self.knots[1:], strict=True):
            ends = np.stack([start, stop])
            around = reach + (ends[:, 3] * np.maximum(ends[:, 4], 1)).max()
            part = _crop(points, ends[:, :3], around)
            near = points[part]
            along = stop[:3] - start[:3]
            share = np.clip((near - start[:3]) @ along / max(along @ along, 1e-12), 0, 1)
            radius, width = (start[k] + share * (stop[k] - start[k]) for k in (3, 4))
            off = near - start[:3] - share[..., None] * along
            sideways = off @ self.across
            squared = (off**2).sum(axis=-1) + sideways**2 * (1 / width**2 - 1)
            distance = (np.sqrt(squared) - radius) * np.minimum(width, 1)
            np.minimum(nearest[part], distance, out=nearest[part])
        return nearest


class Turned:
    """A closed profile in (radius, height) about an axis."""

    CELLS = 400  # of the table from which distances are read, along its longer side

    def __init__(self, outline: np.ndarray, centre: np.ndarray, rotation: np.ndarray) -> None:
        outline = outline.copy()
        outline[:, 0] = np.maximum(outline[:, 0], 0)
        self.outline, self.centre, self.rotation = outline, centre, rotation

    def mirrored(self) -> "Turned":
        return Turned(self.outline, self.centre * MIRROR, MIRROR[:, None] * self.rotation)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        widest = self.outline[:, 0].max()
        low = np.array([-widest, -widest, self.outline[:, 1].min()])
        high = np.array([widest, widest, self.outline[:, 1].max()])
        middle = self.centre + self.rotation @ (low + high) / 2
        half = np.abs(self.rotation) @ (high - low) / 2
        return middle - half, middle + half

    def distance(self, points: np.ndarray, _: float) -> np.ndarray:
        own = (points - self.centre) @ self.rotation
        radius, height = np.hypot(own[..., 0], own[..., 1]), own[..., 2]
        low = height.min()
        cell = max(radius.max(), height.max() - low) / self.CELLS
        columns = int(radius.max() / cell) + 2, int((height.max() - low) / cell) + 2
        table = self._profile_distance(
            cell * np.arange(columns[0])[:, None], low + cell * np.arange(columns[1])
        )
        at = np.stack([radius, height - low], axis=-1) / cell
        base = np.minimum(at.astype(int), np.array(columns) - 2)
        share, (i, j) = at - base, np.moveaxis(base, -1, 0)
        u, v = share[..., 0], share[..., 1]
        lower = table[i, j] * (1 - u) + table[i + 1, j] * u
        return lower * (1 - v) + (table[i, j + 1] * (1 - u) + table[i + 1, j + 1] * u) * v

    def _profile_distance(self, radius: np.ndarray, height: np.ndarray) -> np.ndarray:
        nearest, inside = np.inf, False
        for a, b in zip(self.outline[:-1], self.outline[1:], strict=True):
            along = b - a
            share = np.clip(
                ((radius - a[0]) * along[0] + (height - a[1]) * along[1]) / max(along @ along, 1e-12), 0, 1
            )
            off = np.hypot(radius - a[0] - share * along[0], height - a[1] - share * along[1])
            nearest = np.minimum(nearest, off)
            # A ray outwards from the point meets the outline an odd number of times from inside.
            crosses = (a[1] > height) != (b[1] > height)
            meets = a[0] + (height - a[1]) * along[0] / (along[1] or 1e-12)
            inside = inside ^ (crosses & (radius < meets))
        return np.where(inside, -nearest, nearest)


class Sheet:
    """A grid of points with a thickness each, (m, n, 4), cut into triangles."""

    def __init__(self, grid: np.ndarray) -> None:
        self.grid = grid

    def mirrored(self) -> "Sheet":
        return Sheet(self.grid * np.append(MIRROR, 1))

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        points, half = self.grid[..., :3], self.grid[..., 3:] / 2
        return (points - half).min(axis=(0, 1)), (points + half).max(axis=(0, 1))

    def distance(self, points: np.ndarray, reach: float) -> np.ndarray:
        nearest = np.full(points.shape[:-1], np.inf)
        g = self.grid
        first = np.stack([g[:-1, :-1], g[1:, :-1], g[1:, 1:]], axis=2).reshape(-1, 3, 4)
        second = np.stack([g[:-1, :-1], g[1:, 1:], g[:-1, 1:]], axis=2).reshape(-1, 3, 4)
        for corners in np.concatenate([first, second]):
            part = _crop(points, corners[:, :3], reach + corners[:, 3].max() / 2)
            np.minimum(nearest[part], _to_triangle(points[part], corners), out=nearest[part])
        return nearest


class Relief:
    def __init__(self, depth: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> None:
        self.depth, self.low, self.high = depth, low, high

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return self.low, self.high


def _crop(points: np.ndarray, corners: np.ndarray, reach: float) -> tuple[slice, ...]:
    """The part of a grid of points that is within ``reach`` of the box around some corners."""
    low, high = corners.min(axis=0) - reach, corners.max(axis=0) + reach
    axes = points[:, 0, 0, 0], points[0, :, 0, 1], points[0, 0, :, 2]
    return tuple(
        slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b, side="right")))
        for axis, a, b in zip(axes, low, high, strict=True)
    )


def _to_triangle(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance to a triangle that is as thick, at each corner, as the fourth figure there says."""
    best = np.full(points.shape[:-1], np.inf)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = b[:3] - a[:3]
        share = np.clip((points - a[:3]) @ along / max(along @ along, 1e-12), 0, 1)
        off = np.linalg.norm(points - a[:3] - share[..., None] * along, axis=-1)
        np.minimum(best, off - (a[3] + share * (b[3] - a[3])) / 2, out=best)
    a, b, c = corners[:, :3]
    normal = np.cross(b - a, c - a)
    area = normal @ normal
    if area > 1e-18:
        u = (points - a) @ np.cross(c - a, normal) / area  # barycentric share of b, then that of c
        v = (points - a) @ np.cross(normal, b - a) / area
        over = (u >= 0) & (v >= 0) & (u + v <= 1)
        thickness = corners[0, 3] + u * (corners[1, 3] - corners[0, 3]) + v * (corners[2, 3] - corners[0, 3])
        flat = np.abs((points - a) @ normal) / np.sqrt(area) - thickness / 2
        best = np.where(over, np.minimum(best, flat), best)
    return best


def curve(rows: np.ndarray, fineness: int = FINENESS) -> np.ndarray:
    """A Catmull-Rom curve through the rows, in so many pieces between each two."""
    padded = np.concatenate([2 * rows[:1] - rows[1:2], rows, 2 * rows[-1:] - rows[-2:-1]])
    t = np.linspace(0, 1, fineness, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True)
    ]
    return np.concatenate([*pieces, rows[-1:]])


def rotation_of(turn: Point) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(turn)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        about = np.eye(3)
        about[i, i] = about[j, j] = np.cos(angle)
        about[j, i], about[i, j] = np.sin(angle), -np.sin(angle)
        matrix = about @ matrix
    return matrix
