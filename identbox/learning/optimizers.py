"""The optimisers of a training: PyTorch's Adam and AdamW without its compiler, and SOAP.

PyTorch wraps the methods of its optimisers so that ``torch.compile`` leaves them alone. The first call of such a
method imports the compiler, which takes about two seconds of each process that trains, compiled or not. The methods
themselves, which the wrappers keep as ``__wrapped__``, need no compiler. No optimiser is compiled here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

WRAPPED = (
    "add_param_group",
    "load_state_dict",
    "state_dict",
    "zero_grad",
    "_cuda_graph_capture_health_check",
)
# What SOAP keeps of each side of a matrix: the covariance of its gradients, and that covariance's eigenvectors.
SQUARE_STATE = {"left": 0, "left_basis": 0, "right": 1, "right_basis": 1}
OptimizerType = TypeVar("OptimizerType", bound=type[torch.optim.Optimizer])


def _unwrapped(optimizer: OptimizerType) -> OptimizerType:
    for name in WRAPPED:
        wrapped = getattr(getattr(optimizer, name, None), "__wrapped__", None)
        if wrapped is not None:
            setattr(optimizer, name, wrapped)
    step = getattr(optimizer.step, "__wrapped__", optimizer.step)
    setattr(optimizer, "step", torch.no_grad()(step))  # noqa: B010
    return optimizer


@_unwrapped
class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba, 2015): PyTorch's numbers, bit for bit."""


@_unwrapped
class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019), without weight decay Adam: PyTorch's numbers, bit for bit."""


@_unwrapped
class Soap(torch.optim.Optimizer):
    """SOAP (Vyas et al., 2025): Adam on the gradient seen in the eigenbasis of its own covariance.

    For a weight W (rows, columns) with gradient G, running means of G G^T and G^T G are kept. Adam works on
    Q_left^T G Q_right, where the columns of Q are the eigenvectors of these means, and its step is turned back. The
    eigenvectors are brought up to date every ``every`` steps, by one step of orthogonal iteration. Convolutions count
    as matrices (outputs, rest). A side of one, or of more than ``max_precond_dim``, is left as it is, so that vectors
    get Adam: the cost of a side grows with its cube. The first step only measures; weights do not move.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        every: int = 10,
        max_precond_dim: int = 2048,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "every": every}
        super().__init__(parameters, {**defaults, "max_precond_dim": max_precond_dim})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step along the gradients of all parameters; without a closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.flatten(1) if parameter.ndim > 1 else parameter.grad[:, None]
                state = self.state[parameter]
                if not state:
                    state.update(_initial(parameter, gradient, group["max_precond_dim"]))
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(_change(state, gradient, group).reshape(parameter.shape))


def _initial(parameter: nn.Parameter, gradient: Tensor, longest: int) -> dict[str, Any]:
    """The state after the first gradient."""
    state: dict[str, Any] = {"step": 0}
    for name in ("exp_avg", "exp_avg_sq"):  # as rows, whichever way the weights of a convolution are laid out
        state[name] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
    for side, rows in (("left", gradient), ("right", gradient.T)):
        if 1 < len(rows) <= longest and parameter.ndim > 1:
            state[side] = rows @ rows.T
            # In single precision LAPACK returns NaN for some matrices of low rank with small entries.
            vectors = torch.linalg.eigh(state[side].double()).eigenvectors
            state[f"{side}_basis"] = vectors.flip(1).to(rows)  # the largest first
    return state


def _change(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """What a step takes off a weight, as a matrix; brings the state up to date."""
    state["step"] += 1
    (beta1, beta2), count = group["betas"], state["step"]
    turned = _turn(state, gradient)
    mean, square = (state[name].view_as(turned) for name in ("exp_avg", "exp_avg_sq"))
    mean.lerp_(turned, 1 - beta1)
    square.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    scale = (square / (1 - beta2**count)).sqrt_().add_(group["eps"])
    change = _turn_back(state, mean / scale).mul_(group["lr"] / (1 - beta1**count))
    if "left" in state:
        state["left"].lerp_(gradient @ gradient.T, 1 - beta2)
    if "right" in state:
        state["right"].lerp_(gradient.T @ gradient, 1 - beta2)
    if count % group["every"] == 0:
        kept = _turn_back(state, mean)
        for side in ("left", "right"):
            if side in state:
                _update_basis(state, side, square)
        mean.copy_(_turn(state, kept))
    return change


def _turn(state: dict[str, Any], matrix: Tensor) -> Tensor:
    """Into the eigenbasis."""
    matrix = matrix @ state["right_basis"] if "right" in state else matrix
    return state["left_basis"].T @ matrix if "left" in state else matrix


def _turn_back(state: dict[str, Any], matrix: Tensor) -> Tensor:
    """Out of the eigenbasis."""
    matrix = matrix @ state["right_basis"].T if "right" in state else matrix
    return state["left_basis"] @ matrix if "left" in state else matrix


def _update_basis(state: dict[str, Any], side: str, square: Tensor) -> None:
    """One step of orthogonal iteration; the squares of ``square`` follow their eigenvectors when the order changes."""
    basis = state[f"{side}_basis"]
    product = state[side] @ basis
    order = (basis * product).sum(0).argsort(descending=True)
    square.copy_(square[order] if side == "left" else square[:, order])
    basis.copy_(torch.linalg.qr(product[:, order]).Q)
