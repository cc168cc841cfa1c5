"""Pictures of an encoder on trial: what moves it, what it predicts after interventions, and the scores of the field.

Each takes what a run's record has, or what `verify` and `scores` return, so that notebooks draw them too:

    from identbox.reports import trial_figures

    trial_figures.displacement_figure(verdict.displacements)
    trial_figures.score_figure(scores(codes, factors))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from identbox.errors import IdentboxError
from identbox.metrics.disentanglement_records import DisentanglementScore
from identbox.metrics.displacement_records import Displacement, strongest_first
from identbox.metrics.scores import PRIME, Score
from identbox.reports.drawing import BLACK, BLUE, GREY, new_figure, styled
from identbox.reports.figures import Panel, Point, Series, draw_dots
from identbox.texts import figure_text, fixed_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAT = ("#f5f7f9", "#a6cdee", BLUE)  # from 0 to 1
DARK = 0.75  # from this value on, numbers are white
WIDE, HIGH = 0.62, 0.3  # inches of a cell
ABOVE = 0.35  # inches for a title
LETTER = 0.075  # inches of a letter of a label
LINE_LETTERS = 20  # letters of a line of a column's name


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A matrix of values from 0 to 1 with its labels; None is an empty cell."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


def displacement_figure(found: Sequence[Displacement], title: str = "What moves the encodings") -> Figure:
    """Two heat maps, interventions by views: the displacement in the worst direction, and its mean.

    What moves the first view's encoding most comes first.
    """
    at = {(one.intervention, one.view): one for one in found}
    rows = tuple(dict.fromkeys(one.intervention for one in strongest_first(found)))
    views = tuple(dict.fromkeys(one.view for one in found))
    maps = []
    for name, key in (("worst direction", "value"), ("mean over directions", "mean")):
        values = tuple(
            tuple(getattr(at[row, view], key) if (row, view) in at else None for view in views)
            for row in rows
        )
        maps.append(HeatMap(title=name, rows=rows, columns=views, values=values))
    return draw_heat_maps(maps, title=title)


def intervention_figure(
    found: Sequence[Score], title: str = "What the encodings predict after each intervention"
) -> Figure:
    """A heat map for each view, interventions by factors: nonlinear scores, chance being 0 and the best 1.

    Of a factor that the intervention changed the new values are predicted.
    """
    at = {(one.view, one.intervention, one.label): one for one in found if one.nonlinear}
    rows = tuple(dict.fromkeys(str(one.intervention) for one in found))
    factors = tuple(dict.fromkeys(one.target for one in found))
    maps = []
    for view in dict.fromkeys(one.view for one in found):
        values = []
        for row in rows:
            scores = [
                at.get((view, row, factor + PRIME)) or at.get((view, row, factor)) for factor in factors
            ]
            values.append(tuple(None if one is None else _above_chance(one) for one in scores))
        name = "content alone" if view == "content" else view
        maps.append(HeatMap(title=f"from {name}", rows=rows, columns=factors, values=tuple(values)))
    return draw_heat_maps(maps, title=title, stacked=True)


def _above_chance(score: Score) -> float:
    return max(0.0, (score.score - score.chance) / (1 - score.chance))


@styled
def draw_heat_maps(maps: Sequence[HeatMap], *, title: str, stacked: bool = False) -> Figure:
    """Heat maps with the same rows side by side, or with the same columns below each other.

    Raises IdentboxError where there is none.
    """
    if not any(one.rows for one in maps):
        raise IdentboxError(f"{title}: expected something to draw, got nothing")
    longest = LETTER * max(len(row) for one in maps for row in one.rows)
    names = max(len(column) for one in maps for column in one.columns)
    upright = LETTER * names <= WIDE
    below = 0.3 if upright else LETTER * min(names, LINE_LETTERS)
    wide = [max(WIDE * len(one.columns), LETTER * len(one.title)) for one in maps]
    high = [HIGH * len(one.rows) + ABOVE for one in maps]
    if stacked:
        figure = new_figure(longest + max(wide) + 0.4, sum(high) + below + ABOVE, title)
        axes = figure.subplots(len(maps), 1, squeeze=False, height_ratios=high)[:, 0]
    else:
        figure = new_figure(longest + sum(wide) + 0.4 * len(maps), max(high) + below + ABOVE, title)
        axes = figure.subplots(1, len(maps), squeeze=False, width_ratios=wide)[0]
    for place, (ax, one) in enumerate(zip(axes, maps, strict=True)):
        named = not stacked or place + 1 == len(maps)
        _heat_map(ax, one, labelled=stacked or place == 0, named=named, upright=upright)
    return figure


def _heat_map(ax: Axes, one: HeatMap, *, labelled: bool, named: bool, upright: bool) -> None:
    """One heat map with the names of its rows and columns, unless another has them; long names go upwards."""
    from matplotlib.colors import LinearSegmentedColormap

    heat = LinearSegmentedColormap.from_list("heat", HEAT)
    shown = [[float("nan") if value is None else value for value in row] for row in one.values]
    ax.pcolormesh(shown, cmap=heat, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for y, row in enumerate(one.values):
        for x, value in enumerate(row):
            if value is not None:
                tint = "white" if value >= DARK else BLACK
                ax.text(x + 0.5, y + 0.5, fixed_digits(value), ha="center", va="center", color=tint)
    ax.invert_yaxis()
    names = [figure_text(fill(name, LINE_LETTERS)) if named else "" for name in one.columns]
    ax.set_xticks([x + 0.5 for x in range(len(names))], names, rotation=0 if upright else 90)
    rows = [figure_text(name) if labelled else "" for name in one.rows]
    ax.set_yticks([y + 0.5 for y in range(len(rows))], rows)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(figure_text(one.title), fontsize=9, color=GREY)


def score_figure(
    found: Sequence[DisentanglementScore], title: str = "Scores of codes against factors"
) -> Figure:
    """A dot with its interval for each score and, hollow, its value for permuted factors; a panel for each view."""
    rows = tuple(dict.fromkeys(one.name for one in found))
    panels = []
    for view in dict.fromkeys(one.view for one in found):
        own = [one for one in found if one.view == view]
        known = tuple(
            Point(at=float(rows.index(one.name)), value=one.value, low=one.low, high=one.high) for one in own
        )
        chance = tuple(
            Point(at=float(rows.index(one.name)), value=one.permuted, low=one.permuted, high=one.permuted)
            for one in own
        )
        series = (
            Series(name="score, with its 95% interval", block="content", points=known, metric="score"),
            Series(
                name="score of permuted factors", block="content", points=chance, metric="score", hollow=True
            ),
        )
        panels.append(Panel(title=view, rows=rows, series=series))
    return draw_dots([("", panels)], title=title)
