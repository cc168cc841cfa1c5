"""Checks of a counterfactual split beside the split that it is made from: did anything change that must not?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from identbox import files
from identbox.data import png, untouched
from identbox.data.counterfactuals import Counterfactual
from identbox.data.folder import Columns, image_name, read_latents
from identbox.data.recipe import Recipe
from identbox.data.scene import Scene
from identbox.errors import IdentboxError, first_few

# What a text column is made of, where that has another name.
MADE_OF = {name: {"object_color", "color_palette"} for name in ("object_color_name", "object_color_index")}
COMPARED = 200  # pairs of images, at most, whose pixels are compared
# Levels of 255 by which the pixels that must be equal differ on average, at most. They have the same samples, but the
# denoiser looks at their surroundings: 0.02 to 0.12 levels were measured for all interventions.
MEAN_GAP = 0.5
LARGE_GAP, LARGE_SHARE = 12, 0.005  # and at most this share of them by more than so many levels

CheckFinding = tuple[str, bool | None, str]


def check_counterfactual(
    place: Path, added: Counterfactual, recipe: Recipe, image: Columns, text: Columns
) -> Iterator[CheckFinding]:
    """Nothing but what the intervention changes is another: latents bit by bit, images where nothing may change.

    ``place`` is the folder of the split; ``image`` and ``text`` are its latents as they are in its files.
    """
    base, n = place.parent / added.of, recipe.samples[added.name]
    try:
        before = {
            "image": read_latents(base / "latents_image.csv"),
            "text": read_latents(base / "latents_text.csv"),
        }
    except IdentboxError as error:
        yield "counterfactual", False, str(error)
        return
    may, differing = added.changed(recipe.process), {}
    for view, columns in (("image", image), ("text", text)):
        for name, column in columns.items():
            rows = np.flatnonzero(before[view][name][:n] != column)
            if len(rows):
                differing[f"{name} ({view})"] = (rows, bool({name, *MADE_OF.get(name, ())} & may))
    wrong = [name for name, (_, allowed) in differing.items() if not allowed]
    detail = (
        f"expected no change but of {first_few(sorted(may))}, got one of {first_few(wrong)}"
        if wrong
        else f"{added!s} of {n} samples of {added.of}; {first_few(differing) or 'nothing'} changed"
    )
    yield "counterfactual", not wrong, detail
    changed = {int(row) for name, (rows, _) in differing.items() if name.endswith("(image)") for row in rows}
    try:
        yield _unchanged_images(place, base, n, len(next(iter(before["text"].values()))), changed)
        if changed:
            yield _untouched_pixels(place, base, recipe, before["image"], image, sorted(changed))
    except (OSError, IdentboxError) as error:
        yield "images before and after", False, " ".join(str(error).split())


def _unchanged_images(place: Path, base: Path, n: int, of: int, changed: set[int]) -> CheckFinding:
    """The images of samples of which no latent of the image changed are the same files."""
    same = [row for row in range(n) if row not in changed]
    wrong = [
        image_name(row, n)
        for row in same
        if files.read_bytes(place / "images" / image_name(row, n), files.LARGEST_IMAGE)
        != files.read_bytes(base / "images" / image_name(row, of), files.LARGEST_IMAGE)
    ]
    detail = f"{len(same)} of {n} show the same and are the same"
    return (
        "images left",
        not wrong,
        f"expected the images as before, got others: {first_few(wrong, 3)}" if wrong else detail,
    )


def _untouched_pixels(
    place: Path, base: Path, recipe: Recipe, before: Columns, after: Columns, changed: list[int]
) -> CheckFinding:
    """Pixels that neither the object nor its shadow nor a changed light reaches are equal but for the denoiser."""
    what, rows = "pixels left", changed[:COMPARED]
    n, of = len(next(iter(after.values()))), len(next(iter(before.values())))
    scene, names = Scene(flavour=recipe.scene), recipe.shape_names
    old, new = (
        scene.records({name: column[rows] for name, column in columns.items()}, names)
        for columns in (before, after)
    )
    gaps, largest, counted = [], "", 0
    worst = 0.0
    for row, one, other in zip(rows, old, new, strict=True):
        name = image_name(row, n)
        a, b = _pixels(base / "images" / image_name(row, of)), _pixels(place / "images" / name)
        equal = ~untouched.may_change(one, other, len(a))
        if not equal.any():
            continue
        counted += 1
        gap = np.abs(a - b)[equal]
        gaps.append((gap.mean(), (gap > LARGE_GAP).mean(), equal.mean()))
        if gap.mean() >= worst:
            worst, largest = float(gap.mean()), name
    if not counted:
        return what, None, "there are none: the intervention may change every pixel"
    mean, large, share = np.array(gaps).T
    detail = (
        f"{share.mean():.0%} of the pixels of {counted} pairs must be equal; they differ by {mean.mean():.2f} levels "
        f"on average, in {largest} by {worst:.2f}"
    )
    return what, bool((mean <= MEAN_GAP).all() and (large <= LARGE_SHARE).all()), detail


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(png.read_image(path), dtype=int)
