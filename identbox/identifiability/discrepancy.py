"""What a mixture-based multimodal VAE cannot reach (Theorem 1), from the entropies of the data alone.

With S the subsets A and weights w_A of the mixture posterior, L the ELBO and notA the modalities outside of A, the
theorem as printed (Eq. 7.5) says, for all encoders, decoders and priors,

    E[log p(x)] - E[L]  >=  Delta(S)  =  sum_A w_A H(x_notA | x_A)

It does not hold: docs/theorem-1.md has counterexamples, and the proof of what does. A decoder gives each component a
distribution that depends on z and on some earlier components of its modality, its context c(d). With

    T(A)  =  sum_{d not in A} H(x_d | x_c(d), x_A)  -  H(x_notA | x_A)

the gap E[log p(x)] - E[L] is at least sum_A w_A T(A) for the objective of Eq. 5.19, and for that of Eq. 5.18 at least
the same less H(w). T(A) is the conditional total correlation of the components of the missing modalities where decoders
factorise over components, and that of the missing modalities where each decoder is free over its components.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Literal, Protocol, runtime_checkable

from identbox.learning.posteriors import Subsets
from identbox.settings import at_least, settings

ObjectiveName = Literal["5.18", "5.19"]
OBJECTIVES: tuple[ObjectiveName, ...] = ("5.18", "5.19")
Group = tuple[frozenset[int], float]  # modalities, and the weight of the subsets of which they are the union


@runtime_checkable
class Law(Protocol):
    """The distribution of a multimodal vector: the components of each modality, and entropies in nats."""

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]: ...

    def entropy(self, components: Collection[int]) -> float: ...


@settings(kw_only=False)
class DecoderFamily:
    """Decoders p(x | z) = prod_d p(x_d | x_c(d), z), where c(d) are the components just before d in its modality.

    ``context`` says how many: 0 are decoders that factorise over components, as those of images with independent pixels
    do, all are decoders that may have any distribution of a whole modality, and what is between is autoregressive
    with a bounded context. Given z, modalities are independent in all of them.
    """

    name: str
    context: Annotated[int, at_least(0)] | Literal["all"]

    def contexts(self, blocks: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """The context of each component."""
        return [
            tuple(block[:place] if self.context == "all" else block[max(0, place - self.context) : place])
            for block in blocks
            for place in range(len(block))
        ]


FACTORISED = DecoderFamily("factorised", 0)
AUTOREGRESSIVE = DecoderFamily("autoregressive", 1)
FULL = DecoderFamily("full", "all")
DECODERS = {family.name: family for family in (FACTORISED, AUTOREGRESSIVE, FULL)}


def discrepancy(law: Law, subsets: Subsets) -> float:
    """Delta(S) = sum_A w_A H(x_notA | x_A) in nats (Eq. 7.6)."""
    whole = law.entropy(_components(law, range(len(law.blocks))))
    return math.fsum(
        weight * (whole - law.entropy(_components(law, subset)))
        for subset, weight in zip(subsets.members, subsets.weights, strict=True)
    )


def missing_correlation(law: Law, subset: Collection[int], decoder: DecoderFamily) -> float:
    """T(A), in nats: what decoders of this family lose of the modalities outside of ``subset``, given those in it.

    It is 0 for all modalities, never below 0, and does not grow when the subset does.
    """
    seen = _components(law, subset)
    known = law.entropy(seen)
    apart = 0.0
    for component, context in enumerate(decoder.contexts(law.blocks)):
        if component not in seen:
            given = seen.union(context)
            apart += law.entropy(given | {component}) - law.entropy(given)
    together = law.entropy(_components(law, range(len(law.blocks)))) - known
    return max(0.0, apart - together)


@dataclass(frozen=True, kw_only=True)
class GapBounds:
    """Where the least gap E[log p(x)] - E[L] lies, over all encoders, decoders of a family and priors, in nats."""

    low: float  # no gap is below it
    high: float  # some are as near to it as one likes, or below
    delta: float  # what the theorem as printed says that no gap is below
    correlation: float  # sum_A w_A T(A)
    weights_entropy: float  # H(w)


def gap_bounds(law: Law, subsets: Subsets, decoder: DecoderFamily, objective: ObjectiveName) -> GapBounds:
    """The bounds on the gap of a model, from entropies alone (docs/theorem-1.md).

    >>> from identbox.process.exact import DiscreteProcess
    >>> bit_twice = DiscreteProcess({"x1": ["a"], "x2": ["b", "c"]}, [[[0.4, 0], [0, 0.1]], [[0.1, 0], [0, 0.4]]])
    >>> first = Subsets(2, [(0,)])
    >>> bounds = gap_bounds(bit_twice, first, FACTORISED, "5.18")
    >>> round(bounds.low, 4), round(bounds.high, 4), round(bounds.delta, 4)
    (0.5004, 0.5004, 0.5004)
    >>> gap_bounds(bit_twice, first, FULL, "5.18").high
    0.0
    """
    groups: list[Group] = [
        (frozenset(subset), weight)
        for subset, weight in zip(subsets.members, subsets.weights, strict=True)
        if weight > 0
    ]
    correlation = _grouped_correlation(law, groups, decoder)
    hidden = weights_entropy(weight for _, weight in groups)
    alone = objective == "5.19"
    return GapBounds(
        low=correlation if alone else _best_grouping(law, groups, decoder),
        high=correlation + hidden if alone else correlation,
        delta=discrepancy(law, subsets),
        correlation=correlation,
        weights_entropy=hidden,
    )


def weights_entropy(weights: Iterable[float]) -> float:
    """H(w) = -sum_A w_A log w_A, in nats."""
    return -math.fsum(weight * math.log(weight) for weight in weights if weight > 0) + 0.0


def _grouped_correlation(law: Law, groups: Sequence[Group], decoder: DecoderFamily) -> float:
    return math.fsum(weight * missing_correlation(law, members, decoder) for members, weight in groups)


def _best_grouping(law: Law, groups: list[Group], decoder: DecoderFamily) -> float:
    """The largest bound for Eq. 5.18 that was found over groupings of the subsets.

    Subsets that are grouped count as one, their union, with the sum of their weights: each grouping gives the bound
    sum_g w_g T(g) - H(w), and the one of a single group is 0 where the modalities of all subsets together are all.
    From one group for each subset, the pair whose union is best is joined, again and again.
    """

    def bound(grouped: Sequence[Group]) -> float:
        return _grouped_correlation(law, grouped, decoder) - weights_entropy(weight for _, weight in grouped)

    best = bound(groups)
    while len(groups) > 1:
        joined = [
            [one for place, one in enumerate(groups) if place not in pair]
            + [(groups[pair[0]][0] | groups[pair[1]][0], groups[pair[0]][1] + groups[pair[1]][1])]
            for pair in combinations(range(len(groups)), 2)
        ]
        values = [bound(grouped) for grouped in joined]
        groups = joined[values.index(max(values))]
        best = max(best, *values)
    return max(0.0, best)


def _components(law: Law, modalities: Iterable[int]) -> frozenset[int]:
    return frozenset(component for modality in modalities for component in law.blocks[modality])
