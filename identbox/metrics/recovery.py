"""Recovery: how much of content can be read from an encoding, in the worst direction of content.

recovery = min over directions w of whitened content of 1 - E Var(w | h) / Var(w), the half of Definition 8 that says
"all of content". Classes are scored by Youden's index of the worst class: the share of its samples that are recognised,
less the share of the others that are taken for it; 1 at best, and 0 for a class that is never told apart, however
frequent it is.

Encodings enter by the ranks of their components, so that no increasing map of them matters.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from identbox.metrics.directions import largest_share
from identbox.metrics.estimates import CONFIDENCE, Estimate, share
from identbox.metrics.normal_scores import tempered
from identbox.metrics.smoothing import smooth


def recovered(
    encodings: Float[Tensor, "n k"], content: Float[Tensor, "n c"], confidence: float = CONFIDENCE
) -> Estimate:
    """The recovery of continuous content, given as numbers (a circular variable as cosine and sine).

    ``value`` and ``low`` are what a smooth regression achieves on rows that it was not fitted to. ``high`` corrects
    its residuals for degrees of freedom, so that the error of the fit does not count.
    """
    wanted = tempered(content)
    left = smooth(encodings, wanted)
    achieved = largest_share(left.left_out, (wanted,), confidence=confidence)
    possible = largest_share(left.corrected, (wanted,), confidence=confidence)
    low, value = 1 - achieved.high, 1 - achieved.value
    return Estimate(value=value, low=low, high=max(value, 1 - possible.low))


def recovered_classes(
    encodings: Float[Tensor, "n k"], classes: Int[Tensor, " n"], confidence: float = CONFIDENCE
) -> Estimate:
    """Youden's index of the worst class that occurs, by the most probable class weighted as if all were as frequent.

    Both ends are for the two shares at once (Bonferroni). The high end, the least over classes, is for all classes at
    once too. The low end needs no such correction: the least of the ends is no larger than that of the class that is
    truly the worst (an intersection-union test; Berger 1982).
    """
    present, numbers = classes.unique(return_inverse=True)
    if len(present) < 2:
        return Estimate(value=0.0, low=0.0, high=1.0)
    truth = torch.nn.functional.one_hot(numbers).double()
    # Of the other rows: a row that counted itself would find its own class too frequent.
    frequencies = (truth.sum(0) - truth) / (len(truth) - 1)
    probabilities = truth - smooth(encodings, truth).left_out
    predicted = (probabilities / frequencies.clamp(min=1 / len(truth))).round(decimals=9).argmax(1)
    both = (1 - confidence) / 2
    values, lows, highs = [], [], []
    for k in range(len(present)):
        own, taken = numbers == k, predicted == k
        hits, others = (
            (int((own & taken).sum()), int(own.sum())),
            (int((~own & taken).sum()), int((~own).sum())),
        )
        hit, false = share(*hits, 1 - both), share(*others, 1 - both)
        values.append(hit.value - false.value)
        lows.append(hit.low - false.high)
        highs.append(share(*hits, 1 - both / len(present)).high - share(*others, 1 - both / len(present)).low)
    return Estimate(value=min(values), low=min(lows), high=min(highs))
