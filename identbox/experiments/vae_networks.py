"""The networks of multimodal VAEs for the data at hand: vectors of a world, and images with their sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from identbox.data.folder import PAD
from identbox.data.pixels import Split
from identbox.learning.autoregressive import CausalDecoder, MaskedConvDecoder
from identbox.learning.decoders import ConvDecoder, SentenceDecoder, VectorDecoder
from identbox.learning.densities import Family
from identbox.learning.encoders import MLP, ConvEncoder, MLPSettings, image_encoder, text_encoder
from identbox.learning.likelihoods import LikelihoodSettings
from identbox.learning.residual import ResidualDecoder, ResidualEncoder
from identbox.learning.vae import Latents, Modality
from identbox.process.world import World
from identbox.settings import Count, Fraction, Positive, settings

ImageNetworks = Literal["conv", "residual", "small", "resnet18"]
CONV_WIDTHS = (32, 64, 128, 256)  # for images of 64 pixels: four halvings to 4 x 4


@settings
class VaeEncoderSettings:
    """The latent variables, and the encoders that say what they are."""

    encoding_size: Count | None = None  # shared dimensions; without it, those of content
    specific: int = 0  # further dimensions for each modality
    family: Family = "gaussian"  # of priors and posteriors
    prior_expert: bool = True  # whether the prior is a factor of each product of experts
    widths: tuple[Count, ...] = (20, 40, 40, 20)  # of the layers for vectors, in input dimensions
    image: ImageNetworks = "conv"  # the network for images
    slope: Fraction = 0.01  # of LeakyReLU in the layers for vectors

    def latents(self, content_size: int) -> Latents:
        """The latent variables of a model of data with content of that size."""
        return Latents(
            shared=self.encoding_size or content_size,
            specific=self.specific,
            family=self.family,
            prior_expert=self.prior_expert,
        )


@settings
class VaeDecoderSettings:
    """The decoders and their likelihoods."""

    widths: tuple[Count, ...] = (60, 120, 60)  # of the layers for vectors, in latent dimensions
    image: Literal["conv", "residual", "autoregressive"] = "conv"
    text: Literal["independent", "autoregressive"] = "independent"  # words given the latent variables
    vector_scale: Positive = 0.1  # standard deviation of the Gaussian likelihood of vectors
    image_likelihood: Literal["laplace", "gaussian", "bernoulli"] = "laplace"  # of pixels in [0, 1]
    image_scale: Positive = 0.1  # of laplace and gaussian


def world_modalities(
    world: World,
    latents: Latents,
    encoder: VaeEncoderSettings,
    decoder: VaeDecoderSettings,
    *,
    seed: int,
) -> dict[str, Modality]:
    """A multilayer perceptron each way for the vectors of every view."""
    likelihood = LikelihoodSettings(kind="gaussian", scale=decoder.vector_scale).make()
    inwards = MLPSettings(widths=encoder.widths, slope=encoder.slope)
    outwards = MLPSettings(widths=decoder.widths, slope=encoder.slope)
    parts = {}
    for view in world.views:
        size = world.mixings[view].dim
        parts[view] = Modality(
            encoder=MLP(size, latents.parameters, inwards, seed=seed, name=f"encoder/{view}"),
            decoder=VectorDecoder(
                latents.shared + latents.specific, (size,), outwards, seed=seed, name=f"decoder/{view}"
            ),
            likelihood=likelihood,
        )
    return parts


def pair_modalities(
    split: Split,
    latents: Latents,
    encoder: VaeEncoderSettings,
    decoder: VaeDecoderSettings,
    *,
    seed: int,
) -> Mapping[str, Modality]:
    """Convolutions for the images of a split, and for its sentences."""
    size, words, length = split.pixels.shape[1], len(split.vocabulary), split.tokens.shape[1]
    wide = latents.shared + latents.specific
    padding = split.vocabulary[PAD]
    text: nn.Module
    if decoder.text == "independent":
        text = SentenceDecoder(wide, words, length, seed=seed, name="decoder/text")
    else:
        text = CausalDecoder(wide, words, length, seed=seed, name="decoder/text")
    pixels = LikelihoodSettings(kind=decoder.image_likelihood, scale=decoder.image_scale)
    tokens = LikelihoodSettings(kind="tokens", classes=words, padding=padding)
    return {
        "image": Modality(
            encoder=_image_encoder(encoder.image, latents, size, seed),
            decoder=_image_decoder(decoder.image, wide, size, seed),
            likelihood=pixels.make(),
        ),
        "text": Modality(
            encoder=text_encoder(words, latents.parameters, padding=padding, seed=seed, name="encoder/text"),
            decoder=text,
            likelihood=tokens.make(),
        ),
    }


def _image_encoder(kind: ImageNetworks, latents: Latents, size: int, seed: int) -> nn.Module:
    name = "encoder/image"
    if kind == "conv":
        return ConvEncoder(latents.parameters, size=size, widths=CONV_WIDTHS, seed=seed, name=name)
    if kind == "residual":
        outputs = [2 * latents.shared, 2 * latents.specific]
        return ResidualEncoder([k for k in outputs if k], size=size, seed=seed, name=name)
    return image_encoder(kind, latents.parameters, seed=seed, name=name)


def _image_decoder(kind: str, latents: int, size: int, seed: int) -> nn.Module:
    name = "decoder/image"
    if kind == "conv":
        return ConvDecoder(latents, size=size, widths=CONV_WIDTHS, seed=seed, name=name)
    if kind == "residual":
        return ResidualDecoder(latents, size=size, seed=seed, name=name)
    return MaskedConvDecoder(latents, (3, size, size), seed=seed, name=name)
