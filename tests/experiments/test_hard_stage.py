"""A training with hard negatives: what its steps minimise, which weights they move, and that it can be continued."""

import math

import pytest
import torch
from torch import nn

from identbox import config, seeding
from identbox.errors import IdentboxError
from identbox.experiments import controls, simulation
from identbox.experiments.hard_stage import HardStage, Projected, Projection
from identbox.experiments.simulation import Simulation
from identbox.learning import training
from identbox.learning.contrastive import Objective, info_nce, whitening
from identbox.learning.encoders import MLP, MLPSettings
from identbox.learning.hard_negatives import HardNegatives, info_nce_in_groups

TINY = {
    "plain_steps": 2,
    "process": {"content": 1, "style": 1, "specific": 1},
    "mixing": {"pool": 100, "ratio": 0.1},
    "encoder": {"widths": [8], "whitening": 200},
    "objective": {"encodings": "whitened", "decoupled": True, "temperature": 0.7},
    "hard_negatives": {
        "steps": 3,
        "start": "on",
        "learning_rate": 0.01,
        "decoded_steps": 2,
        "joint_steps": 2,
        "extra": 2,
        "group": 8,
        "pool": 100,
    },
    "training": {"steps": 11, "batch": 32, "log_every": 1, "checkpoint_every": 0.0, "optimizer": "soap"},
    "probes": {"samples": 120, "bootstrap": 5, "interventions": False},
}
STEPS = range(11)
PLAIN, HARD, DECODED, JOINT, LAST = STEPS[:2], STEPS[2:5], STEPS[5:7], STEPS[7:9], STEPS[9:]


def learner(table=None, learner_type=simulation.Learner):
    made = Simulation.from_preset("quick", config.merge(TINY, table or {}))
    return simulation.learner_of(made, seed=0, learner_type=learner_type)


def moved_by(made, step):
    """What of a learner the step has a gradient for."""
    made.zero_grad(set_to_none=True)
    made.training_loss(step).backward()
    names = [name for name, weight in made.named_parameters() if weight.grad is not None]
    return {what for what in ("wide", "projection", "decoder") if any(what in name for name in names)}


def test_each_part_of_the_training_moves_its_own_weights():
    made = learner()
    moved = [moved_by(made, step) for step in STEPS]
    assert all(moved[step] == {"wide"} for step in (*PLAIN, *HARD))
    assert all(moved[step] == {"wide", "projection"} for step in LAST)
    assert all(moved[step] == {"wide", "projection", "decoder"} for step in (*DECODED, *JOINT))


def test_a_new_linear_map_begins_after_hard_negatives_and_once():
    made = learner()
    for step in HARD:
        made.training_loss(step)
    projection = made.encoder(made.world.views[0]).projection
    assert torch.equal(projection.weight, torch.tensor([[1.0, 0.0, 0.0]]))
    ended_with = change(made.encoders, 1.1)
    made.training_loss(DECODED[0])
    begun = projection.weight.detach().clone()
    assert begun.norm().item() == pytest.approx(1)
    assert not torch.equal(begun, torch.tensor([[1.0, 0.0, 0.0]]))
    wide = {name: weight for name, weight in ended_with.items() if "wide" in name}
    assert same(made.hard.kept, wide)
    assert same(made.encoders, wide)
    change(made.encoders, 1.1)
    made.training_loss(DECODED[1])
    assert same(made.hard.kept, wide)


def test_a_linear_map_undoes_mean_and_covariance_of_outputs_whatever_their_size():
    generator = torch.Generator().manual_seed(0)
    outputs = 1e5 * torch.randn(500, 4, generator=generator) @ torch.randn(4, 4, generator=generator) + 7e4
    projection = Projection(4, 2)
    projection.begin([outputs[:200], outputs[200:]], torch.Generator().manual_seed(1))
    assert torch.allclose(projection.whitened(outputs).T.cov(), torch.eye(4), atol=1e-3)
    assert torch.allclose(projection.weight @ projection.weight.T, torch.eye(2), atol=1e-6)
    encoded = projection(outputs)
    assert torch.allclose(encoded.mean(0), torch.zeros(2), atol=1e-3)
    assert torch.allclose(encoded.T.cov(), torch.eye(2), atol=1e-3)


def test_decoded_steps_have_the_loss_of_the_decoder_and_joint_ones_that_in_groups_as_well():
    made = learner()
    for step in HARD:
        made.training_loss(step)
    change(made.encoders, 1.1)
    made.training_loss(DECODED[0])
    change(made.encoders, 1.2)
    assert made.training_loss(DECODED[1]).item() == pytest.approx(decoding(made, 1).item(), rel=1e-4)
    expected = 3 * decoding(made, 2) + loss_in_groups(made, 5, made.encode)
    assert made.training_loss(JOINT[0]).item() == pytest.approx(expected.item(), rel=1e-4)


def decoding(made, number):
    """The loss of the decoder, which is to tell the mean of what both views were encoded as."""
    x = made.world.sample(32, "hard negatives/decoded", number).x
    with torch.no_grad():
        outputs = [made.hard.kept[view].wide(values) for view, values in x.items()]
        projection = made.encoder(made.world.views[0]).projection
        scaled = [(each - projection.mean) @ projection.whitener for each in outputs]
        told = [made.hard.decoder(made.encode(values, view)) for view, values in x.items()]
        return sum((each - sum(scaled) / 2).square().mean() for each in told) / 2


class Bent(nn.Module):
    """Two variables as four outputs: the first goes along an arc of 270 degrees. What is trained adds to them."""

    def __init__(self, seed):
        super().__init__()
        self.net = MLP(2, 4, MLPSettings(widths=(20, 20), start="he"), seed=seed, name="bent")
        nn.init.zeros_(self.net[-1].weight)

    def forward(self, c):
        angle = 0.75 * math.pi * c[:, :1]
        return torch.cat([angle.cos(), angle.sin(), c[:, 1:], c.prod(1, keepdim=True)], 1) + self.net(c)


def apart(encodings, variables):
    """How far the variables of a sample are from those of the sample with the nearest encoding, a mean."""
    distances = torch.cdist(encodings, encodings)
    distances.fill_diagonal_(math.inf)
    return (variables[distances.argmin(1)] - variables).norm(dim=1).mean().item()


@pytest.mark.parametrize("seed", [10, 11, 12])
def test_what_a_linear_map_puts_together_the_decoder_keeps_apart(seed):
    """No linear map of the arc to a line is one-to-one, and most planes of the four outputs put much together."""
    generator = torch.Generator().manual_seed(seed)
    encoders = nn.ModuleDict({"1": Projected(Bent(seed), Projection(4, 2))})
    stage = HardStage(HardNegatives(steps=1), encoders, seed=seed)
    draws = [2 * torch.rand(256, 2, generator=generator) - 1 for _ in range(301)]
    with torch.no_grad():
        stage.begin_decoding(encoders, [encoders["1"].wide(draws[-1])])
        outputs = [stage.kept["1"].wide(c) for c in draws]
        test = 2 * torch.rand(1000, 2, generator=generator) - 1
        before = apart(encoders["1"](test), test)
    adam = torch.optim.Adam([*encoders.parameters(), *stage.decoder.parameters()], lr=5e-3)
    for c, wanted in zip(draws[:300], outputs, strict=False):
        adam.zero_grad()
        stage.decoding_loss([encoders["1"](c)], [wanted]).backward()
        adam.step()
    with torch.no_grad():
        after = apart(encoders["1"](test), test)
    assert apart(test, test) == pytest.approx(0.03, abs=0.01)  # the variables themselves
    assert before > 0.1
    assert after < 0.1


def test_the_parts_of_a_training_have_schedules_of_their_own():
    made = Simulation.from_preset("quick", TINY)
    assert [(part.steps, part.learning_rate) for part in learner().parts(made.training)] == [
        (2, made.training.learning_rate),
        (3, made.hard_negatives.learning_rate),
        (2, made.training.learning_rate),
        (2, made.hard_negatives.joint_learning_rate),
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


def test_plain_steps_are_on_all_outputs():
    made = learner()
    x = made.world.sample(32, "train", PLAIN[1]).x
    outputs = [made.encoder(view).wide(values) for view, values in x.items()]
    assert outputs[0].shape == (32, 3)
    expected = info_nce(outputs, Objective())
    assert made.training_loss(PLAIN[1]).item() == pytest.approx(expected.item(), rel=1e-6)


def loss_in_groups(made, step, encode):
    """The loss with hard negatives of a step, by brute force."""
    x = made.world.sample(100, "hard negatives", 0).x
    with torch.no_grad():
        first = {view: made.hard.first[view] for view in x}
        if made.hard.settings.start == "on":
            first = {view: encoder.wide for view, encoder in first.items()}
        codes = [first[view](values) for view, values in x.items()]
    codes = torch.stack([whitening(codes)(z) for z in codes]).mean(0)
    anchors = torch.randint(100, (4,), generator=seeding.generator(0, "hard negatives", "anchors", step))
    near = torch.cdist(codes[anchors], codes).argsort(1)[:, :8]
    encoded = [encode(values[near.flatten()], view) for view, values in x.items()]
    return info_nce_in_groups([each.unflatten(0, near.shape) for each in encoded], made.objective)


@pytest.mark.parametrize("start", ["anew", "on"])
def test_a_step_with_hard_negatives_is_the_loss_in_groups_of_samples_that_first_encoders_put_nearest(start):
    made = learner({"hard_negatives": {"start": start}})
    untrained = {name: weight.clone() for name, weight in made.encoders.state_dict().items()}
    plain = change(made.encoders, 1.1)
    made.training_loss(HARD[0])
    assert same(made.encoders, plain if start == "on" else untrained)
    later = change(made.encoders, 1.2)
    expected = loss_in_groups(made, 1, lambda x, view: made.encoder(view).wide(x))
    assert made.training_loss(HARD[1]).item() == pytest.approx(expected.item(), rel=1e-4)
    assert same(made.encoders, later)
    made.training_loss(DECODED[0])
    assert same(made.hard.first, plain)


def test_without_hard_negatives_nothing_of_them_is_there():
    made = learner({"hard_negatives": {"steps": 0}})
    assert made.hard is None
    assert not any("projection" in name or "hard" in name for name in made.state_dict())
    assert torch.equal(made.training_loss(2), made.loss(2))


@pytest.mark.parametrize("start", ["anew", "on"])
def test_a_training_that_stops_in_any_part_goes_on_as_if_it_had_not(tmp_path, start):
    made = Simulation.from_preset("quick", TINY)

    class StoppedError(Exception):
        pass

    def trained(folder, stops=()):
        for stop in (*stops, None):
            one = learner({"hard_negatives": {"start": start}})

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
    stopped = trained(tmp_path / "stopped", stops=range(1, 11))
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
        IdentboxError, match=r"training.steps: expected more than the 9 of plain steps .*, got 9"
    ):
        learner({"training": {"steps": 9}})
    learner({"training": {"steps": 10}})
    # Controls are a tenth as long, and one has no step.
    made = Simulation.from_preset("quick", TINY)
    for name in controls.CONTROLS:
        assert controls.simulation_of(name, made, 2).hard_negatives.steps == 0


def test_steps_with_hard_negatives_count_from_where_plain_ones_end():
    made = learner({"plain_steps": 0})
    assert [moved_by(made, step) == {"wide"} for step in range(5)] == [True] * 3 + [False] * 2


def test_where_encoders_begin_anew_plain_steps_have_encodings_alone():
    made = learner({"hard_negatives": {"start": "anew"}})
    x = made.world.sample(32, "train", PLAIN[1]).x
    expected = info_nce([made.encode(values, view) for view, values in x.items()], Objective())
    assert made.training_loss(PLAIN[1]).item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_a_rate_of_their_own_hard_negatives_have_that_of_the_training():
    made = Simulation.from_preset("quick", TINY)
    stage = learner().hard
    stage.settings = HardNegatives(steps=3, decoded_steps=2)
    rates = [(part.steps, part.learning_rate) for part in stage.parts(made.training, 2)]
    assert rates[:3] == [(steps, made.training.learning_rate) for steps in (2, 3, 2)]
