"""The scores that the literature on disentanglement uses, from codes (n, k) and factors, for any size of code.

Definitions differ between papers and between papers and their code. What is computed here:

- MCC: the mean over factors of the correlation with the code that `linear_sum_assignment` gives to each, one code to
  one factor (Hyvarinen and Morioka 2016); with ranks (Spearman), and of linear predictions of the factors.
- DCI (Eastwood and Williams 2018): disentanglement 1 - H_f(P_i) of each code, weighted by its share of all importance;
  completeness 1 - H_k(P_j), mean over factors; informativeness, the mean prediction of the factors on other rows.
- MIG (Chen et al. 2018): the gap between the two largest I(code; factor) / H(factor), mean over factors.
- MIG, continuous: the gap between the two largest informational correlations of numbers and circles.
- SAP (Kumar et al. 2018): the gap between the two best linear predictions of a factor by one code, mean over factors.
- Modularity and explicitness (Ridgeway and Mozer 2018): 1 - sum of squared I with other factors over (f - 1) max I^2,
  mean over codes; and linear prediction from all codes, R2 of numbers and 2 AUC - 1 of classes.
- IRS (Suter et al. 2019): see `robustness`.
- R2 of blocks: all factors from all codes and all codes from all factors, linear and nonlinear.

Each has an interval, the value for permuted factors beside it, and a warning where the score is not defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from identbox import arrays, seeding
from identbox.errors import IdentboxError
from identbox.metrics.associations import (
    Codes,
    Factor,
    continuous_information,
    correlations,
    information,
    separations,
)
from identbox.metrics.blocks import block_r2
from identbox.metrics.concentration import completeness_of, disentanglement_of, gap, matched, modularity
from identbox.metrics.disentanglement_records import (
    REFERENCES,
    DisentanglementScore,
    DisentanglementScores,
)
from identbox.metrics.importances import ROWS, By, importances
from identbox.metrics.robustness import robustness

PARTS = 30  # samples of a part of the rows for an interval, of scores that cost little
FEW_PARTS = 6  # and of those for which predictors are fitted
KEPT_ROWS = 0.8  # of the rows, in each part
SHUFFLES, FEW_SHUFFLES = 10, 2  # permutations of the factors
MOST_ROWS = 2048  # of scores that take long: nearest neighbours, logistic and kernel regressions
FEWEST_ROWS = 100
OF_ALL_CODES = ("MCC after a linear map", "explicitness")  # scores that any number of codes may have
Z = 1.96  # standard errors on each side of a 95% interval


def scores(
    codes: Any,
    factors: Mapping[str, Any],
    *,
    periods: Mapping[str, float] | None = None,
    pairs: Mapping[str, tuple[Any, Any]] | None = None,
    only: Sequence[str] | None = None,
    seed: int = 0,
) -> DisentanglementScores:
    """The scores of the field for codes (n, k) and factors, arrays (n,) by name; see the module for definitions.

    Integers and booleans are classes, other numbers are continuous, and those of ``periods`` lie on a circle of that
    length. ``pairs`` has for each intervention the codes (m, k) before and after it, row by row of the same samples;
    IRS needs them. Of ``only`` some families the scores are computed where they are named, as ``("MCC", "MIG")``.

    Intervals are 1.96 standard deviations on each side, from samples of 80% of the rows without replacement (the
    jackknife that deletes a fifth): in a bootstrap rows come twice, and what counts neighbours or ranks is fooled by
    ties.

    Raises IdentboxError for arrays of unequal length, numbers that are not finite, factors that do not vary, fewer than
    100 rows, and families that there are not.

    >>> import numpy as np
    >>> from identbox import scores
    >>> z = np.random.default_rng(0).normal(size=(400, 2))
    >>> found = scores(z[:, ::-1], {"a": z[:, 0], "b": z[:, 1]}, only=["MCC", "SAP"])
    >>> round(found["MCC"].value, 6), found["MCC"].permuted < 0.2
    (1.0, True)
    """
    matrix = arrays.matrix(codes, "codes").double().numpy()
    n = len(matrix)
    if n < FEWEST_ROWS:
        raise IdentboxError(f"codes: expected at least {FEWEST_ROWS} rows, got {n}")
    if not factors:
        raise IdentboxError("factors: expected at least one, got none")
    known = [_factor_of(name, values, n, (periods or {}).get(name)) for name, values in factors.items()]
    sample = _Sample(matrix, known, seed)
    families = tuple(REFERENCES if only is None else only)
    unknown = [name for name in families if name not in REFERENCES]
    if unknown or not families:
        got = ", ".join(unknown) or "none"
        raise IdentboxError(f"only: expected some of {', '.join(REFERENCES)}; got {got}")
    found = [_measured_score(sample, *one) for one in _one_by_one(known) if one[0].startswith(families)]
    for by in ("trees", "lasso") if "DCI" in families else ():
        found += _dci(sample, by)
    found += _r2(sample) if "R²" in families else []
    if pairs and "IRS" in families:
        found.append(_irs(pairs, matrix.shape[1]))
    return DisentanglementScores(found)


def _factor_of(name: str, values: Any, n: int, period: float | None) -> Factor:
    column = arrays.matrix(values, f"factor {name}", rows=n, columns=1)[:, 0].numpy()
    if period is not None:
        return Factor(name=name, values=column.astype(float), kind="circular", period=period)
    whole = column.dtype.kind in "ib"
    return Factor(
        name=name,
        values=column.astype(int) if whole else column.astype(float),
        kind="discrete" if whole else "continuous",
    )


@dataclass(frozen=True)
class _Sample:
    codes: Codes
    factors: Sequence[Factor]
    seed: int

    def rng(self, *names: str | int) -> np.random.Generator:
        return np.random.default_rng(seeding.derive(self.seed, "scores", *names))

    def first(self, most: int) -> _Sample:
        """At most so many of the rows, at random."""
        n = len(self.codes)
        if n <= most:
            return self
        rows = self.rng("rows").permutation(n)[:most]
        return _Sample(self.codes[rows], [f.rows(rows) for f in self.factors], self.seed)

    def parts(self, count: int) -> Iterator[_Sample]:
        """Samples of KEPT_ROWS of the rows, without any row twice."""
        n = len(self.codes)
        for number in range(count):
            rows = self.rng("part", number).permutation(n)[: round(KEPT_ROWS * n)]
            kept = [factor.rows(rows) for factor in self.factors if len(np.unique(factor.values[rows])) > 1]
            yield _Sample(self.codes[rows], kept, self.seed + number + 1)

    def shuffled(self, count: int) -> Iterator[_Sample]:
        """The same with all factors permuted together, so that nothing connects them with the codes."""
        for number in range(count):
            rows = self.rng("shuffle", number).permutation(len(self.codes))
            yield _Sample(self.codes, [factor.rows(rows) for factor in self.factors], self.seed + number + 1)

    @property
    def warning(self) -> str:
        """What makes scores of one code a factor questionable."""
        varying = int((self.codes.std(0) > 1e-10 * np.abs(self.codes).max(0).clip(1e-300)).sum())
        k, f = self.codes.shape[1], len(self.factors)
        found = []
        if varying < k:
            found.append(f"{k - varying} of {k} codes are constant and count as codes of nothing")
        if varying < f:
            found.append(
                f"{f} factors and {varying} codes that vary: no one-to-one assignment exists, and a factor without a "
                "code counts as 0"
            )
        return "; ".join(found)


ScoreFunction = Callable[[_Sample], float]


def _one_by_one(factors: Sequence[Factor]) -> list[tuple[Any, ...]]:
    """Scores that are one number each, as the arguments of `_measured_score`."""
    found: list[tuple[Any, ...]] = [
        ("MCC", lambda s: matched(correlations(s.codes, s.factors)), PARTS, SHUFFLES),
        ("MCC, Spearman", lambda s: matched(correlations(s.codes, s.factors, ranks=True)), PARTS, SHUFFLES),
        ("MCC after a linear map", _mcc_linear, PARTS, SHUFFLES),
        ("MIG", lambda s: gap(information(s.codes, s.factors)), PARTS, SHUFFLES),
        ("SAP", lambda s: gap(separations(s.codes, s.factors)), PARTS, SHUFFLES),
        ("modularity", lambda s: modularity(information(s.codes, s.factors)), PARTS, SHUFFLES),
        ("explicitness", _explicitness, FEW_PARTS, FEW_SHUFFLES, MOST_ROWS),
    ]
    if any(factor.kind != "discrete" for factor in factors):
        found.append(("MIG, continuous", _continuous_mig, FEW_PARTS, FEW_SHUFFLES, MOST_ROWS))
    return found


def _measured_score(
    sample: _Sample, name: str, score: ScoreFunction, parts: int, shuffles: int, most: int | None = None
) -> DisentanglementScore:
    sample = sample if most is None else sample.first(most)
    spread = deviation([score(part) for part in sample.parts(parts)])
    chance = float(np.mean([score(other) for other in sample.shuffled(shuffles)]))
    warning = "" if name in OF_ALL_CODES else sample.warning
    return _named_score(name, score(sample), float(spread), chance, warning)


def deviation(values: Sequence[Any]) -> Any:
    """The standard deviation of a statistic of n rows from its values on parts of m = KEPT_ROWS n of them.

    Without replacement the variance among parts is (n - m) / m times that of the statistic of n rows.
    """
    return np.std(values, axis=0, ddof=1) * math.sqrt(KEPT_ROWS / (1 - KEPT_ROWS))


def _named_score(
    name: str, value: float, spread: float, permuted: float, warning: str
) -> DisentanglementScore:
    """The score with its interval, all of it from 0 to 1.

    Predictions of nothing score below 0. They are cut here and not before: among parts whose scores are all cut to 0
    there would be no spread.
    """
    low, value, high, permuted = (
        float(np.clip(x, 0, 1)) for x in (value - Z * spread, value, value + Z * spread, permuted)
    )
    return DisentanglementScore(
        name=name, value=value, low=low, high=high, permuted=permuted, warning=warning
    )


def _mcc_linear(sample: _Sample) -> float:
    """The mean over factors of the correlation with their linear prediction from all codes, on other rows."""
    n = len(sample.codes)
    order = sample.rng("linear").permutation(n)
    fit, score = order[: n // 2], order[n // 2 :]
    inputs = np.column_stack([sample.codes, np.ones(n)])
    found = []
    for factor in sample.factors:
        columns = factor.columns
        weights = np.linalg.lstsq(inputs[fit], columns[fit], rcond=1e-9)[0]
        guess, truth = inputs[score] @ weights, columns[score]
        a, b = guess - guess.mean(0), truth - truth.mean(0)
        norm = math.sqrt(float(np.square(a).sum() * np.square(b).sum()))
        found.append(max(0.0, float((a * b).sum()) / norm) if norm > 0 else 0.0)
    return float(np.mean(found))


def _explicitness(sample: _Sample) -> float:
    """The mean linear prediction of the factors from all codes, on other rows."""
    return float(np.mean([_explicit(sample, factor) for factor in sample.factors]))


def _explicit(sample: _Sample, factor: Factor) -> float:
    n = len(sample.codes)
    order = sample.rng("explicitness").permutation(n)
    fit, score = order[: n // 2], order[n // 2 :]
    inputs = np.column_stack([sample.codes / sample.codes.std(0).clip(1e-12), np.ones(n)])
    if factor.kind != "discrete":
        columns = factor.columns
        weights = np.linalg.lstsq(inputs[fit], columns[fit], rcond=1e-9)[0]
        left = np.square(columns[score] - inputs[score] @ weights).sum()
        return float(1 - left / np.square(columns[score] - columns[score].mean(0)).sum())
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    known = factor.classes
    if len(np.unique(known[fit])) < 2:
        return 0.0
    model = LogisticRegression(max_iter=50, tol=1e-2).fit(inputs[fit], known[fit])
    shares = model.predict_proba(inputs[score])
    areas = [
        roc_auc_score(known[score] == k, shares[:, place])
        for place, k in enumerate(model.classes_)
        if 0 < (known[score] == k).sum() < len(score)
    ]
    return float(2 * np.mean(areas) - 1) if areas else 0.0


def _continuous_mig(sample: _Sample) -> float:
    numbers = [factor for factor in sample.factors if factor.kind != "discrete"]
    return gap(continuous_information(sample.codes, numbers))


def _dci(sample: _Sample, by: By) -> list[DisentanglementScore]:
    """Disentanglement, completeness and informativeness, from one set of fits."""

    def three(one: _Sample) -> tuple[float, float, float]:
        weights, predicted = importances(one.codes, one.factors, by=by, seed=one.seed % 2**31)
        return disentanglement_of(weights), completeness_of(weights), float(predicted.mean())

    sample = sample.first(2 * ROWS)
    values = three(sample)
    spreads = deviation([three(part) for part in sample.parts(FEW_PARTS)])
    chances = np.mean([three(other) for other in sample.shuffled(FEW_SHUFFLES)], axis=0)
    names = ("disentanglement", "completeness", "informativeness")
    return [
        _named_score(f"DCI {name}, {by}", value, float(spread), float(chance), sample.warning)
        for name, value, spread, chance in zip(names, values, spreads, chances, strict=True)
    ]


def _r2(sample: _Sample) -> list[DisentanglementScore]:
    """R2 of all factors from all codes and back, with intervals from their residuals."""
    sample = sample.first(MOST_ROWS)
    block = np.concatenate([factor.columns for factor in sample.factors], axis=1)
    other = next(iter(sample.shuffled(1)))
    shuffled = np.concatenate([factor.columns for factor in other.factors], axis=1)
    found = []
    for linear in (True, False):
        kind = "linear" if linear else "nonlinear"
        for name, inputs, wanted, chance in (
            ("factors from codes", sample.codes, block, (sample.codes, shuffled)),
            ("codes from factors", block, sample.codes, (shuffled, sample.codes)),
        ):
            r2 = partial(block_r2, linear=linear)
            value, error = r2(torch.from_numpy(inputs), torch.from_numpy(wanted))
            permuted, _ = r2(*map(torch.from_numpy, chance))
            found.append(_named_score(f"R² of {name}, {kind}", value, error, permuted, ""))
    return found


def _irs(pairs: Mapping[str, tuple[Any, Any]], k: int) -> DisentanglementScore:
    checked = {}
    for name, (before, after) in pairs.items():
        first = arrays.matrix(before, f"pairs {name}, before", columns=k).double().numpy()
        second = arrays.matrix(after, f"pairs {name}, after", rows=len(first), columns=k).double().numpy()
        checked[name] = (first, second)
    value, spread, chance = robustness(checked)
    warning = "" if len(checked) > 1 else "one intervention alone says nothing, for there is no other factor"
    return _named_score("IRS", value, spread, chance, warning)
