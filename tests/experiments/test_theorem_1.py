"""Theorem 1 case by case: findings, files of the user's own, and the command."""

import csv
import dataclasses
import json
from dataclasses import replace

import pytest

from conftest import ROOT, identbox
from identbox.errors import IdentboxError
from identbox.experiments import theorem_1
from identbox.experiments.theorem_1 import Case
from identbox.identifiability.discrepancy import GapBounds, gap_bounds
from identbox.reports import theorem_1 as reports

PROBLEMS = ROOT / "simulations" / "theorem_1"
RESULTS = ROOT / "simulations" / "results" / "theorem_1" / "theorem_1.json"
OWN = """
[modalities]
image = ["pixel_1", "pixel_2"]
text = ["word"]

[variables.word]
classes = 2
[variables.pixel_1]
copy_of = "word"
flip = 0.2
[variables.pixel_2]
copy_of = "pixel_1"

[models.mine]
subsets = [["text"], ["image", "text"]]
weights = [0.75, 0.25]
"""
QUICK = (
    "--set",
    "search.restarts=2",
    "--set",
    "search.steps=30",
    "--set",
    "search.polish_steps=50",
    "--set",
    "search.polished=1",
)


def case(**changes):
    bounds = GapBounds(low=0.1, high=0.3, delta=0.5, correlation=0.3, weights_entropy=0.7)
    made = Case(process="p", model="m", subsets="", decoder="full", objective="5.18", bounds=bounds, gap=0.2)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("gap", "delta", "printed"),
    [
        (0.2, 0.5, "refuted"),
        (0.2, 0.2 + 1e-12, "holds (not beaten)"),
        (0.2, 0.15, "holds (not beaten)"),
        (0.2, 0.1, "holds (proved)"),
        (0.6, 0.5, "refuted"),  # the upper bound is known to be approached
        (None, 0.2, "undecided"),
        (None, 0.31, "refuted"),
    ],
)
def test_a_statement_is_refuted_by_a_smaller_gap_and_proved_by_a_larger_bound(gap, delta, printed):
    made = case(gap=gap)
    assert replace(made, bounds=replace(made.bounds, delta=delta)).printed == printed


def test_a_gap_below_what_is_proved_refutes_the_proof():
    assert case(gap=0.1 - 1e-6).corrected == "refuted"
    assert case(gap=0.1 - 1e-12).corrected == "holds (proved)"
    assert case(gap=None).corrected == "not measured"
    assert case().correlation == "refuted"
    refuting = reports.summary([case(gap=0.0)])
    assert (refuting.rows[0][3].text, refuting.rows[0][3].state) == ("1", "bad")
    assert reports.gap_headline([case(gap=0.0), case()]).endswith("1 gap below the corrected bound")


@pytest.mark.parametrize("modalities", [1, 2, 4])
def test_usual_models_are_the_named_ones(modalities):
    models = theorem_1.usual_models(modalities)
    assert list(models) == ["MVAE", "MMVAE", "MoPoE-VAE", "first alone", "mostly all"]
    assert len(models["MoPoE-VAE"]) == 2**modalities - 1
    assert sum(models["mostly all"].weights) == pytest.approx(1)


def test_families_that_are_the_same_on_a_law_are_one():
    names = {one.law.name: list(theorem_1.families(one.law)) for one in theorem_1.read_problems(PROBLEMS)}
    assert names["two_bits"] == ["any"]
    assert names["table"] == ["factorised", "autoregressive/full"]
    assert names["chain"] == ["factorised", "autoregressive", "full"]


def test_at_least_twelve_discrete_processes_of_two_to_four_modalities_come_with_identbox():
    problems = [one for one in theorem_1.read_problems(PROBLEMS) if hasattr(one.law, "joint")]
    assert len(problems) >= 12
    assert {len(one.law.blocks) for one in problems} == {2, 3, 4}
    assert all(one.law.description for one in problems)


def test_the_committed_table_has_every_case_and_its_findings_follow_from_its_numbers():
    record = json.loads(RESULTS.read_text())
    problems = theorem_1.read_problems(PROBLEMS)
    assert len(record["cases"]) == theorem_1.count_cases(problems)
    printed = 0
    for row in record["cases"]:
        found = row.pop("found")
        trained = row.pop("trained")
        made = Case(**{**row, "bounds": GapBounds(**row["bounds"])})
        assert found == {k: getattr(made, k) for k in ("printed", "corrected", "correlation")}
        assert found["corrected"] != "refuted"
        if trained is not None:  # below what was found it would show that the search missed a better model
            least = made.bounds.low if made.gap is None else made.gap
            assert trained["gap"] > least - 4 * trained["error"] - 1e-5
        printed += found["printed"] == "refuted"
    assert printed >= 3


def test_bounds_in_the_committed_table_are_those_of_this_version():
    problems = {one.law.name: one for one in theorem_1.read_problems(PROBLEMS)}
    for row in json.loads(RESULTS.read_text())["cases"]:
        problem = problems[row["process"]]
        decoder = theorem_1.families(problem.law)[row["decoder"]]
        bounds = gap_bounds(problem.law, problem.models[row["model"]], decoder, row["objective"])
        assert dataclasses.asdict(bounds) == pytest.approx(row["bounds"], abs=1e-9)


def test_the_command_measures_a_file_of_the_users_own(tmp_path):
    file, out = tmp_path / "own.toml", tmp_path / "out"
    file.write_text(OWN)
    done = identbox("verify", "--theorem", 1, "--process", file, *QUICK, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Of 24 cases, " in done.stdout
    assert sorted(path.suffix for path in out.iterdir()) == [".csv", ".html", ".json", ".md"]
    rows = list(csv.DictReader((out / "theorem_1.csv").open()))
    mine = [row for row in rows if row["model"] == "mine"]
    assert {row["subsets"] for row in mine} == {"text 0.75, image+text 0.25"}
    factorised = next(row for row in mine if (row["decoder"], row["objective"]) == ("factorised", "5.18"))
    assert float(factorised["Δ"]) == pytest.approx(0.75 * 0.5004, abs=1e-4)
    assert float(factorised["Σ w T"]) == pytest.approx(0.75 * 0.5004, abs=1e-4)
    record = json.loads((out / "theorem_1.json").read_text())
    assert record["measurement"]["search"]["restarts"] == 2


def test_a_law_without_states_gets_bounds_alone():
    done = identbox("verify", "--theorem", 1, "--process", PROBLEMS / "gaussian.toml")
    assert done.returncode == 0, done.stderr
    assert "Of 20 cases, 12 refute (7.5) as printed; no gaps below the corrected bound" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "quick"), "--preset: expected it with --theorem 2 alone, got --theorem 1"),
        (("run",), "paths: expected it with --theorem 2 alone, got --theorem 1"),
        (("--process", "none.toml"), "none.toml: expected a TOML file, got No such file or directory"),
        (("--set", "search.latent=3"), "--set: search: expected keys among latents, restarts"),
        (("--set", "search.restarts=0"), "--set: search.restarts: expected at least 1, got 0"),
    ],
)
def test_a_mistake_gets_one_line(options, message):
    done = identbox("verify", "--theorem", 1, *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("[models]\nmine = 3", "models.mine: expected a table, got 3"),
        (
            '[models.mine]\nsubsets = [["x9"]]',
            "models.mine: subsets[0]: expected modalities among x1, x2; got x9",
        ),
        (
            "[models.mine]\nsubsets = [[]]",
            "models.mine: subsets[0]: expected at least one modality, got none",
        ),
        (
            '[models.mine]\nsubsets = [["x1"]]\nweights = [0.5]',
            "models.mine: weights: expected a sum of 1, got 0.5",
        ),
    ],
)
def test_a_mistake_in_a_model_is_named(tmp_path, own, message):
    file = tmp_path / "own.toml"
    file.write_text((PROBLEMS / "two_bits.toml").read_text() + own)
    with pytest.raises(IdentboxError) as error:
        theorem_1.read_problem(file)
    assert str(error.value) == f"{file}: {message}"


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(IdentboxError, match="expected a TOML file or a folder of them, got an empty folder"):
        theorem_1.read_problems(tmp_path)
