"""What a process, and the mixings that make its views, say of each assumption of Theorem 2 (sections 8.2 and 8.3)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError, first_few
from identbox.identifiability.blocks import invariant, least_probability, never_changing, of_role
from identbox.identifiability.measures import dependents
from identbox.identifiability.overlap import outside
from identbox.identifiability.rows import Assumption, row
from identbox.process.mixing import SINGULAR, InvertibleMLP
from identbox.process.model import Process, Sample, Variable
from identbox.process.moments import infinite_variance, joint_covariances, linear

MOST_OUTSIDE = 0.05  # of cut samples that may lie outside the data: the margin of leak
DEGENERATE = 0.02  # smallest eigenvalue of content's correlations, below which a note is made


def process_rows(process: Process, changed: Collection[str] = (), *, seed: int = 0) -> list[Assumption]:
    """What a process alone says; ``changed`` are the variables that training draws anew for one view.

    What is measured on samples is drawn from a stream of ``seed``.
    """
    return [
        _content_invariance(process),
        _style_changes(process, changed),
        _change_density(process),
        _style_redraw(process),
        _factorisation(process),
        _density(process),
        _density_kinks(process),
        _overlap(process, seed),
        _near_degenerate(process),
        _finite_variance(process),
        _views(process),
    ]


def mixing_rows(
    process: Process, mixings: Mapping[str, InvertibleMLP] | None, sample: Sample | None
) -> list[Assumption]:
    """What the mixings of a realised process say at a sample of it; without them both rows are unknown."""
    if mixings is None or sample is None:
        reason = "the process does not say how views are made of latents"
        return [
            row("mixing", "unknown", reason),
            row("distinct-mechanisms", "unknown", reason, needed=False),
        ]
    return [_mixing(mixings, sample), _distinct_mechanisms(process, mixings, sample)]


def _named(variables: list[Variable]) -> str:
    return first_few([variable.name for variable in variables], 3)


def _content_invariance(process: Process) -> Assumption:
    content = of_role(process, "content")
    if not content:
        return row("content-invariance", "violated", "no variable is content")
    return row("content-invariance", "holds", f"every view sees the same {_named(content)}")


def _style_changes(process: Process, changed: Collection[str]) -> Assumption:
    style = [(variable, variable.change) for variable in of_role(process, "style") if variable.change]
    if not style:
        return row("style-changes", "holds", "there is no style")
    never = [v for v in never_changing(process) if v.name not in changed]
    if never:
        return row("style-changes", "violated", f"{_named(never)} never changes, so it is content")
    passive = [(v, change) for v, change in style if v.name not in changed]
    left_open = [v for v, change in passive if change.how == "mechanism"]
    if left_open:
        return row(
            "style-changes", "unknown", f"how {_named(left_open)} changes is left to the view's mechanism"
        )
    least = min((least_probability(change) for _, change in passive), default=1.0)
    drawn = [v for v, _ in style if v.name in changed]
    by_training = f"; training draws {_named(drawn)} anew for one view" if drawn else ""
    evidence = f"the smallest change probability of a component is {least:g}{by_training}"
    return row("style-changes", "holds", evidence)


def _change_density(process: Process) -> Assumption:
    style = [(variable, variable.change) for variable in of_role(process, "style") if variable.change]
    rough = [v for v, change in style if v.distribution.discrete or change.how == "mechanism"]
    if rough:
        return row(
            "change-density", "violated", f"{_named(rough)}: another view sees one of finitely many values"
        )
    edged = [v for v, change in style if change.how == "resample" and v.distribution.bounded]
    if edged:
        return row(
            "change-density", "violated", f"the density of {_named(edged)} jumps at the ends of its interval"
        )
    evidence = "Gaussian noise, or a fresh draw from a continuous density" if style else "no style"
    return row("change-density", "holds", evidence)


def _style_redraw(process: Process) -> Assumption:
    """Eq. 8.7 gives style of the other view by p(s~ | s): given style, it depends on nothing else of the first view.

    A redraw of caused style is from p(s_A | causes), so it is independent of s_A given the causes. The second step of
    the proof compares h(c, s) with h(c, s~) at equal c. It needs a density of s~_A given (c, s) that is positive around
    s_A, and this one is.
    """
    redrawn = [v for v in of_role(process, "style") if v.change and v.change.how == "resample"]
    caused = [v for v in redrawn if v.effects]
    if not redrawn:
        return row("style-redraw", "holds", "noise is added to style, or there is none", needed=False)
    if not caused:
        evidence = f"{_named(redrawn)}: a fresh draw, p(s~_A | s_A) = p(s_A)"
        return row("style-redraw", "holds", evidence, needed=False)
    evidence = (
        f"{_named(caused)}: drawn anew from p(s_A | causes). Given style alone, this still depends on its causes, so "
        "that p(s~ | s) of Eq. 8.7 and 8.8 does not describe it. Given content, s~_A is independent of s_A and its "
        "density is positive wherever s_A can lie, which is what Step 2 of the proof uses"
    )
    return row("style-redraw", "violated", evidence, needed=False)


def _factorisation(process: Process) -> Assumption:
    allowed = {"content": {"content"}, "style": {"content", "style"}, "specific": {"specific"}}
    wrong = [
        f"{parent} -> {variable.name}"
        for variable in process.variables
        for parent in variable.effects
        if process[parent].role not in allowed[variable.role]
        or process[parent].view not in (None, variable.view)
    ]
    if wrong:
        return row("factorisation", "violated", first_few(wrong, 3))
    return row("factorisation", "holds", "causes run within blocks, or from content to style")


def _density(process: Process) -> Assumption:
    discrete = [v for v in process.variables if v.distribution.discrete and not v.distribution.constant]
    if discrete:
        return row("density", "violated", f"{_named(discrete)}: discrete")
    circles = [v for v in invariant(process) if v.distribution.domain.kind == "circular"]
    if circles:
        return row(
            "density",
            "violated",
            f"{_named(circles)}: circular. An encoder that goes round a circle twice attains the same minimum, and is "
            "not one-to-one",
        )
    confined = [v for v in process.variables if any(effect.confines for effect in v.effects.values())]
    if confined:
        return row("density", "violated", f"{_named(confined)}: confined by what causes it")
    edged = [variable for variable in process.variables if variable.distribution.bounded]
    if edged:
        return row(
            "density",
            "holds",
            f"inside the support; {_named(edged)}: bounded, which the theorem allows (the density jumps at the ends)",
        )
    return row("density", "holds", "every variable has one")


def _density_kinks(process: Process) -> Assumption:
    kinked = [v for v in process.variables if v.distribution.kinked]
    if not kinked:
        return row("density-kinks", "holds", "densities are smooth inside their support", needed=False)
    evidence = (
        f"{_named(kinked)}: the density is continuous and has a kink, a set of measure zero. The encoders of the proof "
        "are then continuously differentiable once, and not smooth"
    )
    return row("density-kinks", "violated", evidence, needed=False)


def _overlap(process: Process, seed: int) -> Assumption:
    content = invariant(process)
    if not any(dependents(process, view, content) for view in process.views):
        return row("overlap", "holds", "nothing else depends on content", needed=False)
    confined = [v for v in process.variables if any(effect.confines for effect in v.effects.values())]
    if confined:
        return row("overlap", "violated", f"{_named(confined)}: confined by what causes it", needed=False)
    try:
        share = outside(process, content, seed=seed)
    except IdentboxError:
        reason = "the random parameters of the process are not drawn yet"
        return row("overlap", "unknown", reason, needed=False)
    evidence = (
        f"of samples whose content is cut from what depends on it {share:.0%} lie outside the region of 99% of the "
        f"data (at most {MOST_OUTSIDE:.0%} for a prediction beyond it)"
    )
    return row("overlap", "holds" if share <= MOST_OUTSIDE else "violated", evidence, needed=False)


def _near_degenerate(process: Process) -> Assumption:
    """The smallest eigenvalue l of the correlation matrix of content, and what an encoder loses without its direction.

    A direction u of unit length holds l u_j^2 of the variance 1 of component j, so the mean R2 of n components falls
    by l / n where it is lost.
    """
    content = [v for v in invariant(process) if v.distribution.domain.kind == "continuous"]
    names = [v.name for v in content]
    try:
        known = content and linear(process) and not infinite_variance(process) & set(names)
        joint = joint_covariances(process) if known else {}
    except IdentboxError:
        reason = "the random parameters of the process are not drawn yet"
        return row("near-degenerate", "unknown", reason, needed=False)
    if not joint:
        reason = "the covariances of content have no closed form"
        return row("near-degenerate", "unknown", reason, needed=False)
    covariance = torch.cat([torch.cat([joint[a, b] for b in names], dim=1) for a in names])
    scale = covariance.diagonal().sqrt()
    least, n = torch.linalg.eigvalsh(covariance / scale / scale[:, None])[0].clamp(min=0).item(), len(scale)
    evidence = (
        f"the smallest eigenvalue of its correlations is {least:.3g} (a note is made below {DEGENERATE:g})"
    )
    if least >= DEGENERATE:
        return row("near-degenerate", "holds", evidence, needed=False)
    evidence += (
        f". An encoder with style in the place of this direction, whose standard deviation is {least**0.5:.2g} of a "
        f"component's, loses {least / n:.1g} of the mean R2 of content. A learner must magnify the direction "
        f"{'without end' if least == 0 else f'{least**-0.5:.0f} times'} to bring it to the scale of the others"
    )
    return row("near-degenerate", "violated", evidence, needed=False)


def _finite_variance(process: Process) -> Assumption:
    """The theorem needs no variance, and scores and ceilings do."""
    heavy = infinite_variance(process)
    if not heavy:
        return row("finite-variance", "holds", "every variable has one", needed=False)
    evidence = (
        f"{first_few([v.name for v in process.variables if v.name in heavy], 3)}: infinite. The theorem does not need "
        "it. But R2 compares with a variance, so that R2 and ceilings of these depend on the largest values of a sample"
    )
    return row("finite-variance", "violated", evidence, needed=False)


def _views(process: Process) -> Assumption:
    """With more than two views the loss is a mean over pairs.

    The oracle attains the minimum of every pair at once, so a minimiser of the mean minimises every pair.
    """
    if len(process.views) == 2:
        return row("views", "holds", f"{' and '.join(process.views)}")
    n = len(process.views)
    evidence = (
        f"{n}. The loss is a mean over {n * (n - 1) // 2} pairs, and one encoder a view attains the minimum of all of "
        "them at once. So a minimiser of the mean minimises each pair, and the theorem speaks of each (with both views "
        "perturbed as in appendix A.7)"
    )
    return row("views", "holds", evidence)


@torch.no_grad()
def singular_values(mixing: InvertibleMLP, z: Float[Tensor, "n d"]) -> tuple[float, float]:
    """The smallest and the largest singular value of a mixing's Jacobian over some latents."""
    values = torch.linalg.svdvals(mixing.jacobian(z.to(mixing.weights)).double())
    return values.min().item(), values.max().item()


def _mixing(mixings: Mapping[str, InvertibleMLP], sample: Sample) -> Assumption:
    spreads = {view: singular_values(mixing, sample.latents(view)) for view, mixing in mixings.items()}
    texts = [f"f{view} from {low:.3g} to {high:.3g}" for view, (low, high) in spreads.items()]
    evidence = f"singular values of the Jacobian over {len(sample)} samples: {first_few(texts, 3)}"
    lost = [view for view, (low, high) in spreads.items() if not low * SINGULAR > high]
    if lost:
        return row("mixing", "violated", f"f{', f'.join(lost)} is not invertible; {evidence}")
    bent = any(mixing.slope.item() != 1 and len(mixing.weights) > 1 for mixing in mixings.values())
    kinks = "; smooth but for the kinks of LeakyReLU, a set of measure zero" if bent else ""
    return row("mixing", "holds", evidence + kinks)


@torch.no_grad()
def _distinct_mechanisms(
    process: Process, mixings: Mapping[str, InvertibleMLP], sample: Sample
) -> Assumption:
    if len(mixings) == 1:
        same = (
            "one mixing makes all views, the special case with f1 = f2, of which the same conclusion is known"
        )
        return row("distinct-mechanisms", "violated", same, needed=False)
    # Where the views' latents differ in size, the mixings do.
    z = sample.latents(process.views[0])
    seen = [mixing(z.to(mixing.weights)) for mixing in mixings.values() if mixing.dim == z.shape[1]]
    gaps = [
        ((a - b).square().sum() / a.square().sum()).sqrt().item() for a, b in itertools.combinations(seen, 2)
    ]
    if gaps and min(gaps) == 0:
        return row("distinct-mechanisms", "violated", "two mixings are the same function", needed=False)
    gap = f"|f1(z) - f2(z)| is {min(gaps):.2g} of |f1(z)|" if gaps else "views of different size"
    return row("distinct-mechanisms", "holds", gap, needed=False)
