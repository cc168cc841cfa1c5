"""Background pictures, one a modality: textures made by code, or pictures of the user's."""

from __future__ import annotations

import colorsys
import hashlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from identbox import seeding
from identbox.data.photographs import read_photograph
from identbox.errors import IdentboxError

TEXTURE_SIDE = 256  # pixels
PICTURES = (".png", ".jpg", ".jpeg")
PATTERNS = ("clouds", "stripes", "dots", "cells", "weave")
GOLDEN = 0.6180339887498949  # turns of the colour wheel between two textures, so that none come close


def read_backgrounds(folder: Path, modalities: int, least: int) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """The first pictures of a folder by name, as RGB.

    Raises IdentboxError for fewer pictures than modalities, and one that cannot be read or has a side below ``least``.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
    if len(paths) < modalities:
        raise IdentboxError(
            f"{folder}: expected {modalities} pictures ({', '.join(PICTURES)}), one for each modality, got {len(paths)}"
        )
    return [np.asarray(read_photograph(path, "a picture", least=least)) for path in paths[:modalities]]


def texture(place: int, *, seed: int) -> UInt8[np.ndarray, "256 256 3"]:
    """The texture of the modality of that number: a pattern between two colours of a hue of its own."""
    generator = seeding.generator(seed, "texture", place)
    heights = _PATTERNS[PATTERNS[place % len(PATTERNS)]](generator)
    heights = (heights - heights.min()) / (heights.max() - heights.min())
    hue = place * GOLDEN % 1
    dark = np.array(colorsys.hsv_to_rgb(hue, 0.85, 0.30 + 0.15 * (place % 3)))
    light = np.array(colorsys.hsv_to_rgb((hue + 0.08) % 1, 0.45, 0.95 - 0.1 * (place % 2)))
    return np.rint(255 * (dark + heights[..., None] * (light - dark))).astype(np.uint8)


def _texture_noise(generator: torch.Generator, coarse: int) -> Float[np.ndarray, "side side"]:
    """Smooth noise that repeats at its borders, with features of about that many pixels."""
    side = TEXTURE_SIDE
    white = torch.randn(side, side, generator=generator, dtype=torch.float64).numpy()
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    return np.fft.ifft2(np.fft.fft2(white) * np.exp(-((frequency * coarse) ** 2) * 4)).real


def _clouds(generator: torch.Generator) -> Float[np.ndarray, "side side"]:
    return sum(_texture_noise(generator, coarse) * coarse for coarse in (6, 12, 24))  # type: ignore[return-value]


def _grid() -> tuple[Float[np.ndarray, "side side"], Float[np.ndarray, "side side"]]:
    rows, columns = np.mgrid[:TEXTURE_SIDE, :TEXTURE_SIDE] / TEXTURE_SIDE
    return rows, columns


def _stripes(generator: torch.Generator) -> Float[np.ndarray, "side side"]:
    rows, columns = _grid()
    bend = _texture_noise(generator, 40)
    return np.sin(2 * np.pi * (18 * columns + 11 * rows) + 3 * bend / np.abs(bend).max())


def _dots(generator: torch.Generator) -> Float[np.ndarray, "side side"]:
    rows, columns = _grid()
    noise = _texture_noise(generator, 10)
    lattice = np.cos(2 * np.pi * 24 * rows) + np.cos(2 * np.pi * 24 * columns)
    return np.tanh(3 * (lattice - 0.8)) + 0.5 * noise / np.abs(noise).max()


def _cells(generator: torch.Generator) -> Float[np.ndarray, "side side"]:
    """The distance to the nearest of some random points, on a torus."""
    points = torch.rand(220, 2, generator=generator, dtype=torch.float64).numpy()
    rows, columns = _grid()
    nearest = np.full(rows.shape, np.inf)
    for row, column in points:
        down, across = np.abs(rows - row), np.abs(columns - column)
        nearest = np.minimum(nearest, np.hypot(np.minimum(down, 1 - down), np.minimum(across, 1 - across)))
    return nearest


def _weave(generator: torch.Generator) -> Float[np.ndarray, "side side"]:
    rows, columns = _grid()
    noise = _texture_noise(generator, 5)
    threads = np.sin(2 * np.pi * 32 * rows) * np.sign(np.sin(2 * np.pi * 16 * columns))
    return threads + noise / np.abs(noise).max()


_PATTERNS = dict(zip(PATTERNS, (_clouds, _stripes, _dots, _cells, _weave), strict=True))


def picture_hash(picture: UInt8[np.ndarray, "_ _ 3"]) -> str:
    """The SHA-256 of the pixels of a picture, and of its size."""
    return hashlib.sha256(f"{picture.shape} ".encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()
