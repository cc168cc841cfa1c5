"""Verdicts on learners that are known to be right or wrong: built from the inverse mixing, not trained."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from identbox import config
from identbox.commands.verify import verify_command
from identbox.errors import IdentboxError
from identbox.experiments import controls, optimum, trials, verification
from identbox.experiments import simulation as experiments_simulation
from identbox.experiments.learner import Learner
from identbox.experiments.trials import Trial
from identbox.identifiability import oracle, verdicts
from identbox.identifiability.predictions import Prediction
from identbox.identifiability.verdicts import Margins
from identbox.jobs import execution
from identbox.metrics import elbow
from identbox.metrics.scores import Score
from identbox.process import presets
from identbox.process.tables import table_from_process

# Blocks of one or two dimensions, 400 probe samples: what the probes leave is below 0.02, the margins are 0.05.
SMALL = {
    "process": {"content": 2, "style": 1, "specific": 1},
    "mixing": {"pool": 200},
    "encoder": {"widths": [4]},
    "training": {"steps": 0, "batch": 64},
    "probes": {"samples": 400, "bootstrap": 100},
}


class Perfect(Learner):
    """Undoes the mixing and keeps an invertible, nonlinear function of the first ``keeps`` latents."""

    keeps, leak = 2, 0.0

    def encode(self, x, view):
        z = self.world.mixings[view].inverse(x)
        content = z[:, : self.keeps].clone()
        content[:, 0] += self.leak * z[:, self.keeps]  # the first latent beyond is style
        return torch.cat([content[:, :1], content[:, 1:] + 0.3 * torch.tanh(content[:, :1])], dim=1)


class Cheating(Perfect):
    """Tells style as well, as far as two dimensions allow."""

    leak = 0.7


class Everything(Perfect):
    """Keeps content and style."""

    keeps = 3


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
            done[key] = folder
        return done[key]

    return make


def judged(*folders, margins=None):
    (item,) = trials.groups([trials.read(folder) for folder in folders]).items()
    return verification.verify_group(*item, margins or Margins())


CAUSAL = {"process": {"causal": True, "change_probability": 0.75}}


def test_a_perfect_learner_is_identified_over_seeds(made):
    found = judged(*(made(Perfect, seed) for seed in range(3)))
    (judgement,) = found.judgements
    assert judgement.prediction == Prediction(
        block=("content",), outcome="identified", reason="every assumption holds"
    )
    assert [verdict.outcome for verdict in judgement.verdicts] == ["identified", "identified"]
    assert judgement.by_seed == dict.fromkeys(range(3), "identified")
    assert judgement.came_true is True
    assert found.failure is None


def test_style_that_content_causes_is_no_excess(made):
    """A perfect encoder lets style be predicted; what is beyond its ceiling is 0 but for the probe."""
    found = judged(made(Perfect, **CAUSAL))
    (judgement,) = found.judgements
    assert judgement.outcome == "identified"
    style = {
        c.intervention: c
        for c in judgement.verdicts[1].conditions
        if c.target == "style" and c.kind == "excess"
    }
    assert style[None].score > 0.3
    assert style[None].value == pytest.approx(0.0, abs=0.05)
    assert style["content"].ceiling == 0 < style["specific"].ceiling


@pytest.mark.parametrize("table", [{}, CAUSAL], ids=["independent", "causal"])
def test_a_learner_that_tells_style_is_not(made, table):
    found = judged(made(Cheating, **table))
    (judgement,) = found.judgements
    assert [verdict.outcome for verdict in judgement.verdicts] == ["not identified"] * 2
    assert any("style" in reason for reason in judgement.verdicts[0].reasons)
    assert judgement.came_true is False
    assert found.failure == "content: identified predicted, not identified found"


def test_spare_dimensions_that_hold_style_are_not_identification(made):
    """One dimension more than content: the theorem says nothing, and the verdict is on what is there."""
    found = judged(made(Everything, encoder={"encoding_size": 3}))
    (judgement,) = found.judgements
    assert judgement.prediction.outcome is None
    assert judgement.outcome == "not identified"
    assert found.failure is None  # nothing was predicted


def test_style_that_never_changes_is_content_and_the_prediction_says_so(made):
    table = {"process": {"change_probability": 0.0}, "encoder": {"encoding_size": 3}}
    alone, whole = judged(made(Everything, **table)).judgements
    assert (alone.prediction.block, alone.prediction.outcome) == (("content",), "not identified")
    assert (whole.prediction.block, whole.prediction.outcome) == (("content", "style"), "identified")
    assert [alone.came_true, whole.came_true] == [True, True]
    assert "style never changes" in alone.prediction.reason


def test_dependence_that_lowers_the_effective_dimension_is_named(made):
    """A covariance with one large eigenvalue: 100.01^2 / (100^2 + 0.01^2) is about 1."""
    covariance = [[100.0, 0.0], [0.0, 0.01]]
    table = {"process": {"statistical": True, "covariance": covariance, "style": 2, "specific": 2}}
    found = judged(made(Cheating, **table))
    assert found.effective["content"] == (2, pytest.approx(1.0, abs=0.01))
    assert "effective dimension of content to 1.00 of 2" in " ".join(found.judgements[0].verdicts[0].reasons)


def test_a_control_that_is_called_identified_fails(made):
    trial = trials.read(made(Perfect))
    control = dataclasses.replace(trial, record={**trial.record, "control": "untrained"})
    found = verification.verify_group("x", [control], Margins())
    assert found.judgements[0].prediction.outcome == "not identified"
    assert found.failure == "the control untrained is called identified"


def test_seeds_that_all_fail_by_unequal_amounts_are_not_undecided(made):
    class Slight(Perfect):
        leak = 0.45

    folders = [made(Cheating, 0), made(Slight, 1)]
    (judgement,) = judged(*folders).judgements
    assert judgement.by_seed == {0: "not identified", 1: "not identified"}
    assert judgement.outcome == "not identified"


def probe(target="content", score=0.99, low=0.98, high=1.0, intervention=None, view="1"):
    return Score(
        view=view, target=target, intervention=intervention, probe="kernel_ridge", metric="r2",
        score=score, low=low, high=high, chance=0.0,
    )  # fmt: skip


def with_scores(*pairs):
    """A trial with the same scores in both views: of content and of style, with their intervals."""
    process = presets.numerical_simulation(content=1, style=1, specific=0).realise(seed=0)
    probes = tuple(
        probe(target, *values, view=view)
        for view in ("1", "2")
        for target, values in zip(("content", "style"), pairs, strict=True)
    )
    record = {"seed": 0, "config": {}, "losses": {}}
    return Trial(folder=Path(), record=record, probes=probes, process=process)


@pytest.mark.parametrize(
    ("content", "style", "outcome"),
    [
        ((0.97, 0.95, 0.99), (0.0, -0.01, 0.05), "identified"),  # both ends just inside
        ((0.97, 0.94, 0.99), (0.0, -0.01, 0.01), "undecided"),
        ((0.97, 0.96, 0.99), (0.03, 0.01, 0.06), "undecided"),
        ((0.92, 0.90, 0.94), (0.0, -0.01, 0.01), "not identified"),
        ((0.97, 0.96, 0.99), (0.1, 0.06, 0.14), "not identified"),
        ((0.97, 0.94, 0.99), (0.1, 0.06, 0.14), "not identified"),  # one violation is enough
    ],
)
def test_the_unfavourable_end_decides(content, style, outcome):
    trial = with_scores(content, style)
    prediction = Prediction(block=("content",), outcome="identified", reason="")
    judgement = verdicts.judge([trial], prediction, Margins())
    assert judgement.outcome == outcome
    assert judgement.came_true is {"identified": True, "undecided": None, "not identified": False}[outcome]


def test_intervals_over_seeds_are_students():
    """Against scipy's interval of the mean; scores that agree by luck keep the spread of their probe samples."""
    scores = [(0.90, 0.89, 0.91), (0.95, 0.94, 0.96), (0.99, 0.98, 1.0)]
    values = [score for score, _, _ in scores]
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert verdicts.interval(scores)[1:] == pytest.approx(expected)
    same = [(0.9, 0.89, 0.91)] * 3
    half = stats.t.ppf(0.975, 2) * 0.01 / stats.norm.ppf(0.975) / np.sqrt(3)
    assert verdicts.interval(same) == pytest.approx((0.9, 0.9 - half, 0.9 + half))


def test_the_interval_of_one_seed_has_that_of_its_ceiling():
    found = verdicts.interval([(0.5, 0.47, 0.54)], [(0.4, 0.37, 0.44)])
    assert found == pytest.approx((0.1, 0.1 - np.hypot(0.03, 0.04), 0.1 + np.hypot(0.04, 0.03)))


def test_a_verdict_over_probe_samples_covers():
    """Ten learners right at the margin of excess: noise in the probes seldom makes it 'identified'.

    The unfavourable end is passed in 2.5% of the cases, so 3 in 10 has a probability of about 0.002.
    """
    rng = np.random.default_rng(0)
    scores = 0.05 + 0.01 * rng.standard_normal(10)
    passed = [
        verdicts.judge(
            [with_scores((0.99, 0.98, 1.0), (s, s - 0.0196, s + 0.0196))],
            Prediction(block=("content",), outcome=None, reason=""),
            Margins(),
        ).outcome
        == "identified"
        for s in map(float, scores)
    ]
    assert sum(passed) < 3


def test_a_run_stands_beside_the_oracle(made):
    """Its weights come from the checkpoint: those of an untrained encoder, far from the minimum."""
    trial = trials.read(made(Perfect))
    found = optimum.optimum(trial, trial.learner(), samples=1000)
    assert found.oracle.alignment < 1e-9
    assert found.gap > 0.3
    assert found.equal_scale.cost > -3 * found.equal_scale.error


def test_runs_without_a_checkpoint_are_judged_by_their_probes(made, tmp_path):
    (tmp_path / "results.json").write_text((made(Perfect) / "results.json").read_text())
    found = judged(tmp_path)
    assert found.without == "no checkpoint of a simulation"
    assert found.judgements[0].prediction.outcome is None  # the mixing is unknown
    assert found.judgements[0].outcome == "identified"


def test_folders_that_are_none(made, tmp_path):
    with pytest.raises(IdentboxError, match="expected the folder of a finished run or of a sweep, got none"):
        trials.find_runs([tmp_path])
    trial = trials.read(made(Perfect))
    with pytest.raises(IdentboxError, match="expected runs of different seeds"):
        trials.groups([trial, trial])
    with pytest.raises(IdentboxError, match="excess: expected a number in"):
        Margins(excess=1.5)


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


def test_controls_are_not_identified(tmp_path):
    """A few steps each in this process; one as the command does it, in a process of its own."""
    base = experiments_simulation.Simulation.from_preset(
        "quick", config.merge(SMALL, {"training": {"steps": 20}, "probes": {"samples": 150}})
    )
    folders = []
    for name in controls.CONTROLS:
        simulation = controls.simulation_of(name, base, 2)
        folder = tmp_path / f"{name}-seed0"
        if name == "singular-mixing":
            jobs = list(controls.jobs(base, tmp_path, content=2, seeds=[0], names=[name]))
            assert execution.execute(jobs, workers=1, threads=1) == {}
            folders += [tmp_path / job.name for job in jobs]
        else:
            controls.run_control(name, simulation, folder, seed=0)
            folders.append(folder)
    found = [
        verification.verify_group(*item, Margins())
        for item in trials.groups([trials.read(folder) for folder in folders]).items()
    ]
    assert {finding.control for finding in found} == set(controls.CONTROLS)
    assert [finding.judgements[0].outcome for finding in found] == ["not identified"] * 5
    assert all(finding.judgements[0].prediction.outcome == "not identified" for finding in found)
    singular = next(finding for finding in found if finding.control == "singular-mixing")
    assert "invertible mixing of view 1" in singular.without
    again = controls.run_control(
        "untrained", controls.simulation_of("untrained", base, 2), tmp_path / "untrained-seed0", seed=0
    )
    assert again["control"] == "untrained"
    with pytest.raises(IdentboxError, match="expected the control shuffled-pairs, got the control untrained"):
        controls.run_control(
            "shuffled-pairs",
            controls.simulation_of("untrained", base, 2),
            tmp_path / "untrained-seed0",
            seed=0,
        )


def test_shuffled_pairs_are_worth_nothing():
    """Encodings that tell the pairs apart perfectly lose more on shuffled ones than constant encodings do."""
    simulation = experiments_simulation.Simulation.from_preset("quick", SMALL)

    class Shuffled(controls.ShuffledPairs, Perfect):
        pass

    learners = [
        experiments_simulation.learner_of(simulation, seed=0, learner_type=kind)
        for kind in (Perfect, Shuffled)
    ]
    aligned, shuffled = (learner.loss(0).item() for learner in learners)
    assert aligned < learners[0].chance_loss() < shuffled


def test_controls_that_make_no_sense_are_left_out():
    base = experiments_simulation.Simulation.from_preset("quick", {"process": {"style": 0 + 1}})
    assert controls.simulation_of("small-encoder", base, 1) is None
    assert controls.simulation_of("small-encoder", base, 2).encoder.encoding_size == 1


def test_the_command_passes_and_writes_its_report(made, tmp_path):
    done = CliRunner().invoke(verify_command, [str(made(Perfect)), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "identified: content by the encoder of view 1" in done.output
    table = json.loads((tmp_path / "verification.json").read_text())
    assert table["passed"] is True
    (group,) = table["groups"]
    assert group["judgements"][0]["outcome"] == "identified"
    assert group["optima"][0]["oracle"]["alignment"] < 1e-9
    text = (tmp_path / "verification.md").read_text()
    assert "Every prediction came true." in text
    assert "| smooth, invertible mixing | holds |" in text


def test_the_command_fails_where_a_prediction_does(made, tmp_path):
    done = CliRunner().invoke(verify_command, [str(made(Cheating)), "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "content: identified predicted, not identified found" in done.output
    assert json.loads((tmp_path / "verification.json").read_text())["passed"] is False


def test_all_from_nothing_and_again_without_training(tmp_path):
    """Too few steps to identify anything: the predictions fail, and nothing else does."""
    small = ["process.style=1", "process.specific=1", "mixing.pool=200", "encoder.widths=[4]"]
    small += ["training.steps=5", "training.batch=64", "probes.samples=60", "probes.bootstrap=20"]
    options = ["--preset", "quick", "--seeds", "0", "--out", str(tmp_path / "all"), "--workers", "2"]
    options += [word for key in small for word in ("--set", key)]
    done = CliRunner().invoke(verify_command, options)
    assert done.exit_code == 2, done.output
    assert "identified predicted, not identified found" in done.output
    records = sorted((tmp_path / "all").glob("*/*/results.json"))
    assert len(records) == 4 + 5  # sizes, controls
    times = [record.stat().st_mtime_ns for record in records]
    table = json.loads((tmp_path / "all" / "verification.json").read_text())
    assert sorted(g["encoding_size"] for g in table["groups"] if not g["control"]) == [1, 2, 3, 4]
    assert {g["control"] for g in table["groups"]} == {None, *controls.CONTROLS}
    assert table["content_factors"] is not None
    assert CliRunner().invoke(verify_command, options).exit_code == 2
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


def test_a_run_on_images_and_text_is_judged_by_what_content_alone_told(tmp_path):
    """The theorem is silent on discrete content; colour beyond the 0.89 that position tells is an excess."""

    def probe(view, target, metric, score, kind):
        interval = {"low": score - 0.01, "high": score + 0.01, "chance": 0.0, "intervention": None}
        return {"view": view, "target": target, "metric": metric, "score": score, "probe": kind, **interval}

    def probes(view, color):
        content = ("object_shape", "object_xpos", "object_ypos")
        return [
            *(probe(view, target, "accuracy", 0.99, "mlp") for target in content),
            probe(view, "object_color", "r2", color, "kernel_ridge"),
            probe(view, "object_color_index", "accuracy", 0.35, "mlp"),
            probe(view, "object_color", "r2", 0.1, "linear"),
        ]

    record = {
        "format": 1, "kind": "image-text", "identbox": "0", "seed": 0, "steps": 10, "seconds": 1.0,
        "config": {"encoder": {"encoding_size": 4}}, "versions": {}, "machine": {}, "losses": {"validation": 2.0},
        "process": config.toml_values(table_from_process(presets.multimodal3dident())),
        "probes": [*probes("image", 0.97), *probes("text", 0.90)],
        "from_content": probes("content", 0.89),
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(record))
    found = judged(tmp_path)
    (judgement,) = found.judgements
    assert judgement.prediction.outcome is None
    image, text = judgement.verdicts
    assert (image.view, image.outcome) == ("image", "not identified")
    assert image.reasons[0].startswith("object_color: excess 0.080")
    assert (text.view, text.outcome) == ("text", "identified")
    assert found.without == "no checkpoint of a simulation"
    assert found.failure is None
