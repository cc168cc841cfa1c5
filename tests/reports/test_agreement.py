import json
import math

import numpy as np
import pytest
from scipy import stats

from identbox import files
from identbox.experiments.records import Cell, read_run
from identbox.reports import agreement, ceilings, curves
from identbox.reports.agreement import Agreement, Difference
from identbox.reports.curve_figures import draw_curves
from identbox.reports.figures import Panel, Point, Series
from identbox.reports.statistics import SeedScores, read_published


def entry(*scores: float, published: float | None = 0.8, sd: float = 0.04, **other) -> SeedScores:
    given = {"cell": Cell(name="one", values={}), "target": "style", "metric": "r2", "planned": len(scores)}
    given |= {"published": published, "published_sd": sd, "published_seeds": 3, **other}
    return SeedScores(scores=dict(enumerate(scores)), **given)


def test_the_test_is_welchs():
    ours, theirs = (0.7, 0.75, 0.65, 0.72), np.array([-1.0, 0.0, 1.0]) * 0.04 + 0.8
    found = agreement.welch(entry(*ours))
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)


def test_a_deviation_printed_as_zero_is_half_a_unit_and_one_seed_deviates_as_the_published_do():
    assert agreement.welch(entry(0.81, 0.81, sd=0.0)).error == pytest.approx(0.005 / math.sqrt(3))
    one = agreement.welch(entry(0.7))
    assert (one.error, one.freedom) == (pytest.approx(0.04 * math.sqrt(1 + 1 / 3)), 2.0)
    assert agreement.welch(entry(0.7, published_seeds=None)) is None


def test_zeros_by_construction_are_uninformative():
    zero = {"published": 0.0, "sd": 0.0}
    assert not agreement.is_informative(entry(0.0, **zero, ceiling=0.001))
    assert not agreement.is_informative(entry(0.0, **zero))
    assert agreement.is_informative(entry(0.0, **zero, ceiling=0.3))
    assert agreement.is_informative(entry(0.0, published=0.03, ceiling=0.0))


def test_outcomes_and_what_is_counted():
    found = agreement.agreements([
        entry(0.80, 0.801, 0.799, sd=0.001),
        entry(0.3, 0.31, 0.29, sd=0.01),
        entry(0.5, 0.9, 0.7),
        entry(0.0, 0.001, published=0.0, sd=0.0, ceiling=0.0),
        entry(0.5, published=None),
    ])  # fmt: skip
    assert [one.outcome for one in found] == ["agrees", "differs", "open", None]
    assert [one.informative for one in found] == [True, True, True, False]
    count, block, _, left_out = agreement.agreement_notes(found)
    assert count.startswith(
        "Of 3 informative figures 1 agree with the published ones, 1 differ and 1 are open."
    )
    assert block.startswith("style: 1 of 3 agree; the difference is ")
    assert left_out.startswith("1 more figures are left out as uninformative")


def test_holm_is_that_of_the_step_down_rule():
    values = [0.04, 0.01, 0.03, 0.2]
    assert agreement.holm(values) == pytest.approx([0.09, 0.04, 0.09, 0.2])


def test_differences_together():
    parts = [Difference(value=0.1, error=0.03, freedom=4.0), Difference(value=0.3, error=0.04, freedom=2.0)]
    both = agreement.pooled(parts)
    assert (both.value, both.error) == (pytest.approx(0.2), pytest.approx(0.025))
    assert both.freedom == pytest.approx(25e-4**2 / (9e-4**2 / 4 + 16e-4**2 / 2))


def test_published_figures_know_their_seeds():
    assert read_published("table_8_1.csv").seeds == read_published("figure_a6.csv").seeds == 3


def test_committed_runs_have_ceilings_and_curves():
    folder = files.packaged("simulations") / "results" / "table_8_1-quick" / "runs"
    folder = folder / "change_probability0.75-causal-multimodal-seed0"
    run = read_run(folder / "results.json")
    found = ceilings.block_ceilings(run, ceilings.run_ceilings(run), None)
    assert found["content", "r2"] == 1.0
    assert found["modality", "r2"] == 0.0
    assert 0.4 < found["style", "r2"] < 0.7
    drawn = curves.read_curves(folder, run)
    assert drawn is not None
    assert abs(drawn.drift(("style", "r2"))) < 0.01


def test_curves_are_read_line_by_line(tmp_path):
    folder = files.packaged("simulations") / "results" / "table_8_1-quick" / "runs"
    run = read_run(folder / "change_probability1.0-multiview-seed0" / "results.json")
    rows = [
        {"view": view, "target": "style", "probe": probe, "metric": "r2", "score": score}
        for view, shift in (("1", 0.0), ("2", 0.2))
        for probe, score in (("kernel_ridge", 0.5 + shift), ("linear", -1.0))
    ]
    lines = [{"step": 2500, "scores": rows}, {"step": 2800}, {"step": 3000, "scores": rows[:1]}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 3100, "scores": [{}]}\nno json\n')
    found = curves.read_curves(tmp_path, run)
    assert found.by_block == {("style", "r2"): {2500: pytest.approx(0.6), 3000: 0.5}}
    assert found.drift(("style", "r2")) == pytest.approx(-0.1)
    assert found.drift(("content", "r2")) is None
    assert list(curves.run_curves(tmp_path, run)) == ["curves"]


def test_what_was_not_tested_has_no_outcome():
    assert Agreement(entry=entry(0.5), informative=True).outcome is None


def test_a_curve_of_one_point_is_drawn_as_a_point():
    def panel(*steps: float) -> Panel:
        points = tuple(Point(at=step, value=0.5, low=0.5, high=0.5) for step in steps)
        return Panel(title="a", series=(Series(name="a", block="content", points=points),))

    figure = draw_curves([panel(250), panel(250, 500)], title="Curves")
    assert [ax.lines[0].get_marker() for ax in figure.axes] == ["o", ""]


def test_a_title_of_wide_letters_lies_within_a_narrow_figure():
    title = " ".join(["WWWWWW"] * 8)
    points = tuple(Point(at=at, value=0.5, low=0.4, high=0.6) for at in (100, 200))
    panel = Panel(title="one", series=(Series(name="content", block="content", points=points),))
    figure = draw_curves([panel, panel], title=title)
    shown = figure.texts[0]
    assert shown.get_text().replace("\n", " ") == title
    assert shown.get_window_extent().width <= figure.bbox.width
