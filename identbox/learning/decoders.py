"""Decoders: networks that make the parameters of a likelihood from latent vectors (N, d).

Those here give each component of a modality its own parameters from z alone: components are independent given z. The
ones of `autoregressive` also see the components before, and are called with the data beside z.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.encoders import MLP, MLPSettings, draw_weights, laid_out
from identbox.learning.likelihoods import Likelihood

WIDTHS = (32, 64, 128)  # channels of the convolutions of PolyMNIST's networks


def is_autoregressive(decoder: nn.Module) -> bool:
    """Whether a decoder sees the components of the data that come before each one."""
    return bool(getattr(decoder, "autoregressive", False))


def halved(size: int, times: int) -> list[int]:
    """The sides of an image that strided convolutions halve, rounded up: the last one first."""
    sizes = [size]
    for _ in range(times):
        sizes.append(-(-sizes[-1] // 2))
    return sizes[::-1]


class VectorDecoder(nn.Module):
    """Maps (N, d) through a multilayer perceptron to outputs of any shape."""

    def __init__(
        self, latents: int, outputs: Sequence[int], settings: MLPSettings, *, seed: int, name: str
    ) -> None:
        super().__init__()
        self.shape = tuple(outputs)
        self.net = MLP(latents, math.prod(self.shape), settings, seed=seed, name=name)

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        return self.net(z).view(len(z), *self.shape)


class ConvDecoder(nn.Module):
    """Maps (N, d) to images (N, channels, size, size) by transposed convolutions, without a bound on values.

    The networks of MoPoE-VAE on PolyMNIST: 512 units with ReLU, (128, 4, 4), then 3 x 3 with stride 2 to 28 x 28.
    """

    def __init__(
        self,
        latents: int,
        channels: int = 3,
        *,
        size: int = 28,
        widths: Sequence[int] = WIDTHS,
        hidden: int = 512,
        seed: int,
        name: str,
    ) -> None:
        """Weights from the stream of ``seed`` and ``name``; see `encoders.draw_weights`."""
        super().__init__()
        sizes = halved(size, len(widths))
        self.start = (widths[-1], sizes[0], sizes[0])
        self.linear = nn.Sequential(
            nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, math.prod(self.start)), nn.ReLU()
        )
        layers: list[nn.Module] = []
        for (before, after), (small, large) in zip(
            pairwise([*reversed(widths), channels]), pairwise(sizes), strict=True
        ):
            padding = large - (2 * small - 1)  # of the output: 1 where the side is even
            layers += [nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=padding), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers[:-1])
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        return self.convolutions(laid_out(self.linear(z).view(len(z), *self.start)))


class SentenceDecoder(nn.Module):
    """Maps (N, d) to logits (N, words, length): every place of a sentence from z alone."""

    def __init__(
        self,
        latents: int,
        vocabulary: int,
        length: int,
        *,
        width: int = 64,
        hidden: int = 256,
        seed: int,
        name: str,
    ) -> None:
        super().__init__()
        self.length, self.width = length, width
        self.places = nn.Sequential(
            nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, length * width), nn.ReLU()
        )
        self.words = nn.Conv1d(width, vocabulary, 1)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n v l"]:
        return self.words(self.places(z).view(len(z), self.width, self.length))


@torch.no_grad()
def generate(
    decoder: nn.Module,
    likelihood: Likelihood,
    z: Float[Tensor, "n d"],
    *,
    shape: tuple[int, ...],
    generator: torch.Generator,
) -> Shaped[Tensor, "n ..."]:
    """Data of one modality drawn from p(x | z); component by component where the decoder is autoregressive.

    ``shape`` is that of one sample. Raises IdentboxError where the output of the decoder is of another shape than the
    likelihood needs.
    """
    if not is_autoregressive(decoder):
        parameters = decoder(z)
        expect_outputs(parameters, likelihood, shape)
        return likelihood.sample(parameters, generator)
    classes = len(likelihood.outputs(shape)) > len(shape)
    x = torch.zeros(len(z), *shape, device=z.device, dtype=torch.int64 if classes else z.dtype)
    for place in decoder.order():  # type: ignore[operator]
        at = (slice(None), *place)
        x[at] = likelihood.sample(decoder(z, x), generator)[at]
    return x


def expect_outputs(
    parameters: Tensor, likelihood: Likelihood, shape: Sequence[int], where: str = "decoder"
) -> None:
    """Raise IdentboxError where the output of a decoder is of another shape than the likelihood needs."""
    wanted = likelihood.outputs(tuple(shape))
    if tuple(parameters.shape[1:]) != wanted:
        raise IdentboxError(
            f"{where}: expected outputs of shape {wanted} for {likelihood}, got {tuple(parameters.shape[1:])}"
        )
