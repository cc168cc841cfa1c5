"""HTML elements, and parts of pictures in SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 340.0  # of a figure, in its own units
EMPTY = frozenset({"meta", "circle", "line", "path", "rect"})  # elements without an end

STYLE = """
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr));gap:1.75rem 2.5rem;
margin:1rem 0}
.figures.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,9.25rem),1fr));gap:1.25rem 1.5rem}
.small figure{display:flex;flex-direction:column;justify-content:space-between}
figcaption b{display:block;font-weight:400;color:var(--muted)}
figure{margin:0;min-width:0}figcaption{margin-bottom:.5rem}
svg{display:block;width:100%;height:auto;font-size:12px}
svg text{fill:var(--fg)}svg .small{font-size:11px}svg text.muted{fill:var(--muted)}
.content{--role:var(--content)}.style{--role:var(--style)}.specific{--role:var(--specific)}
.name{font-size:13px}.name.content{font-weight:700}.name.style{font-style:italic}
.node{fill:var(--bg);stroke:var(--role);stroke-width:1.5}.node.content{stroke-width:2.5}
.node.style{stroke-dasharray:5 3}
.view{fill:var(--soft);stroke:var(--muted)}
.edge{fill:none;stroke:var(--role);opacity:.65}.changed{stroke-dasharray:5 3}
.noise{fill:var(--bg);stroke:var(--style)}
.cause{fill:none;stroke:var(--fg);stroke-width:1.5}.head{fill:var(--fg)}
.rule{stroke:var(--line)}.axis{stroke:var(--muted)}.margin{stroke:var(--fg);stroke-dasharray:3 3}
.wrong{fill:var(--bad);opacity:.09}.span{fill:var(--content);opacity:.15}
.bar{stroke:var(--state,var(--fg));stroke-width:1.5}
.dot{fill:var(--state)}.ring{fill:var(--bg);stroke:var(--state);stroke-width:2}
.cross{fill:none;stroke:var(--state);stroke-width:2.2}
.gap{stroke:var(--content);stroke-width:1.5;opacity:.6}
.oracle{fill:var(--bg);stroke:var(--fg);stroke-width:1.5}.run{fill:var(--content)}
.faint{fill:none;stroke:var(--content);opacity:.4}.mean{fill:none;stroke:var(--content);stroke-width:2}
.frame{fill:none;stroke:var(--line)}.diagonal{stroke:var(--muted);stroke-dasharray:3 3}
.dots{fill:none;stroke:var(--role);stroke-width:3;stroke-linecap:round;opacity:.55}
"""


class Html(str):
    """Markup, which is put in as it is; any other text is escaped."""


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. Attributes: ``class_`` for class, ``_`` for -, None and False are left out, True stands alone.

    >>> tag("p", "a < b", tag("b", 1), class_="note", hidden=False)
    '<p class="note">a &lt; b<b>1</b></p>'
    """
    parts = [name]
    for key, value in attributes.items():
        label = key.removesuffix("_").replace("_", "-")
        if value is True:
            parts.append(label)
        elif value is not None and value is not False:
            parts.append(f'{label}="{html.escape(plain(value))}"')
    start = f"<{' '.join(parts)}>"
    if name in EMPTY and not children:
        return Html(start if name == "meta" else start[:-1] + "/>")
    return Html(start + join(children) + f"</{name}>")


def join(children: Iterable[object]) -> Html:
    """Children one after the other, None left out, text escaped."""
    return Html(
        "".join(c if isinstance(c, Html) else html.escape(plain(c)) for c in children if c is not None)
    )


def plain(value: object) -> str:
    """A value of an attribute, coordinates without needless digits."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def number(x: float, digits: int = 3, *, sign: bool = False) -> str:
    """A number as it is printed: fixed digits, a true minus, never a negative zero.

    >>> number(-0.0001), number(-0.25, 2), number(0.5, 1, sign=True), number(float("inf"))
    ('0.000', '−0.25', '+0.5', '∞')
    """
    if not math.isfinite(x):
        return "–" if math.isnan(x) else "∞" if x > 0 else "−∞"
    text = f"{x:+.{digits}f}" if sign else f"{x:.{digits}f}"
    return (text if float(text) else text.lstrip("+-")).replace("-", "−")


def picture(title: str, words: str, height: float, *parts: object, width: float = WIDTH) -> Html:
    """A figure: what it is, and what it shows in words."""
    return tag(
        "svg",
        tag("title", title),
        *parts,
        role="img",
        aria_label=f"{title}: {words}",
        viewBox=f"0 0 {plain(width)} {plain(height)}",
        style=f"max-width:{1.2 * width:.0f}px",
    )


def text(x: float, y: float, content: object, class_: str = "", anchor: str | None = None) -> Html:
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def shortened(words: str, most: int) -> str:
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
        """Room for the values that are finite, and a little more."""
        found = [v for v in values if math.isfinite(v)]
        low, high = min(found), max(found)
        room = 0.06 * (high - low) or 0.5
        return cls(low - room, high + room, start, end)

    def at(self, x: float | int) -> float:
        return self.start + (min(max(x, self.low), self.high) - self.low) / (self.high - self.low) * (
            self.end - self.start
        )

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round numbers within, at most so many, with their text."""
        span = self.high - self.low
        power = math.floor(math.log10(span)) - 1
        for step in (m * 10.0**p for p in range(power, power + 3) for m in (1, 2, 5)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first < most:
                break
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(i * step, number(i * step, digits)) for i in range(first, last + 1)]


def _spot(x: float, y: float) -> str:
    return f"{plain(x)} {plain(y)}"


def _anchor(x: float, low: float, high: float) -> str:
    return "start" if x < low else "end" if x > high else "middle"


def _bottom(axis: Axis, y: float) -> list[Html]:
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for value, label in axis.ticks():
        x = axis.at(value)
        parts += [line(x, y, x, y + 4, "axis"), text(x, y + 16, label, "small muted", "middle")]
    return parts


def _curve(points: Sequence[tuple[float, float]], class_: str) -> Html:
    d = "M" + "L".join(_spot(x, y) for x, y in points)
    return tag("path", d=d, class_=class_)
