"""Ceilings against the formula of section 8.4.1, least squares on many samples, and probes."""

import numpy as np
import pytest
import torch

from identbox import seeding
from identbox.identifiability import ceilings
from identbox.identifiability.ceilings import Ceiling
from identbox.process import presets
from identbox.process.distributions import Categorical, Laplace, Normal, Uniform
from identbox.process.effects import Interval, Linear, Table
from identbox.process.heavy_tails import StudentT
from identbox.process.interventions import Permute
from identbox.process.model import Change, Process, Variable

ROWS = [  # of Table 8.1
    {"change_probability": 1.0, "statistical": False, "causal": False},
    {"change_probability": 0.75, "statistical": False, "causal": False},
    {"change_probability": 0.75, "statistical": True, "causal": False},
    {"change_probability": 0.75, "statistical": False, "causal": True},
    {"change_probability": 0.75, "statistical": True, "causal": True},
]


def least_squares_r2(x, y, n):
    """R2 of a regression fitted on the first n samples and scored on the rest, a mean over components of y."""
    a = np.column_stack([x, np.ones(len(x))])
    weights = np.linalg.lstsq(a[:n], y[:n], rcond=None)[0]
    left = y[n:] - a[n:] @ weights
    return float(np.mean(1 - left.var(0) / y[n:].var(0)))


@pytest.mark.parametrize("specific", [0, 5], ids=["multiview", "multimodal"])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_all_rows_of_table_8_1_against_regressions_on_100_000_samples(row, specific):
    """The best predictor is linear there, so a regression with 100 000 samples is within 0.01 of the ceiling."""
    process = presets.numerical_simulation(specific=specific, **row).realise(seed=1)
    found = ceilings.ceilings(process, interventions=False)
    sample = process.sample(200_000, generator=seeding.generator(0, "test"))
    content = sample.values["content"].numpy()
    for (view, name, _), ceiling in found.items():
        target = sample.views[view].get(name, sample.values[name]).numpy()
        assert ceiling.how == "closed form"
        assert ceiling.score == pytest.approx(least_squares_r2(content, target, 100_000), abs=0.01)


def test_the_formula_of_the_simulation():
    """(B S_c B')_jj / ((B S_c B')_jj + S_s,jj + pi S_e,jj), written with numpy from the realised parameters."""
    process = presets.numerical_simulation(
        content=3, style=2, statistical=True, causal=True, change_probability=0.3
    )
    process = process.realise(seed=2)
    b = np.array(process["style"].effects["content"].matrix)
    signal = np.diag(b @ np.array(process["content"].distribution.covariance) @ b.T)
    noise = np.diag(process["style"].distribution.covariance)
    change = 0.3 * np.diag(process["style"].change.covariance)
    found = ceilings.ceilings(process)
    assert found["1", "style", None].score == pytest.approx((signal / (signal + noise)).mean(), abs=1e-12)
    assert found["2", "style", None].score == pytest.approx(
        (signal / (signal + noise + change)).mean(), abs=1e-12
    )
    assert found["1", "specific_2", None].score == 0


def test_interventions_cut_the_effect():
    found = ceilings.ceilings(presets.numerical_simulation(causal=True).realise(seed=0))
    score = {key[1:]: ceiling.score for key, ceiling in found.items() if key[0] == "1"}
    causal = score["style", None]
    assert 0.3 < causal < 1
    assert score["content'", "content"] == 1
    assert score["content", "content"] == score["style", "content"] == 0
    assert score["content", "style"] == score["content", "specific"] == 1
    assert score["style", "style"] == score["style", "specific"] == causal
    assert score["style'", "style"] == score["specific_1'", "specific"] == 0


def test_ceilings_after_interventions_hold_of_samples():
    """The permuted sample itself, by regressions from the new content; 40 000 samples leave errors below 0.01."""
    process = presets.numerical_simulation(content=2, style=2, specific=1, causal=True).realise(seed=3)
    sample = process.sample(80_000, generator=seeding.generator(0, "test"))
    for role in ("content", "style"):
        moved = process.intervene(
            sample, Permute(target=role), recompute=False, generator=seeding.generator(0, "permute")
        )
        content = moved.values["content"].numpy()
        for (view, name, intervention), ceiling in ceilings.ceilings(process).items():
            if intervention == role:
                source = moved if name.endswith("'") else sample
                target = source.views[view].get(name.strip("'"), source.values[name.strip("'")]).numpy()
                assert least_squares_r2(content, target, 40_000) == pytest.approx(ceiling.score, abs=0.01)


def test_style_that_never_changes_is_content():
    process = presets.numerical_simulation(causal=True, change_probability=0.0).realise(seed=0)
    found = ceilings.ceilings(process)
    assert found["1", "style", None].score == found["2", "style'", "style"].score == 1
    # Style before its permutation is told by content alone, which causes it; content by style, in turn.
    assert 0 < found["1", "style", "style"].score < 1
    assert 0 < found["1", "content", "content"].score < 1


def test_chains_and_roots_that_are_not_gaussian():
    """c -> s -> t, content Laplace: the best predictors are linear in it."""
    process = Process(
        name="x",
        variables=(
            Variable(name="c", role="content", distribution=Laplace(dim=2, scale=0.7)),
            Variable(
                name="s", role="style", distribution=Uniform(dim=2), effects={"c": Linear()}, change=Change()
            ),
            Variable(
                name="t",
                role="style",
                distribution=Normal(),
                effects={"s": Linear(), "c": Linear()},
                change=Change(how="resample"),
            ),
        ),
    ).realise(seed=5)
    found = ceilings.ceilings(process, interventions=False)
    sample = process.sample(200_000, generator=seeding.generator(0, "test"))
    for view in ("1", "2"):
        for name in ("s", "t"):
            expected = least_squares_r2(sample.values["c"].numpy(), sample.views[view][name].numpy(), 100_000)
            assert found[view, name, None].how == "closed form"
            assert found[view, name, None].score == pytest.approx(expected, abs=0.01)


def test_elsewhere_a_probe_finds_the_ceiling():
    """A hue confined to the third that a class names, and a class whose probabilities depend on one.

    Of a uniform variable on [0, 1), its third known, (1/9)/12 of a variance of 1/12 is left. The class is guessed
    right in 0.8 of the cases, by chance in (0.8 + 0.1 + 0.1)/3. 1000 samples: 3 standard errors are 0.04.
    """
    rows = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))
    process = Process(
        name="x",
        variables=(
            Variable(name="c", role="content", distribution=Categorical(classes=3)),
            Variable(
                name="h",
                role="style",
                distribution=Uniform(),
                effects={"c": Interval()},
                change=Change(probability=0.0),
            ),
            Variable(
                name="k",
                role="specific",
                view="1",
                distribution=Categorical(classes=3),
                effects={"c": Table(rows=rows)},
            ),
            Variable(
                name="u",
                role="specific",
                view="2",
                distribution=Categorical(classes=3, probabilities=(0.5, 0.3, 0.2)),
            ),
        ),
    )
    changing = Variable(
        name="h",
        role="style",
        distribution=Uniform(),
        effects={"c": Interval()},
        change=Change(how="mechanism"),
    )
    process = Process(name="x", variables=(process["c"], changing, process["k"], process["u"]))
    found = ceilings.ceilings(process, samples=1000)
    hue, label = found["1", "h", None], found["1", "k", None]
    assert (hue.how, label.how) == ("probe", "probe")
    assert hue.score == pytest.approx(1 - 1 / 9, abs=0.02)
    assert hue.low <= hue.score <= hue.high
    assert label.score == pytest.approx(0.8, abs=0.04)
    assert found["1", "k", "content"].score == pytest.approx(1 / 3, abs=0.06)
    assert found["1", "u", None] == Ceiling(score=0.5, low=0.5, high=0.5, how="closed form")
    assert found["1", "c'", "content"].score == 1
    assert found["1", "c", "content"].score == pytest.approx(1 / 3)


def test_probe_and_closed_form_agree():
    """The probe that stands in where there is no closed form, on a process that has one."""
    process = presets.numerical_simulation(content=2, style=2, specific=1, causal=True).realise(seed=0)
    solver = ceilings._Solver(process, 0, 1500)
    style, content = process["style"], [process["content"]]
    probed, closed = solver._probed("2", style, content), solver.ceiling("2", style, content)
    assert probed.score == pytest.approx(closed.score, abs=0.04)
    assert torch.tensor([probed.low - 0.01, probed.high + 0.01]).sub(closed.score).prod() < 0


def heavy(degrees, parent=None):
    """Content c, and style 2 c + noise of which one is Student's t."""
    content = Variable(name="c", role="content", distribution=parent or Normal())
    effect = Linear(matrix=((2.0,),), intercept=(0.0,))
    style = Variable(
        name="s",
        role="style",
        distribution=StudentT(degrees=degrees),
        effects={"c": effect},
        change=Change(),
    )
    return Process(name="x", variables=(content, style)).realise(seed=0)


def test_the_ceiling_of_heavy_tails_with_a_variance_is_in_closed_form():
    """By hand: noise of 6 degrees has the variance 6 / 4. R2 is 4 / 5.5 in the first view and 4 / 6.5 in the second."""
    found = ceilings.ceilings(heavy(6.0), interventions=False)
    assert found["1", "s", None].score == pytest.approx(4 / 5.5)
    assert found["2", "s", None].score == pytest.approx(4 / 6.5)
    assert found["1", "s", None].how == "closed form"


@pytest.mark.parametrize("process", [heavy(2.0), heavy(5.0, parent=StudentT(degrees=1.5))])
def test_a_ceiling_without_a_variance_says_so(process):
    found = ceilings.ceilings(process, interventions=False, samples=200)
    assert found["1", "s", None].how == "probe, infinite variance"
    assert found["1", "c", None] == Ceiling(score=1.0, low=1.0, high=1.0, how="closed form")


def mean_r2_without(values: np.ndarray, direction: np.ndarray) -> float:
    """The mean R2 of regressions to the components of values from all that is uncorrelated with one direction."""
    lost = values @ direction
    known = values - np.outer(lost, lost @ values / (lost @ lost))
    return least_squares_r2(known, values, len(values) // 2)


@pytest.mark.parametrize("statistical", [False, True])
def test_the_direction_that_costs_least_against_regressions(statistical):
    """No direction of 200 random ones costs less, and the smallest principal one costs as much as is said."""
    process = presets.numerical_simulation(content=4, style=2, statistical=statistical).realise(seed=3)
    values = process.sample(50_000, generator=seeding.generator(0, "test")).values["content"].double().numpy()
    values = (values - values.mean(0)) / values.std(0)
    smallest = np.linalg.eigh(values.T @ values)[1][:, 0]
    found = ceilings.without_a_direction(process)
    assert found == pytest.approx(mean_r2_without(values, smallest), abs=0.01)
    others = np.random.default_rng(0).normal(size=(200, 4))
    assert max(mean_r2_without(values, other) for other in others) < found + 0.01
    assert found > 0.95 if statistical else found == 0.75


def content_of(*distributions) -> Process:
    variables = [Variable(name=f"c{k}", role="content", distribution=d) for k, d in enumerate(distributions)]
    return Process(name="x", variables=tuple(variables))


def test_the_scale_of_a_component_does_not_matter_to_the_direction_that_costs_least():
    wide, narrow = Uniform(low=0.0, high=9.0), Uniform(low=0.0, high=0.1)
    assert ceilings.without_a_direction(content_of(wide, narrow)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "distributions",
    [(Categorical(classes=3), Normal(dim=2)), (StudentT(degrees=1.5, dim=3),), (Normal(),)],
    ids=str,
)
def test_nothing_is_said_of_content_with_classes_heavy_tails_or_one_component(distributions):
    assert ceilings.without_a_direction(content_of(*distributions)) is None
