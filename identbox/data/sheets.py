"""Sheets of samples: images and texts in columns, a row for each modality or for each time it was generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageDraw

from identbox.data.cards import FAINT_INK, INK, PAPER, fonts
from identbox.data.folder import EOS
from identbox.data.multiview import ModalitySpec
from identbox.texts import visible

SHEET_TILE, SHEET_GAP, SHEET_MARGIN = (
    84,
    6,
    16,
)  # pixels: at least of a tile, between tiles, between the names on the left and the tiles
SHEET_FONT_SIZE = 13
LINE = 17  # pixels of a line of text
LETTERS = 11  # of a line of text in a tile of the least width
LINES = 7  # of text, beyond which tiles are wider
WIDE_TILE = 128  # pixels of a tile with longer texts
TOP = 26  # pixels above the tiles, where there are titles
RULE = 14  # pixels of a gap with a line in it


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """One row: the samples of a modality, behind a name; perhaps with a line above it."""

    name: str
    spec: ModalitySpec
    values: Shaped[np.ndarray, "n ..."]  # as they are in the file of a dataset
    ruled: bool = False


def picture_sheet(rows: Sequence[SheetRow], titles: Sequence[str] = ()) -> Image.Image:
    """Rows of samples, the columns below their titles."""
    plain, bold = fonts(SHEET_FONT_SIZE)
    sentences = [_sentences(row) if row.spec.kind != "image" else [] for row in rows]
    longest = max((len(one) for row in sentences for one in row), default=0)
    sides = [row.spec.shape[0] for row in rows if row.spec.kind == "image"]
    side = max([SHEET_TILE if longest <= LETTERS * LINES else WIDE_TILE, *sides])
    texts = [[wrapped(one, LETTERS * side // SHEET_TILE) for one in row] for row in sentences]
    heights = [max(map(len, lines), default=0) * LINE if lines else side for lines in texts]
    left = SHEET_GAP + SHEET_MARGIN + max(int(plain.getlength(visible(row.name))) for row in rows)
    top = TOP if any(titles) else SHEET_GAP
    columns = max(len(row.values) for row in rows)
    gaps = SHEET_GAP * len(rows) + RULE * sum(row.ruled for row in rows)
    size = left + columns * (side + SHEET_GAP), top + sum(heights) + gaps
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    for place, title in enumerate(titles):
        draw.text(
            (left + place * (side + SHEET_GAP) + side / 2, TOP / 2), visible(title), INK, bold, anchor="mm"
        )
    y = top
    for row, lines, height in zip(rows, texts, heights, strict=True):
        if row.ruled:
            draw.line(
                (SHEET_GAP, y + RULE / 2 - SHEET_GAP / 2, size[0] - SHEET_GAP, y + RULE / 2 - SHEET_GAP / 2),
                FAINT_INK,
            )
            y += RULE
        draw.text((SHEET_GAP, y + height / 2), visible(row.name), FAINT_INK, plain, anchor="lm")
        for place, values in enumerate(row.values):
            corner = left + place * (side + SHEET_GAP), y
            if row.spec.kind == "image":
                image.paste(tile(values, side), corner)
            else:
                draw.multiline_text(corner, "\n".join(lines[place]), INK, plain, spacing=2)
        y += height + SHEET_GAP
    return image


def _sentences(row: SheetRow) -> list[str]:
    """The texts of a row as people write them, without padding."""
    return [visible(written(row.spec.sentence(values.tolist()).strip("* "))) for values in row.values]


def written(sentence: str) -> str:
    """A sentence of separate words with quotes and marks as people write them, up to its end.

    >>> written("a hare in the color `` tab : cyan '' . {eos}")
    'a hare in the color "tab:cyan".'
    """
    text = sentence.partition(EOS)[0].strip().replace("`` ", '"').replace(" ''", '"').replace(" : ", ":")
    return text.replace(" ,", ",").replace(" .", ".")


def tile(values: UInt8[np.ndarray, "_ _ _"], side: int) -> Image.Image:
    """An image of a dataset, enlarged without smoothing where it is small."""
    image = Image.fromarray(np.squeeze(values, 2) if values.shape[2] == 1 else np.asarray(values))
    method = Image.Resampling.NEAREST if image.width < side else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((side, side), method)


def wrapped(text: str, letters: int) -> list[str]:
    """A text in lines of at most so many letters, broken at spaces where there are some.

    >>> wrapped("a red bird with wings", 10)
    ['a red bird', 'with wings']
    """
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
