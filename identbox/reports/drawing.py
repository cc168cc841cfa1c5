"""How our figures look and are written: colours, markers, fonts, and the bytes of a file.

Colours are those of Okabe and Ito, which people with any colour vision can distinguish; markers differ as well.
Equal input gives equal bytes: the font comes with matplotlib, and SVG has no date and a fixed salt for its identifiers.

Loading matplotlib takes a fifth of the start of a training. So it is loaded where something is drawn.
"""

from __future__ import annotations

import functools
import io
import textwrap
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from identbox.texts import figure_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

P = ParamSpec("P")
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, FAINT_GREY = "#6b6b6b", "#dcdcdc"
COLORS = {"content": BLUE, "content'": SKY, "style": VERMILION, "modality": GREEN}
SPARE_COLORS = (PURPLE, ORANGE, BLACK)
MARKERS = {"content": "o", "content'": "o", "style": "s", "modality": "^"}
WINE, OLIVE = "#882255", "#999933"  # of Tol, as far from the others as any
# Where series are many.
MANY_COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY, WINE, OLIVE)
MANY_MARKERS = "osD^vP*Xdh"
DPI = 200
LETTERS_AN_INCH = 13  # most of a title in one line; wide letters leave room for fewer
FEWEST_LETTERS = 10  # in a line of a title
WIDEST_TITLE = 0.96  # of a figure's width
FIGURE_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "mathtext.default": "regular",
    "svg.fonttype": "path",
    "svg.hashsalt": "identbox",
}


def face(block: str) -> dict[str, Any]:
    """How a block's name is set: content bold, style italic."""
    return {
        "fontweight": "bold" if block.startswith("content") else "normal",
        "fontstyle": "italic" if block.startswith("style") else "normal",
    }


def color(block: str, place: int = 0) -> str:
    """The colour of a block, or a spare one by its place."""
    return COLORS.get(block, SPARE_COLORS[place % len(SPARE_COLORS)])


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that draws, in the style of our figures."""

    @functools.wraps(draw)
    def drawn(*given: P.args, **options: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(FIGURE_STYLE):
            return draw(*given, **options)

    return drawn


def legend_line(**look: Any) -> Line2D:
    """A line of this look that lies in the legend alone."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **look)


def few_ticks(most: int | None = None, *, integer: bool = False) -> MaxNLocator:
    """Places for at most so many ticks on an axis, ten unless told; on whole numbers alone, if asked for."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=integer)


def encode(figure: Figure) -> dict[str, bytes]:
    """The figure as the bytes of its files, by suffix; equal figures give equal bytes."""
    import matplotlib

    files = {}
    with matplotlib.rc_context(FIGURE_STYLE), warnings.catch_warnings():
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            # A sign that the font lacks is drawn as a box.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
            files[suffix] = buffer.getvalue()
    return files


def new_figure(width: float, height: float, title: str) -> Figure:
    """A figure (inches) on the Agg canvas, apart from pyplot's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    shown = figure.suptitle("", fontsize=11)
    for letters in range(int(width * LETTERS_AN_INCH), FEWEST_LETTERS - 1, -1):
        shown.set_text(figure_text(textwrap.fill(title, letters, break_long_words=False)))
        if shown.get_window_extent().width <= WIDEST_TITLE * figure.bbox.width:
            break
    return figure
