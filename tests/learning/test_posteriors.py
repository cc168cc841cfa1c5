"""Products of experts and their mixtures, against naive references in float64."""

import itertools
import math

import pytest
import torch
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import Normal, kl_divergence

from identbox.errors import IdentboxError
from identbox.learning.densities import Gaussian, Laplace, density, prior
from identbox.learning.posteriors import Mixture, Subsets, mixture, product

# One unit of float32 is 1.2e-7; a product has a handful of roundings.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def experts(m, n, d, *, low=-40.0, high=100.0, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(m, n, d, generator=generator)
    log_variance = low + (high - low) * torch.rand(m, n, d, generator=generator)
    return Gaussian(mean.to(dtype), log_variance.to(dtype))


def naive_product(gaussian, members, present=None, prior_expert=True):
    """One subset, expert by expert, in float64."""
    mean, variance = gaussian.mean.double(), gaussian.log_variance.double().exp()
    precision = torch.full_like(mean[0], 1.0 if prior_expert else 0.0)
    weighted = torch.zeros_like(mean[0])
    for k in members:
        there = 1.0 if present is None else present[:, k, None].double()
        precision = precision + there / variance[k]
        weighted = weighted + there * mean[k] / variance[k]
    empty = precision == 0
    precision = precision.masked_fill(empty, 1.0)
    return weighted / precision, -precision.log()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("prior_expert", [True, False])
@pytest.mark.parametrize("bounds", [(-40, 100), (-5, 5), (-40, -39), (99, 100)])
def test_products_of_all_subsets_equal_a_naive_reference(dtype, prior_expert, bounds):
    given = experts(5, 8, 16, low=bounds[0], high=bounds[1], dtype=dtype)
    subsets = Subsets.powerset(5)
    made = product(given, subsets.mask, prior_expert=prior_expert)
    assert made.mean.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for place, members in enumerate(subsets.members):
        mean, log_variance = naive_product(given, members, prior_expert=prior_expert)
        torch.testing.assert_close(made.mean[place].double(), mean, **CLOSE)
        torch.testing.assert_close(made.log_variance[place].double(), log_variance, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("prior_expert", [True, False])
def test_a_product_of_no_experts_is_the_prior(dtype, prior_expert):
    given = experts(3, 4, 2, dtype=dtype)
    made = product(given, torch.zeros(1, 3, dtype=torch.bool), prior_expert=prior_expert)
    assert (made.mean == 0).all()
    assert (made.log_variance == 0).all()


@pytest.mark.parametrize("prior_expert", [True, False])
def test_missing_modalities_leave_products_of_the_others(prior_expert):
    given = experts(3, 8, 4, low=-5, high=5)
    present = torch.tensor([[k & 1, k & 2, k & 4] for k in range(8)]).bool()
    spoilt = given.map(lambda values: values.masked_fill(~present.T[..., None], math.nan))
    subsets = Subsets.powerset(3)
    made = product(spoilt, subsets.mask, present=present, prior_expert=prior_expert)
    rows = product(
        spoilt,
        subsets.mask[:, None].expand(-1, 8, -1) & present,
        present=present,
        prior_expert=prior_expert,
    )
    for place, members in enumerate(subsets.members):
        mean, log_variance = naive_product(given, members, present, prior_expert)
        for one in (made, rows):
            torch.testing.assert_close(one.mean[place].double(), mean, **CLOSE)
            torch.testing.assert_close(one.log_variance[place].double(), log_variance, **CLOSE)


def test_a_product_is_differentiable_where_variances_are_extreme():
    given = experts(4, 3, 2)
    leaves = [given.mean.requires_grad_(), given.log_variance.requires_grad_()]
    made = product(given, Subsets.powerset(4).mask)
    gradients = torch.autograd.grad(made.mean.sum() + made.log_variance.sum(), leaves)
    doubled = given.map(lambda values: values.detach().double().requires_grad_())
    exact = product(doubled, Subsets.powerset(4).mask)
    expected = torch.autograd.grad(
        exact.mean.sum() + exact.log_variance.sum(), [doubled.mean, doubled.log_variance]
    )
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)


def test_subsets_are_those_of_the_models():
    assert Subsets.all_modalities(3).members == ((0, 1, 2),)
    assert Subsets.single(3).members == ((0,), (1,), (2,))
    everything = {frozenset(one) for size in (1, 2, 3) for one in itertools.combinations(range(3), size)}
    assert {frozenset(one) for one in Subsets.powerset(3).members} == everything
    assert Subsets.powerset(3).weights == (1 / 7,) * 7
    named = Subsets.of_names(["image", "text"], [["text"], ["image", "text"]], [0.2, 0.8])
    assert named == Subsets(2, ((1,), (0, 1)), (0.2, 0.8))
    assert named.names(["image", "text"]) == ["text", "image+text"]


@pytest.mark.parametrize(
    ("members", "weights", "message"),
    [
        ((), (), "subsets: expected at least one, got none"),
        (((0,), ()), (), r"subsets\[1\]: expected at least one modality, got none"),
        (((0, 3),), (), r"subsets\[0\]: expected different modalities of 0 to 2, got 0, 3"),
        (((0, 0),), (), r"subsets\[0\]: expected different modalities of 0 to 2, got 0, 0"),
        (((0, 1), (1, 0)), (), "subsets: expected different ones, got one twice"),
        (((0,), (1,)), (0.5, 0.6), "weights: expected a sum of 1, got 1.1"),
        (((0,), (1,)), (1.0,), "weights: expected one for each of 2 subsets, got 1"),
        (((0,), (1,)), (1.5, -0.5), r"weights\[0\]: expected a number in \[0, 1\], got 1.5"),
    ],
)
def test_subsets_that_are_none_are_refused(members, weights, message):
    with pytest.raises(IdentboxError, match=message):
        Subsets(3, members, weights)


def test_names_that_no_modality_has_are_refused():
    with pytest.raises(IdentboxError, match=r"subsets\[0\]: expected modalities among a, b; got c"):
        Subsets.of_names(["a", "b"], [["c"]])


def test_weights_of_subsets_without_any_modality_of_a_sample_go_to_the_others():
    present = torch.tensor([[True, True], [True, False], [False, False]])
    weights = Subsets.powerset(2).log_weights(present).exp()
    # With the first modality alone, {1, 2} is {1} as well: all weight lies on the product of the first expert.
    torch.testing.assert_close(weights.T, torch.tensor([[1 / 3] * 3, [0.5, 0.0, 0.5], [0.0] * 3]).double())


def test_a_sample_without_any_modality_has_the_prior_as_its_posterior():
    given = experts(2, 3, 2, low=-1, high=1)
    present = torch.tensor([[True, True], [False, False], [True, False]])
    for subsets in (Subsets.powerset(2), Subsets.single(2), Subsets.all_modalities(2)):
        joint = mixture(given, subsets, present=present)
        z = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(1))
        expected = Normal(0.0, 1.0).log_prob(z[:, 1]).sum(-1)
        torch.testing.assert_close(joint.log_density(z)[:, 1], expected)


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_densities_and_divergences_equal_those_of_torch(family):
    generator = torch.Generator().manual_seed(0)
    mean, log_spread = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    z = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    made = density(family, mean, log_spread)
    if family == "gaussian":
        reference, standard = Normal(mean, (log_spread / 2).exp()), Normal(mean * 0, mean * 0 + 1)
    else:
        reference, standard = TorchLaplace(mean, log_spread.exp()), TorchLaplace(mean * 0, mean * 0 + 1)
    torch.testing.assert_close(made.log_density(z), reference.log_prob(z).sum(-1))
    torch.testing.assert_close(made.variance, reference.variance)
    torch.testing.assert_close(made.kl_to_prior(), kl_divergence(reference, standard).sum(-1))
    torch.testing.assert_close(prior(family, z).log_density(z), standard.log_prob(z).sum(-1))


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_samples_of_a_density_have_its_mean_and_variance(family):
    made = density(family, torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -1.0]]))
    z = made.from_noise(made.noise(100_000, torch.Generator().manual_seed(0)))
    # Four standard errors of a mean of 100 000, and of a variance (of Laplace, whose kurtosis is 6).
    assert ((z.mean(0) - made.mean).abs() < 4 * (made.variance / 1e5).sqrt()).all()
    assert ((z.var(0) / made.variance - 1).abs() < 4 * (5 / 1e5) ** 0.5).all()


def mixed(family="gaussian"):
    generator = torch.Generator().manual_seed(3)
    mean, log_spread = torch.randn(2, 3, 4, 2, generator=generator, dtype=torch.float64)
    return Mixture(density(family, 2 * mean, log_spread), torch.tensor([[0.2], [0.3], [0.5]]).double().log())


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_the_density_of_a_mixture_is_the_weighted_sum(family):
    given = mixed(family)
    z = torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parts = [
        w * given.components.map(lambda values, k=k: values[k]).log_density(z).exp()
        for k, w in enumerate([0.2, 0.3, 0.5])
    ]
    torch.testing.assert_close(given.log_density(z).exp(), sum(parts))


def test_components_are_drawn_by_weight_and_not_by_their_place_in_the_batch():
    given = mixed()
    drawn = given.draw_subsets(30_000, torch.Generator().manual_seed(0))
    for row in drawn.T:  # each sample of the batch by itself
        shares = torch.bincount(row, minlength=3) / 30_000
        # Four standard errors of a share.
        assert (shares - torch.tensor([0.2, 0.3, 0.5])).abs().max() < 4 * (0.25 / 30_000) ** 0.5


def test_samples_of_a_mixture_have_its_mean():
    given = mixed()
    z = given.sample(50_000, generator=torch.Generator().manual_seed(0))
    expected = (given.weights[..., None] * given.components.mean).sum(0)
    assert ((z.mean(0) - expected).abs() < 4 * (z.var(0) / 50_000).sqrt()).all()


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_the_monte_carlo_divergence_of_a_mixture_equals_an_integral(family):
    given = mixed(family)
    one = Mixture(given.components.map(lambda values: values[..., :1]), given.log_weights)
    grid = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    z = grid[:, None, None].expand(-1, 4, 1)
    log_q = one.log_density(z)
    integral = torch.trapezoid(log_q.exp() * (log_q - prior(family, z).log_density(z)), grid, dim=0)
    estimates = torch.stack(
        [one.kl_to_prior(500, generator=torch.Generator().manual_seed(k)) for k in range(20)]
    )
    error = estimates.std(0) / 20**0.5
    assert ((estimates.mean(0) - integral).abs() < 4 * error + 1e-6).all()
    assert (one.mean_component_kl() > integral).all()  # Eq. 5.10


def test_laplace_experts_are_mixed_and_never_multiplied():
    given = Laplace(torch.ones(2, 3, 1), torch.zeros(2, 3, 1))
    made = mixture(given, Subsets.single(2), prior_expert=False)
    assert torch.equal(made.components.mean, given.mean)
    with pytest.raises(IdentboxError, match="subsets: expected one modality in each of Laplace experts, got"):
        mixture(given, Subsets.powerset(2), prior_expert=False)
    with pytest.raises(IdentboxError, match="expected no prior expert beside Laplace experts"):
        mixture(given, Subsets.single(2))
