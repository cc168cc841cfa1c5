"""VAEs trained beside the optimum: cases of known answer, and the ELBO against integrals on a grid."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from identbox import seeding
from identbox.experiments.trained_gaps import GapTraining, SideBySide, trained_gaps
from identbox.identifiability.discrepancy import AUTOREGRESSIVE, FACTORISED, FULL, OBJECTIVES, gap_bounds
from identbox.learning.elbo import VaeObjective, bound
from identbox.learning.likelihoods import Classes
from identbox.learning.posteriors import Subsets
from identbox.learning.vae import Latents, Modality, MultimodalVAE
from identbox.process.exact import DiscreteProcess

# x1 is a fair bit, x2 another one twice.
TWICE = DiscreteProcess({"x1": ["a"], "x2": ["b", "c"]}, [[[0.25, 0], [0, 0.25]], [[0.25, 0], [0, 0.25]]])
FIRST = Subsets(2, [(0,)])
GRID = np.linspace(-12, 12, 6001)


def normal(mean, variance):
    return np.exp(-((GRID - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def elbo_on_a_grid(vaes, process, decoder, place, subsets, objective):
    """The mean ELBO of one model with a latent variable of one dimension, by integrals over a grid."""
    weights = [layer[place].detach().double().numpy() for layer in vaes.layers]
    biases = [bias[place].detach().double().numpy() for bias in vaes.biases]
    y = GRID[:, None]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = (np.maximum(y, 0) if number else y) @ weight + bias
    prior, total = normal(0, 1), 0.0
    for state, p in np.ndenumerate(process.joint):
        if p == 0:
            continue
        log_decoded, start = np.zeros_like(GRID), 0
        for axis, context in enumerate(decoder.contexts(process.blocks)):
            shape = [process.joint.shape[c] for c in (*context, axis)]
            table = y[:, start : start + math.prod(shape)].reshape(len(GRID), *shape)
            start += math.prod(shape)
            logits = table[(slice(None), *(state[c] for c in context))]
            log_decoded += logits[:, state[axis]] - np.log(np.exp(logits).sum(1))
        experts = []
        for means, variances, block in zip(vaes.means, vaes.log_variances, process.blocks, strict=True):
            row = np.ravel_multi_index([state[a] for a in block], [process.joint.shape[a] for a in block])
            experts.append((means[place, row].item(), math.exp(-variances[place, row].item())))
        components = []
        for subset in subsets.members:
            precision = 1 + sum(experts[k][1] for k in subset)
            components.append(
                normal(sum(experts[k][0] * experts[k][1] for k in subset) / precision, 1 / precision)
            )
        mixture = sum(w * q for w, q in zip(subsets.weights, components, strict=True))
        for w, q in zip(subsets.weights, components, strict=True):
            ratio = np.log(np.maximum(mixture if objective == "5.18" else q, 1e-300) / prior)
            total += p * w * (q * (log_decoded - ratio)).sum() * (GRID[1] - GRID[0])
    return total


@pytest.mark.parametrize("decoder", [FACTORISED, AUTOREGRESSIVE], ids=lambda one: one.name)
def test_the_elbos_of_models_side_by_side_are_integrals_of_each_by_itself(decoder):
    joint = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(2, 3, 2)
    process = DiscreteProcess({"x1": ["a"], "x2": ["b", "c"]}, joint)
    models = [
        (subsets, objective)
        for subsets in (Subsets.powerset(2), Subsets.single(2), Subsets(2, [(1,), (0, 1)], [0.3, 0.7]))
        for objective in OBJECTIVES
    ]
    vaes = SideBySide(process, decoder, models, GapTraining(latents=1, width=8), seed=0)
    generator = seeding.generator(0, "test")
    with torch.no_grad():
        drawn = torch.stack([vaes.elbos(100, generator) for _ in range(40)])
    errors = drawn.std(0) / math.sqrt(len(drawn))
    for place, (subsets, objective) in enumerate(models):
        expected = elbo_on_a_grid(vaes, process, decoder, place, subsets, objective)
        # Six estimates, each with the chance of 6e-5 to be wrong by four standard errors.
        assert abs(drawn[:, place].mean().item() - expected) < 4 * errors[place].item()
        assert errors[place] < 0.02


class Encoder(nn.Module):
    """The table of one modality of one of the models side by side."""

    def __init__(self, vaes, place, modality, sizes):
        super().__init__()
        self.sizes = sizes
        self.table = torch.cat([tables[modality][place] for tables in (vaes.means, vaes.log_variances)], 1)

    def forward(self, x):
        return self.table[torch.from_numpy(np.ravel_multi_index(x.T.numpy(), self.sizes))]


class Decoder(nn.Module):
    """The factorised decoder of one modality of one of the models side by side, for components of two classes."""

    def __init__(self, vaes, place, block):
        super().__init__()
        self.vaes, self.place, self.block = vaes, place, block

    def forward(self, z):
        y = z
        for number, (layer, bias) in enumerate(zip(self.vaes.layers, self.vaes.biases, strict=True)):
            y = (y.relu() if number else y) @ layer[self.place] + bias[self.place]
        return y.view(len(z), -1, 2)[:, self.block].transpose(1, 2)


@pytest.mark.parametrize(("objective", "divergence"), [("5.18", "mixture"), ("5.19", "components")])
def test_the_elbos_are_those_of_the_multimodal_vae_with_the_same_weights(objective, divergence):
    joint = np.random.default_rng(1).dirichlet(np.ones(8)).reshape(2, 2, 2)
    process = DiscreteProcess({"x1": ["a"], "x2": ["b", "c"]}, joint)
    subsets = Subsets(2, [(0,), (0, 1)], [0.3, 0.7])
    vaes = SideBySide(process, FACTORISED, [(subsets, objective)], GapTraining(), seed=0)
    modalities, x = {}, {}
    for number, (name, block) in enumerate(zip(process.modalities, process.blocks, strict=True)):
        modalities[name] = Modality(
            encoder=Encoder(vaes, 0, number, (2,) * len(block)),
            decoder=Decoder(vaes, 0, list(block)),
            likelihood=Classes(classes=2),
        )
        x[name] = vaes.states[:, list(block)]
    vae = MultimodalVAE(modalities, Latents(shared=2), subsets)
    wanted = VaeObjective(divergence=divergence, samples=2000)
    with torch.no_grad():
        engine = [
            vaes.p @ bound(vae, x, wanted, generator=seeding.generator(k, "test")).value for k in range(10)
        ]
        drawn = [vaes.elbos(2000, seeding.generator(k, "own"))[0] for k in range(10)]
    error = math.hypot(torch.stack(engine).std().item(), torch.stack(drawn).std().item()) / math.sqrt(10)
    assert error < 0.01
    assert abs(torch.stack(engine).mean().item() - torch.stack(drawn).mean().item()) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "least"), [(FACTORISED, math.log(2)), (FULL, 0.0)])
def test_where_z_is_of_no_use_the_trained_gap_is_the_bound(decoder, least):
    """From x1 nothing is known of x2, whose pixels are equal: log 2 for factorised decoders, 0 for full ones."""
    models = [(FIRST, objective) for objective in OBJECTIVES]
    for found in trained_gaps(TWICE, decoder, models, GapTraining(steps=150, measurements=10), seed=0):
        assert gap_bounds(TWICE, FIRST, decoder, "5.18").low == pytest.approx(least, abs=1e-12)
        assert least - 4 * found.error < found.gap < least + 0.1


def test_models_are_trained_each_by_itself_and_stay_above_their_bounds():
    models = [(Subsets.single(2), "5.19"), (Subsets.all_modalities(2), "5.18"), (FIRST, "5.19")]
    start, end = (
        trained_gaps(
            TWICE,
            FACTORISED,
            models,
            GapTraining(steps=steps, width=16, measured_samples=20, measurements=10),
            seed=0,
        )
        for steps in (0, 40)
    )
    for (subsets, objective), before, after in zip(models, start, end, strict=True):
        assert after.gap < before.gap - 5 * (before.error + after.error)
        assert after.gap > gap_bounds(TWICE, subsets, FACTORISED, objective).low - 4 * after.error


def test_training_is_the_same_for_the_same_seed():
    first, again = (
        trained_gaps(
            TWICE, FULL, [(Subsets.powerset(2), "5.18")], GapTraining(steps=3, measurements=2), seed=1
        )
        for _ in range(2)
    )
    assert first == again
