"""What a person looks at first in a dataset of several modalities: its card (README.md) and picture (gallery.png)."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

from identbox import __version__, files
from identbox.data.arrays import map_array, read_arrays
from identbox.data.multiview import FACTORS, MultiviewRecipe
from identbox.data.sheets import SheetRow, picture_sheet
from identbox.texts import escape_markdown, yaml_string

MULTIVIEW_COLUMNS = 10  # samples of the picture, as Figure 4.1 has


def write_multiview_card(folder: Path, recipe: MultiviewRecipe) -> None:
    """Write the card and the picture of a dataset."""
    with files.whole(folder / "gallery.png") as part:
        multiview_gallery(folder, recipe).save(part, format="PNG")
    files.write_whole(folder / "README.md", multiview_card(recipe).encode())


def multiview_gallery(folder: Path, recipe: MultiviewRecipe) -> Image.Image:
    """The first samples of a split, a column each: a row for each modality, as in Figures 4.1 to 4.4."""
    split = next(iter(recipe.splits))
    count = min(MULTIVIEW_COLUMNS, recipe.splits[split])
    arrays = {name: map_array(folder / split / f"{name}.npy")[:count] for name in recipe.modalities}
    titles = [""] * count
    shared = [name for name, one in recipe.factors.items() if one.modality is None and one.kind == "discrete"]
    if len(shared) == 1:
        names = recipe.factors[shared[0]].names
        classes = read_arrays(folder / split / FACTORS)[shared[0]]
        titles = [names[k] if names else str(k) for k in classes[:count]]
    rows = [SheetRow(name=name, spec=spec, values=arrays[name]) for name, spec in recipe.modalities.items()]
    return picture_sheet(rows, titles)


def multiview_card(recipe: MultiviewRecipe) -> str:
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
