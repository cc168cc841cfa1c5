"""A step of a training as a CUDA graph: recorded once, then started by one call.

A GPU needs less time for the operations of a small network than a processor needs to start them one by one. Recorded,
they are started together. A recorded step sees new numbers only where it was told to look: in the tensors that a step
draws, and in its generator. So a loss that can be recorded says both apart (`DrawnLoss`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EAGER_STEPS = 3  # steps before one is recorded: libraries make their plans, and the optimiser its moments


@dataclass(frozen=True)
class DrawnLoss:
    """A loss in two parts: the tensors that a step draws, and the loss of those.

    Called with the number of a step, it is a loss like any other. Every step draws tensors of the same shapes and
    types, and ``of`` depends on nothing else but weights, buffers and its generator, and never waits for the device.
    """

    draw: Callable[[int], Sequence[Tensor]]  # of a step, by its number; at least one
    of: Callable[[Sequence[Tensor], torch.Generator], Tensor]
    seed: Callable[[int], int]  # of a step's generator

    def __call__(self, step: int) -> Tensor:
        drawn = self.draw(step)
        return self.of(drawn, torch.Generator(drawn[0].device).manual_seed(self.seed(step)))


def descend(
    value: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], *, clip: float
) -> tuple[Tensor, Tensor]:
    """One step along the gradient of a loss, whose norm is clipped; the loss, and the norm before clipping."""
    value.backward()
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return value.detach(), norm


class RecordedStep:
    """A recorded step: loss, gradients, clipping and the optimiser's step."""

    def __init__(
        self,
        loss: DrawnLoss,
        optimizer: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
        *,
        clip: float,
        step: int,
    ) -> None:
        """Record with what ``step`` draws; no weight changes. The optimiser has made steps, and is ``capturable``.

        Raises RuntimeError where an operation cannot be recorded: one that waits for the device, say.
        """
        self._loss = loss
        self._drawn = [values.clone() for values in loss.draw(step)]
        self._generator = torch.Generator(parameters[0].device).manual_seed(loss.seed(step))
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self._generator)
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self._graph):
            value = loss.of(self._drawn, self._generator)
            self._value, self._norm = descend(value, optimizer, parameters, clip=clip)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Take the step of that number; returns the loss and the gradient's norm before clipping.

        Both are written over by the next call.
        """
        for place, values in zip(self._drawn, self._loss.draw(step), strict=True):
            place.copy_(values)
        self._generator.manual_seed(self._loss.seed(step))
        self._graph.replay()
        return self._value, self._norm
