"""The text encoder of Table A.2b: a ConvNet of four layers along the tokens of a sentence."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.image_encoders import draw_weights

DILATIONS = (
    1,
    2,
    4,
    8,
)  # with three taps each, the last layer sees 31 tokens: the longest published sentence
HIDDEN = 100  # units between the pooled features and the encoding, as in the image encoders


class TextConvNet(nn.Module):
    """Maps token indices (n, length) to (n, outputs); see `text_encoder`."""

    def __init__(
        self, vocabulary: int, outputs: int, *, width: int, padding: int, seed: int, name: str
    ) -> None:
        super().__init__()
        self.padding = padding
        self.embedding = nn.Embedding(vocabulary, width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
            for dilation in DILATIONS
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in DILATIONS)
        self.head = nn.Sequential(
            nn.Linear(2 * width, HIDDEN), nn.LeakyReLU(inplace=True), nn.Linear(HIDDEN, outputs)
        )
        generator = seeding.generator(seed, name)
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)
        draw_weights(self, generator)

    def forward(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n o"]:
        n, length = tokens.shape
        said = tokens != self.padding
        # Where the tokens are among all n x length places; norms see these alone, and all others stay zero,
        # which is also what a convolution reads beyond the end of a sentence.
        places = said.flatten().nonzero()[:, 0]
        x = self.embedding(tokens) * said[..., None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = convolution(x.transpose(1, 2)).transpose(1, 2).reshape(n * length, -1)
            y = torch.relu(norm(y[places]))
            x = y.new_zeros(n * length, y.shape[1]).index_copy(0, places, y).view(n, length, -1)
        mean = x.sum(1) / said.sum(1, keepdim=True).clamp(min=1)
        return self.head(torch.cat([x.amax(1), mean], 1))  # values are at least 0: padding moves no maximum


def text_encoder(
    vocabulary: int, outputs: int, *, width: int = 64, padding: int, seed: int, name: str
) -> nn.Module:
    """An encoder of token indices (n, length), of any length from 1 on, to (n, outputs).

    Embeddings of ``width`` pass four convolutions of as many channels with batch norm and ReLU; their maximum and
    mean over the sentence go through a hidden layer. ``padding`` is the index of the padding token, ``vocabulary``
    the number of tokens. Padding has no influence: neither on an encoding nor on the statistics of a batch norm.
    Weights come from the stream of ``seed`` and ``name``. Raises IdentboxError for numbers below 1, and a padding
    token outside the vocabulary.
    """
    for what, number in (("vocabulary", vocabulary), ("outputs", outputs), ("width", width)):
        if number < 1:
            raise IdentboxError(f"text encoder: {what}: expected at least 1, got {number}")
    if not 0 <= padding < vocabulary:
        raise IdentboxError(f"text encoder: padding: expected 0 to {vocabulary - 1}, got {padding}")
    return TextConvNet(vocabulary, outputs, width=width, padding=padding, seed=seed, name=name)
