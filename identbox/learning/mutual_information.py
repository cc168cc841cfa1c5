"""Mutual information between two parts of a latent space, by a discriminator (section 9.2.4).

A discriminator D tells pairs (c, m) of one sample from pairs whose m belongs to another sample. The best one has the
log-odds log q(c, m) - log q(c) q(m), and their mean over pairs of one sample is the mutual information.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.encoders import draw_weights
from identbox.settings import Count, Probability, settings


@settings
class DiscriminatorSettings:
    """A multilayer perceptron on c beside m."""

    widths: tuple[Count, ...] = (256, 256)  # of the hidden layers, in units
    slope: Probability = 0.2  # of LeakyReLU below 0


class Discriminator(nn.Module):
    """D(c, m) as log-odds: maps (n, shared) and (n, specific) to (n,)."""

    def __init__(
        self, shared: int, specific: int, settings: DiscriminatorSettings, *, seed: int, name: str
    ) -> None:
        """Raises IdentboxError where either part has no dimension."""
        super().__init__()
        if min(shared, specific) < 1:
            raise IdentboxError(
                f"discriminator: expected at least one dimension of each part, got {shared} and {specific}"
            )
        layers: list[nn.Module] = []
        sizes = (shared + specific, *settings.widths)
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LeakyReLU(settings.slope)]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, c: Float[Tensor, "n s"], m: Float[Tensor, "n t"]) -> Float[Tensor, " n"]:
        return self.net(torch.cat([c, m], 1))[:, 0]


def discriminator_loss(
    discriminator: Discriminator,
    c: Float[Tensor, "n s"],
    m: Float[Tensor, "n t"],
    *,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Cross-entropy of telling pairs from pairs with permuted m (Eq. 9.7), in nats; only D gets gradients."""
    c, m = c.detach(), m.detach()
    order = torch.randperm(len(m), generator=generator, device=m.device)
    together, apart = discriminator(c, m), discriminator(c, m[order])
    return functional.softplus(-together).mean() + functional.softplus(apart).mean()


def discriminator_information(
    discriminator: Discriminator, c: Float[Tensor, "n s"], m: Float[Tensor, "n t"]
) -> Float[Tensor, ""]:
    """The estimate of I(c; m) in nats: the mean log-odds of pairs (Eq. 9.8). Its gradient reaches m alone."""
    frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    return torch.func.functional_call(discriminator, frozen, (c.detach(), m)).mean()
