import numpy as np
import pytest

from identbox.errors import IdentboxError
from identbox.metrics import elbow

SIZES = list(range(1, 11))
D = np.array(SIZES, dtype=float)


def curves(curve: np.ndarray, *, seeds: int = 3, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    """A curve as seen by seeds: each with an offset of its own, and noise at every size."""
    rng = np.random.default_rng(seed)
    offsets = 0.1 * rng.standard_normal((seeds, 1))
    return curve + offsets + noise * rng.standard_normal((seeds, len(curve)))


def sharp(k: int) -> np.ndarray:
    return 8 - 1.2 * np.minimum(D, k) - 0.03 * np.maximum(D - k, 0)


def soft(k: int) -> np.ndarray:
    """Rounded over a quarter of a dimension on either side."""
    return 0.25 * np.logaddexp(0, (k - D) / 0.25)


def tail(k: int) -> np.ndarray:
    """A steep fall to k, and an exponential flattening behind."""
    return np.where(k > D, k - D + 0.3, 0.3 * np.exp(-(D - k)))


def bowed(k: int) -> np.ndarray:
    """The fall bends downwards until it ends at k."""
    return np.where(k > D, 3 * (1 - 0.8 * D / k - 0.2 * (D / k) ** 2), 0.0)


@pytest.mark.parametrize("form", [sharp, soft, tail, bowed])
@pytest.mark.parametrize("k", [2, 3, 5, 7])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_the_knee_is_found(form, k: int, seeds: int):
    found = elbow.estimate(SIZES, curves(form(k), seeds=seeds), seed=0)
    assert found.size == k
    assert found.votes[k] == seeds
    assert (found.low, found.high) == ((None, None) if seeds == 1 else (k, k))


def test_exponential_flattening_bends_within_two_time_constants():
    # No size is the right one; the curvature is largest at the beginning, and 86% of the fall is over after 2 tau.
    found = elbow.estimate(SIZES, curves(5 * np.exp(-(D - 1) / 1.5), noise=0.01), seed=0)
    assert found.size is not None
    assert 2 <= found.size <= 4


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("slope", [-1.0, -0.5, 0.5])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_straight_line_has_no_elbow(noise: float, slope: float, seeds: int):
    found = elbow.estimate(SIZES, curves(slope * D, seeds=seeds, noise=noise), seed=0)
    assert found.size is None
    assert str(found).startswith("no elbow: ")


def test_noise_alone_is_taken_for_an_elbow_in_at_most_one_case_of_twenty():
    # The test has a level of 5%; of 60 draws 8 or more would be a p-value of 0.01. Most also do not fall and flatten.
    found = [elbow.estimate(SIZES, curves(0 * D, noise=0.1, seed=s), seed=0).size for s in range(60)]
    assert sum(size is not None for size in found) < 8


@pytest.mark.parametrize("curve", [np.minimum(D, 4.0), -np.maximum(D - 5, 0), -(D**2) / 10])
def test_bends_the_other_way_are_no_elbow(curve: np.ndarray):
    found = elbow.estimate(SIZES, curves(curve), seed=0)
    assert found.size is None
    assert found.p_value <= elbow.LEVEL
    assert "does not fall and then flatten" in str(found)


def test_seeds_that_disagree_widen_the_interval():
    losses = np.concatenate([curves(sharp(3), seeds=2), curves(sharp(5), seeds=2), curves(sharp(4), seeds=1)])
    found = elbow.estimate(SIZES, losses, seed=0)
    assert (found.low, found.high) == (3, 5)
    assert {size: n for size, n in found.votes.items() if n} == {3: 2, 4: 1, 5: 2}
    assert "by seed: 3 in 2 of 5, 4 in 1 of 5, 5 in 2 of 5" in str(found)
    assert found == elbow.estimate(SIZES, losses, seed=0)


def test_the_fit_is_least_squares_over_a_search_of_knees():
    losses = curves(soft(4), noise=0.1)
    errors = []
    for k in SIZES[1:-1]:
        design = np.column_stack([np.ones(10), np.where(k > D, D, k), np.where(k < D, D - k, 0)])
        errors.append(sum(np.linalg.lstsq(design, row, rcond=None)[1][0] for row in losses))
    found = elbow.estimate(SIZES, losses, seed=0)
    assert found.size == SIZES[1:-1][int(np.argmin(errors))]


def test_p_values_of_straight_lines_are_uniform():
    # 40 p-values against a level of a half: 20 expected, with a binomial standard deviation of 3.2; four of them.
    found = [elbow.estimate(SIZES, curves(-D, noise=0.1, seed=s), seed=s).p_value for s in range(40)]
    assert 20 - 4 * 3.2 < sum(p < 0.5 for p in found) < 20 + 4 * 3.2


def test_uneven_sizes():
    sizes = [1, 2, 4, 5, 8, 12, 20]
    losses = curves(6 - np.minimum(np.array(sizes, dtype=float), 5))
    assert elbow.estimate(sizes, losses, seed=0).size == 5


@pytest.mark.parametrize("sizes", [[1, 2, 3], [1, 2, 2, 3, 4]])
def test_sizes_are_checked(sizes: list[int]):
    with pytest.raises(IdentboxError, match="sizes: expected at least 4 that rise"):
        elbow.estimate(sizes, np.zeros((2, len(sizes))))


def test_losses_are_checked():
    with pytest.raises(IdentboxError, match="losses: expected finite numbers"):
        elbow.estimate(SIZES, np.full((2, 10), np.nan))
    with pytest.raises(IdentboxError, match="losses: expected finite numbers for 10 sizes"):
        elbow.estimate(SIZES, np.zeros((2, 9)))
