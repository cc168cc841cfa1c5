"""How measures are held against margins: equivalence, error rates, and the reasons of what stays open."""

import dataclasses

import numpy as np
import pytest

from identbox.errors import IdentboxError
from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import Measure, measure_of_record
from identbox.identifiability.predictions import Prediction
from identbox.identifiability.verdicts import Judgement, counted, judge, together


def measure(quantity="leak", value=0.01, half=0.005, **other):
    how = {"leak": "redrawn", "recovery": "probe", "degenerate": "moves"}[quantity]
    ends = {"low": value - half, "high": value + half}
    return Measure(**{"view": "1", "quantity": quantity, "how": how, "value": value, **ends, **other})


def outcome(*measures, **margins):
    return together([view.outcome for view in judge(measures, Margins(**margins))])


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ([("leak", 0.04, 0.009), ("recovery", 0.96, 0.009)], "identified"),  # both ends just inside
        ([("leak", 0.04, 0.02), ("recovery", 0.99, 0.001)], "undecided"),
        ([("leak", 0.01, 0.001), ("recovery", 0.96, 0.02)], "undecided"),
        ([("leak", 0.01, 0.001), ("recovery", 0.90, 0.02)], "not identified"),
        ([("leak", 0.10, 0.02), ("recovery", 0.99, 0.001)], "not identified"),
        ([("leak", 0.01, 0.001), ("degenerate", 0.1, 0.02)], "not identified"),
        ([("leak", 0.10, 0.02), ("recovery", 0.96, 0.02)], "not identified"),  # one violation is enough
    ],
)
def test_the_unfavourable_end_decides(measures, expected):
    assert outcome(*(measure(*one) for one in measures)) == expected


def test_the_margins_are_those_that_are_given():
    one = measure("leak", 0.035, 0.005)
    assert outcome(one) == "identified"
    assert outcome(one, leak=0.02) == "not identified"


def test_wrong_violations_are_controlled_for_all_conditions_together():
    """Ten conditions at their margins: each interval misses on one side in 2.5%, and some condition in 22%."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        values = 0.05 + 0.01 * rng.standard_normal(10)
        wrong += outcome(*(measure("leak", float(v), 0.0196) for v in values)) == "not identified"
    # Holm's rate is at most 5%; 400 draws have a standard error of 1.1%.
    assert wrong / 400 < 0.05 + 3 * 0.011


def test_a_probe_that_misses_as_much_of_a_known_function_decides_nothing():
    poor = measure("recovery", 0.90, 0.01, what="content")
    assert outcome(poor) == "not identified"
    weak = dataclasses.replace(poor, weakness=0.08)
    (verdict,) = judge([weak], Margins())
    assert verdict.outcome == "undecided"
    words = "the probe is too weak, since of a known invertible function of content it misses 0.080"
    assert words in verdict.reasons[0]


@pytest.mark.parametrize(
    ("freedom", "expected", "words"),
    [
        (1.0, "identified", ""),
        (0.1, "undecided", "content leaves only 0.100 of the variance"),
        (None, "undecided", "latents that depend on content were not given"),
    ],
)
def test_a_leak_of_observed_data_counts_as_if_style_varied_freely(freedom, expected, words):
    (verdict,) = judge([measure("leak", 0.01, 0.002, how="regression", freedom=freedom)], Margins())
    assert verdict.outcome == expected
    assert words in verdict.reasons[0]


def test_what_a_regression_leaves_is_no_leak_unless_something_explains_it():
    (verdict,) = judge([measure("leak", 0.12, low=0.0, high=0.15, how="regression")], Margins())
    assert verdict.outcome == "undecided"
    assert "it is not shown that anything else explains it" in verdict.reasons[0]


def test_one_in_three_seeds_is_counted_with_its_interval():
    k, share = counted(["identified", "not identified", "identified"], "not identified")
    assert k == 1
    assert (share.low, share.high) == (pytest.approx(0.0084, abs=1e-4), pytest.approx(0.9057, abs=1e-4))


def test_five_of_a_hundred_seeds_are_five_of_a_hundred():
    """Each seed is a process of its own: those that lose a component are not averaged away."""
    good, bad = measure("leak", 0.001, 0.0005), measure("leak", 1.0, 0.01)
    outcomes = [outcome(bad if seed < 5 else good) for seed in range(100)]
    k, share = counted(outcomes, "not identified")
    assert k == 5
    assert share.low == pytest.approx(0.0164, abs=1e-4)  # R: binom.test(5, 100)
    assert share.high == pytest.approx(0.1128, abs=1e-4)


@pytest.mark.parametrize(
    ("predicted", "value", "came"),
    [("identified", 0.01, True), ("identified", 0.5, False), ("identified", 0.05, None), (None, 0.01, None)],
)
def test_a_prediction_comes_true_is_refuted_or_stays_open(predicted, value, came):
    prediction = Prediction(block=("content",), outcome=predicted, reason="")
    judgement = Judgement(prediction=prediction, verdicts=judge([measure("leak", value, 0.005)], Margins()))
    assert judgement.came_true is came


def test_measures_are_read_back_from_records():
    one = measure("leak", 0.01, 0.002, how="regression", freedom=0.3)
    assert measure_of_record(one.record(), "x") == one
    with pytest.raises(
        IdentboxError, match=r"x.quantity: expected one of leak, recovery, degenerate; got 'luck'"
    ):
        measure_of_record({**one.record(), "quantity": "luck"}, "x")
