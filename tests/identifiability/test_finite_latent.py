"""The least gap over finite latent spaces: against loops over states, and against the bounds that are proved."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from identbox.errors import IdentboxError
from identbox.identifiability.discrepancy import DECODERS, FACTORISED, FULL, OBJECTIVES, gap_bounds
from identbox.identifiability.finite_latent import FiniteLatent, Search, least_gap
from identbox.learning.posteriors import Subsets
from identbox.process.exact import DiscreteProcess
from identbox.process.exact_tables import load_exact

BLOCKS = {"x1": ["a"], "x2": ["b", "c"]}
QUICK = Search(restarts=4, steps=100)
MIXTURES = [
    Subsets.all_modalities(2),
    Subsets.single(2),
    Subsets.powerset(2),
    Subsets(2, [(0,)]),
    Subsets(2, [(1,), (0, 1)], [0.3, 0.7]),
]
WEIGHTS = pytest.mark.parametrize("subsets", MIXTURES, ids=["MVAE", "MMVAE", "MoPoE-VAE", "first", "own"])


def packaged(name):
    return load_exact(ROOT / "simulations" / "theorem_1" / f"{name}.toml")


def random_process(rng, shape=(2, 2, 3), blocks=BLOCKS):
    return DiscreteProcess(
        blocks, rng.dirichlet(np.full(math.prod(shape), rng.uniform(0.1, 1))).reshape(shape)
    )


def random_tables(rng, process, subsets, decoder, latents):
    """Encoders by subset and values of its components, a prior, and for each component a conditional table."""
    shape = process.joint.shape
    seen = [[axis for modality in subset for axis in process.blocks[modality]] for subset in subsets.members]
    sharp = rng.choice([0.05, 0.5, 5.0])
    encoders = [rng.dirichlet(np.full(latents, sharp), [shape[axis] for axis in axes]) for axes in seen]
    contexts = decoder.contexts(process.blocks)
    decoders = [
        rng.dirichlet(np.full(shape[axis], sharp), [latents, *(shape[c] for c in context)])
        for axis, context in enumerate(contexts)
    ]
    return seen, encoders, rng.dirichlet(np.ones(latents)), contexts, decoders


def gap_by_loops(process, subsets, objective, tables):
    """E[log p(x)] - E[L] state by state, for any tables: the ELBOs of Eq. 5.18 and 5.19 as they are printed."""
    seen, encoders, prior, contexts, decoders = tables
    gap = 0.0
    for state, p in np.ndenumerate(process.joint):
        if p == 0:
            continue
        given = [
            table[tuple(state[axis] for axis in axes)] for axes, table in zip(seen, encoders, strict=True)
        ]
        mixture = sum(w * q for w, q in zip(subsets.weights, given, strict=True))
        decoded = np.ones(len(prior))
        for axis, (context, table) in enumerate(zip(contexts, decoders, strict=True)):
            decoded = decoded * table[(slice(None), *(state[c] for c in context), state[axis])]
        elbo = 0.0
        for w, q in zip(subsets.weights, given, strict=True):
            for z in range(len(prior)):
                if q[z] > 0:
                    kl = math.log((mixture if objective == "5.18" else q)[z] / prior[z])
                    elbo += w * q[z] * (math.log(max(decoded[z], 1e-300)) - kl)
        gap += p * (math.log(p) - elbo)
    return gap


def best_tables(process, subsets, decoder, tables):
    """The same encoders with the prior and the decoders that are best for them, from loops."""
    seen, encoders, prior, contexts, _ = tables
    r = np.zeros((*process.joint.shape, len(prior)))
    for state, p in np.ndenumerate(process.joint):
        for w, axes, table in zip(subsets.weights, seen, encoders, strict=True):
            r[state] += w * p * table[tuple(state[axis] for axis in axes)]
    decoders = []
    for axis, context in enumerate(contexts):
        kept = [*context, axis]
        marginal = r.sum(tuple(set(range(process.joint.ndim)) - set(kept)))
        marginal = np.moveaxis(marginal, [sorted(kept).index(k) for k in kept], range(len(kept)))
        marginal = np.moveaxis(marginal, -1, 0)
        decoders.append(marginal / np.maximum(marginal.sum(-1, keepdims=True), 1e-300))
    return seen, encoders, r.sum(tuple(range(process.joint.ndim))), contexts, decoders


def flat(process, seen, encoders, problem):
    """Encoder tables with a row for each value of x_A that occurs, as `FiniteLatent` has them."""
    states, _ = process.support()
    rows = []
    for axes, table, numbers in zip(seen, encoders, problem.values, strict=True):
        made = np.zeros((numbers.max() + 1, table.shape[-1]))
        made[numbers] = table[tuple(states[:, axes].T)]
        rows.append(made)
    return rows


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("decoder", DECODERS.values(), ids=list(DECODERS))
@WEIGHTS
def test_the_gap_is_that_of_a_loop_over_states_with_the_best_decoders_and_prior(subsets, decoder, objective):
    rng = np.random.default_rng(0)
    process = random_process(rng)
    tables = random_tables(rng, process, subsets, decoder, 4)
    problem = FiniteLatent(process, subsets, decoder, objective)
    gap = float(problem.gap(flat(process, *tables[:2], problem)))
    assert gap == pytest.approx(
        gap_by_loops(process, subsets, objective, best_tables(process, subsets, decoder, tables)), abs=1e-12
    )
    assert gap < gap_by_loops(process, subsets, objective, tables)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(MIXTURES), st.sampled_from(list(DECODERS)))
def test_no_tables_at_all_are_below_the_bound(seed, subsets, name):
    """Random laws with random encoders, decoders and priors, as they come and with the best decoders."""
    rng = np.random.default_rng(seed)
    process = random_process(rng, (2, 2, 2))
    tables = random_tables(rng, process, subsets, DECODERS[name], int(rng.integers(1, 6)))
    for objective in OBJECTIVES:
        low = gap_bounds(process, subsets, DECODERS[name], objective).low
        assert gap_by_loops(process, subsets, objective, tables) >= low - 1e-9
        best = best_tables(process, subsets, DECODERS[name], tables)
        assert gap_by_loops(process, subsets, objective, best) >= low - 1e-9


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(DECODERS)), st.sampled_from(OBJECTIVES))
def test_no_optimum_on_a_random_law_of_three_modalities_is_below_the_bound(seed, name, objective):
    rng = np.random.default_rng(seed)
    process = random_process(rng, (2, 2, 2, 2), {"x1": ["a"], "x2": ["b", "c"], "x3": ["d"]})
    weights = rng.dirichlet(np.full(3, 0.3))
    subsets = Subsets(3, [(0,), (0, 2), (1, 2)], weights.tolist())
    found = least_gap(
        process, subsets, DECODERS[name], objective, Search(restarts=2, steps=40, polished=1), seed=0
    )
    bounds = gap_bounds(process, subsets, DECODERS[name], objective)
    assert bounds.low - 1e-9 <= found.gap <= bounds.high + 1e-9


@pytest.mark.parametrize("objective", OBJECTIVES)
@WEIGHTS
def test_slopes_are_the_derivatives_of_the_gap(subsets, objective):
    rng = np.random.default_rng(1)
    problem = FiniteLatent(random_process(rng), subsets, FACTORISED, objective)
    encoders = [rng.dirichlet(np.ones(3), size) for size in problem.sizes]
    for which, slope in enumerate(problem.slopes(encoders)):
        for row in range(len(slope)):
            moved = [encoder.copy() for encoder in encoders]
            moved[which][row] += 1e-6 * np.array([1, -1, 0])
            numerical = (problem.gap(moved) - problem.gap(encoders)) / 1e-6
            expected = (
                problem.weights[which] * problem.marginals[which][row] * (slope[row, 0] - slope[row, 1])
            )
            assert numerical == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
@WEIGHTS
def test_no_step_makes_the_gap_larger(subsets, objective):
    rng = np.random.default_rng(2)
    problem = FiniteLatent(random_process(rng), subsets, FACTORISED, objective)
    encoders = [rng.dirichlet(np.ones(5), (3, size)) for size in problem.sizes]
    gaps = [problem.gap(encoders)]
    for _ in range(30):
        encoders = problem.step(encoders)
        gaps.append(problem.gap(encoders))
    assert (np.diff(gaps, axis=0) <= 1e-12).all()
    assert (gaps[-1] < gaps[0] - 1e-3).all()


@pytest.mark.parametrize(
    ("subsets", "reached"),
    [
        (Subsets(2, [(0,)]), 0.5004),
        (Subsets.single(2), 0.2502),
        (Subsets.powerset(2), 0.1668),
        (MIXTURES[0], 0),
    ],
    ids=["first", "MMVAE", "MoPoE-VAE", "MVAE"],
)
def test_figures_of_the_bit_and_its_noisy_pair(subsets, reached):
    """With h = H(0.2) = 0.5004 nats: h for {1}, h / 2 for the MMVAE, h / 3 for the MoPoE-VAE; 0 for free decoders."""
    process = packaged("bit_and_noisy_pair")
    h = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    share = dict(zip(subsets.members, subsets.weights, strict=True)).get((0,), 0.0)
    factorised = least_gap(process, subsets, FACTORISED, "5.18", QUICK, seed=0)
    assert factorised.gap == pytest.approx(share * h, abs=1e-5)
    assert factorised.gap == pytest.approx(reached, abs=2e-4)
    free = least_gap(process, subsets, FULL, "5.18", QUICK, seed=0)
    assert free.gap == pytest.approx(0, abs=1e-6)
    assert gap_bounds(process, subsets, FULL, "5.18").delta >= share * h - 1e-12


@pytest.mark.parametrize("name", ["hidden_index", "parity_within", "three_copies"])
@pytest.mark.parametrize("decoder", DECODERS.values(), ids=list(DECODERS))
def test_of_one_subset_the_least_gap_is_the_bound_for_both_objectives(name, decoder):
    process = packaged(name)
    subsets = Subsets(len(process.blocks), [(0,)])
    for objective in OBJECTIVES:
        bounds = gap_bounds(process, subsets, decoder, objective)
        found = least_gap(process, subsets, decoder, objective, QUICK, seed=0)
        assert bounds.low == pytest.approx(bounds.high, abs=1e-12)
        assert found.gap == pytest.approx(bounds.low, abs=1e-7)


def test_a_mixture_that_hides_its_subset_has_no_gap_where_the_correlation_is_not_zero():
    """The encoders of docs/theorem-1.md for hidden_index: at z = 0 the two bits of x2 are uniform and independent."""
    process = packaged("hidden_index")
    problem = FiniteLatent(process, Subsets.single(2), FACTORISED, "5.18")
    second = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=float)  # 00, 01, 10, 11
    encoders = [np.array([[1.0, 0, 0], [1, 0, 0]]), second]
    bounds = gap_bounds(process, Subsets.single(2), FACTORISED, "5.18")
    assert problem.gap(encoders) == pytest.approx(0, abs=1e-12)
    assert bounds.correlation == pytest.approx(0.0283, abs=1e-4)
    alone = FiniteLatent(process, Subsets.single(2), FACTORISED, "5.19")
    assert alone.gap(encoders) >= bounds.correlation


def test_products_of_experts_reach_the_upper_bound_too():
    """Latent states (B, x_B). Expert i prefers those of small B that fit x_i, and avoids most those of B without i."""
    process = packaged("bit_and_noisy_pair")
    subsets = Subsets.powerset(2)
    problem = FiniteLatent(process, subsets, FACTORISED, "5.18")
    states, _ = process.support()
    codes = [(set(b), k) for b, size in zip(subsets.members, problem.sizes, strict=True) for k in range(size)]
    example = [states[problem.values[subsets.members.index(tuple(b))] == k][0] for b, k in codes]

    def log_expert(modality, x):
        axes = list(process.blocks[modality])
        return np.array(
            [
                -400.0 if modality not in b else -20.0 * len(b) if (x[axes] == one[axes]).all() else -np.inf
                for (b, _), one in zip(codes, example, strict=True)
            ]
        )

    encoders = []
    for subset, values, size in zip(subsets.members, problem.values, problem.sizes, strict=True):
        seen = [states[values == k][0] for k in range(size)]
        scores = np.array([sum(log_expert(modality, x) for modality in subset) for x in seen])
        shares = np.exp(scores - scores.max(1, keepdims=True))
        encoders.append(shares / shares.sum(1, keepdims=True))
    high = gap_bounds(process, subsets, FACTORISED, "5.18").high
    assert problem.gap(encoders) == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_latent_states_than_are_enough_do_not_help(objective):
    process = packaged("two_bits")
    problem = FiniteLatent(process, Subsets.single(2), FACTORISED, objective)
    assert problem.enough == 4
    least = least_gap(process, Subsets.single(2), FACTORISED, objective, QUICK, seed=0)
    assert least.enough
    assert least.latents == 4
    rng = np.random.default_rng(0)
    encoders = [rng.dirichlet(np.ones(8), (10, size)) for size in problem.sizes]
    for _ in range(600):
        encoders = problem.step(encoders)
    assert problem.gap(encoders).min() == pytest.approx(least.gap, abs=1e-3)
    assert problem.gap(encoders).min() >= least.gap - 1e-6


def test_a_search_is_the_same_for_the_same_seed():
    process = packaged("three_copies")
    first, again = (
        least_gap(process, Subsets.single(3), FACTORISED, "5.18", Search(restarts=2, steps=20), seed=1)
        for _ in range(2)
    )
    assert first.gap == again.gap


def test_too_many_states_are_refused():
    process = DiscreteProcess({"x1": ["a"], "x2": ["b"]}, np.full((200, 200), 1 / 40_000))
    with pytest.raises(
        IdentboxError, match="expected at most 2000000 states of x and z to optimise over, got 40000"
    ):
        least_gap(process, Subsets.single(2), FACTORISED, "5.18", Search(), seed=0)
