"""The estimate of mutual information beside its closed form, and where its gradients go."""

import math

import pytest
import torch

from identbox.errors import IdentboxError
from identbox.learning.mutual_information import (
    Discriminator,
    DiscriminatorSettings,
    discriminator_information,
    discriminator_loss,
)
from identbox.learning.optimizers import Adam

STEPS, BATCH = 750, 256


def correlated(nats, n, stream):
    """Two Gaussians with that mutual information: -1/2 log(1 - r^2)."""
    r = math.sqrt(1 - math.exp(-2 * nats))
    c, noise = torch.randn(2, n, 1, generator=stream)
    return c, r * c + math.sqrt(1 - r**2) * noise


@pytest.mark.parametrize("nats", [0.0, 0.5, 1.0, 2.0])
def test_the_estimate_is_the_mutual_information_of_correlated_gaussians(nats):
    stream = torch.Generator().manual_seed(0)
    discriminator = Discriminator(1, 1, DiscriminatorSettings(widths=(64, 64)), seed=0, name="d")
    optimizer = Adam(discriminator.parameters(), lr=1e-3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = discriminator_loss(discriminator, *correlated(nats, BATCH, stream), generator=stream)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / STEPS)
        optimizer.step()
    with torch.no_grad():
        estimate = discriminator_information(discriminator, *correlated(nats, 20_000, stream)).item()
    assert estimate == pytest.approx(nats, abs=0.1)


def test_gradients_reach_only_what_each_step_trains():
    """The penalty moves m and neither c nor the discriminator; the discriminator's loss moves it alone."""
    stream = torch.Generator().manual_seed(0)
    c, m = (torch.randn(8, 2, generator=stream, requires_grad=True) for _ in range(2))
    discriminator = Discriminator(2, 2, DiscriminatorSettings(widths=(4,)), seed=0, name="d")
    discriminator_information(discriminator, c, m).backward()
    assert c.grad is None
    assert m.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    m.grad = None
    discriminator_loss(discriminator, c, m, generator=stream).backward()
    assert m.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in discriminator.parameters())


def test_a_discriminator_that_cannot_tell_estimates_zero():
    """Without weights its log-odds are 0, and its loss is that of a coin: 2 log 2."""
    discriminator = Discriminator(1, 3, DiscriminatorSettings(), seed=0, name="d")
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.zero_()
    c, m = torch.randn(5, 1), torch.randn(5, 3)
    assert discriminator_information(discriminator, c, m).item() == 0
    loss = discriminator_loss(discriminator, c, m, generator=torch.Generator())
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_both_parts_need_a_dimension():
    with pytest.raises(IdentboxError, match="at least one dimension of each part, got 2 and 0"):
        Discriminator(2, 0, DiscriminatorSettings(), seed=0, name="d")
