"""Verdicts on hand-made encoders whose right answer is known, from callables and from arrays."""

import cases
import numpy as np
import pytest
import torch

from identbox.errors import IdentboxError
from identbox.identifiability import controls
from identbox.identifiability.margins import Margins
from identbox.identifiability.verify import verify
from identbox.process.interventions import Set
from identbox.process.mixing import Mixing
from identbox.process.presets import numerical_simulation
from identbox.process.world import World

ROUGH = Mixing(pool=100)


def world_of(case, seed=0):
    return World(case.process(), seed=seed, mixing=ROUGH)


def encoder_of(world, case):
    return lambda x: case.encode(world.invert(x, case.view))


@pytest.mark.parametrize("case", cases.ALL, ids=lambda case: case.name)
def test_the_verdict_on_an_encoder_is_right(case):
    """Never wrong; with few samples one that needs many may be left undecided."""
    world = world_of(case)
    verdict = verify(
        world,
        {case.view: encoder_of(world, case)},
        samples=case.samples,
        objective=case.objective,
        margins=Margins(**case.margins),
    )
    assert verdict.outcome == case.world, verdict.reasons
    assert verdict.reasons
    assert "drawn twice with the same content" in verdict.evidence


@pytest.mark.parametrize("case", cases.ALL, ids=lambda case: case.name)
def test_the_verdict_on_arrays_is_right_or_undecided_for_a_reason(case):
    sample = world_of(case).sample(case.rows, "arrays")
    z = sample.z[case.view]
    verdict = verify(
        world_of(case),
        encodings={case.view: case.encode(z)},
        latents=z,
        objective=case.objective,
        margins=Margins(**case.margins),
    )
    assert verdict.outcome in case.arrays, verdict.reasons
    if verdict.outcome == "undecided":
        reasons = (
            "no interventions were probed",
            "without interventions",
            "regression on content leaves",
            "too few",
            "too weak",
        )
        assert any(word in reason for reason in verdict.reasons for word in reasons)


def test_more_than_twenty_cases_of_each_kind_are_tried():
    assert sum(case.world == cases.NO for case in cases.ALL) >= 20
    assert sum(case.world == cases.YES for case in cases.ALL) >= 20


def test_without_interventions_what_depends_on_content_is_not_told_from_it():
    """Style that is 10 content and noise: observed alone, an encoding of it is nearly one of content."""
    case = next(case for case in cases.ALL if case.name == "style that is 10 content and noise")
    world = world_of(case)
    verdict = verify(world, {"1": encoder_of(world, case)}, samples=400, interventions=False)
    assert all(c.measure.regime == "observed" for view in verdict.views for c in view.conditions)
    assert verify(world, {"1": encoder_of(world, case)}, samples=400).outcome == "not identified"


def test_one_view_that_contains_style_is_enough():
    world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=ROUGH)
    encoders = {
        "1": lambda x: world.invert(x, "1")["content"],
        "2": lambda x: world.invert(x, "2")["style"],
    }
    verdict = verify(world, encoders, samples=400)
    assert verdict.outcome == "not identified"
    assert [view.outcome for view in verdict.views] == ["identified", "not identified"]
    assert all(reason.startswith("view 2") for reason in verdict.reasons)


def test_counterfactual_pairs_decide_where_regressions_cannot():
    """Ten correlated dimensions: a regression on content leaves too much, pairs of the same content nothing."""
    case = next(case for case in cases.ALL if case.name.startswith("10 dimensions, linear"))
    world = world_of(case)
    first, other = world.sample(400, "a"), world.sample(400, "b")
    again = world.intervene(other, Set("content", first.latent.values["content"]), recompute=True)
    encodings, redrawn = case.encode(first.z["1"]), case.encode(again.z["1"])
    alone = verify(world, encodings={"1": encodings}, latents=first.z)
    assert "leak" in " ".join(alone.reasons)
    pairs = verify(world, encodings={"1": encodings}, latents=first.z, redrawn={"1": redrawn})
    (leak,) = [c for c in pairs.views[0].conditions if c.measure.quantity == "leak"]
    assert (leak.measure.how, leak.state) == ("pairs", "satisfied")


def test_a_module_is_called_in_evaluation_mode_and_left_as_it_was():
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.9)).train()
    seen = []
    module.register_forward_hook(lambda one, *_: seen.append(one.training))
    verify(made, {"1": module}, samples=50)
    assert seen
    assert not any(seen)
    assert module.training


def test_latents_of_content_alone_are_enough_where_nothing_depends_on_it():
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    content = made.sample(400).z["1"]["content"]
    verdict = verify(made.process, encodings={"1": content}, latents={"content": content})
    assert verdict.outcome == "identified"


def test_latents_that_depend_on_content_and_are_not_given_leave_it_undecided():
    made = World(numerical_simulation(content=1, style=1, specific=0, causal=True), seed=0, mixing=ROUGH)
    content = made.sample(400).z["1"]["content"]
    verdict = verify(made.process, encodings={"1": content}, latents={"content": content})
    assert verdict.outcome == "undecided"
    assert "latents that depend on content were not given" in verdict.reasons[0]


def test_classes_may_come_as_floats_and_arrays_from_anywhere():
    class Array:
        """What other frameworks hand over."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.values, dtype=dtype)

    process = numerical_simulation(content=1, style=1, specific=0, discrete=("content",))
    made = World(process, seed=0, mixing=Mixing(pool=200))
    z = made.sample(800).z["1"]
    encoding = Array(torch.cat([z["content"].float() + 0.1, 2 * z["content"].float()], dim=1).numpy())
    latents = {"content": Array(z["content"].double().numpy()), "style": z["style"].tolist()}
    verdict = verify(made.process, encodings={"1": encoding}, latents=latents)
    assert verdict.outcome == "identified"


def test_constant_encodings_are_not_identified():
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=ROUGH)
    verdict = verify(made, {"1": torch.zeros_like}, samples=100)
    assert verdict.outcome == "not identified"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_world_on_a_gpu_is_judged_as_one_on_the_cpu_is():
    process = numerical_simulation(content=2, style=1, specific=0, causal=True)
    made = World(process, seed=0, mixing=ROUGH, device="cuda")
    encoders = {"1": lambda x: made.invert(x, "1")["content"], "2": lambda x: made.invert(x, "2")["style"]}
    verdict = verify(made, encoders, samples=400)
    assert [view.outcome for view in verdict.views] == ["identified", "not identified"]


def test_a_verdict_prints_as_a_table_and_is_saved_as_a_page(tmp_path):
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    verdict = verify(made, {"1": lambda x: made.invert(x, view="1")["style"]}, samples=100)
    printed = str(verdict)
    assert printed.startswith("Content: not identified")
    assert "recovery of content" in printed
    assert "Within margins: leak at most 0.05" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    assert "<table" in verdict._repr_html_()
    page = verdict.save(tmp_path / "page.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "not identified" in page.read_text()
    with pytest.raises(IdentboxError, match="expected a file to write to, got No such file"):
        verdict.save(tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize("arrays", [False, True], ids=["world", "arrays"])
def test_controls_say_what_the_verdict_would_have_seen(arrays, monkeypatch):
    """Regression from arrays takes longer than redrawing, and gets a leak and a loss alone."""
    if arrays:
        monkeypatch.setattr(controls, "LEAKS", {"linear": controls.LEAKS["linear"]})
        monkeypatch.setattr(controls, "LOSSES", dict([*controls.LOSSES.items()][:1]))
    made = World(numerical_simulation(content=2, style=1, specific=0), seed=0, mixing=ROUGH)
    z = made.sample(300).z["1"]
    if arrays:
        verdict = verify(made, encodings={"1": z["content"]}, latents=z, controls=True)
    else:
        encoders = {"1": lambda x: made.invert(x, "1")["content"]}
        verdict = verify(made, encoders, samples=300, controls=True)
    power = verdict.power
    assert power.refused == []
    assert power.positive["content"] == power.positive["cubes"] == "identified"
    # A leak of 20% is beyond any doubt, and one of 1% is within the margin.
    for level in [*power.leaks.values(), *power.losses.values()]:
        assert level in (0.02, 0.05, 0.1, 0.2)
    assert "Smallest planted leak that is seen: linear" in " ".join(str(verdict).split())


def test_a_probe_too_weak_for_a_known_network_refuses_no_positive_control(monkeypatch):
    """With 5 dimensions and 300 samples no regression reads a network; then the control is undecided."""
    monkeypatch.setattr(controls, "LEAKS", {})
    monkeypatch.setattr(controls, "LOSSES", {})
    name = "an invertible network"
    monkeypatch.setattr(controls, "POSITIVE", {name: controls.POSITIVE[name]})
    made = World(numerical_simulation(content=5, style=1, specific=0), seed=0, mixing=ROUGH)
    verdict = verify(made, {"1": lambda x: made.invert(x, "1")["content"]}, samples=300, controls=True)
    assert verdict.power.refused == []
    assert verdict.power.positive == {name: "undecided"}


def changing(x):
    x += 1
    return x


SMALL = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
Z = SMALL.sample(100).z["1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verify(SMALL), "verify: expected encoders or encodings, got neither"),
        (lambda: verify(SMALL.process, {"1": lambda x: x}), "expected a World to draw observations for encoders"),
        (lambda: verify(SMALL, {"3": lambda x: x}), "encoders: expected views among 1, 2; got 3"),
        (lambda: verify(SMALL, {}), "encoders: expected one for each view"),
        (lambda: verify(SMALL, {"1": lambda x: x}, samples=5), "samples: expected at least 50, got 5"),
        (
            lambda: verify(SMALL, {"1": lambda x: x[:, 0]}, samples=50),
            r"encoder of view 1: expected encodings of shape \(50, k\), got \(50,\)",
        ),
        (
            lambda: verify(SMALL, {"1": lambda x: x[:10]}, samples=50),
            r"expected encodings of shape \(50, k\), got \(10, 2\)",
        ),
        (lambda: verify(SMALL, {"1": lambda x: None}, samples=50), "expected an array of numbers, got"),
        (lambda: verify(SMALL, {"1": lambda x: x / 0}, samples=50), "expected finite numbers, got 100"),
        (lambda: verify(SMALL, {"1": changing}, samples=50), "expected observations left as they are"),
        (lambda: verify(SMALL, encodings={"1": Z["content"]}), "verify: expected latents beside encodings, got none"),
        (
            lambda: verify(SMALL, encodings={"1": Z["content"][:99]}, latents=Z),
            "latents of view 1, content: expected 99 rows, got 100",
        ),
        (
            lambda: verify(SMALL, encodings={"1": Z["content"]}, latents={"colour": Z["content"]}),
            "expected a variable among content, style; got colour",
        ),
        (
            lambda: verify(SMALL, encodings={"1": Z["content"]}, latents={"style": Z["style"]}),
            "latents of view 1: expected content content, got none of it",
        ),
        (
            lambda: verify(SMALL, encodings={"1": Z["content"]}, latents={"content": Z["content"].expand(-1, 2)}),
            "latents of view 1, content: expected 1 columns, got 2",
        ),
        (
            lambda: verify(SMALL, encodings={"1": Z["content"][:10]}, latents={n: z[:10] for n, z in Z.items()}),
            "encodings of view 1: expected at least 50 rows, got 10",
        ),
        (
            lambda: verify(SMALL, encodings={"1": np.array([["a"]] * 100)}, latents=Z),
            "encodings of view 1: expected an array of numbers, got one of <U1",
        ),
        (lambda: Margins(leak=1.5), r"leak: expected a number in \(0, 1\), got 1.5"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(call, message):
    with pytest.raises(IdentboxError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
