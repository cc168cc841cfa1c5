"""The ground-truth factors of a rendered dataset (Table 4.1): their roles, and the names that probes give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from identbox.data.scene import IMAGE_FACTORS
from identbox.data.text import TEXT_FACTORS

# Periods of hues. Those of the lights and of the background cover only half a circle, so they are not circular.
CIRCULAR = {"object_color": 1.0}
CIRCLE = " (circle)"  # after the name of a factor that is predicted as a point on the circle
TEXT = " (text)"  # after the name of a factor whose value in the text is not always that in the image
VIEWS = ("image", "text")
FACTOR_ROLES = ("content", "style", "specific")
# Of the published dataset, which comes without a process.
PUBLISHED_CONTENT = ("object_shape", "object_xpos", "object_ypos", "object_zpos")
PUBLISHED_STYLE = ("object_color",)
# The factor that a text factor is made from, where their names differ.
MADE_FROM = {"object_color_index": "object_color", "object_color_name": "object_color"}


def role(factor: str, process: Mapping[str, Any] | None = None) -> str:
    """content, style or specific: by a process (in the form of its TOML table), or else as in the published dataset."""
    name = factor.removesuffix(CIRCLE).removesuffix(TEXT)
    name = MADE_FROM.get(name, name)
    published = "content" if name in PUBLISHED_CONTENT else "style" if name in PUBLISHED_STYLE else "specific"
    variables = (process or {}).get("variables", {})
    return variables.get(name, {}).get("role", published)


def seen_by(view: str, factors: Iterable[str]) -> list[str]:
    """Those of the factors that a view shows; where a factor has two versions, the version of this view."""
    every = list(factors)
    if view == "image":
        return [factor for factor in every if factor in IMAGE_FACTORS]
    return [
        factor
        for factor in every
        if factor.endswith(TEXT) or (factor in TEXT_FACTORS and factor + TEXT not in every)
    ]


def factor_label(factor: str) -> str:
    """A factor's name as tables and figures have it."""
    return factor.removeprefix("object_").replace("_", " ")
