"""A training with hard negatives: what its steps minimise, which weights they move, and that it can be continued."""

import pytest
import torch

from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments import controls, simulation
from identbox.experiments.hard_stage import fitted_projection
from identbox.experiments.simulation import Simulation
from identbox.learning import training
from identbox.learning.contrastive import Objective, info_nce, whitening
from identbox.learning.hard_negatives import info_nce_in_groups, nearest

TINY = {
    "plain_steps": 2,
    "process": {"content": 1, "style": 1, "specific": 1},
    "mixing": {"pool": 100, "ratio": 0.1},
    "encoder": {"widths": [8], "whitening": 200},
    "objective": {"encodings": "whitened", "decoupled": True, "temperature": 0.7},
    "hard_negatives": {"steps": 3, "projection_steps": 20, "extra": 2, "group": 8, "pool": 100},
    "training": {"steps": 7, "batch": 32, "log_every": 1, "checkpoint_every": 0.0, "optimizer": "soap"},
    "probes": {"samples": 120, "bootstrap": 5, "interventions": False},
}
STEPS = range(7)
PLAIN, HARD, LAST = STEPS[:2], STEPS[2:5], STEPS[5:]


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


def linear_map(made):
    return made.encoder(made.world.views[0]).projection.weight.detach().clone()


def test_the_linear_map_is_found_after_hard_negatives_and_once():
    made = learner()
    for step in HARD:
        made.training_loss(step)
    first_outputs = linear_map(made)
    assert torch.equal(first_outputs, torch.tensor([[1.0, 0.0, 0.0]]))
    outputs = change(made.encoders, 1.0)
    before = made.validation_loss()
    made.training_loss(LAST[0])
    found = linear_map(made)
    assert made.validation_loss() < before
    assert same(made.encoders, {name: w for name, w in outputs.items() if "projection" not in name})
    made.training_loss(LAST[1])
    assert torch.equal(linear_map(made), found)


def noisy_views(number):
    """Two views of a batch: five outputs that mix two shared variables with three that differ between views."""
    generator = torch.Generator().manual_seed(number)
    shared = torch.randn(256, 2, generator=generator)
    mixed = torch.randn(5, 5, generator=torch.Generator().manual_seed(99))
    return [
        torch.cat([shared, torch.randn(256, 3, generator=generator)], 1) @ mixed for _ in range(2)
    ], shared


@pytest.mark.parametrize("seed", range(3))
def test_the_linear_map_keeps_what_views_share(seed):
    objective = Objective(temperature=0.7, encodings="whitened", decoupled=True)
    found = fitted_projection(
        lambda number: noisy_views(number)[0],
        lambda views: info_nce(views, objective),
        size=2,
        steps=200,
        seed=seed,
    )
    assert found.shape == (2, 5)
    (first, _), shared = noisy_views(1000)
    encoded = first @ found.T
    told = encoded @ torch.linalg.lstsq(encoded, shared).solution
    assert 1 - (told - shared).var(0) / shared.var(0) == pytest.approx([1.0, 1.0], abs=0.01)


def test_the_linear_map_is_the_same_whenever_it_is_fitted_and_whatever_the_scale_of_outputs():
    objective = Objective(temperature=0.7, encodings="whitened", decoupled=True)

    def fitted(scale):
        return fitted_projection(
            lambda number: [scale * view for view in noisy_views(number)[0]],
            lambda views: info_nce(views, objective),
            size=2,
            steps=20,
            seed=0,
        )

    assert torch.equal(fitted(1.0), fitted(1.0))
    assert torch.allclose(fitted(1.0), 8 * fitted(8.0), rtol=1e-2, atol=1e-3)


def test_plain_steps_and_hard_negatives_and_the_last_steps_have_schedules_of_their_own():
    made = Simulation.from_preset("quick", TINY)
    assert [(part.steps, part.learning_rate) for part in learner().parts(made.training)] == [
        (2, made.training.learning_rate),
        (3, made.training.learning_rate),
        (2, made.hard_negatives.last_learning_rate),
    ]
    none = learner({"hard_negatives": {"steps": 0}})
    assert none.parts(made.training) == (made.training,)


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
                training.minimise(one, loss, made.training, folder, parts=one.parts(made.training))
            except StoppedError:
                continue
        return one.state_dict()

    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = trained(tmp_path / "whole")
    stopped = trained(tmp_path / "stopped", stops=(1, 2, 3, 4, 5, 6))
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


def test_a_training_is_long_enough_for_steps_after_hard_negatives():
    with pytest.raises(
        IdentboxError, match=r"training.steps: expected more than the 5 of plain steps .*, got 5"
    ):
        learner({"training": {"steps": 5}})
    learner({"training": {"steps": 6}})
    # Controls are a tenth as long, and one has no step.
    made = Simulation.from_preset("quick", TINY)
    for name in controls.CONTROLS:
        assert controls.simulation_of(name, made, 2).hard_negatives.steps == 0


def test_steps_with_hard_negatives_count_from_where_plain_ones_end():
    made = learner({"plain_steps": 0})
    assert [moved_by(made, step) == {"encoders wide"} for step in range(5)] == [True] * 3 + [False] * 2
