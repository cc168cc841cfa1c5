"""Elbows of curves whose right answer is known: made by formulas, and losses of encodings of known quality."""

import math

import numpy as np
import pytest
import torch

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.contrastive import Objective, info_nce
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
@pytest.mark.parametrize("k", [4, 5, 7])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_the_knee_is_found(form, k: int, seeds: int):
    found = elbow.estimate(SIZES, curves(form(k), seeds=seeds), seed=0)
    assert found.size == k
    assert found.votes[k] == seeds
    assert found.low is not None
    assert found.high is not None
    assert k - 1 <= found.low <= k <= found.high <= k + 1


@pytest.mark.parametrize("last", [6, 8, 10, 15, 20])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("chance", [None, math.log(512)])
def test_an_exponential_has_no_elbow(last: int, noise: float, chance: float | None):
    """6 exp(-d / 3): there is no size at which anything changes, whatever sizes are tried."""
    d = np.arange(1, last + 1)
    losses = 6 * np.exp(-d / 3) + noise * np.random.default_rng(0).standard_normal((3, last))
    found = elbow.estimate(d.tolist(), losses, chance=chance)
    assert (found.size, found.at_least) == (None, None)
    assert "a smooth curve describes the losses as well" in str(found)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("slope", [-1.0, -0.5, 0.5])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_straight_line_has_no_elbow_and_its_fall_is_a_lower_bound(noise: float, slope: float, seeds: int):
    found = elbow.estimate(SIZES, curves(slope * D, seeds=seeds, noise=noise), seed=0)
    assert found.size is None
    assert found.at_least == (10 if slope < 0 else None)
    assert str(found).startswith("at least 10: the loss still falls" if slope < 0 else "no elbow: ")


def test_noise_alone_is_hardly_ever_taken_for_an_elbow():
    # The level of each step is 5% or less; of 60 draws 8 or more would be a p-value of 0.01.
    found = [elbow.estimate(SIZES, curves(0 * D, noise=0.1, seed=s), seed=0) for s in range(60)]
    assert sum(one.size is not None or one.at_least is not None for one in found) < 8


@pytest.mark.parametrize("curve", [np.minimum(D, 4.0), -np.maximum(D - 5, 0)])
def test_bends_the_other_way_are_no_elbow(curve: np.ndarray):
    found = elbow.estimate(SIZES, curves(curve), seed=0)
    assert found.size is None


def test_seeds_that_disagree_widen_the_interval():
    losses = np.concatenate([curves(sharp(4), seeds=2), curves(sharp(6), seeds=2), curves(sharp(5), seeds=1)])
    found = elbow.estimate(SIZES, losses, seed=0)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 4
    assert found.high >= 6
    assert {size: n for size, n in found.votes.items() if n} == {4: 2, 5: 1, 6: 2}
    assert "by seed: 4 in 2 of 5, 5 in 1 of 5, 6 in 2 of 5" in str(found)
    assert found == elbow.estimate(SIZES, losses, seed=0)


def test_the_fit_is_least_squares_over_a_search_of_knees():
    losses = curves(soft(4), noise=0.1)
    errors = []
    for k in SIZES[1:-1]:
        design = np.column_stack([np.ones(10), np.where(k > D, D, k), np.where(k < D, D - k, 0)])
        errors.append(sum(np.linalg.lstsq(design, row, rcond=None)[1][0] for row in losses))
    found = elbow.estimate(SIZES, losses, seed=0)
    assert found.size == SIZES[1:-1][int(np.argmin(errors))]


def used_up(factors: int, each: float, batch: int, tail: float = 0.0, seeds: int = 3) -> np.ndarray:
    """Losses of InfoNCE over sizes 1 to 12 for aligned encodings whose factors carry ``each`` nats."""
    losses = np.empty((seeds, 12))
    for seed in range(seeds):
        for size in range(1, 13):
            generator = seeding.generator(seed, "used-up", size)
            nats = torch.tensor([each if k < factors else tail for k in range(size)])
            r = (1 - torch.exp(-2 * nats)).sqrt()
            shared, *own = torch.randn(3, batch, size, generator=generator)
            scale = (r / (2 * (1 - r**2))).sqrt()
            views = [scale * (r.sqrt() * shared + (1 - r).sqrt() * noise) for noise in own]
            losses[seed, size - 1] = info_nce(views, Objective()).item()
    return losses


def test_a_loss_that_is_used_up_gives_a_lower_bound():
    """Eight factors of 2 nats each: log 512 is used up after three of them."""
    losses, sizes = used_up(8, 2.0, 512), list(range(1, 13))
    found = elbow.estimate(sizes, losses, chance=math.log(512))
    assert (found.size, found.used_up) == (None, True)
    assert found.at_least is not None
    assert 2 <= found.at_least <= 8
    assert str(found).startswith(f"at least {found.at_least}: the loss is used up")


def test_with_room_left_the_number_of_factors_is_found():
    found = elbow.estimate(list(range(1, 13)), used_up(8, 0.4, 512), chance=math.log(512))
    assert found.size is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 8 <= found.high


def test_sizes_that_end_before_the_factors_give_a_lower_bound():
    found = elbow.estimate(list(range(1, 7)), used_up(8, 0.4, 512)[:, :6], chance=math.log(512))
    assert (found.size, found.at_least, found.used_up) == (None, 6, False)


def test_the_floor_of_cosines():
    """By hand: one positive at 1 and one negative at -1, with temperature 1, leave log(1 + e^-2)."""
    views = [torch.tensor([[1.0], [-1.0]])] * 2
    objective = Objective(similarity="cosine")
    loss = info_nce(views, objective).item()
    assert elbow.least_loss(objective, 2) == pytest.approx(loss) == pytest.approx(math.log1p(math.exp(-2)))
    assert elbow.least_loss(Objective(), 512) == 0


def test_ends_of_an_interval_are_sizes_that_were_tried():
    sizes = [1, 2, 3, 4, 8, 12, 16]
    losses = curves(6 - 0.5 * np.minimum(np.array(sizes, dtype=float), 6))
    found = elbow.estimate(sizes, losses)
    assert found.size is not None
    assert (found.low, found.high) == (4, 8)


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
    with pytest.raises(IdentboxError, match="chance: expected a number above the floor of 1, got 0.5"):
        elbow.estimate(SIZES, np.zeros((2, 10)), chance=0.5, floor=1.0)


def test_too_few_losses_and_constant_ones_have_no_elbow():
    few = elbow.estimate([1, 2, 3, 4], np.array([[4.0, 2.0, 1.9, 1.8]]))
    assert str(few) == "no elbow: there are too few losses to tell a bend from a smooth curve"
    constant = elbow.estimate(SIZES, np.zeros((2, 10)), chance=6.0)
    assert (constant.size, constant.at_least) == (None, None)
