"""The user's own modules are trained, recorded truthfully, and read by verify and report."""

import json

import pytest
import torch
from torch import nn

from conftest import identbox
from identbox.errors import IdentboxError
from identbox.experiments import trials
from identbox.experiments.own_encoders import train
from identbox.experiments.simulation import ProbeSettings
from identbox.learning.contrastive import Objective
from identbox.process.mixing import Mixing
from identbox.process.presets import numerical_simulation
from identbox.process.world import World

OPTIONS = {
    "steps": 300,
    "batch_size": 64,
    "learning_rate": 0.01,
    "probes": ProbeSettings(samples=100, bootstrap=20),
}


def world():
    return World(numerical_simulation(content=1, style=1, specific=0), seed=3, mixing=Mixing(pool=200))


class Net(nn.Module):
    """A small network of a user's own."""

    def __init__(self, inputs=2, outputs=1, seed=0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 8), nn.LeakyReLU(), nn.Linear(8, outputs))
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def forward(self, x):
        return self.layers(x)


def nets():
    return {"1": Net(seed=0), "2": Net(seed=1)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "run"
    encoders = nets()
    record = train(encoders, world(), Objective(), out=folder, **OPTIONS)
    return folder, encoders, record


def test_the_record_says_what_was_trained(trained):
    folder, _, record = trained
    assert record == json.loads((folder / "results.json").read_text())
    assert record["kind"] == "own-encoders"
    encoder = record["config"]["encoder"]
    assert (encoder["kind"], encoder["encoding_size"]) == ("own encoder", 1)
    one = encoder["views"]["1"]
    assert one["class"].endswith("test_own_encoders.Net")
    assert one["parameters"] == one["trained_parameters"] == 2 * 8 + 8 + 8 + 1
    assert "Linear(in_features=2, out_features=8" in one["structure"]
    assert record["config"]["world"]["mixing"]["pool"] == 200
    assert record["steps"] == 300
    assert record["losses"]["validation"] < record["losses"]["chance"] - 0.5


def test_a_finished_run_gives_back_its_record_and_the_weights(trained):
    folder, encoders, record = trained
    fresh = nets()
    assert train(fresh, world(), Objective(), out=folder, **OPTIONS) == record
    for view, module in fresh.items():
        for one, other in zip(module.parameters(), encoders[view].parameters(), strict=True):
            assert torch.equal(one, other)


def test_other_modules_are_refused_in_the_folder(trained):
    folder, _, _ = trained
    wider = {"1": Net(outputs=2), "2": Net(outputs=2)}
    with pytest.raises(IdentboxError, match="encoder.encoding_size"):
        train(wider, world(), Objective(), out=folder, **OPTIONS)


def test_verify_and_report_read_the_run(trained, tmp_path):
    folder, _, _ = trained
    trial = trials.read(folder)
    assert torch.equal(trial.world().mixings["2"].weights, world().mixings["2"].weights)
    assert trial.learner() is None
    done = identbox("verify", folder, "--out", tmp_path)
    assert done.returncode == 3, done.stderr  # nothing is predicted after so few steps
    table = json.loads((tmp_path / "verification.json").read_text())
    assert table["groups"][0]["seeds"][0]["assumptions"]
    assert "Eq. 8.9, at best 0" in (tmp_path / "verification.md").read_text()
    assert identbox("report", folder, "--out", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        (lambda: {"1": Net()}, "encoders: expected a module for each of the views 1, 2; got 1"),
        (lambda: {"1": Net(), "2": lambda x: x}, "encoder of view 2: expected a torch module, got function"),
        (
            lambda: {"1": Net(), "2": nn.Identity()},
            "encoder of view 2: expected parameters to train, got none",
        ),
        (
            lambda: {"1": Net(), "2": Net(outputs=2)},
            r"encoders: expected encodings of one size, got \[1, 2\]",
        ),
        (
            lambda: {"1": Net(inputs=3), "2": Net()},
            "encoder of view 1: expected a module for observations of 2 dimensions",
        ),
    ],
)
def test_what_cannot_be_trained_gets_one_line(encoders, message, tmp_path):
    with pytest.raises(IdentboxError, match=message):
        train(encoders(), world(), out=tmp_path / "run", steps=2)
    assert not (tmp_path / "run").exists()
