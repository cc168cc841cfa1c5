import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from identbox import config, files, texts
from identbox.experiments import records, sweeps
from identbox.process.presets import numerical_simulation
from identbox.process.tables import table_from_process
from identbox.reports import runs, statistics
from made_records import (
    ROWS,
    SEEDS,
    bent,
    check_files,
    lines_of,
    probe,
    probes,
    run_at,
    score,
    shown,
    write_losses,
    write_run,
    write_sweep,
)


def test_mean_deviation_and_interval_are_those_of_numpy_and_scipy(table: Path):
    rows = {(row["cell"], row["target"]): row for row in lines_of(runs.read_report(table))}
    names = [f"{s}-{p}" for s in ("multiview", "multimodal") for p in range(3)]
    for number, name in enumerate(names):
        for place, target in enumerate(("content", "style", "modality")):
            if number < 3 and target == "modality":
                assert (name, target) not in rows
                continue
            row = rows[name, target]
            seeds = [s for s in SEEDS if number != 4 and (number, s) != (5, 1)]
            assert int(row["seeds"]) == len(seeds)
            if not seeds:
                assert row["mean"] == row["sd"] == row["ci_low"] == ""
                continue
            values = np.array([score(number, s, place) + 0.01 for s in seeds])  # the mean of two views
            mean, sd = values.mean(), values.std(ddof=1)
            interval = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
            found = [float(row[key]) for key in ("mean", "sd", "ci_low", "ci_high")]
            np.testing.assert_allclose(found, [mean, sd, *interval], rtol=1e-9, atol=1e-12)


def beside_optimum(trained: float | None, views: int = 2) -> dict:
    """An optimum of a record: alignment and entropies of a run of that distance from it; None: encodings with atoms."""
    entropies = [None if trained is None else 0.25 - trained] * views
    return {
        "trained": {"alignment": 0.25, "entropies": entropies, "error": 0.01},
        "oracle": {"alignment": 0.0, "entropies": [0.0] * views, "error": 0.01},
    }


def test_a_table_says_which_runs_have_converged(tmp_path: Path):
    path = write_sweep(
        tmp_path, {"near": {"causal": False}, "far": {"causal": True}, "old": {"setting": "x"}}
    )
    for seed in SEEDS:
        write_run(
            run_at(path, "near", seed), seed=seed, scores=probes(1, 0), optimum=beside_optimum(0.02 * seed)
        )
        far = beside_optimum([0.5, None, 0.099][seed])
        write_run(run_at(path, "far", seed), seed=seed, scores=probes(1, 0), optimum=far)
        write_run(run_at(path, "old", seed), seed=seed, scores=probes(1, 0), optimum="discrete content")
    report = runs.read_report(path)
    text = report.markdown()
    assert "| 3 of 3 | 0.000 | 0.040 |  |" in text
    assert "| 1 of 3 | 0.099 | inf | 1 (inf), 0 (0.50) |" in text
    assert "4 of 6 runs are within 0.1 nats of the minimum of Eq. 8.9." in text
    assert "as they are" not in text
    shown(report)


def test_a_table_names_distances_of_encodings_that_the_objective_would_whiten(tmp_path: Path):
    path = write_sweep(tmp_path, {"as they are": {"causal": False}, "whitened": {"causal": True}})
    for seed in SEEDS:
        for cell in ("as they are", "whitened"):
            write_run(
                run_at(path, cell, seed),
                seed=seed,
                scores=probes(1, 0),
                optimum=beside_optimum(0.02) | ({"whitened": True} if cell == "whitened" else {}),
                config={"process": {"content": 5}, "objective": {"encodings": "whitened"}},
            )
    text = runs.read_report(path).markdown()
    assert "In 3 of 6 runs the distance is that of encodings as they are" in text


def test_published_scores_above_every_ceiling_are_named(tmp_path: Path):
    # Independent latents: content allows nothing of style, and 0.52 is published with statistical dependence.
    values = {"setting": "multiview", "change_probability": 0.75, "statistical": True, "causal": False}
    path = write_sweep(tmp_path, {"cell": values}, published="table_8_1.csv")
    process = table_from_process(numerical_simulation(content=1, style=1, specific=1).realise(seed=0))
    for seed in SEEDS:
        scores = probes(1, 0.1)
        write_run(run_at(path, "cell", seed), seed=seed, scores=scores, process=config.toml_values(process))
    text = runs.read_report(path).markdown()
    assert "The published style of 0.52" in text
    assert "content alone allows here: 0.00 in the best of 3 seeds." in text
    assert "The published content" not in text


def test_differences_from_the_published_figures(table: Path):
    rows = {(row["cell"], row["target"]): row for row in lines_of(runs.read_report(table))}
    row = rows["multiview-2", "style"]
    assert (float(row["published"]), float(row["published_sd"])) == (0.81, 0.04)
    expected = np.mean([score(2, s, 1) + 0.01 for s in SEEDS]) - 0.81
    assert float(row["difference"]) == pytest.approx(expected, rel=1e-9)
    assert f"{expected:+.2f}" in runs.read_report(table).markdown()
    assert rows["multimodal-1", "style"]["published"] == "0.56"
    assert rows["multimodal-1", "style"]["difference"] == ""


def test_a_report_names_the_seeds_that_are_missing(table: Path):
    report = runs.read_report(table)
    for text in (report.markdown(), shown(report, 200)):
        assert "14 of 18 runs finished; missing: " in text
        assert "2 of 3" in text
    assert "multimodal-2-seed1" in shown(report, 200)
    row = next(line for line in report.markdown().splitlines() if "| 0.56 ± 0.23 |" in line)
    assert row.count("| – |") + row.count("– | –") >= 3
    assert "preset quick" in report.markdown()


def test_small_negative_scores_are_zero_in_tables_and_themselves_in_csv(tmp_path: Path):
    folder = write_sweep(tmp_path, {"one": {"causal": False}})
    for seed in SEEDS:
        found = [probe(view, "style", -0.001 * (seed + 1)) for view in "12"]
        write_run(run_at(folder, "one", seed), seed=seed, scores=found)
    report = runs.read_report(folder)
    assert "0.00 ± 0.00 [0.00, 0.00]" in report.markdown()
    assert "-0.00" not in report.markdown() + shown(report)
    (row,) = lines_of(report)
    assert [row["mean"], row["seed_0"]] == ["-0.002", "-0.001"]


@pytest.mark.parametrize(
    ("x", "text"), [(-0.004, "0.00"), (-0.0, "0.00"), (-0.006, "-0.01"), (0.994999, "0.99")]
)
def test_numbers_have_fixed_digits_and_no_negative_zero(x: float, text: str):
    assert texts.fixed_digits(x) == text
    assert texts.fixed_digits(x, sign=True).lstrip("+") == text


def test_the_terminal_table_fits_eighty_characters_without_a_cut(table: Path):
    text = shown(runs.read_report(table))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_parts_have_their_columns(table: Path):
    multiview, multimodal = runs.read_report(table).tables
    assert list(multiview.columns) == ["content", "style"]
    assert list(multimodal.columns) == ["content", "style", "modality"]
    assert list(multimodal.labels) == ["p(chg.)", "Stat.", "Cau."]


def test_files_are_the_same_bytes_each_time(table: Path, tmp_path: Path):
    for name in ("one", "two"):
        check_files(runs.read_report(table), tmp_path / name, "comparison")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_report_of_interventions(tmp_path: Path):
    cells = {
        str(place): {"change_probability": p, "statistical": s, "causal": c}
        for place, (p, s, c) in enumerate(ROWS)
    }
    folder = write_sweep(
        tmp_path / "a6", cells, report="interventions", published="figure_a6.csv", preset="thesis"
    )
    for place, name in enumerate(cells):
        for seed in SEEDS:
            found = probes(0.98, 0.4, 0.0)
            found += probes(0.1 * place + 0.01 * seed, 0.2, 0.0, intervention="content")
            found += [probe(view, "content'", 0.9, intervention="content") for view in "12"]
            found += probes(0.97, 0.3, 0.0, intervention="style")
            found += [probe(view, "style'", 0.05, intervention="style") for view in "12"]
            write_run(run_at(folder, name, seed), seed=seed, scores=found)
    report = runs.read_report(folder)
    first, *matrices = report.tables
    assert list(first.columns) == ["content c", "content c'", "style s", "modality m"]
    rows = {(row["cell"], row["intervention"], row["target"]): row for row in lines_of(report)}
    row = rows["2", "content", "content"]
    assert float(row["mean"]) == pytest.approx(0.22)
    assert float(row["sd"]) == pytest.approx(0.01)
    assert float(row["difference"]) == pytest.approx(0.22 - 0.28)
    assert float(rows["2", "content", "content'"]["difference"]) == pytest.approx(0.9 - 0.91)
    assert rows["2", "", "content"]["published"] == ""
    assert len(matrices) == len(cells)
    assert tuple(map(str, matrices[2].columns)) == (
        "permuted",
        "content",
        "content'",
        "style",
        "style'",
        "modality",
    )
    assert matrices[2].rows == (
        ("none", "0.99", "–", "0.41", "–", "0.01"),
        ("content", "0.22", "0.90", "0.21", "–", "0.01"),
        ("style", "0.98", "–", "0.31", "0.05", "0.01"),
        ("modality", "–", "–", "–", "–", "–"),
    )
    assert "preset quick" not in report.markdown()
    assert "…" not in shown(report)
    check_files(report, tmp_path / "out", "comparison")


def test_a_report_of_lines(tmp_path: Path):
    cells = {f"{d}-{k}": {"discrete": d, "classes": k} for d in ("style", "content") for k in (3, 10, 4)}
    folder = write_sweep(tmp_path / "a5", cells, report="lines", x="classes", panel="discrete")
    for name, values in cells.items():
        for seed in SEEDS[:2] if name == "style-4" else SEEDS:
            found = [
                {**p, "metric": "accuracy", "chance": 1 / values["classes"]}
                | ({} if p["probe"] == "linear" else {"probe": "mlp"})
                if p["target"] == values["discrete"]
                else p
                for p in probes(0.95, 0.3, 0.0)
            ]
            write_run(run_at(folder, name, seed), seed=seed, scores=found)
    report = runs.read_report(folder)
    style, content = report.tables
    assert (style.title, content.title) == ("discrete style", "discrete content")
    assert list(style.columns) == ["content", "style (accuracy)", "modality"]
    assert list(content.columns) == ["content (accuracy)", "style", "modality"]
    assert style.labels == {
        "number of classes": ["3", "4", "10"],
        "chance of style": ["0.33", "0.25", "0.10"],
    }
    assert "(2 of 3)" in report.markdown()
    assert "missing: style-4-seed2." in report.markdown()
    assert "…" not in shown(report)
    check_files(report, tmp_path / "out", "lines")
    figure = report.figures["lines"]()
    assert [ax.get_title() for ax in figure.axes] == ["(a) discrete style", "(b) discrete content"]
    chance = next(
        line for line in figure.axes[0].lines if line.get_linestyle() == ":" and max(line.get_ydata())
    )
    np.testing.assert_allclose(chance.get_xydata(), [[3, 1 / 3], [4, 1 / 4], [10, 1 / 10]])
    legend = figure.legends[0].get_texts()
    assert [text.get_text() for text in legend] == ["content", "style", "modality", "chance"]
    assert (legend[0].get_fontweight(), legend[1].get_fontstyle()) == ("bold", "italic")


def test_a_report_of_an_elbow(tmp_path: Path):
    losses = bent(9)
    report = runs.read_report(write_losses(tmp_path / "e", losses))
    assert report.notes == (
        "Estimated number of content factors: 5 (95% interval 5 to 5; by seed: 5 in 3 of 3). "
        "The true number is 5.",
    )
    rows = {(row["cell"], row["target"]): row for row in lines_of(report)}
    assert float(rows["size3", "validation"]["mean"]) == pytest.approx(losses[:, 2].mean())
    assert float(rows["size3", "training"]["sd"]) == pytest.approx(losses[:, 2].std(ddof=1))
    check_files(report, tmp_path / "out", "elbow")


@pytest.mark.parametrize(
    ("sizes", "holes", "text"),
    [
        (9, [(1, 4)], "5 (95% interval 5 to 5; by seed: 5 in 2 of 2), from 2 of 3 seeds"),
        (
            9,
            [(0, 0), (1, 4), (2, 7)],
            "needs a seed of which the runs of all sizes are finished, there is none",
        ),
        (3, [], "needs at least 4 sizes, there are 3"),
    ],
)
def test_an_estimate_needs_whole_curves(tmp_path: Path, sizes: int, holes: list[tuple[int, int]], text: str):
    losses = bent(sizes)
    for hole in holes:
        losses[hole] = math.nan
    report = runs.read_report(write_losses(tmp_path / "e", losses))
    assert text in report.notes[0]
    check_files(report, tmp_path / "out", "elbow")


def test_a_report_of_a_run(tmp_path: Path):
    found = probes(0.98, 0.4, -0.001) + probes(0.1, 0.2, 0.0, intervention="content")
    found += [probe(view, "content'", 0.9, intervention="content") for view in "12"]
    write_run(tmp_path / "run", scores=found)
    report = runs.read_report(tmp_path / "run")
    predicted, matrix = report.tables
    assert predicted.rows[0] == (*("content", "1", "R²", "1.00", "[0.99, 1.01]", "-5.00", "0.00"),)
    assert len(predicted.rows) == 8
    assert matrix.rows[1][:3] == ("content", "0.11", "0.90")
    text = report.markdown()
    for part in ("train 1.2000, validation 1.2500, chance 8.7000", "5,000 steps", "1.3 min", "A processor"):
        assert part in text
    assert len(lines_of(report)) == len(found)
    assert "…" not in shown(report)
    check_files(report, tmp_path / "out", "probes")


def test_roles_come_from_the_process_of_the_record(tmp_path: Path):
    """A process of one's own: two variables of content, and one of each view's own."""
    variables = {
        "shape": {"role": "content", "distribution": "categorical"},
        "place": {"role": "content", "distribution": "normal", "dim": 3},
        "hue": {"role": "style", "distribution": "normal"},
        "light": {"role": "specific", "view": "image", "distribution": "normal"},
    }
    found = [
        probe(view, target, value)
        for view in ("image", "text")
        for target, value in (("shape", 0.8), ("place", 0.6), ("hue", 0.2), ("light", 0.1))
    ]
    folder = write_sweep(tmp_path / "own", {"one": {}})
    write_run(run_at(folder, "one", 0), scores=found, process={"variables": variables})
    rows = {row["target"]: float(row["mean"]) for row in lines_of(runs.read_report(folder)) if row["mean"]}
    assert rows == pytest.approx({"content": 0.7, "style": 0.2, "modality": 0.1})
    assert records.read_run(run_at(folder, "one", 0) / "results.json").content == 4


def test_a_sweep_without_a_finished_run_has_a_report(tmp_path: Path):
    report = runs.read_report(write_sweep(tmp_path / "none", {"one": {"causal": True}}))
    assert "0 of 3 runs finished" in report.markdown()
    assert [path.name for path in report.write(tmp_path / "out")] == ["report.md", "table.csv"]
    assert "–" in shown(report)


def test_published_files_carry_the_figures_of_the_thesis():
    folder = files.packaged("simulations") / "published"
    for name, number, rows in (("table_8_1.csv", "Table 8.1", 10), ("figure_a6.csv", "Figure A.6", 5)):
        first, *lines = (folder / name).read_text().splitlines()
        assert first.startswith(f"# source: {number} of I. Daunhawer")
        assert "Multimodal Representation Learning under Weak Supervision" in first
        found = statistics.read_published(name)
        assert len(found.rows) == len(lines) - 1 == rows
    values = {"setting": "multimodal", "change_probability": 0.75, "statistical": True, "causal": True}
    table = statistics.read_published("table_8_1.csv")
    assert table.of(values) == {"content": (0.95, 0.03), "style": (0.89, 0.07), "modality": (0.0, 0.0)}
    assert table.of({**values, "change_probability": 0.5}) == {}
    values.pop("setting")
    assert table.of(values) == {}
    assert statistics.read_published("figure_a6.csv").of(values)["content'"] == (0.91, 0.03)


def test_sweeps_write_what_reports_read(tmp_path: Path):
    for path in sorted(files.packaged("simulations").glob("*.toml")):
        if "report" not in config.read_toml(path):
            continue
        folder = tmp_path / path.stem
        sweep = sweeps.read_sweep_file(path, "quick")
        sweep.claim(folder)
        report = runs.read_report(folder)
        assert f"0 of {len(list(sweep.runs()))} runs finished" in report.markdown()
        cell, seed = next(sweep.runs())
        write_run(records.run_folder(folder, cell.name, seed), seed=seed, scores=probes(0.9, 0.1, 0.0))
        assert "1 of " in runs.read_report(folder).markdown()
    assert (records.SWEEP, records.run_folder(folder, "cell", 0).parent.name) == (records.SWEEP, records.RUNS)
    assert (records.RESULTS, records.RUN_FORMAT) == (records.RESULTS, records.RUN_FORMAT)


def test_reports_of_simulations_load_no_torch():
    code = "import identbox.reports.runs, sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
