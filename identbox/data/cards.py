"""What a person looks at first in a dataset: its card (README.md) and a picture of it (gallery.png)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from identbox import __version__, files
from identbox.data import png
from identbox.data.colors import DEFAULT_NAMING
from identbox.process.model import Process
from identbox.texts import escape_markdown, markdown_code, yaml_string

if TYPE_CHECKING:
    from identbox.data.recipe import Recipe


GALLERY_COLUMNS, GALLERY_ROWS = 5, 3
TILE, GAP, CAPTION = 224, 20, 96  # pixels
PAPER, INK, FAINT_INK = (255, 255, 255), (32, 33, 36), (110, 112, 118)
FONT_SIZE = 13


def write(folder: Path, recipe: Recipe) -> None:
    """Write the card and the picture of a finished dataset."""
    with files.whole(folder / "gallery.png") as part:
        gallery(folder, "train", recipe.shape_names).save(part, format="PNG")
    files.write_whole(folder / "README.md", card(recipe).encode())


def gallery(
    folder: Path,
    split: str,
    shapes: tuple[str, ...],
    *,
    columns: int = GALLERY_COLUMNS,
    rows: int = GALLERY_ROWS,
) -> Image.Image:
    """A grid of a split's first images with their sentences; shared factors in bold."""
    from identbox.data.folder import image_name, read_sentences

    sentences = read_sentences(folder / split)
    count = min(columns * rows, len(sentences))
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    width = columns * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, rows * (TILE + CAPTION + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    plain, bold = fonts(FONT_SIZE)
    for place in range(count):
        x = GAP + place % columns * (TILE + GAP)
        y = GAP + place // columns * (TILE + CAPTION + GAP)
        tile = png.read_image(folder / split / "images" / image_name(place, len(sentences)))
        if tile.size != (TILE, TILE):
            method = Image.Resampling.LANCZOS if tile.width > TILE else Image.Resampling.NEAREST
            tile = tile.resize((TILE, TILE), method)
        sheet.paste(tile, (x, y))
        _caption(draw, (x, y + TILE + 8), sentences[place], shapes, plain, bold)
    return sheet


def fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont]:
    """A plain and a bold font of that size in pixels."""
    # These fonts come with matplotlib, so that the picture is the same on every machine.
    import matplotlib

    place = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return (
        ImageFont.truetype(str(place / "DejaVuSans.ttf"), size),
        ImageFont.truetype(str(place / "DejaVuSans-Bold.ttf"), size),
    )


def _caption(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    sentence: str,
    shapes: tuple[str, ...],
    plain: ImageFont.FreeTypeFont,
    bold: ImageFont.FreeTypeFont,
) -> None:
    """Draw a sentence, wrapped to a tile's width, with its shape, position and colour in bold."""
    from identbox.process.presets import X_POSITIONS, Y_POSITIONS

    positions = {f"{y}-{x}" for y in Y_POSITIONS for x in X_POSITIONS}
    x, y = float(corner[0]), corner[1]
    space = draw.textlength(" ", plain)
    quoted = False
    for word in sentence.split(" "):
        bare = word.strip('",.')
        quoted = quoted or word.startswith('"')
        font, ink = (bold, INK) if quoted or bare in shapes or bare in positions else (plain, FAINT_INK)
        if quoted and '"' in word[1:]:
            quoted = False
        length = draw.textlength(word, font)
        if x > corner[0] and x + length > corner[0] + TILE:
            x, y = corner[0], y + FONT_SIZE + 5
        draw.text((x, y), word, ink, font)
        x += length + space


def card(recipe: Recipe) -> str:
    """The dataset card, in Markdown with the front matter that dataset hubs read."""
    renderer, counts = recipe.renderer, recipe.splits
    size = renderer["size"]
    shapes, sha256 = escape_markdown(recipe.shapes["name"]), markdown_code(recipe.shapes["sha256"])
    total = sum(counts.values())
    buckets = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    category = next((name for limit, name in buckets if total < limit), "n>1M")
    splits = "\n".join(f"| {split} | {n} |" for split, n in counts.items() if n)
    return f"""---
pretty_name: {yaml_string(f"Multimodal3DIdent ({recipe.process.name})")}
size_categories: ["{category}"]
task_categories: [feature-extraction]
tags: [identifiability, disentanglement, multimodal, contrastive-learning, synthetic]
---

# {escape_markdown(recipe.process.name)}

Image-text pairs with known causes, {escape_markdown(recipe.process.description) or "of a user's own process"}.
Made by identbox {__version__} from the recipe in `dataset.toml`: equal recipes give equal files.

![images and their sentences](gallery.png)

| split | samples |
| --- | --- |
{splits}

- images: `SPLIT/images/*.png`, RGB, {size} x {size}, Cycles of Blender {escape_markdown(renderer["blender"])} on
  {renderer["device"]}, {renderer["samples"]} samples a pixel, denoised, scene `{recipe.scene}`
- sentences: `SPLIT/text/text_raw.txt`, one a line in the order of the images; words in `vocab.json`
- ground truth: `SPLIT/latents_image.csv` and `SPLIT/latents_text.csv`, a row a sample
- shapes: {shapes} ({", ".join(map(escape_markdown, recipe.shape_names))}), sha256 {sha256}
{_origin(recipe.shapes)}- seed: {recipe.seed}

## What causes what

{variables_table(recipe.process)}

Colours are hues: 0 and 1 are the same red. `object_color_index` is the place of the name among the sorted
names of the Tableau, CSS4 and XKCD palettes together. The format is that of the published Multimodal3DIdent
dataset (Zenodo record 7678231).{_naming(recipe)}
"""


def _naming(recipe: Recipe) -> str:
    """How colours are named, where it is not the default, as a sentence of the card."""
    if recipe.naming == DEFAULT_NAMING:
        return ""
    return " Colours have the name of the palette's nearest colour by CIEDE2000 in CIE Lab."


def _origin(pack: dict[str, str]) -> str:
    """The licence and credit of a pack of shapes, where it states them, as a line of the card's list."""
    if not {"licence", "credit"} & pack.keys():
        return ""
    licence, credit = (escape_markdown(pack.get(key, "not stated")) for key in ("licence", "credit"))
    return f"- licence of the shapes: {licence}; credit: {credit}\n"


def variables_table(process: Process) -> str:
    """The variables of a process as a Markdown table."""
    lines = ["| variable | role | distribution | caused by |", "| --- | --- | --- | --- |"]
    for variable in process.variables:
        role = f"{variable.role} ({variable.view})" if variable.view else variable.role
        causes = ", ".join(f"{parent} ({effect.kind})" for parent, effect in variable.effects.items())
        cells = (variable.name, role, str(variable.distribution), causes)
        lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
    return "\n".join(lines)
