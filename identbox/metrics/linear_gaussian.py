"""Linear-Gaussian multimodal VAEs: models of which every likelihood, posterior and bound is known in closed form.

    c ~ N(0, 1)      m_i ~ N(0, 1)      x_i = W_i c + V_i m_i + b_i + s_i e_i

Columns of W_i and V_i are orthogonal, so that the posterior of c given any subset of modalities is a product of
Gaussian experts with independent components: p_i = diag(W_i' W_i) / s_i^2, and means that are linear in x_i. Encoders
with these weights are exact; anything that a program says of such a model can be held against what is true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.likelihoods import LocationScale
from identbox.learning.posteriors import Subsets
from identbox.learning.vae import Latents, Modality, MultimodalVAE

Encoders = Literal["exact", "random"]
SIZES = (4, 5, 6)


@dataclass(frozen=True)
class LinearGaussianVAE:
    """The parameters of one model, in float64."""

    shared: tuple[Tensor, ...]  # W_i (x_i, c)
    specific: tuple[Tensor, ...]  # V_i (x_i, m)
    biases: tuple[Tensor, ...]
    scales: tuple[float, ...]  # s_i

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities are called x1, x2, ..."""
        return tuple(f"x{k + 1}" for k in range(len(self.biases)))

    def sample(self, n: int, *, generator: torch.Generator) -> dict[str, Float[Tensor, "n _"]]:
        """n joint draws."""

        def noise(size: int) -> Tensor:
            return torch.randn(n, size, generator=generator, dtype=torch.float64)

        c, made = noise(self.shared[0].shape[1]), {}
        for k, name in enumerate(self.names):
            signal = c @ self.shared[k].T + noise(self.specific[k].shape[1]) @ self.specific[k].T
            made[name] = signal + self.biases[k] + self.scales[k] * noise(len(self.biases[k]))
        return made

    def log_density(
        self, x: dict[str, Float[Tensor, "n _"]], names: Sequence[str] | None = None
    ) -> Float[Tensor, " n"]:
        """log p(x_names) in closed form: a normal density with the covariance of W c + V m + noise."""
        places = [self.names.index(name) for name in (self.names if names is None else names)]
        weights = torch.cat([self.shared[k] for k in places])
        own = torch.block_diag(*(self._noise_covariance(k) for k in places))
        mean = torch.cat([self.biases[k] for k in places])
        values = torch.cat([x[self.names[k]].double() for k in places], 1)
        normal = torch.distributions.MultivariateNormal(mean, weights @ weights.T + own)
        return normal.log_prob(values)

    def _noise_covariance(self, k: int) -> Tensor:
        size = len(self.biases[k])
        return self.specific[k] @ self.specific[k].T + self.scales[k] ** 2 * torch.eye(size).double()

    def vae(
        self,
        subsets: Subsets | None = None,
        *,
        encoders: Encoders = "exact",
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> MultimodalVAE:
        """The model as a `MultimodalVAE`: with the encoders of its exact posteriors, or of random wrong ones."""
        latents = Latents(shared=self.shared[0].shape[1], specific=self.specific[0].shape[1])
        parts = {}
        for k, name in enumerate(self.names):
            weights = torch.cat([self.shared[k], self.specific[k]], 1)
            decoder = _linear(weights, self.biases[k])
            encoder = self._encoder(k, weights, latents, seed if encoders == "random" else None)
            scale = LocationScale(kind="gaussian", scale=self.scales[k])
            parts[name] = Modality(encoder=encoder, decoder=decoder, likelihood=scale)
        chosen = subsets or Subsets.all_modalities(len(self.names))
        return MultimodalVAE(parts, latents, chosen).to(dtype)

    def _encoder(self, k: int, weights: Tensor, latents: Latents, seed: int | None) -> nn.Linear:
        """Means and log-variances of an expert. Posteriors of m_i have the prior in them, experts of c have not."""
        squares = weights.square().sum(0) / self.scales[k] ** 2  # precisions
        c, m = latents.shared, latents.specific
        precision = torch.cat([squares[:c], 1 + squares[c:]])
        to_mean = (weights / self.scales[k] ** 2 / precision).T
        log_variance = -precision.log()
        bias = -to_mean @ self.biases[k]
        if seed is not None:
            generator = seeding.generator(seed, "encoder", k)
            to_mean = to_mean + 0.3 * torch.randn(to_mean.shape, generator=generator, dtype=torch.float64)
            log_variance = log_variance + torch.randn(c + m, generator=generator, dtype=torch.float64)
        spread = torch.zeros_like(to_mean)
        rows = [to_mean[:c], spread[:c], to_mean[c:], spread[c:]]
        constants = [bias[:c], log_variance[:c], bias[c:], log_variance[c:]]
        return _linear(torch.cat(rows), torch.cat(constants))


def linear_gaussian(
    sizes: Sequence[int] = SIZES, *, shared: int = 2, specific: int = 0, seed: int
) -> LinearGaussianVAE:
    """A random model with a modality of each size; noise between 0.5 and 1, weights of about 1.

    Raises IdentboxError for a modality with fewer dimensions than latent ones: columns could not be orthogonal.
    """
    if min(sizes) < shared + specific:
        raise IdentboxError(
            f"sizes: expected at least {shared + specific} of each modality, got {min(sizes)}"
        )
    weights, biases, scales = [], [], []
    for k, size in enumerate(sizes):
        generator = seeding.generator(seed, "linear-gaussian", k)
        drawn = torch.randn(size, shared + specific, generator=generator, dtype=torch.float64)
        columns = torch.linalg.qr(drawn).Q
        lengths = 0.5 + torch.rand(shared + specific, generator=generator, dtype=torch.float64)
        weights.append(columns * lengths * math.sqrt(size / 4))
        biases.append(torch.randn(size, generator=generator, dtype=torch.float64))
        scales.append(0.5 + 0.5 * torch.rand((), generator=generator).item())
    return LinearGaussianVAE(
        shared=tuple(one[:, :shared] for one in weights),
        specific=tuple(one[:, shared:] for one in weights),
        biases=tuple(biases),
        scales=tuple(scales),
    )


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
