"""The Frechet distance against closed forms, and against the square root of a matrix by SciPy."""

import numpy as np
import pytest
import scipy.linalg
import torch

from identbox.errors import IdentboxError
from identbox.metrics.frechet import Moments, MomentSums, frechet_distance, moments


def normal(mean, covariance):
    return Moments(torch.tensor(mean).double(), torch.tensor(covariance).double(), 100)


def test_two_normals_whose_covariances_commute_have_the_closed_form():
    # |m1 - m2|^2 + sum (sqrt(v1) - sqrt(v2))^2 in the common eigenbasis.
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    one, other = rng.uniform(0.1, 5, (2, 6))
    a, b = rng.normal(size=(2, 6))
    wanted = ((a - b) ** 2).sum() + ((one**0.5 - other**0.5) ** 2).sum()
    found = frechet_distance(normal(a, basis * one @ basis.T), normal(b, basis * other @ basis.T))
    assert found == pytest.approx(wanted, abs=1e-10)


def test_one_dimension_is_the_distance_of_means_and_deviations():
    assert frechet_distance(normal([1.0], [[4.0]]), normal([4.0], [[25.0]])) == pytest.approx(9 + 9)


@pytest.mark.parametrize(
    ("n", "d"), [(300, 20), (15, 40)]
)  # more features than samples: singular covariances
def test_it_is_that_of_scipys_square_root_on_random_features(n, d):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.normal(1, 2, size=(2 * n, d))
    (m1, s1), (m2, s2) = ((v.mean(0), np.cov(v, rowvar=False)) for v in (x, y))
    root = scipy.linalg.sqrtm(s1 @ s2)
    wanted = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(np.real(root))
    found = frechet_distance(moments(torch.from_numpy(x)), moments(torch.from_numpy(y)))
    assert found == pytest.approx(wanted, rel=1e-5 if n < d else 1e-9)


def test_parts_of_a_sample_give_the_moments_of_the_whole_far_from_zero():
    x = torch.randn(101, 7, generator=torch.Generator().manual_seed(0)).double() + 1e6
    sums = MomentSums()
    for part in x.split(13):
        sums.add(part)
    found = sums.moments()
    assert found.samples == 101
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(x.T), rtol=1e-9, atol=1e-9)


def test_equal_samples_have_no_distance_and_a_shift_is_seen():
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(moments(x), moments(x)) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(moments(x), moments(x + 1)) == pytest.approx(8, abs=1e-5)


def test_features_of_other_sizes_one_sample_and_nan_are_refused():
    x = torch.randn(5, 3)
    with pytest.raises(IdentboxError, match=r"expected at least 2 samples, got 1"):
        moments(x[:1])
    with pytest.raises(IdentboxError, match=r"expected as many of both samples, got 3 and 2"):
        frechet_distance(moments(x), moments(x[:, :2]))
    with pytest.raises(IdentboxError, match=r"expected finite numbers"):
        frechet_distance(moments(x), moments(x * torch.nan))
