"""Figures of reports: scores beside published ones, scores over a value, losses with their elbow.

Legends and titles name content in bold and style in italics, as the thesis does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from identbox.reports.drawing import (
    BLACK,
    BLUE,
    COLORS,
    FAINT_GREY,
    GREY,
    MANY_COLORS,
    MANY_MARKERS,
    MARKERS,
    ORANGE,
    VERMILION,
    color,
    face,
    few_ticks,
    legend_line,
    new_figure,
    styled,
)
from identbox.texts import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

METRIC_LABELS = {"r2": "$R^2$", "accuracy": "accuracy"}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with its error bar; nothing is drawn from a bar of no length."""

    at: float  # along the other axis; in `draw_dots` the number of the row
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one kind."""

    name: str  # in the legend
    block: str  # content, style, ...: its colour and typeface
    points: tuple[Point, ...]
    metric: str = "r2"
    hollow: bool = False  # what others are compared with, such as published figures
    chance: tuple[tuple[float, float], ...] = ()  # (at, level of a predictor that knows nothing)
    note: str = ""  # after the metric, in the legend of `draw_bands`

    def __post_init__(self) -> None:
        for key in ("name", "metric", "note"):  # they may be a stranger's
            object.__setattr__(self, key, figure_text(getattr(self, key)))


@dataclass(frozen=True, kw_only=True)
class ElbowMark:
    """An estimated encoding size with its interval or a lower bound, and the true one where it is known."""

    size: int | None
    low: int | None
    high: int | None
    truth: int | None
    at_least: int | None = None
    judged: bool = True  # whether there was enough to estimate from


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    series: tuple[Series, ...]
    rows: tuple[str, ...] = ()  # labels of the rows, for `draw_dots`
    mark: ElbowMark | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", figure_text(self.title))
        object.__setattr__(self, "rows", tuple(map(figure_text, self.rows)))


@styled
def draw_dots(grid: Sequence[tuple[str, Sequence[Panel]]], *, title: str) -> Figure:
    """Rows of panels, each with its title: labelled rows of dots with error bars, the series of a row side by side."""
    wide = max(len(panels) for _, panels in grid)
    heights = [0.34 * max(len(panels[0].rows), 1) + 0.55 for _, panels in grid]
    longest = max(len(label) for _, panels in grid for label in panels[0].rows)
    figure = new_figure(1.2 + 0.065 * longest + 2.05 * wide, sum(heights) + 1.1, title)
    axes = figure.subplots(len(grid), wide, squeeze=False, height_ratios=heights)
    for line, (name, panels) in zip(axes, grid, strict=True):
        for place, ax in enumerate(line):
            if place < len(panels):
                _dot_panel(ax, panels[place], labelled=place == 0)
            else:
                ax.set_visible(False)
        if name:
            line[0].annotate(
                name,
                (0, 1),
                (6, 8),
                xycoords=("figure fraction", "axes fraction"),
                textcoords="offset points",
                fontsize=9.5,
                color=GREY,
            )
    _dot_legend(figure, [series for _, panels in grid for panel in panels for series in panel.series])
    return figure


def _dot_panel(ax: Axes, panel: Panel, *, labelled: bool) -> None:
    """The rows of one panel, with their labels where they are the first panel of a line."""
    for y in range(len(panel.rows)):
        ax.axhline(y, color=FAINT_GREY, linewidth=0.8, zorder=0)
    for number, series in enumerate(panel.series):
        shift = 0.3 * (number - (len(panel.series) - 1) / 2)
        _plot_dots(ax, series, shift, number)
    ax.set_ylim(len(panel.rows) - 0.45, -0.55)
    ax.set_yticks(range(len(panel.rows)), panel.rows if labelled else [""] * len(panel.rows))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    unit_range(ax, panel.series, "x")
    ax.set_title(panel.title, **face(panel.title))
    ax.set_xlabel(score_label(panel.series))


def _dot_legend(figure: Figure, series: Sequence[Series]) -> None:
    """A legend where series differ in name; in grey where colours stand for blocks."""
    names = list(dict.fromkeys((s.name, s.hollow) for s in series))
    if len(names) < 2:
        return
    one_color = GREY if {s.block for s in series} & COLORS.keys() else None
    handles = [
        _handle(name, one_color or color(name, number), "o", hollow)
        for number, (name, hollow) in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names))


@styled
def draw_lines(panels: Sequence[Panel], *, title: str, xlabel: str) -> Figure:
    """Panels side by side of scores over a value: a line for each series, one sd as error bars, chance dotted."""
    figure = new_figure(0.6 + 2.75 * len(panels), 3.35, title)
    axes = _side_by_side(figure, panels, xlabel)
    for ax, panel in zip(axes, panels, strict=True):
        for number, series in enumerate(panel.series):
            _plot_line(ax, series, number)
            if series.chance:
                ax.plot(*zip(*series.chance, strict=True), ":", color=BLACK, linewidth=1.1, zorder=4)
        unit_range(ax, [series for panel in panels for series in panel.series], "y")
        _whole_numbers(ax, panel)
    axes[0].set_ylabel(score_label([series for panel in panels for series in panel.series]))
    names = list(dict.fromkeys((series.name, series.block) for panel in panels for series in panel.series))
    handles = [
        legend_line(color=color(block, i), marker=MARKERS.get(block, "D"), markersize=5, label=name)
        for i, (name, block) in enumerate(names)
    ]
    handles.append(legend_line(color=BLACK, linestyle=":", linewidth=1.1, label="chance"))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    for text, (_, block) in zip(legend.get_texts(), names, strict=False):
        text.set(**face(block))
    return figure


@styled
def draw_bands(panels: Sequence[Panel], *, title: str, xlabel: str) -> Figure:
    """Panels side by side of scores over a value, as Figure 8.3: a line for each series, in a band of one sd.

    Colours and markers distinguish the series; content is bold in the legend, style in italics.
    """
    figure = new_figure(0.6 + 5.4 * len(panels), 3.4, title)
    # Titles begin where the axes do: centred on them, long ones would end outside the figure.
    axes = _side_by_side(figure, panels, xlabel, titles="left")
    for ax, panel in zip(axes, panels, strict=True):
        for place, series in enumerate(panel.series):
            at = [point.at for point in series.points]
            tint, marker = MANY_COLORS[place % len(MANY_COLORS)], MANY_MARKERS[place % len(MANY_MARKERS)]
            low, high = ([getattr(point, end) for point in series.points] for end in ("low", "high"))
            ax.fill_between(at, low, high, color=tint, alpha=0.2, linewidth=0)
            values = [point.value for point in series.points]
            described = ", ".join(
                filter(None, [METRIC_LABELS.get(series.metric, series.metric), series.note])
            )
            ax.plot(
                at, values, color=tint, marker=marker, markersize=4.5, label=f"{series.name} ({described})"
            )
        unit_range(ax, [series for panel in panels for series in panel.series], "y")
        _whole_numbers(ax, panel)
        if panel.series:
            legend = ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
            for text, series in zip(legend.get_texts(), panel.series, strict=True):
                text.set(**face(series.block))
    axes[0].set_ylabel(score_label([series for panel in panels for series in panel.series]))
    return figure


@styled
def draw_elbow(panels: Sequence[Panel], *, title: str, xlabel: str) -> Figure:
    """Panels side by side of a loss over encoding sizes: a band of one sd, the estimate and its interval marked."""
    figure = new_figure(0.8 + 3.6 * len(panels), 3.3, title)
    axes = _side_by_side(figure, panels, xlabel)
    for ax, panel in zip(axes, panels, strict=True):
        handles: list[Line2D | Patch] = []
        for series in panel.series:
            at = [point.at for point in series.points]
            ax.fill_between(
                at,
                [point.low for point in series.points],
                [point.high for point in series.points],
                color=BLUE,
                alpha=0.25,
                linewidth=0,
            )
            ax.plot(at, [point.value for point in series.points], "o-", color=BLUE, markersize=4.5)
            handles.append(legend_line(color=BLUE, marker="o", markersize=4.5, label=series.name))
            if series.chance:
                ax.plot(*zip(*series.chance, strict=True), ":", color=GREY, linewidth=1.2)
                handles.append(legend_line(color=GREY, linestyle=":", label="chance"))
        handles += _plot_elbow_mark(ax, panel.mark)
        _whole_numbers(ax, panel)
        ax.margins(y=0.1)
        ax.legend(handles=handles, loc="best")
    axes[0].set_ylabel(panels[0].series[0].name)
    return figure


def _plot_elbow_mark(ax: Axes, mark: ElbowMark | None) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    if mark is None:
        return handles
    if mark.size is not None:
        label = f"estimate: {mark.size}"
        if mark.low is not None and mark.high is not None:
            ax.axvspan(mark.low - 0.15, mark.high + 0.15, color=ORANGE, alpha=0.25, linewidth=0, zorder=0)
            label += f" [{mark.low}, {mark.high}]"
        ax.axvline(mark.size, color=VERMILION, linewidth=1.4, zorder=1)
        handles.append(legend_line(color=VERMILION, linewidth=1.4, label=label))
    elif mark.at_least is not None:
        ax.axvline(mark.at_least, color=VERMILION, linewidth=1.4, linestyle="--", zorder=1)
        label = f"at least {mark.at_least}"
        handles.append(legend_line(color=VERMILION, linewidth=1.4, linestyle="--", label=label))
    elif mark.judged:
        from matplotlib.patches import Patch

        handles.append(Patch(alpha=0, label="no elbow"))
    if mark.truth is not None:
        (low, _), axis = ax.get_ylim(), ax.get_xaxis_transform()
        ax.plot([mark.truth], [0], "^", color=BLACK, markersize=7, transform=axis, clip_on=False, zorder=5)
        ax.set_ylim(bottom=low)
        handles.append(
            legend_line(color=BLACK, marker="^", linestyle="", markersize=7, label=f"true: {mark.truth}")
        )
    return handles


def _side_by_side(
    figure: Figure, panels: Sequence[Panel], xlabel: str, *, titles: Literal["left", "center"] = "center"
) -> list[Axes]:
    """Axes for panels beside each other, with one range upwards and faint lines across."""
    axes = list(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0])
    for ax, panel in zip(axes, panels, strict=True):
        ax.grid(axis="y", color=FAINT_GREY, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.set_title(panel.title, loc=titles)
        ax.set_xlabel(figure_text(xlabel))
    return axes


def _plot_dots(ax: Axes, series: Series, shift: float, number: int) -> None:
    tint = color(series.block, number)
    for point in series.points:
        y = point.at + shift
        if point.high > point.low:
            ax.plot([point.low, point.high], [y, y], color=tint, linewidth=1.3, alpha=0.8)
    ax.plot(
        [point.value for point in series.points],
        [point.at + shift for point in series.points],
        "o",
        color=tint,
        markerfacecolor="white" if series.hollow else tint,
        markersize=5,
        clip_on=False,
        zorder=3,
    )


def _plot_line(ax: Axes, series: Series, number: int) -> None:
    tint = color(series.block, number)
    values = [point.value for point in series.points]
    ax.errorbar(
        [point.at for point in series.points],
        values,
        [
            [point.value - point.low for point in series.points],
            [point.high - point.value for point in series.points],
        ],
        color=tint,
        marker=MARKERS.get(series.block, "D"),
        markersize=4.5,
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2,
    )


def score_label(series: Sequence[Series]) -> str:
    """The label of an axis of scores."""
    metrics = {one.metric for one in series if one.points}
    return " or ".join(name for metric, name in METRIC_LABELS.items() if metric in metrics)


def unit_range(ax: Axes, series: Sequence[Series], axis: str) -> None:
    """The range of scores: from 0 to 1, and further only where something lies there."""
    values = [bound for one in series for point in one.points for bound in (point.low, point.high)]
    ends = min([0.0, *values]), max([1.0, *values])
    getattr(ax, f"set_{axis}lim")(ends[0] - 0.04, ends[1] + 0.04)
    getattr(ax, f"set_{axis}ticks")([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])


def _whole_numbers(ax: Axes, panel: Panel) -> None:
    at = sorted({point.at for series in panel.series for point in series.points})
    if len(at) <= 12:
        ax.set_xticks(at, [f"{value:g}" for value in at])
    else:
        ax.xaxis.set_major_locator(few_ticks(integer=True))


def _handle(name: str, tint: str, marker: str, hollow: bool) -> Line2D:
    filled = "white" if hollow else tint
    return legend_line(color=tint, marker=marker, markerfacecolor=filled, linewidth=1.3, label=name)
