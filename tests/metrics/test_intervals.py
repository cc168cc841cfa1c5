import math
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from benchmarks.interval_coverage import SETTINGS, replicate
from sklearn.kernel_ridge import KernelRidge

from identbox.metrics import intervals
from identbox.metrics.predictors import (
    PredictorSettings,
    choose_by_gcv,
    fit_kernels,
    fit_least_squares,
)
from identbox.metrics.probing import probe_targets
from identbox.metrics.scores import Score, score_of_record
from identbox.metrics.targets import Target

N = 200


def normal(n, k, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smoother(x, alpha, gamma, centre):
    """The matrix that takes training values to fitted ones, column by column from scikit-learn."""
    model = KernelRidge(alpha=alpha, kernel="rbf", gamma=gamma)
    unit = torch.eye(len(x), dtype=torch.float64)
    inputs = unit - unit.mean(0) if centre else unit
    fitted = torch.as_tensor(model.fit(x.numpy(), inputs.numpy()).predict(x.numpy()))
    return fitted + unit.mean(0) if centre else fitted


@pytest.mark.parametrize("centre", [False, True])
def test_degrees_of_freedom_are_those_of_the_smoother_matrix(centre):
    x, y = normal(N, 3), normal(N, 2, seed=1)
    settings = PredictorSettings(centre=centre)
    (fit,) = fit_kernels(x, [y], x[:5], [(0.1, 0.2)], settings=settings, seed=0)
    left = torch.eye(N, dtype=torch.float64) - smoother(x, 0.1, 0.2, centre)
    torch.testing.assert_close(fit.residual, left @ y, atol=1e-8, rtol=0)
    # 64 random signs estimate a trace of about 100 with an error of about 1%.
    assert fit.freedom == pytest.approx(float(left.square().sum()), rel=0.04)


def test_nystroem_has_the_degrees_of_freedom_of_the_exact_fit_where_landmarks_are_dense():
    x, y = normal(N, 1), normal(N, 2, seed=1)
    fits = [
        fit_kernels(x, [y], x, [(0.1, 0.5)], settings=PredictorSettings(landmarks=p, centre=True), seed=0)[0]
        for p in (N, N // 2)
    ]
    # A hundred landmarks on a line span all smooth functions; the mean is counted as a whole one.
    assert fits[1].freedom == pytest.approx(fits[0].freedom, abs=1.5)
    torch.testing.assert_close(fits[1].residual, fits[0].residual, atol=0.01, rtol=0)


def test_least_squares_gives_the_adjusted_r2():
    x, y = normal(N, 4), normal(N, 1, seed=1) + normal(N, 4)[:, :1]
    fit = fit_least_squares(x, y, x)
    plain = 1 - fit.residual.square().sum() / (y - y.mean()).square().sum()
    adjusted = 1 - (1 - plain) * (N - 1) / (N - 4 - 1)
    assert fit.freedom == N - 5
    assert intervals.corrected_r2(y, fit)[0] == pytest.approx(float(adjusted), abs=1e-12)
    # A constant column takes no degree of freedom.
    assert (
        fit_least_squares(torch.cat([x, torch.ones(N, 1)], 1), y, x[:1].repeat(1, 2)[:, :5]).freedom == N - 5
    )


def test_a_fit_without_degrees_of_freedom_bounds_nothing():
    x, y = normal(4, 6), normal(4, 1, seed=1)
    fit = fit_least_squares(x, y, x)
    assert intervals.corrected_r2(y, fit) == (-math.inf, 0.0)


def test_generalised_cross_validation_chooses_by_its_formula():
    x = normal(60, 2)
    y = x[:, :1].sin() + 0.3 * normal(60, 1, seed=1)
    alphas, gammas = (1.0, 0.01), (0.1, 1.0)
    losses = {}
    for alpha in alphas:
        for gamma in gammas:
            centred = y - y.mean(0)
            left = torch.eye(60, dtype=torch.float64) - smoother(x, alpha, gamma, False)
            losses[alpha, gamma] = float((left @ centred).square().sum() / left.trace() ** 2)
    assert choose_by_gcv(x, [y], alphas, gammas) == [min(losses, key=losses.get)]


def test_normal_quantiles_of_ranks_undo_what_rises():
    x = normal(301, 2)
    torch.testing.assert_close(intervals.rank_normal(x.exp()), intervals.rank_normal(x))
    found = intervals.rank_normal(torch.tensor([[3.0], [1.0], [3.0], [7.0]]))[:, 0]
    expected = torch.special.ndtri(torch.tensor([0.5, 0.125, 0.5, 0.875], dtype=torch.float64))
    torch.testing.assert_close(found, expected)


def test_wilsons_interval_is_that_of_his_formula():
    # Newcombe (1998): 81 of 263 has the Wilson interval 0.2553 to 0.3662.
    assert intervals.wilson(81 / 263, 263.0, 1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    low, high = intervals.wilson(1.0, 100.0, 1.959964)
    assert (low, high) == (pytest.approx(0.9630, abs=5e-5), 1.0)


def test_components_are_the_parts_of_a_score():
    x = normal(2 * N, 2)
    angle = torch.atan2(x[:, 1:], x[:, :1]) / (2 * math.pi)
    targets = [
        Target(name="both", train=x[:N], test=x[N:] + torch.tensor([0.0, 3.0]) * normal(N, 2, seed=2)),
        Target(name="angles", kind="circular", train=angle[:N].repeat(1, 2), test=angle[N:].repeat(1, 2)),
        Target(name="signs", kind="discrete", train=(x[:N] > 0).long(), test=(x[N:] > 0).long()),
    ]
    for score in probe_targets(x[:N], x[N:], targets, settings=PredictorSettings(centre=True), seed=0):
        assert len(score.components) == 2
        assert fmean(score.components) == pytest.approx(score.score, abs=1e-12)
        if score.target == "both":
            assert score.components[0] > 0.9 > 0.6 > score.components[1]
        if score.target == "angles":
            assert score.components[0] == pytest.approx(score.components[1], abs=1e-12)


def test_records_without_components_are_read():
    table = {
        "view": "1",
        "target": "c",
        "probe": "linear",
        "metric": "r2",
        "score": 0.5,
        "low": 0.4,
        "high": 0.6,
    }
    score = score_of_record({**table, "chance": 0.0}, "here")
    assert score.components == ()
    again = score_of_record({**score.record(), "components": [0.25, 0.75]}, "here")
    assert isinstance(again, Score)
    assert again.components == (0.25, 0.75)


@pytest.mark.parametrize("name", ["5 dimensions, R2 0.95", "nothing from 2"])
def test_intervals_cover_the_best_score(name):
    """Of 10 intervals of 95%, fewer than 7 cover once in 8000 times. Of the test sample's own about half do."""
    setting = replace(SETTINGS[name], n=256)
    found = [replicate(setting, number)[0] for number in range(10)]
    assert sum(low <= setting.truth() <= high for low, high in found) >= 7
    assert all(low <= high <= 1 for low, high in found)
