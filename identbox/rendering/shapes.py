"""Packs of meshes: the built-in one, the published one, or a folder of the user's own.

A pack may describe itself in a pack.toml; a folder without one has one file a class.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from identbox import config, files
from identbox.errors import IdentboxError, first_few
from identbox.files import cache_folder
from identbox.rendering import downloads
from identbox.rendering.blender import Blender
from identbox.rendering.mesh_cache import MeshSource, converted_meshes, mesh_notes
from identbox.settings import between, build, settings

ENDINGS = (".obj", ".ply", ".stl", ".glb", ".blend")
NAME = re.compile("[a-z][a-z-]*")  # one word of a sentence
Scale = Annotated[float, between(0.05, 1.5)]  # beyond it a shape is a dot, or larger than the picture


@settings
class ShapeFile:
    """One class of a pack: the table [shapes.NAME] of its pack.toml."""

    file: str  # inside the pack's folder
    orientation: tuple[float, float, float] = (0.0, 0.0, 0.0)  # Euler XYZ, degrees: to Z up, facing +Y
    scale: Scale = 1.0  # of the largest extent, relative to the other shapes


@settings
class PackFile:
    """The keys of a pack.toml."""

    name: str = ""  # default: that of the folder
    licence: str = ""
    credit: str = ""
    shapes: dict[str, dict[str, Any]]  # class -> keys of ShapeFile; their order is that of the classes


@dataclass(frozen=True, kw_only=True)
class PackListing:
    """What is in a pack, known before any of its meshes is read.

    ``declared`` says whether the pack names its classes itself, in a pack.toml.
    """

    name: str
    folder: Path
    entries: dict[str, ShapeFile]
    licence: str = ""
    credit: str = ""
    declared: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.entries)

    def path(self, shape: str) -> Path:
        """The file of a class."""
        return self.folder / self.entries[shape].file


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Normalised meshes (extent 1 times their scale, centre at the origin) by class.

    ``notes`` are sentences on what one would not expect of them: parts of a file that are not in its mesh, say.
    """

    name: str
    files: dict[str, Path]  # class -> .npz that the renderer reads
    sha256: str  # over the names, orientations, scales and contents of the source files
    licence: str = ""
    credit: str = ""
    notes: tuple[str, ...] = ()

    def table(self) -> dict[str, str]:
        """The table [shapes] of dataset.toml."""
        keys = ("name", "sha256", "licence", "credit")
        return {key: getattr(self, key) for key in keys if getattr(self, key)}


def find_pack(name: str) -> PackListing:
    """What is in the pack of that name: ``builtin``, ``published``, or a folder. Nothing is fetched or converted.

    Raises IdentboxError where there is no such pack, and for all that is wrong in its pack.toml.
    """
    if name == "builtin":
        return _listing_of_pack_file(files.packaged("render") / "shapes", (".npz",))
    if name == "published":
        return _published_listing()
    folder = Path(name)
    if not folder.is_dir():
        raise IdentboxError(f"shapes: expected 'builtin', 'published' or a folder, got {name}")
    return (
        _listing_of_pack_file(folder, ENDINGS)
        if (folder / "pack.toml").exists()
        else _listing_of_files(folder)
    )


def load_pack(
    name: str,
    classes: tuple[str, ...] | None,
    blender: Blender,
    *,
    offline: bool = False,
    on_step: Callable[[str], None] = lambda what: None,
) -> Pack:
    """The pack of that name with the given classes (None: all it has), ready to be rendered.

    Blender reads each mesh once; the normalised mesh is kept in the cache. Those of the published pack are downloaded
    first, unless ``offline``. Raises IdentboxError for a class without a file, two files of one class, a mesh that
    cannot be shown, and a download that fails.
    """
    listing = find_pack(name)
    for shape in classes or ():
        _expect_shape(shape, listing, name)
    entries = {shape: listing.entries[shape] for shape in classes or listing.classes}
    if not entries:
        raise IdentboxError(f"--shapes {name}: expected a mesh a class, got no file of {', '.join(ENDINGS)}")
    if name == "published":
        wanted = [entry.file for entry in entries.values()]
        downloads.fetch_files(
            listing.folder, wanted, offline=offline, on_file=lambda file: on_step(f"fetching {file}")
        )
    sources = {
        shape: MeshSource(path=listing.path(shape), orientation=entry.orientation, scale=entry.scale)
        for shape, entry in entries.items()
    }
    ready = name == "builtin"  # its meshes are kept normalised
    meshes = {shape: source.path for shape, source in sources.items()}
    if not ready:
        meshes = converted_meshes(sources, blender, on_step=on_step)
    return Pack(
        name=listing.name,
        files=meshes,
        sha256=_digest(sources),
        licence=listing.licence,
        credit=listing.credit,
        notes=()
        if ready
        else tuple(note for shape, path in meshes.items() for note in mesh_notes(shape, path)),
    )


def _published_listing() -> PackListing:
    return PackListing(
        name="published",
        folder=cache_folder() / "published",
        entries={
            file.removeprefix("Shape").removesuffix(".blend").lower(): ShapeFile(file=file)
            for file in downloads.BLOBS
        },
        licence="MIT (of the generator's repository)",
        credit=f"github.com/imantdaunhawer/Multimodal3DIdent at {downloads.COMMIT[:12]}",
    )


def _listing_of_pack_file(folder: Path, endings: tuple[str, ...]) -> PackListing:
    """The pack of a folder with a pack.toml."""
    where = str(folder / "pack.toml")
    described = build(PackFile, config.read_toml(folder / "pack.toml"), where)
    if not described.shapes:
        raise IdentboxError(f"{where}: expected at least one table [shapes.NAME], got none")
    entries = {}
    for shape, table in described.shapes.items():
        place = f"{where}: shapes.{shape}"
        if not NAME.fullmatch(shape):
            raise IdentboxError(f"{place}: expected a word of the letters a to z and hyphens, got {shape!r}")
        entry = build(ShapeFile, table, place)
        path = files.inside(folder, entry.file, f"{place}.file")
        if path.suffix.lower() not in endings:
            raise IdentboxError(f"{place}.file: expected a file of {', '.join(endings)}, got {entry.file}")
        if not path.is_file():
            raise IdentboxError(f"{place}.file: expected a file, got no {entry.file} in {folder}")
        entries[shape] = entry
    return PackListing(
        name=described.name or folder.resolve().name,
        folder=folder,
        entries=entries,
        licence=described.licence,
        credit=described.credit,
    )


def _listing_of_files(folder: Path) -> PackListing:
    """The pack of a folder with one file a class."""
    entries: dict[str, ShapeFile] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            if path.stem in entries:
                raise IdentboxError(
                    f"{folder}: expected one file a class, got {entries[path.stem].file} and {path.name}"
                )
            if not files.inside(folder, path.name, str(folder)).is_file():
                raise IdentboxError(f"{path}: expected a file, got a folder, a pipe or a device")
            entries[path.stem] = ShapeFile(file=path.name)
    return PackListing(name=folder.resolve().name, folder=folder, entries=entries, declared=False)


def _expect_shape(shape: str, listing: PackListing, pack: str) -> None:
    if shape in listing.entries:
        return
    there = first_few(listing.classes, 8) or f"no file of {', '.join(ENDINGS)}"
    if listing.declared:
        raise IdentboxError(
            f"--shapes {pack}: expected the class {shape} of the process in the pack, got {there}; "
            f"variables.object_shape.classes of a process file names the classes to draw"
        )
    raise IdentboxError(
        f"--shapes {pack}: expected a mesh for the class {shape} ({shape}.obj, ...), got {there}; "
        f"with a pack.toml a folder may have other classes"
    )


def _digest(sources: dict[str, MeshSource]) -> str:
    """A hash over the names, orientations, scales and contents of the source files."""
    total = hashlib.sha256()
    for shape, source in sources.items():
        total.update(f"{shape}\0".encode() + source.placed + source.hashes[1])
    return total.hexdigest()
