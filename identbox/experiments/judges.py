"""Judges of a dataset: networks that read its factors from images, and parsers that read them from texts.

They are trained once for each dataset, on its training split, and kept in the cache. Their scores on the test split are
the ceilings of coherence.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from identbox import files
from identbox.data.multiview import ModalitySpec, MultiviewSplit
from identbox.errors import IdentboxError
from identbox.experiments.multiview import MultiviewData, Parser
from identbox.learning.checkpoints import load_saved
from identbox.learning.inception import Inception, inception_features
from identbox.learning.judges import AT_A_TIME, Judge, JudgeSettings, train_judge
from identbox.metrics.coherence import CoherenceMetric, Judged, JudgeData, JudgedFactor, judged_score
from identbox.metrics.frechet import CLASSIFIER_FEATURES, INCEPTION_FEATURES, Moments, MomentSums

MOST_CLASSES = 1000
LARGEST_JUDGE = 1024 * files.MIB
SCORED_AS = 1  # how judges are scored on real samples; another number makes what is kept of it useless
MANY_ATTRIBUTES = (
    10  # factors of two classes, from which on each is an attribute: judged by its average precision
)


@dataclass(frozen=True)
class Judges:
    """What reads each modality, the factors that are read, and the moments of real features."""

    read: Mapping[str, JudgeData]
    factors: tuple[JudgedFactor, ...]  # with the truth of the test split
    own: tuple[JudgedFactor, ...]  # those that only one modality shows: they say what a reconstruction keeps
    real: Mapping[str, Moments]  # of the test split's features, by modality
    features: str = CLASSIFIER_FEATURES


def judges_of(
    data: MultiviewData,
    settings: JudgeSettings,
    *,
    samples: int,
    inception: Inception | None = None,
    device: torch.device | str = "cpu",
    on_message: Callable[[str], None] = lambda message: None,
) -> Judges:
    """Judges for all modalities, trained where the cache has none; ``samples`` of the test split are the truth.

    With ``inception`` the features of images are its own, and those of the judges not used.
    """
    if inception is not None:
        inception = inception.to(device)
    read: dict[str, JudgeData] = {}
    real: dict[str, Moments] = {}
    ceilings: dict[str, dict[str, float]] = {}
    metrics = metrics_of(data.train)
    for name, spec in data.train.modalities.items():
        networks: list[nn.Module] = []
        if spec.kind == "text":
            if name in data.parsers:
                read[name] = text_judge(spec, data.parsers[name], _parsed_factors(data, name))
        else:
            shown = [factor for factor in metrics if data.train.declared[factor].shown_by(name)]
            if shown:
                judges = _image_judges(data, name, shown, settings, device, on_message)
                read[name] = image_judge(judges, inception)
                networks = [*judges, *([] if inception is None else [inception])]
        if name not in read:
            continue
        ceilings[name], found = _kept_on_real(read[name], networks, data, name, metrics, device)
        if found is not None:
            real[name] = found
    judged = _judged_factors(data.test.rows(slice(0, samples)), metrics, ceilings)
    declared = data.train.declared
    return Judges(
        read=read,
        factors=tuple(one for one in judged if declared[one.name].role != "specific"),
        own=tuple(one for one in judged if declared[one.name].role == "specific"),
        real=real,
        features=CLASSIFIER_FEATURES if inception is None else INCEPTION_FEATURES,
    )


def _judged_factors(
    test: MultiviewSplit,
    metrics: Mapping[str, CoherenceMetric],
    ceilings: Mapping[str, Mapping[str, float]],
) -> list[JudgedFactor]:
    """The factors that some judge reads, with their truth and the ceilings of their judges."""
    return [
        JudgedFactor(
            name=factor,
            metric=metric,
            truth=values_of(test, factor),
            ceilings={name: own[factor] for name, own in ceilings.items() if factor in own},
        )
        for factor, metric in metrics.items()
        if any(factor in own for own in ceilings.values())
    ]


def metrics_of(split: MultiviewSplit) -> dict[str, CoherenceMetric]:
    """How each factor that varies is judged."""
    found: dict[str, CoherenceMetric] = {}
    pairs = [name for name, one in split.declared.items() if _class_count(split, name) == 2]
    for name, one in split.declared.items():
        column = split.factors[name]
        if one.kind != "discrete":
            if np.ptp(column) > 0:
                found[name] = "r2"
        elif 2 <= _class_count(split, name) <= MOST_CLASSES and len(np.unique(column)) > 1:
            found[name] = (
                "average_precision" if name in pairs and len(pairs) >= MANY_ATTRIBUTES else "accuracy"
            )
    return found


def _class_count(split: MultiviewSplit, name: str) -> int:
    one = split.declared[name]
    if one.kind != "discrete":
        return 0
    return len(one.names) or int(split.factors[name].max()) + 1


def values_of(split: MultiviewSplit, factor: str) -> Shaped[Tensor, "n ..."]:
    """True values as judges read them: classes (n,), numbers (n, 1), or points on the circle (n, 2)."""
    column = torch.from_numpy(np.ascontiguousarray(split.factors[factor]))
    one = split.declared[factor]
    if one.kind == "discrete":
        return column.long()
    if one.kind == "circular":
        angle = column * (2 * math.pi / one.period)
        return torch.stack([angle.cos(), angle.sin()], 1).float()
    return column[:, None].float()


def text_judge(spec: ModalitySpec, parser: Parser, classes: Mapping[str, int]) -> JudgeData:
    """Reads the factors that a text names by its parser; ``classes`` has the number of classes of each.

    A text that cannot be parsed, or names no class that there is, says nothing of a factor.
    """

    def judge(tokens: Int[Tensor, "n length"]) -> Judged:
        read = {name: torch.zeros(len(tokens), max(2, size)) for name, size in classes.items()}
        for place, row in enumerate(tokens.tolist()):
            try:
                found = parser(spec.sentence(row))
            except IdentboxError:
                continue
            for name, scores in read.items():
                if found.get(name, scores.shape[1]) < scores.shape[1]:
                    scores[place, found[name]] = 1.0
        return Judged(read)

    return judge


def _parsed_factors(data: MultiviewData, name: str) -> dict[str, int]:
    """The factors that the first text of a modality names, with their numbers of classes; none if it is not parsed."""
    spec, test = data.train.modalities[name], data.test.declared
    try:
        named = data.parsers[name](spec.sentence(data.train.arrays[name][0].tolist()))
    except IdentboxError:
        return {}
    discrete = [factor for factor in named if factor in test and test[factor].kind == "discrete"]
    return {f: max(_class_count(data.train, f), _class_count(data.test, f)) for f in discrete}


def image_judge(networks: Sequence[Judge], inception: Inception | None = None) -> JudgeData:
    """Reads images of 8 bits, as real ones are; the features are those of the first network, or of ``inception``."""

    @torch.no_grad()
    def judge(images: Float[Tensor, "n c h w"]) -> Judged:
        rounded = eight_bits(images)
        read: dict[str, Tensor] = {}
        features = []
        for network in networks:
            features.append(torch.cat([network.features(part) for part in rounded.split(AT_A_TIME)]))
            read |= network.read(features[-1])
        return Judged(read, features[0] if inception is None else inception_features(inception, rounded))

    return judge


def eight_bits(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Images as they come back from a file of bytes."""
    return images.clamp(0, 1).mul(255).round().div(255)


def _kept_on_real(
    judge: JudgeData,
    networks: Sequence[nn.Module],
    data: MultiviewData,
    name: str,
    metrics: Mapping[str, CoherenceMetric],
    device: torch.device | str,
) -> tuple[dict[str, float], Moments | None]:
    """A judge's score for each factor on the whole test split, and the moments of its features there.

    They are kept in the cache, by the data and the weights of the judge's networks; not those of a judge without any.
    """
    path = _cache_place([SCORED_AS, data.sha256, name, *map(_hash_of, networks)], "real.pt")
    kept = files.read_proved(path, LARGEST_JUDGE, "real samples") if networks else None
    if kept is not None:
        known = load_saved(io.BytesIO(kept))
        return known["scores"], known["moments"] and Moments(**known["moments"])
    said, sums = _on_real(judge, data.test, name, device)
    scores = {
        factor: judged_score(values, values_of(data.test, factor), metrics[factor])[0]
        for factor, values in said.items()
        if factor in metrics
    }
    found = sums.moments() if sums.samples > 1 else None
    if networks:
        _keep(path, {"scores": scores, "moments": found and vars(found)}, "real samples")
    return scores, found


def _hash_of(network: nn.Module) -> str:
    """A hash of all weights and buffers."""
    digest = hashlib.sha256()
    for key, values in network.state_dict().items():
        digest.update(key.encode() + values.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _keep(path: Path, content: Any, kind: str) -> None:
    """Write into the cache; one that cannot be written is done without."""
    saved = io.BytesIO()
    torch.save(content, saved)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_proved(path, saved.getvalue(), kind)


def _on_real(
    judge: JudgeData, split: MultiviewSplit, name: str, device: torch.device | str
) -> tuple[dict[str, Tensor], MomentSums]:
    """What a judge says of all real samples, and the sums of their features."""
    said: dict[str, list[Tensor]] = {}
    sums = MomentSums()
    for rows in torch.arange(len(split)).split(AT_A_TIME):
        judged = judge(split.batch(rows, device=device, only=[name])[name])
        for factor, values in judged.read.items():
            said.setdefault(factor, []).append(values.cpu())
        if judged.features is not None:
            sums.add(judged.features.cpu())
    return {factor: torch.cat(parts) for factor, parts in said.items()}, sums


def _image_judges(
    data: MultiviewData,
    name: str,
    shown: Sequence[str],
    settings: JudgeSettings,
    device: torch.device | str,
    on_message: Callable[[str], None],
) -> list[Judge]:
    """A judge of the classes that a modality shows, and one of its numbers: where there are such factors."""
    truth = {factor: values_of(data.train, factor) for factor in shown}
    numbers = {factor: values for factor, values in truth.items() if values.is_floating_point()}
    classes = {factor: values for factor, values in truth.items() if factor not in numbers}
    groups = [("classes", classes), ("numbers", numbers)]
    return [
        _one_judge(data, name, what, group, settings, device, on_message) for what, group in groups if group
    ]


def _one_judge(
    data: MultiviewData,
    name: str,
    what: str,
    truth: Mapping[str, Tensor],
    settings: JudgeSettings,
    device: torch.device | str,
    on_message: Callable[[str], None],
) -> Judge:
    """A judge from the cache, or trained now on that device."""
    outputs = {
        factor: values.shape[1] if what == "numbers" else _class_count(data.train, factor)
        for factor, values in truth.items()
    }
    channels, side, _ = data.train.modalities[name].sample_shape
    stream = f"judge/{name}/{what}"
    network = Judge(channels, side, outputs, dropout=settings.dropout, seed=settings.seed, name=stream)
    network = network.to(device)
    path = _cache_place([data.sha256, stream, outputs, asdict(settings)], "pt")
    kept = files.read_proved(path, LARGEST_JUDGE, "judge")
    if kept is not None:
        network.load_state_dict(load_saved(io.BytesIO(kept)))
        return network.eval()
    on_message(f"{data.folder}: a judge of the {what} in {name} is trained, once for this dataset")

    def images(rows: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return data.train.batch(rows, device=device, only=[name])[name]

    train_judge(network, images, _standard(truth), settings, name=stream)
    _unstandardise(network, truth)
    _keep(path, network.state_dict(), "judge")
    return network


def _standard(truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbers with mean 0 and deviation 1, so that all of them weigh the same; classes as they are."""
    return {
        factor: (values - values.mean(0)) / values.std(0) if values.is_floating_point() else values
        for factor, values in truth.items()
    }


@torch.no_grad()
def _unstandardise(network: Judge, truth: Mapping[str, Tensor]) -> None:
    """Let the heads of numbers give numbers in their own units: they were trained on standardised ones."""
    for factor, values in truth.items():
        if values.is_floating_point():
            head: Any = network.heads[factor]
            mean, scale = (one.to(head.weight.device) for one in (values.mean(0), values.std(0)))
            head.weight.mul_(scale[:, None])
            head.bias.mul_(scale).add_(mean)


def _cache_place(told: Sequence[Any], suffix: str) -> Path:
    """The file in the cache of what these values say all of."""
    text = json.dumps(told, sort_keys=True)
    return files.cache_folder() / "judges" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.{suffix}"
