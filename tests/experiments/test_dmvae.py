"""Both stages of a DMVAE, on a simulation and on a dataset: stopped anywhere, the same weights; what records say."""

import json
from pathlib import Path

import pytest
import torch

from conftest import ROOT, identbox
from identbox import config
from identbox.commands import verify as verify_command
from identbox.data.polymnist import PolyMnistSettings, build_polymnist
from identbox.errors import IdentboxError
from identbox.experiments import (
    dmvae,
    dmvae_learners,
    dmvae_measures,
    dmvae_runs,
    sweeps,
    trials,
    verification,
)
from identbox.experiments.image_text import open_data
from identbox.experiments.multiview import data_of_pairs, open_multiview_data
from identbox.experiments.pair_learner import DataSettings
from identbox.experiments.simulation import ProbeSettings
from identbox.identifiability.margins import Margins
from identbox.learning import training
from identbox.learning.dmvae import directions
from identbox.learning.generation import Inference
from identbox.learning.mixture_prior import MixturePrior
from identbox.process.presets import numerical_simulation
from identbox.process.world import World
from identbox.reports.verdicts import specific_tables

TRAINING = {"batch": 32, "log_every": 5, "checkpoint_every": 0.0, "learning_rate": 1e-3}
SMALL = {
    "process": {"content": 1, "style": 1, "specific": 1},
    "mixing": {"pool": 100, "ratio": 0.1},
    "encoder": {"widths": [4], "specific": 2},
    "decoder": {"widths": [4]},
    "shared": {"whitening": 200, "training": {**TRAINING, "steps": 20}},
    "specific": {"discriminator": {"widths": [8]}, "training": {**TRAINING, "steps": 20}},
    "probes": {"samples": 60, "bootstrap": 5},
}
ON_DIGITS = {
    "encoder": {"encoding_size": 4, "specific": 3, "channels": [4, 4], "hidden": 8},
    "decoder": {"channels": [4, 4], "hidden": 8},
    "shared": {"training": {**TRAINING, "steps": 4}},
    "specific": {"training": {**TRAINING, "steps": 4}},
    "probes": {"samples": 60, "bootstrap": 2},
    "generation": {"samples": 40, "judge": {"steps": 3}},
}
PARTS = ("shared", "specific-1", "specific-2")


def settings():
    return dmvae.DMVAESettings.from_preset("quick", SMALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dmvae") / "run"
    return folder, dmvae_runs.run_dmvae_on_world(settings(), folder, seed=0)


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("learner", "step"), [(dmvae_learners.SharedLearner, 12), (dmvae_learners.SpecificLearner, 13)]
)
def test_stopped_in_either_stage_and_continued_the_weights_are_the_same(
    whole, tmp_path, monkeypatch, learner, step
):
    before = learner.loss

    def killed(self, number, stream="train"):
        if number == step and stream == "train":
            raise Killed
        return before(self, number, stream)

    monkeypatch.setattr(learner, "loss", killed)
    with pytest.raises(Killed):
        dmvae_runs.run_dmvae_on_world(settings(), tmp_path / "run", seed=0)
    monkeypatch.setattr(learner, "loss", before)
    again = dmvae_runs.run_dmvae_on_world(settings(), tmp_path / "run", seed=0)
    for part in PARTS:
        states = [training.model_state(folder / part) for folder in (whole[0], tmp_path / "run")]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    for key in ("losses", "mutual_information", "content_agreement", "probes", "probes_subsets"):
        assert again[key] == whole[1][key]


def test_a_finished_run_is_not_trained_again(whole, monkeypatch):
    monkeypatch.setattr(dmvae_learners.SharedLearner, "loss", lambda *_: pytest.fail("trained again"))
    assert dmvae_runs.run_dmvae_on_world(settings(), whole[0], seed=0)["losses"] == whole[1]["losses"]


def test_the_record_is_one_that_verdicts_and_reports_read(whole):
    folder, record = whole
    assert json.loads((folder / "results.json").read_text()) == record
    trial = trials.read(folder)
    assert trial.content_size == 1
    assert {one["block"][0] for one in record["identification"]} == {"content"}
    names = {one["view"] for one in record["probes_subsets"]}
    of_m = {f"{what}m of {view}" for view in "12" for what in ("", "draws of ")}
    assert names == {"c of all (latents of 1)", "c of all (latents of 2)", *of_m}
    assert record["mutual_information"].keys() == {"1", "2"}
    assert [(row["given"], row["generated"]) for row in record["content_agreement"]] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
        ("2", "2"),
        ("prior (mixture)", "2 beside 1"),
        ("prior (resampled)", "2 beside 1"),
    ]


def test_latents_of_a_modality_are_held_against_content_and_all_else(whole):
    _, record = whole
    world = World(settings().process.make("multimodal"), seed=0, mixing=settings().mixing)
    block = ["style", "specific_1"]

    def measured(encode):
        found = dmvae_measures.specific_identification(world, encode, "1", samples=600)
        assert found["block"] == block
        return {one["quantity"]: one["value"] for one in found["measures"]}

    latents = lambda x: world.invert(x, "1")  # noqa: E731
    free = measured(lambda x: torch.cat([latents(x)[name] for name in block], 1))
    assert free["leak"] < 1e-3
    assert free["recovery"] > 0.98
    mixed = measured(lambda x: torch.cat([latents(x)[name] for name in ("content", *block)], 1))
    assert mixed["leak"] > 0.95
    half = measured(lambda x: latents(x)["style"] + latents(x)["content"])
    assert half["leak"] == pytest.approx(0.5, abs=0.05)
    assert half["recovery"] < 0.2  # nothing of what is specific to the view
    assert [one["block"] for one in record["specific_identification"]] == [block, ["style", "specific_2"]]


@pytest.mark.parametrize(("scale", "of_draws"), [(1.0, 0.5), (0.1, 0.01)])
def test_the_leak_of_draws_is_less_than_that_of_means_where_noise_outweighs_content(whole, scale, of_draws):
    world = World(settings().process.make("multimodal"), seed=0, mixing=settings().mixing)
    deviation = world.sample(4000, "deviation").z["1"]["content"].std()
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(1))
    mean = lambda x: scale * world.invert(x, "1")["content"] / deviation  # noqa: E731
    draw = lambda x: mean(x) + noise  # noqa: E731
    found = dmvae_measures.specific_identification(world, mean, "1", draw=draw, samples=4000)
    assert found["measures"][0]["value"] > 0.95
    assert found["draws"]["value"] == pytest.approx(of_draws, abs=0.02 + 0.02 * scale)


@pytest.mark.parametrize("smooth", [False, True])
def test_latents_that_tell_nothing_of_content_may_still_be_moved_by_it(smooth):
    """A sign, or a turn, that depends on content: m is independent of content, and yet not free of it."""
    process = numerical_simulation(content=1, style=2, specific=0)
    world = World(process, seed=0, mixing=settings().mixing)
    drawn = world.sample(4000, "deviations").z["1"]
    deviations = {name: values.std(0) for name, values in drawn.items()}

    def encode(x):
        z = world.invert(x, "1")
        content, style = (z[name] / deviations[name] for name in ("content", "style"))
        if not smooth:
            return style * (1 - 2.0 * (content > 0))
        cosine, sine = (2 * content).cos(), (2 * content).sin()
        return torch.cat(
            [cosine * style[:, :1] - sine * style[:, 1:], sine * style[:, :1] + cosine * style[:, 1:]], 1
        )

    probes = ProbeSettings(samples=1000, bootstrap=5)
    scores = dmvae_measures.probes_of(world, lambda x: encode(x["1"]), "1", probes, name="m of 1")
    (content,) = (one["score"] for one in scores if one["target"] == "content" and one["probe"] != "linear")
    assert abs(content) < 0.02
    found = dmvae_measures.specific_identification(world, encode, "1", samples=2000)
    assert found["measures"][0]["value"] > 0.5


def test_the_noise_of_draws_of_m_is_the_same_in_every_call(whole):
    world = World(settings().process.make("multimodal"), seed=0, mixing=settings().mixing)
    second = dmvae_runs.world_stages(settings(), world, seed=0).seconds["1"]
    x = world.sample(50, "x").x["1"]
    posterior, drawn = second.vae.posterior(x), second.draw(x)
    torch.testing.assert_close(second.draw(x), drawn)
    assert not torch.allclose(drawn, posterior.mean)
    noise = second.draw(torch.zeros_like(x)) - second.vae.posterior(torch.zeros_like(x)).mean
    scales = [(one.log_variance / 2).exp() for one in (posterior, second.vae.posterior(torch.zeros_like(x)))]
    torch.testing.assert_close(drawn, posterior.mean + noise / scales[1] * scales[0], rtol=1e-4, atol=1e-5)


def trial_of(record, whole, folder):
    """The run of ``whole`` with another record, in an empty folder."""
    (folder / "config.toml").write_bytes((whole[0] / "config.toml").read_bytes())
    (folder / "results.json").write_text(json.dumps(record))
    return trials.read(folder)


def test_verdicts_on_latents_of_modalities_are_there_for_each_also_where_they_show_the_same(whole, tmp_path):
    record = json.loads((whole[0] / "results.json").read_text())
    for part in record["specific_identification"]:
        part["block"] = ["style"]
    finding = verification.verify_group("run", [trial_of(record, whole, tmp_path)], Margins())
    assert [verdict.view for verdict in finding.seeds[0].specific] == ["1", "2"]
    assert [measure.view for measure in finding.seeds[0].draws] == ["1", "2"]
    (table,) = specific_tables(finding, "latents")
    assert [row[0] for row in table.rows if row[1] == "leak of draws"] == ["1", "2"]


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ({"draws": 3}, "specific_identification[0].draws: expected a measure, got 3"),
        ({"draws": {"view": "1"}}, "specific_identification[0].draws"),
        ({"measures": [3]}, "specific_identification[0].measures[0]: expected a measure, got 3"),
    ],
)
def test_damaged_measures_of_latents_are_named(whole, tmp_path, damage, place):
    record = json.loads((whole[0] / "results.json").read_text())
    record["specific_identification"][0].update(damage)
    trial = trial_of(record, whole, tmp_path)
    with pytest.raises(IdentboxError) as raised:
        verification.verify_group("run", [trial], Margins())
    assert place in str(raised.value)


def test_controls_of_a_dmvae_train_nothing_and_say_what_its_verdict_would_have_seen(whole, tmp_path):
    trial = trials.read(whole[0])
    assert verify_command._train_controls([trial], tmp_path / "controls", (0,), None, "cpu") == []
    assert not (tmp_path / "controls").exists()
    power = verification.power_of(trial, Margins())
    assert power.lines()


def test_a_report_shows_the_parts_and_what_they_generate(whole):
    done = identbox("report", whole[0])
    assert done.returncode == 0, done.stderr
    text = (whole[0] / "report.md").read_text()
    assert "| m of 2 | specific_2 |" in text
    assert "## Content of generated views" in text
    assert "| prior (mixture) | 2 beside 1 |" in text
    assert "I(c; m)" in text


def test_content_of_observations_is_read_by_inverting_the_mixing():
    """Observations with the right content score 1, whatever else they show; those of other samples about -1."""
    world = World(numerical_simulation(content=2, style=1, specific=1), seed=0)
    sample, other = world.sample(2000), world.sample(2000, "other")
    content = {"content": sample.z["1"]["content"]}
    assert dmvae_measures.content_agreement(world, "2", sample.x["2"], content) == pytest.approx(1, abs=1e-4)
    assert dmvae_measures.content_agreement(world, "2", other.x["2"], content) == pytest.approx(-1, abs=0.15)


def test_a_mixture_of_gaussians_is_fitted_and_drawn_from():
    """Two far clusters with their weights, means and covariances."""
    stream = torch.Generator().manual_seed(0)
    near = torch.randn(3000, 2, generator=stream) @ torch.tensor([[1.0, 0.5], [0.0, 0.2]])
    far = torch.randn(1000, 2, generator=stream) + 20
    drawn = MixturePrior.fit(torch.cat([near, far]), components=2, seed=0)(40_000, stream)
    high = drawn[:, 0] > 10
    assert high.double().mean().item() == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(drawn[high].mean(0), far.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(drawn[~high].T), torch.cov(near.T), atol=0.05, rtol=0)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / "digits"
    build_polymnist(place, PolyMnistSettings(modalities=3, train=120, test=60, scale=0.7))
    return open_multiview_data(place, DataSettings())


def test_a_dataset_is_modelled_generated_and_judged(digits, tmp_path):
    experiment = dmvae.DMVAESettings.from_preset("quick", ON_DIGITS, on="multiview")
    record = dmvae_runs.run_dmvae(experiment, digits, tmp_path / "run", seed=0)
    assert {(tuple(one["given"]), one["made"]) for one in record["coherence"]} >= {
        (("m0",), "m1"),
        (("m0", "m1"), "m2"),
    }
    assert {one["made"] for one in record["frechet_unconditional"]} == {"m0", "m1", "m2"}
    views = {one["view"] for one in record["probes_subsets"]}
    assert {"m0+m1+m2", "m0, specific"} <= views
    picture = tmp_path / "grid.png"
    done = identbox("generate", tmp_path / "run", "--from", "m0", "--n", 3, "--times", 1, "--out", picture)
    assert done.returncode == 0, done.stderr
    assert picture.stat().st_size > 1000
    stages = dmvae_runs.dataset_stages(experiment, digits, seed=0)
    learner = dmvae_runs.assembled_on_dataset(experiment, stages, digits, seed=0)
    loaded, *_ = dmvae_runs.load_generator(tmp_path / "run")
    weights = training.model_state(tmp_path / "run" / "specific-m2")
    for name, value in loaded.vae.decoders["m2"].state_dict().items():
        assert torch.equal(value, weights[f"vae.decoder.{name}"])
    x = learner.read(digits.test, torch.arange(5))
    given = {name: x[name] for name in ("m0", "m2")}
    expected = directions(stages.first.shared.embed(given))  # since the objective compares by the cosine
    torch.testing.assert_close(learner.vae.embed(given), expected)
    inference = Inference.of(learner.vae, x)
    torch.testing.assert_close(inference.shared(("m0", "m2"), generator=torch.Generator()), expected)
    encoded = learner.vae.encode(x)
    torch.testing.assert_close(encoded.specific.mean[1], stages.seconds["m1"].embed(x["m1"]))


def test_a_sweep_has_dmvae_beside_other_models(digits):
    sweep = sweeps.read_sweep_file(ROOT / "simulations" / "table_9_1.toml", "quick", on="multiview")
    assert [cell.name for cell in sweep.cells][-4:] == [
        "dmvae-whole-temperature0.1",
        "dmvae-rest-temperature0.1",
        "dmvae-rest-temperature0.5",
        "dmvae-rest-temperature0.5-specific8",
    ]
    assert isinstance(sweep.cells[-1].config, dmvae.DMVAESettings)
    jobs = list(sweep.jobs(Path("out"), device="cpu", dataset=digits.folder))
    assert len(jobs) == 27
    assert jobs[5].command[1:3] == ("train", str(digits.folder))
    ablation = sweeps.read_sweep_file(ROOT / "simulations" / "figure_9_3.toml", "quick", on="multiview")
    assert [cell.config.specific.delta for cell in ablation.cells] == 2 * [0, 10, 20, 100, 400]


@pytest.mark.slow
def test_second_stages_side_by_side_end_in_the_same_weights(digits, tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_bytes(config.toml_of({**ON_DIGITS, "model": "dmvae", "generation": {"samples": 0}}))
    made = {}
    for name, more in (("apart", ("--parallel", 2)), ("in turn", ())):
        done = identbox("train", digits.folder, "--config", file, "--out", tmp_path / name, *more)
        assert done.returncode == 0, done.stderr
        assert ("specific-m1: done" in done.stderr) == bool(more)
        made[name] = [
            training.model_state(tmp_path / name / part) for part in ("shared", "specific-m0", "specific-m2")
        ]
    for one, other in zip(*made.values(), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_part_alone(digits, tmp_path):
    experiment = dmvae.DMVAESettings.from_preset("quick", ON_DIGITS, on="multiview")
    with pytest.raises(IdentboxError, match=r"part: expected one of shared, specific-m0, .*; got m0"):
        dmvae_runs.run_dmvae(experiment, digits, tmp_path / "run", seed=0, part="m0")
    with pytest.raises(IdentboxError, match="expected a first stage that is finished, got none"):
        dmvae_runs.run_dmvae(experiment, digits, tmp_path / "run", seed=0, part="specific-m0")
    done = identbox("train", digits.folder, "--model", "mvae", "--part", "shared", "--out", tmp_path / "x")
    assert done.returncode == 1
    assert "--part: expected --model dmvae beside it, got mvae" in done.stderr


def test_all_modalities_together_have_no_rest():
    changes = {"shared": {"subsets": "all", "against": "rest"}}
    with pytest.raises(IdentboxError, match="expected powerset or single .* got all"):
        dmvae.DMVAESettings.from_preset("quick", changes)
    alone = dmvae.DMVAESettings.from_preset("quick", {"shared": {"subsets": "single"}})
    world = World(alone.process.make("multimodal"), seed=0, mixing=alone.mixing)
    assert dmvae_runs.world_stages(alone, world, seed=0).first.shared.subsets.members == ((0,), (1,))


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_autoregressive_decoders_of_the_second_stage(squares, similarity):
    changes = {
        "data": {"image_size": 18},
        "decoder": {"text": "autoregressive"},
        "shared": {"objective": {"similarity": similarity}},
    }
    experiment = dmvae.DMVAESettings.from_preset("quick", changes, on="pairs")
    data = data_of_pairs(open_data(squares, experiment.data))
    stages = dmvae_runs.dataset_stages(experiment, data, seed=0)
    text = stages.seconds["text"]
    text.loss(0).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in text.vae.decoder.parameters())
    learner = dmvae_runs.assembled_on_dataset(experiment, stages, data, seed=0)
    x = data.test.batch(torch.arange(5), device="cpu")
    inference = Inference.of(learner.vae, {"image": x["image"]})
    made = inference.made(
        "text",
        inference.embedding(["image"]),
        shape=tuple(x["text"].shape[1:]),
        generator=torch.Generator().manual_seed(0),
    )
    assert made.shape == x["text"].shape
    assert made.dtype == torch.int64


def test_delta_grows_along_a_line_in_training_alone():
    def second(delta, warmup):
        table = {**SMALL, "specific": {**SMALL["specific"], "delta": delta, "delta_warmup": warmup}}
        experiment = dmvae.DMVAESettings.from_preset("quick", table)
        world = World(experiment.process.make("multimodal"), seed=0, mixing=experiment.mixing)
        return dmvae_runs.world_stages(experiment, world, seed=0).seconds["1"]

    growing = second(40.0, 8)
    for step, delta in ((0, 0.0), (2, 10.0), (6, 30.0), (8, 40.0), (20, 40.0)):
        assert growing.loss(step).item() == second(delta, 0).loss(step).item()
    assert growing.loss(2, "validation").item() == second(40.0, 0).loss(2, "validation").item()
