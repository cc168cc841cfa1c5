"""What the theorem predicts of a process, a mixing and a learner."""

import math

import pytest
import torch
from benchmarks.not_one_to_one import cost_of_smoothing, folded, wound

from identbox import Mixing, Oracle, World, numerical_simulation, verify
from identbox.identifiability import assumptions
from identbox.identifiability.assumptions import LearnerFacts
from identbox.identifiability.learner_rules import ONE_BIT, TrainingChange, needed_dimensions
from identbox.identifiability.oracle import functional
from identbox.identifiability.predictions import predict
from identbox.learning.contrastive import Objective
from identbox.process import mixing, presets
from identbox.process.distributions import Categorical, Laplace, Normal, Uniform
from identbox.process.effects import Table
from identbox.process.model import Process, Variable


def assumed(process, size, singular=False, **facts):
    """The assumptions of a process whose mixings are orthogonal layers, the first one singular if asked."""
    sizes = {v: sum(x.distribution.dim for x in process.seen_by(v)) for v in process.views}
    mixings = {v: mixing.draw(d, mixing.Mixing(orthogonal=True), seed=0, name=v) for v, d in sizes.items()}
    if singular:
        mixings["1"].weights[0, :, 0] = 0.0
    return assumptions.assumptions(
        process, mixings=mixings, learner=LearnerFacts(encoding_size=size, **facts)
    )


def predicted(size=2, singular=False, **keys):
    process = presets.numerical_simulation(**{"content": 2, "style": 1, "specific": 1, **keys}).realise(
        seed=0
    )
    return predict(process, assumed(process, size, singular))


def test_what_the_theorem_predicts():
    assert [p.outcome for p in predicted()] == ["identified"]
    assert [p.outcome for p in predicted(specific=0)] == ["identified"]
    assert [(p.outcome, p.reason) for p in predicted(size=1)] == [
        ("not identified", "a 1-dimensional encoding cannot represent 2 continuous variables")
    ]
    assert [p.outcome for p in predicted(size=3)] == [None]
    assert [p.outcome for p in predicted(discrete=("content",))] == [None]
    (lost,) = predicted(singular=True)
    assert (lost.outcome, lost.reason) == (None, "the theorem is silent, violated: smooth, invertible mixing")
    assert [p.outcome for p in predicted(size=3, change_probability=0.0)] == ["not identified", "identified"]
    assert [p.outcome for p in predicted(size=2, change_probability=0.0)] == [None, "not identified"]


COSINE = Objective(similarity="cosine")


def with_facts(size=2, **facts):
    """The prediction for two continuous content variables and a learner of these facts."""
    process = presets.numerical_simulation(content=2, style=1, specific=1).realise(seed=0)
    (found,) = predict(process, assumed(process, size, **facts))
    return found.outcome, found.reason


def rows(process, **facts):
    return {a.key: a for a in assumptions.assumptions(process, learner=LearnerFacts(**facts))}


def content(*distributions):
    """A process of content alone."""
    return Process(
        name="x",
        variables=tuple(
            Variable(name=f"c{i}", role="content", distribution=d) for i, d in enumerate(distributions)
        ),
    )


def test_directions_of_as_many_dimensions_as_content_have_no_room_for_it():
    outcome, reason = with_facts(size=2, objective=COSINE, normalised=True)
    assert outcome == "not identified"
    assert "a point of a sphere of dimension 1" in reason
    assert "3 are needed" in reason


def test_with_one_dimension_more_the_theorem_says_nothing_of_directions():
    outcome, reason = with_facts(size=3, objective=COSINE, normalised=True)
    assert outcome is None
    assert "Eq. 8.9" in reason
    found = rows(content(Normal(dim=2)), encoding_size=3, objective=COSINE)
    assert found["encoding-size"].verdict == found["encoding-space"].verdict == "holds"


def test_a_map_that_winds_around_the_circle_twice_is_as_uniform_and_not_one_to_one():
    """Why the theorem says nothing with one dimension more: the evidence of that row, in numbers."""
    u = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).double()
    angle = (2 * u) % 1
    counts = torch.histc(angle, bins=20, min=0, max=1)
    assert (counts - 1000).abs().max() < 5 * 1000**0.5
    torch.testing.assert_close((2 * (u / 2)) % 1, (2 * (u / 2 + 0.5)) % 1)


@pytest.mark.parametrize(
    ("distributions", "euclidean", "cosine"),
    [
        ([Normal(dim=3)], 3, 4),
        ([Uniform(circular=True)], 2, 2),
        ([Uniform(circular=True, dim=2)], 3, 4),
        ([Uniform(circular=True), Normal()], 2, 3),  # an annulus
        ([Uniform()], 1, 2),
        ([Categorical(classes=2)], 1, 1),
        ([Categorical(classes=5)], 1, 2),
        ([Categorical(classes=2), Uniform(circular=True)], 2, 3),  # two circles
        ([Categorical(classes=2), Normal(dim=2)], 2, 3),
    ],
)
def test_how_many_dimensions_content_needs(distributions, euclidean, cosine):
    process = content(*distributions)
    assert needed_dimensions(process, "euclidean") == euclidean
    assert needed_dimensions(process, "cosine") == cosine


def test_a_full_circle_needs_two_dimensions_and_half_of_one_does_not():
    circle = rows(content(Uniform(circular=True)), encoding_size=1)["encoding-space"]
    assert (circle.verdict, circle.excludes) == ("violated", True)
    assert circle.evidence == "a 1-dimensional encoding cannot represent 1 variable on a circle: 2 are needed"
    assert rows(content(Uniform()), encoding_size=1)["encoding-space"].verdict == "holds"


def test_candidates_bound_what_the_loss_can_tell_apart():
    """log 512 = 6.24 nats; 0.42 for each of 15 dimensions is less than a bit, 1.25 for each of 5 is not."""
    few = rows(content(Normal(dim=15)), batch=512)["batch"]
    assert few.verdict == "violated"
    assert "log K = 6.24 nats; 0.42 for each of 15" in few.evidence
    enough = rows(content(Normal(dim=5)), batch=512)["batch"]
    assert enough.verdict == "holds"
    assert "1.25 for each of 5 continuous dimensions, so that the loss tells at most 3.5" in enough.evidence
    assert math.log(512) / 9 > ONE_BIT * (1 - 1e-9)
    assert rows(content(Normal(dim=9)), batch=511)["batch"].verdict == "violated"
    same_view = Objective(negatives="same-view")
    assert rows(content(Normal(dim=9)), batch=511, objective=same_view)["batch"].verdict == "holds"
    assert rows(content(Normal()))["batch"].verdict == "unknown"


def test_classes_of_more_entropy_than_candidates_allow():
    shown = rows(content(Categorical(classes=10, dim=3)), batch=512)["batch"]
    assert (shown.verdict, shown.needed) == ("violated", True)
    assert f"the classes of content have {3 * math.log(10):.2f}" in shown.evidence
    weighted = Categorical(classes=("a", "b"), probabilities=(0.98, 0.02))
    entropy = -0.98 * math.log(0.98) - 0.02 * math.log(0.02)
    assert f"have {entropy:.2f}" in rows(content(weighted), batch=2)["batch"].evidence


def test_the_entropy_of_caused_classes_is_an_upper_bound():
    cause = Variable(name="a", role="content", distribution=Categorical(classes=2))
    table = Table(rows=((1.0, 0.0), (0.0, 1.0)))
    caused = Variable(name="b", role="content", distribution=Categorical(classes=2), effects={"a": table})
    found = rows(Process(name="x", variables=(cause, caused)), batch=3)["batch"]
    assert found.verdict == "unknown"  # log 2 in truth, at most log 4, and log 3 is allowed
    assert "at most 1.39" in found.evidence


def test_nothing_is_predicted_of_what_was_not_trained_to_the_minimum():
    assert with_facts(steps=0) == (None, "the theorem is about the minimum, and nothing was trained")
    outcome, reason = with_facts(steps=100, alignment=0.2, leak_cost=0.05)
    assert outcome is None
    assert reason.startswith("after 100 steps the views differ by 0.200 on the unit cube; with a leak of 5%")
    assert with_facts(steps=100, alignment=0.03, leak_cost=0.05)[0] == "identified"
    assert with_facts(steps=100, alignment=0.03, leak_cost=0.05, entropy=-0.6)[0] == "identified"
    outcome, reason = with_facts(steps=100, alignment=0.03, leak_cost=0.05, entropy=-0.8)
    assert outcome is None
    assert reason.endswith("they fill 45% of it, and less than half counts as collapsed")


def test_an_estimate_above_the_largest_entropy_fills_the_cube_and_no_more():
    found = rows(numerical_simulation(), steps=100, alignment=0.03, leak_cost=0.05, entropy=0.01)["training"]
    assert found.evidence.endswith("they fill 100% of it")


def test_lengths_that_the_objective_never_saw_must_not_be_probed():
    read = {flag: rows(content(Normal()), objective=COSINE, normalised=flag) for flag in (True, False, None)}
    verdicts = [read[flag]["encodings-as-read"].verdict for flag in (True, False, None)]
    assert verdicts == ["holds", "violated", "unknown"]
    assert (
        rows(content(Normal()), objective=Objective(), normalised=False)["encodings-as-read"].verdict
        == "holds"
    )


def test_hues_that_training_turns_are_style_that_changes():
    process = presets.multimodal3dident()
    assert rows(process)["style-changes"].verdict == "unknown"
    turned = TrainingChange(view="image", what="hues are turned", variables=("object_color",), anew=True)
    found = rows(process, changes=(turned,))
    assert found["style-changes"].verdict == "holds"
    assert "without object_xpos -> object_color" in found["training-changes"].evidence
    lit = rows(process, changes=(TrainingChange(view="image", what="light"),))["training-changes"]
    assert "no variable of the process" in lit.evidence


def test_content_that_training_changes_is_not_invariant():
    change = TrainingChange(view="1", what="content is jittered", variables=("content",))
    outcome, reason = with_facts(changes=(change,))
    assert outcome is None
    assert "training changes no content of its data" in reason


def test_what_is_violated_and_not_needed_stands_beside_the_prediction():
    style = Variable(name="m", role="specific", view="1", distribution=Laplace())
    process = Process(name="x", variables=(*content(Normal()).variables, style))
    (found,) = predict(process, assumed(process, 1))
    assert found.outcome == "identified"
    assert found.reason == "all that is needed holds; violated, and not needed: a density without kinks"


def uniform(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_map_that_winds_around_the_square_attains_the_minimum_and_is_not_one_to_one():
    """Why the last row names such maps: Eq. 8.9 is 0 within its error, and two contents have one encoding."""
    u = uniform(20_000, 2)
    found = functional([wound(u), wound(u)])
    assert abs(found.value) < 5 * found.error
    half = u * torch.tensor([0.5, 1.0])
    torch.testing.assert_close(wound(half), wound(half + torch.tensor([0.5, 0.0])), atol=1e-6, rtol=0)
    # Smooth, and two preimages, so that the density stays 1.
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda row: wound(row[None])[0]))(u[:1000])
    torch.testing.assert_close(torch.linalg.det(jacobian).abs(), torch.full((1000,), 2.0).double())


def test_a_fold_attains_the_minimum_and_smooth_folds_come_near_it():
    u = uniform(20_000, 2)
    found = functional([folded(u), folded(u)])
    assert abs(found.value) < 5 * found.error
    mirrored = torch.cat([1 - u[:, :1], u[:, 1:]], 1)
    for smoothing in (0.3, 0.1, 0.03):
        torch.testing.assert_close(folded(u, smoothing), folded(mirrored, smoothing))
        # Each value has two preimages, so that its density is 2 / |dh/du|; its mean logarithm by the midpoint rule.
        middle = ((torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000)[:, None].requires_grad_()
        (slope,) = torch.autograd.grad(folded(middle, smoothing).sum(), middle)
        cost = -(slope.abs() / 2).log().mean().item()
        assert cost_of_smoothing(smoothing) == pytest.approx(cost, abs=1e-4)
        assert cost_of_smoothing(smoothing) < 1.6 * smoothing


def test_a_fold_of_content_at_the_minimum_is_not_called_identified():
    world = World(numerical_simulation(content=2, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    perfect = Oracle(world)
    outcomes = {
        name: verify(world, {"1": lambda x, c=changed: c(perfect.encode(x, "1"))}, samples=600).outcome
        for name, changed in {"kept": lambda u: u, "folded": folded, "wound": wound}.items()
    }
    assert outcomes == {"kept": "identified", "folded": "not identified", "wound": "not identified"}
