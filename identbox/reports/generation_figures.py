"""Figures of what multimodal VAEs generate: lines in panels with an axis each, and quality against coherence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from identbox.reports.drawing import (
    FAINT_GREY,
    MANY_COLORS,
    MANY_MARKERS,
    few_ticks,
    legend_line,
    new_figure,
    styled,
)
from identbox.texts import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABREAST = 4  # panels beside each other
FAR_APART = 20  # the ratio of values of an axis from which on it is logarithmic


@dataclass(frozen=True, kw_only=True)
class LineSeries:
    """A line of points (x, value, low, high); hollow ones are what others are compared with."""

    name: str
    color: int
    points: tuple[tuple[float, float, float, float], ...]
    hollow: bool = False


@dataclass(frozen=True, kw_only=True)
class LinePanel:
    """One pair of axes."""

    title: str
    xlabel: str
    series: tuple[LineSeries, ...]

    @property
    def from_zero(self) -> bool:
        """Whether the vertical axis begins at 0: of shares and distances, but not of log-likelihoods."""
        return "likelihood" not in self.title


@dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """A cell by its distance and its coherence, with intervals over the seeds."""

    name: str
    model: str
    color: int
    x: float
    y: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    best: bool = False  # whether no other beats it in both

    def marked(self, best: bool) -> FrontierPoint:
        """The point, known to be on the frontier or not."""
        return replace(self, best=best)


@styled
def draw_panels(panels: Sequence[LinePanel], *, title: str) -> Figure:
    """Panels with lines, bands of one standard deviation, and hollow markers for published figures.

    Panels without a line are left out, where others have one.
    """
    panels = [panel for panel in panels if any(series.points for series in panel.series)] or panels
    wide = max(1, min(ABREAST, len(panels)))
    rows = max(1, -(-len(panels) // wide))
    figure = new_figure(max(5.0, 0.8 + 2.9 * wide), 1.0 + 2.6 * rows, title)
    grid = figure.subplots(rows, wide, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    for ax, panel in zip(grid.flat, panels, strict=False):
        for series in panel.series:
            _draw_line(ax, series)
        ax.set_title(figure_text(panel.title), fontsize=8)
        ax.set_xlabel(figure_text(panel.xlabel))
        ax.grid(axis="y", color=FAINT_GREY, linewidth=0.6)
        if panel.from_zero:
            low, top = ax.get_ylim()
            bottom = min(0.0, low)
            ax.set_ylim(bottom, top + 0.03 * (top - bottom))
        _set_values(ax, sorted({x for series in panel.series for x, *_ in series.points}))
    names = {series.name: series.color for panel in panels for series in panel.series if series.name}
    _legend(figure, names)
    return figure


def _set_values(ax: Axes, values: Sequence[float]) -> None:
    """The horizontal axis: a tick at each of few whole numbers; logarithmic where they are far apart."""
    positive = [x for x in values if x > 0]
    if positive and max(positive) >= FAR_APART * min(positive):
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.5)
        ax.set_xlim(values[0] - 0.3 * min(positive), 1.3 * values[-1])
    if values and all(x == int(x) for x in values) and len(values) <= 12:
        ax.set_xticks(values, [f"{x:g}" for x in values])
        ax.minorticks_off()
    else:
        ax.xaxis.set_major_locator(few_ticks(5))


def _draw_line(ax: Axes, series: LineSeries) -> None:
    if not series.points:
        return
    tint, marker = _look(series.color)
    at, value, low, high = zip(*series.points, strict=True)
    if series.hollow:
        ax.plot(
            at, value, ":", marker=marker, color=tint, markerfacecolor="white", linewidth=1.0, markersize=5
        )
        return
    ax.fill_between(at, low, high, color=tint, alpha=0.2, linewidth=0)
    ax.plot(at, value, marker=marker, color=tint, linewidth=1.5, markersize=4.5)


def _look(number: int) -> tuple[str, str]:
    return MANY_COLORS[number % len(MANY_COLORS)], MANY_MARKERS[number % len(MANY_MARKERS)]


def _legend(figure: Figure, names: Mapping[str, int]) -> None:
    handles = [
        legend_line(color=_look(number)[0], marker=_look(number)[1], label=figure_text(name))
        for name, number in names.items()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


@styled
def draw_frontier(sides: Mapping[str, Sequence[FrontierPoint]], *, title: str) -> Figure:
    """Distance (better to the left) against coherence (better above); the frontier is a line through full markers."""
    figure = new_figure(1.0 + 3.9 * len(sides), 4.2, title)
    axes = figure.subplots(1, len(sides), squeeze=False)[0]
    for ax, (side, points) in zip(axes, sides.items(), strict=True):
        for point in points:
            tint, marker = _look(point.color)
            errors = [[point.x - point.x_ends[0]], [point.x_ends[1] - point.x]]
            up = [[point.y - point.y_ends[0]], [point.y_ends[1] - point.y]]
            ax.errorbar(point.x, point.y, xerr=errors, yerr=up, fmt="none", ecolor=tint, elinewidth=0.8)
            face = tint if point.best else "white"
            ax.plot(point.x, point.y, marker, color=tint, markerfacecolor=face, markersize=7)
        best = sorted((point for point in points if point.best), key=lambda point: point.x)
        ax.plot([p.x for p in best], [p.y for p in best], "--", color="0.6", linewidth=1.0, zorder=0)
        ax.set_title(side)
        ax.set_xlabel("Frechet distance (lower is better)")
        ax.set_ylabel("coherence (higher is better)")
        ax.set_ylim(max(-0.03, ax.get_ylim()[0]), min(1.03, ax.get_ylim()[1]))  # of an interval, what can be
        ax.grid(color=FAINT_GREY, linewidth=0.6)
    _legend(figure, {point.model: point.color for points in sides.values() for point in points})
    return figure
