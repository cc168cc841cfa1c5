import io
import json

import pytest
from rich.console import Console

from identbox import config
from identbox.data.scene import IMAGE_FACTORS
from identbox.data.text import TEXT_FACTORS
from identbox.experiments.records import run_folder
from identbox.reports import runs
from identbox.reports.figures import Panel, Point, Series, draw_bands

PROBE = {"intervention": None, "low": 0.0, "high": 1.0}
SEEDS = (0, 1)


def probe(view, target, metric, score, kind="mlp", chance=0.2):
    return {
        **PROBE,
        "view": view,
        "target": target,
        "metric": metric,
        "score": score,
        "probe": kind,
        "chance": chance,
    }


def record(seed, size, **more):
    """A run whose scores rise with the size of the encoding, and differ by 0.02 between seeds."""
    up = 0.1 * size + 0.02 * seed
    views = [
        probe(view, target, metric, score, kind)
        for view in ("image", "text")
        for target, metric, score, kind in (
            ("object_alpharot", "r2", 0.01, "kernel_ridge"),
            ("object_color", "r2", up, "kernel_ridge"),
            ("object_color", "r2", 0.5, "linear"),
            ("object_shape", "accuracy", up + 0.3, "mlp"),
            ("text_phrasing", "accuracy", 0.4, "mlp"),
        )
    ]
    return {
        "format": 1,
        "kind": "image-text",
        "identbox": "0",
        "seed": seed,
        "config": {"encoder": {"encoding_size": size}},
        "versions": {"python": "3", "torch": "2"},
        "machine": {"device": "cpu", "cpu": "one", "threads": 1},
        "steps": 10,
        "seconds": 60.0,
        "losses": {"train": 2.0, "validation": 2.5, "chance": 5.5},
        "probes": views,
        "from_content": [probe("content", "object_color", "r2", 8 / 9, "kernel_ridge")],
        **more,
    }


def shown(report):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.terminal())
    return console.export_text()


def test_tables_fit_eighty_characters_without_a_cut(tmp_path, sweep):
    """Every factor of Table 4.1 by the longest names, scores and intervals below zero included."""
    targets = [*IMAGE_FACTORS, *TEXT_FACTORS, "object_color (circle)"]
    wide = {"score": -0.06, "low": -0.12, "high": -0.01}
    found = [
        {**probe(v, t, "accuracy", 0.0), **wide} for v in ("image", "text") for t in dict.fromkeys(targets)
    ]
    run = runs.read_report(write(tmp_path / "run", record(0, 4, probes=found)))
    for text in (shown(run), shown(runs.read_report(sweep))):
        assert "…" not in text


def write(folder, table):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(table))
    return folder


def test_a_run_shows_content_first_and_scores_from_content_alone(tmp_path):
    report = runs.read_report(write(tmp_path / "run", record(0, 4)))
    continuous, discrete = report.tables
    assert (continuous.title, discrete.title) == (
        "What the encodings predict: R²",
        "What the encodings predict: accuracy",
    )
    assert [row[0].face for row in continuous.rows] == ["italic", ""]
    assert [row[0].face for row in discrete.rows] == ["bold", ""]
    assert tuple(map(str, continuous.rows[0])) == (
        "color",
        "0.40 [0.00, 1.00]",
        "0.40 [0.00, 1.00]",
        "0.89",
        "0.20",
    )
    assert discrete.rows[0][3] == "–"
    for part in ("image encoding", "| **shape** |", "| *color* |", "| alpharot |"):
        assert part in report.markdown()


def test_the_effect_of_batch_norm_in_training_mode_is_reported(tmp_path):
    other = [
        {**p, "score": p["score"] - 0.2 * (p["target"] == "text_phrasing")} for p in record(0, 4)["probes"]
    ]
    report = runs.read_report(write(tmp_path / "run", record(0, 4, probes_train_mode=other)))
    assert len(report.tables) == 4
    assert "change by -0.05 on average, most for text phrasing (-0.20)" in report.notes[0].replace("−", "-")


@pytest.fixture
def sweep(tmp_path):
    sizes = (2, 3, 5)
    cells = [{"name": f"encoding_size{size}", "values": {"encoding_size": size}} for size in sizes]
    table = {
        "format": 1,
        "name": "f",
        "title": "Factors",
        "preset": "quick",
        "report": "factors",
        "kind": "image-text",
    }
    config.write_toml(
        tmp_path / "sweep.toml", {**table, "x": "encoding_size", "seeds": SEEDS, "cells": cells}
    )
    for size in sizes:
        for seed in SEEDS:
            write(run_folder(tmp_path, f"encoding_size{size}", seed), record(seed, size))
    return tmp_path


def test_a_sweep_shows_each_view_its_own_factors_over_the_encoding_size(sweep):
    report = runs.read_report(sweep)
    image, text = report.tables
    assert list(image.columns) == ["shape", "color", "alpharot"]
    assert list(text.columns) == ["shape", "text phrasing"]
    shapes = image.columns["shape"]
    assert [entry.mean for entry in shapes] == pytest.approx([0.51, 0.61, 0.81])
    assert [entry.sd for entry in shapes] == pytest.approx([0.02 / 2**0.5] * 3)
    header, *rows = report.csv().splitlines()
    assert len(rows) == 3 * (3 + 2)
    assert "encoding_size" in header


def test_without_a_value_along_which_cells_lie_they_stand_side_by_side(sweep):
    table = config.read_toml(sweep / "sweep.toml")
    del table["x"]
    (sweep / "sweep.toml").write_text("")
    config.write_toml(sweep / "sweep.toml", table)
    report = runs.read_report(sweep)
    image, text = report.tables
    assert len(report.csv().splitlines()) == 1 + 3 * (3 + 2)
    assert [str(row[0]).strip("*") for row in image.rows] == [
        "shape (accuracy)",
        "color (R²)",
        "alpharot (R²)",
    ]
    assert len(text.rows) == 2
    shapes = image.rows[0]
    assert shapes[1:4] == ("0.51 ± 0.01", "0.61 ± 0.01", "0.81 ± 0.01")
    assert image.rows[1][4] == "0.89"  # what content alone tells of style


def test_figures_are_drawn_with_content_bold_and_style_italic(sweep, tmp_path):
    report = runs.read_report(sweep)
    names = {path.name for path in report.write(tmp_path / "out")}
    assert {"factors.png", "factors.svg", "report.md", "table.csv"} <= names
    figure = report.figures["factors"]()
    legend = {text.get_text(): text for text in figure.axes[0].get_legend().get_texts()}
    assert legend["shape (accuracy, chance 0.20)"].get_fontweight() == "bold"
    assert legend["color ($R^2$, from content 0.89)"].get_fontstyle() == "italic"
    assert [line.get_xdata().tolist() for line in figure.axes[0].get_lines()] == [[2.0, 3.0, 5.0]] * 3


def test_titles_of_panels_lie_within_the_figure():
    points = tuple(Point(at=at, value=0.5, low=0.4, high=0.6) for at in (1.0, 2.0))
    series = Series(
        name="color index",
        block="style",
        metric="accuracy",
        note="chance 0.07, from content 0.13",
        points=points,
    )
    panel = Panel(title="(a) Prediction of image factors from image encodings", series=(series,))
    figure = draw_bands([panel, panel], title="Figure 8.3", xlabel="encoding size")
    figure.canvas.draw()
    for ax in figure.axes:
        titles = [text for text in ax.get_children() if getattr(text, "get_text", str)() == panel.title]
        assert len(titles) == 1
        place = titles[0].get_window_extent()
        assert place.x0 >= 0
        assert place.x1 <= figure.bbox.x1
