"""A learner of images and sentences: its batches, its losses, and its encodings."""

import pytest
import torch

from drawn_squares import made
from identbox import seeding
from identbox.data import pixels as data_pixels
from identbox.data.pixels import batch
from identbox.errors import IdentboxError
from identbox.experiments import image_text, pair_learner
from identbox.learning import contrastive


def test_encodings_are_of_length_one_where_the_objective_sees_their_direction_alone(data):
    cosine = image_text.PairLearner(made(), data.train, seed=0).encodings(data.val, 30)
    other = made({"objective": {"similarity": "euclidean"}})
    plain = image_text.PairLearner(other, data.train, seed=0).encodings(data.val, 30)
    for view in ("image", "text"):
        torch.testing.assert_close(cosine[view].norm(dim=1), torch.ones(30))
        assert plain[view].norm(dim=1).std() > 0.01
        torch.testing.assert_close(cosine[view], plain[view] / plain[view].norm(dim=1, keepdim=True))


def test_a_batch_has_no_sample_twice_and_an_epoch_has_every_batch_once(data, monkeypatch):
    drawn = []

    def read(split, indices, **options):
        drawn.append(indices)
        return image_text_batch(split, indices, **options)

    image_text_batch = data_pixels.batch
    monkeypatch.setattr(pair_learner, "batch", read)
    learner = image_text.PairLearner(made(), data.train, seed=0)
    with torch.no_grad():
        for step in (*range(20), 20, 3):
            learner.loss(step)
    epoch = torch.cat(drawn[:20])
    assert sorted(epoch.tolist()) == list(range(480))
    assert not torch.equal(drawn[20], drawn[0])
    assert torch.equal(drawn[21], drawn[3])


def test_the_loss_of_a_step_is_a_function_of_its_number_alone(data):
    """Batch norm in training mode moves its running statistics, which the training loss does not read."""
    learner = image_text.PairLearner(made({"data": {"shift": 3}}), data.train, seed=0)
    with torch.no_grad():
        first = [learner.loss(step).item() for step in (5, 25, 5)]
    assert first[0] == first[2] != first[1]


def test_the_validation_loss_is_the_objective_on_fixed_batches_in_evaluation_mode(data):
    """96 samples are four batches of 24. Evaluation leaves neither the mode nor a running statistic changed."""
    learner = image_text.PairLearner(made(), data.train, seed=0)
    with torch.no_grad():
        for step in range(3):
            learner.loss(step)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    loss = learner.validation_loss(data.val)
    assert learner.training
    assert all(torch.equal(before[key], value) for key, value in learner.state_dict().items())
    encoded = learner.encodings(data.val, 96)
    parts = [[encoded[view][rows] for view in ("image", "text")] for rows in torch.arange(96).split(24)]
    losses = [contrastive.info_nce(part, learner.experiment.objective) for part in parts]
    assert loss == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert learner.validation_loss(data.val) == loss


def test_encodings_do_not_depend_on_their_batch_unless_batch_norm_is_left_in_training_mode(data):
    """Neither mode leaves a trace. Batches of other sizes sum in another order: float32."""
    learner = image_text.PairLearner(made(), data.train, seed=0)
    with torch.no_grad():
        for step in range(3):
            learner.loss(step)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    few, many = learner.encodings(data.test, 20), learner.encodings(data.test, 96)
    modes = learner.encodings(data.test, 96, train_mode=True)
    for view in ("image", "text"):
        torch.testing.assert_close(few[view], many[view][:20], rtol=1e-4, atol=1e-5)
        assert (modes[view] - many[view]).abs().max() > 0.01
    assert learner.training
    assert all(torch.equal(before[key], value) for key, value in learner.state_dict().items())


def test_no_sample_is_left_over_alone_in_training_mode(data):
    """33 samples in batches of 32: a ResNet has one number a channel in the end, and one sample no variance."""
    table = {"encoder": {"image": "resnet18"}, "training": {"batch": 32}}
    learner = image_text.PairLearner(made(table), data.train, seed=0)
    assert learner.encodings(data.test, 33, train_mode=True)["image"].isfinite().all()


def test_extra_sentences_are_negatives_of_each_image(data):
    """The loss is that of the first samples of the epoch's order with the next ones' sentences as negatives."""
    table = {"data": {"more_sentences": 5}, "training": {"batch": 8}}
    learner = image_text.PairLearner(made(table), data.train, seed=0)
    loss = learner.loss(0).item()
    order = torch.randperm(len(data.train), generator=seeding.generator(0, "order", 0))
    images, _ = batch(data.train, order[:8])
    image, text = learner(images, data.train.tokens[order[:13]])
    logits = torch.nn.functional.cosine_similarity(image[:, None], text[None], dim=-1)
    logits = logits / learner.experiment.objective.temperature
    cross_entropy, own = torch.nn.functional.cross_entropy, torch.arange(8)
    expected = (cross_entropy(logits, own) + cross_entropy(logits[:, :8].T, own)) / 2
    assert loss == pytest.approx(expected.item(), abs=1e-5)  # float32
    with pytest.raises(
        IdentboxError, match=r"more_sentences: expected at most the \d+ of the split train beyond"
    ):
        image_text.PairLearner(made({"data": {"more_sentences": 1000}}), data.train, seed=0)


def test_shuffled_pairs_are_the_images_and_sentences_of_a_batch_in_orders_of_their_own(data):
    """Of encoders of known answer: an image's is the number of its sample, a sentence's the number of its own."""
    table = {
        "data": {"pairs": "shuffled"},
        "training": {"batch": 8},
        "objective": {"similarity": "euclidean"},
    }
    learner = image_text.PairLearner(made(table), data.train, seed=0)
    order = torch.randperm(len(data.train), generator=seeding.generator(0, "order", 0))
    images, tokens = batch(data.train, order[:8])
    seen = []
    learner.forward = lambda x, t: seen.append((x, t)) or [x.flatten(1)[:, :2], t[:, :2].float()]
    learner.loss(0)
    (shown, told) = seen[0]
    torch.testing.assert_close(shown, images)
    assert not torch.equal(told, tokens)
    assert sorted(map(tuple, told.tolist())) == sorted(map(tuple, tokens.tolist()))
    learner.loss(0)
    assert torch.equal(seen[1][1], told)  # a step's order is its own


def test_presets_are_those_of_table_a_2b(tmp_path):
    thesis = image_text.Experiment.from_preset("thesis")
    assert (thesis.encoder.image, thesis.data.image_size, thesis.data.shift) == ("resnet18", None, 0)
    assert (thesis.objective.similarity, thesis.objective.temperature) == ("cosine", 1.0)
    wanted = {"steps": 100_000, "batch": 256, "learning_rate": 1e-5, "clip": 2.0, "schedule": "constant"}
    assert {key: getattr(thesis.training, key) for key in wanted} == wanted
    assert image_text.Experiment.from_preset("quick").data.image_size == 64


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"encoder": {"encoding_size": 0}}, "config: encoder.encoding_size: expected at least 1, got 0"),
        ({"encoder": {"image": "vgg"}}, "config: encoder.image: expected one of small, resnet18; got 'vgg'"),
        ({"data": {"shift": -1}}, "config: data.shift: expected at least 0, got -1"),
        ({"data": {"hue": 0.6}}, "config: data.hue: expected a number in [0, 0.5], got 0.6"),
        ({"data": {"light": -0.5}}, "config: data.light: expected at least 0, got -0.5"),
        ({"data": {"more_sentences": -1}}, "config: data.more_sentences: expected at least 0, got -1"),
        ({"data": {"pairs": "odd"}}, "config: data.pairs: expected one of shuffled; got 'odd'"),
        ({"objective": {"negatives": "same-view"}}, "negatives: expected other-view, got same-view"),
        ({"colour": 1}, "config: expected keys among encoder, data, objective, training, probes; got colour"),
        ({"probes": {"samples": 3}}, "config: probes.samples: expected at least 10, got 3"),
    ],
)
def test_bad_configurations(table, message):
    with pytest.raises(IdentboxError) as error:
        image_text.Experiment.from_preset("quick", table)
    assert message in str(error.value)
