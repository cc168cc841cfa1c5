"""Folders that travel with the package: the renderer that Blender executes, and the declared simulations."""

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
