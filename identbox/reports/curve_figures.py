"""Figures of scores over the steps of a training: small panels, each a run or the runs of a cell."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from identbox.reports.drawing import FAINT_GREY, color, face, few_ticks, legend_line, new_figure, styled
from identbox.reports.figures import Panel, score_label, unit_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_ABREAST = 5  # panels beside each other
TITLE_WIDTH = 26  # letters in a line above a panel
STYLES: dict[str, Any] = {
    "content": "-",
    "style": "--",
    "modality": ":",
}  # of the lines; other blocks have "-."


@styled
def draw_curves(panels: Sequence[Panel], *, title: str) -> Figure:
    """Small panels of scores over steps, five to a line: the means, in bands from the lowest to the highest seed."""
    wide = min(len(panels), PANELS_ABREAST)
    rows = -(-len(panels) // wide)
    single = len(panels) == 1
    size = (4.6, 3.4) if single else (0.7 + 1.75 * wide, 1.3 + 1.75 * rows)
    figure = new_figure(*size, title)
    grid = figure.subplots(rows, wide, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    for place, (ax, panel) in enumerate(zip(grid.flat, panels, strict=False)):
        _draw_panel(ax, panel)
        ax.xaxis.set_major_locator(few_ticks(5 if single else 3, integer=True))
        # Below the last panel of a column there may be none that shows the steps.
        ax.tick_params(labelbottom=place + wide >= len(panels))
        if place + wide >= len(panels):
            ax.set_xlabel("steps of training", fontsize=8)
    series = [series for panel in panels for series in panel.series]
    unit_range(grid[0][0], series, "y")
    figure.supylabel(score_label(series), fontsize=9)
    names = list(dict.fromkeys(one.block for one in series))
    handles = [
        legend_line(color=color(block, place), linestyle=STYLES.get(block, "-."), label=block)
        for place, block in enumerate(names)
    ]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    for text, block in zip(legend.get_texts(), names, strict=True):
        text.set(**face(block))
    return figure


def _draw_panel(ax: Axes, panel: Panel) -> None:
    """The lines of one panel, with their bands."""
    ax.grid(axis="y", color=FAINT_GREY, linewidth=0.6)
    for number, series in enumerate(panel.series):
        at = [point.at for point in series.points]
        values, low, high = (
            [getattr(point, name) for point in series.points] for name in ("value", "low", "high")
        )
        tint = color(series.block, number)
        ax.fill_between(at, low, high, color=tint, alpha=0.2, linewidth=0)
        alone = "o" if len(at) == 1 else ""  # one point has no line
        ax.plot(
            at, values, STYLES.get(series.block, "-."), color=tint, linewidth=1.5, marker=alone, markersize=4
        )
    ax.set_title(textwrap.fill(panel.title, TITLE_WIDTH), fontsize=7.5)
    ax.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}")
