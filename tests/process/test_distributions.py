import numpy as np
import pytest
import torch
from scipy import stats

from identbox.errors import IdentboxError
from identbox.process.covariances import draw_covariance
from identbox.process.distributions import Categorical, Constant, Laplace, Normal, Uniform
from identbox.process.heavy_tails import StudentT
from identbox.process.tables import load_process

N = 20_000


def values(distribution, seed=0, n=N):
    draws = distribution.noise(n, torch.Generator().manual_seed(seed), torch.float64)
    return distribution.value(draws).numpy()


@pytest.mark.parametrize(
    ("distribution", "reference"),
    [
        (Normal(mean=2.0, covariance=((4.0,),)), stats.norm(2, 2)),
        (Laplace(mean=-1.0, scale=0.5), stats.laplace(-1, 0.5)),
        (Uniform(low=-2.0, high=3.0), stats.uniform(-2, 5)),
    ],
)
def test_continuous_distributions_are_those_of_scipy(distribution, reference):
    # A Kolmogorov-Smirnov test on a fixed seed; a wrong scale or mean gives p below 1e-100 at this size.
    assert stats.kstest(values(distribution)[:, 0], reference.cdf).pvalue > 1e-3


def test_normal_has_the_covariance_given():
    covariance = ((2.0, 0.6, 0.0), (0.6, 1.0, -0.3), (0.0, -0.3, 0.5))
    sample = values(Normal(dim=3, covariance=covariance), n=200_000)
    # The standard error of an entry is at most sqrt(2 * 2^2 / n) = 0.0063; five of them.
    np.testing.assert_allclose(np.cov(sample.T), covariance, atol=0.032)


def test_categorical_frequencies():
    probabilities = (0.1, 0.0, 0.6, 0.3)
    drawn = values(Categorical(classes=4, probabilities=probabilities))[:, 0]
    counts = np.bincount(drawn, minlength=4)
    assert counts[1] == 0
    expected = N * np.array([0.1, 0.6, 0.3])
    assert stats.chisquare(counts[[0, 2, 3]], expected).pvalue > 1e-3
    assert values(Categorical(classes=("a", "b", "c"))).max() == 2


def test_categorical_handles_both_ends_of_the_noise():
    noise = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64)
    weighted = Categorical(classes=3, probabilities=(1 / 3, 1 / 3, 1 / 3))
    assert Categorical(classes=3).value(noise).tolist() == weighted.value(noise).tolist() == [[0], [2]]


def test_laplace_is_finite_at_zero_noise():
    assert torch.isfinite(Laplace().value(torch.zeros(1, 1))).all()


def test_constant():
    assert (values(Constant(at=3.0, dim=2), n=5) == 3).all()


def test_wishart_draws_each_name_its_own_and_shared_one_a_size():
    own = draw_covariance("wishart", 3, 0, "content")
    assert own == draw_covariance("wishart", 3, 0, "content")
    assert own != draw_covariance("wishart", 3, 0, "style")
    assert own != draw_covariance("wishart", 3, 1, "content")
    shared = [draw_covariance("shared-wishart", 3, 0, name) for name in ("content", "style")]
    assert shared[0] == shared[1]


def test_wishart_has_the_mean_of_its_distribution():
    draws = np.array([draw_covariance("wishart", 3, seed, "x") for seed in range(2000)])
    # E[W] = dim * identity; an entry has a variance of at most 2 * dim, so a standard error of 0.055.
    np.testing.assert_allclose(draws.mean(axis=0), 3 * np.eye(3), atol=0.22)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(dim=0), "dim: expected at least 1, got 0"),
        (lambda: Normal(dim=2.5), "dim: expected an integer, got 2.5"),
        (lambda: Normal(mean="zero"), "mean: expected a number or a list of numbers, got 'zero'"),
        (lambda: Uniform(low=1, high=0), "low, high: expected low < high, got 1.0 and 0.0"),
        (lambda: Laplace(scale=-1), "scale: expected a positive number, got -1.0"),
        (lambda: Categorical(classes=()), "classes: expected at least 1 name, got none"),
        (
            lambda: Categorical(classes=2, probabilities=(1.5, -0.5)),
            r"probabilities\[0\]: expected .*, got 1.5",
        ),
        (lambda: Constant(at=float("inf")), "at: expected a number, got inf"),
        (
            lambda: Normal(dim=2, covariance=((1.0, 2.0), (2.0, 1.0))),
            "positive definite matrix, got one with",
        ),
        (lambda: Normal(dim=2, covariance=((1.0, 0.5), (0.0, 1.0))), "symmetric"),
        (lambda: Normal(dim=2, covariance=((1.0,),)), "expected 2 x 2 numbers, got 1 rows"),
        (
            lambda: Normal(dim=1, covariance=((float("nan"),),)),
            r"covariance\[0\]\[0\]: expected a number, got nan",
        ),
        (lambda: Normal(dim=2, mean=(1.0,)), "mean: expected 2 numbers, got 1"),
        (lambda: Laplace(scale=0.0), "scale: expected a positive number, got 0"),
        (lambda: Uniform(low=1.0, high=1.0), "expected low < high"),
        (lambda: Categorical(classes=0), "classes: expected at least 1, got 0"),
        (lambda: Categorical(classes=("a", "a")), "different names"),
        (lambda: Categorical(classes=2, probabilities=(0.5, 0.6)), "sum to 1"),
        (lambda: Categorical(classes=2, probabilities=(1.0,)), "expected 2 numbers, one a class, got 1"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(IdentboxError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("degrees", [1.0, 2.5, 30.0])
def test_students_t_has_the_quantiles_of_scipy(degrees):
    """Against scipy's own distribution, to relative 1e-9, far into both tails."""
    distribution = StudentT(dim=3, degrees=degrees, mean=1.0, scale=2.0)
    p = torch.tensor([[1e-12, 0.2, 0.5], [0.7, 0.9, 1 - 1e-12]], dtype=torch.float64)
    law = stats.t(degrees, loc=1.0, scale=2.0)
    np.testing.assert_allclose(distribution.value(p).numpy(), law.ppf(p.numpy()), rtol=1e-9)
    values = torch.linspace(-50, 50, 30, dtype=torch.float64).reshape(10, 3)
    np.testing.assert_allclose(distribution.cdf(values).numpy(), law.cdf(values.numpy()), rtol=1e-9)


def test_students_t_is_finite_for_the_noise_zero_and_checks_its_degrees():
    assert torch.isfinite(StudentT(degrees=1.0).value(torch.zeros(1, 1))).all()
    with pytest.raises(IdentboxError, match="^degrees: expected at least 1, got 0.5$"):
        StudentT(degrees=0.5)


def test_students_t_in_a_file(tmp_path):
    path = tmp_path / "heavy.toml"
    path.write_text('[variables.c]\nrole = "content"\ndistribution = "student_t"\ndegrees = 3\nscale = 2.0\n')
    assert load_process(path)["c"].distribution == StudentT(degrees=3.0, scale=2.0)
