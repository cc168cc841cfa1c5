"""Verdicts on hand-made encoders whose right answer is known, from callables and from arrays."""

import numpy as np
import pytest
import torch

from identbox.errors import IdentboxError
from identbox.identifiability.verdicts import Margins
from identbox.identifiability.verify import verify
from identbox.process.mixing import Mixing
from identbox.process.presets import numerical_simulation
from identbox.process.world import World

# To fit and to score each. Intervals of R2 are then up to 0.2 wide, so the margins are wider than the default ones.
SAMPLES, MARGINS = 200, Margins(content=0.85, excess=0.25)

# What an encoder keeps of the latents, and the right answer.
KEPT = {
    "content": (lambda z: z["content"], "identified"),
    "content, scaled and rotated": (
        lambda z: z["content"] @ torch.tensor([[3.0, 1.0], [-1.0, 3.0]]), "identified"
    ),
    "content and style": (lambda z: torch.cat([z["content"], z["style"]], dim=1), "not identified"),
    "style": (lambda z: z["style"], "not identified"),
    "half of content": (lambda z: z["content"][:, :1], "not identified"),
    "noise": (
        lambda z: torch.randn(len(z["content"]), 2, generator=torch.Generator().manual_seed(7)), "not identified"
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["independent", "causal"])
def world(request):
    process = numerical_simulation(
        content=2, style=2, specific=1, causal=request.param == "causal", change_probability=0.75
    )
    return World(process, seed=0, mixing=Mixing(pool=200))


def encoder_of(world, view, kept):
    return lambda x: kept(world.invert(x, view=view))


@pytest.mark.parametrize("name", KEPT)
def test_the_verdict_on_callables_is_right(world, name):
    kept, right = KEPT[name]
    verdict = verify(world, {"1": encoder_of(world, "1", kept)}, seed=1, samples=SAMPLES, margins=MARGINS)
    assert verdict.outcome == right
    assert verdict.reasons
    assert "with each block permuted" in verdict.evidence


@pytest.mark.parametrize("name", KEPT)
def test_the_verdict_on_arrays_is_right_or_undecided_without_interventions(world, name):
    """Where content causes style, an encoding of content predicts style: arrays do not show whether it contains it."""
    kept, right = KEPT[name]
    sample = world.sample(2 * SAMPLES, "arrays")
    verdict = verify(
        world.process, encodings={"1": kept(sample.z["1"]).numpy()}, latents=sample.z, seed=1, margins=MARGINS
    )
    causal = world.process["style"].effects
    assert verdict.outcome == ("undecided" if causal and right == "identified" else right)
    if verdict.outcome == "undecided":
        assert verdict.reasons[0].startswith("no interventions were probed, and style depends on content")


def test_one_view_that_contains_style_is_enough(world):
    good, bad = KEPT["content"][0], KEPT["content and style"][0]
    encoders = {"1": encoder_of(world, "1", good), "2": encoder_of(world, "2", bad)}
    verdict = verify(world, encoders, samples=SAMPLES, margins=MARGINS)
    assert verdict.outcome == "not identified"
    assert [view.outcome for view in verdict.views] == ["identified", "not identified"]
    assert all(reason.startswith("view 2") for reason in verdict.reasons)


def test_without_interventions_callables_are_judged_as_arrays_are(world):
    encoders = {"1": encoder_of(world, "1", KEPT["content"][0])}
    verdict = verify(world, encoders, samples=SAMPLES, interventions=False, margins=MARGINS)
    assert verdict.outcome == ("undecided" if world.process["style"].effects else "identified")


def test_a_module_is_called_in_evaluation_mode_and_left_as_it_was():
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.9)).train()
    seen = []
    module.register_forward_hook(lambda one, *_: seen.append(one.training))
    verify(made, {"1": module}, samples=50)
    assert seen
    assert not any(seen)
    assert module.training


def test_latents_that_are_not_given_leave_it_undecided():
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    content = made.sample(400).z["1"]["content"]
    verdict = verify(made.process, encodings={"1": content}, latents={"content": content}, margins=MARGINS)
    assert verdict.outcome == "undecided"
    assert "latents of style were not given" in verdict.reasons[0]


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
    verdict = verify(made.process, encodings={"1": encoding}, latents=latents, margins=MARGINS)
    assert verdict.outcome == "identified"


def test_a_verdict_prints_as_a_table_and_is_saved_as_a_page(tmp_path):
    made = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    verdict = verify(made, {"1": lambda x: made.invert(x, view="1")["style"]}, samples=100)
    printed = str(verdict)
    assert printed.startswith("Content: not identified")
    assert "recovery" in printed
    assert "style" in printed
    assert "<table" in verdict._repr_html_()
    page = verdict.save(tmp_path / "page.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "not identified" in page.read_text()
    with pytest.raises(IdentboxError, match="expected a file to write to, got No such file"):
        verdict.save(tmp_path / "nowhere" / "page.html")


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
        (lambda: verify(SMALL, {"1": lambda x: x}, samples=5), "samples: expected at least 10, got 5"),
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
        (lambda: verify(SMALL, {"1": torch.zeros_like}, samples=50), "expected encodings that vary over the sample"),
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
            "encodings of view 1: expected at least 20 rows, got 10",
        ),
        (
            lambda: verify(SMALL, encodings={"1": np.array([["a"]] * 100)}, latents=Z),
            "encodings of view 1: expected an array of numbers, got one of <U1",
        ),
        (lambda: Margins(content=1.5), r"content: expected a number in \(0, 1\), got 1.5"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(call, message):
    with pytest.raises(IdentboxError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
