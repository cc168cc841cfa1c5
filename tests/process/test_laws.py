"""What holds for every registered distribution, effect and intervention; the laws themselves are in tests/laws.py."""

import laws
import pytest
import torch

from identbox.errors import IdentboxError
from identbox.process import presets
from identbox.process.distributions import DISTRIBUTIONS, Categorical, Constant, Laplace, Normal, Uniform
from identbox.process.effects import EFFECTS, Interval, Linear, Table
from identbox.process.heavy_tails import StudentT
from identbox.process.interventions import Intervention, Permute, Resample, Set, Shift

EXAMPLES = [
    Normal(dim=2, mean=(1.0, -2.0)),
    Normal(dim=3, covariance="wishart"),
    Normal(dim=2, covariance=((1.0, 0.6), (0.6, 2.0)), mean=3.0),
    Laplace(dim=2, mean=-1.0, scale=0.5),
    StudentT(dim=2, degrees=5.0, mean=-1.0, scale=2.0),
    StudentT(dim=2, degrees=1.0),
    Uniform(dim=2, low=-2.0, high=3.0),
    Uniform(dim=2, high=4.0, circular=True),
    Categorical(dim=2, classes=3),
    Categorical(classes=("a", "b", "c"), probabilities=(0.2, 0.0, 0.8)),
    Constant(dim=2, at=3.0),
]
ROWS = ((0.2, 0.8, 0.0), (0.0, 0.5, 0.5))
EFFECTS_ON = [  # effect, child, parent
    (Linear(), Normal(dim=2), Laplace(dim=3)),
    (Linear(intercept="zero"), Uniform(), Categorical(classes=3)),
    (Linear(matrix=((1.0, 0.0), (0.5, 2.0)), intercept=(0.0, 1.0)), Laplace(dim=2), Uniform(dim=2)),
    (Interval(), Uniform(dim=2), Categorical(classes=3)),
    (Interval(), Laplace(dim=2), Categorical(dim=2, classes=3)),
    (Interval(), Categorical(classes=4), Categorical(classes=2)),
    (Table(rows=ROWS), Categorical(dim=2, classes=3), Categorical(classes=2)),
    (Table(rows=ROWS), Categorical(dim=2, classes=3), Categorical(dim=2, classes=2)),
    (Table(rows=((0.0, 1.0), (5.0, -1.0))), Normal(dim=2), Categorical(classes=2)),
    (Table(rows=((0.0, 1.0), (5.0, -1.0))), Normal(dim=2), Categorical(dim=2, classes=2)),
]
INTERVENTIONS = [Permute("style"), Set("style", 0.3), Shift("style", by=(1.0, 2.0)), Resample("style")]


def test_there_is_an_example_of_everything():
    assert {example.kind for example in EXAMPLES} == set(DISTRIBUTIONS)
    assert {effect.kind for effect, *_ in EFFECTS_ON} == set(EFFECTS)
    kinds = [cls for cls in Intervention.__subclasses__() if cls.__module__.startswith("identbox.")]
    own = {cls for cls in kinds if not cls.__name__.startswith("_")}  # others are steps within a module
    assert {type(intervention) for intervention in INTERVENTIONS} == own


@pytest.mark.parametrize("law", laws.DISTRIBUTION_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("distribution", EXAMPLES, ids=str)
def test_laws_of_distributions(law, distribution):
    law(distribution)


@pytest.mark.parametrize("law", laws.EFFECT_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", EFFECTS_ON, ids=lambda case: f"{case[0].kind}-{case[1].kind}-{case[2].kind}")
def test_laws_of_effects(law, case):
    law(*case)


@pytest.mark.parametrize("intervention", INTERVENTIONS, ids=lambda i: type(i).__name__)
def test_laws_of_interventions(intervention):
    process = presets.numerical_simulation(content=2, style=2, specific=2, causal=True).realise(seed=0)
    sample = process.sample(100, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in sample.values.items()}
    done, again = (
        process.intervene(sample, intervention, recompute=False, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    for name, value in before.items():
        assert torch.equal(sample.values[name], value)  # the sample stays as it was
        assert torch.equal(done.values[name], again.values[name])  # the generator alone decides
        assert torch.equal(done.values[name], value) == (name != "style")
        assert (done.values[name].shape, done.values[name].dtype) == (value.shape, value.dtype)


@pytest.mark.parametrize("intervention", INTERVENTIONS, ids=lambda i: type(i).__name__)
def test_only_what_is_random_needs_a_generator(intervention):
    process = presets.numerical_simulation(content=2, style=2, specific=2)
    sample = process.sample(10, generator=torch.Generator().manual_seed(0))
    if isinstance(intervention, Permute | Resample):
        message = rf"^{type(intervention).__name__}\('style'\): expected a generator, .*, got none$"
        with pytest.raises(IdentboxError, match=message):
            process.intervene(sample, intervention, recompute=True)
    else:
        assert process.intervene(sample, intervention, recompute=True)


def test_interventions_take_their_arguments_by_position_and_by_name():
    assert Permute("content") == Permute(target="content")
    assert Set("object_color", 0.3) == Set(target="object_color", to=0.3)
    assert Shift("style", by=1) == Shift(target="style", by=1.0)
    assert Resample("style") == Resample(target="style")
    with pytest.raises(IdentboxError, match="^by: expected a number or a list of numbers .*, got 'much'$"):
        Shift("style", by="much")
