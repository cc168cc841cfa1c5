"""Reports of what multimodal VAEs generate, from records made by hand."""

import json
from pathlib import Path

import pytest

from identbox import config
from identbox.experiments.records import read_run, run_of
from identbox.reports import runs as reports
from identbox.reports.generation import coherence_of, frontier, probe_of, specific_of
from identbox.reports.generation_figures import FrontierPoint

NAMES = ["m0", "m1", "m2"]


def probe(view, score, kind="linear", role="content"):
    ends = {"low": score, "high": score, "chance": 0.1, "components": []}
    return {
        "view": view,
        "target": "digit",
        "role": role,
        "probe": kind,
        "metric": "accuracy",
        "score": score,
        **ends,
    }


def made(given, name, score, samples=100):
    return {
        "factor": "digit", "given": given, "made": name, "metric": "accuracy", "score": score, "error": 0.01,
        "ceiling": 0.98, "samples": samples,
    }  # fmt: skip


def distance(given, name, value):
    one = {"features": "Frechet distance (classifier features)", "samples": 100, "real": 100}
    return {"given": given, "made": name, "distance": value, **one}


def record(seed, *, level, quality, specific=0.5, likelihood=-100.0, likelihoods=True):
    pairs = [(a, b) for a in NAMES for b in NAMES if a != b]
    by_inputs = [{"inputs": NAMES[:k], "mean": likelihood - 3 + k} for k in (1, 2, 3) if likelihoods]
    return {
        "format": 1, "kind": "generative", "identbox": "0", "seed": seed, "config": {}, "steps": 10, "seconds": 1.0,
        "versions": {"torch": "2", "python": "3"}, "machine": {"cpu": "x", "threads": 1}, "losses": {"train": 1.0},
        "process": {"variables": {"digit": {"role": "content"}}},
        "dataset": {"modalities": NAMES, "train": 8000},
        "probes": [probe(name, level) for name in NAMES],
        "probes_subsets": [
            probe("m0+m1", level + 0.1), probe("m0+m1+m2", level + 0.1), probe("m0, specific", specific),
        ],
        "coherence": [
            *(made([a], b, level) for a, b in pairs),
            *(made([n for n in NAMES if n != b], b, level + 0.2) for b in NAMES),
        ],
        "coherence_unconditional": [made([], "m0+m1+m2", level / 2)],
        "reconstruction": [made(["m0"], "m0", 0.9)],
        "frechet": [distance([a], b, quality) for a, b in pairs],
        "frechet_unconditional": [distance([], name, 2 * quality + k) for k, name in enumerate(NAMES)],
        "likelihood": [
            {"what": "log p(m0, m1, m2) by x", "mean": likelihood, "error": 0.1, "least_effective": 40.0, "samples": 64,
             "too_few_samples": 0, "data": 16},
        ],
        "likelihood_by_inputs": by_inputs,
    }  # fmt: skip


def write_sweep(folder, report, cells, x=None, published=None):
    """A sweep of two seeds; ``cells`` has the values of each cell, and what its record is made of."""
    table = {
        "format": 1, "name": "s", "title": "Sweep", "preset": "quick", "report": report, "kind": "generative",
        "seeds": [0, 1], "x": x, "published": published,
        "cells": [{"name": name, "values": values} for name, (values, _) in cells.items()],
    }  # fmt: skip
    folder.mkdir(parents=True)
    config.write_toml(folder / "sweep.toml", table)
    for name, (_, options) in cells.items():
        for seed in (0, 1):
            place = folder / "runs" / f"{name}-seed{seed}"
            place.mkdir(parents=True)
            shifted = {**options, "level": options["level"] + 0.02 * seed}
            (place / "results.json").write_text(json.dumps(record(seed, **shifted)))
    return folder


def test_quantities_are_those_of_the_subsets_of_a_size():
    made_run = record(0, level=0.4, quality=10.0)
    made_run["coherence"][0]["score"], made_run["coherence"][0]["samples"] = 1.0, 500
    made_run["probes"] = [probe("m0", 0.4), probe("m0", 0.99, kind="mlp"), probe("m1", 0.6, role="specific")]
    run = run_of(made_run, Path("record"))
    assert probe_of(run, 1) == 0.4
    assert coherence_of(run, 1) == pytest.approx(
        (500 * 1 + 5 * 100 * 0.4) / 1000
    )  # over samples, not over pairs
    assert coherence_of(run, 2) == pytest.approx(0.6)
    assert coherence_of(run, 3) is None


def test_a_run_shows_what_it_generates_by_inputs_and_what_it_keeps(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(record(0, level=0.4, quality=10.0)))
    run = read_run(tmp_path / "run" / "results.json")
    assert (probe_of(run, 1), probe_of(run, 2), specific_of(run)) == pytest.approx((0.4, 0.5, 0.5))
    shown = reports.read_report(tmp_path / "run").markdown()
    assert "| 2 | 0.50 | 0.60 | – | -101 |" in shown
    assert "| prior | – | 0.20 | 21.0 | – |" in shown
    assert "| digit | accuracy | 0.90 | 0.98 |" in shown


def test_inputs_are_shown_with_claims_that_hold_and_that_do_not(tmp_path):
    cells = {
        "mvae": ({"model": "mvae"}, {"level": 0.2, "quality": 5.0, "likelihood": -50.0}),
        "mmvae": ({"model": "mmvae"}, {"level": 0.5, "quality": 20.0}),
        "mopoe-vae": ({"model": "mopoe-vae"}, {"level": 0.6, "quality": 25.0}),
    }
    report = reports.read_report(write_sweep(tmp_path / "s", "inputs", cells, published="figure_5_1.csv"))
    shown = report.markdown()
    assert "| mvae | 0.70 | 0.84 | 0.91 | 0.93 | 0.95 | 0.29 | 0.42 | 0.48 | 0.52 |" in shown  # as published
    assert (
        "| MoPoE-VAE is at least as coherent as MMVAE from two views on | 5.3.1 | 0.81 and 0.71 | holds |"
        in shown
    )
    assert "does not change with the number of views | 5.3.1 | 0.51 0.71 | differs |" in shown
    assert (
        "| with one view MoPoE-VAE is as coherent as MMVAE | 5.3.1 | mopoe-vae 0.61, mmvae 0.51 | differs |"
        in shown
    )
    assert (
        "more coherent than MVAE given any number of views | 5.3.1 | 0.61 and 0.21, 0.81 and 0.41 | holds |"
        in shown
    )
    assert "of MMVAE does not change with the number of views | 5.3.1 | -102 -101 -100 | holds |" in shown
    assert '"the probe of MMVAE does not change with the number of views" differs: embeddings here' in shown
    assert '"the log-likelihood of MMVAE' not in shown  # no reason is needed for what holds
    assert "98.0% of real test images" in shown
    assert "not the FID" in shown
    paths = report.write(tmp_path / "out")
    assert {"report.md", "table.csv", "inputs.png", "inputs.svg"} <= {path.name for path in paths}


def test_rows_of_one_model_go_by_what_they_differ_in_and_panels_without_lines_are_left_out(tmp_path):
    cells = {
        f"specific{size}": ({"specific": size}, {"level": 0.4, "quality": size, "likelihoods": False})
        for size in (8, 64)
    }
    report = reports.read_report(write_sweep(tmp_path / "s", "inputs", cells))
    assert "| specific 8 | " in report.markdown()
    assert "specific8" not in report.markdown()
    figure = report.figures["inputs"]()
    assert [ax.get_title() for ax in figure.axes if ax.get_visible()] == [
        "Shared classes read from the embedding",
        "Coherence of the missing modalities",
    ]


def test_over_a_value_there_is_a_line_for_all_else_that_cells_differ_in(tmp_path):
    cells = {
        f"dmvae-specific{size}-delta{delta}": (
            {"model": "dmvae", "specific": size, "delta": delta},
            {"level": 0.1 + size / 100, "quality": delta + 1},
        )
        for size in (8, 32)
        for delta in (10.0, 0.0)
    }
    report = reports.read_report(write_sweep(tmp_path / "s", "generation", cells, x="delta"))
    figure = report.figures["lines"]()
    (ax,) = (ax for ax in figure.axes if ax.get_title() == "pairwise coherence")
    lines = [list(line.get_xdata()) for line in ax.get_lines() if len(line.get_xdata())]
    assert lines == [[0.0, 10.0], [0.0, 10.0]]
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert names == ["dmvae, specific 8", "dmvae, specific 32"]


def test_the_shortcut_is_judged_by_the_probe_of_specific_dimensions(tmp_path):
    cells = {
        f"{model}-{k}": ({"model": model, "specific": k}, {"level": 0.5, "quality": q, "specific": s})
        for model, k, s, q in (("naive-mmvae", 4, 0.3, 9), ("naive-mmvae", 32, 0.7, 9), ("mmvae-plus", 4, 0.2, 5),
                               ("mmvae-plus", 32, 0.25, 5))
    }  # fmt: skip
    shown = reports.read_report(write_sweep(tmp_path / "s", "generation", cells, x="specific")).markdown()
    assert (
        "naive-mmvae 0.50, mmvae-plus 0.23 | holds |" in shown
        or "naive-mmvae 0.50, mmvae-plus 0.22 | holds |" in shown
    )
    assert "encode more of the shared class | 6.2.3 | 0.30 0.70 | holds |" in shown
    assert "number of modalities | 7.3.1" not in shown  # a claim about another x


def point(name, x, y):
    x = float(x)
    ends = {"x_ends": (x, x), "y_ends": (y, y)}
    return FrontierPoint(name=name, model=name, color=0, x=x, y=y, **ends)


def test_the_frontier_has_the_points_that_no_other_beats_in_both():
    points = [
        point("a", 1, 0.2),
        point("b", 2, 0.9),
        point("c", 3, 0.5),
        point("d", 2, 0.8),
        point("e", 1, 0.2),
    ]
    assert [one.name for one in frontier(points)] == ["a", "b", "e"]  # equal points do not beat each other


def test_a_frontier_is_drawn_and_named(tmp_path):
    cells = {
        "mvae": ({"model": "mvae", "beta": 1.0}, {"level": 0.2, "quality": 5.0}),
        "mmvae": ({"model": "mmvae", "beta": 1.0}, {"level": 0.5, "quality": 20.0}),
        "poor": ({"model": "mmvae", "beta": 9.0}, {"level": 0.1, "quality": 30.0}),
    }
    report = reports.read_report(write_sweep(tmp_path / "s", "frontier", cells))
    # of a model with several cells the mean decides, and not the last one
    assert "| MMVAE is more coherent than MVAE | 6.4.1 | mmvae 0.31, mvae 0.21 | holds |" in report.markdown()
    notes = [note for note in report.notes if "frontier" in note]
    assert len(notes) == 2
    assert all("mvae, beta 1.0" in note and "beta 9.0" not in note for note in notes)
    assert {path.name for path in report.write(tmp_path / "out")} >= {"frontier.png", "frontier.svg"}
