"""A mixture of Gaussians fitted to embeddings, to draw shared latents where no modality is given (section 9.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

COMPONENTS = 100
ROWS_A_COMPONENT = 20  # embeddings for each component, at least
LEAST_VARIANCE = 1e-6  # of a component along any axis, in variances of all embeddings


@dataclass(frozen=True)
class MixturePrior:
    """A mixture of k Gaussians in d dimensions."""

    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    factors: Float[Tensor, "k d d"]  # lower triangular; each times its transpose is a covariance

    @staticmethod
    def fit(embeddings: Float[Tensor, "n d"], *, components: int = COMPONENTS, seed: int) -> MixturePrior:
        """The mixture by expectation maximisation (scikit-learn); of few embeddings it has fewer components."""
        from sklearn.mixture import GaussianMixture  # a second, which no other model need wait for

        values = embeddings.detach().double().cpu()
        scale = values.var(0, correction=0).mean().sqrt().clamp(min=torch.finfo(torch.float64).tiny)
        parts = max(1, min(components, len(values) // ROWS_A_COMPONENT))
        fitted = GaussianMixture(parts, random_state=seed % 2**32, reg_covar=LEAST_VARIANCE)
        fitted.fit((values / scale).numpy())
        factors = torch.linalg.cholesky(torch.from_numpy(fitted.covariances_)) * scale
        numbers = (torch.from_numpy(fitted.weights_), torch.from_numpy(fitted.means_) * scale, factors)
        return MixturePrior(*(one.to(embeddings) for one in numbers))

    def __call__(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """n draws."""
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(
            n, self.means.shape[1], generator=generator, device=self.means.device, dtype=self.means.dtype
        )
        return self.means[chosen] + torch.einsum("nij,nj->ni", self.factors[chosen], noise)
