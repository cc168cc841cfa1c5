# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the middle of a mesh is, and which side of its faces is outside, whatever its file says of that.

Files wind faces as they like, mirror parts, double every face, and lie far from the origin. So all that follows is
independent of windings, of copies of a face, and of where the origin is. Needs numpy alone.
"""

from collections.abc import Iterator

import numpy as np

SPREAD = 0.01  # of the extent: so far centres of volume about different points may differ, and be believed
PROBES = 32  # vertices of a part that are looked at
MOST_LOOKS = 25_000_000  # at a face from a vertex, to find parts within others: some two seconds
BLOCK = 1 << 17  # faces whose corners are in memory at a time
LOOKS_AT_ONCE = 1 << 13  # so that their numbers fit into the cache of a processor


def drop_copies(faces: np.ndarray) -> np.ndarray:
    """The faces without those that have the same three vertices as an earlier one, whichever way round."""
    low, middle, high = np.sort(faces, axis=1).T
    pair = low * (int(faces.max(initial=0)) + 1) + middle
    order = np.lexsort((high, pair))
    pair, high = pair[order], high[order]
    keep = np.ones(len(faces), bool)
    keep[order[1:][(pair[1:] == pair[:-1]) & (high[1:] == high[:-1])]] = False
    return faces[keep]


def wind_outward(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces wound alike within each part and outward; and for each face the part that it belongs to.

    A part is a set of faces that hang together by edges of exactly two faces. Outward is the side from which its volume
    about its own middle is positive.
    """
    pairs, alike = _neighbours(faces)
    part, flip = _joined(len(faces), pairs, ~alike)
    del pairs, alike
    faces = np.where(flip[:, None], faces[:, ::-1], faces)
    parts, part = np.unique(part, return_inverse=True)
    total, middle, towards = (np.zeros((len(parts), width)) for width in (1, 3, 3))
    for some, corners in _blocks(vertices, faces):
        normals = _normals(corners)
        areas = np.linalg.norm(normals, axis=1, keepdims=True) / 2
        _add_by(part[some], areas, total)
        _add_by(part[some], areas * corners.mean(axis=1), middle)
        _add_by(part[some], normals, towards)
    middle /= np.maximum(total, 1e-300)
    volumes = np.zeros((len(parts), 1))
    for some, corners in _blocks(vertices, faces):
        own = part[some]
        _add_by(own, _sixths(corners - middle[own][:, None])[:, None], volumes)
    # A flat part has no outside. It is turned towards one side of space, so that its winding has no effect.
    flat = np.abs(volumes[:, 0]) < 1e-9 * np.ptp(vertices, axis=0).max() ** 3
    inward = np.where(flat, towards @ [1.0, 0.7, 0.4] < 0, volumes[:, 0] < 0)
    return np.where(inward[part][:, None], faces[:, ::-1], faces), part


def sorted_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The edges of all faces, equal ones together: where each begins, how many there are of it, and of each face's edge
    whether it runs from the lower vertex to the higher, and the face."""
    m, n = len(faces), int(faces.max()) + 1
    key, forward = np.empty(3 * m, np.int64), np.empty(3 * m, bool)
    for side in range(3):
        a, b = faces[:, side], faces[:, (side + 1) % 3]
        key[side * m : (side + 1) * m] = np.minimum(a, b) * n + np.maximum(a, b)
        forward[side * m : (side + 1) * m] = a < b
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    return starts, np.diff(starts, append=len(key)), forward[order], order % m


def _neighbours(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of faces with a common edge that has no third, (k, 2), and whether they are wound alike, (k,)."""
    starts, uses, forward, owner = sorted_edges(faces)
    two = starts[uses == 2]
    return np.stack([owner[two], owner[two + 1]], axis=1), forward[two] != forward[two + 1]


def label(n: int, pairs: np.ndarray) -> np.ndarray:
    """For each of n things the lowest that pairs connect it to, (n,)."""
    return _joined(n, pairs, np.zeros(len(pairs), bool))[0]


def _joined(n: int, pairs: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of n things the lowest that pairs connect it to, and whether an odd number of odd pairs lies between.

    Where two ways differ in that, one of them counts. All that has met a lower one in a round is joined to it, so that
    even a long chain takes a few rounds.
    """
    lowest, turned = np.arange(n), np.zeros(n, bool)
    while True:
        a, b = lowest[pairs.T]
        apart = a != b
        if not apart.any():
            return lowest, turned
        pairs, odd, a, b = pairs[apart], odd[apart], a[apart], b[apart]
        high, low = np.maximum(a, b), np.minimum(a, b)
        order = np.argsort(high * n + low, kind="stable")
        first = order[np.r_[True, np.diff(high[order]) > 0]]
        lowest[high[first]] = low[first]
        turned[high[first]] = (odd ^ turned[pairs[:, 0]] ^ turned[pairs[:, 1]])[first]
        while not np.array_equal(beyond := lowest[lowest], lowest):
            turned ^= turned[lowest]
            lowest = beyond


def find_centre(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, str]:
    """The point about which a mesh is placed and turned, and what it is the centre of: ``volume`` or ``surface``.

    The volume of a surface that closes has the same centre about whatever point it is measured. Where the centres about
    the corners of the box differ, the surface encloses no volume to speak of, and its own centre is taken. Parts that
    lie wholly inside another are not seen, and do not count.
    """
    faces = faces[~np.isin(part, hidden_parts(vertices, faces, part))]
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    box = np.stack([vertices[used].min(axis=0), vertices[used].max(axis=0)])
    middle, extent = box.mean(axis=0), float(np.ptp(box, axis=0).max())
    # Sums over the faces, from which the volume about any point and its centre follow.
    volume, area, first, surface, normal, moment = 0.0, 0.0, *np.zeros((3, 3)), np.zeros((3, 3))
    for _, corners in _blocks(vertices - middle, faces):
        sums, sixths, normals = corners.sum(axis=1), _sixths(corners), _normals(corners)
        areas = np.linalg.norm(normals, axis=1) / 2
        volume, area = volume + float(sixths.sum()), area + float(areas.sum())
        first, surface = first + sixths @ sums, surface + areas @ sums / 3
        normal, moment = normal + normals.sum(axis=0), moment + normals.T @ sums
    centres = []
    for point in np.stack(np.meshgrid(*(box - middle).T), axis=-1).reshape(-1, 3):
        about = volume - point @ normal / 6
        if abs(about) > 1e-3 * extent**3:
            centres.append((first - point @ moment / 6 + about * point) / 4 / about)
    if len(centres) == 8 and np.ptp(centres, axis=0).max() < SPREAD * extent:
        return np.mean(centres, axis=0) + middle, "volume"
    return surface / max(area, 1e-300) + middle, "surface"


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The signed volume, about the origin."""
    return float(sum(_sixths(corners).sum() for _, corners in _blocks(vertices, faces)))


def hidden_parts(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> list[int]:
    """The parts that lie wholly inside another part, by the winding number of the other about their vertices."""
    parts = int(part.max()) + 1 if len(part) else 0
    if parts < 2:
        return []
    low, high = np.full((parts, 3), np.inf), np.full((parts, 3), -np.inf)
    for some, corners in _blocks(vertices, faces):
        np.minimum.at(low, part[some], corners.min(axis=1))
        np.maximum.at(high, part[some], corners.max(axis=1))
    order = np.argsort(part, kind="stable")
    ends = np.searchsorted(part[order], np.arange(parts + 1))
    largest = np.argsort(-np.prod(high - low, axis=1), kind="stable")[:200]
    hidden: set[int] = set()
    looks = 0
    for outer in largest:
        within = np.flatnonzero((low > low[outer]).all(axis=1) & (high < high[outer]).all(axis=1))
        around = faces[order[ends[outer] : ends[outer + 1]]]
        for inner in within:
            if inner in hidden:
                continue
            own = np.unique(faces[order[ends[inner] : ends[inner + 1]]])
            probes = vertices[own[np.linspace(0, len(own) - 1, min(PROBES, len(own))).astype(int)]]
            for some in (probes[:1], probes[1:]):  # of most, the first vertex is outside
                looks += len(some) * len(around)
                if looks > MOST_LOOKS:
                    return sorted(hidden)
                if (np.abs(_winding_numbers(some, vertices, around)) <= 0.5).any():
                    break
            else:
                hidden.add(int(inner))
    return sorted(hidden)


def _winding_numbers(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How often a surface goes round each point, (points,) (van Oosterom and Strackee, 1983)."""
    angles = np.zeros(len(points))
    step = max(1, LOOKS_AT_ONCE // max(1, len(points)))
    for start in range(0, len(faces), step):
        # By corner and axis, from each point to each face: (points, faces).
        corners = vertices[faces[start : start + step]].transpose(1, 2, 0)
        a, b, c = ([axis - x[:, None] for axis, x in zip(one, points.T, strict=True)] for one in corners)
        la, lb, lc = (np.sqrt(_dot(one, one)) for one in (a, b, c))
        below = la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb
        cross = [b[i - 2] * c[i - 1] - b[i - 1] * c[i - 2] for i in range(3)]
        angles += np.arctan2(_dot(a, cross), below).sum(axis=1)
    return angles / (2 * np.pi)


def _dot(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _blocks(vertices: np.ndarray, faces: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The corners of the faces, (k, 3, 3), some at a time: all of a large mesh would fill the memory."""
    for start in range(0, len(faces), BLOCK):
        some = slice(start, start + BLOCK)
        yield some, vertices[faces[some]]


def _sixths(corners: np.ndarray) -> np.ndarray:
    """The signed volumes of the tetrahedra from the origin to each face, (m,)."""
    return np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def _normals(corners: np.ndarray) -> np.ndarray:
    """The normal of each face, as long as twice its area, (m, 3)."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _add_by(part: np.ndarray, values: np.ndarray, sums: np.ndarray) -> None:
    """Add the values of faces, (m, k), to the sums of their parts, (parts, k)."""
    for column, total in zip(values.T, sums.T, strict=True):
        total += np.bincount(part, weights=column, minlength=len(sums))
