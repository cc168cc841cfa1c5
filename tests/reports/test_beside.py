"""A sweep's figures beside those of another one: the cells and the seeds that both have."""

from pathlib import Path

import pytest

from conftest import identbox
from identbox.errors import IdentboxError
from identbox.reports import runs
from made_records import SEEDS, probes, run_at, shown, write_run, write_sweep

CAUSAL, PLAIN = {"causal": True, "statistical": False}, {"causal": False, "statistical": False}


def made(folder, cells, style, seeds=SEEDS):
    """A sweep whose runs have these scores of style, 0.01 higher for each seed."""
    path = write_sweep(folder, cells)
    for name in cells:
        for seed in seeds:
            write_run(run_at(path, name, seed), seed=seed, scores=probes(0.9, style + 0.01 * seed, 0))
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return made(tmp_path / "here", {"plain": PLAIN, "causal": CAUSAL}, 0.2)


def test_cells_of_the_same_values_stand_side_by_side(here, tmp_path):
    there = made(tmp_path / "there", {"other name": {"causal": True}}, 0.5)
    alone, both = runs.read_report(here), runs.read_report(here, [there])
    assert len(both.tables) == len(alone.tables) + 1
    table = both.tables[-1]
    assert len(table.rows) == 1  # the plain cell has no partner
    own, other = table.rows[0][4:6]
    assert (own, other) == ("0.22 ± 0.01", "0.52 ± 0.01")  # of both views, and of seeds 0, 1 and 2
    assert shown(both)


def test_only_seeds_that_both_have_count(here, tmp_path):
    there = made(tmp_path / "there", {"causal": CAUSAL}, 0.5, seeds=SEEDS[:1])
    row = runs.read_report(here, [there]).tables[-1].rows[0]
    assert row[1] == "0"
    assert row[4:6] == ("0.21", "0.51")


def test_sweeps_that_do_not_fit(here, tmp_path):
    with pytest.raises(IdentboxError, match="--beside: .*: expected a folder with sweep.toml, got none"):
        runs.read_report(here, [tmp_path])
    other = made(tmp_path / "other", {"x": {"setting": "multiview"}}, 0.5)
    with pytest.raises(IdentboxError, match="expected a cell with the values of one here, got none"):
        runs.read_report(here, [other])
    with pytest.raises(IdentboxError, match="--beside: expected a sweep that it stands beside, got"):
        runs.read_report(run_at(here, "plain", 0), [here])
    done = identbox("report", here, "--beside", tmp_path / "none")
    assert done.returncode == 1
    assert "expected a folder with sweep.toml" in done.stderr
