"""What the encoding, the objective and the training of a learner say of the assumptions of Theorem 2.

The theorem is about encoders into the cube (0, 1)^n_c that minimise Eq. 8.9, the form of the loss for infinitely many
candidates. The rules here compare a learner with that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from identbox.errors import first_few
from identbox.identifiability.blocks import invariant
from identbox.identifiability.rows import Assumption, AssumptionVerdict, row
from identbox.learning.contrastive import Objective
from identbox.learning.distances import Similarity
from identbox.process.model import Process, Variable

PLANTED = 0.05  # the leak whose cost tells whether training has converged: the margin of verdicts
ONE_BIT = math.log(2)  # nats for each continuous dimension, below which the candidates are too few


@dataclass(frozen=True, kw_only=True)
class TrainingChange:
    """A random change of the data of one view that training makes by itself, such as turned hues.

    ``variables`` are those of the process that it changes, perhaps none. They are drawn ``anew`` where the value after
    the change does not depend on the one before.
    """

    view: str
    what: str
    variables: tuple[str, ...] = ()
    anew: bool = False


@dataclass(frozen=True, kw_only=True)
class LearnerFacts:
    """What is known of a learner beyond its process; None is unknown.

    >>> from identbox.identifiability.assumptions import LearnerFacts
    >>> LearnerFacts(encoding_size=5, batch=512).objective is None
    True
    """

    # Dimensions of the encodings.
    encoding_size: int | None = None
    objective: Objective | None = None
    # Pairs in one batch of training.
    batch: int | None = None
    steps: int | None = None
    # The first term of Eq. 8.9, by ranks on the unit cube: how far the encodings of the views are apart. 0 at best.
    alignment: float | None = None
    # The second term: the least entropy of a view's encodings there, in nats. 0 at best.
    entropy: float | None = None
    # What the first term is for encodings of content of which each component leaks ``PLANTED`` of style.
    leak_cost: float | None = None
    # Whether encodings were divided by their length before they were probed.
    normalised: bool | None = None
    # What training changes in its data at random.
    changes: tuple[TrainingChange, ...] | None = None

    @property
    def drawn_anew(self) -> set[str]:
        """The variables that training draws anew for one view."""
        return {name for change in self.changes or () if change.anew for name in change.variables}

    @property
    def candidates(self) -> int | None:
        """K: the sum in the denominator of InfoNCE has so many terms."""
        if self.batch is None:
            return None
        same_view = self.objective is not None and self.objective.negatives == "same-view"
        return self.batch + same_view


def learner_rows(process: Process, learner: LearnerFacts) -> list[Assumption]:
    """What is known of a learner, held against the theorem."""
    return [
        _encoding_size(process, learner),
        _encoding_space(process, learner),
        _objective(learner),
        _batch(process, learner),
        _training(learner),
        _training_changes(process, learner),
        _encodings_as_read(learner),
        _not_looked_at(),
    ]


def needed_dimensions(process: Process, similarity: Similarity) -> int:
    """The least encoding size with room for content: its support embeds there, and in no smaller size.

    n real-valued variables and k full circles span R^n x T^k. Since T^k x R is an open tube in R^(k+1), R^n x T^k
    lies in R^(n+k) where n > 0, and in R^(k+1) where n = 0 < k. By invariance of domain nothing smaller will do.
    Directions of size d are points of the sphere of dimension d - 1, so that each number is one larger. One circle
    alone is an exception: directions of size 2 are a circle. Classes need one dimension, or two as directions.
    """
    content = invariant(process)
    n, k, classes = _dimensions(content)
    cosine = similarity == "cosine"
    if n + k == 0:
        return 1 + (cosine and classes > 2) if content else 0
    if n == 0 and k == 1 and classes == 1:
        return 2
    return n + k + (n == 0) + cosine


def _dimensions(content: Sequence[Variable]) -> tuple[int, int, int]:
    """Of content: real-valued dimensions, full circles, and the number of combinations of classes."""
    sizes = {"continuous": 0, "circular": 0}
    combinations = 1
    for variable in content:
        distribution = variable.distribution
        if distribution.domain.classes is not None:
            combinations *= distribution.domain.classes**distribution.dim
        else:
            sizes[distribution.domain.kind] += distribution.dim
    return sizes["continuous"], sizes["circular"], combinations


def _encoding_size(process: Process, learner: LearnerFacts) -> Assumption:
    same, size = invariant(process), learner.encoding_size
    content = sum(v.distribution.dim for v in same)
    cosine = _is_cosine(learner)
    wanted = content + cosine
    if size is None:
        return row("encoding-size", "unknown", f"choose {wanted}")
    style = [variable.name for variable in same if variable.role == "style"]
    which = f" ({first_few(style, 3)}, which never changes, counted)" if style else ""
    more = ", and one more for cosine similarity" if cosine else ""
    verdict: AssumptionVerdict = "holds" if size == wanted else "violated"
    return row("encoding-size", verdict, f"{size} for {content} that are invariant{which}{more}")


def _encoding_space(process: Process, learner: LearnerFacts) -> Assumption:
    size, objective = learner.encoding_size, learner.objective
    if size is None:
        return row("encoding-space", "unknown", "the encoding size is not known", needed=False)
    similarity: Similarity = "euclidean" if objective is None else objective.similarity
    needed = needed_dimensions(process, similarity)
    n, k, _ = _dimensions(invariant(process))
    what = f"{n} continuous variables" + (f" and {k} on a circle" if k else "") if n or not k else ""
    what = what or f"{k} {'variable' if k == 1 else 'variables'} on a circle"
    if size >= needed:
        where = "at least" if size > needed else "exactly"
        return row("encoding-space", "holds", f"{size} dimensions, {where} the {needed} that content needs")
    if similarity == "cosine":
        evidence = (
            f"cosine similarity reads {size} dimensions as a direction, a point of a sphere of dimension {size - 1}. "
            f"It has no room for {what} (invariance of domain): {needed} are needed"
        )
    else:
        evidence = f"a {size}-dimensional encoding cannot represent {what}" + (
            f": {needed} are needed" if k else ""
        )
    return row("encoding-space", "violated", evidence, excludes=True)


def _objective(learner: LearnerFacts) -> Assumption:
    if learner.objective is None:
        return row("objective", "unknown", "the objective is not known", needed=False)
    if learner.objective.similarity == "euclidean":
        whitened = " of whitened encodings" if learner.objective.encodings == "whitened" else ""
        return row("objective", "holds", f"by Euclidean distance{whitened}", needed=False)
    evidence = (
        "cosine similarity compares directions, and Eq. 8.9 distances in a cube. Steps 1 and 2 of the proof carry "
        "over: at the minimum nothing but content is encoded. Step 3 does not: a map of content that winds around "
        "the sphere twice attains the same minimum, so that all of content need not be encoded"
    )
    return row("objective", "violated", evidence)


def _batch(process: Process, learner: LearnerFacts) -> Assumption:
    """InfoNCE with K candidates shows at most log K nats of the information that the views share.

    The information in continuous content has no end. What is left of log K after classes is divided by the number of
    continuous dimensions: r nats for one dimension tell at most e^r of its values apart.
    """
    content, candidates = invariant(process), learner.candidates
    if candidates is None:
        return row("batch", "unknown", "the number of candidates is not known", needed=False)
    nats = math.log(candidates)
    classes, exact = _entropy_of_classes(content)
    n = sum(_dimensions(content)[:2])
    evidence = f"{candidates} candidates allow log K = {nats:.2f} nats"
    if any(v.distribution.discrete for v in content):
        evidence += f"; the classes of content have {'' if exact else 'at most '}{classes:.2f}"
    if classes > nats:
        return row("batch", "violated" if exact else "unknown", evidence)
    if n == 0:
        return row("batch", "holds", evidence)
    each = (nats - classes) / n
    evidence += (
        f"; {each:.2f} for each of {n} continuous dimensions, so that the loss tells at most {math.exp(each):.1f} of "
        "its values apart"
    )
    if each >= ONE_BIT:
        return row("batch", "holds", evidence)
    return row(
        "batch", "violated", f"{evidence}. The loss can be used up by fewer dimensions than content has"
    )


def _entropy_of_classes(content: Sequence[Variable]) -> tuple[float, bool]:
    """The entropy of the classes of content in nats, and whether it is exact; else it is an upper bound."""
    total, exact = 0.0, True
    for variable in content:
        distribution = variable.distribution
        if distribution.domain.classes is None:
            continue
        if variable.effects:
            total, exact = total + distribution.dim * math.log(distribution.domain.classes), False
            continue
        classes = torch.arange(distribution.domain.classes)[:, None].expand(-1, distribution.dim)
        cumulated = distribution.cdf(classes.contiguous()).double()
        probabilities = torch.diff(cumulated, dim=0, prepend=torch.zeros_like(cumulated[:1]))
        total += torch.special.entr(probabilities.clamp(min=0)).sum().item()
    return total, exact


def _training(learner: LearnerFacts) -> Assumption:
    if learner.steps == 0:
        return row("training", "violated", "the theorem is about the minimum, and nothing was trained")
    steps = "" if learner.steps is None else f"after {learner.steps} steps "
    if learner.alignment is None or learner.leak_cost is None:
        evidence = f"{steps}the value of Eq. 8.9 was not compared with the oracle's"
        return row("training", "unknown", evidence, needed=False)
    evidence = (
        f"{steps}the views differ by {learner.alignment:.3f} on the unit cube; with a leak of {PLANTED:.0%} in each "
        f"component they would by {learner.leak_cost:.3f}"
    )
    if learner.alignment > learner.leak_cost:
        return row("training", "violated", f"{evidence}, so that a leak may be for want of training")
    if learner.entropy is not None:
        evidence += f"; they fill {math.exp(min(learner.entropy, 0.0)):.0%} of it"  # an estimate may exceed 0
        if learner.entropy < -ONE_BIT:
            return row("training", "violated", f"{evidence}, and less than half counts as collapsed")
    return row("training", "holds", evidence)


def _training_changes(process: Process, learner: LearnerFacts) -> Assumption:
    if learner.changes is None:
        reason = "whether training changes its data is not known"
        return row("training-changes", "unknown", reason, needed=False)
    if not learner.changes:
        return row("training-changes", "holds", "training takes its data as they are")
    known = {variable.name: variable for variable in process.variables}
    touched: list[str] = []
    texts = []
    for change in learner.changes:
        text = f"{change.what} at random for the view {change.view}"
        variables = [known[name] for name in change.variables if name in known]
        touched += [v.name for v in variables if v.role == "content"]
        if not variables:
            text += " (no variable of the process: specific to that view)"
        elif change.anew:
            text += f", so that it sees {first_few([v.name for v in variables], 3)} anew"
            cut = [f"{parent} -> {v.name}" for v in variables for parent in v.effects]
            text += f", without {first_few(cut, 3)}" if cut else ""
        else:
            text += f", which changes {first_few([v.name for v in variables], 3)}"
        texts.append(text)
    if touched:
        texts.append(f"content is then not the same in every view: {first_few(touched, 3)}")
    return row("training-changes", "violated" if touched else "holds", "; ".join(texts))


def _encodings_as_read(learner: LearnerFacts) -> Assumption:
    if not _is_cosine(learner):
        known = learner.objective is not None
        evidence = "distances see all of an encoding" if known else "the objective is not known"
        return row("encodings-as-read", "holds" if known else "unknown", evidence, needed=False)
    if learner.normalised is None:
        return row("encodings-as-read", "unknown", "whether their length was taken off is not known")
    if learner.normalised:
        return row("encodings-as-read", "holds", "directions alone were probed")
    evidence = "probes saw the length of encodings, which cosine similarity does not: anything may be in it"
    return row("encodings-as-read", "violated", evidence)


def _not_looked_at() -> Assumption:
    evidence = (
        "whether the encoders' networks can represent the minimum, and are smooth (ReLU has kinks); the number of "
        "different training samples; the temperature; local minima; maps of two or more content variables that wind "
        "around a hole of the cube, which Step 3 of the proof takes to be one-to-one"
    )
    return row("not-looked-at", "not looked at", evidence, needed=False)


def _is_cosine(learner: LearnerFacts) -> bool:
    return learner.objective is not None and learner.objective.similarity == "cosine"
