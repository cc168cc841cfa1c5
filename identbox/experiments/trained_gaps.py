"""The gaps of small Gaussian VAEs that are trained on a discrete process, beside what their family can reach at best.

The mean over data is exact: a step sees every state, weighted by its probability. Encoders are tables, a mean and a
log-variance for each value of a modality, so that nothing is lost by amortisation. What is left above the least gap
over all encoders is what Gaussian products of experts, a normal prior, and the training cost.

Several models are trained side by side: a step of ten takes hardly longer than a step of one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.identifiability.discrepancy import DecoderFamily, ObjectiveName
from identbox.learning.densities import Gaussian, prior
from identbox.learning.optimizers import Adam
from identbox.learning.posteriors import Mixture, Subsets, product
from identbox.process.exact import DiscreteProcess
from identbox.settings import Count, Positive, at_least, settings

START = -1.0  # of log-variances


@settings
class GapTraining:
    """How the VAEs beside the optimum are trained."""

    # Steps of Adam; 0: nothing is trained.
    steps: Annotated[int, at_least(0)] = 0
    # Dimensions of z.
    latents: Count = 2
    # Units of the decoders' two hidden layers.
    width: Count = 32
    # At the first step; it falls to 0 as a cosine.
    learning_rate: Positive = 0.05
    # Samples of z for each subset and state in a step, and in each of the measurements, of which there are as many.
    samples: Count = 4
    measured_samples: Count = 50
    measurements: Annotated[int, at_least(2)] = 40


@dataclass(frozen=True, kw_only=True)
class TrainedGap:
    """The gap of a VAE that was trained, in nats, with the standard error of its estimate."""

    gap: float
    error: float


def trained_gaps(
    process: DiscreteProcess,
    decoder: DecoderFamily,
    models: Sequence[tuple[Subsets, ObjectiveName]],
    training: GapTraining,
    *,
    seed: int,
) -> list[TrainedGap]:
    """Train a VAE for each of some models, and estimate its E[log p(x)] - E[L] from fresh samples of z."""
    vaes = SideBySide(process, decoder, models, training, seed=seed)
    optimizer = Adam(vaes.parameters(), lr=training.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, training.steps))
    for step in range(training.steps):
        optimizer.zero_grad(set_to_none=True)
        generator = seeding.generator(seed, "trained gaps", step)
        # No two models share a parameter: the sum trains each by itself.
        (-vaes.elbos(training.samples, generator).sum()).backward()
        optimizer.step()
        schedule.step()
    generator = seeding.generator(seed, "trained gaps", "measured")
    with torch.no_grad():
        measured = torch.stack(
            [vaes.elbos(training.measured_samples, generator) for _ in range(training.measurements)]
        ).double()
    log_evidence = -process.entropy(range(len(process.components)))
    errors = measured.std(0) / math.sqrt(len(measured))
    return [
        TrainedGap(gap=log_evidence - value, error=error)
        for value, error in zip(measured.mean(0).tolist(), errors.tolist(), strict=True)
    ]


class SideBySide(nn.Module):
    """Gaussian VAEs of several sets of subsets and objectives on the states of one process, trained side by side.

    Every posterior is a mixture over all subsets that any of the models has; the others have weight 0 in it.
    """

    def __init__(
        self,
        process: DiscreteProcess,
        decoder: DecoderFamily,
        models: Sequence[tuple[Subsets, ObjectiveName]],
        training: GapTraining,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        states, p = process.support()
        self.states, self.p = torch.from_numpy(states), torch.from_numpy(p).float()
        every = list(dict.fromkeys(tuple(sorted(one)) for subsets, _ in models for one in subsets.members))
        self.mask = Subsets(len(process.blocks), tuple(every)).mask
        self.weights = torch.zeros(len(every), len(models))
        for place, (subsets, _) in enumerate(models):
            for one, weight in zip(subsets.members, subsets.weights, strict=True):
                self.weights[every.index(tuple(sorted(one))), place] = weight
        self.mixed = torch.tensor([objective == "5.18" for _, objective in models])
        sizes = process.joint.shape
        generator = seeding.generator(seed, "trained gaps", "weights")

        def drawn(*shape: int, scale: float = 1.0) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(len(models), *shape, generator=generator))

        self.values = [_state_numbers(self.states, block, sizes) for block in process.blocks]
        counts = [math.prod(sizes[axis] for axis in block) for block in process.blocks]
        self.means = nn.ParameterList(drawn(count, training.latents) for count in counts)
        self.log_variances = nn.ParameterList(
            nn.Parameter(torch.full_like(mean, START)) for mean in self.means
        )
        # A component's table of logits: a row for each combination of classes of its context.
        contexts = decoder.contexts(process.blocks)
        self.rows = [math.prod(sizes[c] for c in context) for context in contexts]
        self.classes = sizes
        self.places = [_state_numbers(self.states, context, sizes) for context in contexts]
        outputs = sum(rows * size for rows, size in zip(self.rows, sizes, strict=True))
        widths = (training.latents, training.width, training.width, outputs)
        self.layers = nn.ParameterList(
            drawn(before, after, scale=before**-0.5) for before, after in itertools.pairwise(widths)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(len(models), 1, after)) for after in widths[1:]
        )

    def elbos(self, samples: int, generator: torch.Generator) -> Float[Tensor, " c"]:
        """The mean over all states of the ELBO of each model, from that many samples of z for each subset."""
        s, c, n = len(self.mask), len(self.mixed), len(self.p)
        q = product(
            self._experts(), self.mask
        )  # (s, c n, d): the states of each model, one model after another
        z = q.from_noise(q.noise(samples, generator))
        log_weights = self.weights.log().repeat_interleave(n, 1)
        ratio = Mixture(q, log_weights).log_density(z) - prior("gaussian", z).log_density(z)
        divergence = torch.where(
            self.mixed[:, None], ratio.view(samples, s, c, n), q.kl_to_prior().view(s, c, n)
        )
        terms = self.log_likelihood(z.view(samples, s, c, n, -1)) - divergence
        return (self.weights[..., None] * terms.mean(0) * self.p).sum((0, 2))

    def log_likelihood(self, z: Float[Tensor, "k s c n d"]) -> Float[Tensor, "k s c n"]:
        """log p(x | z) of every state under the decoders of each model."""
        k, s, c, n, _ = z.shape
        y = z.permute(2, 0, 1, 3, 4).reshape(c, k * s * n, -1)
        for place, (layer, bias) in enumerate(zip(self.layers, self.biases, strict=True)):
            y = torch.baddbmm(bias, y.relu() if place else y, layer)
        total: Tensor | float = 0.0
        start = 0
        for axis, (rows, size) in enumerate(zip(self.rows, self.classes, strict=True)):
            table = y[..., start : start + rows * size].view(c, k * s, n, rows, size)
            start += rows * size
            logits = table[:, :, torch.arange(n), self.places[axis]]
            total = total + logits.log_softmax(-1)[:, :, torch.arange(n), self.states[:, axis]]
        assert isinstance(total, Tensor)
        return total.view(c, k, s, n).permute(1, 2, 0, 3)

    def _experts(self) -> Gaussian:
        """What each modality says of z in each state: (m, c n, d)."""

        def chosen(tables: nn.ParameterList) -> Tensor:
            pairs = zip(tables, self.values, strict=True)
            return torch.stack([table[:, values].flatten(0, 1) for table, values in pairs])

        return Gaussian(chosen(self.means), chosen(self.log_variances))


def _state_numbers(
    states: Int[Tensor, "n d"], axes: Sequence[int], sizes: Sequence[int]
) -> Int[Tensor, " n"]:
    """The number of each state among all combinations of classes of some components."""
    number = states.new_zeros(len(states))
    for axis in axes:
        number = number * sizes[axis] + states[:, axis]
    return number
