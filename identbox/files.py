"""Folders that travel with the package: the renderer that Blender executes, and the declared simulations."""

from __future__ import annotations

import os
from pathlib import Path

from identbox.errors import IdentboxError


def folder(name: str) -> Path:
    """The folder of that name, inside the installed package or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    for place in (here / name, here.parent / name):
        if place.is_dir():
            return place
    raise IdentboxError(
        f"identbox: expected its folder {name}, got an installation without it; install it again"
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no half of it is ever seen."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_cut(path: Path, content: bytes) -> bool:
    """Whether a file holds the beginning of its content alone, as a copy that broke off or a full disk leaves it."""
    there = path.read_bytes()
    return len(there) < len(content) and content.startswith(there)


def write_once(path: Path, content: bytes) -> None:
    """Write a file that is missing or cut short. Raises IdentboxError where it holds something else."""
    if not path.exists() or is_cut(path, content):
        write_whole(path, content)
    elif path.read_bytes() != content:
        raise IdentboxError(f"{path}: expected what this version would write, got another file")


def cache_folder() -> Path:
    """Where converted and downloaded meshes are kept: IDENTBOX_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IDENTBOX_CACHE") or Path(home) / "identbox")
