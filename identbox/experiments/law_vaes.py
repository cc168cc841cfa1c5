"""Multimodal VAEs on discrete laws whose entropies are known: what a trained model loses is known in nats.

A law is a table of probabilities or a graph of noisy copies, as `identbox verify --theorem 1` reads it. A step sees
samples of it. Afterwards the record sets the bound and the log-likelihoods of the model beside the exact ones, and the
gap beside what Theorem 1 says that no model reaches.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config, seeding
from identbox.errors import IdentboxError
from identbox.experiments.generative import Generative, bound_record, likelihoods_asked, vae_folder
from identbox.experiments.run import Trainable
from identbox.experiments.vae_learners import VaeLearner, embeddings
from identbox.experiments.vae_networks import VaeDecoderSettings, VaeEncoderSettings
from identbox.identifiability.discrepancy import FACTORISED, FULL, DecoderFamily, ObjectiveName, gap_bounds
from identbox.learning.autoregressive import CausalDecoder
from identbox.learning.decoders import VectorDecoder
from identbox.learning.elbo import VaeObjective, bound
from identbox.learning.encoders import MLPSettings, OneHotEncoder
from identbox.learning.likelihoods import Components
from identbox.learning.training import NO_CALLBACKS, Callbacks, Trained, TrainingSettings
from identbox.learning.vae import Latents, Modality, MultimodalVAE
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.targets import Target
from identbox.process.exact import DiscreteProcess
from identbox.process.exact_tables import load_exact

LATENTS = 2  # shared dimensions, where the configuration names none
EXACT_STATES = 4096  # whose mean is taken exactly; of more, as many are drawn
MEASUREMENTS = 40  # of the bound, each with its own latent points


def load_law(path: Path) -> DiscreteProcess:
    """The discrete law of a TOML file. Raises IdentboxError for all that is wrong in it, and for another law."""
    law = load_exact(path)
    if not isinstance(law, DiscreteProcess):
        raise IdentboxError(
            f"{path}: expected a law of classes, got a covariance; see identbox train simulation"
        )
    return law


def law_sha256(law: DiscreteProcess) -> str:
    """A hash of the modalities and of every probability."""
    names = json.dumps(law.modalities).encode()
    return hashlib.sha256(names + law.joint.tobytes()).hexdigest()


class LawVae(VaeLearner):
    """A multimodal VAE of the modalities of a discrete law."""

    def __init__(
        self,
        law: DiscreteProcess,
        vae: MultimodalVAE,
        objective: VaeObjective,
        training: TrainingSettings,
        *,
        seed: int,
    ) -> None:
        super().__init__(vae, objective, training, seed)
        self.law = law

    def data(self, step: int, stream: str) -> dict[str, Tensor]:
        return self.sample(self.training_settings.batch, stream, step)

    def sample(self, n: int, *stream: str | int) -> dict[str, Tensor]:
        """Samples of the law, on the device of the model."""
        drawn = self.law.sample(n, generator=seeding.generator(self.seed, "law", *stream))
        return {name: values.to(self.device) for name, values in drawn.items()}


def law_vae(experiment: Generative, law: DiscreteProcess, *, seed: int) -> LawVae:
    """The untrained model of a law: multilayer perceptrons on one-hot classes."""
    latents = experiment.encoder.latents(LATENTS)
    parts = law_modalities(law, latents, experiment.encoder, experiment.decoder, seed=seed)
    vae = MultimodalVAE(parts, latents, experiment.subsets_of(tuple(parts)))
    return LawVae(law, vae, experiment.elbo, experiment.training, seed=seed)


def law_modalities(
    law: DiscreteProcess,
    latents: Latents,
    encoder: VaeEncoderSettings,
    decoder: VaeDecoderSettings,
    *,
    seed: int,
) -> dict[str, Modality]:
    """Networks and a likelihood for every modality of a law.

    Components are independent given the latent variables, or with ``decoder.text = "autoregressive"`` each sees those
    before it.
    """
    inwards = MLPSettings(widths=encoder.widths, slope=encoder.slope)
    outwards = MLPSettings(widths=decoder.widths, slope=encoder.slope)
    wide, parts = latents.shared + latents.specific, {}
    for name, block in zip(law.modalities, law.blocks, strict=True):
        likelihood = Components(sizes=tuple(law.joint.shape[axis] for axis in block))
        classes, length = likelihood.outputs((len(block),))
        stream = f"decoder/{name}"
        parts[name] = Modality(
            encoder=OneHotEncoder(
                classes, length, latents.parameters, inwards, seed=seed, name=f"encoder/{name}"
            ),
            decoder=CausalDecoder(wide, classes, length, seed=seed, name=stream)
            if decoder.text == "autoregressive"
            else VectorDecoder(wide, (classes, length), outwards, seed=seed, name=stream),
            likelihood=likelihood,
        )
    return parts


def run_vae_on_law(
    experiment: Generative,
    path: Path,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train and measure a multimodal VAE on the law of a TOML file; writes and returns the record.

    Raises IdentboxError as `RunFolder.run` does, and names the term of the bound where a step is not finite.
    """
    law = load_law(path)

    def make() -> Trainable:
        learner = law_vae(experiment, law, seed=seed).to(device)
        return learner.trainable(lambda trained: _law_measures(learner, trained, experiment))

    run = dataclasses.replace(
        vae_folder(folder, experiment, seed=seed),
        inputs={"law": {"file": str(path), "sha256": law_sha256(law)}},
        movable=("law.file",),
    )
    return run.run(make, callbacks)


def _law_measures(learner: LawVae, trained: Trained, experiment: Generative) -> dict[str, Any]:
    learner.eval()
    law = learner.law
    held_out = learner.sample(max(1, experiment.likelihood.data), "likelihood")
    record = bound_record(learner, trained, held_out, experiment)
    return {
        "law": {"name": law.name, "description": law.description, "modalities": law.modalities},
        **record,
        **_probes(learner, experiment),
        "exact": {
            **gap_record(learner, experiment),
            "likelihood": [
                exact_log_likelihood(law, held_out, names, given)
                for names, given in likelihoods_asked(tuple(law.modalities))
                if record["likelihood"]
            ],
        },
    }


def exact_log_likelihood(
    law: DiscreteProcess, x: Mapping[str, Tensor], names: tuple[str, ...], given: tuple[str, ...]
) -> float:
    """The mean of log p(x_names | x_given) over samples, from the probabilities of the law, in nats."""

    def mean_log(chosen: tuple[str, ...]) -> float:
        if not chosen:
            return 0.0
        wanted = [n for n in law.modalities if n in chosen]
        axes = [a for n, block in zip(law.modalities, law.blocks, strict=True) if n in wanted for a in block]
        states = torch.cat([x[name] for name in wanted], dim=1).cpu().T
        return float(torch.from_numpy(law.marginal(axes)[tuple(states.numpy())]).log().mean())

    return mean_log((*names, *given)) - mean_log(given)


@torch.no_grad()
def gap_record(learner: LawVae, experiment: Generative) -> dict[str, Any]:
    """The bound with beta 1 over all states of the law, and what the gap to log p(x) is above, in nats."""
    law, objective = learner.law, dataclasses.replace(learner.objective, beta=1.0, weights={})
    x, p = _states(learner)
    values = []
    for number in range(MEASUREMENTS):
        generator = seeding.generator(learner.seed, "law", "bound", number, device=learner.device)
        terms = bound(learner.vae, x, objective, generator=generator)
        values.append(float(terms.value.double() @ p))
    mean = math.fsum(values) / MEASUREMENTS
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (MEASUREMENTS - 1) / MEASUREMENTS)
    evidence = -law.entropy(range(len(law.components)))
    found = {"log_evidence": evidence, "bound": mean, "error": error, "states": len(p)}
    family = decoder_family(experiment)
    theorem = objective.bound == "elbo" and experiment.encoder.specific == 0 and objective.decoded == "all"
    if not theorem or learner.vae.latents.family != "gaussian":
        return found
    name: ObjectiveName = "5.18" if objective.divergence == "mixture" else "5.19"
    bounds = gap_bounds(law, learner.vae.subsets, family, name)
    return {
        **found,
        "objective": name,
        "decoder": family.name,
        "least_gap": bounds.low,
        "printed_gap": bounds.delta,
    }


def decoder_family(experiment: Generative) -> DecoderFamily:
    """What the decoders may express given z: components that are independent, or a whole modality."""
    return FULL if experiment.decoder.text == "autoregressive" else FACTORISED


def _states(learner: LawVae) -> tuple[dict[str, Tensor], Float[Tensor, " n"]]:
    """Every state of the law with its probability; of too many, a sample in which each counts the same."""
    law = learner.law
    states, p = law.support()
    if len(p) > EXACT_STATES:
        return learner.sample(EXACT_STATES, "states"), torch.full(
            (EXACT_STATES,), 1 / EXACT_STATES, dtype=torch.float64, device=learner.device
        )
    rows = torch.from_numpy(states).to(learner.device)
    blocks = zip(law.modalities, law.blocks, strict=True)
    return {name: rows[:, list(block)] for name, block in blocks}, torch.from_numpy(p).to(learner.device)


def _probes(learner: LawVae, experiment: Generative) -> dict[str, list[dict[str, Any]]]:
    """Every component predicted from the embeddings of each modality, and from those of all together."""
    settings, law = experiment.probes, learner.law
    drawn = [learner.sample(settings.samples, "probe", part) for part in ("fit", "score")]
    fit, score = (embeddings(learner.vae, x) for x in drawn)
    whole = [torch.cat(list(x.values()), dim=1).cpu() for x in drawn]
    targets = [
        Target(
            name=name,
            train=whole[0][:, [axis]],
            test=whole[1][:, [axis]],
            kind="discrete",
            classes=law.joint.shape[axis],
        )
        for axis, name in enumerate(law.components)
        if all(len(part[:, axis].unique()) > 1 for part in whole)
    ]
    records: dict[str, list[dict[str, Any]]] = {"probes": [], "probes_subsets": []}
    for view in fit:
        scores = probe_targets(
            fit[view],
            score[view],
            targets,
            settings=PredictorSettings(bootstrap=settings.bootstrap, centre=True),
            seed=seeding.derive(learner.seed, "probing", view),
        )
        key = "probes" if view in law.modalities else "probes_subsets"
        records[key] += [config.toml_values(dataclasses.replace(one, view=view).record()) for one in scores]
    return records
