"""The objectives and estimators of multimodal VAEs, held against closed forms on the machine at hand.

Each check is one at which an implementation is known to have failed: a modality that was dropped, samples from another
law than the weights say, a value that depends on the place in the batch, gradients that a hook never reached.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from identbox.learning.densities import Gaussian, spread
from identbox.learning.elbo import VaeObjective, bound
from identbox.learning.posteriors import Subsets, product
from identbox.learning.vae import Data, MultimodalVAE
from identbox.metrics.likelihood import log_likelihood
from identbox.metrics.linear_gaussian import LinearGaussianVAE, linear_gaussian

MOST_ERRORS = 4.0  # standard errors by which an estimate may differ from what is true
ESTIMATES = 4000  # independent estimates, of which the mean is taken
SUBSETS_OF_MODELS = {
    "MVAE": Subsets.all_modalities(3),
    "MMVAE": Subsets.single(3),
    "MoPoE-VAE": Subsets.powerset(3),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: what was examined, how far it is from what is true, and how far it may be."""

    what: str
    expected: str
    difference: float
    most: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.difference <= self.most  # also false where it is not a number


@dataclass(frozen=True)
class _Case:
    """A linear-Gaussian model with data of it on a device, in float32."""

    truth: LinearGaussianVAE
    x: dict[str, Tensor]
    device: torch.device

    @staticmethod
    def make(device: torch.device, *, specific: int = 0, n: int = 4) -> _Case:
        truth = linear_gaussian(specific=specific, seed=0)
        x = truth.sample(n, generator=torch.Generator().manual_seed(1))
        return _Case(truth, {name: values.float().to(device) for name, values in x.items()}, device)

    def vae(self, subsets: Subsets, **options: str) -> MultimodalVAE:
        return self.truth.vae(subsets, **options).to(self.device)  # type: ignore[arg-type]

    def generator(self, seed: int = 0) -> torch.Generator:
        return torch.Generator(device=self.device).manual_seed(seed)

    def log_density(self, names: list[str] | None = None) -> Tensor:
        return self.truth.log_density({name: values.cpu() for name, values in self.x.items()}, names)


def checks(device: torch.device | str = "cpu") -> Iterator[Check]:
    """Every check, one after the other, on a device. All of them take less than a minute on one core."""
    place = torch.device(device)
    groups: tuple[Callable[[torch.device], Iterator[Check]], ...] = (
        _products,
        _exact_posterior,
        _likelihood_checks,
        _places,
        _canaries,
        _estimators,
        _importance_weights,
        _auxiliary_priors,
    )
    for group in groups:
        yield from group(place)


def _products(device: torch.device) -> Iterator[Check]:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(5, 64, 8, generator=generator)
    log_variance = torch.rand(5, 64, 8, generator=generator) * 140 - 40
    subsets = Subsets.powerset(5)
    made = product(Gaussian(mean.to(device), log_variance.to(device)), subsets.mask.to(device))
    worst = 0.0
    for place, members in enumerate(subsets.members):
        precisions = (-log_variance[list(members)].double()).exp()
        precision = 1 + precisions.sum(0)
        exact = (precisions * mean[list(members)]).sum(0) / precision
        for one, other in ((made.mean, exact), (spread(made), -precision.log())):
            error = (one[place].cpu() - other).abs() / other.abs().clamp(min=1)
            worst = max(worst, error.max().item())
    yield Check(
        what="products, log-variances -40 to 100",
        expected="float64",
        difference=worst,
        most=1e-6,
    )


def _exact_posterior(device: torch.device) -> Iterator[Check]:
    case = _Case.make(device, n=64)
    objective = VaeObjective(divergence="mixture")
    value = bound(case.vae(SUBSETS_OF_MODELS["MVAE"]), case.x, objective, generator=case.generator()).value
    error = ((value.cpu() - case.log_density()) / case.log_density()).abs().max().item()
    yield Check(what="ELBO of MVAE, true posterior", expected="log p(x)", difference=error, most=1e-5)


def _likelihood_checks(device: torch.device) -> Iterator[Check]:
    for name, subsets in SUBSETS_OF_MODELS.items():
        case = _Case.make(device)
        yield _likelihood_check(f"log p(x), {name}", case, case.vae(subsets))
    case = _Case.make(device, specific=2)
    yield _likelihood_check("log p(x), partitioned MMVAE", case, case.vae(SUBSETS_OF_MODELS["MMVAE"]))
    case = _Case.make(device)
    vae = case.vae(SUBSETS_OF_MODELS["MoPoE-VAE"])
    yield _likelihood_check("log p(x1, x3), MoPoE-VAE", case, vae, names=["x1", "x3"])
    yield _likelihood_check("log p(x1, x3 | x2), MoPoE-VAE", case, vae, names=["x1", "x3"], given=["x2"])


def _likelihood_check(
    what: str,
    case: _Case,
    vae: MultimodalVAE,
    names: list[str] | None = None,
    given: list[str] | None = None,
) -> Check:
    estimate = log_likelihood(vae, case.x, names, given=given or (), samples=3000, seed=0)
    expected = case.log_density([*(names or case.truth.names), *(given or ())])
    if given:
        expected = expected - case.log_density(given)
    # With a proposal that is the posterior no error is left but that of rounding.
    errors = estimate.errors.cpu().clamp(min=1e-5)
    difference = ((estimate.values.cpu() - expected).abs() / errors).max().item()
    return Check(what=what, expected="closed form", difference=difference, most=MOST_ERRORS, unit="s.e.")


def _places(device: torch.device) -> Iterator[Check]:
    case = _Case.make(device, n=9)
    vae = case.vae(SUBSETS_OF_MODELS["MoPoE-VAE"])
    whole = log_likelihood(vae, case.x, samples=300, seed=0).values
    worst = 0.0
    for start, stop in ((0, 1), (3, 5), (4, 9)):
        part = {name: values[start:stop] for name, values in case.x.items()}
        values = log_likelihood(vae, part, samples=300, seed=0, first=start).values
        worst = max(worst, (values - whole[start:stop]).abs().max().item())
    yield Check(
        what="log p(x) in any place of any batch",
        expected="one value",
        difference=worst,
        most=1e-4,
    )


def _canaries(device: torch.device) -> Iterator[Check]:
    case = _Case.make(device)
    before = {name: values.clone() for name, values in case.x.items()}
    unmoved, others = 0.0, 0.0
    for subsets in SUBSETS_OF_MODELS.values():
        vae = case.vae(subsets)

        def value(x: Data, vae: MultimodalVAE = vae) -> Tensor:
            return bound(vae, x, VaeObjective(samples=2), generator=case.generator()).value

        first = value(case.x)
        for name in case.truth.names:
            changed = case.x[name].clone()
            changed[1] += 1
            moved = (value({**case.x, name: changed}) - first).abs()
            unmoved += float(moved[1] == 0)
            others = max(others, moved[[0, 2, 3]].max().item())
    yield Check(what="modalities that the ELBO ignores", expected="none", difference=unmoved, most=0.0)
    yield Check(what="influence of other samples", expected="none", difference=others, most=1e-4)
    changed_keys = set(before) ^ set(case.x)
    mutated = float(sum(not torch.equal(before[name], case.x[name]) for name in before) + len(changed_keys))
    yield Check(what="inputs changed in place", expected="none", difference=mutated, most=0.0)


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    values = values.detach().double()
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def _repeated(case: _Case, times: int = ESTIMATES) -> dict[str, Tensor]:
    return {name: values[:1].repeat(times, 1) for name, values in case.x.items()}


def _estimators(device: torch.device) -> Iterator[Check]:
    case = _Case.make(device)
    vae = case.vae(SUBSETS_OF_MODELS["MoPoE-VAE"], encoders="random")
    for divergence, equation in (("mixture", "5.18"), ("components", "5.19")):
        found = []
        for draws in ("all", "one"):
            objective = VaeObjective(divergence=divergence, subsets=draws)  # type: ignore[arg-type]
            value = bound(vae, _repeated(case), objective, generator=case.generator()).value
            found.append(_mean_and_error(value))
        (exact, error), (drawn, more) = found
        yield Check(
            what=f"{equation}, one subset drawn",
            expected="all subsets",
            difference=abs(exact - drawn) / (error**2 + more**2) ** 0.5,
            most=MOST_ERRORS,
            unit="s.e.",
        )


def _importance_weights(device: torch.device) -> Iterator[Check]:
    case = _Case.make(device)
    vae = case.vae(SUBSETS_OF_MODELS["MMVAE"], encoders="random")
    found = []
    for k in (1, 5, 25):
        objective = VaeObjective(bound="iwae", divergence="mixture", samples=k)
        value = bound(vae, _repeated(case, 1000), objective, generator=case.generator()).value
        found.append(_mean_and_error(value))
    found.append((case.log_density()[0].item(), 0.0))
    falls = [(a - b) / (e**2 + f**2) ** 0.5 for (a, e), (b, f) in itertools.pairwise(found)]
    yield Check(
        what="fall of IWAE over K = 1, 5, 25",
        expected="none",
        difference=max(falls),
        most=MOST_ERRORS,
        unit="s.e.",
    )
    gradients = []
    for kind in ("iwae", "dreg"):
        rows = []
        for k in range(30):
            objective = VaeObjective(bound=kind, samples=5)
            value = bound(vae, _repeated(case, 500), objective, generator=case.generator(k)).value.mean()
            encoder = next(iter(vae.encoders["x1"].parameters()))
            rows.append(torch.autograd.grad(value, encoder)[0].cpu())
        stacked = torch.stack(rows).double()
        gradients.append((stacked.mean(0), stacked.std(0) / len(rows) ** 0.5))
    (plain, error), (doubly, more) = gradients
    yield Check(
        what="gradient of DReG, K = 5",
        expected="that of IWAE",
        difference=((plain - doubly).abs() / (error**2 + more**2).sqrt()).max().item(),
        most=MOST_ERRORS,
        unit="s.e.",
    )


def _auxiliary_priors(device: torch.device) -> Iterator[Check]:
    case = _Case.make(device, specific=2)
    vae = case.vae(SUBSETS_OF_MODELS["MMVAE"])
    with torch.no_grad():
        vae.auxiliary.fill_(-3.0)
    found = {}
    for crossmodal in ("published", "strict"):
        objective = VaeObjective(crossmodal=crossmodal, divergence="mixture")
        value = bound(vae, _repeated(case), objective, generator=case.generator()).value
        found[crossmodal] = _mean_and_error(value)
    strict, error = found["strict"]
    yield Check(
        what="MMVAE+, strict above log p(x)",
        expected="not above",
        difference=(strict - case.log_density()[0].item()) / error,
        most=MOST_ERRORS,
        unit="s.e.",
    )
    # Each modality lacks its divergence in two of three subsets.
    missing = 2 / 3 * sum(vae.auxiliary_prior(k).kl_to_prior().item() for k in range(3))
    yield Check(
        what="MMVAE+, published less strict",
        expected="missing KL",
        difference=abs(found["published"][0] - strict - missing),
        most=1e-3,
    )
