"""A loss in two parts; on a GPU, recorded steps of a training against those taken one by one."""

import pytest
import torch

from identbox.experiments.generative import Generative, world_vae
from identbox.experiments.simulation import Simulation, learner_of
from identbox.learning import training
from identbox.learning.graphs import DrawnLoss
from identbox.learning.training import Callbacks, TrainingSettings

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SETTINGS = TrainingSettings(steps=40, batch=256, learning_rate=1e-3, warmup=10, log_every=10)
VAES = {
    "mopoe-vae": {"elbo": {"subsets": "one"}},
    "mmvae-plus": {},
    "mmvae": {"elbo": {"divergence": "mixture"}},
}


def contrastive(encodings=None):
    table = {"training": {"batch": 256}, "mixing": {"pool": 100}, "objective": {"encodings": encodings}}
    if encodings is None:
        del table["objective"]
    return learner_of(Simulation.from_preset("quick", table), seed=0)


def vae(model, table):
    table = {"model": model, "mixing": {"pool": 100}, "training": {"batch": 256}, **table}
    return world_vae(Generative.from_preset("quick", table), seed=0)


def weights(learner):
    return [parameter.detach().cpu() for parameter in learner.parameters()]


@pytest.mark.parametrize(
    "make", [contrastive, lambda: vae("mopoe-vae", VAES["mopoe-vae"])], ids=["infonce", "mopoe-vae"]
)
def test_the_loss_in_two_parts_is_the_loss(make):
    learner = make()
    drawn = learner.drawn_loss()
    for step in (0, 3):
        assert torch.equal(drawn(step), learner.loss(step))


def trained(make, folder, *, recorded, messages):
    """The weights after a training on a GPU, and how many times the loss was computed in Python."""
    folder.mkdir()
    learner, calls = make().to("cuda"), []
    loss = learner.drawn_loss()

    def of(drawn, generator):
        calls.append(1)
        return loss.of(drawn, generator)

    counted = DrawnLoss(draw=loss.draw, of=of, seed=loss.seed)
    training.minimise(
        learner,
        counted if recorded else lambda step: counted(step),
        SETTINGS,
        folder,
        callbacks=Callbacks(on_message=messages.append),
    )
    return weights(learner), len(calls)


@needs_gpu
@pytest.mark.parametrize(
    "make",
    [
        contrastive,
        lambda: contrastive("whitened"),
        *(lambda name=name, table=table: vae(name, table) for name, table in VAES.items()),
    ],
    ids=["infonce", "whitened", *VAES],
)
def test_recorded_steps_give_the_weights_of_steps_one_by_one(make, tmp_path):
    messages = []
    found, few = trained(make, tmp_path / "recorded", recorded=True, messages=messages)
    expected, many = trained(make, tmp_path / "eager", recorded=False, messages=messages)
    assert not messages
    assert few == 4  # three steps, and the recording
    assert many == SETTINGS.steps
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


@needs_gpu
def test_a_training_continues_with_recorded_steps(tmp_path):
    learner = contrastive().to("cuda")
    half = TrainingSettings(**{**vars(SETTINGS), "steps": 20})
    training.minimise(learner, learner.drawn_loss(), half, tmp_path)
    again = contrastive().to("cuda")
    training.minimise(again, again.drawn_loss(), SETTINGS, tmp_path)
    (tmp_path / "whole").mkdir()
    whole = contrastive().to("cuda")
    training.minimise(whole, whole.drawn_loss(), SETTINGS, tmp_path / "whole")
    for one, other in zip(weights(again), weights(whole), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


@needs_gpu
def test_a_loss_that_waits_for_the_gpu_is_not_recorded(tmp_path):
    learner, messages = contrastive().to("cuda"), []
    loss = learner.drawn_loss()

    def of(drawn, generator):
        value = loss.of(drawn, generator)
        return value * (1.0 if value.item() > 0 else 2.0)

    training.minimise(
        learner,
        DrawnLoss(draw=loss.draw, of=of, seed=loss.seed),
        SETTINGS,
        tmp_path,
        callbacks=Callbacks(on_message=messages.append),
    )
    assert len(messages) == 1
    assert "none could be recorded" in messages[0]


def test_a_checkpoint_from_a_gpu_continues_on_a_cpu(tmp_path):
    """What a GPU's optimiser has besides, in the checkpoint of a CPU: its rate as a tensor, and `capturable`."""
    learner = contrastive()
    half = TrainingSettings(**{**vars(SETTINGS), "steps": 20})
    training.minimise(learner, learner.drawn_loss(), half, tmp_path)
    path = tmp_path / training.CHECKPOINT
    state = torch.load(path, weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        group |= {"lr": torch.tensor(group["lr"]), "capturable": True}
    torch.save(state, path)
    again, whole = contrastive(), contrastive()
    training.minimise(again, again.drawn_loss(), SETTINGS, tmp_path)
    (tmp_path / "whole").mkdir()
    training.minimise(whole, whole.drawn_loss(), SETTINGS, tmp_path / "whole")
    for one, other in zip(weights(again), weights(whole), strict=True):
        assert torch.equal(one, other)
