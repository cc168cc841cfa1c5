"""The scores of the literature, against values worked out by hand on small arrays."""

import math

import numpy as np
import pytest

from identbox.errors import IdentboxError
from identbox.metrics import associations, disentanglement
from identbox.metrics.associations import Factor
from identbox.metrics.disentanglement import (
    completeness_of,
    disentanglement_of,
    gap,
    matched,
    modularity,
    scores,
)
from identbox.metrics.robustness import robustness

N = 500


def numbers(n: int = N, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def factors_of(z: np.ndarray) -> dict[str, np.ndarray]:
    return {f"z{k}": column for k, column in enumerate(z.T)}


# Values by hand.


def test_correlations_by_hand() -> None:
    code = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    number = Factor(name="a", values=np.array([1.0, 2.0, 2.0, 3.0]))
    # r = cov / (sd sd) = 3 / sqrt(5 * 2); a constant code has 0.
    np.testing.assert_allclose(associations.correlations(code, [number])[:, 0], [3 / math.sqrt(10), 0])
    two = Factor(name="b", values=np.array([0, 0, 1, 1]), kind="discrete")
    # The means 1.5 and 3.5 leave 1 of the sum of squares 5.
    np.testing.assert_allclose(associations.correlations(code, [two])[0, 0], math.sqrt(4 / 5))


def test_ranks_do_not_see_an_increasing_map() -> None:
    z = numbers(50, 1)
    factor = Factor(name="a", values=z[:, 0])
    cubed = associations.correlations(np.exp(z), [factor], ranks=True)
    assert cubed[0, 0] == pytest.approx(1)
    assert associations.correlations(np.exp(z), [factor])[0, 0] < 0.95


def test_a_circle_goes_with_its_cosine_and_a_hue_with_part_of_it() -> None:
    hue = np.arange(1000) / 1000
    factor = Factor(name="hue", values=hue, kind="circular", period=1.0)
    angle = 2 * np.pi * hue
    found = associations.correlations(np.stack([np.cos(angle), np.sin(angle + 1), hue], axis=1), [factor])
    # Of a number on [0, 1] the first harmonic explains 6 / pi^2: its sine coefficient is -1/pi, its variance 1/12.
    np.testing.assert_allclose(found[:, 0], [1, 1, math.sqrt(6) / math.pi], atol=1e-3)


def test_mutual_information_by_hand() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert associations.mutual_information(a, a) == pytest.approx(math.log(2))
    assert associations.mutual_information(a, b) == pytest.approx(0)
    # p(0,0) = 1/2, p(1,0) = 1/4, p(1,1) = 1/4: H(a) + H(b) - H(a,b).
    a, b = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    by_hand = math.log(2) + (0.75 * math.log(4 / 3) + 0.25 * math.log(4)) - 1.5 * math.log(2)
    assert associations.mutual_information(a, b) == pytest.approx(by_hand)


def test_the_informational_correlation_of_normal_variables_is_their_correlation() -> None:
    z = numbers(3000, 2)
    found = associations.continuous_information(
        0.6 * z[:, :1] + 0.8 * z[:, 1:], [Factor(name="a", values=z[:, 0])]
    )
    assert found[0, 0] == pytest.approx(0.6, abs=0.06)


def test_the_separation_of_classes_by_hand() -> None:
    classes = Factor(name="c", values=np.array([0, 0, 0, 1]), kind="discrete")
    code = np.array([[0.0], [0.0], [4.0], [6.0]])
    # The means are 4/3 and 6: the third sample is nearer 6. Accuracy 3/4 is that of the most frequent class.
    assert associations.separations(code, [classes])[0, 0] == 0
    assert associations.separations(np.array([[0.0], [0.0], [1.0], [6.0]]), [classes])[0, 0] == 1


def test_assignment_gap_and_modularity_by_hand() -> None:
    strengths = np.array([[0.9, 0.8], [0.7, 0.1]])
    assert matched(strengths) == pytest.approx((0.8 + 0.7) / 2)  # and not 0.9 twice
    assert matched(strengths[:1]) == pytest.approx(0.9 / 2)  # the second factor has no code
    assert gap(strengths) == pytest.approx(((0.9 - 0.7) + (0.8 - 0.1)) / 2)
    assert gap(strengths[:1]) == pytest.approx((0.9 + 0.8) / 2)
    assert modularity(np.array([[0.8, 0.4], [0.0, 0.5]])) == pytest.approx((0.75 + 1) / 2)


def test_dci_by_hand() -> None:
    weights = np.array([[2.0, 0.0], [1.0, 1.0]])
    # The first code has entropy 0 and the second log 2; each has half of the importance.
    assert disentanglement_of(weights) == pytest.approx(0.5)
    first = 1 - (2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3)) / math.log(2)
    assert completeness_of(weights) == pytest.approx((first + 1) / 2)
    assert disentanglement_of(np.zeros((2, 2))) == 0


def test_robustness_by_hand() -> None:
    before = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    first, both = before.copy(), before.copy()
    first[:, 0] = 1 - first[:, 0]  # moves the first code by 1; random pairs are 1/2 apart
    both[0] = [1.0, 1.0]  # moves each code in one of four samples: 1/4, half of 1/2
    # First code: its own intervention is "a", the other moves it by 0.5. Second: its own is "b", the other 0.
    value, _, _ = robustness({"a": (before, first), "b": (before, both)})
    assert value == pytest.approx((0.5 + 1) / 2)


# Codes whose scores are known.


@pytest.fixture(scope="module")
def perfect():
    """A code that is the factors themselves, in another order."""
    rng = np.random.default_rng(1)
    z = numbers(N, 2, seed=1)
    classes = rng.integers(0, 2, N)
    factors = {**factors_of(z), "c": classes}
    return scores(np.column_stack([-z[:, 1], z[:, 0], classes.astype(float)]), factors), factors


def test_a_perfect_code_has_one_in_every_score(perfect) -> None:
    for one in perfect[0]:
        # With 600 rows trees predict steps, and bins of independent codes share some information.
        least = {
            "DCI informativeness, trees": 0.85,
            "MIG": 0.85,
            "MIG, continuous": 0.7,
            "DCI disentanglement, lasso": 0.85,
        }
        assert one.value >= least.get(one.name, 0.92), one.name
        assert one.low <= one.value <= one.high <= 1
        assert one.warning == ""


def test_permuted_factors_have_what_chance_has(perfect) -> None:
    chance = {one.name: one.permuted for one in perfect[0]}
    for name in ("MIG", "SAP", "R² of factors from codes, linear", "R² of codes from factors, nonlinear"):
        assert chance[name] < 0.05, name
    assert chance["MCC"] < 0.15


def test_a_rotated_content_is_a_block_and_no_assignment() -> None:
    z = numbers(N, 2, seed=2)
    turn = np.array([[1, 1], [-1, 1]]) / math.sqrt(2)
    found = scores(z @ turn, factors_of(z), only=["MCC", "MIG", "R²"])
    assert found["MCC"].value == pytest.approx(math.sqrt(0.5), abs=0.05)
    assert found["MCC after a linear map"].value > 0.999
    assert found["R² of factors from codes, linear"].value > 0.999
    assert found["R² of codes from factors, linear"].value > 0.999
    assert found["MIG"].value < 0.1


def test_duplicated_codes_have_no_gap_and_warn_of_nothing() -> None:
    z = numbers(N, 2, seed=3)
    found = scores(np.column_stack([z, z]), factors_of(z), only=["MCC", "MIG", "SAP", "DCI"])
    assert found["MCC"].value == pytest.approx(1)
    assert (found["MIG"].value, found["SAP"].value) == (0, 0)
    assert found["DCI disentanglement, trees"].value > 0.9
    assert found["DCI completeness, lasso"].value < 1


def test_scores_that_are_not_defined_warn() -> None:
    z = numbers(N, 3, seed=4)
    few = scores(z[:, :1], factors_of(z), only=["MCC", "explicitness"])
    assert few["explicitness"].warning == few["MCC after a linear map"].warning == ""
    assert "MCC: 3 factors and 1 codes that vary" in str(few)
    assert "3 factors and 1 codes that vary" in few["MCC"].warning
    assert few["MCC"].value == pytest.approx(1 / 3, abs=0.01)
    constant = scores(np.column_stack([z[:, 0], np.full(N, 7.0)]), {"a": z[:, 0]}, only=["MCC", "MIG"])
    assert "1 of 2 codes are constant" in constant["MIG"].warning
    assert "1 of 2 codes are constant" in str(constant)
    assert constant["MCC"].value == pytest.approx(1)
    alone = scores(z, {"a": z[:, 0]}, pairs={"permute:a": (z, z)}, only=["IRS"])
    assert "one intervention" in alone["IRS"].warning


@pytest.mark.slow
def test_the_interval_covers_chance_for_nearly_all_seeds_of_noise() -> None:
    """Of scores of which no predictor is fitted."""
    missed: dict[str, int] = {}
    for seed in range(20):
        z, codes = numbers(150, 2, seed=100 + seed), numbers(150, 2, seed=200 + seed)
        known = [Factor(name=name, values=values) for name, values in factors_of(z).items()]
        sample = disentanglement._Sample(codes, known, seed)
        for entry in disentanglement._one_by_one(known)[:6]:
            one = disentanglement._measured_score(sample, *entry)
            missed[one.name] = missed.get(one.name, 0) + (not one.low <= one.permuted <= one.high)
    assert max(missed.values()) <= 2, missed


def test_irs_of_an_encoder_of_one_factor_and_of_a_mixture() -> None:
    z, other = numbers(400, 2, seed=5), numbers(400, 2, seed=6)
    moved = {f"z{k}": np.where(np.arange(2) == k, other, z) for k in range(2)}
    mix = np.array([[1.0, 1.0], [-1.0, 1.0]])
    alone, mixed = (
        scores(z @ a, factors_of(z), pairs={k: (z @ a, m @ a) for k, m in moved.items()}, only=["IRS"])["IRS"]
        for a in (np.eye(2), mix)
    )
    assert alone.value == 1
    assert alone.permuted < 0.2
    assert mixed.value == pytest.approx(1 - math.sqrt(0.5), abs=0.08)  # |a + b - a' - b| is |a - a'|


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((50, 2)), {"a": np.arange(50.0)}, "expected at least 100 rows, got 50"),
        (np.zeros((200, 2)), {"a": np.zeros(200)}, "factor a: expected values that vary"),
        (np.zeros((200, 2)), {"a": np.arange(199.0)}, "factor a: expected 200 rows"),
        (np.zeros((200, 2)), {}, "factors: expected at least one"),
    ],
)
def test_bad_input_is_named(codes, factors, message) -> None:
    with pytest.raises(IdentboxError, match=message):
        scores(codes, factors)


def test_families_that_there_are_not_are_named() -> None:
    with pytest.raises(IdentboxError, match="only: expected some of MCC"):
        scores(numbers(), factors_of(numbers()), only=["FactorVAE"])


def test_scores_are_found_by_name_and_print_with_their_reference(perfect) -> None:
    found, _ = perfect
    assert found["SAP"].reference == "Kumar et al. 2018"
    printed = str(found)
    assert "Chen et al. 2018" in " ".join(printed.split())
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert "<table" in found._repr_html_()
    with pytest.raises(IdentboxError, match="expected one of MCC"):
        found["FactorVAE"]
