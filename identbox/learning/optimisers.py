"""PyTorch's Adam and AdamW without its compiler.

PyTorch wraps the methods of its optimisers so that ``torch.compile`` leaves them alone. The first call of such a
method imports the compiler, which takes about two seconds of each process that trains, compiled or not. The methods
themselves, which the wrappers keep as ``__wrapped__``, need no compiler. No optimiser is compiled here.
"""

from __future__ import annotations

from typing import TypeVar

import torch

WRAPPED = (
    "add_param_group",
    "load_state_dict",
    "state_dict",
    "zero_grad",
    "_cuda_graph_capture_health_check",
)
Optimiser = TypeVar("Optimiser", bound=type[torch.optim.Optimizer])


def _unwrapped(optimiser: Optimiser) -> Optimiser:
    for name in WRAPPED:
        wrapped = getattr(getattr(optimiser, name, None), "__wrapped__", None)
        if wrapped is not None:
            setattr(optimiser, name, wrapped)
    step = getattr(optimiser.step, "__wrapped__", optimiser.step)
    setattr(optimiser, "step", torch.no_grad()(step))  # noqa: B010
    return optimiser


@_unwrapped
class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba, 2015): PyTorch's numbers, bit for bit."""


@_unwrapped
class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019), without weight decay Adam: PyTorch's numbers, bit for bit."""
