"""Classes predicted from encodings: logistic regression, networks, and the interval of an accuracy."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets, standardise
from identbox.metrics.targets import Target
from normal_samples import SETTINGS, M, N, normal, scores, split


def test_xor_is_found_by_the_mlp_alone():
    x = normal(2000 + M, 2)
    target = Target(name="xor", kind="discrete", **split((x[:, :1] * x[:, 1:] > 0).long(), 2000))
    found = scores(x, target, n=2000)
    # A line through the middle is right for half of the samples, give or take; one that cuts off a corner for a
    # little more. Five standard errors of a binomial.
    assert abs(found["xor", "linear"].score - 0.5) < 5 * 0.5 / M**0.5
    assert found["xor", "mlp"].score > 0.95
    assert found["xor", "mlp"].metric == "accuracy"


def logistic_by_gradient(x, y, x_test):
    """A second logistic regression: |W|^2 / 2 is added to the summed loss, and LBFGS minimises both.

    Two classes have two vectors of weights here. In scikit-learn they have one, the difference, whose |W|^2 is twice
    as large.
    """
    classes = int(y.max()) + 1
    weight = torch.zeros(x.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    strength = (2 if classes == 2 else 1) / 2
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=1000,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimiser.zero_grad()
        penalty = strength * weight.square().sum()
        value = torch.nn.functional.cross_entropy(x @ weight + bias, y, reduction="sum") + penalty
        value.backward()
        return value

    optimiser.step(loss)
    return (x_test @ weight.detach() + bias.detach()).argmax(1)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_minimises_the_penalised_likelihood(classes):
    x = normal(N + M, 4)
    y = (x @ normal(4, classes, seed=1) + normal(N + M, classes, seed=2)).argmax(1, keepdim=True)
    found = scores(x, Target(name="y", kind="discrete", **split(y)), kinds=["linear"])["y", "linear"]
    train, test = standardise(x[:N], x[N:])
    guess = logistic_by_gradient(train, y[:N, 0], test)
    # At most one sample may lie so near to a border that the optimisers' tolerances decide.
    assert found.score == pytest.approx((guess == y[N:, 0]).double().mean().item(), abs=1.5 / M)
    counts = np.bincount(y[:N, 0], minlength=classes)
    assert found.chance == pytest.approx((y[N:] == counts.argmax()).double().mean().item())
    assert found.score > found.chance + 0.1


def test_two_classes_are_penalised_as_much_as_by_scikit_learn():
    x = torch.tensor([[-1.0], [-1.0], [-1.0], [1.0]], dtype=torch.float64)
    y = torch.tensor([[0], [0], [1], [1]])
    # On so few samples the penalty moves the border: test points on a fine grid show where it is.
    grid = torch.linspace(-4, 4, 801, dtype=torch.float64)[:, None]
    model = LogisticRegression(tol=1e-10).fit(StandardScaler().fit(x).transform(x), y[:, 0])
    expected = model.predict(StandardScaler().fit(x).transform(grid))
    target = Target(name="y", kind="discrete", train=y, test=torch.as_tensor(expected)[:, None])
    (found,) = probe_targets(x, grid, [target], settings=SETTINGS, seed=0, kinds=["linear"])
    assert 0 < expected.mean() < 1
    assert found.score > 1 - 2 / 801


def test_accuracy_is_averaged_over_components_and_noise_is_at_chance():
    x = normal(N + M, 3)
    kept = (x[:, :1] > 0).long() + (x[:, :1] > 1).long()
    lost = (normal(N + M, 1, seed=1) > -0.8).long()
    pair = Target(name="pair", kind="discrete", **split(torch.cat([kept, lost], dim=1)))
    found = scores(
        x,
        pair,
        Target(name="kept", kind="discrete", **split(kept)),
        Target(name="lost", kind="discrete", **split(lost)),
    )
    for probe_name in ("linear", "mlp"):
        parts = [found[name, probe_name] for name in ("kept", "lost")]
        # The networks of a pair start from other weights than those of single targets, which moves a few samples.
        tolerance = 1e-12 if probe_name == "linear" else 0.03
        assert found["pair", probe_name].score == pytest.approx(
            (parts[0].score + parts[1].score) / 2, abs=tolerance
        )
        assert found["pair", probe_name].chance == pytest.approx((parts[0].chance + parts[1].chance) / 2)
        assert parts[0].score > 0.9
        assert abs(parts[1].score - parts[1].chance) < 5 * 0.5 / M**0.5


def test_a_class_that_the_training_sample_lacks_is_no_obstacle():
    x = normal(N + M, 2)
    y = torch.zeros(N + M, 1, dtype=torch.long)
    y[N:] = (x[N:, :1] > 0).long() * 3
    for score in scores(x, Target(name="y", kind="discrete", classes=4, **split(y))).values():
        assert score.score == score.chance == (y[N:] == 0).double().mean().item()


def test_the_interval_of_accuracy_is_as_wide_as_a_binomials():
    x = normal(N + 1000, 1)
    # Right for 80% of samples: the sign of x, flipped at random.
    flips = torch.rand(N + 1000, 1, generator=torch.Generator().manual_seed(1)) < 0.2
    target = Target(name="y", kind="discrete", **split((x > 0).long() ^ flips.long()))
    for confidence, deviations in ((0.95, 1.96), (0.6827, 1.0)):
        settings = PredictorSettings(bootstrap=4000, confidence=confidence)
        score = scores(x, target, settings=settings, kinds=["linear"])["y", "linear"]
        half = deviations * (score.score * (1 - score.score) / 1000) ** 0.5
        # Wilson's ends differ from these by some parts in 1000 of a trial. The mean with the training accuracy, which
        # has an error of 0.02 of its own, may push the upper end further.
        assert score.low == pytest.approx(score.score - half, abs=0.1 * half)
        assert score.score + 0.9 * half <= score.high <= score.score + half + 0.03
        assert score.low < 0.8 < score.high or confidence < 0.95
