"""Likelihoods and decoders against distributions of torch, and what each component may depend on."""

import math

import pytest
import torch
from torch import distributions

from identbox.errors import IdentboxError
from identbox.learning.autoregressive import CausalDecoder, MaskedConvDecoder
from identbox.learning.decoders import ConvDecoder, SentenceDecoder, VectorDecoder, generate
from identbox.learning.encoders import ConvEncoder, MLPSettings, OneHotEncoder
from identbox.learning.likelihoods import Bernoulli, Classes, LikelihoodSettings, LocationScale
from identbox.learning.residual import ResidualDecoder, ResidualEncoder


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_log_densities_are_those_of_torch_for_any_number_of_latent_points(shape):
    parameters, x = draws(5, 7, *shape), draws(7, *shape, seed=1)
    last = list(range(2, 2 + len(shape)))
    for kind, made in (("gaussian", distributions.Normal), ("laplace", distributions.Laplace)):
        ours = LocationScale(kind=kind, scale=0.75).log_density(parameters, x)
        torch.testing.assert_close(ours, made(parameters, 0.75).log_prob(x).sum(last))
    bits = (x > 0).double()
    expected = distributions.Bernoulli(logits=parameters).log_prob(bits).sum(last)
    torch.testing.assert_close(Bernoulli().log_density(parameters, bits), expected)
    logits = draws(5, 7, 6, *shape)
    classes = torch.randint(6, (7, *shape), generator=torch.Generator().manual_seed(2))
    expected = distributions.Categorical(logits=logits.movedim(2, -1)).log_prob(classes).sum(last)
    torch.testing.assert_close(Classes(classes=6).log_density(logits, classes), expected)
    torch.testing.assert_close(Classes(classes=6).log_density(logits, classes.to(torch.uint8)), expected)


def test_padding_adds_nothing_to_the_likelihood_of_a_sentence():
    logits = draws(2, 5, 4)
    tokens = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]])
    masked = Classes(classes=5, padding=0).log_density(logits, tokens)
    logs = logits.log_softmax(1)
    torch.testing.assert_close(masked[0], logs[0, 1, 0] + logs[0, 2, 1])
    torch.testing.assert_close(masked[1], logs[1, 3, 0])


def test_likelihoods_of_extreme_logits_are_finite():
    logits = torch.tensor([[1e4, -1e4]])
    assert Bernoulli().log_density(logits, torch.tensor([[1.0, 0.0]])).item() == 0.0
    assert Bernoulli().log_density(logits, torch.tensor([[0.0, 1.0]])).item() == -2e4


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({"kind": "bernoulli"}, torch.tensor([[0.5, 1.5]]), r"expected values in \[0, 1\] for a bernoulli"),
        ({"kind": "gaussian"}, torch.tensor([[math.inf]]), "expected finite numbers, got inf"),
        ({"kind": "laplace"}, torch.tensor([[3]]), "expected real numbers for a laplace likelihood, got torch.int64"),
        ({"kind": "categorical", "classes": 4}, torch.tensor([[4]]), "expected classes of 0 to 3, got 4"),
        ({"kind": "categorical"}, torch.tensor([[0.5]]), "expected whole numbers for 256 classes, got torch.float32"),
    ],
)  # fmt: skip
def test_data_of_another_range_are_refused(settings, x, message):
    with pytest.raises(IdentboxError, match=f"data of a: {message}"):
        LikelihoodSettings(**settings).make().expect(x, "data of a")


def test_a_padding_index_beyond_the_classes_is_refused():
    with pytest.raises(IdentboxError, match="padding: expected a class below 5, got 5"):
        LikelihoodSettings(kind="tokens", classes=5, padding=5).make()


@pytest.mark.parametrize("kind", ["gaussian", "laplace", "bernoulli", "categorical"])
def test_samples_have_the_mean_of_their_likelihood(kind):
    made = LikelihoodSettings(kind=kind, scale=0.5, classes=3).make()
    parameters = draws(1, *made.outputs((2,))).expand(100_000, *made.outputs((2,)))
    x = made.sample(parameters.contiguous(), torch.Generator().manual_seed(0)).double()
    expected = made.mean(parameters[:1])
    if kind == "categorical":
        expected = (parameters[:1].softmax(1) * torch.arange(3).view(1, 3, 1)).sum(1)
    # Four standard errors of a mean of 100 000.
    assert ((x.mean(0) - expected[0]).abs() < 4 * x.std(0) / 1e5**0.5).all()


@pytest.mark.parametrize("size", [28, 16, 7])
def test_image_networks_have_the_shapes_of_their_images(size):
    z, images = torch.zeros(2, 6), torch.zeros(2, 3, size, size)
    for decoder in (ConvDecoder, ResidualDecoder):
        assert decoder(6, 3, size=size, seed=0, name="a")(z).shape == images.shape
    assert ConvEncoder(10, size=size, seed=0, name="a")(images).shape == (2, 10)
    assert ResidualEncoder((6, 4), size=size, seed=0, name="a")(images).shape == (2, 10)


def test_the_networks_of_polymnist_have_the_layers_of_the_published_ones():
    encoder, decoder = ConvEncoder(1024, seed=0, name="a"), ConvDecoder(512, seed=0, name="a")
    shapes = [tuple(p.shape) for p in encoder.parameters() if p.dim() > 1]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (512, 2048), (1024, 512)]
    shapes = [tuple(p.shape) for p in decoder.parameters() if p.dim() > 1]
    assert shapes == [(512, 512), (2048, 512), (128, 64, 3, 3), (64, 32, 3, 3), (32, 3, 3, 3)]


def test_weights_come_from_the_seed_and_the_name():
    one, same, other = (ConvDecoder(4, seed=s, name="a").linear[0].weight for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("decoder", "shape", "classes"),
    [
        (CausalDecoder(3, 5, 6, width=8, seed=0, name="a"), (6,), 5),
        (MaskedConvDecoder(3, (3, 4, 4), outputs=5, width=9, seed=0, name="a"), (3, 4, 4), 5),
    ],
)
def test_a_component_depends_on_those_before_it_and_on_no_other(decoder, shape, classes):
    x = torch.randint(classes, (1, *shape), generator=torch.Generator().manual_seed(0))
    z, order = draws(1, 3).float(), list(decoder.order())
    before = decoder(z, x).detach()
    seen = 0
    for place, at in enumerate(order):
        changed = x.clone()
        changed[(0, *at)] = (changed[(0, *at)] + 1) % classes
        moved = (decoder(z, changed).detach() - before).abs().sum(1)[0] > 1e-6
        assert not any(moved[earlier] for earlier in order[: place + 1])
        seen += sum(bool(moved[later]) for later in order[place + 1 :])
    # The masked convolution sees a neighbourhood of every place, and the causal one all that came before.
    assert seen == 15 if len(order) == 6 else seen > 300
    assert (decoder(z + 1, x) != before).any()


def test_an_autoregressive_likelihood_sums_to_one_over_all_data():
    decoder = CausalDecoder(2, 3, 4, width=8, seed=0, name="a")
    x = torch.cartesian_prod(*[torch.arange(3)] * 4)
    z = draws(1, 2).float().expand(len(x), -1)
    total = Classes(classes=3).log_density(decoder(z, x), x).logsumexp(0)
    assert total.item() == pytest.approx(0.0, abs=1e-5)


def test_generated_classes_have_the_probabilities_of_the_decoder():
    decoder = CausalDecoder(2, 2, 2, width=8, seed=1, name="a")
    z = draws(1, 2).float().expand(20_000, -1)
    made = generate(decoder, Classes(classes=2), z, shape=(2,), generator=torch.Generator().manual_seed(0))
    for pair in torch.cartesian_prod(torch.arange(2), torch.arange(2)):
        expected = Classes(classes=2).log_density(decoder(z[:1], pair[None]), pair[None]).exp().item()
        share = (made == pair).all(1).double().mean().item()
        assert abs(share - expected) < 4 * 0.5 / 20_000**0.5


def test_a_decoder_of_another_output_than_its_likelihood_needs_is_refused():
    decoder = VectorDecoder(2, (3,), MLPSettings(widths=(4,)), seed=0, name="a")
    with pytest.raises(
        IdentboxError, match=r"decoder: expected outputs of shape \(4,\) for bernoulli, got \(3,\)"
    ):
        generate(decoder, Bernoulli(), draws(1, 2).float(), shape=(4,), generator=torch.Generator())


def test_sentences_and_classes_have_their_shapes():
    assert SentenceDecoder(4, 11, 7, seed=0, name="a")(torch.zeros(2, 4)).shape == (2, 11, 7)
    encoder = OneHotEncoder(3, 4, 6, MLPSettings(widths=(2,)), seed=0, name="a")
    assert encoder(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 6)
