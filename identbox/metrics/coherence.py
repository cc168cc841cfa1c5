"""Generative coherence (section 2.5.2): do generated modalities show the causes that they were generated from?

For every subset A of the modalities and every modality i that is not in it, x_i is generated given x_A and judged: of a
class the share of samples in which the judge finds the true one (Eq. 2.7), of an attribute the average precision of its
score, of a number or an angle the R2 of what the judge reads. Averages are over all generated samples together. A judge
itself errs: its score on real test data, the ceiling, stands beside each result.

Each encoder is called once for each sample, whatever the number of subsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.generation import Inference, decoded, own_from_prior, shared_from_prior
from identbox.learning.vae import Data, MultimodalVAE
from identbox.metrics.frechet import Moments, MomentSums, frechet_distance

CoherenceMetric = Literal["accuracy", "average_precision", "r2"]
GENERATED_AT_ONCE = 256  # samples at a time


@dataclass(frozen=True)
class Judged:
    """What a judge says of some data of one modality."""

    read: Mapping[str, Shaped[Tensor, "n ..."]]  # by factor: scores of classes (n, k), or numbers (n, o)
    features: Float[Tensor, "n d"] | None = None  # for the Frechet distance


JudgeData = Callable[[Shaped[Tensor, "n ..."]], Judged]


@dataclass(frozen=True, kw_only=True)
class JudgedFactor:
    """A factor that judges read: its true values, and which modalities show it."""

    name: str
    metric: CoherenceMetric
    truth: Shaped[Tensor, "n ..."]  # classes (n,), or numbers (n, o): of an angle its cosine and sine
    ceilings: Mapping[str, float]  # by modality, the judge's score on real test data


@dataclass(frozen=True, kw_only=True)
class CoherenceScore:
    """How often one modality, generated given others, shows the true value of one factor."""

    factor: str
    given: tuple[str, ...]  # empty: generated from the prior, all modalities agree
    made: str
    metric: CoherenceMetric
    score: float
    error: float  # standard error over the samples, of accuracies; else 0
    ceiling: float
    samples: int

    def record(self) -> dict[str, Any]:
        """The score as results.json holds it."""
        return {**self.__dict__, "given": list(self.given)}


@dataclass(frozen=True, kw_only=True)
class FrechetScore:
    """How far generated images of one modality are from real ones."""

    given: tuple[str, ...]
    made: str
    features: str
    distance: float
    samples: int
    real: int

    def record(self) -> dict[str, Any]:
        """The score as results.json holds it."""
        return {**self.__dict__, "given": list(self.given)}


@dataclass
class _Collected:
    """What judges said of one modality given one subset, over the batches."""

    read: dict[str, list[Tensor]] = field(default_factory=dict)
    sums: MomentSums = field(default_factory=MomentSums)

    def add(self, judged: Judged) -> None:
        for name, values in judged.read.items():
            self.read.setdefault(name, []).append(values.cpu())
        if judged.features is not None:
            self.sums.add(judged.features.cpu())


ByInputs = dict[tuple[tuple[str, ...], str], _Collected]  # by the given modalities and the one that was made


def subsets_of(names: Sequence[str], sizes: Sequence[int] | None = None) -> list[tuple[str, ...]]:
    """All subsets of those sizes that leave out at least one modality, small ones first.

    >>> subsets_of(["a", "b", "c"], [2])
    [('a', 'b'), ('a', 'c'), ('b', 'c')]
    """
    wanted = range(1, len(names)) if sizes is None else sizes
    return [one for size in wanted for one in combinations(names, size)]


@torch.no_grad()
def conditional(
    model: MultimodalVAE,
    batches: Iterator[Data],
    judges: Mapping[str, JudgeData],
    *,
    subsets: Sequence[tuple[str, ...]],
    reconstruct: bool = False,
    seed: int,
) -> ByInputs:
    """Generate and judge every modality that is not in each subset, batch by batch.

    ``reconstruct`` judges those that are in it instead, with their own dimensions from their own data.
    """
    found: ByInputs = {}
    for number, x in enumerate(batches):
        inference = Inference.of(model, x)
        shapes = {name: tuple(values.shape[1:]) for name, values in x.items()}
        for given in subsets:
            stream = seeding.generator(seed, "coherence", number, "+".join(given), device=model.device)
            shared = inference.shared(given, generator=stream)
            for name in model.names:
                if (name in given) != reconstruct or name not in judges:
                    continue
                made = inference.made(
                    name, shared, shape=shapes[name], reconstruct=reconstruct, generator=stream
                )
                found.setdefault((given, name), _Collected()).add(judges[name](made))
    return found


def coherence_scores(collected: ByInputs, factors: Sequence[JudgedFactor]) -> list[CoherenceScore]:
    """The score of each factor for each subset and modality that shows it."""
    scores = []
    for (given, made), one in collected.items():
        for factor in factors:
            if factor.name not in one.read:
                continue
            read = torch.cat(one.read[factor.name])
            score, error = judged_score(read, factor.truth[: len(read)], factor.metric)
            scores.append(
                CoherenceScore(
                    factor=factor.name,
                    given=given,
                    made=made,
                    metric=factor.metric,
                    score=score,
                    error=error,
                    ceiling=factor.ceilings[made],
                    samples=len(read),
                )
            )
    return scores


def judged_score(
    read: Float[Tensor, "n o"], truth: Shaped[Tensor, "n ..."], metric: CoherenceMetric
) -> tuple[float, float]:
    """The score of what a judge reads, and its standard error.

    A judge that has no answer gives scores of zero to all classes, which is counted as wrong. R2 is the mean over the
    columns, and the average precision is that of the last class.
    """
    if metric == "accuracy":
        right = (classes_of(read) == truth).double()
        return right.mean().item(), (right.std(correction=0) / len(right) ** 0.5).item()
    if metric == "average_precision":
        return average_precision(truth.numpy() > 0, read[:, -1].double().numpy()), 0.0
    left = (truth - read).double().square().sum(0)
    total = (truth - truth.mean(0)).double().square().sum(0)
    return (1 - left / total).mean().item(), 0.0


def classes_of(scores: Float[Tensor, "n k"]) -> Tensor:
    """The class of the highest score; -1 where all scores are equal, which says nothing."""
    said = scores.amax(1) > scores.amin(1)
    return torch.where(said, scores.argmax(1), -1)


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """The area under precision over recall, as scikit-learn's average_precision_score; 0 where nothing is positive.

    Raises IdentboxError for scores that are not finite.
    """
    if not np.isfinite(score).all():
        raise IdentboxError("scores: expected finite numbers, got others")
    if not truth.any():
        return 0.0
    order = np.argsort(-score, kind="stable")
    hits, last = np.cumsum(truth[order]), np.r_[np.diff(score[order]) != 0, True]
    precision = (hits / np.arange(1, len(hits) + 1))[last]
    recall = (hits / hits[-1])[last]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def frechet_scores(collected: ByInputs, real: Mapping[str, Moments], features: str) -> list[FrechetScore]:
    """The Frechet distance of each modality that has features, for each subset it was generated from."""
    return [
        FrechetScore(
            given=given,
            made=made,
            features=features,
            distance=frechet_distance(one.sums.moments(), real[made]),
            samples=one.sums.samples,
            real=real[made].samples,
        )
        for (given, made), one in collected.items()
        if one.sums.samples > 1 and made in real
    ]


@torch.no_grad()
def unconditional(
    model: MultimodalVAE,
    judges: Mapping[str, JudgeData],
    *,
    samples: int,
    shapes: Mapping[str, tuple[int, ...]],
    seed: int,
) -> dict[str, _Collected]:
    """All modalities generated together from the prior, and judged."""
    found = {name: _Collected() for name in model.names if name in judges}
    for start in range(0, samples, GENERATED_AT_ONCE):
        n = min(GENERATED_AT_ONCE, samples - start)
        stream = seeding.generator(seed, "unconditional", start, device=model.device)
        shared = shared_from_prior(model, n, generator=stream)
        for name, one in found.items():
            z = torch.cat([shared, own_from_prior(model, n, generator=stream)], 1)
            one.add(judges[name](decoded(model, name, z, shape=shapes[name], generator=stream)))
    return found


def agreement_scores(
    collected: Mapping[str, _Collected], factors: Sequence[JudgedFactor]
) -> list[CoherenceScore]:
    """The share of samples in which the judges of all modalities find the same class (section 2.5.2).

    The ceiling is the product of the judges' accuracies: what perfect samples would reach if judges erred independently
    and never alike.
    """
    scores = []
    for factor in factors:
        names = [name for name, one in collected.items() if factor.name in one.read]
        if factor.metric != "accuracy" or len(names) < 2:
            continue
        found = torch.stack([classes_of(torch.cat(collected[name].read[factor.name])) for name in names])
        same = ((found == found[0]) & (found >= 0)).all(0).double()
        scores.append(
            CoherenceScore(
                factor=factor.name,
                given=(),
                made="+".join(names),
                metric="accuracy",
                score=same.mean().item(),
                error=(same.std(correction=0) / len(same) ** 0.5).item(),
                ceiling=float(np.prod([factor.ceilings[name] for name in names])),
                samples=len(same),
            )
        )
    return scores
