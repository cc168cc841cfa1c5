# SPDX-License-Identifier: GPL-3.0-or-later
"""What the readers of mesh files make of them. Needs numpy alone."""

from dataclasses import dataclass, field

import numpy as np

from meshes import MeshError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHOWN = 60  # characters of a line in a message


@dataclass
class Polygons:
    """A mesh of polygons: ``corners`` are the vertices of all faces in turn, ``sizes`` how many each face has."""

    vertices: np.ndarray  # (n, 3) float64
    corners: np.ndarray  # (sum of sizes,) int64
    sizes: np.ndarray  # (m,) int64
    left_out: list[str] = field(default_factory=list)  # what is in the file and not in the mesh, in words
    single: bool = False  # whether the file has coordinates of 32 bits, which are coarse far from the origin

    def check(self) -> "Polygons":
        """The mesh itself. Raises MeshError for coordinates that are not finite and for indices out of range."""
        finite = np.isfinite(self.vertices).all(axis=1)
        if not finite.all():
            raise MeshError(
                f"expected finite coordinates, got {int((~finite).sum())} vertices of {len(finite)} that are not"
            )
        if len(self.corners) and not 0 <= self.corners.min() <= self.corners.max() < len(self.vertices):
            raise MeshError(
                f"expected vertex indices in 0..{len(self.vertices) - 1}, "
                f"got {self.corners.min()}..{self.corners.max()}"
            )
        return self


def shown(line: bytes) -> str:
    """A part of a file, for a message."""
    text = line.decode(errors="replace")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
