"""A linear layer that is drawn from a named stream, and its product by oneDNN where that is faster."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

ONEDNN_FROM = 10**8  # products of two numbers in a layer; below, a call costs more than a faster kernel saves

# oneDNN's product as PyTorch's own compiler calls it; every public way to it copies the factors.
_onednn_linear: Any = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
)


class DenseLayer(nn.Linear):
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
