"""Laws whose entropies are known: against loops over all states, and against closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from identbox.config import toml_of
from identbox.errors import IdentboxError
from identbox.process import exact
from identbox.process.exact import DiscreteProcess, LinearGaussian
from identbox.process.exact_tables import exact_from_table, load_exact

PAIR = {"x1": ["a"], "x2": ["b", "c"]}
GRAPH = {
    "modalities": {"x1": ["d"], "x2": ["b", "c"]},
    "variables": {
        "a": {"probabilities": [0.2, 0.5, 0.3]},
        "b": {"copy_of": "a", "flip": 0.1},
        "c": {"probabilities": [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], "parents": ["b"]},
        "d": {"sum_of": ["a", "b"], "flip": 0.25},
    },
}


def random_joint(shape, seed=0):
    joint = np.random.default_rng(seed).dirichlet(np.ones(math.prod(shape)) / 2)
    return joint.reshape(shape)


def entropy_by_loops(joint, axes):
    """The entropy of some axes, from a dictionary that is filled state by state."""
    mass: dict[tuple[int, ...], float] = {}
    for state in np.ndindex(joint.shape):
        key = tuple(state[axis] for axis in axes)
        mass[key] = mass.get(key, 0.0) + joint[state]
    return -sum(p * math.log(p) for p in mass.values() if p > 0)


def test_entropies_of_all_sets_of_components_are_those_of_a_loop_over_states():
    joint = random_joint((3, 2, 4, 2))
    process = DiscreteProcess({"x1": ["a", "b"], "x2": ["c", "d"]}, joint)
    for size in range(5):
        for axes in itertools.combinations(range(4), size):
            assert process.entropy(axes) == pytest.approx(entropy_by_loops(joint, axes), abs=1e-12)
            assert process.marginal(axes).shape == tuple(joint.shape[axis] for axis in axes)


def test_marginals_do_not_depend_on_what_was_asked_before(monkeypatch):
    joint = random_joint((2, 3, 2, 3))
    fresh = DiscreteProcess({"x1": ["a", "b"], "x2": ["c", "d"]}, joint)
    used = DiscreteProcess({"x1": ["a", "b"], "x2": ["c", "d"]}, joint)
    for axes in ((0, 2, 3), (0, 2), (1, 3)):
        used.entropy(axes)
    assert np.allclose(fresh.marginal([2]), used.marginal([2]), atol=1e-15)
    monkeypatch.setattr(exact, "KEPT", 0)
    alone = DiscreteProcess({"x1": ["a", "b"], "x2": ["c", "d"]}, joint)
    assert np.allclose(alone.marginal([0, 3]), joint.sum((1, 2)), atol=1e-15)


def test_the_joint_of_a_graph_is_the_product_of_its_factors_summed_over_what_is_not_seen():
    process = exact_from_table(GRAPH, "graph")
    joint = np.zeros((3, 3, 2))
    root = GRAPH["variables"]["a"]["probabilities"]
    table = GRAPH["variables"]["c"]["probabilities"]
    for a, b, c, d in itertools.product(range(3), range(3), range(2), range(3)):
        copied = 0.9 if b == a else 0.1 / 2
        summed = 0.75 if d == (a + b) % 3 else 0.25 / 2
        joint[d, b, c] += root[a] * copied * table[b][c] * summed
    assert process.components == ("d", "b", "c")
    assert np.allclose(process.joint, joint, atol=1e-15)


def test_a_file_with_a_table_and_one_with_a_graph_give_the_same_process(tmp_path):
    process = exact_from_table(GRAPH, "graph")
    (tmp_path / "same.toml").write_bytes(
        toml_of({"modalities": GRAPH["modalities"], "table": process.joint.tolist()})
    )
    read = load_exact(tmp_path / "same.toml")
    assert read.name == "same"
    assert np.allclose(read.joint, process.joint, atol=1e-15)


def test_samples_have_the_frequencies_of_the_table():
    joint = random_joint((2, 2, 2), seed=3)
    process = DiscreteProcess(PAIR, joint)
    drawn = process.sample(20_000, generator=torch.Generator().manual_seed(0))
    rows = torch.cat([drawn["x1"], drawn["x2"]], dim=1)
    assert rows.shape == (20_000, 3)
    counts = np.zeros((2, 2, 2))
    np.add.at(counts, tuple(rows.numpy().T), 1)
    # Five standard errors of a frequency.
    assert np.abs(counts / 20_000 - joint).max() < 5 * 0.5 / math.sqrt(20_000)


@pytest.mark.slow
def test_eight_million_states_are_enumerated():
    n = 23
    process = exact_from_table(
        {
            "modalities": {"x1": ["v0"], "x2": [f"v{k}" for k in range(1, n)]},
            "variables": {
                "v0": {"classes": 2},
                **{f"v{k}": {"copy_of": f"v{k - 1}", "flip": 0.1} for k in range(1, n)},
            },
        },
        "long chain",
    )
    assert process.joint.size == 2**n
    flip = -0.1 * math.log(0.1) - 0.9 * math.log(0.9)
    assert process.entropy(range(n)) == pytest.approx(math.log(2) + (n - 1) * flip, abs=1e-9)


def test_gaussian_entropies_are_those_of_scipy():
    factor = np.random.default_rng(0).normal(size=(3, 3))
    law = LinearGaussian(PAIR, factor @ factor.T)
    for size in (1, 2, 3):
        for axes in itertools.combinations(range(3), size):
            block = law.covariance[np.ix_(axes, axes)]
            assert law.entropy(axes) == pytest.approx(
                stats.multivariate_normal(cov=block).entropy(), abs=1e-12
            )
    assert law.entropy([]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tabel": 1}, "expected keys among description, modalities, models, variables, table, covariance"),
        ({"modalities": 3}, "expected a table [modalities] with a list of components for each, got 3"),
        ({"modalities": {}}, "modalities: expected at least one component in each, got none"),
        (
            {"modalities": {"x1": ["a"], "x2": ["a"]}},
            "modalities: expected each component once, got one twice",
        ),
        ({"modalities": {"x1": ["z"]}}, "modalities: expected components among a, b; got z"),
        ({"table": [1]}, "expected one of table, variables, covariance; got table, variables"),
        ({"variables": {}}, "variables: expected 1 to 52 tables, got {}"),
        (
            {"variables": {"a": {}, "b": {"classes": 2}}},
            "variables.a: expected one of classes, probabilities",
        ),
        (
            {"variables": {"a": {"copy_of": "b"}, "b": {"classes": 2}}},
            "a: expected causes among none, which stand",
        ),
        (
            {"variables": {"a": {"classes": 2}, "b": {"copy_of": "a", "flip": 2}}},
            "flip: expected a number in [0, 1]",
        ),
        (
            {"variables": {"a": {"classes": 2, "flip": 0.1}, "b": {"classes": 2}}},
            "flip: expected copy_of or sum_of",
        ),
        (
            {"variables": {"a": {"classes": 1}, "b": {"copy_of": "a", "flip": 0.1}}},
            "b.flip: expected 0 for a variable",
        ),
        (
            {"variables": {"a": {"probabilities": [0.5, 0.6]}, "b": {"classes": 2}}},
            "a sum of 1, got a sum of 1.1",
        ),
        ({"variables": {"a": {"probabilities": [[1]]}, "b": {"classes": 2}}}, "expected axes of ['classes']"),
        (
            {"variables": {"a": {"probabilities": [[1], 2]}, "b": {"classes": 2}}},
            "expected lists of equal lengths",
        ),
        (
            {"variables": {"a": {"classes": 2}, "c": {"classes": 3}, "b": {"sum_of": ["a", "c"]}}},
            "b.sum_of: expected variables of equally many classes, got [2, 3]",
        ),
        (
            {"variables": {"a": {"classes": 4000}, "b": {"classes": 4000}}},
            "at most 10000000 states, got 1.6e+07",
        ),
    ],
)
def test_a_mistake_in_a_graph_is_named(changes, message):
    table = {
        "modalities": {"x1": ["a"], "x2": ["b"]},
        "variables": {"a": {"classes": 2}, "b": {"copy_of": "a"}},
    }
    with pytest.raises(IdentboxError) as error:
        exact_from_table(table | changes, "file.toml")
    assert str(error.value).startswith("file.toml: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        ([[0.5, 0.5]], "table: expected an axis for each of 3 components, got 2"),
        ([[[0.5, 0.6]]], "table: expected probabilities with a sum of 1, got 1.1"),
        ([[[1.5, -0.5]]], "table: expected probabilities from 0, got -0.5"),
        ([[[1.0], 0.5]], "table: expected numbers in lists of equal lengths"),
        (np.zeros((1, 0, 2)), "expected 1 to 10000000 states, got 0"),
    ],
)
def test_a_mistake_in_a_table_is_named(joint, message):
    with pytest.raises(IdentboxError) as error:
        DiscreteProcess(PAIR, joint)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "covariance", [[[1.0]], [[1, 2], [0, 1]], "none", [[1, 1], [1, 1]], [[1, 2], [2, 1]]]
)
def test_what_is_no_covariance_of_full_rank_is_refused(covariance):
    with pytest.raises(IdentboxError, match="covariance: expected"):
        LinearGaussian({"x1": ["a"], "x2": ["b"]}, covariance)
