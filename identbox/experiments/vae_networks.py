"""The networks of multimodal VAEs for the data at hand: vectors of a world, images and texts of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from identbox.data.multiview import ModalitySpec, MultiviewSplit
from identbox.errors import IdentboxError
from identbox.learning.autoregressive import CausalDecoder, MaskedConvDecoder
from identbox.learning.decoders import ConvDecoder, SentenceDecoder, VectorDecoder
from identbox.learning.densities import Family
from identbox.learning.encoders import (
    IMAGE_ENCODERS,
    MLP,
    ConvEncoder,
    MLPSettings,
    image_encoder,
    text_encoder,
)
from identbox.learning.likelihoods import LikelihoodSettings
from identbox.learning.residual import RESIDUAL_WIDTHS, ResidualDecoder, ResidualEncoder
from identbox.learning.vae import Latents, Modality
from identbox.process.world import World
from identbox.settings import Count, Fraction, Positive, settings

ImageNetworks = Literal["conv", "residual", "small", "resnet18"]
SMALL_WIDTHS = (32, 64, 128)  # of convolutions for images of 28 pixels: three halvings to 4 x 4
CONV_WIDTHS = (*SMALL_WIDTHS, 256)  # for images of 64 pixels: one more
SMALL_SIDE = 32  # pixels of an image for which SMALL_WIDTHS are enough


@settings
class VaeEncoderSettings:
    """The latent variables, and the encoders that say what they are."""

    encoding_size: Count | None = None  # shared dimensions; without it, those of content
    specific: int = 0  # further dimensions for each modality
    family: Family = "gaussian"  # of priors and posteriors
    prior_expert: bool = True  # whether the prior is a factor of each product of experts
    widths: tuple[Count, ...] = (20, 40, 40, 20)  # of the layers for vectors, in input dimensions
    image: ImageNetworks = "conv"  # the network for images
    channels: tuple[Count, ...] = ()  # of its convolutions, for conv and residual; without them, by its size
    hidden: Count = 512  # units of the layer between convolutions and latent variables, for conv
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
    channels: tuple[Count, ...] = ()  # as those of the encoder, largest images first
    hidden: Count = 512  # as that of the encoder
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


def multiview_modalities(
    split: MultiviewSplit,
    latents: Latents,
    encoder: VaeEncoderSettings,
    decoder: VaeDecoderSettings,
    *,
    seed: int,
) -> Mapping[str, Modality]:
    """Networks and a likelihood for every modality of a split: convolutions for images, and for texts.

    Raises IdentboxError for images that are not square, or that the encoder is not made for.
    """
    make = {"image": _image_modality, "text": _text_modality}
    return {
        name: make[spec.kind](name, spec, latents, encoder, decoder, seed)
        for name, spec in split.modalities.items()
    }


def _text_modality(
    name: str,
    spec: ModalitySpec,
    latents: Latents,
    encoder: VaeEncoderSettings,
    decoder: VaeDecoderSettings,
    seed: int,
) -> Modality:
    words, length, wide = len(spec.words), spec.shape[0], latents.shared + latents.specific
    # Where no word fills a text up, the encoder gets a number for it that does not occur.
    known, padding = (words, spec.padding) if spec.padding is not None else (words + 1, words)
    kind = SentenceDecoder if decoder.text == "independent" else CausalDecoder
    tokens = LikelihoodSettings(kind="tokens", classes=words, padding=spec.padding)
    return Modality(
        encoder=text_encoder(known, latents.parameters, padding=padding, seed=seed, name=f"encoder/{name}"),
        decoder=kind(wide, words, length, seed=seed, name=f"decoder/{name}"),
        likelihood=tokens.make(),
    )


def _image_modality(
    name: str,
    spec: ModalitySpec,
    latents: Latents,
    encoder: VaeEncoderSettings,
    decoder: VaeDecoderSettings,
    seed: int,
) -> Modality:
    height, width, channels = spec.shape
    if height != width:
        raise IdentboxError(f"{name}: expected square images, got {height} x {width}")
    if channels != 3 and encoder.image in IMAGE_ENCODERS:
        raise IdentboxError(f"{name}: expected 3 channels for the encoder {encoder.image}, got {channels}")
    pixels = LikelihoodSettings(kind=decoder.image_likelihood, scale=decoder.image_scale)
    return Modality(
        encoder=_image_encoder(encoder, latents, channels, height, seed, f"encoder/{name}"),
        decoder=_image_decoder(
            decoder, latents.shared + latents.specific, channels, height, seed, f"decoder/{name}"
        ),
        likelihood=pixels.make(),
    )


def conv_widths(size: int) -> tuple[int, ...]:
    """The channels of convolutions for images of that many pixels a side."""
    return SMALL_WIDTHS if size <= SMALL_SIDE else CONV_WIDTHS


def _image_encoder(
    settings: VaeEncoderSettings, latents: Latents, channels: int, size: int, seed: int, name: str
) -> nn.Module:
    if settings.image == "conv":
        widths = settings.channels or conv_widths(size)
        return ConvEncoder(
            latents.parameters,
            channels=channels,
            size=size,
            widths=widths,
            hidden=settings.hidden,
            seed=seed,
            name=name,
        )
    if settings.image == "residual":
        outputs = [k for k in (2 * latents.shared, 2 * latents.specific) if k]
        widths = settings.channels or RESIDUAL_WIDTHS
        return ResidualEncoder(outputs, channels=channels, size=size, widths=widths, seed=seed, name=name)
    return image_encoder(settings.image, latents.parameters, seed=seed, name=name)


def _image_decoder(
    settings: VaeDecoderSettings, latents: int, channels: int, size: int, seed: int, name: str
) -> nn.Module:
    if settings.image == "conv":
        widths = settings.channels or conv_widths(size)
        return ConvDecoder(
            latents, channels, size=size, widths=widths, hidden=settings.hidden, seed=seed, name=name
        )
    if settings.image == "residual":
        widths = settings.channels or RESIDUAL_WIDTHS
        return ResidualDecoder(latents, channels, size=size, widths=widths, seed=seed, name=name)
    return MaskedConvDecoder(latents, (channels, size, size), seed=seed, name=name)
