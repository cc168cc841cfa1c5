import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.targets import Target
from normal_samples import SETTINGS, M, N, normal, scores, split


def test_raw_latents_are_read_exactly_and_noise_is_not():
    z = normal(N + M, 5)
    target = Target(name="z", **split(z))
    # A linear map of latents with an offset is as good as they are.
    for encodings in (z, z @ normal(5, 5, seed=1) + 3.0):
        assert scores(encodings, target, kinds=["linear"])["z", "linear"].score == pytest.approx(1, abs=1e-10)
    for score in scores(normal(N + M, 5, seed=2), target).values():
        # Least squares with k columns of noise has an expected R2 of -k / N = -0.0125; ridge regression less so.
        assert -0.05 < score.score <= score.chance + 0.01
        assert score.chance == 0
        assert score.low < score.score < score.high


def test_kernel_ridge_is_that_of_scikit_learn():
    n = 301  # folds of 101, 100 and 100
    x = normal(n + M, 4)
    hue = torch.sigmoid(x[:, 2:4] + 0.1 * normal(n + M, 2, seed=1))
    targets = [
        Target(name="smooth", **split(x[:, :3] ** 2 + 0.3 * normal(n + M, 3, seed=2), n)),
        Target(name="rough", **split(torch.sin(4 * x[:, :1]) + 1.0, n)),
        Target(name="line", **split(x[:, :2] + 3 * normal(n + M, 2, seed=3), n)),
        Target(name="hue", kind="circular", **split(hue, n)),
    ]
    found = scores(x, *targets, n=n, kinds=["nonlinear"])
    scaler = StandardScaler().fit(x[:n])
    chosen = set()
    for target in targets:
        score = found[target.name, "kernel_ridge"]
        search = GridSearchCV(
            KernelRidge(kernel="rbf"), {"alpha": [1, 0.1, 0.01, 0.001], "gamma": np.logspace(-2, 2, 4)}, cv=3
        )
        search.fit(scaler.transform(x[:n]), target.columns(target.train).numpy())
        assert search.best_params_ == {"alpha": score.alpha, "gamma": score.gamma}
        expected = search.score(scaler.transform(x[n:]), target.columns(target.test).numpy())
        # The equations are the same; their condition number of up to N / alpha = 3e5 leaves 1e-10 of float64.
        assert score.score == pytest.approx(expected, abs=1e-9)
        chosen.add((score.alpha, score.gamma))
    assert len(chosen) > 1  # or a single choice for all targets would do


def test_least_squares_survives_constant_and_collinear_columns():
    x = normal(N + M, 4)
    y = x @ normal(4, 2, seed=1) + 2 + normal(N + M, 2, seed=2)
    collinear = torch.cat(
        [x, torch.full((N + M, 1), 0.1, dtype=torch.float64), x[:, :2] @ normal(2, 2)], dim=1
    )
    target = Target(name="y", **split(y))
    fit = LinearRegression().fit(x[:N], y[:N]).predict(x[N:])
    for encodings in (x, collinear):
        found = scores(encodings, target, kinds=["linear"])["y", "linear"]
        assert found.score == pytest.approx(r2_score(y[N:], fit), abs=1e-10)
    in_floats = scores(collinear.float(), replace(target, train=y[:N].float(), test=y[N:].float()))
    # Encodings rounded to 1e-7 have as much noise in them; collinearity by rounding may add a column of noise.
    assert in_floats["y", "linear"].score == pytest.approx(r2_score(y[N:], fit), abs=1e-2)
    constant = scores(torch.full((N + M, 2), 0.1), target)
    # Without any information the mean of the training sample is predicted, or, without an intercept, near it.
    assert all(-0.05 < score.score <= 0 for score in constant.values())


def test_encodings_in_a_subspace_but_for_rounding_are_predicted_from_as_if_they_were_in_it():
    # The third column is the sum of the others in training samples, up to float32; in a few test samples it is not.
    x = normal(N + M, 2)
    y = x @ normal(2, 1, seed=1) + normal(N + M, 1, seed=2)
    encodings = torch.cat([x, x.sum(1, keepdim=True)], dim=1).float()
    encodings[-5:, 2] += 1
    found = scores(encodings, Target(name="y", **split(y)), kinds=["linear"])["y", "linear"].score
    fit = LinearRegression().fit(x[:N], y[:N]).predict(x[N:])
    assert found == pytest.approx(r2_score(y[N:], fit), abs=0.03)
    in_doubles = scores(encodings.double(), Target(name="y", **split(y)), kinds=["linear"])[
        "y", "linear"
    ].score
    assert in_doubles < -1  # where the last digits are taken for what they say


def test_a_narrow_direction_of_float32_encodings_is_read():
    # Columns that differ by 1e-4 of their size, a thousand times the rounding of float32.
    x = normal(N + M, 2)
    encodings = torch.stack([x[:, 0], x[:, 0] + 1e-4 * x[:, 1]], dim=1).float()
    target = Target(name="y", **split(x[:, 1:]))
    assert scores(encodings, target, kinds=["linear"])["y", "linear"].score > 0.99


def test_columns_that_are_constant_but_for_rounding_are_no_noise_to_a_kernel():
    x = normal(N + M, 2)
    target = Target(name="y", **split((x**2).sum(1, keepdim=True)))
    last_digits = 2**-22 * (normal(N + M, 20, seed=1) > 0)  # twice the rounding of float32 at 1
    encodings = torch.cat([x, 1 + last_digits], dim=1).float()
    without, of_floats = (scores(some, target)["y", "kernel_ridge"].score for some in (x.float(), encodings))
    assert of_floats == pytest.approx(without, abs=1e-6)
    # As numbers of float64, the same columns are noise.
    assert scores(encodings.double(), target)["y", "kernel_ridge"].score < without - 0.01
    # A column that varies by a thousand times its rounding does tell something.
    narrow = torch.cat([x[:, :1], 1 + 1e-4 * x[:, 1:]], dim=1).float()
    assert scores(narrow, target)["y", "kernel_ridge"].score == pytest.approx(without, abs=0.01)


def test_least_squares_has_a_solution_with_more_columns_than_samples():
    x, y = normal(60, 50), normal(60, 1, seed=1)
    fit = LinearRegression().fit(x[:20], y[:20]).predict(x[20:])
    found = scores(x, Target(name="y", **split(y, 20)), n=20, kinds=["linear"])["y", "linear"]
    x = StandardScaler().fit(x[:20]).transform(x)
    fit = LinearRegression().fit(x[:20], y[:20]).predict(x[20:])
    assert found.score == pytest.approx(r2_score(y[20:], fit), abs=1e-9)


def test_units_of_encodings_do_not_matter():
    x = normal(N + M, 3)
    target = Target(name="y", **split((x**2).sum(1, keepdim=True)))
    moved = x * torch.tensor([1e-3, 1.0, 1e3]).double() + torch.tensor([5.0, 0.0, -100.0]).double()
    one, other = scores(x, target), scores(moved, target)
    for key in one:
        # 5 / 1e-3 = 5000 is the largest loss of digits.
        assert other[key].score == pytest.approx(one[key].score, abs=1e-8)


def test_a_square_is_found_by_the_nonlinear_probe_alone():
    x = normal(N + M, 2)
    found = scores(x, Target(name="y", **split(x**2)))
    # x and its square are uncorrelated; five standard errors of a correlation squared are 25 / N.
    assert found["y", "linear"].score < 25 / N
    assert found["y", "kernel_ridge"].score > 0.9


def test_the_ends_of_a_circle_are_neighbours():
    hue = torch.rand(N + M, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.cat([torch.cos(2 * math.pi * hue), torch.sin(2 * math.pi * hue)], dim=1)
    targets = [
        Target(name="circle", kind="circular", **split(hue)),
        Target(name="degrees", kind="circular", period=360.0, **split(hue * 360 + 720)),
        Target(name="line", **split(hue)),
    ]
    found = scores(x, *targets)
    for name in ("circle", "degrees"):
        assert found[name, "linear"].score == pytest.approx(1, abs=1e-10)
        assert found[name, "kernel_ridge"].score > 0.999
    # hue - 1/2 is a sum of -sin(2 pi j hue) / (pi j), whose first term has 6 / pi^2 of its variance. A correlation
    # of M samples has a standard error below 1 / sqrt(M), and R2 of twice as much.
    assert found["line", "linear"].score == pytest.approx(6 / math.pi**2, abs=5 * 2 / M**0.5 / 2)
    assert found["circle", "kernel_ridge"].score > found["line", "kernel_ridge"].score


def test_the_interval_of_r2_is_that_of_resampled_predictions():
    x = normal(N + M, 2)
    y = torch.cat([x[:, :1] + normal(N + M, 1, seed=1), 5 + x[:, 1:] + 2 * normal(N + M, 1, seed=2)], dim=1)
    score = scores(x, Target(name="y", **split(y)), kinds=["linear"])["y", "linear"]
    fit = torch.as_tensor(LinearRegression().fit(x[:N], y[:N]).predict(x[N:]))
    stream = seeding.generator(0, "probing", "bootstrap")
    values = [r2_score(y[N:][rows], fit[rows]) for rows in torch.randint(M, (200, M), generator=stream)]
    low, high = np.quantile(values, [0.025, 0.975])
    assert score.low == pytest.approx(low, abs=1e-9)
    assert score.high >= high - 1e-9


def test_nystroem_is_near_the_exact_fit():
    n = 900
    x = normal(n + M, 2)
    target = Target(name="y", **split(torch.sin(2 * x) + 0.3 * normal(n + M, 2, seed=1), n))
    options = {"n": n, "kinds": ["nonlinear"]}
    few, exact = (
        scores(x, target, settings=PredictorSettings(landmarks=landmarks), **options)["y", "kernel_ridge"]
        for landmarks in (300, n)
    )
    # A smooth function of two dimensions is spanned by far fewer kernels than 300; the choice may differ.
    assert few.score == pytest.approx(exact.score, abs=0.01)
    one_less = PredictorSettings(landmarks=n - 1, alphas=(exact.alpha,), gammas=(exact.gamma,))
    found = scores(x, target, settings=one_less, **options)["y", "kernel_ridge"]
    # One landmark less than samples leaves out what one sample has in the space of all others.
    assert found.score == pytest.approx(exact.score, abs=1e-4)


def test_a_penalty_below_rounding_still_gives_a_fit():
    x = normal(N + M, 1).round(decimals=1)  # many samples twice, so that the kernel is singular
    target = Target(name="y", **split(x**2))
    found = scores(
        x, target, settings=PredictorSettings(alphas=(1e-30,), gammas=(0.01,)), kinds=["nonlinear"]
    )
    assert found["y", "kernel_ridge"].score > 0.99


def test_centring_makes_kernel_ridge_blind_to_a_constant():
    x = normal(N + M, 15)
    y = torch.tanh(x[:, :3]) + 0.3 * normal(N + M, 3, seed=1)
    one, other = (Target(name=name, **split(y + shift)) for name, shift in (("near", 0.0), ("far", 100.0)))
    centred = scores(x, one, other, settings=PredictorSettings(centre=True), kinds=["nonlinear"])
    near, far = (centred[name, "kernel_ridge"] for name in ("near", "far"))
    assert (near.alpha, near.gamma) == (far.alpha, far.gamma)
    assert near.score == pytest.approx(far.score, abs=1e-8)
    # Without an intercept a hundred deviations have to be held up by kernels, which reach less far in the tails.
    plain = scores(x, one, other, kinds=["nonlinear"])
    assert plain["far", "kernel_ridge"].score < plain["near", "kernel_ridge"].score - 0.1


def test_scores_follow_the_seed_alone_and_other_targets_move_nothing():
    x = normal(N + M, 2)
    number = Target(name="number", **split(x**2))
    classes = Target(name="class", kind="discrete", **split((x > 0).long()))
    noise = Target(name="noise", kind="discrete", **split((normal(N + M, 1, seed=1) > 0).long()))
    settings = PredictorSettings(landmarks=200)
    before = torch.get_rng_state()
    once = scores(x, number, classes, settings=settings)
    assert torch.equal(before, torch.get_rng_state())
    assert once == scores(x, number, classes, settings=settings)
    assert list(once) == [
        ("number", "linear"),
        ("number", "kernel_ridge"),
        ("class", "linear"),
        ("class", "mlp"),
    ]
    more = scores(x, noise, classes, number, settings=settings)
    for key, score in once.items():
        # Batched products of other sizes round differently: one sample in two components may be moved by it.
        tolerance = 1 / M if key[1] == "mlp" else 1e-9
        assert more[key].score == pytest.approx(score.score, abs=tolerance)
    other = scores(x, number, classes, settings=settings, seed=1)
    assert other["number", "linear"].score == pytest.approx(once["number", "linear"].score, abs=1e-12)
    assert other["number", "linear"].low != once["number", "linear"].low
    assert other["number", "kernel_ridge"].score != once["number", "kernel_ridge"].score


def test_probing_works_where_gradients_are_off_and_leaves_none_behind():
    x = normal(N + M, 2)
    x.requires_grad_()
    with torch.no_grad():
        targets = [Target(name="y", kind="discrete", **split((x > 0).long()))]
        found = scores(x, *targets)
    assert found == scores(x, *targets)
    assert x.grad is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_scores():
    x = normal(N + M, 3)
    targets = [
        Target(name="number", **split(x**2)),
        Target(name="class", kind="discrete", **split((x > 0).long())),
    ]
    settings = PredictorSettings(landmarks=200)
    for key, score in scores(x, *targets, settings=settings).items():
        there = scores(x.cuda(), *targets, settings=settings)[key]
        # Training in float32 may move a few samples near a border.
        assert there.score == pytest.approx(score.score, abs=0.02 if key[1] == "mlp" else 1e-8)


def target(**changes):
    values = normal(30, 2)
    return Target(**({"name": "style"} | split(values, 20) | changes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: target(test=torch.ones(10, 2)), "target style, component 0: expected values that vary"),
        (
            lambda: target(kind="circular", test=torch.tensor([[0.1, 0.0], [0.2, 0.5]])),
            "style, component 1 (sine): expected values that vary over the test sample, got 0 alone",
        ),
        (lambda: target(test=normal(10, 3)), "(20, 2) and (10, 3)"),
        (lambda: target(kind="discrete"), "expected integers, got torch.float64"),
        (lambda: target(train=torch.ones(20, 2).long()), "expected floating point numbers, got torch.int64"),
        (lambda: target(train=torch.full((20, 2), math.nan)), "target style: expected finite numbers"),
        (lambda: target(period=0.0), "expected a positive period, got 0.0"),
        (
            lambda: target(
                kind="discrete", classes=2, train=torch.full((20, 1), 2), test=torch.zeros(10, 1).long()
            ),
            "target style: expected classes in [0, 2), got 2 to 2",
        ),
        (
            lambda: scores(torch.full((30, 2), math.inf), target(), n=20),
            "training encodings: expected finite",
        ),
        (lambda: scores(normal(31, 2), target(), n=20), "expected 20 training and 11 test values"),
        (
            lambda: scores(normal(15, 2), target(), n=5),
            "expected at least 6 samples to train and 2 to test, got 5",
        ),
        (lambda: scores(normal(30, 2), target(), target(), n=20), "different names, got style, style"),
        (
            lambda: probe_targets(normal(20, 2), normal(10, 3), [target()], settings=SETTINGS, seed=0),
            "expected as many columns to train as to test, got 2 and 3",
        ),
        (lambda: PredictorSettings(alphas=(1.0, 0.0)), "alphas[1]: expected a positive number, got 0.0"),
        (lambda: PredictorSettings(folds=1), "folds: expected at least 2, got 1"),
        (lambda: PredictorSettings(landmarks=5), "landmarks: expected at least 6, got 5"),
        (lambda: PredictorSettings(confidence=1.0), "confidence: expected a number in (0, 1), got 1.0"),
        (lambda: PredictorSettings(learning_rate=0.0), "learning_rate: expected a positive number, got 0.0"),
    ],
)
def test_mistakes_are_reported_in_one_line(make, message):
    with pytest.raises(IdentboxError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
