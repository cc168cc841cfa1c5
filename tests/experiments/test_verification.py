"""Verdicts on the records of runs, seed by seed, and the command that prints them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hand_made_learners import SMALL, Cheating, Everything, Perfect

from conftest import ROOT
from identbox import config
from identbox.commands import verify as commands
from identbox.commands.main import cli
from identbox.commands.verify import verify_command
from identbox.errors import IdentboxError
from identbox.experiments import controls, optimum, trials, verification
from identbox.experiments import simulation as experiments_simulation
from identbox.experiments.trials import Trial
from identbox.identifiability import controls as planted
from identbox.identifiability import oracle
from identbox.identifiability.margins import Margins
from identbox.jobs import execution
from identbox.metrics import elbow
from identbox.process import presets


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that makes the folder of a finished run of a given learner, each once."""
    base, done = tmp_path_factory.mktemp("runs"), {}

    def make(learner, seed=0, **table):
        key = json.dumps([learner.__name__, seed, table], sort_keys=True)
        if key not in done:
            folder = base / f"{learner.__name__.lower()}{len(done)}-seed{seed}"
            simulation = experiments_simulation.Simulation.from_preset("quick", config.merge(SMALL, table))
            experiments_simulation.run_simulation(simulation, folder, seed=seed, learner_type=learner)
            # Nothing was trained, yet these learners are where training would lead to.
            record = json.loads((folder / "results.json").read_text())
            (folder / "results.json").write_text(json.dumps({**record, "steps": 1}))
            done[key] = folder
        return done[key]

    return make


def judged(*folders, margins=None):
    (item,) = trials.groups([trials.read(folder) for folder in folders]).items()
    return verification.verify_group(*item, margins or Margins())


NEGATIVE = "untrained"  # the control of a verification from nothing
CAUSAL = {"process": {"causal": True, "change_probability": 0.75}}


def test_a_perfect_learner_is_identified_for_each_seed(made):
    group = judged(*(made(Perfect, seed) for seed in range(3)))
    assert group.blocks == [("content",)]
    assert group.found(("content",)) == ["identified"] * 3
    for seed in group.seeds:
        (judgement,) = seed.judgements
        assert judgement.prediction.outcome == "identified"
        assert judgement.came_true is True
        assert [verdict.view for verdict in judgement.verdicts] == ["1", "2"]
    assert group.tally()["came true"] == 3
    assert group.failure is None


def test_one_seed_of_three_that_fails_is_one_of_three(made):
    """No mean over seeds decides: each draws a process of its own."""
    group = judged(made(Perfect, 0), made(Cheating, 1), made(Perfect, 2))
    assert group.found(("content",)) == ["identified", "not identified", "identified"]


def test_scores_stand_beside_their_ceilings(made):
    """A perfect encoder lets style be predicted as far as content tells it."""
    group = judged(made(Perfect, **CAUSAL, probes={"samples": 400}))
    assert group.found(("content",)) == ["identified"]
    (seed,) = group.seeds
    style = {
        c.score.intervention: c for c in seed.scores if c.score.target == "style" and c.score.view == "2"
    }
    assert style[None].score.score > 0.3
    assert style[None].excess == pytest.approx(0.0, abs=0.05)
    assert style["content"].ceiling.score == 0 < style["specific"].ceiling.score


@pytest.mark.parametrize("table", [{}, CAUSAL], ids=["independent", "causal"])
def test_a_learner_that_tells_style_is_not_identified_and_not_at_the_optimum(made, table):
    (seed,) = judged(made(Cheating, **table)).seeds
    (judgement,) = seed.judgements
    assert [verdict.outcome for verdict in judgement.verdicts] == ["not identified"] * 2
    assert judgement.verdicts[0].reasons[0].startswith("leak")
    assert judgement.prediction.outcome is None
    assert "the views differ by" in judgement.prediction.reason


def refuted(trial):
    """The same run with a record that says it had converged."""
    record = json.loads(json.dumps(trial.record))
    best = record["optimum"]
    best["trained"] = best["oracle"]
    return dataclasses.replace(trial, record=record)


def test_a_learner_at_the_optimum_that_tells_style_refutes_the_theorem(made):
    group = verification.verify_group("x", [refuted(trials.read(made(Cheating)))], Margins())
    assert group.seeds[0].judgements[0].came_true is False
    assert group.failure == ("content: identified predicted, not identified found for 1 of 1 seeds (0)")


def test_spare_dimensions_that_hold_style_are_not_identification(made):
    """One dimension more than content: the theorem says nothing, and the verdict is on what is there."""
    group = judged(made(Everything, encoder={"encoding_size": 3}))
    (judgement,) = group.seeds[0].judgements
    assert judgement.prediction.outcome is None
    assert judgement.outcome == "not identified"
    assert group.failure is None  # nothing was predicted


def test_style_that_never_changes_is_content_and_the_prediction_says_so(made):
    table = {"process": {"change_probability": 0.0}, "encoder": {"encoding_size": 3}}
    alone, whole = judged(made(Everything, **table)).seeds[0].judgements
    assert (alone.prediction.block, alone.prediction.outcome) == (("content",), "not identified")
    assert (whole.prediction.block, whole.prediction.outcome) == (("content", "style"), "identified")
    assert [alone.came_true, whole.came_true] == [True, True]
    assert "style never changes" in alone.prediction.reason


def test_a_control_that_is_called_identified_fails(made):
    trial = trials.read(made(Perfect))
    control = dataclasses.replace(trial, record={**trial.record, "control": "untrained"})
    group = verification.verify_group("x", [control], Margins())
    assert group.seeds[0].judgements[0].prediction.outcome == "not identified"
    assert group.failure == "the control untrained is called identified (seeds 0)"


def test_a_verdict_does_not_depend_on_the_checkpoint(made, tmp_path):
    with_checkpoint = made(Perfect)
    shutil.copy(with_checkpoint / "results.json", tmp_path / "results.json")
    (alone,), (whole,) = judged(tmp_path).seeds, judged(with_checkpoint).seeds
    assert alone.judgements == whole.judgements
    assert alone.optimum == whole.optimum
    assert alone.assumptions == whole.assumptions


def test_older_records_are_measured_from_their_checkpoint_or_undecided(made, tmp_path):
    folder = tmp_path / "old-seed0"
    shutil.copytree(made(Perfect), folder)
    record = json.loads((folder / "results.json").read_text())
    for key in ("identification", "assumptions", "optimum"):
        del record[key]
    (folder / "results.json").write_text(json.dumps(record))
    # The checkpoint is that of the encoder beneath, which was never trained.
    assert judged(folder).found(("content",)) == ["not identified"]
    (folder / "checkpoint.pt").unlink()
    (seed,) = judged(folder).seeds
    assert seed.judgements[0].outcome == "undecided"
    assert "averages of scores alone" in seed.judgements[0].verdicts[0].reasons[0]


def test_a_run_stands_beside_the_oracle(made):
    """Its weights come from the checkpoint: those of an untrained encoder, far from the minimum."""
    trial = trials.read(made(Perfect))
    found = optimum.optimum(trial.seed, trial.learner(), samples=1000)
    assert found.oracle.alignment < 1e-9
    assert found.gap > 0.3
    assert found.equal_scale.cost > -3 * found.equal_scale.error


def test_folders_that_are_none(made, tmp_path):
    with pytest.raises(IdentboxError, match="expected the folder of a finished run or of a sweep, got none"):
        trials.find_runs([tmp_path])
    trial = trials.read(made(Perfect))
    with pytest.raises(IdentboxError, match="expected runs of different seeds"):
        trials.groups([trial, trial])
    with pytest.raises(IdentboxError, match="leak: expected a number in"):
        Margins(leak=1.5)


def test_runs_of_a_sweep_come_in_its_order_and_others_after_them(tmp_path):
    shutil.copy(ROOT / "simulations/results/table_8_1a-laptop/sweep.toml", tmp_path)
    declared = ["1.0", "0.75", "0.75-statistical", "0.75-causal", "0.75-statistical-causal"]
    names = [f"multiview-change_probability{cell}-seed{seed}" for cell in declared for seed in (0, 1, 2)]
    for name in (*names, "another-seed0"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "results.json").write_text("{}")
    assert [folder.name for folder in trials.find_runs([tmp_path])] == [*names, "another-seed0"]


def test_the_number_of_content_factors():
    """Losses that fall to four dimensions and are flat from there, of runs that differ in encoding size alone."""
    rng = np.random.default_rng(0)
    process = presets.numerical_simulation(content=4, style=1, specific=0).realise(seed=0)
    trials = [
        Trial(
            folder=Path(),
            record={
                "seed": seed,
                "config": {"encoder": {"encoding_size": size}, "objective": {}},
                "losses": {"validation": 9.0 - 2 * min(size, 4) + 0.02 * rng.standard_normal()},
            },
            probes=(),
            process=process,
        )
        for seed in range(3)
        for size in range(1, 9)
    ]
    found = verification.content_factors(trials)
    assert isinstance(found, elbow.Elbow)
    assert found.size == 4
    assert verification.content_factors(trials[:3]) is None


def test_the_command_passes_and_writes_its_report(made, tmp_path):
    done = CliRunner().invoke(verify_command, [str(made(Perfect)), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "Every prediction came true (1 of 1)" in done.output
    table = json.loads((tmp_path / "verification.json").read_text())
    assert table["passed"] is True
    (group,) = table["groups"]
    (seed,) = group["seeds"]
    assert seed["judgements"][0]["outcome"] == "identified"
    assert seed["optimum"]["oracle"]["alignment"] < 1e-9
    assert table["predictions"] == {
        "came true": 1, "refuted": 0, "undecided": 0, "nothing predicted": 0,
    }  # fmt: skip
    text = (tmp_path / "verification.md").read_text()
    assert "Every prediction came true (1 of 1)." in text
    assert "| smooth, invertible mixing | holds |" in text
    page = (tmp_path / "verification.html").read_text()
    assert "What moves the encodings" in page  # each variable permuted in the run's world
    assert "permute:style" in page


def test_the_command_says_where_nothing_was_predicted(made, tmp_path):
    done = CliRunner().invoke(verify_command, [str(made(Cheating)), "--out", str(tmp_path)])
    assert done.exit_code == 3
    assert "Nothing was predicted of these runs" in done.output


def test_the_command_fails_where_a_prediction_does(made, tmp_path):
    folder = tmp_path / "refuted-seed0"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(refuted(trials.read(made(Cheating))).record))
    done = CliRunner().invoke(verify_command, [str(folder), "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "content: identified predicted, not identified found" in done.output
    assert json.loads((tmp_path / "verification.json").read_text())["passed"] is False


def test_all_from_nothing_and_again_without_training(tmp_path, monkeypatch):
    """Too few steps to converge: nothing is predicted of encodings that have the size of content, or are larger.

    The runs of the sweep are done in this process, where torch is imported already; the control in one of its own.
    """
    in_a_process = execution.perform

    def perform(work, **options):
        module, *arguments = work.command
        if module != "identbox":
            return in_a_process(work, **options)
        cli.main(args=arguments, standalone_mode=False)
        return execution.WorkOutcome(state="done")

    monkeypatch.setattr(execution, "perform", perform)
    fewer = tmp_path / "fewer_sizes.toml"
    fewer.write_text((ROOT / "simulations" / commands.ALL).read_text().replace("3, 4, 5, 6]", "3, 4]"))
    monkeypatch.setattr(commands, "ALL", str(fewer))
    monkeypatch.setattr(controls, "CONTROLS", {NEGATIVE: controls.CONTROLS[NEGATIVE]})
    # What is planted in perfect encodings, in identifiability/test_verify.py: here one of each kind.
    for name, kept in (("POSITIVE", "content"), ("LEAKS", "linear"), ("LOSSES", "steps")):
        monkeypatch.setattr(planted, name, {kept: getattr(planted, name)[kept]})
    small = ["process.style=1", "process.specific=1", "mixing.pool=200", "encoder.widths=[4]"]
    small += ["training.steps=5", "training.batch=64", "probes.samples=60", "probes.bootstrap=20"]
    options = ["--preset", "quick", "--seeds", "0", "--out", str(tmp_path / "all"), "--workers", "1"]
    options += [word for key in small for word in ("--set", key)]
    done = CliRunner().invoke(verify_command, options)
    assert done.exit_code == 0, done.output
    assert "Every prediction came true (1 of 1)" in done.output  # that one dimension is too small
    assert "what a verdict on its first run would have seen" in done.output
    records = sorted((tmp_path / "all").glob("*/*/results.json"))
    assert len(records) == 4 + 1  # sizes, control
    times = [record.stat().st_mtime_ns for record in records]
    table = json.loads((tmp_path / "all" / "verification.json").read_text())
    assert sorted(g["encoding_size"] for g in table["groups"] if not g["control"]) == [1, 2, 3, 4]
    assert {g["control"] for g in table["groups"]} == {None, NEGATIVE}
    assert table["content_factors"] is not None
    assert CliRunner().invoke(verify_command, options).exit_code == 0
    assert times == [record.stat().st_mtime_ns for record in records]


@pytest.mark.parametrize(
    ("arguments", "got"), [([], "neither"), (["--preset", "quick", "--run", "somewhere"], "both")]
)
def test_the_command_wants_runs_or_a_preset(arguments, got):
    with pytest.raises(IdentboxError, match=f"expected runs to judge or --preset, got {got}"):
        CliRunner().invoke(verify_command, arguments, catch_exceptions=False)


def test_the_oracle_of_a_learner_is_what_perfect_learners_are(made):
    """The unit cube of one learner's content, from its checkpoint's mixings."""
    learner = trials.read(made(Perfect)).learner()
    sample = learner.world.sample(2000, "x").latent
    value = oracle.functional(oracle.Oracle(learner.world).encodings(sample))
    assert value.value == pytest.approx(0.0, abs=0.08)  # 5 standard errors of the entropy
