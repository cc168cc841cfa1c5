"""The bounds of Theorem 1 against loops over states, and against models that are as good as a bound allows."""

import itertools
import math

import numpy as np
import pytest

from identbox.identifiability import discrepancy
from identbox.identifiability.discrepancy import AUTOREGRESSIVE, DECODERS, FACTORISED, FULL, gap_bounds
from identbox.learning.posteriors import Subsets
from identbox.process.exact import DiscreteProcess, LinearGaussian

BLOCKS = {"x1": ["a"], "x2": ["b", "c", "d"], "x3": ["e", "f"]}
SHAPE = (3, 2, 2, 2, 2, 2)


@pytest.fixture(scope="module")
def process():
    joint = np.random.default_rng(0).dirichlet(np.full(math.prod(SHAPE), 0.3)).reshape(SHAPE)
    return DiscreteProcess(BLOCKS, joint)


def missing_by_loops(process, subset, contexts):
    """T(A) as a mean over states: log p(x_notA | x_A) less the sum of log p(x_d | x_c(d), x_A)."""
    seen = [axis for modality in subset for axis in process.blocks[modality]]
    joint = process.joint

    def probability(state, axes):
        return sum(p for other, p in np.ndenumerate(joint) if all(other[a] == state[a] for a in axes))

    total = 0.0
    for state, p in np.ndenumerate(joint):
        if p == 0:
            continue
        known = probability(state, seen)
        apart = 1.0
        for axis, context in enumerate(contexts):
            if axis not in seen:
                given = {*seen, *context}
                apart *= probability(state, {*given, axis}) / probability(state, given)
        total += p * math.log(p / known / apart)
    return total


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=list(DECODERS))
@pytest.mark.parametrize("subset", [(0,), (1, 2)])
def test_missing_correlation_is_a_mean_of_log_ratios(process, decoder, subset):
    expected = missing_by_loops(process, subset, decoder.contexts(process.blocks))
    assert discrepancy.missing_correlation(process, subset, decoder) == pytest.approx(expected, abs=1e-10)


def test_contexts_are_the_components_just_before_in_the_same_modality():
    blocks = ((0,), (1, 2, 3), (4, 5))
    assert FACTORISED.contexts(blocks) == [(), (), (), (), (), ()]
    assert AUTOREGRESSIVE.contexts(blocks) == [(), (), (1,), (2,), (), (4,)]
    assert FULL.contexts(blocks) == [(), (), (1,), (1, 2), (), (4,)]


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=list(DECODERS))
def test_missing_correlation_falls_when_more_modalities_are_seen_and_ends_at_zero(process, decoder):
    values = {
        subset: discrepancy.missing_correlation(process, subset, decoder)
        for size in (1, 2, 3)
        for subset in itertools.combinations(range(3), size)
    }
    for small, large in itertools.product(values, values):
        if set(small) <= set(large):
            assert values[small] >= values[large] - 1e-12
    assert values[0, 1, 2] == pytest.approx(0, abs=1e-12)


def test_decoders_with_longer_contexts_lose_less(process):
    losses = [discrepancy.missing_correlation(process, (0,), decoder) for decoder in DECODERS.values()]
    assert losses[0] > losses[1] > losses[2] > 0


def test_delta_is_a_mean_of_conditional_entropies(process):
    """H(x_notA | x_A) by loops: the mean of -log p(x_notA | x_A)."""
    subsets = Subsets(3, [(0,), (0, 1)], [0.25, 0.75])
    expected = 0.0
    for subset, weight in zip(subsets.members, subsets.weights, strict=True):
        seen = [axis for modality in subset for axis in process.blocks[modality]]
        marginal = process.joint.sum(tuple(set(range(6)) - set(seen)), keepdims=True)
        expected -= weight * (process.joint * np.log(process.joint / marginal)).sum()
    assert discrepancy.discrepancy(process, subsets) == pytest.approx(expected, abs=1e-12)


def test_weights_entropy_is_that_of_a_distribution():
    assert discrepancy.weights_entropy([0.25] * 4) == pytest.approx(math.log(4))
    assert discrepancy.weights_entropy([1.0, 0.0]) == 0


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=list(DECODERS))
def test_the_bound_for_the_mixture_is_the_best_over_all_groupings_of_three_subsets(process, decoder):
    subsets = Subsets(3, [(0,), (1,), (2,)], [0.02, 0.08, 0.9])
    best = 0.0
    for labels in itertools.product(range(3), repeat=3):
        groups = {}
        for (modality,), weight, label in zip(subsets.members, subsets.weights, labels, strict=True):
            members, total = groups.get(label, ((), 0.0))
            groups[label] = ((*members, modality), total + weight)
        bound = sum(
            w * discrepancy.missing_correlation(process, members, decoder) for members, w in groups.values()
        )
        best = max(best, bound - discrepancy.weights_entropy(w for _, w in groups.values()))
    assert gap_bounds(process, subsets, decoder, "5.18").low == pytest.approx(best, abs=1e-12)


def test_bounds_of_the_two_objectives_lie_as_the_proof_says(process):
    subsets = Subsets.powerset(3)
    for decoder in DECODERS.values():
        mixture, alone = (
            gap_bounds(process, subsets, decoder, objective) for objective in discrepancy.OBJECTIVES
        )
        assert 0 <= mixture.low <= mixture.high == mixture.correlation == alone.low
        assert alone.high == pytest.approx(alone.low + alone.weights_entropy)


def test_a_subset_of_weight_zero_counts_for_nothing(process):
    with_zero = Subsets(3, [(0,), (1,)], [1.0, 0.0])
    for objective in discrepancy.OBJECTIVES:
        assert gap_bounds(process, with_zero, FACTORISED, objective) == gap_bounds(
            process, Subsets(3, [(0,)]), FACTORISED, objective
        )


@pytest.mark.parametrize("loading", [0.5, 2.0])
def test_a_gaussian_encoder_with_little_noise_comes_as_near_to_the_bound_as_one_likes(loading):
    """For z = x_A + noise the gap is TC(x | z), a difference of log-determinants; it falls to T(A)."""
    rng = np.random.default_rng(1)
    factor = np.hstack([loading * rng.normal(size=(4, 2)), np.eye(4)])
    law = LinearGaussian({"x1": ["a", "b"], "x2": ["c", "d"]}, factor @ factor.T)
    bound = discrepancy.missing_correlation(law, (0,), FACTORISED)
    gaps = []
    for noise in (1.0, 0.1, 0.01, 1e-3):
        across, seen = law.covariance[:, :2], law.covariance[:2, :2]
        left = law.covariance - across @ np.linalg.solve(seen + noise**2 * np.eye(2), across.T)
        gaps.append(0.5 * (np.log(np.diag(left)).sum() - np.linalg.slogdet(left)[1]))
    assert gaps == sorted(gaps, reverse=True)
    assert min(gaps) >= bound
    assert gaps[-1] == pytest.approx(bound, abs=1e-4)
