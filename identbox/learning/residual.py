"""Residual networks for images of about 28 pixels, as MMVAE+ has them on PolyMNIST."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from identbox import seeding
from identbox.learning.decoders import halved
from identbox.learning.encoders import draw_weights

RESIDUAL_WIDTHS = (64, 128, 256)


class ResidualBlock(nn.Module):
    """x + 0.1 f(x), with two 3 x 3 convolutions after LeakyReLU of slope 0.2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.first = nn.Conv2d(inputs, middle, 3, 1, 1)
        self.second = nn.Conv2d(middle, outputs, 3, 1, 1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        change = self.second(functional.leaky_relu(self.first(functional.leaky_relu(x, 0.2)), 0.2))
        return torch.add(self.shortcut(x), change, alpha=0.1)


class ResidualDecoder(nn.Module):
    """Maps (N, d) to images by residual blocks and nearest-neighbour upsampling, as MMVAE+ on PolyMNIST does."""

    def __init__(
        self,
        latents: int,
        channels: int = 3,
        *,
        size: int = 28,
        widths: Sequence[int] = RESIDUAL_WIDTHS,
        seed: int,
        name: str,
    ) -> None:
        super().__init__()
        self.sizes = halved(size, len(widths) - 1)
        self.start = (widths[-1], self.sizes[0], self.sizes[0])
        self.linear = nn.Linear(latents, math.prod(self.start))
        wide = list(reversed(widths))
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after) for before, after in pairwise([*wide, wide[-1]])
        )
        self.last = nn.Conv2d(widths[0], channels, 3, 1, 1)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        x = self.linear(z).view(len(z), *self.start)
        for block, side in zip(self.blocks, [*self.sizes[1:], None], strict=True):
            x = block(x)
            if side is not None:
                x = functional.interpolate(x, size=(side, side))
        return self.last(functional.leaky_relu(x, 0.2))


class ResidualEncoder(nn.Module):
    """Maps images (n, channels, size, size) to (n, sum of outputs) by residual blocks and average pooling.

    Each number of ``outputs`` has a network of its own: one for the shared, one for the specific latent variables.
    """

    def __init__(
        self,
        outputs: Sequence[int],
        *,
        channels: int = 3,
        size: int = 28,
        widths: Sequence[int] = RESIDUAL_WIDTHS,
        seed: int,
        name: str,
    ) -> None:
        super().__init__()
        side = halved(size, len(widths) - 1)[0]
        self.branches = nn.ModuleList()
        for wanted in outputs:
            blocks: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, 1, 1)]
            for before, after in pairwise([widths[0], *widths]):
                pool = [] if len(blocks) == 1 else [nn.AvgPool2d(3, 2, 1)]
                blocks += [*pool, ResidualBlock(before, after)]
            head = nn.Linear(widths[-1] * side**2, wanted)
            self.branches.append(nn.Sequential(*blocks, nn.LeakyReLU(0.2), nn.Flatten(), head))
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o"]:
        return torch.cat([branch(x) for branch in self.branches], 1)
