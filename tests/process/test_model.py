from dataclasses import replace

import numpy as np
import pytest
import torch

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.process import presets
from identbox.process.distributions import Categorical, Normal, Uniform
from identbox.process.effects import Interval, Linear, Table
from identbox.process.interventions import Permute, Resample, Set, Shift
from identbox.process.model import Change, Process, Variable
from identbox.process.tables import from_table, process_from_table, table_from_process

N = 100_000
# The standard error of a correlation of independent variables is 1 / sqrt(N) = 0.0032; five of them.
NONE = 0.016


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def correlation(a, b):
    """The largest absolute correlation between components of two blocks."""
    joint = np.corrcoef(a.numpy().T, b.numpy().T)
    return np.abs(joint[: a.shape[1], a.shape[1] :]).max()


def simulate(n=N, seed=0, **options):
    process = presets.numerical_simulation(content=2, style=3, specific=2, **options).realise(seed=seed)
    return process, process.sample(n, generator=generator(), dtype=torch.float64)


def test_blocks_of_the_numerical_simulation():
    _, sample = simulate(change_probability=0.75)
    one, two = sample.views["1"], sample.views["2"]
    assert torch.equal(one["content"], two["content"])
    changed = one["style"] != two["style"]
    # 0.75 within five standard errors of a binomial with 3 N draws.
    assert abs(changed.double().mean() - 0.75) < 5 * (0.75 * 0.25 / (3 * N)) ** 0.5
    assert "specific_2" not in one
    assert "specific_1" not in two
    assert correlation(one["specific_1"], sample.latents("2")) < NONE
    assert correlation(one["content"], one["style"]) < NONE
    assert sample.latents("1").shape == (N, 7)
    assert torch.equal(sample.block("1", "content"), one["content"])


def test_style_noise_is_standard_normal_where_style_changed():
    _, sample = simulate(change_probability=0.5)
    gap = sample.views["2"]["style"] - sample.views["1"]["style"]
    moved = gap[gap != 0]
    assert abs(moved.mean()) < 5 / len(moved) ** 0.5
    assert abs(moved.var() - 1) < 5 * (2 / len(moved)) ** 0.5


def test_change_probability_of_each_component():
    process, _ = simulate()
    style = replace(process["style"], change=Change(probability=(0.0, 0.2, 1.0)))
    process = replace(process, variables=tuple(style if v.name == "style" else v for v in process.variables))
    sample = process.sample(N, generator=generator())
    changed = (sample.views["1"]["style"] != sample.views["2"]["style"]).double().mean(0)
    np.testing.assert_allclose(changed, [0, 0.2, 1.0], atol=5 * (0.16 / N) ** 0.5)


def test_causal_dependence_is_the_linear_one():
    process, sample = simulate(causal=True)
    effect = process["style"].effects["content"]
    design = np.column_stack([np.ones(N), sample.values["content"].numpy()])
    fitted, *_ = np.linalg.lstsq(design, sample.values["style"].numpy(), rcond=None)
    # Least squares with unit noise has a standard error of about 1 / sqrt(N).
    np.testing.assert_allclose(fitted[0], effect.intercept, atol=5 / N**0.5)
    np.testing.assert_allclose(fitted[1:].T, effect.matrix, atol=5 / N**0.5)


def test_statistical_dependence_gives_every_block_its_own_covariance():
    process, sample = simulate(statistical=True)
    given = {v.name: np.array(v.distribution.covariance) for v in process.variables}
    for name, covariance in given.items():
        scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        gap = np.cov(sample.values[name].numpy().T) - covariance
        assert np.abs(gap / scale).max() < 5 * (2 / N) ** 0.5
    assert not np.allclose(given["content"], given["specific_1"])
    shared, _ = simulate(n=1, statistical=True, covariance="shared-wishart")
    assert shared["content"].distribution == shared["specific_1"].distribution


def test_symmetric_variant_perturbs_every_view():
    _, sample = simulate(symmetric=True)
    base, one, two = sample.values["style"], sample.views["1"]["style"], sample.views["2"]["style"]
    assert (one != base).all()
    assert (two != base).all()
    assert correlation(one - base, two - base) < NONE


def test_more_than_two_views():
    style = Variable(name="s", role="style", distribution=Normal(dim=2), change=Change())
    content = Variable(name="c", role="content", distribution=Normal(dim=2))
    sample = Process(name="three", views=("a", "b", "c"), variables=(content, style)).sample(
        N, generator=generator(), dtype=torch.float64
    )
    a, b, c = (sample.views[view]["s"] for view in "abc")
    assert torch.equal(a, sample.values["s"])
    assert correlation(b - a, c - a) < NONE


def test_discrete_style_is_drawn_anew_with_its_probability():
    style = Variable(
        name="s",
        role="style",
        distribution=Categorical(dim=2, classes=4),
        change=Change(how="resample", probability=0.5),
    )
    sample = Process(name="discrete", variables=(style,)).sample(N, generator=generator())
    same = (sample.views["1"]["s"] == sample.views["2"]["s"]).double().mean()
    expected = 0.5 + 0.5 / 4
    assert abs(same - expected) < 5 * (expected * (1 - expected) / (2 * N)) ** 0.5


def test_interval_confines_the_child():
    sample = presets.multimodal3dident().sample(N, generator=generator(), dtype=torch.float64)
    hue, x = sample.values["object_color"], sample.values["object_xpos"]
    assert torch.equal((hue * 3).floor().long(), x)
    within = hue * 3 - x
    assert correlation(within, x) < NONE


def test_table_of_probabilities_and_of_means():
    parent = Variable(name="p", role="content", distribution=Categorical(classes=2))
    rows = ((0.2, 0.8, 0.0), (0.0, 0.5, 0.5))
    child = Variable(
        name="k", role="content", distribution=Categorical(classes=3), effects={"p": Table(rows=rows)}
    )
    means = Table(rows=((0.0, 1.0), (5.0, -1.0)))
    other = Variable(name="x", role="content", distribution=Normal(dim=2), effects={"p": means})
    sample = Process(name="t", variables=(parent, child, other)).sample(N, generator=generator())
    p = sample.values["p"][:, 0]
    for k in range(2):
        chosen = p == k
        shares = torch.bincount(sample.values["k"][chosen, 0], minlength=3) / chosen.sum()
        np.testing.assert_allclose(shares, rows[k], atol=5 * (0.25 / (N / 2)) ** 0.5)
        centre = sample.values["x"][chosen].mean(0)
        np.testing.assert_allclose(centre, means.rows[k], atol=5 / (N / 2) ** 0.5)


def test_table_applies_component_by_component():
    parent = Variable(name="p", role="content", distribution=Categorical(dim=2, classes=2))
    child = Variable(
        name="k",
        role="content",
        distribution=Categorical(dim=2, classes=2),
        effects={"p": Table(rows=((1.0, 0.0), (0.0, 1.0)))},
    )
    sample = Process(name="t", variables=(parent, child)).sample(100, generator=generator())
    assert torch.equal(sample.values["p"], sample.values["k"])


def test_equal_generators_give_equal_samples():
    process = presets.multimodal3dident()
    state = torch.random.get_rng_state()
    first, second, third = (process.sample(50, generator=generator(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first.values[k], second.values[k]) for k in first.values)
    assert not torch.equal(first.values["object_color"], third.values["object_color"])
    assert torch.equal(state, torch.random.get_rng_state())


def test_named_streams_keep_a_new_variable_from_moving_the_others():
    process = presets.multimodal3dident()
    fewer = replace(process, variables=process.variables[1:])
    one, two = (p.sample(20, generator=lambda name: seeding.generator(0, name)) for p in (process, fewer))
    assert all(torch.equal(one.values[k], two.values[k]) for k in two.values)


def test_permuting_content_moves_no_other_variable_when_descendants_are_left_alone():
    process, sample = simulate(n=1000, causal=True)
    cut = process.intervene(sample, Permute(target="content"), recompute=False, generator=generator())
    assert torch.equal(*(s.sort(dim=0).values for s in (cut.values["content"], sample.values["content"])))
    assert not torch.equal(cut.values["content"], sample.values["content"])
    for view in process.views:
        for name, value in cut.views[view].items():
            assert torch.equal(value, sample.views[view][name]) == (name != "content")
    assert torch.equal(cut.views["1"]["content"], cut.views["2"]["content"])


def test_a_do_intervention_recomputes_descendants_with_their_own_noise():
    process, sample = simulate(n=1000, causal=True)
    done = process.intervene(
        sample, Set(target="content", to=torch.ones(2)), recompute=True, generator=generator()
    )
    effect = process["style"].effects["content"]
    moved = (1 - sample.values["content"]) @ torch.tensor(effect.matrix, dtype=torch.float64).T
    for view in process.views:  # each view's perturbation stays what it was
        torch.testing.assert_close(done.views[view]["style"], sample.views[view]["style"] + moved)
    assert torch.equal(done.views["1"]["specific_1"], sample.views["1"]["specific_1"])


def test_shift_set_and_resample():
    process, sample = simulate(n=N, causal=True)
    shifted = process.intervene(
        sample, Shift(target="content", by=2.0), recompute=False, generator=generator()
    )
    torch.testing.assert_close(shifted.values["content"], sample.values["content"] + 2)
    fresh = process.intervene(sample, Resample(target="content"), recompute=False, generator=generator(1))
    assert correlation(fresh.values["content"], sample.values["content"]) < NONE
    assert torch.equal(fresh.values["style"], sample.values["style"])
    with pytest.raises(
        IdentboxError, match=r"intervention on content, to: expected a shape like \(100000, 2\)"
    ):
        process.intervene(
            sample, Set(target="content", to=torch.ones(5)), recompute=True, generator=generator()
        )


def test_permuting_style_takes_its_change_along():
    process, sample = simulate(n=500)
    done = process.intervene(sample, Permute(target="style"), recompute=True, generator=generator())
    pairs = [torch.cat([s.views["1"]["style"], s.views["2"]["style"]], dim=1) for s in (sample, done)]
    assert {tuple(row) for row in pairs[0].tolist()} == {tuple(row) for row in pairs[1].tolist()}
    assert not torch.equal(*pairs)


def test_a_role_is_permuted_as_a_block():
    process = presets.multimodal3dident()
    sample = process.sample(200, generator=generator())
    done = process.intervene(sample, Permute(target="content"), recompute=False, generator=generator(1))
    rows = [{tuple(r) for r in s.block("image", "content").tolist()} for s in (sample, done)]
    assert rows[0] == rows[1]
    assert torch.equal(done.values["object_color"], sample.values["object_color"])


def test_interventions_chain_a_cut_then_a_do():
    process, sample = simulate(n=300, causal=True)
    cut = process.intervene(sample, Shift(target="content", by=1.0), recompute=False, generator=generator())
    done = process.intervene(cut, Shift(target="style", by=1.0), recompute=True, generator=generator())
    torch.testing.assert_close(done.values["content"], sample.values["content"] + 1)
    torch.testing.assert_close(done.values["style"], sample.values["style"] + 1)


def test_tables_round_trip():
    for make in presets.PROCESSES.values():
        assert process_from_table(table_from_process(make()), "x") == make()
    drawn = presets.numerical_simulation(causal=True, statistical=True).realise(seed=0)
    assert process_from_table(table_from_process(drawn), "x") == drawn


def test_graph_dependence():
    process = presets.multimodal3dident()
    assert process.dependent("object_color", "object_xpos")
    assert not process.dependent("object_color", "object_ypos")


def variable(**changes):
    return {"v": {"role": "content", "distribution": "normal"} | changes}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, r"x: expected a table \[variables.NAME\] for each variable, got {}"),
        (
            variable(distribution="gamma"),
            "x: variables.v.distribution: expected one of normal, .*; got gamma",
        ),
        (variable(role="boss"), "x: variables.v.role: expected one of content, style, specific; got 'boss'"),
        (variable(colour=1), "x: variables.v: expected keys among .*; got colour"),
        (variable(dim="two"), "x: variables.v.dim: expected an integer, got 'two'"),
        (variable(dim=True), "x: variables.v.dim: expected an integer, got True"),
        (variable(role="specific"), "x: variables.v: view: expected one for the role 'specific'"),
        (variable(role="specific", view="3"), "variables.v.view: expected one of 1, 2, got 3"),
        (variable(role="style"), "variables.v: change: expected one for the role 'style'"),
        (
            variable(role="style", change={"probability": 1.5}),
            r"probability: expected a number in \[0, 1\], got 1.5",
        ),
        (variable(role="style", change={"probability": [0.5, 1]}), "probability: expected 1 numbers, got 2"),
        (variable(effects={"w": {"kind": "linear"}}), "variables.v.effects: expected parents among v; got w"),
        (variable(effects={"v": {"kind": "linear"}}), "expected no cycle, got v -> v"),
        (variable(effects={"v": {"kind": "magic"}}), "effects.v.kind: expected one of linear.*; got magic"),
        (
            variable(effects={"v": {"kind": "interval"}}),
            "effects.v: an interval effect: expected a categorical",
        ),
        (variable(covariance=[[-1.0]]), "variables.v: covariance: expected a positive definite matrix"),
        (variable(distribution="categorical"), "variables.v: expected the key classes"),
        ({"v": 3}, "x: variables.v: expected a table, got 3"),
    ],
)
def test_bad_tables_are_named_in_one_line(variables, message):
    with pytest.raises(IdentboxError, match=message) as caught:
        process_from_table({"name": "x", "variables": variables}, "x")
    assert "\n" not in str(caught.value)


def test_a_longer_cycle_is_named():
    entries = {
        name: {"role": "content", "distribution": "normal", "effects": {parent: {"kind": "linear"}}}
        for name, parent in (("a", "b"), ("b", "c"), ("c", "a"))
    }
    with pytest.raises(
        IdentboxError, match="expected no cycle, got a -> c -> b -> a|b -> a -> c|c -> b -> a"
    ):
        process_from_table({"name": "x", "variables": entries}, "x")


def test_effects_that_do_not_fit():
    parent = Variable(name="p", role="content", distribution=Categorical(classes=2))
    for child, effect, message in (
        (Normal(), Interval(), "among laplace, uniform, categorical.*; got normal"),
        (Categorical(classes=2), Linear(), "expected a continuous child"),
        (Uniform(), Linear(matrix=((1.0, 2.0),)), "matrix: expected 1 rows of 1 numbers, got 1 of 2"),
        (Normal(dim=2), Table(rows=((1.0, 1.0),)), "rows: expected 2, one a class of the parent, got 1"),
        (Normal(dim=2), Table(rows=((1.0,), (1.0,))), r"rows\[0\]: expected 2 numbers, got 1"),
    ):
        with pytest.raises(IdentboxError, match=message):
            Process(
                name="x",
                variables=(
                    parent,
                    Variable(name="c", role="content", distribution=child, effects={"p": effect}),
                ),
            )


def test_a_process_that_is_no_table_gets_one_line():
    with pytest.raises(IdentboxError, match="x: process: expected a table, got "):
        from_table([], "x: process")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Change(probability=2), r"probability: expected a number in \[0, 1\], got 2.0"),
        (lambda: Change(probability=(0.5, -1)), r"probability\[1\]: expected a number in \[0, 1\], got -1.0"),
        (lambda: Change(how="magic"), "how: expected one of noise, resample, mechanism; got 'magic'"),
        (lambda: Variable(name="v", role="boss", distribution=Normal()), "role: expected one of content, .*"),
        (
            lambda: Variable(name="v", role="content", distribution="normal"),
            "distribution: expected a Dist.*",
        ),
        (lambda: Linear(matrix="zero"), "matrix: expected one of random or .*; got 'zero'"),
        (lambda: Table(rows=((1.0, "b"),)), r"rows\[0\]\[1\]: expected a number, got 'b'"),
        (lambda: Process(name="x", variables=("v",)), r"variables\[0\]: expected a Variable, got 'v'"),
        (lambda: Process(name="x", variables=()), "variables: expected different names, got none"),
    ],
)
def test_wrong_settings_are_refused_in_one_line_when_they_are_built(make, message):
    with pytest.raises(IdentboxError, match=f"^{message}") as caught:
        make()
    assert "\n" not in str(caught.value)


def test_random_parameters_must_be_drawn_before_sampling():
    with pytest.raises(IdentboxError, match=r"Process\.realise draws"):
        presets.numerical_simulation(statistical=True).sample(2, generator=generator())
    with pytest.raises(IdentboxError, match="n: expected at least 1 sample, got 0"):
        presets.multimodal3dident().sample(0, generator=generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_sampling_on_the_gpu():
    process = presets.numerical_simulation(statistical=True, causal=True).realise(seed=0)
    sample = process.sample(N, generator=torch.Generator("cuda").manual_seed(0))
    assert all(value.device.type == "cuda" for value in sample.values.values())
    with torch.cuda.device(0):
        torch.cuda.set_sync_debug_mode("error")  # a copy to the host would raise
        try:
            process.sample(N, generator=torch.Generator("cuda").manual_seed(1))
        finally:
            torch.cuda.set_sync_debug_mode("default")
