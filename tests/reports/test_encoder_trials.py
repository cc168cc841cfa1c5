"""What interventions and the scores of the field say of an encoder: in records, tables, pictures and pages."""

import dataclasses
import json
from pathlib import Path

import pytest

from identbox.errors import IdentboxError
from identbox.experiments.records import read_run
from identbox.metrics.disentanglement_records import DisentanglementScore
from identbox.metrics.scores import Score
from identbox.reports import charts, pages, runs, trial_figures
from made_pages import NASTY, SIX, TRIAL, Reader, moves, page_tree, verification

SCORES = [
    DisentanglementScore(view="image", name="MCC", value=0.8, low=0.7, high=0.9, permuted=0.1),
    DisentanglementScore(view="image", name="SAP", value=0.5, low=0.4, high=0.6, permuted=0.0),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A record of a run whose dataset has counterfactual splits, and to which scores were added."""
    figures = {"probe": "kernel_ridge", "metric": "r2", "low": 0.0, "high": 1.0, "chance": 0.0}
    probed = Score(view="image", target="hue", intervention="permute:hue", score=0.8, **figures).record()
    after = {**probed, "score": 0.02, "permuted": True}
    record = {
        "format": 1,
        "identbox": "0",
        "kind": "image-text",
        "seed": 0,
        "config": {},
        "versions": {},
        "machine": {},
        "steps": 1,
        "seconds": 1.0,
        "losses": {},
        "probes": [],
        "displacement": [
            moves("image", "permute:hue", 0.14).record(),
            moves("image", "permute:x", 1.0).record(),
        ],
        "interventions": [probed, after],
        "disentanglement": [one.record() for one in SCORES],
    }
    (tmp_path / "results.json").write_text(json.dumps(record))
    return tmp_path


def test_the_report_of_a_run_has_the_tables_and_the_pictures(run: Path) -> None:
    report = runs.read_report(run)
    text = report.markdown()
    assert "| MCC | 0.800 | [0.700, 0.900] | 0.100 |" in text
    assert text.index("permute:x") < text.index("permute:hue")  # what moves it most comes first
    assert set(report.figures) == {"displacement", "interventions", "scores"}
    written = {path.name for path in report.write(run)}
    assert {"displacement.png", "interventions.svg", "scores.png"} <= written


def test_records_that_do_not_fit_are_named(run: Path) -> None:
    record = json.loads((run / "results.json").read_text())
    for broken, message in (
        ("much", "disentanglement: expected a list"),
        (
            [{**SCORES[0].record(), "name": "FactorVAE"}],
            r"disentanglement\[0\]: name: expected one that begins",
        ),
        ([{"name": "MCC"}], r"disentanglement\[0\]"),
    ):
        (run / "results.json").write_text(json.dumps({**record, "disentanglement": broken}))
        with pytest.raises(IdentboxError, match=message):
            read_run(run / "results.json")


def test_a_heat_map_prints_every_value_in_its_cell() -> None:
    figure = trial_figures.displacement_figure([moves("image", "a", 0.25), moves("text", "b", 1.0)])
    worst, mean = figure.axes
    assert [text.get_text() for text in worst.texts] == ["0.25", "1.00"]
    assert [text.get_text() for text in mean.texts] == ["0.12", "0.50"]
    assert [label.get_text() for label in worst.get_yticklabels()] == ["a", "b"]


def test_predictions_after_an_intervention_are_shown_above_chance_and_of_the_new_values(run: Path) -> None:
    found = list(read_run(run / "results.json").interventions)
    guessed = dataclasses.replace(found[0], target="shape", metric="accuracy", score=0.6, chance=0.2)
    (ax,) = trial_figures.intervention_figure([*found, guessed]).axes
    assert [text.get_text() for text in ax.texts] == ["0.02", "0.50"]


def test_the_page_has_what_moves_the_encodings_and_the_scores() -> None:
    headings = [heading.words for heading in page_tree().all("h4")]
    assert headings.count("What moves the encodings") == headings.count("The scores of the field") == 1
    titles = [chart.children[0].words for chart in page_tree().all("svg")]
    assert f"View {NASTY}" in titles
    captions = [caption.words for caption in page_tree().all("caption")]
    assert {"By intervention", "Scores of view text"} <= set(captions)
    (row,) = [row for row in page_tree().all("tr") if row.words.startswith("permute:hue")]
    # The new values of what was changed, beside what content predicts of them.
    assert [cell.words for cell in row.all("td")] == ["0.10of 0.00", "0.30"]
    bare = pages.verification_page(verification(SIX[0]))
    assert "What moves" not in bare
    assert "The scores of the field" not in bare


def test_a_chart_of_scores_says_them_in_words_too() -> None:
    (chart,) = Reader(str(charts.score_dots("View image", SCORES))).root.all("svg")
    assert "MCC 0.80, 0.10 of permuted factors; SAP 0.50" in chart.attributes["aria-label"]
    spots = [float(dot.attributes["cx"]) for dot in chart.all("circle")]
    assert spots == [pytest.approx(200 + 0.8 * 96, abs=0.1), pytest.approx(200 + 0.5 * 96, abs=0.1)]
    assert TRIAL.scores[0].reference == "Hyvärinen and Morioka 2016"


def test_nothing_to_draw_is_said_in_one_line():
    for draw in (trial_figures.displacement_figure, trial_figures.intervention_figure):
        with pytest.raises(IdentboxError, match="expected something to draw, got nothing"):
            draw([])
