import dataclasses

import pytest
import torch

from identbox.identifiability.assumptions import (
    ASSUMPTION_NAMES,
    LearnerFacts,
    assumptions,
    effective_dimension,
    effective_dimensions,
    singular_values,
)
from identbox.process import mixing, presets
from identbox.process.distributions import Categorical, Constant, Laplace, Normal, Uniform
from identbox.process.effects import Linear
from identbox.process.heavy_tails import StudentT
from identbox.process.model import Change, Process, Variable


def verdicts(process):
    return {entry.key: (entry.verdict, entry.evidence) for entry in assumptions(process)}


def test_every_assumption_has_a_key_and_a_name_and_the_last_says_what_is_left_out():
    entries = assumptions(presets.numerical_simulation())
    assert [entry.key for entry in entries] == list(ASSUMPTION_NAMES)
    assert [entry.name for entry in entries] == list(ASSUMPTION_NAMES.values())


def test_the_numerical_simulation_satisfies_what_can_be_known():
    found = verdicts(presets.numerical_simulation(causal=True, statistical=True, change_probability=0.75))
    assert {name for name, (verdict, _) in found.items() if verdict == "holds"} == {
        "content-invariance",
        "style-changes",
        "change-density",
        "style-redraw",
        "factorisation",
        "density",
        "density-kinks",
        "finite-variance",
        "views",
    }
    assert found["near-degenerate"][1] == "the random parameters of the process are not drawn yet"
    assert found["not-looked-at"][0] == "not looked at"
    assert found["style-changes"][1] == "the smallest change probability of a component is 0.75"
    assert found["encoding-size"][1] == "choose 5"


def test_style_that_never_changes_is_content():
    found = verdicts(presets.numerical_simulation(change_probability=0.0))
    assert found["style-changes"] == ("violated", "style never changes, so it is content")


def test_multimodal3dident_violates_continuity_and_says_where():
    found = verdicts(presets.multimodal3dident())
    assert found["density"][0] == "violated"
    assert found["change-density"][0] == "violated"
    assert found["style-changes"][0] == "unknown"
    assert found["encoding-size"][1] == "choose 3"


def test_causes_across_blocks_violate_the_factorisation():
    content = Variable(name="c", role="content", distribution=Normal())
    specific = Variable(name="m", role="specific", view="1", distribution=Normal(), effects={"c": Linear()})
    found = verdicts(Process(name="x", variables=(content, specific)))
    assert found["factorisation"] == ("violated", "c -> m")


def test_no_content():
    found = verdicts(
        Process(name="x", variables=(Variable(name="m", role="specific", view="1", distribution=Normal()),))
    )
    assert found["content-invariance"] == ("violated", "no variable is content")


def test_evidence_of_a_mixing():
    process = presets.numerical_simulation(content=2, style=1, specific=1).realise(seed=0)
    mixings = {v: mixing.draw(4, mixing.Mixing(orthogonal=True), seed=0, name=v) for v in process.views}
    status = {a.name: a for a in assumptions(process, mixings=mixings, learner=LearnerFacts(encoding_size=2))}
    # Orthogonal layers with slope 0.2 twice between: singular values within 0.2^2 and 1.
    assert status["smooth, invertible mixing"].verdict == "holds"
    low, high = singular_values(
        mixings["1"],
        torch.randn(500, 4, generator=torch.Generator().manual_seed(0)),
    )
    assert 0.04 - 1e-6 <= low < high <= 1 + 1e-6
    assert status["encoding size = number of content variables"].evidence == "2 for 2 that are invariant"
    mixings["1"].weights[0, :, 0] = 0.0
    lost = {a.name: a for a in assumptions(process, mixings=mixings, learner=LearnerFacts(encoding_size=2))}[
        "smooth, invertible mixing"
    ]
    assert lost.verdict == "violated"
    assert lost.evidence.startswith("f1 is not invertible")


@pytest.mark.parametrize(("eigenvalues", "expected"), [((1, 1, 1), 3.0), ((4, 1), 25 / 17), ((9, 0), 1.0)])
def test_effective_dimension_is_the_participation_ratio(eigenvalues, expected):
    """Of orthogonal columns with these mean squares, whose sample covariance is diagonal exactly."""
    n = 8
    signs = torch.tensor(
        [[(-1) ** bin(row & (column + 1)).count("1") for column in range(3)] for row in range(n)]
    ).double()
    values = signs[:, : len(eigenvalues)] * torch.tensor(eigenvalues, dtype=torch.float64).sqrt()
    assert effective_dimension(values) == pytest.approx(expected)
    assert effective_dimension(torch.ones(5, 2)) == 0


def one(key, process, **facts):
    """The row of a key: its verdict and evidence."""
    (entry,) = [a for a in assumptions(process, learner=LearnerFacts(**facts)) if a.key == key]
    return entry


def variable(name, distribution, role="content", **keys):
    return Variable(name=name, role=role, distribution=distribution, **keys)


def test_densities_with_kinks_and_jumps_are_told_from_smooth_ones():
    process = Process(name="x", variables=(variable("a", Laplace()), variable("b", Uniform())))
    kinks = one("density-kinks", process)
    assert (kinks.verdict, kinks.needed) == ("violated", False)
    assert kinks.evidence.startswith("a: the density is continuous and has a kink")
    assert "b: bounded" in one("density", process).evidence
    assert one("density-kinks", presets.numerical_simulation()).verdict == "holds"


@pytest.mark.parametrize("r", [0.5, 0.97, 0.99])
def test_the_smallest_eigenvalue_of_two_correlated_components_is_one_minus_r(r):
    """By hand: the correlations ((1, r), (r, 1)) have the eigenvalues 1 - r and 1 + r, in whatever unit."""
    covariance = ((4.0, 2 * r), (2 * r, 1.0))
    process = Process(name="x", variables=(variable("c", Normal(dim=2, covariance=covariance)),))
    found = one("near-degenerate", process)
    assert f"is {1 - r:.3g} (" in found.evidence
    assert found.verdict == ("violated" if 1 - r < 0.02 else "holds")
    if found.verdict == "violated":
        assert "loses 0.005 of the mean R2" in found.evidence
        assert "magnify the direction 10 times" in found.evidence


def test_effects_among_content_count_for_degeneracy():
    """d = 10 c + noise of variance 1: their correlation is 10 / sqrt(101)."""
    effect = Linear(matrix=((10.0,),), intercept=(0.0,))
    process = Process(
        name="x", variables=(variable("c", Normal()), variable("d", Normal(), effects={"c": effect}))
    )
    assert f"is {1 - 10 / 101**0.5:.3g} (" in one("near-degenerate", process).evidence


def test_a_redraw_of_caused_style_is_not_what_equation_8_8_says():
    style = {"role": "style", "change": Change(how="resample")}
    caused = variable("s", Normal(), effects={"c": Linear()}, **style)
    found = one("style-redraw", Process(name="x", variables=(variable("c", Normal()), caused)))
    assert (found.verdict, found.needed) == ("violated", False)
    assert "independent of s_A" in found.evidence
    free = Process(name="x", variables=(variable("c", Normal()), variable("s", Normal(), **style)))
    assert one("style-redraw", free).verdict == "holds"


def test_a_redraw_of_caused_style_is_independent_of_style_given_content():
    """What the row says, on samples: s~ is correlated with s through c alone."""
    style = variable(
        "s",
        Normal(),
        role="style",
        effects={"c": Linear(matrix=((1.0,),), intercept=(0.0,))},
        change=Change(how="resample"),
    )
    process = Process(name="x", variables=(variable("c", Normal()), style))
    sample = process.sample(20_000, generator=torch.Generator().manual_seed(0))
    c, s, other = (v[:, 0] for v in (sample.values["c"], sample.views["1"]["s"], sample.views["2"]["s"]))
    # The correlations are 1/2 and 0; a standard error is 1 / sqrt(20 000) = 0.007.
    assert torch.corrcoef(torch.stack([s, other]))[0, 1].item() == pytest.approx(0.5, abs=0.03)
    assert torch.corrcoef(torch.stack([s - c, other - c]))[0, 1].item() == pytest.approx(0, abs=0.03)


def test_more_than_two_views_are_pairs():
    two = presets.numerical_simulation(content=1, style=1, specific=0)
    three = dataclasses.replace(two, views=("1", "2", "3"))
    assert one("views", two).evidence == "1 and 2"
    assert "a mean over 3 pairs" in one("views", three).evidence


def test_constants_count_neither_as_content_nor_as_discrete():
    process = Process(name="x", variables=(variable("c", Normal(dim=2)), variable("z", Constant())))
    assert process.content_size == 2
    assert one("density", process).verdict == "holds"
    assert one("encoding-size", process, encoding_size=2).verdict == "holds"
    assert presets.multimodal3dident().content_size == 3


def test_effective_dimensions_leave_out_classes_and_circles():
    process = Process(
        name="x",
        variables=(
            variable("shape", Categorical(classes=7)),
            variable("hue", Uniform(circular=True)),
            variable("size", Normal(dim=2)),
            variable("kind", Categorical(classes=3), role="specific", view="1"),
        ),
    )
    found = effective_dimensions(process)
    assert list(found) == ["content"]
    assert found["content"] == (2, pytest.approx(2, abs=0.02))


def test_infinite_variances_are_named_with_what_they_cause():
    effect = Linear(matrix=((1.0,),), intercept=(0.0,))
    process = Process(
        name="x",
        variables=(
            variable("c", StudentT(degrees=2.0)),
            variable("d", Normal(), effects={"c": effect}),
            variable("e", StudentT(degrees=2.1)),
        ),
    )
    found = one("finite-variance", process)
    assert (found.verdict, found.needed) == ("violated", False)
    assert found.evidence.startswith("c, d: infinite")
    assert one("near-degenerate", process).verdict == "unknown"
    assert one("density-kinks", process).verdict == "holds"
    assert effective_dimensions(process)["content"][0] == 1
