"""The self-test passes as it is, and finds the faults of earlier implementations when they are planted."""

import pytest
import torch

from conftest import identbox
from identbox.learning.densities import Gaussian
from identbox.learning.posteriors import Mixture
from identbox.learning.vae import MultimodalVAE
from identbox.metrics import likelihood, selftest


def failures():
    return [check.what for check in selftest.checks() if not check.holds]


@pytest.mark.slow
def test_the_command_prints_a_table_in_which_all_checks_hold():
    done = identbox("selftest", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "18 of 18 hold" in done.stdout


def first_component(self, samples, generator):
    return torch.zeros(samples, self.components.mean.shape[1], dtype=torch.int64)


def without_the_last(self, name, z, x, original=MultimodalVAE.log_likelihood):
    values = original(self, name, z, x)
    return values * 0 if name == self.names[-1] else values


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "attribute", "fault", "found"),
    [
        (Mixture, "draw_subsets", first_component, "5.18, one subset drawn"),
        (MultimodalVAE, "log_likelihood", without_the_last, "log p(x), MoPoE-VAE"),
        (
            likelihood._Estimator,
            "_components",
            lambda self, joint, streams: torch.zeros(self.samples, len(streams), dtype=torch.int64),
            "log p(x), MMVAE",
        ),
        (selftest, "product", lambda experts, mask: selftest_floor(experts, mask), "products, log-variances"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(monkeypatch, owner, attribute, fault, found):
    monkeypatch.setattr(owner, attribute, fault)
    assert any(what.startswith(found) for what in failures()), failures()


def selftest_floor(experts, mask, original=selftest.product):
    """Products with the floor under variances that the usual code has."""
    return original(Gaussian(experts.mean, (experts.log_variance.exp() + 1e-8).log()), mask)
