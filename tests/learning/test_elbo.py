"""Objectives of multimodal VAEs, against closed forms of linear-Gaussian models and against quadrature."""

import itertools
import math

import pytest
import torch
from linear_reference import expected_bound, random_model
from torch import nn

from identbox.errors import IdentboxError
from identbox.learning.elbo import VaeObjective, bound
from identbox.learning.likelihoods import LocationScale
from identbox.learning.posteriors import Subsets
from identbox.learning.vae import Latents, Modality, MultimodalVAE
from identbox.metrics.linear_gaussian import linear_gaussian

DRAWS = 10_000
SUBSETS = {
    "mvae": Subsets.all_modalities(3),
    "mmvae": Subsets.single(3),
    "mopoe": Subsets.powerset(3),
    "own": Subsets(3, ((0, 1), (2,), (0, 1, 2)), (0.2, 0.5, 0.3)),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model(name="mopoe", *, specific=0, encoders="random", seed=0):
    made = linear_gaussian(specific=specific, seed=seed)
    vae = made.vae(SUBSETS[name], encoders=encoders, dtype=torch.float64, seed=seed)
    with torch.no_grad():
        vae.auxiliary.normal_(generator=generator(seed))
    return made, vae, made.sample(3, generator=generator(seed + 1))


def repeated(x, times=DRAWS):
    """Each sample many times, so that one call makes as many independent draws."""
    return {name: values.repeat_interleave(times, 0) for name, values in x.items()}


def mean_and_error(values, times=DRAWS):
    values = values.detach().view(-1, times)
    return values.mean(1), values.std(1) / times**0.5


def agree(first, second):
    """Within four standard errors of the difference."""
    (one, error), (other, more) = first, second
    assert ((one - other).abs() < 4 * (error**2 + more**2).sqrt() + 1e-9).all(), (one, other, error, more)


@pytest.mark.parametrize("specific", [0, 2])
def test_with_its_true_posterior_an_mvae_has_the_log_likelihood_as_its_elbo(specific):
    made = linear_gaussian(specific=specific, seed=0)
    x = made.sample(50, generator=generator())
    single = {name: values.float() for name, values in x.items()}
    for choice in (VaeObjective(divergence="mixture"), VaeObjective(bound="iwae", samples=3)):
        if specific and choice.bound == "elbo":
            continue  # divergences of the specific dimensions are in closed form: equal in expectation alone
        value = bound(made.vae(), single, choice, generator=generator()).value
        assert (value.double() - made.log_density(x)).abs().max() < 1e-5 * made.log_density(x).abs().max()


@pytest.mark.parametrize("draws", ["all", "one", "each"])
@pytest.mark.parametrize("name", SUBSETS)
def test_estimators_of_the_bound_by_components_have_its_closed_form_as_their_mean(name, draws):
    _, vae, x = model(name)
    choice = VaeObjective(subsets=draws, samples=2, beta=1.5, weights={"x2": 0.3})
    made = bound(vae, repeated(x), choice, generator=generator())
    expected = expected_bound(vae, x, beta=1.5, weights={"x2": 0.3}).detach()
    agree(mean_and_error(made.value), (expected, torch.zeros(3)))


@pytest.mark.parametrize("name", SUBSETS)
def test_the_estimators_of_the_mixtures_bound_agree_and_lie_above_the_one_by_components(name):
    _, vae, x = model(name)
    means = {}
    for draws in ("all", "one", "each"):
        choice = VaeObjective(divergence="mixture", subsets=draws)
        means[draws] = mean_and_error(bound(vae, repeated(x), choice, generator=generator(1)).value)
    agree(means["all"], means["one"])
    agree(means["all"], means["each"])
    assert (means["all"][0] + 4 * means["all"][1] >= expected_bound(vae, x)).all()


@pytest.mark.parametrize("crossmodal", ["posterior", "published", "strict"])
@pytest.mark.parametrize("draws", ["all", "one", "each"])
def test_partitioned_objectives_equal_their_closed_forms(crossmodal, draws):
    _, vae, x = model("mmvae", specific=2)
    choice = VaeObjective(subsets=draws, crossmodal=crossmodal, beta=0.7)
    made = bound(vae, repeated(x), choice, generator=generator())
    expected = expected_bound(vae, x, crossmodal=crossmodal, beta=0.7).detach()
    agree(mean_and_error(made.value), (expected, torch.zeros(3)))


def test_sub_sampling_adds_the_elbos_of_single_modalities_and_of_random_subsets():
    _, vae, x = model("mvae", specific=1)
    whole = expected_bound(vae, x).detach()
    for k in range(3):
        whole = whole + expected_bound(vae, x, subsets=[((k,), 1.0)], decoded="own").detach()
    made = bound(vae, repeated(x), VaeObjective(unimodal=True), generator=generator())
    agree(mean_and_error(made.value), (whole, torch.zeros(3)))
    proper = [one for size in (1, 2) for one in itertools.combinations(range(3), size)]
    for members in proper:
        whole = whole + 2 / 6 * expected_bound(vae, x, subsets=[(members, 1.0)], decoded="own").detach()
    # The subset is drawn for a whole call: its choice is averaged over calls.
    choice = VaeObjective(unimodal=True, random_subsets=2)
    calls = torch.stack(
        [
            bound(vae, repeated(x, 200), choice, generator=generator(k)).value.view(3, 200).mean(1)
            for k in range(60)
        ],
        1,
    )
    agree(mean_and_error(calls, 60), (whole, torch.zeros(3)))


def test_unimodal_vaes_reconstruct_their_own_modality_alone():
    _, vae, x = model("mmvae")
    made = bound(vae, repeated(x), VaeObjective(decoded="own"), generator=generator())
    agree(mean_and_error(made.value), (expected_bound(vae, x, decoded="own").detach(), torch.zeros(3)))


@pytest.mark.parametrize("draws", ["all", "one"])
@pytest.mark.parametrize("crossmodal", ["posterior", "strict"])
def test_missing_modalities_leave_the_objective_of_the_others(crossmodal, draws):
    _, vae, x = model("mopoe", specific=1)
    present = torch.tensor([[True, False, True], [False, True, False], [True, True, True]])
    expected = torch.stack([
        expected_bound(vae, x, crossmodal=crossmodal, present=[k for k in range(3) if row[k]])[place]
        for place, row in enumerate(present)
    ]).detach()  # fmt: skip
    many = repeated(x)
    many["x2"][:DRAWS] = math.nan  # of the first sample, where it is absent
    choice = VaeObjective(crossmodal=crossmodal, subsets=draws)
    made = bound(vae, many, choice, generator=generator(), present=present.repeat_interleave(DRAWS, 0))
    agree(mean_and_error(made.value), (expected, torch.zeros(3)))
    fewer = {name: values for name, values in repeated(x).items() if name != "x2"}
    alone = bound(vae, fewer, choice, generator=generator()).value
    both = expected_bound(vae, x, crossmodal=crossmodal, present=[0, 2]).detach()
    agree(mean_and_error(alone), (both, torch.zeros(3)))


@pytest.mark.parametrize("name", SUBSETS)
@pytest.mark.parametrize("divergence", ["mixture", "components"])
@pytest.mark.parametrize("draws", ["all", "each"])
def test_importance_weighted_bounds_do_not_fall_with_k_nor_pass_the_log_likelihood(name, divergence, draws):
    made, vae, x = model(name, specific=1)
    means = [
        mean_and_error(
            bound(
                vae,
                repeated(x, 2000),
                VaeObjective(bound="iwae", divergence=divergence, subsets=draws, samples=k),
                generator=generator(),
            ).value,
            2000,
        )
        for k in (1, 4, 16)
    ]
    for (low, error), (high, more) in itertools.pairwise([*means, (made.log_density(x), torch.zeros(3))]):
        assert (high - low > -4 * (error**2 + more**2).sqrt()).all()


def test_the_bound_as_published_may_lie_above_the_log_likelihood():
    """Two modalities x_i ~ N(m_i, 1) that ignore c, x = 0, and an auxiliary prior that is a point at 0."""

    def part():
        encoder, decoder = nn.Linear(1, 4), nn.Linear(2, 1)
        with torch.no_grad():
            encoder.weight.zero_()
            encoder.weight[2] = 0.5  # the mean of m given x; its variance is 1/2
            encoder.bias.copy_(torch.tensor([0.0, 60.0, 0.0, math.log(0.5)]))  # the expert of c says nothing
            decoder.weight.copy_(torch.tensor([[0.0, 1.0]]))
            decoder.bias.zero_()
        return Modality(encoder=encoder, decoder=decoder, likelihood=LocationScale(kind="gaussian"))

    vae = MultimodalVAE({"a": part(), "b": part()}, Latents(shared=1, specific=1), Subsets.single(2))
    with torch.no_grad():
        vae.auxiliary.fill_(-30.0)
    log_p = 2 * torch.distributions.Normal(0.0, 2**0.5).log_prob(torch.tensor(0.0)).item()
    x = {name: torch.zeros(DRAWS, 1) for name in "ab"}
    values = {
        crossmodal: bound(vae, x, VaeObjective(crossmodal=crossmodal), generator=generator())
        .value.mean()
        .item()
        for crossmodal in ("published", "strict")
    }
    assert log_p == pytest.approx(-2.531, abs=1e-3)
    assert values["published"] == pytest.approx(-2.184, abs=0.02)
    assert values["strict"] < log_p
    # Their difference is the divergence that is missing: that of N(0, exp(-30)), once for each crossmodal term.
    assert values["published"] - values["strict"] == pytest.approx((math.exp(-30) - 1 + 30) / 2, rel=1e-4)


def test_the_strict_bound_lies_below_the_log_likelihood_in_random_models():
    """A thousand of them are in benchmarks/bound_violations.py."""
    for seed in range(60):
        made, vae, x = random_model(seed)
        assert expected_bound(vae, x, crossmodal="strict") <= made.log_density(x)
        if seed % 20 == 0:  # the program has these closed forms as its means: see above
            many = repeated(x, 400)
            estimate = bound(vae, many, VaeObjective(crossmodal="strict"), generator=generator()).value
            agree(
                mean_and_error(estimate, 400), (expected_bound(vae, x, crossmodal="strict"), torch.zeros(1))
            )


# Gradients of importance-weighted bounds, exactly: two samples of one latent dimension, by quadrature over the noise.
NODES = 80


def exact_gradient(vae, x, choice):
    """The gradient of a bound with K = 2 and one shared dimension with respect to the first encoder's bias."""
    points, weights = torch.as_tensor(quadrature()[0]), torch.as_tensor(quadrature()[1])
    joint = vae.posterior(x)
    mean, deviation = joint.components.mean[:, 0, 0], (joint.components.log_variance[:, 0, 0] / 2).exp()
    prior = torch.distributions.Normal(0.0, 1.0)

    def log_weight(component):
        z = mean[component] + deviation[component] * points
        value = choice.beta * prior.log_prob(z)
        for name in vae.names:
            value = value + vae.log_likelihood(name, z[:, None, None], x[name])[:, 0]
        if choice.divergence == "components":
            q = torch.distributions.Normal(mean[component], deviation[component]).log_prob(z)
        else:
            q = joint.log_density(z[:, None, None])[:, 0]
        return value - choice.beta * q

    logs = [log_weight(k) for k in range(len(mean))]
    shares = joint.weights[:, 0]
    total = 0.0
    for i, j in itertools.product(range(len(logs)), repeat=2):
        share = shares[i] * shares[j] if choice.subsets == "each" else shares[i] * (i == j)
        pair = torch.logaddexp(logs[i][:, None], logs[j][None]) - math.log(2)
        total = total + share * (weights[:, None] * weights[None] * pair).sum()
    return torch.autograd.grad(total, vae.encoders["x1"].bias)[0][:2]


def quadrature():
    import numpy as np

    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return points, weights / weights.sum()


class RowBiases(nn.Module):
    """A linear layer with a bias for each row, so that one backward pass gives the gradient of each row's own draw."""

    def __init__(self, layer, rows):
        super().__init__()
        self.weight = layer.weight.detach()
        self.bias = nn.Parameter(layer.bias.detach().repeat(rows, 1))

    def forward(self, x):
        return x @ self.weight.T + self.bias


def drawn_gradients(vae, x, choice, rows, seed):
    """Gradients of independent estimates with respect to the first encoder's bias: (outputs, rows)."""
    layer = vae.encoders["x1"]
    vae.encoders["x1"] = RowBiases(layer, rows)
    try:
        value = bound(vae, repeated(x, rows), choice, generator=generator(seed)).value.sum()
        return torch.autograd.grad(value, vae.encoders["x1"].bias)[0].T
    finally:
        vae.encoders["x1"] = layer


@pytest.mark.parametrize(
    ("divergence", "draws"),
    [("components", "all"), ("components", "one"), ("components", "each"), ("mixture", "each")],
)
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_gradients_of_importance_weighted_bounds_are_the_exact_ones(divergence, draws, beta):
    made = linear_gaussian((2, 2), shared=1, seed=3)
    vae = made.vae(Subsets.single(2), encoders="random", seed=3, dtype=torch.float64)
    x = made.sample(1, generator=generator())
    spreads, rows = {}, 40_000
    for kind in ("iwae", "dreg"):
        choice = VaeObjective(bound=kind, divergence=divergence, subsets=draws, samples=2, beta=beta)
        gradients = drawn_gradients(vae, x, choice, rows, seed=5)
        agree(mean_and_error(gradients, rows), (exact_gradient(vae, x, choice), torch.zeros(2)))
        spreads[kind] = gradients.std(1)
    if beta == 1.0:
        assert (spreads["dreg"] < spreads["iwae"]).all()  # what DReG is for


@pytest.mark.parametrize("crossmodal", ["posterior", "published", "strict"])
def test_dreg_has_the_gradients_of_iwae_for_specific_dimensions(crossmodal):
    made = linear_gaussian((2, 2), shared=1, specific=1, seed=4)
    vae = made.vae(Subsets.single(2), encoders="random", seed=4, dtype=torch.float64)
    x, rows = made.sample(1, generator=generator()), 40_000
    means = []
    for seed, kind in enumerate(("iwae", "dreg")):
        choice = VaeObjective(bound=kind, samples=3, crossmodal=crossmodal)
        means.append(mean_and_error(drawn_gradients(vae, x, choice, rows, seed), rows))
    agree(*means)


@pytest.mark.parametrize("crossmodal", ["published", "strict"])
def test_dreg_has_the_gradients_of_iwae_for_decoders_and_auxiliary_priors(crossmodal):
    made = linear_gaussian((2, 2), shared=1, specific=1, seed=4)
    vae = made.vae(Subsets.single(2), encoders="random", seed=4, dtype=torch.float64)
    x, calls = made.sample(1, generator=generator()), 30
    means = []
    for kind in ("iwae", "dreg"):
        choice = VaeObjective(bound=kind, samples=3, crossmodal=crossmodal)
        found = []
        for k in range(calls):  # the means of 2000 draws each, to have their standard error
            value = bound(
                vae, repeated(x, 2000), choice, generator=generator(k + calls * (kind == "dreg"))
            ).value
            gradients = torch.autograd.grad(value.mean(), [vae.decoders["x1"].bias, vae.auxiliary])
            found.append(torch.cat([gradient.flatten() for gradient in gradients]))
        means.append(mean_and_error(torch.stack(found, 1), calls))
    agree(*means)


def test_dreg_is_refused_where_its_gradient_would_be_biased():
    _, vae, x = model("mopoe")
    choice = VaeObjective(bound="dreg", divergence="mixture")
    with pytest.raises(IdentboxError, match="bound: expected dreg beside the divergence components"):
        bound(vae, x, choice, generator=generator())


@pytest.mark.parametrize("bound_kind", ["elbo", "iwae", "dreg"])
@pytest.mark.parametrize("name", SUBSETS)
def test_every_modality_of_every_sample_has_a_part_in_its_bound_alone(name, bound_kind):
    """A canary in each modality changes the bound of its own sample, and of no other; nothing is changed in place."""
    _, vae, x = model(name)
    before = {key: values.clone() for key, values in x.items()}
    choice = VaeObjective(bound=bound_kind, samples=2)
    value = bound(vae, x, choice, generator=generator()).value
    assert all(torch.equal(x[key], before[key]) for key in x)
    for key in vae.names:
        changed = {**x, key: x[key] + torch.tensor([[0.0], [1.0], [0.0]])}
        moved = bound(vae, changed, choice, generator=generator()).value != value
        assert moved.tolist() == [False, True, False]


@pytest.mark.parametrize("n", [1, 3, 7, 8])  # of 7 subsets: fewer samples, as many, and more
def test_the_bound_of_a_sample_does_not_depend_on_its_place_or_on_the_size_of_the_batch(n):
    _, vae, x = model("mopoe")
    same = {name: values[1:2].repeat(n, 1) for name, values in x.items()}
    choice = VaeObjective(subsets="one", samples=50)
    calls = torch.stack([bound(vae, same, choice, generator=generator(k)).value for k in range(60)], 1)
    agree(mean_and_error(calls, 60), (expected_bound(vae, same).detach(), torch.zeros(n)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples: expected at least 1, got 0"),
        ({"beta": -0.1}, "beta: expected at least 0, got -0.1"),
        ({"weights": {"x1": 0.0}}, "weights"),
        ({"unimodal": True, "bound": "iwae"}, "unimodal, random_subsets: expected bound elbo"),
        ({"divergence": "upper"}, "divergence: expected one of mixture, components; got 'upper'"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(IdentboxError, match=message):
        VaeObjective(**changes)


def test_data_that_do_not_fit_the_model_are_refused():
    _, vae, x = model("mopoe")
    for data, message in (
        ({}, "data: expected modalities among x1, x2, x3; got none"),
        ({"y": x["x1"]}, "data: expected modalities among x1, x2, x3; got y"),
        ({"x1": x["x1"], "x2": x["x2"][:1]}, "data: expected as many samples of each modality"),
        ({"x1": x["x1"][:0]}, "data: expected as many samples of each modality, at least one"),
    ):
        with pytest.raises(IdentboxError, match=message):
            bound(vae, data, VaeObjective(), generator=generator())
    with pytest.raises(IdentboxError, match=r"present: expected the shape \(3, 3\), got \(3, 2\)"):
        bound(vae, x, VaeObjective(), generator=generator(), present=torch.ones(3, 2, dtype=torch.bool))


def test_an_objective_says_in_words_what_it_is():
    assert str(VaeObjective(divergence="mixture", bound="dreg", subsets="each", samples=10, beta=2.5)) == (
        "importance-weighted bound (DReG) with the mixture's divergence (Eq. 5.18), a subset for each of K samples, "
        "K = 10, beta 2.5"
    )
