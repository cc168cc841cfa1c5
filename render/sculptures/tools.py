# SPDX-License-Identifier: GPL-3.0-or-later
"""Clay: strokes that melt into one another, and the skin around the lot.

Each stroke is a distance field (negative inside). Strokes are laid on in order, each with a width of
``blend`` over which it flows into what is there, as muscle does into muscle. Only when the skin is asked
for are the fields sampled on a grid and the surface taken where they cross nought.
"""

from collections.abc import Callable, Sequence
from itertools import permutations

import bpy
import numpy as np

import meshes

Point = Sequence[float]
FINENESS = 6  # straight pieces that a curve is made of between two of its points
MIRROR = np.array([-1.0, 1.0, 1.0])


class Clay:
    """A lump worked stroke by stroke. X is left and right, and ``both`` repeats a stroke mirrored in X."""

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
        knots = _curve(np.column_stack([np.asarray(path, float), radii, widths]))
        self._lay(_Tube(knots, np.asarray(across, float)), blend, both, carve)

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
        self._lay(_Ball(np.asarray(centre, float), radii, _rotation(turn)), blend, both, carve)

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
        block = _Block(np.asarray(centre, float), np.asarray(half, float), _rotation(turn), rounding)
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
        outline = _curve(np.asarray(profile, float))
        self._lay(_Turned(outline, np.asarray(centre, float), _rotation(turn)), blend, both, carve)

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
        grid = np.stack([_curve(row, fineness) for row in grid])
        grid = np.stack([_curve(column, fineness) for column in grid.transpose(1, 0, 2)])
        self._lay(_Sheet(grid), blend, both, carve)

    def relief(self, depth: Callable[[np.ndarray], np.ndarray], low: Point, high: Point) -> None:
        """Push the surface made so far in by ``depth(points)`` (out where negative), between two corners.

        For patterns that follow a body, such as bands: shallow ones, since the depth is only near enough.
        """
        self._strokes.append((_Relief(depth, np.asarray(low, float), np.asarray(high, float)), 0.0, False))

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
        vertices, faces = _without_crumbs(*_surface(field))
        vertices, faces = _thin(vertices, faces, triangles)
        vertices = _even_out(vertices, faces, field, evening)
        return origin + step * vertices, faces

    def _sample(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        solid = [
            stroke for stroke, _, carve in self._strokes if not carve and not isinstance(stroke, _Relief)
        ]
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
            if isinstance(stroke, _Relief):
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


class _Ball:
    def __init__(self, centre: np.ndarray, radii: np.ndarray, rotation: np.ndarray) -> None:
        self.centre, self.radii, self.rotation = centre, radii, rotation

    def mirrored(self) -> "_Ball":
        return _Ball(self.centre * MIRROR, self.radii, MIRROR[:, None] * self.rotation)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        half = np.sqrt(((self.rotation * self.radii) ** 2).sum(axis=1))
        return self.centre - half, self.centre + half

    def distance(self, points: np.ndarray, _: float) -> np.ndarray:
        own = (points - self.centre) @ self.rotation / self.radii
        near = np.linalg.norm(own, axis=-1)
        slope = np.linalg.norm(own / self.radii, axis=-1)
        return np.where(near > 1e-6, near * (near - 1) / np.maximum(slope, 1e-9), -self.radii.min())


class _Block:
    def __init__(self, centre: np.ndarray, half: np.ndarray, rotation: np.ndarray, rounding: float) -> None:
        self.centre, self.half, self.rotation, self.rounding = centre, half, rotation, rounding

    def mirrored(self) -> "_Block":
        return _Block(self.centre * MIRROR, self.half, MIRROR[:, None] * self.rotation, self.rounding)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        half = np.abs(self.rotation) @ self.half
        return self.centre - half, self.centre + half

    def distance(self, points: np.ndarray, _: float) -> np.ndarray:
        past = np.abs((points - self.centre) @ self.rotation) - self.half + self.rounding
        return np.linalg.norm(np.maximum(past, 0), axis=-1) + np.minimum(past.max(axis=-1), 0) - self.rounding


class _Tube:
    """Cones end to end; ``knots`` has rows of x, y, z, radius, width."""

    def __init__(self, knots: np.ndarray, across: np.ndarray) -> None:
        self.knots, self.across = knots, across / np.linalg.norm(across)

    def mirrored(self) -> "_Tube":
        return _Tube(self.knots * np.append(MIRROR, [1, 1]), self.across * MIRROR)

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


class _Turned:
    """A closed profile in (radius, height) about an axis."""

    CELLS = 400  # of the table from which distances are read, along its longer side

    def __init__(self, outline: np.ndarray, centre: np.ndarray, rotation: np.ndarray) -> None:
        outline = outline.copy()
        outline[:, 0] = np.maximum(outline[:, 0], 0)
        self.outline, self.centre, self.rotation = outline, centre, rotation

    def mirrored(self) -> "_Turned":
        return _Turned(self.outline, self.centre * MIRROR, MIRROR[:, None] * self.rotation)

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


class _Sheet:
    """A grid of points with a thickness each, (m, n, 4), cut into triangles."""

    def __init__(self, grid: np.ndarray) -> None:
        self.grid = grid

    def mirrored(self) -> "_Sheet":
        return _Sheet(self.grid * np.append(MIRROR, 1))

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


class _Relief:
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


def _curve(rows: np.ndarray, fineness: int = FINENESS) -> np.ndarray:
    """A Catmull-Rom curve through the rows, in so many pieces between each two."""
    padded = np.concatenate([2 * rows[:1] - rows[1:2], rows, 2 * rows[-1:] - rows[-2:-1]])
    t = np.linspace(0, 1, fineness, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True)
    ]
    return np.concatenate([*pieces, rows[-1:]])


def _rotation(turn: Point) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(turn)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        about = np.eye(3)
        about[i, i] = about[j, j] = np.cos(angle)
        about[j, i], about[i, j] = np.sin(angle), -np.sin(angle)
        matrix = about @ matrix
    return matrix


def _surface(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the field crosses nought, in cells, by marching tetrahedra: closed whatever the field is.

    Each cube of the grid is cut into the six tetrahedra that lead from its lowest corner to its highest,
    so that neighbours agree on the diagonal of the face between them.
    """
    # A crossing too close to a corner would give triangles without area.
    field = np.where(np.abs(field) < 0.05, np.where(field < 0, -0.05, 0.05), field)
    inside = field < 0
    count = sum(
        inside[x : x + inside.shape[0] - 1, y : y + inside.shape[1] - 1, z : z + inside.shape[2] - 1].astype(int)
        for x in (0, 1) for y in (0, 1) for z in (0, 1)
    )  # fmt: skip
    cubes = np.argwhere((count > 0) & (count < 8))
    corners = []
    for order in permutations(np.eye(3, dtype=int)):
        steps = np.cumsum([np.zeros(3, int), *order], axis=0)
        corners.append(cubes[:, None] + steps)
    flat = np.ravel_multi_index(np.moveaxis(np.concatenate(corners), -1, 0), field.shape)
    values = field.ravel()
    # Inside corners first; then a tetrahedron is known by how many it has.
    flat = np.take_along_axis(flat, np.argsort(values[flat] > 0, axis=1, kind="stable"), axis=1)
    number = (values[flat] < 0).sum(axis=1)
    one, two, three = flat[number == 1], flat[number == 2], flat[number == 3]
    cuts = np.concatenate([
        one[:, [[0, 1], [0, 2], [0, 3]]],
        three[:, [[0, 3], [1, 3], [2, 3]]],
        two[:, [[0, 2], [0, 3], [1, 3]]],
        two[:, [[0, 2], [1, 3], [1, 2]]],
    ])  # fmt: skip
    edges, faces = np.unique(cuts.reshape(-1, 2), axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    ends = np.stack(np.unravel_index(edges, field.shape), axis=-1).astype(float)
    depth = values[edges]
    share = depth[:, 0] / (depth[:, 0] - depth[:, 1])
    vertices = ends[:, 0] + share[:, None] * (ends[:, 1] - ends[:, 0])
    a, b, c = vertices[faces].transpose(1, 0, 2)
    outward = (ends[faces, 1] - ends[faces, 0]).sum(axis=1)
    wrong = np.einsum("ij,ij->i", np.cross(b - a, c - a), outward) < 0
    faces[wrong] = faces[wrong, ::-1]
    return vertices, faces


def _without_crumbs(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out specks and bubbles, parts of less than a hundredth of the faces, which strokes may enclose."""
    label = meshes.label_parts(len(vertices), faces)
    share = np.bincount(label[faces[:, 0]], minlength=len(label)) / len(faces)
    if (share > 0.01).sum() > 1:
        raise ValueError(f"expected strokes that hang together, got {(share > 0.01).sum()} separate parts")
    used, kept = np.unique(faces[share[label[faces[:, 0]]] > 0.01], return_inverse=True)
    return vertices[used], kept.reshape(-1, 3)


def _thin(vertices: np.ndarray, faces: np.ndarray, triangles: int) -> tuple[np.ndarray, np.ndarray]:
    """Collapse the least telling edges until about so many triangles are left."""
    mesh = bpy.data.meshes.new("clay")
    mesh.from_pydata(vertices.tolist(), [], faces.tolist())
    thing = bpy.data.objects.new("clay", mesh)
    bpy.context.scene.collection.objects.link(thing)
    modifier = thing.modifiers.new("thin", "DECIMATE")
    modifier.ratio = min(1.0, triangles / len(faces))
    modifier.use_collapse_triangulate = True
    bpy.context.view_layer.update()
    result = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    vertices, faces = np.empty(3 * len(result.vertices)), np.empty(3 * len(result.polygons), np.int32)
    result.vertices.foreach_get("co", vertices)
    result.loops.foreach_get("vertex_index", faces)
    bpy.data.objects.remove(thing)
    bpy.data.meshes.remove(mesh)
    return vertices.reshape(-1, 3), faces.reshape(-1, 3).astype(np.int64)


def _even_out(vertices: np.ndarray, faces: np.ndarray, field: np.ndarray, rounds: int) -> np.ndarray:
    """Draw each vertex towards its neighbours and then back onto the surface: same form, fairer triangles."""
    start, stop = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    degree = np.bincount(start, minlength=len(vertices))[:, None]
    for _ in range(rounds):
        mean = (
            np.stack([np.bincount(start, vertices[stop, k], len(vertices)) for k in range(3)], axis=1)
            / degree
        )
        vertices = vertices + 0.4 * (mean - vertices)
        for _ in range(2):
            value, slope = _read(field, vertices)
            move = -value[:, None] * slope / np.maximum((slope**2).sum(axis=1), 0.1)[:, None]
            vertices = vertices + np.clip(move, -0.7, 0.7)
    return vertices


def _read(field: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and slope of the field at points between its grid's, by trilinear interpolation."""
    base = np.clip(np.floor(points).astype(int), 0, np.array(field.shape) - 2)
    share = points - base
    value, slope = np.zeros(len(points)), np.zeros((len(points), 3))
    for corner in np.ndindex(2, 2, 2):
        at = field[tuple((base + corner).T)]
        weights = np.where(corner, share, 1 - share)
        value += at * weights.prod(axis=1)
        for k in range(3):
            others = weights[:, [j for j in range(3) if j != k]].prod(axis=1)
            slope[:, k] += at * others * (1 if corner[k] else -1)
    return value, slope
