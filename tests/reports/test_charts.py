"""The figures of a verification's page: charts of intervals and losses, and the graph of a process."""

import dataclasses
import re

import numpy as np
import pytest

from identbox.identifiability.oracle import Value
from identbox.identifiability.verdicts import ViewVerdict
from identbox.process import presets
from identbox.reports import charts, graphs, pages, svg
from identbox.reports.svg import Axis
from made_pages import CURVE, ELBOW, PROCESS, SIX, SIZES, Reader, condition, page_tree, verification


def test_numbers_that_are_not_finite_are_written_but_not_drawn():
    """Encodings with atoms have an entropy of minus infinity."""
    gone = Value(alignment=0.0, entropies=(-np.inf, -np.inf), error=0.0)
    seed = SIX[0].seeds[0]
    best = dataclasses.replace(seed.optimum, trained=gone, equal_scale=None)
    blank = condition(low=float("nan"), high=float("nan"))
    verdict = ViewVerdict(
        view="1", outcome="undecided", on_support="undecided", reasons=(), conditions=(blank,)
    )
    judgement = dataclasses.replace(seed.judgements[0], verdicts=(verdict,))
    seed = dataclasses.replace(seed, optimum=best, judgements=(judgement,))
    text = pages.verification_page(verification(dataclasses.replace(SIX[0], seeds=(seed,))))
    assert "∞" in text
    for figure in Reader(text).root.all("svg"):
        for element in figure.all():
            numbers = {
                key: value for key, value in element.attributes.items() if key in ("x", "x1", "cx", "d", "y")
            }
            assert not re.search("nan|inf|∞", " ".join(numbers.values()))


def test_an_interval_that_goes_on_has_an_arrow_and_leaves_the_margin_in_sight():
    wide = charts.Whisker(
        group="view 1", label="seed 0", value=0.9, low=-8.0, high=8.0, state="open", words="w"
    )
    narrow = dataclasses.replace(wide, group="view 2", low=0.89, high=0.91)
    figure = Reader(charts.whiskers("t", [wide, narrow], 0.95, at_least=True)).root
    first, second = figure.all("g")
    bar = next(iter(first.all("line"))).attributes
    assert (float(bar["x1"]), float(bar["x2"])) == (112, 288)
    assert [len(list(group.all("path"))) for group in (first, second)] == [2, 0]
    margin = next(e.attributes for e in figure.all("line") if e.attributes["class"] == "margin")
    assert 220 < float(margin["x1"]) < 280


def test_the_elbow_is_shown_with_its_losses():
    chart = next(f for f in page_tree().all("svg") if f.children[0].words.startswith("Mean validation loss"))
    for place, size in enumerate(SIZES):
        assert f"{CURVE[:, place].mean():.3f} nats at {size}" in chart.attributes["aria-label"]
    assert ELBOW.size == 3
    assert "estimate: 3" in chart.words
    assert "How many" not in pages.verification_page(verification(SIX[0]))


def test_a_process_is_described_in_words():
    words = graphs.described(PROCESS)
    assert "content causes style (linear)" in words
    assert (
        "view 1 sees content, specific_1, style;" in words
        or "view 1 sees content, style, specific_1;" in words
    )
    assert "style perturbed" in words.split("view 2 sees")[1]
    assert "perturbed" not in words.split("view 1 sees")[1].split("view 2 sees")[0]
    graph = Reader(graphs.graph(PROCESS)).root
    assert [e.words for e in graph.all("text") if "name" in e.attributes.get("class", "")] == [
        "content", "style", "specific_1", "specific_2",
    ]  # fmt: skip
    edges = [e.attributes["class"] for e in graph.all("path") if e.attributes["class"].startswith("edge")]
    assert len(edges) == 6  # content and style to both views, specific ones to their own
    assert sum("changed" in edge for edge in edges) == 1
    assert len([e for e in graph.all("path") if e.attributes["class"] == "cause"]) == 1
    assert "ε: noise, p = 0.75" in graph.words
    for other in (presets.multimodal3dident(), dataclasses.replace(PROCESS, views=("1", "2", "3"))):
        top, bottom = (
            0.0,
            float(Reader(graphs.graph(other)).root.children[0].attributes["viewbox"].split()[3]),
        )
        boxes = [e.attributes for e in Reader(graphs.graph(other)).root.all("rect")]
        assert all(top <= float(b["y"]) and float(b["y"]) + float(b["height"]) <= bottom for b in boxes)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-0.011, 0.052), (1.2, 1234.0), (3.0, 3.0), (-2e-5, 1e-5)])
def test_ticks_are_round_and_on_the_axis(ends):
    axis = Axis.around([*ends, float("inf")], 10.0, 110.0)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 6
    values = [value for value, _ in ticks]
    assert np.allclose(np.diff(values), values[1] - values[0])
    assert float(f"{values[1] - values[0]:.0e}") == pytest.approx(values[1] - values[0])  # one digit
    for value, label in ticks:
        assert axis.low <= value <= axis.high
        assert float(label.replace("−", "-")) == pytest.approx(value)
        assert 10 <= axis.at(value) <= 110
    assert axis.at(axis.low) == pytest.approx(10)
    assert axis.at(axis.high) == pytest.approx(110)


def test_control_characters_are_shown_as_text_in_a_picture():
    made = str(svg.element("text", "a\x1b[31m", title="\x9b<b>"))
    assert made == r'<text title="\x9b&lt;b&gt;">a\x1b[31m</text>'
