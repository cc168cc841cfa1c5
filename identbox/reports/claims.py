"""What the thesis says in words of its figures on generation, held against the runs of a sweep.

A claim holds where the means over the seeds satisfy it, by more than a margin where it says that something stays the
same. With one seed, a difference may be that of the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from identbox.reports.statistics import SeedScores
from identbox.tables import Table, TableCell
from identbox.texts import fixed_digits

FLAT = 0.05  # a difference of shares below which a curve counts as flat, and two numbers as equal; of nats a share
Means = dict[tuple[str, float | None, str], float]  # by model, value of x and quantity
ClaimJudge = Callable[[Means], tuple[bool, str] | None]


@dataclass(frozen=True)
class Claim:
    """A sentence of the thesis, where it stands, and the numbers of ours that decide on it.

    ``judge`` returns None where the runs that it needs are not there, else whether it holds and the numbers in words.
    ``otherwise`` is what is known of the reason where it does not hold.
    """

    text: str
    place: str
    judge: ClaimJudge
    otherwise: str = ""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim on which the runs of a sweep decide, and the numbers that do."""

    claim: Claim
    holds: bool
    numbers: str


def judged_claims(
    entries: Sequence[SeedScores], claims: Sequence[Claim], x: str | None = None
) -> list[JudgedClaim]:
    """The claims on which the runs of a sweep can decide; ``x`` is what the sweep goes over."""
    found: dict[tuple[str, float | None, str], list[float]] = {}
    for entry in entries:
        if entry.mean is not None:
            model = str(entry.cell.values.get("model", entry.cell.name))
            at = float(entry.cell.values[x]) if x else None
            found.setdefault((model, at, entry.target), []).append(entry.mean)
    means = {
        key: fmean(values) for key, values in found.items()
    }  # over the cells that differ in something else
    judged = [(claim, claim.judge(means)) for claim in claims]
    return [JudgedClaim(claim, *outcome) for claim, outcome in judged if outcome is not None]


def claims_table(judged: Sequence[JudgedClaim]) -> list[Table]:
    """A table of claims; none where there are none."""
    if not judged:
        return []
    rows = [
        (
            one.claim.text,
            one.claim.place,
            one.numbers,
            TableCell("holds", state="good") if one.holds else TableCell("differs", state="bad"),
        )
        for one in judged
    ]
    return [Table("What the thesis says, and these runs", ("claim", "where", "here", ""), rows, align="llll")]


def claims_notes(judged: Sequence[JudgedClaim]) -> list[str]:
    """What is known of the reasons where claims do not hold."""
    return [
        f'"{one.claim.text}" differs: {one.claim.otherwise}'
        for one in judged
        if not one.holds and one.claim.otherwise
    ]


def _get(means: Means, model: str, quantity: str) -> float | None:
    """A quantity of a model, the mean over the values of x."""
    found = [value for (name, _, what), value in means.items() if (name, what) == (model, quantity)]
    return sum(found) / len(found) if found else None


def _sizes(means: Means, quantity: str) -> list[int]:
    return sorted(
        {
            int(what.split(" ")[1])
            for _, _, what in means
            if what.split(" ")[0] == quantity and what[-1].isdigit()
        }
    )


def _mopoe_at_least_mmvae(means: Means) -> tuple[bool, str] | None:
    known = _pairs_by_size(means, "mopoe-vae", "mmvae", "coherence", least=2)
    return (all(a >= b for a, b in known), _words_of_pairs(known)) if known else None


def _by_size(means: Means, model: str, quantity: str) -> list[float]:
    """What is known of a model given each number of inputs."""
    values = [_get(means, model, f"{quantity} {k}") for k in _sizes(means, quantity)]
    return [value for value in values if value is not None]


def _pairs_by_size(
    means: Means, model: str, other: str, quantity: str, *, least: int = 0
) -> list[tuple[float, float]]:
    """The values of two models given each number of inputs from ``least``, where both are known."""
    sizes = [k for k in _sizes(means, quantity) if k >= least]
    pairs = [(_get(means, model, f"{quantity} {k}"), _get(means, other, f"{quantity} {k}")) for k in sizes]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _words_of_pairs(pairs: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{fixed_digits(a)} and {fixed_digits(b)}" for a, b in pairs)


def _flat(model: str, quantity: str) -> ClaimJudge:
    def judge(means: Means) -> tuple[bool, str] | None:
        known = _by_size(means, model, quantity)
        if len(known) < 2:
            return None
        nats = quantity == "likelihood"
        words = " ".join(fixed_digits(value, 0 if nats else 2) for value in known)
        return max(known) - min(known) < FLAT * (abs(known[0]) if nats else 1.0), words

    return judge


def _above_at_each(model: str, other: str, quantity: str) -> ClaimJudge:
    """Whether a model is above another given any number of inputs."""

    def judge(means: Means) -> tuple[bool, str] | None:
        known = _pairs_by_size(means, model, other, quantity)
        return (all(a > b for a, b in known), _words_of_pairs(known)) if known else None

    return judge


def _equal(quantity: str, model: str, other: str) -> ClaimJudge:
    """Whether two models have the same, up to the margin; of nats up to that share."""

    def judge(means: Means) -> tuple[bool, str] | None:
        one, two = _get(means, model, quantity), _get(means, other, quantity)
        if one is None or two is None:
            return None
        nats = "likelihood" in quantity
        words = (
            f"{model} {fixed_digits(one, 0 if nats else 2)}, {other} {fixed_digits(two, 0 if nats else 2)}"
        )
        return abs(one - two) < FLAT * (abs(two) if nats else 1.0), words

    return judge


def _rises(model: str, quantity: str) -> ClaimJudge:
    def judge(means: Means) -> tuple[bool, str] | None:
        known = _by_size(means, model, quantity)
        if len(known) < 2:
            return None
        return known[-1] > known[0] + FLAT, " ".join(fixed_digits(value) for value in known)

    return judge


def _in_claimed_order(quantity: str, *models: str, least: float = 0.0) -> ClaimJudge:
    """Whether a quantity falls from each model to the next by more than ``least``."""

    def judge(means: Means) -> tuple[bool, str] | None:
        values = [_get(means, model, quantity) for model in models]
        if any(value is None for value in values):
            return None
        known = [value for value in values if value is not None]
        words = ", ".join(f"{m} {fixed_digits(v)}" for m, v in zip(models, known, strict=True))
        return all(a > b + least for a, b in pairwise(known)), words

    return judge


def _over_x(model: str, quantity: str, *, rises: bool, share: float = 0.1) -> ClaimJudge:
    """Whether a quantity rises from the least to the largest x by more than a share of it, or does not."""

    def judge(means: Means) -> tuple[bool, str] | None:
        points = sorted(
            (at, v) for (m, at, q), v in means.items() if (m, q) == (model, quantity) and at is not None
        )
        if len(points) < 2:
            return None
        first, last = points[0][1], points[-1][1]
        return (last > first * (1 + share)) == rises, " ".join(fixed_digits(value) for _, value in points)

    return judge


def _best(quantity: str, model: str, other: str) -> ClaimJudge:
    """Whether the least value of a model over x is below that of another."""

    def judge(means: Means) -> tuple[bool, str] | None:
        least = []
        for name in (model, other):
            found = [value for (m, _, q), value in means.items() if (m, q) == (name, quantity)]
            if not found:
                return None
            least.append(min(found))
        return least[0] < least[1], f"{model} {fixed_digits(least[0])}, {other} {fixed_digits(least[1])}"

    return judge


_FIRST = "Frechet distance of the first modality"
CLAIMS: dict[str, tuple[Claim, ...]] = {
    "inputs": (
        Claim("MoPoE-VAE is at least as coherent as MMVAE from two views on", "5.3.1", _mopoe_at_least_mmvae),
        Claim(
            "with one view MoPoE-VAE is as coherent as MMVAE",
            "5.3.1",
            _equal("coherence 1", "mopoe-vae", "mmvae"),
            "published figures are 0.66 and 0.71, so that the two need not be equal there either.",
        ),
        Claim(
            "MoPoE-VAE is more coherent than MVAE given any number of views",
            "5.3.1",
            _above_at_each("mopoe-vae", "mvae", "coherence"),
        ),
        Claim("the coherence of MMVAE does not change with the number of views", "5.3.1", _flat("mmvae", "coherence")),
        Claim(
            "the probe of MMVAE does not change with the number of views",
            "5.3.1",
            _flat("mmvae", "probe"),
            "embeddings here are means of the joint posterior, and the mean of a mixture averages over the experts of "
            "all views. A sample from the mixture comes from one view alone.",
        ),
        Claim(
            "the log-likelihood of MMVAE does not change with the number of views",
            "5.3.1",
            _flat("mmvae", "likelihood"),
            "not tested; a possible one: importance samples come from a mixture with more components, and the estimate "
            "is a lower bound that a better proposal raises.",
        ),
        Claim("the probe of MoPoE-VAE improves with more views", "5.3.1", _rises("mopoe-vae", "probe")),
        Claim("the probe of MVAE improves with more views", "5.3.1", _rises("mvae", "probe")),
        Claim(
            "MVAE is the least coherent given one view", "5.3.1", _in_claimed_order("coherence 1", "mopoe-vae", "mvae")
        ),
        Claim(
            "with all views the log-likelihood of MVAE is above that of MMVAE",
            "5.3.1",
            _in_claimed_order("joint log-likelihood", "mvae", "mmvae"),
        ),
        Claim(
            "with all views the log-likelihoods of MoPoE-VAE and MVAE are on a par",
            "5.3.1",
            _equal("joint log-likelihood", "mopoe-vae", "mvae"),
            "not tested; chapter 7 expects a gap, since MoPoE-VAE must reconstruct all modalities from some of them. "
            "The published log-likelihoods of MoPoE-VAE take a log-mean-exp over data points in place of samples, and "
            "are too high.",
        ),
    ),
    "specific": (
        Claim(
            "specific dimensions of the naive partition encode more of the shared class than those of MMVAE+",
            "6.4.1",
            _in_claimed_order("linear probe of specific dimensions", "naive-mmvae", "mmvae-plus", least=FLAT),
        ),
        Claim(
            "more specific dimensions of the naive MMVAE encode more of the shared class",
            "6.2.3",
            _over_x("naive-mmvae", "linear probe of specific dimensions", rises=True),
        ),
        Claim(
            "MMVAE+ is more coherent than the naive partition, on average over sizes",
            "6.4.1",
            _in_claimed_order("pairwise coherence", "mmvae-plus", "naive-mmvae"),
        ),
        Claim(
            "unconditional samples of MMVAE+ are better than those of the naive partition",
            "6.4.1",
            _in_claimed_order("Frechet distance, unconditional", "naive-mmvae", "mmvae-plus"),
        ),
    ),
    "modalities": (
        Claim(
            "the quality of MMVAE falls with the number of modalities",
            "7.3.1",
            _over_x("mmvae", _FIRST, rises=True),
        ),
        Claim(
            "the quality of MoPoE-VAE falls with the number of modalities",
            "7.3.1",
            _over_x("mopoe-vae", _FIRST, rises=True),
        ),
        Claim(
            "the quality of MVAE does not fall with the number of modalities",
            "7.3.1",
            _over_x("mvae", _FIRST, rises=False),
        ),
    ),
    "beta": (
        Claim(
            "the best MVAE has better quality than the best MMVAE",
            "7.3.1",
            _best("Frechet distance, unconditional", "mvae", "mmvae"),
        ),
        Claim(
            "the best MVAE has better quality than the best MoPoE-VAE",
            "7.3.1",
            _best("Frechet distance, unconditional", "mvae", "mopoe-vae"),
        ),
        Claim(
            "the coherence of MVAE improves with beta",
            "7.3.2",
            _over_x("mvae", "leave-one-out coherence", rises=True),
        ),
    ),
    "frontier": (
        Claim(
            "MMVAE is more coherent than MVAE", "6.4.1", _in_claimed_order("pairwise coherence", "mmvae", "mvae")
        ),
        Claim(
            "MoPoE-VAE is more coherent than MVAE",
            "6.4.1",
            _in_claimed_order("pairwise coherence", "mopoe-vae", "mvae"),
        ),
        Claim(
            "MMVAE+ has better conditional quality than MMVAE",
            "6.4.1",
            _in_claimed_order("Frechet distance, from one modality", "mmvae", "mmvae-plus"),
        ),
    ),
}  # fmt: skip
