"""What a person looks at first in a dataset of several modalities: its card (README.md) and picture (gallery.png)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from identbox import __version__, files
from identbox.data.cards import FAINT_INK, INK, PAPER, fonts
from identbox.data.multiview import FACTORS, ModalitySpec, MultiviewRecipe
from identbox.texts import escape_markdown, yaml_string

COLUMNS = 10  # samples of the picture, as Figure 4.1 has
TILE, GAP, LABEL = 84, 6, 64  # pixels: at least of a tile, between tiles, of the names on the left
FONT_SIZE = 13
LINE = 17  # pixels of a line of text
LETTERS = 11  # of a line of text in a tile of its least width
LINES = 7


def write(folder: Path, recipe: MultiviewRecipe) -> None:
    """Write the card and the picture of a dataset."""
    with files.whole(folder / "gallery.png") as part:
        gallery(folder, recipe).save(part, format="PNG")
    files.write_whole(folder / "README.md", card(recipe).encode())


def gallery(folder: Path, recipe: MultiviewRecipe) -> Image.Image:
    """The first samples of a split, a column each: a row for each modality, as in Figures 4.1 to 4.4."""
    split = next(iter(recipe.splits))
    count = min(COLUMNS, recipe.splits[split])
    arrays = {
        name: np.load(folder / split / f"{name}.npy", mmap_mode="r")[:count] for name in recipe.modalities
    }
    titles = [""] * count
    shared = [name for name, one in recipe.factors.items() if one.modality is None and one.kind == "discrete"]
    if len(shared) == 1:
        with np.load(folder / split / FACTORS) as factors:
            names = recipe.factors[shared[0]].names
            titles = [names[k] if names else str(k) for k in factors[shared[0]][:count]]
    return sheet(recipe.modalities, arrays, titles)


def sheet(
    modalities: Mapping[str, ModalitySpec], arrays: Mapping[str, np.ndarray], titles: Sequence[str]
) -> Image.Image:
    """Samples in columns below their titles, modalities in rows behind their names."""
    side = max([TILE, *(spec.shape[0] for spec in modalities.values() if spec.kind == "image")])
    heights = {name: side if one.kind == "image" else LINES * LINE for name, one in modalities.items()}
    top = 26 if any(titles) else GAP
    size = LABEL + len(titles) * (side + GAP), top + sum(heights.values()) + GAP * len(heights)
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    plain, bold = fonts(FONT_SIZE)
    for place, title in enumerate(titles):
        draw.text((LABEL + place * (side + GAP) + side / 2, 13), title, INK, bold, anchor="mm")
    y = top
    for name, spec in modalities.items():
        draw.text((GAP, y + heights[name] / 2), name, FAINT_INK, plain, anchor="lm")
        for place, values in enumerate(arrays[name]):
            corner = LABEL + place * (side + GAP), y
            if spec.kind == "image":
                image.paste(tile(values, side), corner)
            else:
                lines = wrapped(spec.sentence(values.tolist()).strip("* "), LETTERS * side // TILE)
                draw.multiline_text(corner, "\n".join(lines[:LINES]), INK, plain, spacing=2)
        y += heights[name] + GAP
    return image


def tile(values: UInt8[np.ndarray, "h w c"], side: int) -> Image.Image:
    """An image of a dataset, enlarged by whole pixels where it is small."""
    image = Image.fromarray(np.squeeze(np.asarray(values), 2) if values.shape[2] == 1 else np.asarray(values))
    small = image.width < side
    method = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((side, side), method)


def wrapped(text: str, letters: int) -> list[str]:
    """A text in lines of at most so many letters, broken at spaces where there are some."""
    lines = [""]
    for word in text.split(" "):
        while len(word) > letters:
            lines.append(word[:letters])
            word = word[letters:]
        if lines[-1] and len(lines[-1]) + 1 + len(word) <= letters:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [line for line in lines if line]


def card(recipe: MultiviewRecipe) -> str:
    """The dataset card, in Markdown with the front matter that dataset hubs read."""
    total = sum(recipe.splits.values())
    category = f"{10 ** max(3, math.ceil(math.log10(max(2, total))))}"
    splits = "\n".join(f"| {split} | {n} |" for split, n in recipe.splits.items())
    modalities = "\n".join(
        f"| {escape_markdown(name)} | {spec.kind} | {' x '.join(map(str, spec.shape))} |"
        for name, spec in recipe.modalities.items()
    )
    factors = "\n".join(
        f"| {escape_markdown(name)} | {one.role} | {escape_markdown(one.modality or 'all')} | {one.kind} |"
        for name, one in recipe.factors.items()
    )
    return f"""---
pretty_name: {yaml_string(recipe.name)}
size_categories: ["n<{category}"]
tags: [multimodal, generative-models, identifiability]
---

# {escape_markdown(recipe.name)}

{escape_markdown(recipe.description)} Made by identbox {__version__} from the recipe in `dataset.toml`: equal recipes
give equal arrays, whose hashes are in `checksums.json`.

![samples in columns, modalities in rows](gallery.png)

| split | samples |
| --- | --- |
{splits}

| modality | kind | shape |
| --- | --- | --- |
{modalities}

Each modality of a split is one array, `SPLIT/MODALITY.npy`, which numpy maps into memory. The words of a text are in
`MODALITY.words.json`. The factors are the arrays of `SPLIT/factors.npz`.

| factor | role | shown by | values |
| --- | --- | --- | --- |
{factors}
"""
