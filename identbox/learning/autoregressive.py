"""Autoregressive decoders: p(x | z) = prod_k p(x_k | x_1 .. x_{k-1}, z) over the components of a modality.

They are called with the data beside z, and have ``autoregressive = True``. Such a decoder can have any dependence among
the components of its modality without a word of it in z, which decides what Theorem 1 says of a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from identbox import seeding
from identbox.learning.encoders import draw_weights


class CausalDecoder(nn.Module):
    """Logits (N, classes, length) of each component from z and the components before it.

    Convolutions of two taps with dilations 1, 2, 4, ... reach back to the first component. For sentences, and for any
    modality that is a row of classes.
    """

    autoregressive: ClassVar[bool] = True

    def __init__(
        self, latents: int, classes: int, length: int, *, width: int = 64, seed: int, name: str
    ) -> None:
        super().__init__()
        self.classes, self.length = classes, length
        self.embedding = nn.Embedding(classes + 1, width)  # the last one stands before the first component
        self.places = nn.Parameter(torch.empty(width, length))
        self.condition = nn.Linear(latents, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 2, dilation=2**k) for k in range(max(1, (length - 1).bit_length()))
        )
        self.words = nn.Sequential(
            nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, classes, 1)
        )
        generator = seeding.generator(seed, name)
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)
            self.places.normal_(0, 0.1, generator=generator)
        draw_weights(self, generator)

    def forward(self, z: Float[Tensor, "n d"], x: Int[Tensor, "n l"]) -> Float[Tensor, "n c l"]:
        start = x.new_full((len(x), 1), self.classes)
        known = torch.cat([start, x[:, :-1]], 1).long()
        y = self.embedding(known).transpose(1, 2) + self.places + self.condition(z)[..., None]
        for k, layer in enumerate(self.layers):
            y = y + layer(functional.pad(functional.relu(y), (2**k, 0)))
        return self.words(y)

    def order(self) -> Iterator[tuple[int, ...]]:
        """The places of the components, first to last."""
        return ((k,) for k in range(self.length))


class MaskedConv(nn.Conv2d):
    """A convolution that sees components before its own alone: rows above, columns left, channels before.

    Feature f belongs to image channel f * channels // features. ``own`` says whether a feature sees those of its own
    channel at its own place: every layer but the first does.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, channels: int, own: bool) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        mask = torch.zeros(outputs, inputs, kernel, kernel)
        middle = kernel // 2
        mask[:, :, :middle] = 1
        mask[:, :, middle, :middle] = 1
        to, source = (torch.arange(f) * channels // f for f in (outputs, inputs))
        seen = to[:, None] >= source if own else to[:, None] > source
        mask[:, :, middle, middle] = seen.float()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        return functional.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class MaskedConvDecoder(nn.Module):
    """Parameters of every component of an image from z and the components before it (van den Oord et al., 2016).

    Components are ordered by rows, columns and channels. ``outputs`` is the number of parameters of a component: the
    classes of a categorical likelihood, whose data are divided by their largest class; or 1, of data as they are.
    """

    autoregressive: ClassVar[bool] = True

    def __init__(
        self,
        latents: int,
        shape: tuple[int, int, int],
        *,
        outputs: int = 1,
        width: int = 24,
        layers: int = 4,
        seed: int,
        name: str,
    ) -> None:
        super().__init__()
        channels, height, side = shape
        width = -(-width // channels) * channels  # as many features for each channel
        self.shape, self.outputs = shape, outputs
        self.condition = nn.Linear(latents, width * height * side)
        self.first = MaskedConv(channels, width, 5, channels=channels, own=False)
        self.layers = nn.ModuleList(
            MaskedConv(width, width, 3, channels=channels, own=True) for _ in range(layers)
        )
        self.last = MaskedConv(width, channels * outputs, 1, channels=channels, own=True)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, z: Float[Tensor, "n d"], x: Shaped[Tensor, "n c h w"]) -> Float[Tensor, "n ..."]:
        scale = max(1, self.outputs - 1)
        channels, height, side = self.shape
        condition = self.condition(z).view(len(z), -1, height, side)
        y = self.first(x.to(condition) / scale) + condition
        for layer in self.layers:
            y = y + layer(functional.relu(y))
        y = self.last(functional.relu(y)).view(len(z), channels, self.outputs, height, side).transpose(1, 2)
        return y.squeeze(1) if self.outputs == 1 else y

    def order(self) -> Iterator[tuple[int, ...]]:
        """The places of the components, first to last."""
        channels, height, side = self.shape
        return ((c, i, j) for i, j, c in product(range(height), range(side), range(channels)))
