"""A distribution, an effect and an intervention of a user's own: each is one class, and everything works with it."""

import math
from dataclasses import replace
from typing import ClassVar

import laws
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from conftest import ROOT
from identbox import seeding
from identbox.commands.main import cli
from identbox.config import write_toml
from identbox.data import checks
from identbox.errors import IdentboxError
from identbox.identifiability import oracle
from identbox.identifiability.assumptions import assumptions
from identbox.identifiability.ceilings import ceilings
from identbox.metrics import predictors, probing
from identbox.metrics.targets import target_of
from identbox.process.distributions import DISTRIBUTIONS, Categorical, Distribution, Domain, Normal, Uniform
from identbox.process.effects import EFFECTS, Effect, Interval, Linear, Table
from identbox.process.interventions import Intervention
from identbox.process.mixing import Mixing
from identbox.process.model import Change, Process, Variable
from identbox.process.tables import load_process, table_from_process
from identbox.process.world import World
from identbox.settings import Count, Positive, Probability, settings


@pytest.fixture(autouse=True)
def registries():
    """Leave the registries as they were."""
    before = [(registry, dict(registry)) for registry in (DISTRIBUTIONS, EFFECTS)]
    yield
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


def logistic():
    @settings
    class Logistic(Distribution):
        kind: ClassVar[str] = "logistic"
        scale: Positive = 1.0

        def value(self, noise):
            return self.scale * torch.logit(noise, eps=torch.finfo(noise.dtype).tiny)

        def cdf(self, values):
            return torch.sigmoid(values / self.scale)

        @property
        def variance(self):
            return (math.pi * self.scale) ** 2 / 3

    return Logistic


def binomial():
    @settings
    class Binomial(Distribution):
        kind: ClassVar[str] = "binomial"
        discrete: ClassVar[bool] = True
        trials: Count = 1
        success: Probability = 0.5

        @property
        def domain(self):
            return Domain(kind="discrete", classes=self.trials + 1)

        @property
        def chance(self):
            return float(self.law.pmf(range(self.trials + 1)).max())

        @property
        def law(self):
            return stats.binom(self.trials, self.success)

        def value(self, noise):
            edges = torch.tensor(self.law.cdf(range(self.trials)), dtype=noise.dtype)
            return torch.searchsorted(edges, noise.contiguous(), right=True)

        def cdf(self, values):
            return torch.tensor(self.law.cdf(values.numpy()))

        @property
        def variance(self):
            return float(self.law.var())

    return Binomial


def sine():
    """The effect that the docstring of `identbox.process.effects` shows."""

    @settings
    class Sine(Effect):
        kind: ClassVar[str] = "sine"
        additive: ClassVar[bool] = True
        height: float = 1.0

        def apply(self, draw, value, child, parent):
            wave = torch.sin(value.to(draw.noise.dtype))
            return draw.shifted(self.height * wave)

    return Sine


def product():
    @settings
    class Product(Effect):
        """The child's noise is multiplied by the parent."""

        kind: ClassVar[str] = "product"

        def check(self, child, parent):
            if child.kind != "normal":
                raise IdentboxError(f"a product effect: expected a normal child, got a {child.kind} one")

        def apply(self, draw, value, child, parent):
            return replace(draw, noise=draw.noise * value.to(draw.noise.dtype))

    return Product


def swap():
    @settings(kw_only=False)
    class Swap(Intervention):
        """Each sample changes places with its neighbour."""

        def apply(self, targets, generator):
            return targets.with_values(
                {n: v.unflatten(0, (-1, 2)).flip(1).flatten(0, 1) for n, v in targets.values.items()}
            )

    return Swap


@pytest.mark.parametrize("law", laws.DISTRIBUTION_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "make",
    [lambda: logistic()(dim=2, scale=0.7), lambda: binomial()(dim=2, trials=3, success=0.3)],
    ids=["logistic", "binomial"],
)
def test_laws_of_a_new_distribution(law, make):
    law(make())


@pytest.mark.parametrize("law", laws.EFFECT_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "make",
    [
        lambda: (sine()(height=2.0), Normal(dim=2), Uniform(dim=2)),
        lambda: (product()(), Normal(dim=2), Uniform(dim=2, low=2.0, high=3.0)),
        lambda: (Linear(), logistic()(dim=2), binomial()(trials=4)),
        lambda: (Interval(), logistic()(), binomial()(trials=2)),
        lambda: (
            Table(rows=((0.1, 0.9, 0.0), (0.5, 0.5, 0.0))),
            binomial()(trials=2),
            Categorical(classes=2),
        ),
    ],
    ids=["sine", "product", "linear on new", "interval on new", "table on new"],
)
def test_laws_of_a_new_effect_and_of_effects_on_new_distributions(law, make):
    law(*make())


def a_process(distribution, effect, change):
    """Content and style with the distribution, and the effect of content on style."""
    return Process(
        name="mine",
        variables=(
            Variable(name="c", role="content", distribution=distribution),
            Variable(name="s", role="style", distribution=distribution, effects={"c": effect}, change=change),
        ),
    )


def test_process_show_reads_new_kinds_from_a_file(tmp_path):
    process = a_process(logistic()(dim=2), sine()(height=3.0), Change(probability=0.5))
    write_toml(tmp_path / "mine.toml", table_from_process(process))
    assert load_process(tmp_path / "mine.toml") == process
    for options in ([], ["--dot"]):
        shown = CliRunner().invoke(cli, ["process", "show", str(tmp_path / "mine.toml"), *options])
        assert shown.exit_code == 0, shown.output
        assert "logistic" in shown.output
        assert "sine" in shown.output


def test_ceilings_of_a_new_distribution_are_in_closed_form():
    """R2 = b^2 v / (b^2 v + v + 1) of s = b c + noise, where the change adds noise of variance 1."""
    effect = Linear(matrix=((0.5,),), intercept=(0.0,))
    process = a_process(logistic()(scale=2.0), effect, Change())
    found = ceilings(process, interventions=False)
    v = (2 * math.pi) ** 2 / 3
    assert found["2", "s", None].how == "closed form"
    assert found["2", "s", None].score == pytest.approx(v / 4 / (v / 4 + v + 1))


def test_the_ceiling_of_a_new_effect_is_that_of_a_probe():
    """Of the variance of 4 sin(c) + u the share that c explains; u is uniform on [-3, 3), with a variance of 3."""
    process = a_process(Uniform(low=-3.0, high=3.0), sine()(height=4.0), Change(how="mechanism"))
    ceiling = ceilings(process, interventions=False, samples=400)["1", "s", None]
    signal = 16 * (1 / 2 - math.sin(6) / 12)
    assert ceiling.how == "probe"
    assert ceiling.score == pytest.approx(signal / (signal + 3), abs=0.06)  # 3 standard errors


def test_the_chance_of_new_classes_is_that_of_the_most_frequent_one():
    """Where nothing is given: 0.9^2 of two trials, and as many in the child that a table makes of them."""
    rows = ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    process = a_process(binomial()(trials=2, success=0.9), Table(rows=rows), Change(how="resample"))
    found = ceilings(process, content=[], interventions=False)
    assert found["1", "c", None].score == pytest.approx(0.81)
    assert found["1", "s", None].score == pytest.approx(0.81, abs=0.03)  # 3 standard errors of 2048 samples


def test_the_oracle_undoes_a_new_additive_effect_on_a_new_distribution():
    content = a_process(logistic()(dim=2), sine()(), Change())
    both = Process(
        name="x",
        variables=(
            content["c"],
            Variable(
                name="d", role="content", distribution=content["c"].distribution, effects=content["s"].effects
            ),
        ),
    )
    sample = both.sample(4000, generator=seeding.generator(0, "test"), dtype=torch.float64)
    transform, how = oracle.darmois(both)
    u = transform(torch.cat([sample.values["c"], sample.values["d"]], dim=1))
    assert how == "closed form"
    torch.testing.assert_close(u, torch.cat([sample.noise.own["c"], sample.noise.own["d"]], dim=1))


def test_probes_predict_a_new_distribution_as_its_domain_asks():
    for distribution, kind in ((logistic()(dim=2), "continuous"), (binomial()(trials=2), "discrete")):
        variable = Variable(name="c", role="content", distribution=distribution)
        fit, score = (laws.drawn(distribution, 150, seed=seed)[1] for seed in (0, 1))
        target = target_of(variable, fit, score)
        assert target.kind == kind
        results = probing.probe_targets(
            distribution.features(fit), distribution.features(score), [target],
            settings=predictors.PredictorSettings(), seed=0, kinds=("linear",),
        )  # fmt: skip
        assert min(result.score for result in results) > 0.95


def test_assumptions_ask_new_kinds_what_they_are():
    def verdicts(process):
        return {entry.key: entry.verdict for entry in assumptions(process)}

    smooth = verdicts(a_process(logistic()(), sine()(), Change()))
    assert {smooth[key] for key in ("style-changes", "change-density", "density")} == {"holds"}
    rough = verdicts(a_process(binomial()(), Interval(), Change(how="resample")))
    assert rough["change-density"] == rough["density"] == "violated"


def test_the_dependencies_of_a_dataset_are_checked_with_new_kinds():
    process = Process(
        name="x",
        variables=(
            Variable(name="k", role="content", distribution=binomial()(trials=2)),
            Variable(name="l", role="content", distribution=logistic()(), effects={"k": Interval()}),
            Variable(name="u", role="content", distribution=Uniform()),
            Variable(name="n", role="content", distribution=Normal(), effects={"u": sine()(height=9.0)}),
        ),
    )
    sample = process.sample(5000, generator=seeding.generator(0, "test"), dtype=torch.float64)
    columns = {name: value[:, 0].numpy() for name, value in sample.values.items()}
    good = {f.what: f.good for f in checks._check_dependencies(process, columns, "train")}
    assert good == {"k -> l": True, "u -> n": True, "independence": True}
    columns["l"] = np.random.default_rng(0).permutation(columns["l"])
    bad = {f.what: f.good for f in checks._check_dependencies(process, columns, "train")}
    assert bad["k -> l"] is False


def test_a_new_intervention_needs_no_other_place():
    process = a_process(logistic()(), sine()(), Change()).realise(seed=0)
    sample = process.sample(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    done = process.intervene(sample, swap()("c"), recompute=True)
    pairs = sample.values["c"].view(5, 2)
    assert torch.equal(done.values["c"].view(5, 2), pairs.flip(1))
    moved = done.values["c"].sin() - sample.values["c"].sin()
    torch.testing.assert_close(done.values["s"], sample.values["s"] + moved)


def test_a_world_of_new_kinds_samples_and_inverts():
    process = a_process(logistic()(dim=2), sine()(), Change())
    world = World(process, seed=0, mixing=Mixing(pool=100))
    sample = world.sample(20)
    for name, values in world.invert(sample.x["2"], view="2").items():
        torch.testing.assert_close(values, sample.z["2"][name], atol=1e-3, rtol=1e-3)


def test_the_classes_in_the_docs_work():
    text = (ROOT / "docs" / "processes.md").read_text()
    code = text.split("```python")[-1].split("```")[0]
    names: dict = {"__name__": "docs"}
    exec(code, names)
    for law in laws.DISTRIBUTION_LAWS:
        law(names["Logistic"](dim=2))
    for law in laws.EFFECT_LAWS:
        law(names["Sine"](height=2.0), Normal(), Uniform())
    process = a_process(names["Logistic"](), names["Sine"](), Change())
    sample = process.sample(10, generator=torch.Generator().manual_seed(0))
    done = process.intervene(sample, names["Scale"]("s", 2.0), recompute=True)
    assert torch.equal(done.values["s"], 2 * sample.values["s"])


def test_a_kind_belongs_to_one_class():
    first, again = logistic(), logistic()  # as a cell of a notebook that is run again
    assert DISTRIBUTIONS["logistic"] is again is not first
    with pytest.raises(IdentboxError, match="got 'normal', which is that of Normal$"):

        class Other(Distribution):
            kind: ClassVar[str] = "normal"

    with pytest.raises(IdentboxError, match="got 'linear', which is that of Linear$"):

        class Another(Effect):
            kind: ClassVar[str] = "linear"
