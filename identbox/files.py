"""Files and folders that are written whole or not at all, the cache folder, and what travels with the package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identbox.errors import IdentboxError

PART = ".part"  # suffix of a temporary name: a file that is not yet whole, or that a killed process left


@contextmanager
def whole(path: Path, *, only_writer: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name beside it; it gets its own name when the block has ended without an error.

    Readers see the old file or the new one, never a part of it. After an error the temporary file is removed.
    Several processes may write the same file at a time. Where there is one writer alone (``only_writer``), the
    temporary name is always the same, so that the next attempt overwrites what a killed process left.
    """
    part = path.with_name(f".{path.name}{'' if only_writer else f'.{os.getpid()}'}{PART}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a new folder under a temporary name; it gets its own name when the block has ended without an error.

    What a killed process left under the temporary name is removed first.
    """
    part = path.with_name(f".{path.name}{PART}")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole(path) as part:
        part.write_bytes(content)


def is_cut(path: Path, content: bytes) -> bool:
    """Whether a file holds only the beginning of its content, as an interrupted copy or a full disk leaves it."""
    there = path.read_bytes()
    return len(there) < len(content) and content.startswith(there)


def write_once(path: Path, content: bytes) -> None:
    """Write a file that is missing or cut short. Raises IdentboxError where it holds something else."""
    if not path.exists() or is_cut(path, content):
        write_whole(path, content)
    elif path.read_bytes() != content:
        raise IdentboxError(f"{path}: expected what this version would write, got another file")


def packaged(name: str) -> Path:
    """A folder that travels with the package: in the installed package, or beside the package in a checkout.

    There are ``render``, which Blender executes, and ``simulations``, the sweep files.
    """
    package = Path(__file__).resolve().parent
    for place in (package / f"_{name}", package.parent / name):
        if place.is_dir():
            return place
    raise IdentboxError(
        f"identbox: expected its folder {name}, got an installation without it; install it again"
    )


def cache_folder() -> Path:
    """Where converted and downloaded meshes are kept: IDENTBOX_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IDENTBOX_CACHE") or Path(home) / "identbox")
