"""Packs of meshes: the built-in one, or a folder of the user's own, one file a class."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from identbox import blender, resources
from identbox.errors import IdentboxError, first_few

ENDINGS = (".obj", ".ply", ".stl", ".glb", ".blend")
CONVERSION = 1  # raise it when the normalised mesh of the same file would be another


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Normalised meshes (largest extent 1, volume-weighted centre at the origin) by the name of their class."""

    name: str
    files: dict[str, Path]  # class -> .npz that the renderer reads
    sha256: str  # over the names and contents of the source files


def cache_folder() -> Path:
    """Where converted and downloaded meshes are kept: IDENTBOX_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IDENTBOX_CACHE") or Path(home) / "identbox")


def load(name: str, classes: tuple[str, ...], runner: blender.Blender) -> Pack:
    """The pack of that name with the given classes: ``builtin``, or a folder of meshes.

    Meshes of a folder are read by Blender once and kept, normalised, in the cache. Raises IdentboxError for a
    class without a file, two files of one class, and a mesh that cannot be shown.
    """
    if name == "builtin":
        place = resources.folder("render") / "shapes"
        files = {path.stem: path for path in sorted(place.glob("*.npz"))}
        chosen = {shape: _pick(files, shape, name) for shape in classes}
        return Pack(name=name, files=chosen, sha256=_digest(chosen))
    place = Path(name)
    if not place.is_dir():
        raise IdentboxError(f"--shapes: expected 'builtin' or a folder, got {name}")
    files = {}
    for path in sorted(place.iterdir()):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            if path.stem in files:
                raise IdentboxError(
                    f"{name}: expected one file a class, got {files[path.stem].name} and {path.name}"
                )
            files[path.stem] = path
    sources = {shape: _pick(files, shape, name) for shape in classes}
    return Pack(name=place.resolve().name, files=_convert(sources, runner), sha256=_digest(sources))


def _pick(files: dict[str, Path], shape: str, pack: str) -> Path:
    if shape not in files:
        raise IdentboxError(
            f"--shapes {pack}: expected a mesh for the class {shape} ({shape}.obj, ...), "
            f"got {first_few(files, 8) or f'no file of {chr(44).join(ENDINGS)}'}"
        )
    return files[shape]


def _digest(files: dict[str, Path]) -> str:
    total = hashlib.sha256()
    for shape, path in files.items():
        total.update(f"{shape}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _convert(sources: dict[str, Path], runner: blender.Blender) -> dict[str, Path]:
    folder = cache_folder() / "meshes"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IdentboxError(
            f"{folder}: expected a cache folder that can be written (IDENTBOX_CACHE names another), "
            f"got {error.strerror}"
        ) from error
    targets, items = {}, []
    for shape, source in sources.items():
        content = hashlib.sha256(source.suffix.lower().encode() + source.read_bytes()).hexdigest()
        targets[shape] = folder / f"{content[:32]}-{CONVERSION}.npz"
        if not targets[shape].is_file():
            items.append({"source": str(source.resolve()), "target": str(targets[shape])})
    if items:
        for report in blender.run_once(runner, {"task": "convert"}, items):
            if "failed" in report:
                raise IdentboxError(f"{items[report['failed']]['source']}: {report['error']}")
    return targets
