"""What holds for every distribution and every effect, as functions that take one: `test_laws.py` runs them all."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import stats

from identbox.config import toml_of
from identbox.errors import IdentboxError
from identbox.process.distributions import Constant, Draw
from identbox.process.model import Process, Variable
from identbox.process.tables import process_from_table, table_from_process

N = 20_000


def drawn(distribution, n=N, seed=0, dtype=torch.float64):
    """Noise and the values that it makes."""
    noise = distribution.noise(n, torch.Generator().manual_seed(seed), dtype)
    return noise, distribution.value(noise)


def shapes_and_types(distribution):
    distribution = distribution.realise(0, "v")
    for dtype in (torch.float32, torch.float64):
        noise, values = drawn(distribution, 7, dtype=dtype)
        assert noise.shape == values.shape == (7, distribution.dim)
        assert noise.dtype == dtype
        assert values.dtype == (dtype if distribution.domain.classes is None else torch.int64)
        assert torch.isfinite(values).all()


def the_same_noise_gives_the_same_values(distribution):
    distribution = distribution.realise(0, "v")
    (noise, values), (again, _) = drawn(distribution, 50), drawn(distribution, 50)
    assert torch.equal(noise, again)
    assert torch.equal(distribution.value(noise), values)
    # No sample depends on another one: the values of some rows are rows of the values.
    torch.testing.assert_close(distribution.value(noise[10:20]), values[10:20])
    # Without effects the values are those of the noise.
    assert torch.equal(distribution.solve(Draw(noise=noise)), values)


def the_cdf_of_samples_is_uniform(distribution):
    """Of discrete ones P(F(X) <= u) <= u. Kolmogorov and Smirnov's test at a fixed seed, once for each component."""
    distribution = distribution.realise(0, "v")
    u = distribution.cdf(drawn(distribution)[1]).numpy()
    assert u.shape == (N, distribution.dim)
    assert u.min() >= 0
    assert u.max() <= 1 + 1e-12
    side = "greater" if distribution.discrete else "two-sided"
    assert min(stats.kstest(column, "uniform", alternative=side).pvalue for column in u.T) > 1e-3
    if distribution.dim > 1 and not distribution.discrete:
        # Given the components before it, each component is independent of them: 5 standard errors of 1 / sqrt(N).
        correlations = np.corrcoef(u.T) - np.eye(distribution.dim)
        assert np.abs(correlations).max() < 5 / N**0.5


def the_cdf_gives_uniform_noise_back(distribution):
    if not distribution.uniform_noise:
        return
    noise, values = drawn(distribution, 1000)
    back = distribution.cdf(values)
    if distribution.discrete:
        assert (back >= noise).all()
    else:
        torch.testing.assert_close(back, noise, rtol=0, atol=1e-12)


def the_covariance_is_that_of_samples(distribution):
    """Within five standard errors of each entry, which are estimated from the samples' own products."""
    distribution = distribution.realise(0, "v")
    covariance = distribution.own_covariance()
    if np.isinf(distribution.variance).any():  # no sample shows it
        assert torch.equal(covariance, torch.full((distribution.dim,), torch.inf, dtype=torch.float64).diag())
        return
    values = drawn(distribution)[1].double()
    centred = values - values.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    assert covariance.shape == (distribution.dim, distribution.dim)
    assert ((products.mean(0) - covariance).abs() <= 5 * products.std(0) / N**0.5 + 1e-12).all()
    assert torch.equal(
        covariance.diagonal(), distribution.variance * torch.ones(distribution.dim, dtype=torch.float64)
    )


def features_fit_the_domain(distribution):
    distribution = distribution.realise(0, "v")
    values, domain, d = drawn(distribution, 30)[1], distribution.domain, distribution.dim
    features = distribution.features(values)
    assert len(features) == 30
    assert features.dtype == torch.float64
    if domain.kind == "discrete":
        assert features.shape[1] == d * domain.classes
        assert torch.equal(features.unflatten(1, (d, -1)).argmax(2), values)
        assert torch.equal(features.sum(1), torch.full((30,), d, dtype=torch.float64))
        assert 1 / domain.classes <= distribution.chance <= 1
        return
    assert distribution.chance == 0
    if domain.kind == "circular":
        cosine, sine = features.chunk(2, dim=1)
        torch.testing.assert_close(cosine**2 + sine**2, torch.ones(30, d, dtype=torch.float64))
        torch.testing.assert_close(distribution.features(values + domain.period), features)
    else:
        assert torch.equal(features, values)


def realising_twice_is_realising_once(distribution):
    once = distribution.realise(3, "v")
    assert once == distribution.realise(3, "v")
    assert once == once.realise(4, "w")


def distributions_survive_toml(distribution):
    for given in (distribution, distribution.realise(0, "v")):
        process = Process(name="x", variables=(Variable(name="v", role="content", distribution=given),))
        assert in_toml_and_back(process) == process
        assert str(given)
        assert "\n" not in str(given)


def distribution_fields_have_names_of_their_own(distribution):
    """A file has the keys of a variable and of its distribution in one table."""
    taken = {field.name for field in fields(Variable)} | {"kind"}
    assert not taken & {field.name for field in fields(distribution)}


def dimensions_are_checked(distribution):
    for wrong in (0, 2.5, "two"):
        with pytest.raises(IdentboxError, match="^dim: expected .*, got") as caught:
            replace(distribution, dim=wrong)
        assert "\n" not in str(caught.value)


DISTRIBUTION_LAWS = [
    shapes_and_types,
    the_same_noise_gives_the_same_values,
    the_cdf_of_samples_is_uniform,
    the_cdf_gives_uniform_noise_back,
    the_covariance_is_that_of_samples,
    features_fit_the_domain,
    realising_twice_is_realising_once,
    distributions_survive_toml,
    distribution_fields_have_names_of_their_own,
    dimensions_are_checked,
]


def in_toml_and_back(process):
    """A process as a file in TOML gives it back."""
    return process_from_table(tomllib.loads(toml_of(table_from_process(process)).decode()), "x")


def applied(effect, child, parent, n=200):
    """The effect with its parameters drawn, a draw of the child, values of the parent, and the draw afterwards."""
    effect = effect.realise(child, parent, 0, ("p", "c"))
    noise, value = drawn(child, n)[0], drawn(parent, n, seed=1)[1]
    return effect, noise, value, effect.apply(Draw(noise=noise), value, child, parent)


def a_pair(effect, child, parent):
    cause = Variable(name="p", role="content", distribution=parent)
    caused = Variable(name="c", role="content", distribution=child, effects={"p": effect})
    return Process(name="x", variables=(cause, caused))


def values_keep_shape_and_type(effect, child, parent):
    _, noise, _, after = applied(effect, child, parent)
    plain, changed = child.value(noise), child.solve(after)
    assert plain.shape == changed.shape
    assert plain.dtype == changed.dtype
    assert not torch.equal(plain, changed)


def each_sample_is_affected_by_its_own_parent_alone(effect, child, parent):
    effect, noise, value, after = applied(effect, child, parent)
    some = effect.apply(Draw(noise=noise[50:60]), value[50:60], child, parent)
    torch.testing.assert_close(child.solve(some), child.solve(after)[50:60])


def an_additive_effect_only_adds(effect, child, parent):
    effect, noise, value, after = applied(effect, child, parent)
    if not effect.additive:
        return
    assert torch.equal(after.noise, noise)
    assert after.probabilities is None
    other = effect.apply(Draw(noise=torch.zeros_like(noise)), value, child, parent)
    assert torch.equal(other.shift, after.shift)
    twice = effect.apply(after, value, child, parent)
    assert torch.equal(twice.shift, after.shift + after.shift)


def coefficients_are_the_slope(effect, child, parent):
    effect, noise, value, after = applied(effect, child, parent)
    slope = effect.coefficients()
    if slope is None:
        return
    assert effect.additive
    at_zero = effect.apply(Draw(noise=noise), torch.zeros_like(value), child, parent)
    torch.testing.assert_close(after.shift - at_zero.shift, value.double() @ slope.T)


def realising_an_effect_twice_is_realising_it_once(effect, child, parent):
    once = effect.realise(child, parent, 3, ("p", "c"))
    assert once == effect.realise(child, parent, 3, ("p", "c")) == once.realise(child, parent, 4, ("a", "b"))


def effects_survive_toml(effect, child, parent):
    process = a_pair(effect, child, parent)
    assert in_toml_and_back(process) == process
    assert in_toml_and_back(process.realise(seed=0)) == process.realise(seed=0)


def the_child_depends_on_its_parent(effect, child, parent):
    process = a_pair(effect, child, parent).realise(seed=0)
    assert process.dependent("p", "c")
    alone = replace(process, variables=(process["p"], replace(process["c"], effects={})))
    one, other = (p.sample(200, generator=torch.Generator().manual_seed(0)) for p in (process, alone))
    assert torch.equal(one.values["p"], other.values["p"])
    assert not torch.equal(one.values["c"], other.values["c"])


def at_most_one_effect_is_not_additive(effect, child, parent):
    pair = a_pair(effect, child, parent)
    twice = replace(pair["c"], effects={"p": effect, "q": effect})
    variables = (pair["p"], replace(pair["p"], name="q"), twice)
    if effect.additive:
        assert Process(name="x", variables=variables)
    else:
        with pytest.raises(IdentboxError, match=f"expected at most one effect .*, got {effect.kind} and"):
            Process(name="x", variables=variables)


def a_constant_takes_no_effect(effect, child, parent):
    with pytest.raises(IdentboxError, match="effects.p: .*expected .* got .*") as caught:
        a_pair(effect, Constant(dim=child.dim), parent)
    assert "\n" not in str(caught.value)


EFFECT_LAWS = [
    values_keep_shape_and_type,
    each_sample_is_affected_by_its_own_parent_alone,
    an_additive_effect_only_adds,
    coefficients_are_the_slope,
    realising_an_effect_twice_is_realising_it_once,
    effects_survive_toml,
    the_child_depends_on_its_parent,
    at_most_one_effect_is_not_additive,
    a_constant_takes_no_effect,
]
