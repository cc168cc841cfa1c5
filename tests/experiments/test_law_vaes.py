"""Multimodal VAEs on discrete laws: what the record says beside what is known."""

import json
import math

import pytest
import torch

from conftest import identbox
from identbox.errors import IdentboxError
from identbox.experiments import law_vaes
from identbox.experiments.generative import Generative
from identbox.learning.likelihoods import Components
from identbox.process.exact import DiscreteProcess

SMALL = {  # of the quick preset
    "encoder": {"widths": [4]},
    "decoder": {"widths": [8]},
    "training": {"steps": 150, "batch": 64, "learning_rate": 0.03, "log_every": 150},
    "probes": {"samples": 60, "bootstrap": 2},
    "likelihood": {"data": 40, "samples": 50},
}
# A bit, and a component of three classes that is 0 with the bit and else 1 or 2.
TABLE = [[[0.5, 0.0, 0.0]], [[0.0, 0.25, 0.25]]]
LAW = 'modalities = { x1 = ["a"], x2 = ["one", "b"] }\ntable = ' + json.dumps(TABLE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the command on a small law."""
    folder = tmp_path_factory.mktemp("law")
    (folder / "law.toml").write_text(LAW)
    words = [f"--set={part}.{key}={json.dumps(v)}" for part, keys in SMALL.items() for key, v in keys.items()]
    done = identbox("train", folder / "law.toml", "--model", "mopoe-vae", *words, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_trained_model_comes_near_the_law_and_not_nearer_than_theorem_1_allows(finished):
    folder, _ = finished
    exact = json.loads((folder / "run" / "results.json").read_text())["exact"]
    assert exact["log_evidence"] == pytest.approx(-1.5 * math.log(2))
    gap = exact["log_evidence"] - exact["bound"]
    assert exact["least_gap"] == pytest.approx(0)  # one bit, which every modality shows
    assert exact["printed_gap"] == pytest.approx(math.log(2) / 6)
    assert -4 * exact["error"] < gap < 1.0
    assert exact["states"] == 3


def test_the_report_sets_estimates_beside_what_is_exact(finished):
    folder, printed = finished
    record = json.loads((folder / "run" / "results.json").read_text())
    joint, first, second = record["exact"]["likelihood"]
    assert first == 0  # x2 names the bit
    assert joint == pytest.approx(second + math.log(0.5))  # x1 is a fair bit
    assert "Beside the exact law" in printed
    text = " ".join(printed.split())
    assert f"-{1.5 * math.log(2):.3f}" in text
    assert "no model loses less than 0.000" in text
    assert {probe["target"] for probe in record["probes"]} == {"a", "b"}  # one has a single class


def test_a_run_goes_on_with_its_law_alone(finished, tmp_path):
    folder, _ = finished
    other = tmp_path / "other.toml"
    other.write_text(LAW.replace("0.25, 0.25", "0.5, 0.0"))
    experiment = Generative.from_preset("quick", SMALL, on="law")
    with pytest.raises(IdentboxError, match=r"differs in law\.sha256"):
        law_vaes.run_vae_on_law(experiment, other, folder / "run", seed=0)


def test_the_bound_is_that_of_a_sum_over_states_and_draws():
    """Against a loop over single states, weighted by their probabilities."""
    law = DiscreteProcess({"x1": ["a"], "x2": ["one", "b"]}, TABLE)
    experiment = Generative.from_preset("quick", {**SMALL, "model": "mvae", "elbo": {"beta": 3.0}}, on="law")
    learner = law_vaes.law_vae(experiment, law, seed=0)
    found = law_vaes.gap_record(learner, experiment)
    states, p = law.support()
    total, draws = 0.0, 2000
    for state, weight in zip(states, p, strict=True):
        x = {"x1": torch.tensor(state[None, :1]), "x2": torch.tensor(state[None, 1:])}
        posterior = learner.vae.posterior(x)
        z = posterior.sample(draws, generator=torch.Generator().manual_seed(0))
        likelihood = sum(learner.vae.log_likelihood(name, z, values) for name, values in x.items())
        bound = likelihood.mean() - posterior.components.kl_to_prior().mean()
        total += weight * bound.item()
    assert found["bound"] == pytest.approx(total, abs=0.02)


def test_classes_that_a_component_has_not_are_left_out():
    likelihood = Components(sizes=(2, 3))
    logits = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    every = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    total = sum(likelihood.log_density(logits, x.expand(4, 2)).exp() for x in every)
    assert torch.allclose(total, torch.ones(4))
    drawn = likelihood.sample(logits.repeat(100, 1, 1), torch.Generator().manual_seed(1))
    assert drawn[:, 0].max() == 1
    assert drawn[:, 1].max() == 2
    with pytest.raises(IdentboxError, match="component 0: expected classes of 0 to 1, got 2"):
        likelihood.expect(torch.tensor([[2, 2]]), "data of x2")


def test_a_law_of_numbers_is_refused(tmp_path):
    (tmp_path / "law.toml").write_text(
        'modalities = { x1 = ["a"], x2 = ["b"] }\ncovariance = [[1, 0.5], [0.5, 1]]'
    )
    done = identbox("train", tmp_path / "law.toml", "--model", "mvae", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "expected a law of classes, got a covariance" in done.stderr
    done = identbox("train", tmp_path / "law.toml", "--model", "dmvae", "--out", tmp_path / "run")
    assert "--model dmvae: expected simulation or a dataset, got the law" in done.stderr
    done = identbox("train", tmp_path / "nowhere.toml", "--model", "mvae", "--out", tmp_path / "run")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
