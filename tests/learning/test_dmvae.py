"""DMVAE's two objectives against second implementations, and what each stage may not touch."""

import math

import pytest
import torch
from torch import nn

from identbox.errors import IdentboxError
from identbox.learning import contrastive
from identbox.learning.contrastive import Objective
from identbox.learning.dmvae import ConditionalVAE, OfDirections, SharedInference, subset_info_nce
from identbox.learning.likelihoods import LikelihoodSettings
from identbox.learning.mutual_information import Discriminator, DiscriminatorSettings
from identbox.learning.posteriors import Subsets

N, SIZE = 6, 2


def shared(subsets=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoders = {name: nn.Linear(3, 2 * SIZE) for name in "abc"}
    return SharedInference(encoders, subsets or Subsets.powerset(3))


def data(seed=0):
    stream = torch.Generator().manual_seed(seed)
    return {name: torch.randn(N, 3, generator=stream) for name in "abc"}


def naive_product(made, x, names):
    """Mean and variance of the product of the standard normal prior and the experts of ``names``."""
    precision, weighted = 1.0, 0.0
    for name in names:
        mean, log_variance = made.encoders[name](x[name]).chunk(2, dim=1)
        precision = precision + torch.exp(-log_variance)
        weighted = weighted + mean * torch.exp(-log_variance)
    return weighted / precision, 1 / precision


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
def test_one_sided_info_nce_is_eq_9_3(similarity):
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, N, 3, generator=stream)
    objective = Objective(similarity=similarity, temperature=0.7)
    total = 0.0
    for k in range(N):
        if similarity == "cosine":
            logits = [torch.cosine_similarity(a[k], b[m], dim=0) / 0.7 for m in range(N)]
        else:
            logits = [-(a[k] - b[m]).square().sum() / 0.7 for m in range(N)]
        total += math.log(sum(math.exp(one) for one in logits)) - logits[k]
    value = contrastive.one_sided_info_nce(a, b, objective)
    assert value.item() == pytest.approx(float(total) / N, rel=1e-5)


@pytest.mark.parametrize("names", ["a", "bc", "abc"])
def test_an_embedding_is_the_mean_of_the_product_of_what_is_there(names):
    made, x = shared(), data()
    there = {name: x[name] for name in names}
    with torch.no_grad():
        mean, variance = naive_product(made, x, names)
        torch.testing.assert_close(made.embed(there), mean)
        torch.testing.assert_close(made.product_of(there).variance, variance)
    assert made.posterior(there).components.mean.shape == (7, N, SIZE)


def test_a_subset_against_the_rest_is_a_subset_against_the_modalities_not_in_it():
    made, x = shared(Subsets(3, [(0,), (0, 1, 2)], [0.1, 0.9])), data()
    options = {"embedding": "mean", "generator": torch.Generator().manual_seed(0)}
    value = subset_info_nce(made, x, Objective(), **options, against="rest")
    products = [naive_product(made, x, names)[0] for names in ("a", "bc")]
    torch.testing.assert_close(value, contrastive.one_sided_info_nce(*products, Objective()))


def test_what_one_modality_shows_lowers_the_loss_against_all_of_them_and_not_against_the_rest():
    """Three independent modalities share nothing, and each expert copies what its own shows to a place of its own."""
    n = 64
    x = {name: torch.randn(n, 1, generator=torch.Generator().manual_seed(k)) for k, name in enumerate("abc")}
    encoders = {}
    for place, name in enumerate(x):
        encoders[name] = nn.Linear(1, 6)
        with torch.no_grad():
            encoders[name].weight.zero_()[place] = 1.0
            encoders[name].bias.zero_()[3:] = -8.0  # sure of everything
    made = SharedInference(encoders, Subsets.powerset(3))
    losses = {
        against: subset_info_nce(
            made,
            x,
            Objective(),
            embedding="mean",
            generator=torch.Generator().manual_seed(0),
            against=against,
        ).item()
        for against in ("whole", "rest")
    }
    assert losses["whole"] < math.log(n) - 0.5
    assert losses["rest"] >= math.log(n) - 0.01


def test_a_decoder_of_directions_sees_no_length_of_c_and_all_of_m():
    stream = torch.Generator().manual_seed(0)
    c, m = torch.randn(2, N, SIZE, generator=stream)
    decoder = OfDirections(nn.Identity(), SIZE)
    made = decoder(torch.cat([c, m], 1))
    torch.testing.assert_close(decoder(torch.cat([0.01 * c, m], 1)), made)
    torch.testing.assert_close(made[:, :SIZE].norm(dim=1), torch.full((N,), math.sqrt(SIZE)))
    torch.testing.assert_close(made[:, SIZE:], m)


def test_a_rest_that_is_nothing_is_refused():
    options = {"embedding": "mean", "generator": torch.Generator(), "against": "rest"}
    with pytest.raises(IdentboxError, match="subsets: expected one that leaves a modality out, got none"):
        subset_info_nce(shared(Subsets.all_modalities(3)), data(), Objective(), **options)
    some = {name: values for name, values in data().items() if name != "c"}
    with pytest.raises(IdentboxError, match="x: expected a, b, c; got a, b"):
        subset_info_nce(shared(), some, Objective(), **options)


def test_subsets_are_drawn_for_each_sample_by_their_weights():
    """With all weight on one subset the loss is that of its product against the product of all."""
    made, x = shared(Subsets(3, [(0,), (1, 2)], [0.0, 1.0])), data()
    options = {"embedding": "mean", "generator": torch.Generator().manual_seed(0)}
    value = subset_info_nce(made, x, Objective(), **options)
    expected = contrastive.one_sided_info_nce(
        naive_product(made, x, "bc")[0], naive_product(made, x, "abc")[0], Objective()
    )
    torch.testing.assert_close(value, expected)
    even = shared(Subsets.powerset(3))
    draws = even.posterior(data()).draw_subsets(4000, torch.Generator().manual_seed(0))
    shares = torch.bincount(draws.flatten(), minlength=7) / draws.numel()
    torch.testing.assert_close(shares, torch.full((7,), 1 / 7), atol=0.02, rtol=0)


def test_draws_have_the_spread_of_their_products():
    """Embeddings by sample differ from those by mean; without variance they are the same."""
    made, x = shared(), data()
    losses = [
        subset_info_nce(
            made, x, Objective(), embedding=embedding, generator=torch.Generator().manual_seed(1)
        ).item()
        for embedding in ("mean", "sample")
    ]
    assert losses[0] != losses[1]
    with torch.no_grad():
        for encoder in made.encoders.values():
            encoder.bias[SIZE:] = -60.0
            encoder.weight[SIZE:] = 0.0
    losses = [
        subset_info_nce(
            made, x, Objective(), embedding=embedding, generator=torch.Generator().manual_seed(1)
        ).item()
        for embedding in ("mean", "sample")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_modalities_that_are_unknown_or_missing_are_named():
    with pytest.raises(IdentboxError, match="x: expected some of a, b, c; got d"):
        shared().embed({"d": torch.zeros(2, 3)})
    with pytest.raises(IdentboxError, match="x: expected some of a, b, c; got none"):
        shared().embed({})
    with pytest.raises(IdentboxError, match="expected subsets of the 3 modalities, got some of 2"):
        shared(Subsets.powerset(2))


def conditional():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder, decoder = nn.Linear(3, 4), nn.Linear(SIZE + 2, 3)
    likelihood = LikelihoodSettings(kind="gaussian", scale=0.5).make()
    return ConditionalVAE(
        encoder,
        decoder,
        likelihood,
        Discriminator(SIZE, 2, DiscriminatorSettings(widths=(8,)), seed=0, name="d"),
    )


def test_the_bound_is_eq_9_4_and_a_lower_bound_of_the_evidence():
    """For a linear decoder p(x | c) is Gaussian: N(A c + b, B B^T + s^2)."""
    vae, x = conditional(), data()["a"]
    c = torch.randn(N, SIZE, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        values = [
            vae.negative_bound(x, c, beta=1.0, delta=0.0, generator=torch.Generator().manual_seed(k))
            for k in range(400)
        ]
        bound = -torch.stack(values).mean()
        weight, bias = vae.decoder.weight, vae.decoder.bias
        covariance = weight[:, SIZE:] @ weight[:, SIZE:].T + 0.25 * torch.eye(3)
        evidence = torch.distributions.MultivariateNormal(c @ weight[:, :SIZE].T + bias, covariance)
        assert bound < evidence.log_prob(x).mean()
        # The exact posterior closes the gap: m given x and c is Gaussian too.
        residual = x - c @ weight[:, :SIZE].T - bias
        precision = torch.eye(2) + weight[:, SIZE:].T @ weight[:, SIZE:] / 0.25
        mean = residual @ weight[:, SIZE:] / 0.25 @ torch.linalg.inv(precision).T
        q = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
        m = q.sample((400,))
        fit = torch.stack([vae.likelihood.log_density(vae.decode(c, one), x) for one in m]).mean(0)
        prior = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
        kl = torch.distributions.kl_divergence(q, prior)
    torch.testing.assert_close((fit - kl).mean(), evidence.log_prob(x).mean(), atol=0.15, rtol=0)


def test_the_penalty_reaches_the_specific_encoder_alone():
    vae, x = conditional(), data()["a"]
    c = torch.randn(N, SIZE, requires_grad=True)

    def gradients(delta):
        vae.zero_grad()
        stream = torch.Generator().manual_seed(0)
        vae.negative_bound(x, c, beta=1.0, delta=delta, generator=stream).backward()
        assert c.grad is None
        assert all(parameter.grad is None for parameter in vae.discriminator.parameters())
        return vae.encoder.weight.grad.clone(), vae.decoder.weight.grad.clone()

    (encoder, decoder), (penalised, same) = gradients(0.0), gradients(5.0)
    assert not torch.equal(encoder, penalised)
    assert torch.equal(decoder, same)
    vae.zero_grad()
    vae.discriminator_loss(x, c, generator=torch.Generator().manual_seed(0)).backward()
    assert vae.encoder.weight.grad is None
    assert all(parameter.grad is not None for parameter in vae.discriminator.parameters())
