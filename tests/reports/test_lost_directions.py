"""Means of content that hide a lost direction, in the reports of sweeps."""

import json

import pytest

from identbox import files
from identbox.experiments.records import read_run
from identbox.process import presets
from identbox.process.tables import table_from_process
from identbox.reports import runs
from made_records import ROWS, SEEDS, probes, run_at, write_run, write_sweep

TITLE = "Content: mean R² of its components, R² of its worst direction"


def measures(*recoveries: float) -> list[dict]:
    """Of two views, with a leak beside each, which does not count."""
    found = []
    for view, value in zip("12", recoveries, strict=True):
        found.append({"view": view, "quantity": "recovery", "value": value})
        found.append({"view": view, "quantity": "leak", "value": 0.0})
    return [{"block": ["content"], "measures": found}]


@pytest.fixture
def sweep(tmp_path):
    """The multi-view rows of Table 8.1; the first has no measures, and the last no finished run."""
    cells = {
        str(place): {
            "setting": "multiview",
            "change_probability": p,
            "statistical": statistical,
            "causal": causal,
        }
        for place, (p, statistical, causal) in enumerate([*ROWS, (0.75, False, True)])
    }
    write_sweep(tmp_path, cells, published="table_8_1.csv")
    for number, (name, values) in enumerate(cells.items()):
        row = {key: value for key, value in values.items() if key != "setting"}
        process = presets.numerical_simulation(content=5, style=5, **row)
        for seed in SEEDS if number < 3 else ():
            recorded = {"identification": measures(0.5, 0.1 * (seed + number))} if number else {}
            run = run_at(tmp_path, name, seed)
            table = table_from_process(process)
            write_run(run, seed=seed, scores=probes(0.97, 0.3), process=table, **recorded)
    return tmp_path


def test_the_report_has_the_worst_direction_and_what_its_loss_would_cost(sweep):
    report = runs.read_report(sweep)
    text = report.markdown()
    (section,) = [part for part in text.split("\n## ") if part.startswith(TITLE)]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if "| 0.75 |" in line
    ]
    assert [row[-3:-1] for row in rows] == [["0.98", "0.10 to 0.30"], ["0.98", "0.20 to 0.40"]]
    for row in rows:  # three covariances of a Wishart distribution in five dimensions
        assert all(0.9 < float(cost) <= 1 for cost in row[-1].split(" to "))


def test_published_content_that_could_lack_a_direction_is_named(sweep):
    (note,) = [line for line in runs.read_report(sweep).markdown().splitlines() if "lack a direction" in line]
    # Uncorrelated components, of which a lost direction costs a fifth, are not in it.
    assert (
        "0.99 (setting multiview, p(chg.) 0.75, Stat.) and 0.99 (setting multiview, p(chg.) 0.75, Stat., Cau.)"
        in note
    )
    assert "p(chg.) 1.0" not in note


@pytest.mark.parametrize(
    "damaged", [None, "x", [{}], [{"measures": [{"quantity": "recovery"}]}], [{"measures": 3}]]
)
def test_a_run_without_whole_measures_has_no_worst_direction(sweep, damaged):
    path = run_at(sweep, "1", 0) / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "identification": damaged}))
    assert read_run(path).recovery is None
    assert TITLE in runs.read_report(sweep).markdown()


def test_committed_runs_of_statistical_dependence_have_lost_a_direction():
    folder = files.packaged("simulations") / "results" / "table_8_1-gpu" / "runs"
    run = read_run(folder / "change_probability0.75-statistical-multiview-seed0" / "results.json")
    assert run.scores(None)["content", "r2"][0] > 0.98
    assert run.recovery < 0.2
