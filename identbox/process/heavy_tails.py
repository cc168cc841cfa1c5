"""Distributions whose tails fall off slowly, so that moments may be infinite."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from identbox.process.distributions import Distribution
from identbox.settings import Positive, at_least, settings


@settings
class StudentT(Distribution):
    """Independent components mean + scale t, with t of Student's distribution of ``degrees`` degrees of freedom.

        p(t) ~ (1 + t^2 / degrees)^(-(degrees + 1) / 2)

    The density is smooth. The variance is scale^2 degrees / (degrees - 2), and infinite for at most 2 degrees; with 1
    degree (Cauchy's distribution) there is no mean either. Values and the distribution function are computed by scipy
    on the CPU, and go back to the device that noise or values came from. Raises IdentboxError for degrees below 1.

    >>> from identbox import StudentT
    >>> StudentT(degrees=4.0).variance, StudentT(degrees=2.0, scale=3.0).variance
    (2.0, inf)
    """

    degrees: Annotated[float, at_least(1)]
    mean: float = 0.0
    scale: Positive = 1.0

    kind: ClassVar[str] = "student_t"

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        # The quantile function; 0 is a possible draw of torch.rand and has no finite quantile.
        p = noise.double().clamp(min=torch.finfo(noise.dtype).tiny).cpu()
        quantiles = torch.from_numpy(special.stdtrit(self.degrees, p.numpy()))
        return (self.mean + self.scale * quantiles).to(noise)

    def cdf(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        t = (values.detach().double().cpu() - self.mean) / self.scale
        return torch.from_numpy(special.stdtr(self.degrees, t.numpy())).to(values)

    @property
    def variance(self) -> float:
        if self.degrees <= 2:
            return math.inf
        return self.scale**2 * self.degrees / (self.degrees - 2)

    def __str__(self) -> str:
        return f"t({self.degrees:g} degrees, {self.mean:g}, {self.scale:g})"
