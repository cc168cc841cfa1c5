"""Leak, recovery and local degeneracy against closed forms and naive second implementations."""

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from identbox.metrics import local, normal_scores, smoothing
from identbox.metrics.directions import largest_share, upper_end
from identbox.metrics.estimates import share
from identbox.metrics.leak import freedom, redrawn_leak, regressed_leak
from identbox.metrics.recovery import recovered, recovered_classes

N = 600


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def leaking(p, n=4000, seed=0):
    """Two draws of two components with the same content, of which the first leaks a share p."""
    c = normal(n, 2, seed=seed)
    draws = []
    for k in (1, 2):
        h = c.clone()
        h[:, 0] = (1 - p) ** 0.5 * c[:, 0] + p**0.5 * normal(n, seed=seed + 10 * k)
        draws.append(h)
    return c, draws


def test_unit_ranks_are_those_of_scipy_with_ties():
    values = torch.tensor([[3.0, 1.0], [1.0, 1.0], [3.0, 2.0], [2.0, 1.0]])
    expected = (stats.rankdata(values.numpy(), axis=0) - 0.5) / 4
    assert normal_scores.unit_ranks(values).numpy() == pytest.approx(expected)


@pytest.mark.parametrize("p", [0.02, 0.2, 1.0])
def test_redrawing_measures_the_share_that_is_not_content(p):
    _, (first, second) = leaking(p)
    found = redrawn_leak(first, second)
    assert found.low <= p <= found.high
    assert found.value == pytest.approx(p, rel=0.15)


@pytest.mark.parametrize(
    "change", [lambda h: h**3, torch.sinh, lambda h: torch.special.ndtr(h), lambda h: -5 * h]
)
def test_leak_does_not_depend_on_the_scale_of_components(change):
    _, pair = leaking(0.1)
    plain, changed = redrawn_leak(*pair), redrawn_leak(*map(change, pair))
    assert changed.value == pytest.approx(plain.value, rel=0.05)


def test_leak_does_not_depend_on_invertible_linear_maps():
    _, pair = leaking(0.1)
    matrix = torch.tensor([[3.0, 1.0], [-1.0, 0.5]], dtype=torch.float64)
    plain, mapped = redrawn_leak(*pair), redrawn_leak(*(h @ matrix for h in pair))
    assert mapped.value == pytest.approx(plain.value, rel=0.05)


def test_content_alone_has_no_leak_even_where_directions_are_small_or_repeated():
    c = normal(N, 1)
    h = torch.cat([c, c + 0.03 * normal(N, 1, seed=1), c], dim=1)
    assert redrawn_leak(h, h + 1e-9 * normal(N, 3, seed=2)).high < 1e-6


def test_the_largest_share_is_that_of_the_worst_direction():
    """Against scipy: the largest generalised eigenvalue of the parts' second moments."""
    parts, whole = normal(N, 3) * torch.tensor([0.1, 0.5, 0.2], dtype=torch.float64), normal(N, 3, seed=1)
    found = largest_share(parts, (whole,))
    expected = linalg.eigh(parts.T @ parts, whole.T @ whole, eigvals_only=True)[-1]
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.low < 0.25 < found.high


def test_clopper_and_pearson():
    """Against scipy's own interval."""
    expected = stats.binomtest(5, 100).proportion_ci(method="exact")
    found = share(5, 100)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert share(0, 10).low == 0
    assert share(10, 10).high == 1


def test_upper_ends_of_small_shares_are_skewed():
    assert upper_end(0.01, 0.01) > 0.01 + 1.96 * 0.01
    assert upper_end(0.0, 0.0) == 0


def test_regression_brackets_the_leak():
    c, (h, _) = leaking(0.1, n=1500)
    s = ((h[:, 0] - 0.9**0.5 * c[:, 0]) / 0.1**0.5)[:, None]
    found = regressed_leak(h, c, s)
    assert found.low > 0.05
    assert found.low < 0.1 < found.high < 0.15
    blind = regressed_leak(h, c, normal(1500, 1, seed=9))
    assert blind.low < 0.02  # nothing that is known explains it
    assert blind.high == pytest.approx(found.high)


def test_freedom_is_what_content_leaves():
    c = normal(1500, 1)
    s = 10 * c + normal(1500, 1, seed=1)
    assert freedom(c, s) == pytest.approx(1 / 101, rel=0.15)
    assert freedom(c, normal(1500, 1, seed=2)) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("r2", [0.5, 0.95])
def test_recovery_is_the_squared_correlation(r2):
    c = normal(1500, 1)
    h = r2**0.5 * c + (1 - r2) ** 0.5 * normal(1500, 1, seed=5)
    found = recovered(h, c)
    assert found.low < r2 < found.high
    assert found.value == pytest.approx(np.corrcoef(h[:, 0], c[:, 0])[0, 1] ** 2, abs=0.005)


def test_recovery_of_the_direction_that_is_lost_is_none():
    """Correlated 0.97: the sum alone predicts each component with R2 0.985, and their difference not at all."""
    c = normal(N, 2) @ torch.linalg.cholesky(torch.tensor([[1, 0.97], [0.97, 1]], dtype=torch.float64)).T
    found = recovered(c.sum(1, keepdim=True), c)
    assert found.value < 0.05


def test_recovery_of_classes_is_that_of_the_worst():
    classes = (torch.rand(N, generator=torch.Generator().manual_seed(0)) < 0.1).long()
    assert recovered_classes(torch.zeros(N, 1), classes).value == 0  # however frequent the other is
    assert recovered_classes(classes[:, None].double(), classes).low > 0.8
    three = torch.arange(N) % 3
    # Two classes that are told apart by nothing share their samples in whatever way: at most 1/2 - 1/4 for both.
    assert recovered_classes(three.clamp(max=1)[:, None].double(), three).value < 0.3


def test_leave_one_out_is_exact():
    """Against ridge regressions that are fitted again without each row."""
    x, y = normal(40, 3), normal(40, 2, seed=1)
    x, y = x - x.mean(0), y - y.mean(0)
    ridges = list(smoothing._ridges(x, y))
    for ridge, found in zip(smoothing.RIDGES, ridges, strict=True):
        for i in range(0, 40, 7):
            rest = [j for j in range(40) if j != i]
            # The penalty is on deviations from the mean, of all rows here and of the others there: with an intercept.
            model = Ridge(alpha=ridge * 40).fit(x[rest], y[rest])
            expected = y[i].numpy() - model.predict(x[i : i + 1])[0]
            np.testing.assert_allclose(found.left_out[i], expected, atol=2e-2 * y.std())


def test_the_regression_is_as_good_as_scikit_learns():
    x = normal(N, 2)
    y = torch.sin(2 * x[:, :1]) * x[:, 1:] + 0.1 * normal(N, 1, seed=1)
    found = smoothing.smooth(x, y, network=False)
    model = KernelRidge(kernel="rbf", gamma=0.5, alpha=0.1).fit(x[: N // 2], y[: N // 2])
    other = (y[N // 2 :].numpy() - model.predict(x[N // 2 :])).std()
    assert found.left_out.std() < 1.1 * other
    # What no regression explains is 0.1, which the corrected residuals estimate.
    assert found.corrected.std().item() == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("change", [lambda c: c**3, torch.sinh, torch.exp, torch.atan, torch.special.ndtr])
def test_normal_scores_undo_increasing_maps(change):
    c = normal(2000, 1)
    scores = normal_scores.normal_scores(change(c))
    # Of a cube the map back is infinitely steep at 0, where the knots are too far apart.
    assert (scores - normal_scores.standardised(c)).square().mean() < 0.02


def test_components_that_are_rounding_are_left_out():
    h = torch.cat([1000 + 1e-5 * torch.randn(N, 1), torch.randn(N, 1)], dim=1)  # float32
    assert normal_scores.normal_scores(h).shape == (N, 1)
    assert normal_scores.normal_scores(torch.zeros(N, 2)).shape == (N, 0)


def moved(f, c, step=local.STEP):
    axes = local.axes(c).T
    below = torch.stack([f(c - step * axis) for axis in axes])
    above = torch.stack([f(c + step * axis) for axis in axes])
    return local.degenerate_by_moves(below, above, torch.full((len(axes), len(c)), 2 * step).double())


def test_a_collapsed_region_is_degenerate():
    c = normal(2000, 2)
    assert moved(lambda c: c @ torch.tensor([[2.0, 1.0], [0.0, 0.1]]).double(), c).value == 0
    found = moved(lambda c: c.clamp(min=-1.15), c)
    # Content stays in the region where both ends of the move are: below -1.4 in either component, 0.155.
    assert found.low < 0.155 < found.high + 0.03
    assert found.low > 0.1
    assert moved(lambda c: c[:, :1], c).value == 1


def test_neighbours_see_a_collapsed_region_too():
    c = normal(2000, 2)
    assert local.degenerate_by_neighbours(c @ torch.tensor([[2.0, 1.0], [0.0, 1.0]]).double(), c).value < 0.01
    assert local.degenerate_by_neighbours(c.clamp(min=-1.15), c).low > 0.1


@pytest.mark.parametrize("d", [2, 4])
def test_a_collapsed_region_of_much_content_is_not_missed_among_few_rows(d):
    """A fifth of the samples is one point along one axis: neighbourhoods by content are wider than that."""
    c = normal(1000, d)
    whole = local.degenerate_by_neighbours(c @ torch.linalg.qr(normal(d, d, seed=1)).Q, c)
    assert whole.high < 0.05
    collapsed = torch.cat([c[:, :1].clamp(min=-0.84), c[:, 1:]], dim=1)
    assert local.degenerate_by_neighbours(collapsed, c).high > 0.05
