"""A world samples, mixes, intervenes and inverts, the same for every call."""

import numpy as np
import pytest
import torch

from identbox.errors import IdentboxError
from identbox.process.interventions import Permute, Set
from identbox.process.mixing import Mixing, draw
from identbox.process.presets import multimodal3dident, numerical_simulation
from identbox.process.world import World

QUICK = Mixing(pool=200)


def world(**keys):
    return World(
        numerical_simulation(**{"content": 2, "style": 2, "specific": 1, **keys}), seed=0, mixing=QUICK
    )


def test_the_same_call_gives_the_same_sample_and_another_stream_another_one():
    one, other = world(causal=True), world(causal=True)
    assert torch.equal(one.sample(50).x["1"], other.sample(50).x["1"])
    assert torch.equal(one.sample(50, "a", 1).x["2"], one.sample(50, "a", 1).x["2"])
    assert not torch.equal(one.sample(50, "a", 1).x["2"], one.sample(50, "a", 2).x["2"])


def test_observations_are_the_mixed_latents():
    made = world()
    sample = made.sample(20)
    assert len(sample) == 20
    for view in made.views:
        latents = torch.cat(
            [sample.z[view][name] for name in ("content", "style", f"specific_{view}")], dim=1
        )
        assert torch.equal(sample.x[view], made.mixings[view](latents))


@pytest.mark.parametrize("discrete", [(), ("content",), ("style", "specific")])
def test_inversion_gives_what_the_sample_holds(discrete):
    made = world(discrete=discrete)
    sample = made.sample(300)
    for view in made.views:
        latents = made.invert(sample.x[view].numpy(), view=view)
        assert list(latents) == list(sample.z[view])
        for name, values in sample.z[view].items():
            assert latents[name].dtype == values.dtype
            torch.testing.assert_close(latents[name], values, atol=1e-3, rtol=1e-4)


def test_a_cut_leaves_descendants_and_recomputing_moves_them():
    made = world(causal=True, change_probability=0.75)
    sample = made.sample(200)
    cut = made.intervene(sample, Permute("content"))
    assert torch.equal(cut.z["1"]["style"], sample.z["1"]["style"])
    assert not torch.equal(cut.z["1"]["content"], sample.z["1"]["content"])
    assert torch.equal(cut.z["1"]["content"].sort(0).values, sample.z["1"]["content"].sort(0).values)
    moved = made.intervene(sample, Set("content", 0.0), recompute=True)
    assert not torch.equal(moved.z["1"]["style"], sample.z["1"]["style"])
    again = made.intervene(sample, Permute("content"))
    assert torch.equal(cut.x["1"], again.x["1"])
    assert not torch.equal(cut.x["1"], made.intervene(sample, Permute("content"), stream=("other",)).x["1"])


def test_views_may_share_one_mixing():
    made = World(
        numerical_simulation(content=2, style=1, specific=0), seed=0, mixing=QUICK, shared_mixing=True
    )
    assert made.mixings["1"] is made.mixings["2"]


def test_given_mixings_take_the_place_of_drawn_ones():
    process = numerical_simulation(content=1, style=1, specific=0)
    given = draw(2, QUICK, seed=7)
    made = World(process, seed=0, mixings={"1": given})
    assert made.mixings["1"] is made.mixings["2"] is given
    with pytest.raises(IdentboxError, match="mixing of view 1: expected 2 dimensions, got 3"):
        World(process, seed=0, mixings={"1": draw(3, QUICK, seed=7)})
    with pytest.raises(IdentboxError, match="mixings: expected one for each of the views 1, 2; got 3"):
        World(process, seed=0, mixings={"3": given})


def test_a_world_of_images_and_text_has_views_of_other_sizes():
    made = World(multimodal3dident(), seed=0, mixing=Mixing(orthogonal=True))
    sample = made.sample(30)
    assert sample.x["image"].shape[1] != sample.x["text"].shape[1]
    latents = made.invert(sample.x["image"], view="image")
    torch.testing.assert_close(
        latents["object_color"], sample.z["image"]["object_color"], atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.sample(0), "n: expected at least 1 sample, got 0"),
        (lambda w: w.invert(np.zeros((4, 3)), view="1"), "observations of view 1: expected 5 columns, got 3"),
        (
            lambda w: w.invert(np.full((4, 5), np.nan), view="1"),
            "observations of view 1: expected finite numbers",
        ),
        (lambda w: w.invert(np.array(["a"]), view="1"), "expected an array of numbers, got one of <U1"),
        (lambda w: w.invert(np.zeros((4, 5)), view="3"), "expected a view among 1, 2; got 3"),
        (lambda w: w.intervene(w.sample(3), Permute("colour")), "expected a variable among .*; got colour"),
        (
            lambda w: World(numerical_simulation(specific=0), seed=0, mixing=QUICK, mixings={}),
            "mixings: expected one for each of the views 1, 2; got none",
        ),
    ],
)
def test_mistakes_get_one_line(call, message):
    with pytest.raises(IdentboxError, match=message):
        call(world())
