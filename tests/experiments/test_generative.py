"""Runs of multimodal VAEs: trained, interrupted, probed, judged, and what bad input gets."""

import json
import math
from types import SimpleNamespace

import drawn_counterfactuals
import pytest
import torch

from conftest import identbox
from drawn_squares import make_dataset
from identbox.errors import IdentboxError
from identbox.experiments import counterfactual_evidence, image_text, records, trials
from identbox.experiments.generative import (
    MODEL_NAMES,
    Generative,
    run_vae_on_world,
    world_vae,
)
from identbox.experiments.image_text import open_data
from identbox.experiments.multiview import data_of_pairs
from identbox.experiments.sweeps import read_sweep_file
from identbox.experiments.vae_runs import dataset_vae, run_vae
from identbox.experiments.verification import verify_trials
from identbox.identifiability.margins import Margins
from identbox.learning.training import Callbacks
from identbox.process.world import World
from identbox.reports import runs as reports

TINY = {
    "process": {"content": 1, "style": 1, "specific": 1},
    "mixing": {"pool": 100},
    "encoder": {"widths": [4]},
    "decoder": {"widths": [4]},
    "training": {"steps": 4, "batch": 16, "log_every": 2, "checkpoint_every": 0},
    "probes": {"samples": 60, "bootstrap": 5},
    "likelihood": {"data": 3, "samples": 40},
}


def tiny(**changes):
    return Generative.from_preset("quick", {**TINY, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae") / "run"
    return folder, run_vae_on_world(tiny(model="mmvae-plus"), folder, seed=0)


def test_a_record_names_the_bound_with_its_samples_scales_and_subsets(finished):
    _, record = finished
    assert record["kind"] == "generative"
    for part in (
        "mixture's divergence (Eq. 5.18)",
        "published (Eq. 6.22)",
        "K = 1",
        "beta 1",
        "1 (0.5), 2 (0.5)",
    ):
        assert part in record["bound"]
    assert "gaussian of scale 0.1" in record["bound"]
    assert [one["what"].split(" by ")[0] for one in record["likelihood"]] == [
        "log p(1, 2)", "log p(1 | 2)", "log p(2 | 1)",
    ]  # fmt: skip
    assert all(one["samples"] == 40 and one["error"] > 0 for one in record["likelihood"])


def test_the_embeddings_of_each_subset_are_probed(finished):
    folder, _ = finished
    run = records.read_run(folder / records.RESULTS)
    assert {probe.view for probe in run.probes} == {"1", "2"}
    joint = {probe.view.split(" (")[0] for probe in run.probes_subsets}
    assert joint == {"1+2", "1, specific", "2, specific"}


def test_a_run_is_reported_and_judged_as_a_contrastive_one_is(finished):
    folder, record = finished
    shown = reports.read_report(folder).markdown()
    assert record["bound"][:30] in shown
    assert "log p(1 \\| 2)" in shown
    assert "1, specific" in shown
    found = verify_trials([trials.read(folder)], [], Margins())
    assert found.findings[0].seeds[0].judgements[0].outcome in ("not identified", "undecided")
    assert found.findings[0].seeds[0].without.startswith("a multimodal VAE")


def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path):
    class Stop(Exception):
        pass

    def stop(metrics):
        if metrics["step"] == 2:
            raise Stop

    whole = run_vae_on_world(tiny(), tmp_path / "whole", seed=0)
    with pytest.raises(Stop):
        run_vae_on_world(tiny(), tmp_path / "cut", seed=0, callbacks=Callbacks(on_metrics=stop))
    with pytest.raises(Stop):  # once more from the last checkpoint before
        run_vae_on_world(tiny(), tmp_path / "cut", seed=0, callbacks=Callbacks(on_metrics=stop))
    cut = run_vae_on_world(tiny(), tmp_path / "cut", seed=0)
    for key in ("losses", "probes", "probes_subsets", "likelihood", "identification"):
        assert cut[key] == whole[key]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_each_model_has_a_finite_loss_and_gradients_of_all_that_it_trains(name):
    learner = world_vae(tiny(model=name), seed=0)
    loss = learner.loss(0)
    loss.backward()
    assert loss.isfinite()
    for where, parameter in learner.named_parameters():
        unused = "auxiliary" in where and name != "mmvae-plus"
        assert unused or parameter.grad is None or parameter.grad.isfinite().all(), where
    assert all(p.grad is not None for p in learner.vae.encoders.parameters())
    assert all(p.grad is not None for p in learner.vae.decoders.parameters())


def test_a_step_that_is_not_finite_names_its_term_and_modality(tmp_path):
    experiment = tiny(training={**TINY["training"], "learning_rate": 1e30})
    with pytest.raises(IdentboxError, match=r"step \d: expected a finite loss.*\(not finite: .*(of|shared)"):
        run_vae_on_world(experiment, tmp_path / "run", seed=0)
    learner = world_vae(tiny(), seed=0)
    with torch.no_grad():
        learner.vae.decoders["2"].net[0].weight.fill_(float("nan"))
    learner.loss(7)
    assert learner.explain(7) == "not finite: reconstruction of 2"
    assert learner.explain(6) == "its terms are finite"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "vae"}, "config: model: expected one of unimodal-vaes, mvae"),
        ({"model": ["mvae"]}, r"config: model: expected one of unimodal-vaes, .*; got \['mvae'\]"),
        ({"subsets": [["3"]]}, r"subsets\[0\]: expected modalities among 1, 2; got 3"),
        ({"subsets": [[]]}, r"subsets\[0\]: expected at least one modality, got none"),
        ({"subsets": [["1"], ["2"]], "weights": [0.5, 0.6]}, "weights: expected a sum of 1, got 1.1"),
        ({"weights": [1.0]}, "weights: expected subsets beside them, got none"),
        ({"elbo": {"samples": 0}}, "samples: expected at least 1, got 0"),
        ({"elbo": {"beta": -1}}, "beta: expected at least 0, got -1"),
        ({"training": {"batch": 0}}, "batch: expected at least 2, got 0"),
        ({"encoder": {"family": "laplace"}}, "prior_expert: expected false beside the family laplace"),
        ({"likelihood": {"samples": 0}}, "samples: expected at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(changes, message):
    with pytest.raises(IdentboxError, match=message):
        world_vae(Generative.from_preset("quick", {**TINY, **changes}), seed=0)


def test_data_of_another_range_than_their_likelihood_are_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(
        World, "sample", lambda self, *rest: SimpleNamespace(x={"1": torch.full((2, 3), math.inf)})
    )
    with pytest.raises(IdentboxError, match="data of 1: expected finite numbers, got inf"):
        run_vae_on_world(tiny(), tmp_path / "run", seed=0)


def test_the_command_trains_a_model_on_a_simulation(tmp_path):
    settings = tmp_path / "tiny.toml"
    lines = [
        f"{part}.{key} = {json.dumps(value)}" for part, keys in TINY.items() for key, value in keys.items()
    ]
    settings.write_text("\n".join(lines))
    options = ("--config", settings, "--device", "cpu", "--out", tmp_path / "run")
    done = identbox("train", "simulation", "--model", "mvae", *options)
    assert done.returncode == 0, done.stderr
    assert "ELBO with the divergences of components (Eq. 5.19)" in " ".join(done.stdout.split())
    wrong = identbox("train", "simulation", "--model", "gan", *options)
    assert wrong.returncode == 1
    assert "model: expected one of unimodal-vaes" in wrong.stderr


def test_a_sweep_sets_models_and_contrastive_encoders_side_by_side(tmp_path):
    from conftest import ROOT

    planned = read_sweep_file(ROOT / "simulations" / "causes.toml", "quick")
    jobs = list(planned.jobs(tmp_path, device="cpu"))
    words = {job.name: job.command[1:3] for job in jobs}
    assert words["simulation-seed0"] == ("simulate", "--preset")
    assert words["mopoe-vae-encoding_size8-seed0"] == ("train", "simulation")
    with pytest.raises(IdentboxError, match="--dataset: expected none for a sweep of simulations"):
        list(planned.jobs(tmp_path, device="cpu", dataset=tmp_path))


PAIRS = {
    "encoder": {"encoding_size": 4, "specific": 1},
    "data": {"image_size": 18},
    "training": {"steps": 6, "batch": 24, "log_every": 3},
    "probes": {"samples": 64, "bootstrap": 2},
    "likelihood": {"data": 2, "samples": 40},
    "generation": {"samples": 20, "judge": {"steps": 3}},
}


def test_autoregressive_and_residual_networks_are_trained_on_images_and_sentences(squares):
    networks = {
        "encoder": {**PAIRS["encoder"], "image": "residual"},
        "decoder": {"text": "autoregressive", "image": "autoregressive"},
    }
    experiment = Generative.from_preset("quick", {**PAIRS, **networks}, on="pairs")
    learner = dataset_vae(experiment, data_of_pairs(open_data(squares, experiment.data)), seed=0)
    loss = learner.loss(0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.vae.decoders.parameters())


@pytest.mark.slow
def test_images_and_sentences_are_modelled_probed_and_reported(squares, tmp_path, few_epochs):
    experiment = Generative.from_preset("quick", {**PAIRS, "model": "mopoe-vae"}, on="pairs")
    data = data_of_pairs(open_data(squares, experiment.data))
    record = run_vae(experiment, data, tmp_path / "run", seed=0)
    assert {probe["view"] for probe in record["probes"]} == {"image", "text"}
    assert {probe["view"] for probe in record["probes_subsets"]} == {
        "image+text", "image, specific", "text, specific",
    }  # fmt: skip
    assert "laplace of scale 0.1" in record["bound"]
    assert record["likelihood"][1]["what"].startswith("log p(image | text)")
    shown = reports.read_report(tmp_path / "run").markdown()
    assert "image+text" in shown
    found = verify_trials([trials.read(tmp_path / "run")], [], Margins())
    assert found.findings[0].seeds[0].judgements[0].outcome in ("not identified", "undecided")


def test_counterfactual_splits_that_came_after_the_training_are_in_the_record_of_a_probe(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(image_text, "probes", lambda *_, **__: {"probes": []})
    monkeypatch.setattr(counterfactual_evidence, "intervention_scores", lambda *_, **__: [])
    dataset = make_dataset(tmp_path / "squares", {"train": 60, "val": 24, "test": 48})
    changes = {**PAIRS, "generation": {"samples": 0}, "likelihood": {"data": 0}}
    experiment = Generative.from_preset("quick", changes, on="pairs")
    data = data_of_pairs(open_data(dataset, experiment.data))
    record = run_vae(experiment, data, tmp_path / "run", seed=0)
    assert "displacement" not in record
    drawn_counterfactuals.add(dataset, "permute:object_color")
    done = identbox("probe", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    run = records.read_run(tmp_path / "run" / records.RESULTS)
    views = ("image", "text", "image+text", "image, specific", "text, specific")
    assert {(one.intervention, one.view) for one in run.displacement} == {
        ("permute:object_color", view) for view in views
    }
    assert run.losses == record["losses"]


def test_data_for_images_that_a_model_cannot_have_are_refused():
    with pytest.raises(IdentboxError, match=r"data.hue: expected none for a model of the data"):
        Generative.from_preset("quick", {"data": {"hue": 0.2}}, on="pairs")
