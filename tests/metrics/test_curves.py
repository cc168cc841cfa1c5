import json
import time

import pytest
import torch

from identbox.experiments.learner import Learner
from identbox.experiments.own_encoders import train
from identbox.experiments.simulation import Simulation, learner_of, run_simulation
from identbox.learning.training import METRICS_FILE, model_state
from identbox.metrics import curves
from identbox.process.mixing import Mixing
from identbox.process.presets import numerical_simulation
from identbox.process.world import World

SHORT = {
    "process": {"content": 1, "style": 1, "specific": 1, "discrete": ["style"]},
    "mixing": {"pool": 100},
    "encoder": {"widths": [8]},
    "training": {"steps": 45, "batch": 16, "log_every": 2},
    "probes": {"samples": 20, "interventions": False, "bootstrap": 2},
}


def lines_of(folder):
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]


@pytest.mark.parametrize(
    ("steps", "log_every"), [(3000, 100), (300_000, 100), (45, 2), (7, 100), (20, 1), (19, 1)]
)
def test_scores_are_taken_about_twenty_times_and_last_at_the_end(steps, log_every):
    logged = [*range(log_every, steps, log_every), steps]
    due = [step for step in logged if curves.is_due(step, steps=steps, log_every=log_every)]
    assert due[-1] == steps
    assert len(due) == min(curves.TIMES, len(logged))


def test_weights_are_the_same_bits_with_curves_and_without(tmp_path, monkeypatch):
    simulation = Simulation.from_preset("quick", SHORT)
    run_simulation(simulation, tmp_path / "with", seed=0)
    monkeypatch.setattr(Learner, "curves", lambda self, step, training: {})
    run_simulation(simulation, tmp_path / "without", seed=0)
    one, two = (model_state(tmp_path / name) for name in ("with", "without"))
    assert all(torch.equal(one[name], two[name]) for name in one.keys() | two.keys())
    records = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("with", "without")]
    assert records[0]["probes"] == records[1]["probes"]
    lines, plain = (lines_of(tmp_path / name) for name in ("with", "without"))
    assert sum("scores" in line for line in lines) == curves.TIMES
    assert not any("scores" in line for line in plain)
    assert [line["loss"] for line in lines] == [line["loss"] for line in plain]


def test_modules_that_change_when_they_are_looked_at_are_left_alone(tmp_path, monkeypatch):
    """Batch norm keeps means of all it saw, and dropout draws: neither may notice the curves."""
    world = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=100))

    def trained(name):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(2, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(), torch.nn.Linear(8, 1)
        )
        net[2].eval()  # a mode of its own, which must stay
        train(
            dict.fromkeys(world.views, net),
            world,
            out=tmp_path / name,
            steps=12,
            batch_size=16,
            probe_samples=20,
        )
        return net.state_dict()

    one = trained("with")
    monkeypatch.setattr(Learner, "curves", lambda self, step, training: {})
    two = trained("without")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_curves_show_what_the_encodings_hold():
    world = World(numerical_simulation(content=2, style=2, specific=2), seed=0, mixing=Mixing(pool=100))
    sample = world.sample(2 * curves.SAMPLES, "curves")
    content = sample.block("1", "content").float()

    def scores(encoding):
        found = curves.curve_scores(world, lambda x, view: encoding)
        return {(one["target"], one["probe"]): one["score"] for one in found if one["view"] == "1"}

    found = scores(content @ torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    assert found["content", "linear"] > 0.999
    assert found["content", "kernel_ridge"] > 0.98
    assert max(found["style", probe] for probe in ("linear", "kernel_ridge")) < 0.1
    # Of cubes a line finds 0.6, since E c^4 = 3 and E c^6 = 15.
    found = scores(content**3)
    assert found["content", "kernel_ridge"] > found["content", "linear"] + 0.1


def test_curves_cost_little_of_the_training():
    """20 times the scores are below 2% of 3000 steps of the quick preset; here with five times the room."""
    learner = learner_of(Simulation.from_preset("quick"), seed=0)
    curves.curve_scores(learner.world, learner.encode)
    start = time.process_time()
    for _ in range(3):
        curves.curve_scores(learner.world, learner.encode)
    scored = (time.process_time() - start) / 3
    start = time.process_time()
    for step in range(10):
        learner.loss(step).backward()
    assert curves.TIMES * scored < 0.1 * 3000 * (time.process_time() - start) / 10
