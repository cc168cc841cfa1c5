"""Where content causes style: what is found on the support of the data, and what off it."""

import numpy as np
import pytest
import torch
from scipy import stats

from identbox import Change, Linear, Mixing, Normal, Process, Variable, World, verify
from identbox.identifiability.assumptions import LearnerFacts, assumptions
from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import Measure
from identbox.identifiability.overlap import outside
from identbox.identifiability.predictions import Prediction, predict
from identbox.identifiability.verdicts import Judgement, judge


def causal(b):
    """Style b c + noise of variance 1."""
    caused = {"content": Linear(matrix=((b,),), intercept="zero")}
    return Process(
        name="causal",
        variables=(
            Variable(name="content", role="content", distribution=Normal()),
            Variable(name="style", role="style", distribution=Normal(), effects=caused, change=Change()),
        ),
    ).realise(seed=0)


def judged(b, encode, **options):
    world = World(causal(b), seed=0, mixing=Mixing(pool=50))

    def encoder(x):
        z = world.invert(x, "1")
        return encode(z["content"], z["style"] - b * z["content"])  # and the noise of style

    return verify(world, {"1": encoder}, samples=390, **options)


def beyond(noise):
    """Noise where it is rarer than one in 5 000, and 0 elsewhere: the support of the data hardly has it."""
    return torch.where(noise.abs() > 3.8, noise, 0.0)


def curved(noise):
    """The same for an even function, which grows fast."""
    return (noise / 4) ** 8


CASES = [  # encoding, what is found, and on the support
    ("content", lambda c, n: c, "identified", "identified"),
    ("a cube of content", lambda c, n: c**3, "identified", "identified"),
    ("content, and style where it never lies", lambda c, n: c + beyond(n), "not identified", "identified"),
    ("content, and a power of style", lambda c, n: c + curved(n), "not identified", "identified"),
    ("content and noise of style", lambda c, n: c + 0.5 * n, "not identified", "not identified"),
    ("content and even noise", lambda c, n: c + 0.3 * n**2, "not identified", "not identified"),
    (
        "a lost sign, and style off the support",
        lambda c, n: c.abs() + beyond(n),
        "not identified",
        "not identified",
    ),
    ("a constant", lambda c, n: 0 * c, "not identified", "not identified"),
]


@pytest.mark.parametrize(
    ("encode", "outcome", "on_support"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_verdict_says_where_it_failed(encode, outcome, on_support):
    verdict = judged(2.0, encode)
    assert (verdict.outcome, verdict.on_support) == (outcome, on_support)
    if outcome != on_support:
        assert verdict.found == "identified on the support alone"
        assert verdict.reasons[0] == "identified on the support of the data; off it the encoding moves"
        assert "leak with content cut" in verdict.reasons[1]
        assert str(verdict).startswith("Content: identified on the support alone")


def test_style_that_is_nearly_a_function_of_content_is_not_content_on_the_support_either():
    """An encoding of 10 c + noise has a leak of 0.01, and nothing observed tells it from one of content."""
    style = judged(10.0, lambda c, n: 10 * c + n)
    assert (style.outcome, style.on_support) == ("not identified", "undecided")
    assert style.found == "not identified"
    assert "content leaves only 0.01" in style.reasons[-1]
    alone = judged(10.0, lambda c, n: 10 * c + n, interventions=False)
    assert alone.outcome == "undecided"
    assert "without interventions this does not tell" in alone.reasons[0]
    assert judged(10.0, lambda c, n: c, interventions=False).outcome == "identified"


@pytest.mark.parametrize("b", [0.3, 1.0, 3.0, 10.0, 1000.0])
def test_combinations_outside_the_data_are_counted_as_by_the_distance_of_mahalanobis(b):
    share = outside(causal(b), [causal(b)["content"]], seed=0)
    rng = np.random.default_rng(0)
    c, n = rng.standard_normal((2, 100_000))
    s = b * rng.standard_normal(100_000) + n  # of another content
    distance = c**2 + (s - b * c) ** 2
    assert share == pytest.approx((distance > stats.chi2(2).ppf(0.99)).mean(), abs=0.05)


def test_of_what_the_data_hardly_has_nothing_is_predicted():
    def of(process):
        # The views' mixings are not looked at here.
        return {a.key: a for a in assumptions(process, learner=LearnerFacts(encoding_size=1))}["overlap"]

    assert of(causal(0.0)).verdict == "holds"
    assert of(causal(0.2)).verdict == "holds"
    wide = of(causal(2.0))
    assert (wide.verdict, wide.needed) == ("violated", False)
    assert "lie outside the region of 99% of the data" in wide.evidence
    rows = [a for a in assumptions(causal(2.0)) if a.verdict != "unknown"]
    (prediction,) = predict(causal(2.0), rows)
    assert prediction.words == "identified on the support"
    rows = [a for a in assumptions(causal(0.0)) if a.verdict != "unknown"]
    assert predict(causal(0.0), rows)[0].words == "identified"


def leak(value, **more):
    return Measure(
        view="1", quantity="leak", how="redrawn", value=value, low=0.9 * value, high=1.1 * value, **more
    )


@pytest.mark.parametrize(
    ("observed", "freedom", "cut", "everywhere", "on_support"),
    [
        (0.004, 0.15, 0.02, True, True),
        (0.004, 0.15, 0.10, False, True),
        (0.004, 0.15, 0.05, None, True),  # off the support it is open
        (0.006, 0.02, 0.43, False, None),  # of the leak a 50th is seen: 0.3 if style varied freely
        (0.006, 0.02, 0.02, True, True),  # and here it does vary freely
        (0.20, 0.5, 0.30, False, False),
        (0.20, 0.5, 0.01, False, False),
    ],
)
def test_a_prediction_is_held_against_what_was_found_in_its_scope(
    observed, freedom, cut, everywhere, on_support
):
    verdicts = judge([leak(observed, freedom=freedom), leak(cut, regime="cut")], Margins())
    for scope, came in (("everywhere", everywhere), ("support", on_support)):
        prediction = Prediction(block=("content",), outcome="identified", reason="", scope=scope)
        assert Judgement(prediction=prediction, verdicts=verdicts).came_true is came
