"""Figures of an HTML page as inline SVG, whose text is escaped as in templates.

A figure is drawn for 340 units of width, which is a phone's, so that its text is read there at its own size. Colours
are classes and variables of the page's style sheet, which has a light and a dark set; wherever a colour says something,
a shape or a word says it too. Every figure has a title and is described in words. Equal input gives equal text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from markupsafe import Markup

from identbox.experiments.pictures import Component
from identbox.metrics.disentanglement_records import DisentanglementScore
from identbox.metrics.elbow import Elbow
from identbox.reports.svg import (
    WIDTH,
    Axis,
    anchor_within,
    bottom_axis,
    coordinate,
    curve,
    element,
    line,
    picture,
    shortened,
    spot,
    text,
    typeset,
)
from identbox.tables import CellState

# Classes of the style sheet.
CONDITION_STATES: dict[str, CellState] = {"satisfied": "good", "violated": "bad", "open": "open"}


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """A value with its interval, under the heading of its group."""

    group: str
    label: str
    value: float
    low: float
    high: float
    state: str  # satisfied, violated or open
    words: str  # for the reader who points at it


def whiskers(title: str, shown: Sequence[Whisker], bound: float, *, at_least: bool) -> Markup:
    """A dot with its interval for each condition of one kind, against their margin.

    An interval that goes on beyond the axis has an arrow. Satisfied: a full dot; open: a ring; violated: a cross.
    """
    start, end, high = 112.0, 288.0, 17.0
    near = [min(max(v, -0.3), 1.1) for one in shown for v in (one.low, one.high)]
    axis = Axis.around([*near, bound, 1.0 if at_least else 0.0], start, end)
    parts: list[Markup] = []
    y = 18.0
    previous = None
    for one in shown:
        if one.group != previous:
            previous = one.group
            parts.append(text(0.0, y + 16, shortened(previous, 34), "small muted"))
            parts.append(line(0.0, y + 21, WIDTH, y + 21, "rule"))
            y += 24
        parts.append(_whisker(one, axis, y + high / 2))
        y += high
    edge = axis.at(bound)
    wrong = (start, edge) if at_least else (edge, end)
    wanted, anchor = f"{'at least' if at_least else 'at most'} {bound:g}", anchor_within(edge, 150.0, 250.0)
    back = [
        element("rect", x=wrong[0], y=20.0, width=wrong[1] - wrong[0], height=y - 18, class_="wrong"),
        line(edge, 16.0, edge, y + 2, "margin"),
        text(edge, 11.0, wanted, "small", anchor),
    ]
    counts = {state: sum(one.state == state for one in shown) for state in CONDITION_STATES}
    least = min(shown, key=lambda one: (one.low - bound) if at_least else (bound - one.high))
    words = (
        f"{', '.join(f'{n} {state}' for state, n in counts.items() if n)} of {len(shown)}; "
        f"closest to or farthest beyond the margin is {least.words}"
    )
    return picture(title, words, y + 22, *back, *parts, *bottom_axis(axis, y + 2))


def _whisker(one: Whisker, axis: Axis, y: float) -> Markup:
    name = text(8.0, y + 4, shortened(one.label, 17))
    value = text(WIDTH, y + 4, typeset(one.value), "", "end")
    parts: list[object] = [element("title", f"{one.words}: {one.state}"), name, value]
    if all(map(math.isfinite, (one.low, one.value, one.high))):
        x = axis.at(one.value)
        parts.append(line(axis.at(one.low), y, axis.at(one.high), y, "bar"))
        if one.low < axis.low:
            parts.append(element("path", d=f"M{spot(axis.start + 5, y - 4)}l-5 4l5 4", class_="cross"))
        if one.high > axis.high:
            parts.append(element("path", d=f"M{spot(axis.end - 5, y - 4)}l5 4l-5 4", class_="cross"))
        if one.state == "violated":
            parts.append(
                element("path", d=f"M{coordinate(x - 4)} {coordinate(y - 4)}l8 8m0 -8l-8 8", class_="cross")
            )
        else:
            parts.append(
                element("circle", cx=x, cy=y, r=3.5, class_="ring" if one.state == "open" else "dot")
            )
    return element("g", *parts, class_=CONDITION_STATES[one.state])


def score_dots(title: str, shown: Sequence[DisentanglementScore]) -> Markup:
    """A dot with its interval for each score from 0 to 1, and a diamond for its value of permuted factors."""
    axis = Axis(0.0, 1.0, 200.0, 296.0)
    high, y = 19.0, 4.0
    parts: list[Markup] = []
    for one in shown:
        middle, x, chance = y + high / 2, axis.at(one.value), axis.at(one.permuted)
        words = f"{one.name} {typeset(one.value)}, of permuted factors {typeset(one.permuted)}"
        parts.append(
            element(
                "g",
                element("title", words),
                text(0.0, middle + 4, one.name, "small"),
                line(axis.start, middle, axis.end, middle, "rule"),
                element("path", d=f"M{spot(chance, middle - 4)}l4 4l-4 4l-4 -4z", class_="oracle"),
                line(axis.at(one.low), middle, axis.at(one.high), middle, "bar"),
                element("circle", cx=x, cy=middle, r=3.5, class_="run"),
                text(WIDTH, middle + 4, typeset(one.value, 2), "small", "end"),
            )
        )
        y += high
    words = "; ".join(
        f"{one.name} {typeset(one.value, 2)}, {typeset(one.permuted, 2)} of permuted factors" for one in shown
    )
    return picture(title, words, y + 22, *parts, *bottom_axis(axis, y + 2, most=3))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A run beside the oracle, each with a standard error, in nats."""

    label: str
    oracle: tuple[float, float]
    run: tuple[float, float]


def gaps(title: str, pairs: Sequence[Pair], *, zero: bool) -> Markup:
    """A line from the oracle (a diamond) to the run (a dot) for each seed; bars are standard errors."""
    ends = [value + sign * error for p in pairs for value, error in (p.oracle, p.run) for sign in (-1, 1)]
    axis = Axis.around([*ends, 0.0] if zero or not any(map(math.isfinite, ends)) else ends, 64.0, 284.0)
    parts: list[Markup] = []
    y = 10.0
    if zero:
        parts.append(line(axis.at(0.0), 2.0, axis.at(0.0), 14 + 24.0 * len(pairs), "margin"))
    for pair in pairs:
        (best, spare), (value, error), y = pair.oracle, pair.run, y + 24
        parts.append(text(0.0, y - 8, pair.label))
        finite = math.isfinite(value)
        parts.append(text(WIDTH, y - 8, typeset(value - best, sign=True) if finite else "∞", "", "end"))
        if math.isfinite(best):
            x = axis.at(best)
            parts.append(line(axis.at(best - spare), y - 12, axis.at(best + spare), y - 12, "bar"))
            if finite:
                parts.append(line(x, y - 12, axis.at(value), y - 12, "gap"))
            parts.append(
                element("path", d=f"M{coordinate(x)} {coordinate(y - 17)}l5 5l-5 5l-5 -5z", class_="oracle")
            )
        if finite:
            parts.append(line(axis.at(value - error), y - 12, axis.at(value + error), y - 12, "bar"))
            parts.append(element("circle", cx=axis.at(value), cy=y - 12, r=4.0, class_="run"))
    words = "; ".join(
        f"{p.label}: run {typeset(p.run[0])} ± {typeset(p.run[1])} nats, oracle {typeset(p.oracle[0])}"
        for p in pairs
    )
    return picture(title, words, y + 24, *parts, *bottom_axis(axis, y + 4))


def loss_curves(losses: Mapping[tuple[int, int], float], estimate: Elbow) -> Markup:
    """Validation losses by (seed, encoding size): a thin line for each seed, the mean, and the elbow."""
    sizes, seeds = sorted({size for _, size in losses}), sorted({seed for seed, _ in losses})
    mean = {size: fmean(losses[seed, size] for seed in seeds) for size in sizes}
    x_axis = Axis(sizes[0] - 0.3, sizes[-1] + 0.3, 44.0, WIDTH - 4)
    y_axis = Axis.around(losses.values(), 190.0, 22.0)
    parts: list[Markup] = []
    for value, label in y_axis.ticks():
        y = y_axis.at(value)
        parts += [line(44.0, y, WIDTH - 4, y, "rule"), text(38.0, y + 4, label, "small muted", "end")]
    if estimate.size is not None:
        low, high = estimate.low or estimate.size, estimate.high or estimate.size
        x, left = x_axis.at(estimate.size), x_axis.at(low - 0.12)
        right = x_axis.at(high + 0.12)
        parts.append(element("rect", x=left, y=18.0, width=right - left, height=172.0, class_="span"))
        parts.append(line(x, 18.0, x, 190.0, "margin"))
        parts.append(text(x, 11.0, f"estimate: {estimate.size}", "small", anchor_within(x, 90.0, 290.0)))
    for seed in seeds if len(seeds) > 1 else []:
        parts.append(curve([(x_axis.at(s), y_axis.at(losses[seed, s])) for s in sizes], "faint"))
    points = [(x_axis.at(size), y_axis.at(mean[size])) for size in sizes]
    parts.append(curve(points, "mean"))
    parts += [element("circle", cx=x, cy=y, r=3.5, class_="run") for x, y in points]
    parts += [text(x_axis.at(s), 206.0, s, "small muted", "middle") for s in sizes]
    parts.append(line(44.0, 190.0, WIDTH - 4, 190.0, "axis"))
    parts.append(text((44 + WIDTH) / 2, 223.0, "dimensions of the encoding", "small muted", "middle"))
    words = f"{', '.join(f'{typeset(mean[s])} nats at {s}' for s in sizes)}; {estimate}"
    return picture("Mean validation loss over encoding sizes", words, 228.0, *parts)


def scatter(component: Component, words: str) -> Markup:
    """A value (across) against its prediction (upwards), on equal axes, with the diagonal of a perfect one."""
    side, truth, predicted = 150.0, component.truth, component.predicted
    ends = [float(f(values)) for values in (truth, predicted) for f in (np.min, np.max)]
    across = Axis.around(ends, 4.0, side - 4)
    upwards = Axis(across.low, across.high, side - 4, 4.0)
    points = [(across.at(float(x)), upwards.at(float(y))) for x, y in zip(truth, predicted, strict=True)]
    # A dot is a line of no length with round ends: a tenth of the text that circles take.
    return picture(
        component.name,
        words,
        side,
        element("rect", x=0.5, y=0.5, width=side - 1, height=side - 1, class_="frame"),
        line(4.0, side - 4, side - 4, 4.0, "diagonal"),
        element("path", d="".join(f"M{spot(x, y)}h0" for x, y in points), class_=f"dots {component.role}"),
        width=side,
    )
