import errno
import json
import math
import os

import pytest
import torch

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning import training
from identbox.learning.optimizers import AdamW
from identbox.learning.training import (
    CHECKPOINT,
    METRICS_FILE,
    PREVIOUS,
    Callbacks,
    TrainingSettings,
    load_model,
    minimise,
)

QUICK = {"batch": 32, "learning_rate": 0.01, "log_every": 10, "checkpoint_every": 0.0}


def model():
    made = torch.nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-1, 1, generator=seeding.generator(0, "weights"))
    return made


def loss_of(made, truth=1.5):
    def loss(step):
        x = torch.randn(32, 3, generator=seeding.generator(0, "batch", step))
        return (made(x) - truth * x[:, :2]).square().mean()

    return loss


def run(folder, steps, made=None, **options):
    made = made or model()
    folder.mkdir(exist_ok=True)
    settings = TrainingSettings(steps=steps, **{**QUICK, **options.pop("settings", {})})
    return made, minimise(made, options.pop("loss", loss_of(made)), settings, folder, **options)


def weights(made):
    return torch.cat([parameter.detach().flatten() for parameter in made.parameters()])


def test_training_finds_the_minimum(tmp_path):
    made, trained = run(tmp_path, 1500)
    assert trained.steps == 1500
    assert trained.loss < 1e-3
    torch.testing.assert_close(made.weight.detach(), 1.5 * torch.eye(3)[:2], atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [{"schedule": "constant"}, {"schedule": "cosine"}, {"optimizer": "soap", "learning_rate": 3e-3}],
)
def test_a_continued_run_ends_in_the_same_bits(tmp_path, settings):
    whole, _ = run(tmp_path / "whole", 57, settings=settings)

    class Killed(Exception):
        pass

    made = model()
    loss = loss_of(made)

    def killed_at(step):
        if step == 33:
            raise Killed
        return loss(step)

    with pytest.raises(Killed):
        run(tmp_path / "parts", 57, made, loss=killed_at, settings=settings)
    starts = []
    again, trained = run(
        tmp_path / "parts", 57, callbacks=Callbacks(on_start=starts.append), settings=settings
    )
    assert starts == [30]
    assert trained.steps == 57
    assert torch.equal(weights(again), weights(whole))

    def without_time(folder):
        lines = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    assert without_time(tmp_path / "parts") == without_time(tmp_path / "whole")


def test_metrics_are_written_during_training(tmp_path):
    seen = []
    run(tmp_path, 25, watch=lambda: {"r2": 0.5}, callbacks=Callbacks(on_metrics=seen.append))
    assert [line["step"] for line in seen] == [10, 20, 25]
    assert seen == [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert seen[0]["loss"] > seen[-1]["loss"] > 0
    assert seen[0]["r2"] == 0.5
    assert {"gradient_norm", "learning_rate", "seconds"} <= seen[0].keys()


def test_gradients_are_clipped(tmp_path, monkeypatch):
    """Adam hides the scale of gradients, so the gradient is looked at where the optimiser sees it."""
    made = model()
    norms = []
    before = AdamW.step

    def watched(self, *arguments, **options):
        norms.append(
            torch.cat([p.grad.flatten() for g in self.param_groups for p in g["params"]]).norm().item()
        )
        return before(self, *arguments, **options)

    monkeypatch.setattr(AdamW, "step", watched)
    steep = loss_of(made)
    run(tmp_path, 5, made, loss=lambda step: 1000 * steep(step))
    assert norms == pytest.approx([2.0] * 5, rel=1e-5)


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, cut):
    whole, _ = run(tmp_path / "whole", 60)
    folder = tmp_path / "cut"
    run(folder, 50)
    content = (folder / CHECKPOINT).read_bytes()
    (folder / CHECKPOINT).write_bytes(content[:cut])
    messages, starts = [], []
    made, _ = run(folder, 60, callbacks=Callbacks(on_message=messages.append, on_start=starts.append))
    assert starts == [40]
    assert len(messages) == 1
    assert f"{CHECKPOINT}: expected a whole checkpoint, got a damaged one" in messages[0]
    assert "continuing from step 40" in messages[0]
    assert torch.equal(weights(made), weights(whole))


def test_training_starts_again_where_both_checkpoints_are_damaged(tmp_path):
    whole, _ = run(tmp_path, 50)
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / name).write_bytes(b"PK")
    messages = []
    made, _ = run(tmp_path, 50, callbacks=Callbacks(on_message=messages.append))
    assert len(messages) == 2
    assert "continuing from step 0" in messages[0]
    assert torch.equal(weights(made), weights(whole))
    with pytest.raises(IdentboxError, match="expected a file, got none"):
        load_model(tmp_path.parent, model())


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_checkpoint_that_cannot_be_read_for_a_moment_is_not_replaced(tmp_path, monkeypatch, number):
    run(tmp_path, 20)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    opened = os.open

    def fail(path, *arguments, **options):
        if str(path).endswith(CHECKPOINT):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(IdentboxError, match=f"expected a checkpoint, got {os.strerror(number)}"):
            run(tmp_path, 40)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    starts = []
    run(tmp_path, 40, callbacks=Callbacks(on_start=starts.append))
    assert starts == [20]


def test_a_checkpoint_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("sprung",))

    torch.save(
        {"format": 1, "step": 1, "seconds": 0.0, "model": Trap(), "optimizer": {}}, tmp_path / CHECKPOINT
    )
    with pytest.raises(IdentboxError, match="damaged one"):
        load_model(tmp_path, model())


def test_weights_of_another_model_are_refused(tmp_path):
    run(tmp_path, 10)
    with pytest.raises(IdentboxError, match="expected the weights of this configuration"):
        run(tmp_path, 20, torch.nn.Linear(4, 2))


def other_moments(state, how):
    """One value of an optimiser's state replaced by what a stranger might have put there."""
    moments = state["state"][0]
    name = next(name for name in ("left", "exp_avg") if name in moments)
    if how == "list":
        moments[name] = []
    elif how == "shape":
        moments[name] = torch.zeros(7)
    elif how == "nan":
        moments[name] = moments[name] * math.nan
    elif how == "missing":
        del moments[name]
    else:
        moments["step"] = "2"


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
@pytest.mark.parametrize("how", ["list", "shape", "nan", "missing", "step"])
def test_moments_of_another_form_are_refused(tmp_path, optimizer, how):
    run(tmp_path, 10, settings={"optimizer": optimizer})
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    other_moments(state["optimizer"], how)
    torch.save(state, tmp_path / CHECKPOINT)
    with pytest.raises(IdentboxError, match="expected the weights of this configuration"):
        run(tmp_path, 20, settings={"optimizer": optimizer})


def test_settings_of_the_optimiser_are_those_of_the_configuration_and_not_of_the_checkpoint(tmp_path):
    whole, _ = run(tmp_path / "whole", 20)
    run(tmp_path / "other", 10)
    path = tmp_path / "other" / CHECKPOINT
    state = torch.load(path, weights_only=True)
    state["optimizer"]["param_groups"][0] |= {"maximize": True, "eps": "x", "betas": [], "fused": [0]}
    torch.save(state, path)
    continued, _ = run(tmp_path / "other", 20)
    assert torch.equal(weights(continued), weights(whole))


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_step_that_is_not_finite_ends_the_run_with_the_reason(tmp_path, how):
    made = model()
    loss = loss_of(made)

    def broken(step):
        value = loss(step)
        if step == 23:
            return value * math.nan if how == "loss" else value + (made.weight.sum() * 0).sqrt() * 0
        return value

    with pytest.raises(IdentboxError) as error:
        run(tmp_path, 100, made, loss=broken)
    message = str(error.value)
    assert f"{tmp_path}: step 24: expected a finite loss and gradient, got the loss" in message
    assert "nan" in message
    assert "learning rate 0.01, losses before: " in message
    assert message.count(",") >= 3
    fresh = model()
    assert load_model(tmp_path, fresh) == 20
    assert weights(fresh).isfinite().all()


def test_no_steps_leave_the_untrained_weights(tmp_path):
    made, trained = run(tmp_path, 0)
    assert trained == training.Trained(steps=0, seconds=trained.seconds, loss=None)
    fresh = torch.nn.Linear(3, 2)
    assert load_model(tmp_path, fresh) == 0
    assert torch.equal(weights(fresh), weights(made))


def test_rates():
    assert TrainingSettings(learning_rate=2.0, steps=10).rate(7) == 2.0
    cosine = TrainingSettings(learning_rate=2.0, steps=10, schedule="cosine")
    assert cosine.rate(0) == 2.0
    assert cosine.rate(5) == pytest.approx(1.0)
    assert 0 < cosine.rate(9) < 0.1
    warm = TrainingSettings(learning_rate=2.0, steps=10, warmup=4)
    assert [warm.rate(step) for step in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    both = TrainingSettings(learning_rate=2.0, steps=10, schedule="cosine", warmup=4)
    assert both.rate(1) == pytest.approx(cosine.rate(1) / 2)
    assert both.rate(7) == cosine.rate(7)


@pytest.mark.parametrize("optimizer", [None, "soap"])
def test_parts_are_trainings_one_after_the_other(tmp_path, optimizer):
    shared = {"schedule": "cosine", "warmup": 3, "optimizer": optimizer}
    lengths, rates = (13, 0, 8), (0.01, 0.5, 0.002)
    separate, before = model(), 0
    for length, rate in zip(lengths, rates, strict=True):
        loss = loss_of(separate)
        run(
            tmp_path / f"part-{before}-{length}",
            length,
            separate,
            loss=lambda step, loss=loss, before=before: loss(before + step),
            settings={**shared, "learning_rate": rate},
        )
        before += length
    parts = [
        TrainingSettings(steps=length, **{**QUICK, **shared, "learning_rate": rate})
        for length, rate in zip(lengths, rates, strict=True)
    ]
    together, _ = run(tmp_path / "together", sum(lengths), settings=shared, parts=parts)
    assert torch.equal(weights(together), weights(separate))
    lines = map(json.loads, (tmp_path / "together" / METRICS_FILE).read_text().splitlines())
    assert {line["step"]: line["learning_rate"] for line in lines} == {
        10: parts[0].rate(9),
        20: parts[2].rate(6),
        21: parts[2].rate(7),
    }


@pytest.mark.parametrize(
    "settings",
    [{"steps": -1}, {"batch": 1}, {"warmup": -1}, {"log_every": 0}, {"learning_rate": 0.0}, {"clip": -2.0}],
)
def test_bad_settings(settings):
    with pytest.raises(IdentboxError, match=f"{next(iter(settings))}: expected"):
        TrainingSettings(**settings)
