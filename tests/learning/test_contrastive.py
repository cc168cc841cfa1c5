import itertools
import math

import pytest
import torch

from identbox.errors import IdentboxError
from identbox.learning.contrastive import Objective, asymptotic, info_nce, log_sum_exp, one_sided_info_nce
from identbox.learning.entropy import entropy

# Rounding: one unit of float32 is 1.2e-7 and of float64 2.2e-16; sums over some hundred terms lose two digits of it,
# and steep temperatures multiply logits and their errors alike, so that errors are taken relative to the largest logit.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def naive(views, similarity, temperature, negatives=None, decoupled=False):
    """Eq. 8.1 and 8.2 word for word: broadcast differences, both directions apart. Decoupled: no pair itself."""
    losses = []
    for (i, a), (_j, b) in itertools.permutations(list(enumerate(views)), 2):
        other = b if negatives is None else negatives[i]

        def sim(x, y):
            if similarity == "cosine":
                return torch.nn.functional.cosine_similarity(x, y, dim=-1) / temperature
            return -(x - y).square().sum(-1) / temperature

        logits = sim(a[:, None], other[None])
        positive = sim(a, b)
        if decoupled and negatives is None:
            logits = logits.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf)
        elif negatives is not None and not decoupled:
            logits = torch.cat([logits, positive[:, None]], 1)
        losses.append((torch.logsumexp(logits, 1) - positive).mean())
    return torch.stack(losses).mean()


def encodings(count, n, d, dtype, *, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(n, d, generator=generator, dtype=dtype)
    noise = [torch.randn(n, d, generator=generator, dtype=dtype) for _ in range(count)]
    return [((base + 0.3 * e) * spread).requires_grad_() for e in noise]


def compare(views, objective, block, negatives=None):
    leaves = [*views, *(negatives or [])]
    ours = info_nce(views, objective, negatives=negatives, block=block)
    expected = naive(views, objective.similarity, objective.temperature, negatives, objective.decoupled)
    gradients = torch.autograd.grad(ours, leaves)
    expected_gradients = torch.autograd.grad(expected, leaves)
    tolerance = TOLERANCE[views[0].dtype]
    scale = max(1.0, expected.item())
    assert abs(ours.item() - expected.item()) <= tolerance * scale
    largest = max(gradient.abs().max().item() for gradient in expected_gradients)
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert (one - other).abs().max().item() <= tolerance * max(largest, 0.05)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
@pytest.mark.parametrize("sizes", [(None, 50), (7, None), (3, 20)])
def test_further_encodings_of_a_view_join_the_denominators_of_the_other(similarity, sizes):
    a, b = encodings(2, 16, 4, torch.float64)
    further = [
        None if size is None else encodings(1, size, 4, torch.float64, seed=k)[0]
        for k, size in enumerate(sizes, 1)
    ]
    loss = info_nce([a, b], Objective(similarity=similarity, temperature=0.3), further=further)

    def logits(x, y):
        if similarity == "cosine":
            return torch.nn.functional.cosine_similarity(x[:, None], y[None], dim=-1) / 0.3
        return -(x[:, None] - y[None]).square().sum(-1) / 0.3

    expected = torch.zeros((), dtype=torch.float64)
    for x, y, more in ((a, b, further[1]), (b, a, further[0])):
        # Cross entropy with the pair's own index as the class.
        columns = y if more is None else torch.cat([y, more])
        expected = expected + torch.nn.functional.cross_entropy(logits(x, columns), torch.arange(16)) / 2
    leaves = [a, b, *(one for one in further if one is not None)]
    ours, theirs = (torch.autograd.grad(one, leaves) for one in (loss, expected))
    assert abs(loss.item() - expected.item()) < TOLERANCE[torch.float64]
    assert all((x - y).abs().max() < TOLERANCE[torch.float64] for x, y in zip(ours, theirs, strict=True))
    with pytest.raises(IdentboxError, match="expected further encodings, or None, of 2 views; got 1"):
        info_nce([a, b], Objective(similarity=similarity), further=[None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    ("n", "d", "block"), [(64, 5, None), (61, 3, 7), (61, 3, 61), (33, 5, 1), (2, 1, 1), (130, 20, 64)]
)
@pytest.mark.parametrize("temperature", [1.0, 0.05, 50.0])
def test_loss_and_gradients_are_those_of_the_naive_form(dtype, similarity, n, d, block, temperature):
    objective = Objective(similarity=similarity, temperature=temperature)
    compare(encodings(2, n, d, dtype), objective, block)


@pytest.mark.parametrize("temperature", [1e-3, 1e4])
@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
@pytest.mark.parametrize("spread", [1e-3, 30.0])
def test_extreme_temperatures_and_scales(similarity, temperature, spread):
    objective = Objective(similarity=similarity, temperature=temperature)
    compare(encodings(2, 50, 4, torch.float64, spread=spread), objective, 9)
    views = encodings(2, 50, 4, torch.float32, spread=spread)
    loss = info_nce(views, objective)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, views))
    wide = [view.double() for view in views]
    expected = naive(wide, similarity, temperature).item()
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-5 + 1e-6 / temperature)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
def test_same_view_negatives(similarity):
    views, negatives = encodings(2, 40, 3, torch.float64), encodings(2, 40, 3, torch.float64, seed=1)
    objective = Objective(similarity=similarity, negatives="same-view", temperature=0.5)
    compare(views, objective, 7, negatives)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
@pytest.mark.parametrize("negatives", ["other-view", "same-view"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decoupled_sums_are_without_the_positive_pair(similarity, negatives, dtype):
    views = encodings(2, 40, 4, dtype)
    second = encodings(2, 30, 4, dtype, seed=1) if negatives == "same-view" else None
    objective = Objective(similarity=similarity, negatives=negatives, decoupled=True)
    compare(views, objective, block=16, negatives=second)


def test_decoupled_anchors_against_their_targets():
    a, b = encodings(2, 40, 4, torch.float64)
    logits = -(a[:, None] - b[None]).square().sum(-1)
    sums = logits.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf).logsumexp(1)
    ours = one_sided_info_nce(a, b, Objective(decoupled=True))
    torch.testing.assert_close(ours, (sums - logits.diagonal()).mean())


def test_decoupled_sums_next_to_which_the_pair_is_all_stay_finite():
    views = [(1000 * view.detach()).requires_grad_() for view in encodings(2, 16, 4, torch.float32)[:1] * 2]
    loss = info_nce(views, Objective(decoupled=True))
    gradients = torch.autograd.grad(loss, views)
    assert math.isfinite(loss.item())
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_more_than_two_views_are_the_mean_over_pairs():
    views = encodings(3, 30, 2, torch.float64)
    compare(views, Objective(), 8)
    pairs = [info_nce(list(pair), Objective()) for pair in itertools.combinations(views, 2)]
    torch.testing.assert_close(info_nce(views, Objective()), torch.stack(pairs).mean())


def test_constant_encodings_give_log_n():
    views = [torch.ones(17, 3), torch.ones(17, 3)]
    for similarity in ("euclidean", "cosine"):
        loss = info_nce(views, Objective(similarity=similarity, temperature=0.1))
        assert loss.item() == pytest.approx(math.log(17), abs=5e-6)
    same = Objective(negatives="same-view")
    assert info_nce(views, same, negatives=views).item() == pytest.approx(math.log(18), abs=1e-6)


def test_aligned_encodings_have_no_loss_when_scaled_up_and_so_no_floor():
    view = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    losses = [info_nce([scale * view, scale * view], Objective()).item() for scale in (1.0, 10.0, 1000.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-6


def test_a_shift_of_all_encodings_changes_no_distance():
    views = encodings(2, 50, 4, torch.float64)
    moved = [view + 1e3 for view in views]
    torch.testing.assert_close(info_nce(moved, Objective()), info_nce(views, Objective()), rtol=1e-9, atol=0)


def test_rows_and_columns_of_log_sum_exp():
    a, b = encodings(1, 21, 3, torch.float64)[0], encodings(1, 34, 3, torch.float64, seed=4)[0]
    logits = -2.5 * (a[:, None] - b[None]).square().sum(-1)
    rows, columns = log_sum_exp(a, b, "euclidean", 2.5, 4)
    torch.testing.assert_close(rows, logits.logsumexp(1))
    torch.testing.assert_close(columns, logits.logsumexp(0))


def test_memory_is_that_of_a_block():
    """The similarities of 20 000 samples would be 1.6 GB, of which nothing may be saved for the backward pass."""
    saved = []
    views = encodings(2, 3000, 3, torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x):
        info_nce(views, Objective())
    assert max(saved) <= 3000 * 3


@pytest.mark.parametrize(("d", "n"), [(1, 5_000), (3, 8_000)])
def test_entropy_of_known_densities(d, n):
    """Within 0.05 nats: the estimator's standard error is about sqrt(d / n) and its bias below 0.02 here."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(n, d, generator=generator)
    assert entropy(normal).item() == pytest.approx(d / 2 * math.log(2 * math.pi * math.e), abs=0.05)
    uniform = torch.rand(n, d, generator=generator)
    assert entropy(uniform).item() == pytest.approx(0.0, abs=0.05 if d == 1 else 0.1)
    assert entropy(uniform * 3).item() - entropy(uniform).item() == pytest.approx(d * math.log(3), abs=1e-3)


def test_entropy_is_differentiable_and_grows_with_scale():
    """dH/ds of s x at s = 1 is d, whatever the density."""
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(entropy(x * scale), scale)
    assert slope.item() == pytest.approx(2.0, abs=1e-9)


def test_aligned_uniform_encodings_attain_the_minimum_of_the_asymptotic_form():
    generator = torch.Generator().manual_seed(0)
    view = torch.rand(6_000, 2, generator=generator)
    assert asymptotic([view, view]).item() == pytest.approx(0.0, abs=0.05)
    noisy = (view + 0.1 * torch.randn(view.shape, generator=generator)).clamp(0, 1)
    squeezed = 0.5 * view
    assert asymptotic([view, noisy]).item() > 0.05
    assert asymptotic([squeezed, squeezed]).item() == pytest.approx(2 * math.log(2), abs=0.05)


@pytest.mark.parametrize(
    ("views", "objective", "negatives", "message"),
    [
        ([torch.ones(3, 2)], Objective(), None, "at least two views, got 1"),
        ([torch.ones(3, 2), torch.ones(4, 2)], Objective(), None, "one shape, got (3, 2) and (4, 2)"),
        ([torch.ones(0, 2), torch.ones(0, 2)], Objective(), None, "non-empty"),
        ([torch.ones(3, 2)] * 2, Objective(negatives="same-view"), None, "got none for same-view"),
        ([torch.ones(3, 2)] * 2, Objective(), [torch.ones(3, 2)] * 2, "got one for other-view"),
        (
            [torch.ones(3, 2)] * 2,
            Objective(negatives="same-view"),
            [torch.ones(3, 2)],
            "of 2 views, got those of 1",
        ),
    ],
)
def test_what_does_not_fit_is_named(views, objective, negatives, message):
    with pytest.raises(IdentboxError) as error:
        info_nce(views, objective, negatives=negatives)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"temperature": -1.0}, {"temperature": float("nan")}]
)
def test_bad_settings(settings):
    with pytest.raises(IdentboxError, match="expected"):
        Objective(**settings)
    with pytest.raises(IdentboxError, match="neighbours: expected 1 to 2 for 3 samples, got 3"):
        entropy(torch.ones(3, 1))


def whitened(views, *others):
    """All of some encodings, seen from the eigenvectors of the views' covariance, each divided by its deviation."""
    every = torch.cat(views)
    values, vectors = torch.linalg.eigh(torch.cov(every.T, correction=0))
    return [(one - every.mean(0)) @ vectors / values.sqrt() for one in (*views, *others)]


@pytest.mark.parametrize("negatives", ["other-view", "same-view"])
def test_the_loss_of_whitened_encodings_does_not_change_by_invertible_linear_maps(negatives):
    views = [view + 3 * place for place, view in enumerate(encodings(2, 40, 4, torch.float64, spread=5.0))]
    again = encodings(2, 30, 4, torch.float64, spread=5.0, seed=1) if negatives == "same-view" else []
    objective = Objective(temperature=0.5, negatives=negatives, encodings="whitened")
    a, b, *others = whitened(views, *again)
    expected = naive([a, b], "euclidean", 0.5, others or None)
    ours = info_nce(views, objective, negatives=again or None)
    assert ours.item() == pytest.approx(
        expected.item(), rel=1e-4
    )  # what is added to variances is 1e-6 of them
    matrix = torch.randn(4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    mapped = [[one @ matrix + 7 for one in each] for each in (views, again)]
    assert info_nce(mapped[0], objective, negatives=mapped[1] or None).item() == pytest.approx(
        ours.item(), rel=1e-4
    )


def test_the_gradient_goes_through_the_whitening():
    views = encodings(2, 12, 3, torch.float64)
    objective = Objective(encodings="whitened")
    assert torch.autograd.gradcheck(lambda a, b: info_nce([a, b], objective), views)
    assert torch.autograd.gradcheck(lambda a, b: one_sided_info_nce(a, b, objective), views)


def test_constant_encodings_that_are_whitened_say_nothing():
    views = [torch.full((16, 3), 2.0), torch.full((16, 3), 2.0)]
    assert info_nce(views, Objective(encodings="whitened")).item() == pytest.approx(math.log(16))


def test_directions_are_not_whitened():
    with pytest.raises(
        IdentboxError, match="encodings: expected whitened ones for Euclidean distances alone"
    ):
        Objective(similarity="cosine", encodings="whitened")


def test_directions_of_one_dimension_have_no_gradient_to_be_scaled_up():
    """They are +1 or -1: through `normalize` they had gradients of rounding, which optimisers scale to full steps."""
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(64, 1, generator=generator).requires_grad_() for _ in range(2)]
    objective = Objective(similarity="cosine", temperature=0.1)
    loss = info_nce(views, objective)
    expected = info_nce([v.detach() / v.detach().abs() for v in views], objective)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(torch.equal(v.grad, torch.zeros_like(v)) for v in views)
