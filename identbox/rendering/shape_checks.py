"""What a pack of shapes looks like: figures of its meshes, whether size gives a class away, and a picture."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw

from identbox import seeding
from identbox.data import cards
from identbox.data.scene import EXTENT, IMAGE_FACTORS, UNIT_FACTORS, Scene
from identbox.errors import IdentboxError, first_few
from identbox.rendering import blender
from identbox.rendering.shapes import Pack
from identbox.rendering.workers import Run, Settings

if TYPE_CHECKING:
    from rich.table import Table


CAMERA = np.array([8.0, 0.0, 8.0])  # as in the renderer, aimed at the origin, its right +Y
ZOOM = 35 / 50  # lens over sensor
SIZE = 224  # pixels a side of the images whose covered pixels are told
FINER = 2  # masks are drawn so many times larger, since PIL widens a polygon by half a pixel
# Balanced accuracy from which size gives a class away: one mistake in ten. Natural outlines differ by more than
# chance (0.5, or 0.62 at the 5% level of Kuiper's test with 64 orientations), so less would blame every pack.
GIVEN_AWAY = 0.9

DIRECTIONS = 8
LARGE, CROP, SMALL = 480, 224, 64  # pixels: rendered, the part of it that is kept, and the training size
MAGNIFIED = 2  # of the small ones, each pixel a block, so that one sees what a learner is given
EDGE, NAMES, BETWEEN = 28, 150, 10  # pixels: around the picture, left of a row, between tiles
TITLE, HEADER = 54, 30
HUE, GROUND_HUE, SPOT_HUE = 0.12, 0.02, 0.74  # gold on violet stands out in light and in shadow


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one shape."""

    shape: str
    triangles: int
    sides: tuple[float, float, float]  # of the bounding box, metres
    open_edges: int
    tangled_edges: int
    parts: int
    offset: float  # of the volume-weighted centre from that of the bounding box, in extents
    pixels: float  # covered on average, of an image of SIZE x SIZE
    told: float  # balanced accuracy of telling it from the others by its pixels alone

    @property
    def manifold(self) -> bool:
        """Whether every edge has two faces that agree on its direction."""
        return not self.open_edges and not self.tangled_edges


def examine(pack: Pack, runner: blender.Blender, *, turns: int = 64, seed: int) -> list[Row]:
    """The figures of each shape of a pack; covered pixels over ``turns`` orientations, the same for each shape."""
    found = blender.run_once(
        runner, {"task": "measure"}, [{"mesh": str(path)} for path in pack.files.values()]
    )
    figures = [report for report in found if "done" in report]
    rotations = orientations(turns, seed=seed)
    loaded = [_read(path) for path in pack.files.values()]
    pixels = {
        shape: covered(vertices * EXTENT, faces, rotations)
        for shape, (vertices, faces) in zip(pack.files, loaded, strict=True)
    }
    told = told_by_size(pixels)
    return [
        Row(
            shape=shape,
            triangles=measured["triangles"],
            sides=tuple((np.ptp(vertices, axis=0) * EXTENT).tolist()),
            open_edges=measured["open_edges"],
            tangled_edges=measured["tangled_edges"],
            parts=measured["parts"],
            offset=float(np.linalg.norm((vertices.min(0) + vertices.max(0)) / 2 - measured["centre"]))
            / measured["extent"],
            pixels=float(pixels[shape].mean()),
            told=told[shape],
        )
        for shape, measured, (vertices, _) in zip(pack.files, figures, loaded, strict=True)
    ]


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) and faces (m, 3) of a normalised mesh, in the form in which the renderer keeps them."""
    with np.load(path, allow_pickle=False) as file:
        return file["vertices"] * float(file["scale"]), file["faces"].astype(np.int64)


def orientations(n: int, *, seed: int) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices drawn as the dataset draws them: Euler XYZ, each angle uniform in ±90 degrees."""
    angles = (np.random.default_rng(seeding.derive(seed, "orientations")).random((n, 3)) - 0.5) * pi
    (a, b, c), (x, y, z) = np.cos(angles).T, np.sin(angles).T
    one, nil = np.ones(n), np.zeros(n)
    about_x = np.array([[one, nil, nil], [nil, a, -x], [nil, x, a]])
    about_y = np.array([[b, nil, y], [nil, one, nil], [-y, nil, b]])
    about_z = np.array([[c, -z, nil], [z, c, nil], [nil, nil, one]])
    return np.einsum("ijn,jkn,kln->nil", about_z, about_y, about_x)


def covered(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], rotations: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, " n"]:
    """Pixels of an image of SIZE x SIZE that a mesh in metres at the origin covers, for each rotation.

    Shadows, the ground and all colours are left out: this is the size of the outline alone.
    """
    side = SIZE * FINER
    forward = -CAMERA / np.linalg.norm(CAMERA)
    right = np.array([0.0, 1.0, 0.0])
    up = np.cross(right, forward)
    counts = []
    for rotation in rotations:
        seen = vertices @ rotation.T - CAMERA
        scale = ZOOM * side / (seen @ forward)
        points = np.stack([side / 2 + scale * (seen @ right), side / 2 - scale * (seen @ up)], axis=1)
        mask = Image.new("1", (side, side))
        draw = ImageDraw.Draw(mask)
        for corners in points[faces].reshape(-1, 6).tolist():
            draw.polygon(corners, fill=1)
        counts.append(np.count_nonzero(np.asarray(mask)) / FINER**2)
    return np.array(counts)


def told_by_size(pixels: dict[str, np.ndarray]) -> dict[str, float]:
    """How well one number tells each class from all others: the balanced accuracy of the best interval.

    (1 + V) / 2 with Kuiper's V = max(F - G) + max(G - F), where F and G are the distribution functions of the
    class and of the others, every other class counting the same. An interval rather than a threshold, so that a
    class of middling size among small and large ones is noticed too. 0.5 is chance, 1 certainty.
    """
    if len(pixels) < 2:
        return dict.fromkeys(pixels, 0.5)
    at = np.sort(np.concatenate(list(pixels.values())))
    below = {
        shape: np.searchsorted(np.sort(values), at, side="right") / len(values)
        for shape, values in pixels.items()
    }
    told = {}
    for shape, own in below.items():
        gap = own - np.mean([other for name, other in below.items() if name != shape], axis=0)
        told[shape] = float(1 + max(gap.max(), 0.0) + max(-gap.min(), 0.0)) / 2
    return told


def warnings(rows: list[Row]) -> list[str]:
    """A sentence for each shape that has holes or knots, or that its size alone gives away."""
    found = [
        f"{row.shape}: {row.open_edges} open and {row.tangled_edges} tangled edges; "
        f"its volume, and so its centre, may be off"
        for row in rows
        if not row.manifold
    ]
    found += [
        f"{row.shape}: {row.told:.0%} right by the number of covered pixels alone (50% is chance, "
        f"from {GIVEN_AWAY:.0%} on a learner need not look at the shape); scale it in pack.toml"
        for row in rows
        if row.told >= GIVEN_AWAY
    ]
    return found


def table(rows: list[Row]) -> Table:
    """The figures as a table for the terminal."""
    from rich.table import Table

    grid = Table(
        caption=f"sides in metres; pixels of {SIZE} x {SIZE} covered on average; told: by pixels alone"
    )
    grid.add_column("class")
    columns = ("triangles", "sides", "open", "tangled", "parts", "offset", "pixels", "told")
    for name in columns:
        grid.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        grid.add_row(
            row.shape,
            str(row.triangles),
            " x ".join(f"{side:.2f}" for side in row.sides),
            str(row.open_edges),
            str(row.tangled_edges),
            str(row.parts),
            f"{row.offset:.1%}",
            f"{row.pixels:.0f}",
            f"{row.told:.0%}",
        )
    return grid


def records(shapes: tuple[str, ...], size: int) -> list[dict]:
    """Scene records of each shape in the middle of the picture, turned about the vertical in eight steps."""
    count = len(shapes) * DIRECTIONS
    latents = {name: np.full(count, 0.5) for name in UNIT_FACTORS}
    latents |= {name: np.ones(count, int) for name in set(IMAGE_FACTORS) - set(UNIT_FACTORS)}
    latents["object_zpos"] = np.zeros(count)
    latents["object_shape"] = np.repeat(np.arange(len(shapes)), DIRECTIONS)
    latents["object_color"] = np.full(count, HUE)
    latents["background_color"] = np.full(count, GROUND_HUE)
    latents["spotlight_color"] = np.full(count, SPOT_HUE)
    found = Scene().records(latents, shapes)
    for place, record in enumerate(found):
        step = place % DIRECTIONS
        record["rotation"] = [0.0, 0.0, 2 * pi * step / DIRECTIONS]  # the latents reach half of the turn only
        record["file"] = f"{size}/{record['shape']}-{step}.png"
        record["seed"] = 0
    return found


def images(pack: Pack) -> int:
    """The number of images that `show` renders."""
    return 2 * DIRECTIONS * len(pack.files)


def expect_writable(out: Path) -> None:
    """Raise IdentboxError where a picture cannot be written, before anything is rendered."""
    if out.suffix.lower() != ".png" or out.is_dir() or not out.resolve().parent.is_dir():
        raise IdentboxError(f"--out: expected a file name ending in .png in a folder that exists, got {out}")


def show(
    pack: Pack,
    out: Path,
    runner: blender.Blender,
    *,
    samples: int = 4,
    workers: int = 1,
    on_image: Callable[[], None] = lambda: None,
) -> None:
    """Render each shape from eight directions and write the picture of them all to ``out``."""
    shapes = tuple(pack.files)
    with tempfile.TemporaryDirectory(prefix="identbox-") as scratch:
        folder = Path(scratch)
        for size in (LARGE, SMALL):
            (folder / str(size)).mkdir()
            settings = Settings(size=size, samples=samples)
            run = Run(records(shapes, size), folder, pack.files, settings, runner, on_image=on_image)
            outcome = run.execute(workers)
            if outcome.failed:
                file, reason = next(iter(outcome.failed.items()))
                raise IdentboxError(
                    f"{first_few(outcome.failed, 3)}: expected images, got '{reason}' ({file})"
                )
        picture = sheet(pack, folder)
    part = out.with_name(f".{out.name}.part")
    try:
        picture.save(part, format="PNG", optimize=True)
        part.replace(out)
    except OSError as error:
        raise IdentboxError(f"{out}: expected a file that can be written, got {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def sheet(pack: Pack, folder: Path) -> Image.Image:
    """The picture of rendered images: a row a shape, a column a direction, the training size below the large."""
    plain, bold = cards.fonts(17)
    names = max(NAMES, *(round(bold.getlength(shape)) + 2 * BETWEEN for shape in pack.files))
    step, tall = CROP + BETWEEN, CROP + MAGNIFIED * SMALL + 3 * BETWEEN
    left, top = EDGE + names, EDGE + TITLE + HEADER
    width = left + DIRECTIONS * step - BETWEEN + EDGE
    picture = Image.new("RGB", (width, top + len(pack.files) * tall + EDGE - BETWEEN), cards.PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text(
        (EDGE, EDGE),
        f"{pack.name}: {len(pack.files)} {'shape' if len(pack.files) == 1 else 'shapes'}",
        cards.INK,
        cards.fonts(26)[1],
    )
    for column in range(DIRECTIONS):
        middle = left + column * step + CROP / 2
        draw.text((middle, top - 10), f"{360 * column // DIRECTIONS}°", cards.FAINT, plain, anchor="ms")
    margin = (LARGE - CROP) // 2
    for row, shape in enumerate(pack.files):
        y = top + row * tall
        draw.text((EDGE, y + CROP / 2), shape, cards.INK, bold, anchor="lm")
        draw.text(
            (EDGE, y + CROP + BETWEEN + MAGNIFIED * SMALL / 2),
            f"at {SMALL} px",
            cards.FAINT,
            plain,
            anchor="lm",
        )
        for column in range(DIRECTIONS):
            x = left + column * step
            with Image.open(folder / str(LARGE) / f"{shape}-{column}.png") as file:
                picture.paste(file.crop((margin, margin, margin + CROP, margin + CROP)), (x, y))
            with Image.open(folder / str(SMALL) / f"{shape}-{column}.png") as file:
                small = file.resize((MAGNIFIED * SMALL,) * 2, Image.Resampling.NEAREST)
            picture.paste(small, (x + (CROP - small.width) // 2, y + CROP + BETWEEN))
    return picture
