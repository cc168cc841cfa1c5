"""Encoders: the networks whose encodings are tested.

The simulations use the multilayer perceptron of earlier simulation code (Table A.2a: seven layers), whose hidden
widths are multiples of the input's dimension.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError


@dataclass(frozen=True, kw_only=True)
class MLPSettings:
    """A multilayer perceptron: one linear layer more than ``widths`` has entries, LeakyReLU between them."""

    encoding_size: int | None = None  # dimensions of the encoding; without it, those of content
    widths: tuple[int, ...] = (10, 50, 50, 50, 50, 10)  # of the hidden layers, in input dimensions
    slope: float = 0.01  # of LeakyReLU below 0

    def __post_init__(self) -> None:
        if self.encoding_size is not None and self.encoding_size < 1:
            raise IdentboxError(f"encoding_size: expected at least 1, got {self.encoding_size}")
        if any(width < 1 for width in self.widths):
            raise IdentboxError(f"widths: expected numbers of at least 1, got {self.widths}")


ONEDNN_FROM = 10**8  # products of two numbers in a layer; below, a call costs more than a faster kernel saves

# oneDNN's product as PyTorch's own compiler calls it; every public way to it copies the factors.
_onednn_linear: Any = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
)


class Linear(nn.Linear):
    """PyTorch's linear layer, with the products of oneDNN for large float32 ones on a CPU.

    There PyTorch asks MKL, which on AMD processors reaches two thirds of oneDNN's rate.
    """

    def forward(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        plain = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        small = len(x) * self.weight.numel() < ONEDNN_FROM
        if plain or small or _onednn_linear is None:
            return super().forward(x)
        return _OneDNNLinear.apply(x, self.weight, self.bias)


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn_linear(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = _onednn_linear(gradient, weight.T, None, "none", [], "")
        # For the weight both factors are transposed, which costs oneDNN its lead.
        return for_x, gradient.T @ x, gradient.sum(0)


class MLP(nn.Sequential):
    """Maps (n, inputs) to (n, outputs) through the hidden layers of its settings."""

    def __init__(self, inputs: int, outputs: int, settings: MLPSettings, *, seed: int, name: str) -> None:
        """Weights uniform within +-1/sqrt(fan-in), as PyTorch's default, from the stream of ``seed`` and ``name``.

        Raises IdentboxError for fewer than one input or output.
        """
        if inputs < 1 or outputs < 1:
            raise IdentboxError(
                f"encoder: expected at least one input and output, got {inputs} and {outputs}"
            )
        sizes = [inputs, *(width * inputs for width in settings.widths), outputs]
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [Linear(fan_in, fan_out), nn.LeakyReLU(settings.slope, inplace=True)]
        super().__init__(*layers[:-1])
        generator = seeding.generator(seed, name)
        with torch.no_grad():
            for layer in self:
                if isinstance(layer, nn.Linear):
                    bound = layer.in_features**-0.5
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        return super().forward(x)

    @property
    def flops(self) -> int:
        """Multiplications and additions of one sample's forward pass."""
        return sum(
            2 * layer.in_features * layer.out_features for layer in self if isinstance(layer, nn.Linear)
        )
