"""A training with hard negatives: what its steps minimise, which weights they move, and that it can be continued."""

import pytest
import torch

from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments import controls, simulation
from identbox.experiments.hard_stage import HardStage
from identbox.experiments.simulation import Simulation
from identbox.learning import training
from identbox.learning.contrastive import whitening
from identbox.learning.hard_negatives import info_nce_in_groups, nearest

TINY = {
    "plain_steps": 2,
    "process": {"content": 1, "style": 1, "specific": 1},
    "mixing": {"pool": 100, "ratio": 0.1},
    "encoder": {"widths": [8], "whitening": 200},
    "objective": {"encodings": "whitened", "decoupled": True, "temperature": 0.7},
    "hard_negatives": {"steps": 3, "projection_steps": 2, "extra": 2, "group": 8, "pool": 100},
    "training": {"steps": 9, "batch": 32, "log_every": 1, "checkpoint_every": 0.0, "optimizer": "soap"},
    "probes": {"samples": 120, "bootstrap": 5, "interventions": False},
}
STEPS = range(9)
PLAIN, HARD, PROJECTION, LAST = STEPS[:2], STEPS[2:5], STEPS[5:7], STEPS[7:]


def learner(table=None, learner_type=simulation.Learner):
    made = Simulation.from_preset("quick", config.merge(TINY, table or {}))
    return simulation.learner_of(made, seed=0, learner_type=learner_type)


def moved_by(made, step):
    """The last parts of the names of weights that the step has a gradient for."""
    made.zero_grad(set_to_none=True)
    made.training_loss(step).backward()
    return {
        "projection" if "projection" in name else name.split(".")[0] + " wide"
        for name, weight in made.named_parameters()
        if weight.grad is not None
    }


def test_each_part_of_the_training_moves_its_own_weights():
    made = learner()
    moved = [moved_by(made, step) for step in STEPS]
    assert all(moved[step] == {"encoders wide", "projection"} for step in (*PLAIN, *LAST))
    assert all(moved[step] == {"encoders wide"} for step in HARD)
    assert all(moved[step] == {"projection"} for step in PROJECTION)


def test_encoders_have_more_outputs_than_encodings():
    made = learner()
    sample = made.world.sample(5)
    for view, x in sample.x.items():
        assert made.encode(x, view).shape == (5, 1)
        assert made.encoder(view).wide(x).shape == (5, 3)
        # At first the linear map takes the first outputs.
        assert torch.equal(made.encode(x, view), made.encoder(view).wide(x)[:, :1])


def change(encoders, factor):
    """Other weights than before."""
    with torch.no_grad():
        for weight in encoders.parameters():
            weight.mul_(factor)
    return {name: weight.clone() for name, weight in encoders.state_dict().items()}


def same(module, weights):
    return all(torch.equal(module.state_dict()[name], weight) for name, weight in weights.items())


def test_encoders_begin_anew_and_what_they_were_finds_the_groups():
    made = learner()
    untrained = {name: weight.clone() for name, weight in made.encoders.state_dict().items()}
    plain = change(made.encoders, 1.1)
    made.training_loss(HARD[0])
    assert same(made.encoders, untrained)
    assert same(made.hard.first, plain)
    later = change(made.encoders, 1.2)
    made.training_loss(HARD[1])
    assert same(made.encoders, later)
    assert same(made.hard.first, plain)


def test_a_step_with_hard_negatives_is_the_loss_in_groups_of_samples_that_first_encoders_put_nearest(
    monkeypatch,
):
    made = learner()
    change(made.encoders, 1.1)
    made.training_loss(HARD[0])
    change(made.encoders, 1.2)
    x = made.world.sample(100, "hard negatives", 0).x
    with torch.no_grad():
        codes = [made.hard.first[view](values) for view, values in x.items()]
    codes = torch.stack([whitening(codes)(z) for z in codes]).mean(0)
    seen = []
    monkeypatch.setattr(
        "identbox.learning.hard_negatives.nearest",
        lambda *given: seen.append(given) or nearest(*given),
    )
    loss = made.training_loss(HARD[1])
    ((given, anchors, size),) = seen
    assert torch.allclose(given, codes)
    assert (len(anchors), size) == (4, 8)
    near = nearest(codes, anchors, 8)
    outputs = [made.encoder(view).wide(values[near.flatten()]) for view, values in x.items()]
    expected = info_nce_in_groups([each.unflatten(0, near.shape) for each in outputs], made.objective)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_without_hard_negatives_nothing_of_them_is_there():
    made = learner({"hard_negatives": {"steps": 0}})
    assert made.hard is None
    assert not any("projection" in name or "hard" in name for name in made.state_dict())
    assert torch.equal(made.training_loss(2), made.loss(2))


def test_a_training_that_stops_in_any_part_goes_on_as_if_it_had_not(tmp_path):
    made = Simulation.from_preset("quick", TINY)

    class StoppedError(Exception):
        pass

    def trained(folder, stops=()):
        for stop in (*stops, None):
            one = learner()

            def loss(step, one=one, stop=stop):
                if step == stop:
                    raise StoppedError
                return one.drawn_loss()(step)

            try:
                training.minimise(one, loss, made.training, folder)
            except StoppedError:
                continue
        return one.state_dict()

    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = trained(tmp_path / "whole")
    stopped = trained(tmp_path / "stopped", stops=(1, 2, 3, 4, 5, 6, 7, 8))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_the_pairs_of_a_control_are_shuffled_among_hard_negatives_too():
    made = learner(learner_type=controls.ShuffledPairs)
    made.training_loss(HARD[0])
    first, second = made.hard._pool.views
    x = made.world.sample(100, "hard negatives", 0).x
    one, other = x.values()
    assert torch.equal(first, one)
    assert not torch.equal(second, other)
    assert torch.equal(second.sort(0).values, other.sort(0).values)


def test_cosine_similarity_has_no_hard_negatives():
    with pytest.raises(
        IdentboxError, match="hard_negatives: expected Euclidean distances, got cosine similarity"
    ):
        learner({"objective": {"similarity": "cosine", "encodings": None}})


def test_a_training_is_long_enough_for_the_part_to_end():
    with pytest.raises(
        IdentboxError, match=r"training.steps: expected at least 7, which plain steps .*, got 6"
    ):
        learner({"training": {"steps": 6}})
    learner({"training": {"steps": 7}})
    # Controls are a tenth as long, and one has no step.
    made = Simulation.from_preset("quick", TINY)
    for name in controls.CONTROLS:
        assert controls.simulation_of(name, made, 2).hard_negatives.steps == 0


def test_all_steps_of_the_part_count_from_where_plain_ones_end():
    made = learner({"plain_steps": 0})
    assert isinstance(made.hard, HardStage)
    assert made.hard.steps == 5
    assert [moved_by(made, step) == {"projection"} for step in range(6)] == [False] * 3 + [True] * 2 + [False]
