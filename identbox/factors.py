"""The ground-truth factors of a rendered dataset (Table 4.1): their roles, and the names that probes give them."""

from __future__ import annotations

CONTENT = ("object_shape", "object_xpos", "object_ypos")
STYLE = ("object_color", "object_color_index")
CIRCULAR = {
    "object_color": 1.0
}  # periods of hues; those of lights and background run over half a circle only
CIRCLE = " (circle)"  # after the name of a factor that is predicted as a point on the circle


def role(factor: str) -> str:
    """content, style or specific."""
    name = factor.removesuffix(CIRCLE)
    return "content" if name in CONTENT else "style" if name in STYLE else "specific"


def shown(factor: str) -> str:
    """A factor's name as tables and figures have it."""
    return factor.removeprefix("object_").replace("_", " ")
