"""Latents to sentences and back (section 4.4).

Colours are named by the nearest colour of one of three palettes (see `colors`); a sentence follows one of five
templates. Every template has 20 to 22 tokens without the colour's name. With it and the end marker each sentence has
the 24 to 31 tokens that readers of the published dataset expect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from identbox.data.colors import DEFAULT_NAMING, Naming, color_index, name_colors
from identbox.data.scene import check_classes
from identbox.errors import IdentboxError
from identbox.process.presets import PALETTE_NAMES, X_POSITIONS, Y_POSITIONS

TEXT_FACTORS = (
    "object_shape",
    "object_xpos",
    "object_ypos",
    "object_zpos",
    "object_color_name",
    "object_color_index",
    "text_phrasing",
)
SOURCES = ("object_shape", "object_xpos", "object_ypos", "object_zpos", "object_color", "text_phrasing")

TEMPLATES = (
    "In the {position} part of the picture there is {object}, "
    'and its surface has the color "{color}" under the light.',
    'The scene shows {object} painted in the color "{color}", and one finds it at the {position} of the image.',
    "Someone has placed {object} at the {position} of the frame, "
    'and the color of its body is close to "{color}".',
    'What stands out is the color "{color}", '
    "worn by {object} that floats in the {position} region of this rendered view.",
    "Look towards the {position} of the image, "
    'where {object} hovers above the ground and shows the color "{color}".',
)
_SLOTS = {"position": "([a-z]+)-([a-z]+)", "object": "an? ([^ ,.]+)", "color": '([^"]+)'}


def describe(
    latents: Mapping[str, np.ndarray], shapes: tuple[str, ...], naming: Naming = DEFAULT_NAMING
) -> tuple[list[str], dict[str, list]]:
    """Sentences, and the columns of latents_text.csv, from the latents that the text sees, each (n,).

    ``color_palette`` chooses the palette, ``naming`` the distance by which its nearest colour is found.
    Raises IdentboxError for a missing factor or a value out of range.
    """
    missing = [name for name in (*SOURCES, "color_palette") if name not in latents]
    if missing:
        raise IdentboxError(
            f"latents: expected the text factors of Table 4.1, got none of {', '.join(missing)}"
        )
    limits = {
        "object_shape": len(shapes),
        "object_xpos": len(X_POSITIONS),
        "object_ypos": len(Y_POSITIONS),
        "color_palette": len(PALETTE_NAMES),
        "text_phrasing": len(TEMPLATES),
    }
    check_classes(latents, limits, "latents")
    names = name_colors(latents["object_color"], latents["color_palette"], naming)
    index = color_index()
    columns: dict[str, list] = {
        name: latents[name].tolist() for name in ("object_shape", "object_xpos", "object_ypos", "object_zpos")
    }
    columns["object_color_name"] = names
    columns["object_color_index"] = [index[name] for name in names]
    columns["text_phrasing"] = latents["text_phrasing"].tolist()
    return _sentences(columns, shapes), columns


def _sentences(columns: Mapping[str, list], shapes: tuple[str, ...]) -> list[str]:
    objects = [f"{'an' if shape[0] in 'aeiou' else 'a'} {shape}" for shape in shapes]
    positions = [[f"{y}-{x}" for x in X_POSITIONS] for y in Y_POSITIONS]
    order = ("object_shape", "object_xpos", "object_ypos", "object_color_name", "text_phrasing")
    return [
        TEMPLATES[phrasing].format(position=positions[y][x], object=objects[shape], color=name)
        for shape, x, y, name, phrasing in zip(*(columns[name] for name in order), strict=True)
    ]


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    patterns = []
    for template in TEMPLATES:
        pieces = re.split(r"\{(\w+)\}", template)
        text = "".join(_SLOTS[p] if k % 2 else re.escape(p) for k, p in enumerate(pieces))
        patterns.append((re.compile(text), tuple(pieces[1::2])))
    return tuple(patterns)


def parse_sentence(sentence: str, shapes: tuple[str, ...]) -> dict[str, int | str]:
    """The latents of a sentence, by the names of TEXT_FACTORS (without the constant z-position).

    Raises IdentboxError where it fits no template, or names an unknown shape, position or colour.
    """
    for phrasing, (pattern, slots) in enumerate(_patterns()):
        match = pattern.fullmatch(sentence)
        if match is None:
            continue
        groups = iter(match.groups())
        words: dict[str, str] = {}
        for slot in slots:
            if slot == "position":
                words["y"], words["x"] = next(groups), next(groups)
            else:
                words[slot] = next(groups)
        name = words["color"]
        return {
            "object_shape": _place(words["object"], shapes, "shape"),
            "object_xpos": _place(words["x"], X_POSITIONS, "x-position"),
            "object_ypos": _place(words["y"], Y_POSITIONS, "y-position"),
            "object_color_name": name,
            "object_color_index": _place(name, color_index(), "color name"),
            "text_phrasing": phrasing,
        }
    raise IdentboxError(f"sentence: expected one of {len(TEMPLATES)} templates, got {sentence!r}")


def _place(word: str, known: tuple[str, ...] | dict[str, int], what: str) -> int:
    if word not in known:
        raise IdentboxError(f"sentence: expected a known {what}, got {word!r}")
    return known[word] if isinstance(known, dict) else known.index(word)


_TOKEN = re.compile(r"""["]|'s\b|[,.:]|[^\s",.:']+|'""")


def tokenize(sentence: str) -> list[str]:
    """Words and marks as the Penn Treebank convention splits them; quotes become `` and ''.

    >>> tokenize('A "xkcd:bright aqua" hare.')
    ['A', '``', 'xkcd', ':', 'bright', 'aqua', "''", 'hare', '.']
    """
    tokens, opened = [], False
    for token in _TOKEN.findall(sentence):
        if token == '"':
            token, opened = ("''" if opened else "``"), not opened
        tokens.append(token)
    return tokens
