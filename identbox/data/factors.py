"""The ground-truth factors of a rendered dataset (Table 4.1): their roles, and the names that probes give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from identbox.data.scene import IMAGE_FACTORS
from identbox.data.text import TEXT_FACTORS

CIRCULAR = {
    "object_color": 1.0
}  # periods of hues; those of lights and background run over half a circle only
CIRCLE = " (circle)"  # after the name of a factor that is predicted as a point on the circle
TEXT = " (text)"  # after the name of a factor whose value in the text is not always that in the image
VIEWS = ("image", "text")
ROLES = ("content", "style", "specific")
# Of the published dataset, which tells of no process.
CONTENT, STYLE = ("object_shape", "object_xpos", "object_ypos", "object_zpos"), ("object_color",)
SAID = {
    "object_color_index": "object_color",
    "object_color_name": "object_color",
}  # what the text makes of it


def role(factor: str, process: Mapping[str, Any] = {}) -> str:
    """content, style or specific, as a process has it (in the form of its TOML table), or else as published."""
    name = factor.removesuffix(CIRCLE).removesuffix(TEXT)
    name = SAID.get(name, name)
    published = "content" if name in CONTENT else "style" if name in STYLE else "specific"
    return process.get("variables", {}).get(name, {}).get("role", published)


def seen_by(view: str, factors: Iterable[str]) -> list[str]:
    """Those of the factors that a view shows; of two versions of one, its own."""
    every = list(factors)
    if view == "image":
        return [factor for factor in every if factor in IMAGE_FACTORS]
    return [
        factor
        for factor in every
        if factor.endswith(TEXT) or (factor in TEXT_FACTORS and factor + TEXT not in every)
    ]


def shown(factor: str) -> str:
    """A factor's name as tables and figures have it."""
    return factor.removeprefix("object_").replace("_", " ")
