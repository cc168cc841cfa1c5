"""Normalised meshes: made once by Blender, kept in the user's cache, and believed there only with a proof.

A mesh is kept under a hash of its source, its orientation and its scale. The proof beside it is made with a secret of
the user (`files.proof`), so that a file that was cut short, changed, or put there by somebody else is made again.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from identbox import files, processes
from identbox.data.arrays import expect_arrays, read_arrays
from identbox.errors import IdentboxError
from identbox.files import cache_folder
from identbox.rendering.blender import Blender, WorkerReport, run_once

CONVERSION = 4  # raise it when the normalised mesh of the same file would be another
LARGEST_SOURCE = 256 * files.MIB  # it is never in the memory of this process
LARGEST_MESH = 256 * files.MIB  # of a normalised one, packed
# What Blender may take for one mesh, beyond what it takes by itself.
MOST_MEMORY = 500 * files.MIB
MOST_SECONDS = 10  # of processors
MESH_TIMEOUT = 120.0  # seconds without a report, on a machine that is busy with other work
FAR = 0.25  # extents from the centre to the middle of the box, from which a note says so


@dataclass(frozen=True, kw_only=True)
class MeshSource:
    """The file of a mesh, and how it is placed."""

    path: Path
    orientation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    @property
    def placed(self) -> bytes:
        """Orientation and scale, for a hash."""
        return f"{self.orientation} {self.scale}\0".encode()

    @cached_property
    def hashes(self) -> tuple[str, bytes]:
        """The hashes of kind, placement and content, in hexadecimal, and of the content alone.

        Raises IdentboxError for a file that is too large, cannot be read, or is no regular file.
        """
        whole = hashlib.sha256(self.path.suffix.lower().encode() + self.placed)
        content = hashlib.sha256()
        for block in self._blocks():
            whole.update(block)
            content.update(block)
        return whole.hexdigest(), content.digest()

    @property
    def name(self) -> str:
        """The name of the normalised mesh in the cache."""
        return f"{self.hashes[0][:32]}-{CONVERSION}.npz"

    def copy(self, target: Path) -> None:
        """Copy the file. Raises IdentboxError where it is another than that of the hashes."""
        content = hashlib.sha256()
        with target.open("wb") as file:
            for block in self._blocks():
                content.update(block)
                file.write(block)
        if content.digest() != self.hashes[1]:
            raise IdentboxError(
                f"{self.path}: expected the file that was read before, got one that was changed"
            )

    def _blocks(self) -> Iterator[bytes]:
        try:
            with files.open_regular(self.path, LARGEST_SOURCE) as file:
                while block := file.read(files.MIB):
                    yield block
        except OSError as error:
            raise IdentboxError(f"{self.path}: expected a mesh, got {error.strerror or error}") from error


def converted_meshes(
    sources: dict[str, MeshSource],
    blender: Blender,
    *,
    on_step: Callable[[str], None] = lambda what: None,
) -> dict[str, Path]:
    """The normalised meshes by class; those that are not in the cache with their proof are made by Blender.

    ``on_step`` is told of each mesh before it is read. Where the cache cannot be written, they are kept in a temporary
    folder until this process ends. Raises IdentboxError for a mesh that cannot be shown.
    """
    folder = cache_folder() / "meshes"
    meshes = {shape: folder / source.name for shape, source in sources.items()}
    wanted = {
        shape: source
        for shape, source in sources.items()
        if files.read_proved(meshes[shape], LARGEST_MESH, "mesh") is None
    }
    if wanted:
        with files.scratch() as scratch:
            for shape, made in _convert(wanted, blender, scratch, on_step).items():
                meshes[shape] = _keep(made, meshes[shape])
    return meshes


def _convert(
    sources: dict[str, MeshSource], blender: Blender, scratch: Path, on_step: Callable[[str], None]
) -> dict[str, Path]:
    """Let Blender make the normalised meshes in ``scratch``, from copies: other files are not beside them."""
    items, made = [], {}
    for place, (shape, source) in enumerate(sources.items()):
        copy = scratch / f"{place}{source.path.suffix.lower()}"
        source.copy(copy)
        made[shape] = scratch / source.name
        items.append(
            {
                "source": str(copy),
                "target": str(made[shape]),
                "orientation": source.orientation,
                "scale": source.scale,
            }
        )
    paths = [str(source.path) for source in sources.values()]

    def tell(report: WorkerReport) -> None:
        if "start" in report:
            on_step(f"reading {paths[report['start']]}")

    header = {"task": "convert", "memory": MOST_MEMORY, "seconds": MOST_SECONDS}
    for report in run_once(blender, header, items, MESH_TIMEOUT, paths, on_report=tell):
        if "failed" in report:
            raise IdentboxError(f"{paths[report['failed']]}: {report['error']}")
    return made


def _keep(made: Path, target: Path) -> Path:
    """Put a mesh and its proof into the cache; returns where it lies now."""
    content = files.read_bytes(made, LARGEST_MESH)
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_proved(target, content, "mesh")
        return target
    place = Path(tempfile.mkdtemp(prefix=processes.scratch_prefix()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(shutil.copy(made, place / target.name))


def read_mesh(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices and faces of a normalised mesh, in the form in which the renderer keeps them."""
    arrays = read_arrays(path)
    expect_arrays(arrays, ["vertices", "faces", "scale"], path)
    return arrays["vertices"] * float(arrays["scale"]), arrays["faces"].astype(np.int64)


def mesh_notes(shape: str, path: Path) -> list[str]:
    """What one would not expect of a normalised mesh, in a sentence each."""
    arrays = read_arrays(path)
    left_out, centre_of = (str(arrays.get(name, "")) for name in ("left_out", "centre_of"))
    vertices = arrays["vertices"] * float(arrays["scale"])
    notes = [f"{shape}: not in the mesh: {left_out}"] if left_out else []
    if centre_of == "surface":
        notes.append(f"{shape}: encloses no volume, so it is placed by the centre of its surface")
    box = np.stack([vertices.min(axis=0), vertices.max(axis=0)])
    far = float(np.linalg.norm(box.mean(axis=0)) / np.ptp(box, axis=0).max())
    if far > FAR:
        notes.append(
            f"{shape}: the middle of its box is {far:.0%} of its extent from the centre about which it is placed; "
            f"it may reach out of its part of the image"
        )
    return notes
