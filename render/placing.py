# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the middle of a mesh is, and which side of its faces is outside, whatever its file says of that.

Files wind faces as they like, mirror parts, double every face, and lie far from the origin. So all that follows is
independent of windings, of copies of a face, and of where the origin is. Needs numpy alone.
"""

import numpy as np

SPREAD = 0.01  # of the extent: so far centres of volume about different points may differ, and be believed
MOST_PAIRS = 2000  # of parts, one within the box of another, that are looked at
PROBES = 32  # vertices of a part that are looked at


def drop_copies(faces: np.ndarray) -> np.ndarray:
    """The faces without those that have the same three vertices as an earlier one, whichever way round."""
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return faces[np.sort(first)]


def wind_outward(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces wound alike within each part and outward; and for each face the part that it belongs to.

    A part is a set of faces that hang together by edges of exactly two faces. Outward is the side from which its volume
    about its own middle is positive.
    """
    pairs, alike = _neighbours(faces)
    part = label(len(faces), pairs)
    flip = _flips(part, pairs, alike)
    faces = np.where(flip[:, None], faces[:, ::-1], faces)
    parts, part = np.unique(part, return_inverse=True)
    corners = vertices[faces]
    middle = _mean_by(part, len(parts), corners.mean(axis=1), _areas(corners))
    volumes = np.bincount(part, weights=_sixths(corners - middle[part][:, None]), minlength=len(parts))
    # A flat part has no outside. It is turned towards one side of space, so that its winding has no effect.
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = np.stack([np.bincount(part, weights=axis, minlength=len(parts)) for axis in normals.T], axis=1)
    flat = np.abs(volumes) < 1e-9 * np.ptp(vertices, axis=0).max() ** 3
    inward = np.where(flat, towards @ [1.0, 0.7, 0.4] < 0, volumes < 0)
    return np.where(inward[part][:, None], faces[:, ::-1], faces), part


def _neighbours(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of faces with a common edge that has no third, (k, 2), and whether they are wound alike, (k,)."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = directed[:, 0] < directed[:, 1]
    key = directed.min(axis=1) * (int(faces.max()) + 1) + directed.max(axis=1)
    order = np.argsort(key, kind="stable")
    key, forward, owner = key[order], forward[order], (order % len(faces))
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    two = starts[np.diff(np.r_[starts, len(key)]) == 2]
    return np.stack([owner[two], owner[two + 1]], axis=1), forward[two] != forward[two + 1]


def label(n: int, pairs: np.ndarray) -> np.ndarray:
    """For each of n things the lowest that pairs connect it to, (n,)."""
    lowest = np.arange(n)
    while True:
        a, b = lowest[pairs.T]
        new = lowest.copy()
        np.minimum.at(new, a, b)
        np.minimum.at(new, b, a)
        new = new[new]
        if np.array_equal(new, lowest):
            return lowest
        lowest = new


def _flips(part: np.ndarray, pairs: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Which faces to turn round so that neighbours are wound alike, from the first face of each part outwards."""
    source, other = np.r_[pairs[:, 0], pairs[:, 1]], np.r_[pairs[:, 1], pairs[:, 0]]
    order = np.argsort(source, kind="stable")
    other, turned = other[order], np.r_[~alike, ~alike][order]
    starts = np.searchsorted(source[order], np.arange(len(part) + 1))
    flip, seen = np.zeros(len(part), bool), np.zeros(len(part), bool)
    front = np.unique(part)
    seen[front] = True
    while len(front):
        counts = starts[front + 1] - starts[front]
        places = np.repeat(starts[front] - np.r_[0, np.cumsum(counts)[:-1]], counts) + np.arange(counts.sum())
        found, values = other[places], flip[np.repeat(front, counts)] ^ turned[places]
        new = ~seen[found]
        front, first = np.unique(found[new], return_index=True)
        flip[front], seen[front] = values[new][first], True
    return flip


def find_centre(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, str]:
    """The point about which a mesh is placed and turned, and what it is the centre of: ``volume`` or ``surface``.

    The volume of a surface that closes has the same centre about whatever point it is measured. Where the centres about
    the corners of the box differ, the surface encloses no volume to speak of, and its own centre is taken. Parts that
    lie wholly inside another are not seen, and do not count.
    """
    faces = faces[~np.isin(part, hidden_parts(vertices, faces, part))]
    corners = vertices[faces]
    box = np.stack([corners.min(axis=(0, 1)), corners.max(axis=(0, 1))])
    extent = float(np.ptp(box, axis=0).max())
    centres = []
    for point in np.stack(np.meshgrid(*box.T), axis=-1).reshape(-1, 3):
        sixths = _sixths(corners - point)
        volume = sixths.sum()
        if abs(volume) > 1e-3 * extent**3:
            centres.append((sixths[:, None] * (corners.sum(axis=1) + point) / 4).sum(axis=0) / volume)
    if len(centres) == 8 and np.ptp(centres, axis=0).max() < SPREAD * extent:
        return np.mean(centres, axis=0), "volume"
    areas = _areas(corners)
    return (areas[:, None] * corners.mean(axis=1)).sum(axis=0) / max(areas.sum(), 1e-300), "surface"


def hidden_parts(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> list[int]:
    """The parts that lie wholly inside another part, by the winding number of the other about their vertices."""
    parts = int(part.max()) + 1 if len(part) else 0
    if parts < 2:
        return []
    corners = vertices[faces]
    low, high = np.full((parts, 3), np.inf), np.full((parts, 3), -np.inf)
    np.minimum.at(low, part, corners.min(axis=1))
    np.maximum.at(high, part, corners.max(axis=1))
    largest = np.argsort(-np.prod(high - low, axis=1), kind="stable")[:200]
    hidden: set[int] = set()
    looked = 0
    for outer in largest:
        within = np.flatnonzero((low > low[outer]).all(axis=1) & (high < high[outer]).all(axis=1))
        for inner in within:
            if inner in hidden or looked >= MOST_PAIRS:
                continue
            looked += 1
            own = np.unique(faces[part == inner])
            probes = vertices[own[np.linspace(0, len(own) - 1, min(PROBES, len(own))).astype(int)]]
            if all(abs(_winding_number(point, corners[part == outer])) > 0.5 for point in probes):
                hidden.add(int(inner))
    return sorted(hidden)


def _winding_number(point: np.ndarray, corners: np.ndarray) -> float:
    """How often a surface goes round a point (van Oosterom and Strackee, 1983)."""
    a, b, c = (corners - point).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
    below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return float(np.arctan2(np.einsum("ij,ij->i", a, np.cross(b, c)), below).sum() / (2 * np.pi))


def _sixths(corners: np.ndarray) -> np.ndarray:
    """The signed volumes of the tetrahedra from the origin to each face, (m,)."""
    return np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def _areas(corners: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2


def _mean_by(part: np.ndarray, parts: int, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of the points of each part, (parts, 3)."""
    total = np.maximum(np.bincount(part, weights=weights, minlength=parts), 1e-300)
    sums = [np.bincount(part, weights=weights * axis, minlength=parts) for axis in points.T]
    return np.stack(sums, axis=1) / total[:, None]
