"""The oracle against closed forms: uniform on the cube, entropies of known densities, losses at known scales."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.experiments import optimum, simulation
from identbox.experiments.learner import Learner
from identbox.identifiability import oracle
from identbox.identifiability.oracle import Oracle
from identbox.learning import entropy
from identbox.process import presets
from identbox.process.distributions import Categorical, Laplace, Normal, Uniform
from identbox.process.effects import Linear
from identbox.process.mixing import Mixing
from identbox.process.model import Change, Process, Variable
from identbox.process.world import World


def world_of(process, slope=0.2):
    return World(process, seed=0, mixing=Mixing(pool=200, slope=slope))


def sample(process, n, seed=1):
    return process.sample(n, generator=seeding.generator(seed, "test"))


def test_the_oracle_attains_the_minimum_in_five_dimensions():
    """Alignment is 0 but for rounding in float64, and both entropies those of the unit cube.

    The estimate is unbiased there; with 20 000 samples its standard error is below 0.01 nats.
    """
    process = presets.numerical_simulation(causal=True, statistical=True, change_probability=0.75)
    process = process.realise(seed=0)
    found = Oracle(world_of(process))
    assert found.how == "closed form"
    value = oracle.functional(found.encodings(sample(process, 20_000)))
    assert value.alignment < 1e-9
    assert value.entropies == pytest.approx((0.0, 0.0), abs=0.05)
    assert value.error < 0.011
    assert abs(value.value) < 0.05


def test_gaussian_content_is_mapped_by_sequential_conditional_distributions():
    """Against the textbook formula, component by component, written anew."""
    process = presets.numerical_simulation(content=3, statistical=True).realise(seed=4)
    sigma = np.array(process["content"].distribution.covariance)
    content = sample(process, 50).values["content"].double()
    transform, _ = oracle.darmois(process)
    c = content.numpy()
    for i in range(3):
        weights = np.linalg.solve(sigma[:i, :i], sigma[:i, i]) if i else np.zeros(0)
        deviation = math.sqrt(sigma[i, i] - sigma[i, :i] @ weights)
        expected = stats.norm.cdf((c[:, i] - c[:, :i] @ weights) / deviation)
        # float32 samples of the process, everything after in float64
        assert transform(content)[:, i].numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "distribution",
    [Laplace(dim=2, mean=1.0, scale=2.0), Uniform(dim=2, low=-1.0, high=3.0)],
    ids=["laplace", "uniform"],
)
def test_other_content_that_content_causes_is_uniform_too(distribution):
    """Kolmogorov and Smirnov's test of every component and of their rank correlation, at fixed seeds."""
    cause = Variable(name="a", role="content", distribution=Normal(dim=2, mean=2.0))
    effect = Variable(name="b", role="content", distribution=distribution, effects={"a": Linear()})
    process = Process(name="x", variables=(effect, cause)).realise(seed=0)
    drawn = sample(process, 4000)
    transform, how = oracle.darmois(process)
    u = transform(torch.cat([drawn.values["a"], drawn.values["b"]], dim=1)).numpy()
    assert how == "closed form"
    assert min(stats.kstest(column, "uniform").pvalue for column in u.T) > 0.01
    ranks = stats.spearmanr(u).statistic
    assert np.abs(ranks - np.eye(4)).max() < 0.05  # 3 standard errors of 1/sqrt(4000)


def test_style_that_never_changes_belongs_to_the_oracle():
    process = presets.numerical_simulation(
        content=2, style=1, specific=1, change_probability=0.0, causal=True
    )
    process = process.realise(seed=0)
    found = Oracle(world_of(process))
    assert found.dim == 3
    value = oracle.functional(found.encodings(sample(process, 4000)))
    assert value.alignment < 1e-9
    assert value.entropies == pytest.approx((0.0, 0.0), abs=0.06)  # 3 standard errors


def test_content_that_something_else_causes_is_ranked_among_samples():
    """Conditional ranks are smoothed, so that the entropy of the cube is met within 0.1 nats."""
    cause = Variable(name="m", role="specific", view="1", distribution=Laplace())
    content = Variable(
        name="c",
        role="content",
        distribution=Normal(dim=2, covariance=((1.0, 0.8), (0.8, 1.0))),
        effects={"m": Linear()},
    )
    process = Process(name="x", variables=(cause, content)).realise(seed=0)
    transform, how = oracle.darmois(process)
    assert how == "ranks"
    values = sample(process, 4000).values["c"]
    u = transform(values)
    assert entropy.cube_entropy(u)[0] == pytest.approx(0.0, abs=0.1)
    assert abs(stats.spearmanr(u.numpy()).statistic) < 0.05 < abs(stats.spearmanr(values.numpy()).statistic)
    further = values + torch.tensor([0.0, 0.1])
    higher = (
        transform(further)[:, 1] - u[:, 1]
    )  # increasing in the last component, beyond the reference not strictly
    assert (higher >= 0).all()
    assert (higher > 0).double().mean() > 0.99


def test_discrete_content_and_singular_mixings_have_no_oracle():
    discrete = presets.numerical_simulation(discrete=("content",))
    with pytest.raises(IdentboxError, match="expected continuous content, got the discrete content"):
        oracle.darmois(discrete)
    process = presets.numerical_simulation(content=1, style=1, specific=1)
    singular = world_of(process)
    singular.mixings["2"].weights[0, 0] = 0.0
    with pytest.raises(IdentboxError, match="invertible mixing of view 2"):
        Oracle(singular)


def test_the_oracle_leaves_the_mixings_as_they_are():
    process = presets.numerical_simulation(content=1, style=1, specific=1)
    given = world_of(process)
    Oracle(given)
    assert given.mixings["1"].weights.dtype == torch.float32


@pytest.mark.parametrize(("a", "d"), [(2.0, 1), (2.0, 3), (5.0, 2)])
def test_entropy_of_beta_variables(a, d):
    """Against the entropy of d independent Beta(a, 1) variables; 8000 samples leave a standard error of 0.02."""
    u = torch.tensor(np.random.default_rng(0).beta(a, 1, (8000, d)))
    found, error = entropy.cube_entropy(u)
    assert error < 0.03
    assert found == pytest.approx(d * stats.beta(a, 1).entropy(), abs=0.06)


def test_without_the_torus_the_estimate_is_biased():
    """The reason for it: in five dimensions most of the cube is near its faces."""
    u = torch.rand(4000, 5, generator=seeding.generator(0, "cube"), dtype=torch.float64)
    assert entropy.cube_entropy(u)[0] == pytest.approx(0.0, abs=0.06)
    assert entropy.entropy(u).item() > 0.1


def test_entropy_of_atoms_and_of_what_is_not_in_the_cube():
    assert entropy.cube_entropy(torch.full((10, 2), 0.5)) == (-math.inf, 0.0)
    with pytest.raises(IdentboxError, match="outside"):
        entropy.cube_entropy(torch.full((10, 2), 1.5))
    with pytest.raises(IdentboxError, match="neighbours: expected 1 to 2"):
        entropy.cube_entropy(torch.rand(3, 2), neighbours=3)


def test_ranks_leave_the_entropy_of_the_dependence():
    """Normal pairs of correlation r: the copula's entropy is log(1 - r^2) / 2 for each view, whatever the margins."""
    r = 0.8
    draws = torch.randn(8000, 2, generator=seeding.generator(0, "copula"), dtype=torch.float64)
    draws[:, 1] = r * draws[:, 0] + math.sqrt(1 - r**2) * draws[:, 1]
    value = oracle.trained_value([draws.exp(), draws**3])
    assert value.alignment == 0
    assert value.entropies == pytest.approx((math.log(1 - r**2) / 2,) * 2, abs=0.06)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_ranks_of_independent_components_have_no_entropy_to_lose(d):
    """Mean over 4 samples of 4000: the standard error of the mean is about 0.006; 0.02 without the correction."""
    found = [
        oracle.trained_value([x, x]).entropies[0]
        for x in (torch.randn(4000, d, generator=seeding.generator(seed, "independent")) for seed in range(4))
    ]
    assert np.mean(found) == pytest.approx(0.0, abs=0.018)


def test_one_dimension_of_ranks_and_collapsed_encodings():
    line = torch.randn(500, 1, generator=seeding.generator(0, "line"))
    assert oracle.trained_value([line, line]).value == pytest.approx(0.0, abs=1e-9)
    assert oracle.trained_value([line, torch.zeros(500, 1)]).value == math.inf
    flat = torch.cat([torch.zeros(500, 1), line * 0], dim=1)
    assert oracle.trained_value([flat, flat]).value == math.inf


TINY = {
    "process": {"content": 2, "style": 1, "specific": 1},
    "mixing": {"pool": 200},
    "training": {"batch": 256},
}


class Scaled(Learner):
    """Encodes as the oracle does, scaled and shifted, with noise of a given deviation."""

    def encodings(self, sample):
        exact = oracle.Oracle(self.world).encodings(sample.latent)
        noises = [
            torch.randn(e.shape, generator=seeding.generator(7, "noise", i)) for i, e in enumerate(exact)
        ]
        return [(30 * (e + self.noise * n) + 5).float() for e, n in zip(exact, noises, strict=True)]


@pytest.mark.parametrize("negatives", ["other-view", "same-view"])
def test_at_equal_scale_a_perfect_learner_costs_nothing_and_noise_costs(negatives):
    made = simulation.Simulation.from_preset("quick", {**TINY, "objective": {"negatives": negatives}})
    learner = simulation.learner_of(made, seed=0, learner_type=Scaled)
    found = oracle.Oracle(learner.world)
    learner.noise = 0.0
    perfect = optimum.equal_scale(learner, found)
    assert perfect.cost == pytest.approx(0.0, abs=1e-3)  # encodings are rounded to float32
    assert perfect.spread == pytest.approx(900 * 2 / 12, rel=0.05)  # of the uniform cube
    learner.noise = 0.05
    noisy = optimum.equal_scale(learner, found)
    assert noisy.cost > 10 * noisy.error > 0


class Mixed(Scaled):
    """Normal content with noise, and with the correlations of a linear map."""

    def encodings(self, sample):
        normal = [torch.special.ndtri(e) for e in oracle.Oracle(self.world).encodings(sample.latent)]
        noises = [
            torch.randn(z.shape, generator=seeding.generator(7, "noise", i)) for i, z in enumerate(normal)
        ]
        turn = torch.tensor([[1.0, 0.9], [0.0, 0.19**0.5]])
        return [(z + self.noise * n).float() @ turn for z, n in zip(normal, noises, strict=True)]


@pytest.mark.parametrize("encodings", [None, "whitened"])
def test_correlated_components_are_a_distance_only_for_an_objective_that_sees_them(encodings):
    """Normal content with a correlation of r = 0.9: its copula loses -log(1 - r^2) / 2 of entropy."""
    made = simulation.Simulation.from_preset("quick", {**TINY, "objective": {"encodings": encodings}})
    learner = simulation.learner_of(made, seed=0, learner_type=Mixed)
    learner.noise = 0.0
    perfect = optimum.optimum(0, learner)
    lost = 0.0 if encodings else -math.log(1 - 0.9**2) / 2
    assert perfect.gap == pytest.approx(lost, abs=0.04)
    assert perfect.whitened == bool(encodings)
    read_again = optimum.optimum_of_record(optimum.optimum_record(perfect), "a record")
    assert read_again == perfect
    learner.noise = 0.3
    assert math.inf > optimum.optimum(0, learner).gap > perfect.gap + 0.05
    learner.noise = 5.0  # next to nothing of content is left
    assert math.inf > optimum.optimum(0, learner).gap > perfect.gap + 0.2


class OnALine(Scaled):
    """Encodes the first component of content alone, as two encodings that are multiples of each other."""

    def encodings(self, sample):
        return [e[:, :1] @ torch.tensor([[1.0, 0.7]]) for e in super().encodings(sample)]


def test_whitening_does_not_fill_a_direction_in_which_encodings_have_collapsed():
    made = simulation.Simulation.from_preset("quick", {**TINY, "objective": {"encodings": "whitened"}})
    learner = simulation.learner_of(made, seed=0, learner_type=OnALine)
    learner.noise = 0.0
    assert optimum.optimum(0, learner).gap > 1


def test_records_of_before_have_the_value_of_encodings_as_they_are():
    made = simulation.Simulation.from_preset("quick", {**TINY, "objective": {"encodings": "whitened"}})
    learner = simulation.learner_of(made, seed=0, learner_type=Mixed)
    learner.noise = 0.0
    record = optimum.optimum_record(optimum.optimum(0, learner))
    del record["whitened"]
    assert not optimum.optimum_of_record(record, "a record").whitened


def test_scales_are_not_compared_for_cosines_or_other_sizes():
    for table in ({"objective": {"similarity": "cosine"}}, {"encoder": {"encoding_size": 1}}):
        made = simulation.Simulation.from_preset("quick", {**copy.deepcopy(TINY), **table})
        learner = simulation.learner_of(made, seed=0)
        assert optimum.equal_scale(learner, oracle.Oracle(learner.world)) is None


def test_eq_8_9_needs_two_views_of_one_shape():
    with pytest.raises(IdentboxError, match="at least two views of one shape"):
        oracle.functional([torch.rand(10, 2)])


def test_changes_of_style_do_not_reach_the_oracle():
    """Resampled style of another distribution: the first view and the second give the same encoding."""
    style = Variable(
        name="s", role="style", distribution=Categorical(classes=3), change=Change(how="resample")
    )
    content = Variable(name="c", role="content", distribution=Uniform(dim=2))
    process = Process(name="x", variables=(style, content))
    one, two = Oracle(world_of(process)).encodings(sample(process, 100))
    assert torch.allclose(one, two, atol=1e-9)
