"""Parts of pictures in SVG; what is text is escaped as in templates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from identbox.texts import fixed_digits, visible

WIDTH = 340.0  # of a figure, in its own units


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element of SVG; text in it is escaped, control characters too; None among what is given is left out.

    In the names of attributes ``class_`` stands for class, and ``_`` for -.

    >>> element("text", "a < b", element("tspan", 1), class_="note", text_anchor=None)
    Markup('<text class="note">a &lt; b<tspan>1</tspan></text>')
    """
    parts = [Markup(name)]
    for key, value in attributes.items():
        if value is not None:
            attribute = key.removesuffix("_").replace("_", "-")
            parts.append(Markup('{}="{}"').format(attribute, coordinate(value)))
    start, inside = Markup(" ").join(parts), [child for child in children if child is not None]
    if not inside:
        return Markup("<{}/>").format(start)
    shown = [child if hasattr(child, "__html__") else visible(str(child), "\n") for child in inside]
    return Markup("<{}>{}</{}>").format(start, Markup("").join(map(escape, shown)), name)


def coordinate(value: object) -> str:
    """A value of an attribute; a number without needless digits."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else visible(str(value))


def typeset(x: float, digits: int = 3, *, sign: bool = False) -> str:
    """A number as it is printed: fixed digits, a true minus, never a negative zero.

    >>> typeset(-0.0001), typeset(-0.25, 2), typeset(0.5, 1, sign=True), typeset(float("inf"))
    ('0.000', '−0.25', '+0.5', '∞')
    """
    if not math.isfinite(x):
        return "–" if math.isnan(x) else "∞" if x > 0 else "−∞"
    return fixed_digits(x, digits, sign=sign).replace("-", "−")


def picture(title: str, words: str, height: float, *parts: object, width: float = WIDTH) -> Markup:
    """A figure: what it is, and what it shows in words."""
    return element(
        "svg",
        element("title", title),
        *parts,
        role="img",
        aria_label=f"{title}: {words}",
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        style=f"max-width:{1.2 * width:.0f}px",
    )


def text(x: float, y: float, content: object, class_: str = "", anchor: str | None = None) -> Markup:
    return element("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def shortened(words: str, most: int) -> str:
    """The words, cut to so many characters."""
    return words if len(words) <= most else words[: most - 1] + "…"


@dataclass(frozen=True)
class Axis:
    """Numbers from ``low`` to ``high`` along ``start`` to ``end`` of a figure."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> Axis:
        """An axis with room for the values that are finite, and a little more."""
        finite = [v for v in values if math.isfinite(v)]
        low, high = min(finite), max(finite)
        room = 0.06 * (high - low) or 0.5
        return cls(low - room, high + room, start, end)

    def at(self, x: float | int) -> float:
        """Where a number lies in the figure; numbers beyond the axis lie at its ends."""
        within = min(max(x, self.low), self.high)
        return self.start + (within - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round numbers on the axis, at most so many, with their text."""
        from matplotlib.ticker import MaxNLocator

        room = 1e-9 * (self.high - self.low)
        for intervals in range(most + 1, 0, -1):
            places = MaxNLocator(intervals, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
            values = [float(x) for x in places if self.low - room <= x <= self.high + room]
            if len(values) <= most:
                break
        digits = max(0, -math.floor(math.log10(values[1] - values[0]) + 1e-9))
        return [(value, typeset(value, digits)) for value in values]


def spot(x: float, y: float) -> str:
    """A place in a path."""
    return f"{coordinate(x)} {coordinate(y)}"


def anchor_within(x: float, low: float, high: float) -> str:
    """Where a text at x is held, so that it does not leave the figure at its sides."""
    return "start" if x < low else "end" if x > high else "middle"


def bottom_axis(axis: Axis, y: float, most: int = 6) -> list[Markup]:
    """An axis below a figure, with at most so many ticks."""
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for value, label in axis.ticks(most):
        x = axis.at(value)
        parts += [line(x, y, x, y + 4, "axis"), text(x, y + 16, label, "small muted", "middle")]
    return parts


def curve(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Straight lines from point to point."""
    d = "M" + "L".join(spot(x, y) for x, y in points)
    return element("path", d=d, class_=class_)
