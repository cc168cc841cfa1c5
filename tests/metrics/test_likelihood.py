"""Log-likelihoods by importance sampling, against the closed forms of linear-Gaussian models."""

import math

import pytest
import torch

from identbox.errors import IdentboxError
from identbox.learning.posteriors import Subsets
from identbox.metrics import likelihood
from identbox.metrics.likelihood import log_likelihood
from identbox.metrics.linear_gaussian import linear_gaussian

SUBSETS = {
    "mvae": Subsets.all_modalities(3),
    "mmvae": Subsets.single(3),
    "mopoe": Subsets.powerset(3),
    "own": Subsets(3, ((0, 1), (2,)), (0.25, 0.75)),
}


def model(name="mopoe", *, specific=0, encoders="exact", n=5):
    made = linear_gaussian(specific=specific, seed=0)
    x = made.sample(n, generator=torch.Generator().manual_seed(1))
    return made, made.vae(SUBSETS[name], encoders=encoders, dtype=torch.float64), x


def agrees(estimate, expected):
    """Within four standard errors, as the estimate states them, of each sample."""
    assert not estimate.too_few.any()
    assert ((estimate.values - expected).abs() < 4 * estimate.errors + 1e-9).all()


@pytest.mark.parametrize("encoders", ["exact", "random"])
@pytest.mark.parametrize("proposal", ["joint", "product"])
@pytest.mark.parametrize("name", SUBSETS)
def test_the_joint_likelihood_is_the_closed_form(name, proposal, encoders):
    made, vae, x = model(name, encoders=encoders, n=3)
    estimate = log_likelihood(vae, x, samples=8000, proposal=proposal, seed=0)
    agrees(estimate, made.log_density(x))


def test_the_likelihood_of_a_partitioned_model_is_the_closed_form():
    made, vae, x = model("mmvae", specific=2)
    agrees(log_likelihood(vae, x, samples=4000, seed=0), made.log_density(x))


@pytest.mark.parametrize("name", SUBSETS)
def test_likelihoods_of_some_modalities_and_of_some_given_others_are_the_closed_forms(name):
    made, vae, x = model(name)
    agrees(log_likelihood(vae, x, ["x1", "x3"], samples=4000, seed=0), made.log_density(x, ["x1", "x3"]))
    conditional = made.log_density(x) - made.log_density(x, ["x2"])
    estimate = log_likelihood(vae, x, ["x1", "x3"], given=["x2"], samples=4000, seed=0)
    agrees(estimate, conditional)
    assert "log p(x1, x3 | x2)" in repr(estimate)


def test_the_likelihood_of_incomplete_samples_is_that_of_what_they_have():
    made, vae, x = model("mopoe", n=3)
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    expected = torch.stack([
        made.log_density(x, [f"x{k + 1}" for k in range(3) if row[k]])[place]
        for place, row in enumerate(present)
    ])  # fmt: skip
    spoilt = {name: x[name].masked_fill(~present[:, k, None], math.nan) for k, name in enumerate(vae.names)}
    agrees(log_likelihood(vae, spoilt, samples=4000, present=present, seed=0), expected)


def test_the_value_of_a_sample_is_the_same_in_every_batch_and_for_every_size_of_blocks(monkeypatch):
    _, vae, x = model("mopoe", encoders="random", n=9)
    whole = log_likelihood(vae, x, samples=600, seed=0).values
    for start, stop in ((0, 1), (2, 5), (5, 9), (8, 9)):
        part = {name: values[start:stop] for name, values in x.items()}
        values = log_likelihood(vae, part, samples=600, seed=0, first=start).values
        torch.testing.assert_close(values, whole[start:stop], rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(likelihood, "OUTPUTS_AT_A_TIME", 1)  # one sample at a time
    torch.testing.assert_close(
        log_likelihood(vae, x, samples=600, seed=0).values, whole, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("n", [1, 6, 7, 8])
def test_the_same_sample_has_the_same_likelihood_at_every_place_of_a_batch(n):
    made, vae, x = model("mopoe")
    same = {name: values[:1].repeat(n, 1) for name, values in x.items()}
    agrees(log_likelihood(vae, same, samples=2000, seed=0), made.log_density(same))


@pytest.mark.parametrize("name", SUBSETS)
def test_a_change_of_any_modality_changes_the_likelihood_and_nothing_is_changed_in_place(name):
    made, vae, x = model(name)
    before = {key: values.clone() for key, values in x.items()}
    estimate = log_likelihood(vae, x, samples=2000, seed=0)
    assert all(torch.equal(x[key], before[key]) for key in x)
    assert list(x) == list(before)
    for key in x:
        changed = {**x, key: x[key] + 1}
        moved = log_likelihood(vae, changed, samples=2000, seed=0)
        agrees(moved, made.log_density(changed))
        assert (moved.values != estimate.values).all()


@pytest.mark.parametrize("name", ["mvae", "mmvae", "mopoe"])
def test_estimates_rise_with_k_to_the_likelihood(name):
    made, vae, x = model(name, encoders="random", n=1)
    many = {key: values.repeat(1500, 1) for key, values in x.items()}
    means = []
    for k in (1, 5, 50):
        estimate = log_likelihood(vae, many, samples=k, seed=0).values
        means.append((estimate.mean(), estimate.std() / 1500**0.5))
    for (low, error), (high, more) in zip(means, [*means[1:], (made.log_density(x)[0], 0.0)], strict=True):
        assert high - low > -4 * (error**2 + more**2) ** 0.5


def test_the_stated_error_is_the_spread_of_repeated_estimates():
    _, vae, x = model("mopoe", n=1)
    many = {key: values.repeat(400, 1) for key, values in x.items()}
    estimate = log_likelihood(vae, many, samples=500, seed=0)
    # A standard deviation of 400 has a standard error of 3.5%; samples spread evenly over components vary less.
    ratio = (estimate.values.std() / estimate.errors.mean()).item()
    assert 0.7 < ratio < 1.15


def test_an_estimate_from_too_few_samples_is_marked():
    _, vae, x = model("mvae", specific=2, encoders="random")
    estimate = log_likelihood(vae, x, samples=20, seed=0)
    assert estimate.too_few.all()
    assert "K is too small for 5 of 5" in repr(estimate)
    assert estimate.record()["too_few_samples"] == 5
    _, vae, x = model("mvae")
    sharp = log_likelihood(vae, x, samples=2000, seed=0)
    assert not sharp.too_few.any()
    torch.testing.assert_close(sharp.effective, torch.full((5,), 2000.0, dtype=torch.float64))


def test_what_makes_no_sense_is_refused():
    _, vae, x = model()
    for changes, message in (
        ({"samples": 0}, "samples: expected at least 1, got 0"),
        ({"names": ["x4"]}, "names: expected modalities of the data"),
        ({"names": ["x1"], "given": ["x1"]}, "got x1 given x1"),
    ):
        with pytest.raises(IdentboxError, match=message):
            log_likelihood(vae, x, **{"seed": 0, **changes})
    with pytest.raises(IdentboxError, match="data of x1: expected finite numbers, got nan"):
        log_likelihood(vae, {**x, "x1": x["x1"] * math.nan}, seed=0)
