"""What a trained multimodal VAE generates, as a sheet: from other modalities, from the prior, or from itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from identbox import seeding
from identbox.data.multiview import ModalitySpec
from identbox.data.sheets import SheetRow
from identbox.errors import IdentboxError
from identbox.experiments.judges import eight_bits
from identbox.experiments.multiview import MultiviewData
from identbox.experiments.vae_learners import DatasetVae
from identbox.learning.generation import Inference, decoded, own_from_prior, shared_from_prior
from identbox.settings import Count, NonNegative, at_least, settings


@settings
class GenerationRequest:
    """What is to be generated.

    ``given`` are the modalities it is generated from: none for samples from the prior. A modality that is in both
    ``given`` and ``made`` is reconstructed, with its own dimensions from its data.
    """

    given: tuple[str, ...] = ()
    made: tuple[str, ...] = ()  # without them, all others, or all where there are no others
    n: Count = 8  # columns: samples of the test split, or of the prior
    times: Count = 4  # rows of each modality: draws from the posterior
    # of the specific dimensions' prior: 1 is the prior itself, less is closer to its mean (Figure 6.7)
    scale: NonNegative = 1.0
    first: Annotated[int, at_least(0)] = 0  # sample of the test split
    seed: Annotated[int, at_least(0)] = 0


@torch.no_grad()
def generated_sheet(learner: DatasetVae, data: MultiviewData, request: GenerationRequest) -> list[SheetRow]:
    """The inputs in the first rows, and below a line what is generated from them.

    Raises IdentboxError for modalities that the model has not, and more samples than the test split has.
    """
    made = _expect_request(data, request)
    rows = [
        SheetRow(name=name, spec=data.test.modalities[name], values=_input_rows(data, name, request))
        for name in request.given
    ]
    learner.eval()
    for name in made:
        spec = data.test.modalities[name]
        for time in range(request.times):
            stream = seeding.generator(request.seed, "generate", name, time, device=learner.device)
            values = _generate(learner, data, request, name, stream)
            first = time == 0
            rows.append(
                SheetRow(
                    name=name if first else "",
                    spec=spec,
                    values=_as_stored(values, spec),
                    ruled=first and bool(rows),
                )
            )
    return rows


def _expect_request(data: MultiviewData, request: GenerationRequest) -> tuple[str, ...]:
    """The modalities that are to be made."""
    unknown = [name for name in (*request.given, *request.made) if name not in data.names]
    if unknown:
        raise IdentboxError(f"modalities: expected some of {', '.join(data.names)}; got {', '.join(unknown)}")
    if request.given and request.first + request.n > len(data.test):
        raise IdentboxError(
            f"n: expected at most the {len(data.test) - request.first} samples of the test split from "
            f"{request.first} on, got {request.n}"
        )
    others = tuple(name for name in data.names if name not in request.given)
    return request.made or others or data.names


def _input_rows(data: MultiviewData, name: str, request: GenerationRequest) -> Shaped[np.ndarray, "n ..."]:
    return np.asarray(data.test.arrays[name][request.first : request.first + request.n])


def _generate(
    learner: DatasetVae, data: MultiviewData, request: GenerationRequest, name: str, stream: torch.Generator
) -> Shaped[Tensor, "n ..."]:
    vae, shape = learner.vae, data.test.modalities[name].sample_shape
    if not request.given:
        shared = shared_from_prior(vae, request.n, generator=stream)
        own = own_from_prior(vae, request.n, request.scale, generator=stream)
        return decoded(vae, name, torch.cat([shared, own], 1), shape=shape, generator=stream)
    rows = torch.arange(request.first, request.first + request.n)
    inference = Inference.of(vae, data.test.batch(rows, device=learner.device, only=request.given))
    shared = inference.shared(request.given, generator=stream)
    return inference.made(
        name,
        shared,
        shape=shape,
        reconstruct=name in request.given,
        scale=request.scale,
        generator=stream,
    )


def _as_stored(values: Shaped[Tensor, "n ..."], spec: ModalitySpec) -> Shaped[np.ndarray, "n ..."]:
    """What a model makes in the form of a dataset's file: bytes, channels last."""
    if spec.kind == "text":
        return values.cpu().numpy()
    return (eight_bits(values) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def labels_of(data: MultiviewData, request: GenerationRequest) -> Sequence[str]:
    """The class of each input above its column, where the data have one that all modalities share."""
    if not request.given:
        return ()
    shared = [
        name for name, one in data.test.declared.items() if one.modality is None and one.kind == "discrete"
    ]
    if len(shared) != 1:
        return ()
    names = data.test.declared[shared[0]].names
    column = data.test.factors[shared[0]][request.first : request.first + request.n]
    return [names[k] if names else str(k) for k in column.tolist()]
