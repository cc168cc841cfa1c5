"""One numerical simulation from its configuration to its record (section 8.4.1, appendix A.6).

A run lives in a folder: ``config.toml`` says what it is, ``metrics.jsonl`` and ``checkpoint.pt`` how far it is, and
``results.json`` what came out. The same configuration in the same folder goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from identbox import config
from identbox.config import configuration
from identbox.errors import IdentboxError
from identbox.experiments.hard_stage import Projected, Projection
from identbox.experiments.identification import identification_record
from identbox.experiments.learner import Learner
from identbox.experiments.optimum import optimum
from identbox.experiments.records import SIMULATION
from identbox.experiments.run import RunFolder, Trainable
from identbox.identifiability.verify import read_by
from identbox.learning.contrastive import Objective
from identbox.learning.encoders import MLP, MLPSettings
from identbox.learning.hard_negatives import HardNegatives
from identbox.learning.training import NO_CALLBACKS, Callbacks, Trained, TrainingSettings
from identbox.metrics.interventional import Encode, content_r2, probe_world
from identbox.metrics.scores import Score
from identbox.process import presets as process_presets
from identbox.process import tables
from identbox.process.covariances import Covariance
from identbox.process.mixing import Mixing
from identbox.process.model import Process, Role
from identbox.process.tables import table_from_process
from identbox.process.world import World, unique_mixings
from identbox.settings import Count, at_least, settings, table_of

CONDITIONING = 1024  # samples over which the mixings are conditioned


@settings
class ProcessSettings:
    """The generative process of a simulation: section 8.4.1, or a file of one's own."""

    file: str | None = None  # a TOML file, instead of all that follows
    content: int = 5  # dimensions of each block
    style: int = 5
    specific: int = 5  # of each view's own; the multi-view setting has none
    change_probability: float = 1.0  # of each component of style
    statistical: bool = False  # covariances drawn at random, otherwise identities
    causal: bool = False  # style caused by content
    symmetric: bool = False  # both views perturbed (appendix A.7)
    covariance: Covariance = "wishart"  # how covariances are drawn where ``statistical``
    discrete: tuple[Role, ...] = ()  # blocks whose components are classes (appendix A.6)
    classes: int = 3  # of each component of a discrete block

    def __post_init__(self) -> None:
        others = [key for key in table_of(self) if key != "file"]
        if self.file is not None and others:
            raise IdentboxError(f"file: expected no other key beside it, got {', '.join(others)}")

    def make(self, setting: Setting) -> Process:
        """The process, its random parameters not yet drawn."""
        if self.file is not None:
            return tables.load_process(self.file)
        return process_presets.numerical_simulation(
            content=self.content,
            style=self.style,
            specific=self.specific if setting == "multimodal" else 0,
            change_probability=self.change_probability,
            statistical=self.statistical,
            causal=self.causal,
            symmetric=self.symmetric,
            covariance=self.covariance,
            discrete=self.discrete,
            classes=self.classes,
        )


@settings
class ProbeSettings:
    """How encodings are probed (section 2.5)."""

    samples: Annotated[int, at_least(10)] = 4096  # to fit on, and as many others to score on
    interventions: bool = True  # probe after a permutation of each block, too (appendix A.6)
    bootstrap: Count = 200  # resamples of the intervals


Setting = Literal["multimodal", "multiview"]


@settings
class Simulation:
    """All that a simulation is, but for its seed."""

    # multimodal: a mixing and an encoder for each view (f1 != f2); multiview: one for both, nothing view-specific
    setting: Setting = "multimodal"
    # at first so many steps minimise Eq. 8.2 as it is: encodings as they are, the pair in the sums, temperature 1
    plain_steps: Annotated[int, at_least(0)] = 0
    # then so many have negatives that the encoders hardly tell apart
    hard_negatives: HardNegatives = field(default_factory=HardNegatives)
    process: ProcessSettings = field(default_factory=ProcessSettings)
    mixing: Mixing = field(default_factory=Mixing)
    encoder: MLPSettings = field(default_factory=MLPSettings)
    objective: Objective = field(default_factory=Objective)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    probes: ProbeSettings = field(default_factory=ProbeSettings)

    def __post_init__(self) -> None:
        hard = self.hard_negatives
        if not hard.steps:
            return
        if self.objective.similarity != "euclidean":
            raise IdentboxError(
                f"hard_negatives: expected Euclidean distances, got {self.objective.similarity} similarity"
            )
        before = self.plain_steps + hard.all_steps
        if self.training.steps <= before:
            raise IdentboxError(
                f"training.steps: expected more than the {before} of plain steps and those of hard_negatives, "
                f"got {self.training.steps}"
            )

    @staticmethod
    def from_preset(preset: str, table: Mapping[str, Any] | None = None, where: str = "config") -> Simulation:
        """The configuration of a preset, changed by a table of the same form as config.toml.

        Raises IdentboxError for an unknown preset, and for keys and values that do not fit.
        """
        made = configuration(Simulation, SIMULATION_PRESETS, preset, table or {}, where)
        try:
            made.process.make(made.setting)
        except IdentboxError as error:
            raise IdentboxError(f"{where}: process: {error}") from error
        return made

    def table(self) -> dict[str, Any]:
        """Every key with its value, as tables of TOML."""
        return dataclasses.asdict(self)


SIMULATION_PRESETS: dict[str, dict[str, Any]] = {
    # Table A.2a: the defaults of every section.
    "thesis": {},
    # Blocks of two dimensions and a small encoder: minutes on two cores.
    "quick": {
        "process": {"content": 2, "style": 2, "specific": 2},
        "encoder": {"widths": (20, 40, 40, 20)},
        "training": {"steps": 3000, "batch": 512, "learning_rate": 2e-3, "schedule": "cosine"},
        "probes": {"samples": 1024},
    },
    # Blocks, mixings, encoders and probes of Table A.2a, trained on one core; for independent latents.
    "laptop": {
        "plain_steps": 400,
        "encoder": {"start": "he", "whitening": 4096},
        "objective": {"encodings": "whitened", "decoupled": True, "temperature": 0.7},
        "training": {
            "optimizer": "soap",
            "steps": 1500,
            "batch": 1024,
            "learning_rate": 0.02,
            "schedule": "cosine",
            "warmup": 100,
        },
    },
    # The same, trained in a minute of a GPU; encodings are compared as they are.
    "gpu": {
        "encoder": {"start": "he", "whitening": 4096},
        "training": {
            "steps": 16_000,
            "batch": 2048,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "warmup": 200,
            "precision": "tf32",
            "log_every": 200,
        },
    },
}


def learner_of(
    simulation: Simulation, *, seed: int, learner_type: type[Learner] = Learner, world: World | None = None
) -> Learner:
    """The untrained learner of a simulation, on its world (or on the one that is given).

    Raises IdentboxError where views of different dimensions should share a mixing.
    """
    process = simulation.process.make(simulation.setting)
    shared = simulation.setting == "multiview"
    if world is None:
        world = World(process, seed=seed, mixing=simulation.mixing, shared_mixing=shared)
    outputs = simulation.encoder.encoding_size or simulation.objective.encoding_size(world.content_size)
    hard = simulation.hard_negatives
    wide = outputs + (hard.extra if hard.steps else 0)
    # Encoders that start alike find sooner what their views have in common.
    alike = simulation.encoder.start == "he"
    networks = {
        name: MLP(
            mixed.dim, wide, simulation.encoder, seed=seed, name="encoder" if alike else f"encoder/{name}"
        )
        for name, mixed in unique_mixings(world.mixings).items()
    }
    if simulation.encoder.whitening is not None:
        sample = world.sample(simulation.encoder.whitening, "whitening")
        for name, network in networks.items():
            network.whiten(sample.x[name])
    encoders: Mapping[str, nn.Module] = networks
    if hard.steps:
        shared_map = Projection(wide, outputs)
        encoders = {name: Projected(network, shared_map) for name, network in networks.items()}
    return learner_type(
        world,
        encoders,
        objective=simulation.objective,
        batch=simulation.training.batch,
        precision=simulation.training.precision,
        plain_steps=simulation.plain_steps,
        hard_negatives=hard,
    )


def run_simulation(
    simulation: Simulation,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    learner_type: type[Learner] = Learner,
    change_world: Callable[[World], None] = lambda world: None,
    control: str | None = None,
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train and probe a simulation, and write its record to ``folder``/results.json; returns the record.

    A finished run is not trained again: its record is returned. ``learner_type``, ``change_world`` and ``control`` are
    those of a negative control (`controls`), whose name the record has.

    Raises IdentboxError for a folder of another configuration (the keys are named) or control, for one in which
    another process is working, and where the loss of a step is not finite.
    """

    def make() -> Trainable:
        learner = learner_of(simulation, seed=seed, learner_type=learner_type).to(device)
        change_world(learner.world)
        return Trainable(
            model=learner,
            loss=learner.drawn_loss(),
            settings=simulation.training,
            parts=learner.parts(simulation.training),
            watch=lambda: {"content_r2": content_r2(learner.world, learner.encode)},
            curves=lambda step: learner.curves(step, simulation.training),
            measure=lambda trained: {
                **({} if control is None else {"control": control}),
                **measured_learner(learner, trained, simulation.probes),
            },
        )

    record = simulation_folder(folder, simulation, seed=seed).run(make, callbacks)
    if record.get("control") != control:
        raise IdentboxError(f"{folder}: expected {_called(control)}, got {_called(record.get('control'))}")
    return record


def simulation_folder(folder: Path, simulation: Simulation, *, seed: int) -> RunFolder:
    """The folder of a simulation's run."""
    return RunFolder(path=folder, kind=SIMULATION, seed=seed, config=simulation.table())


def measured_learner(learner: Learner, trained: Trained, settings: ProbeSettings) -> dict[str, Any]:
    """What the record of a run says of its process, its losses, its mixings and its encodings."""
    learner.eval()
    world = learner.world
    losses = {
        "train": trained.loss,  # None, and so left out, where no step was asked for
        "validation": learner.validation_loss(),
        "chance": learner.chance_loss(),
    }
    return {
        "process": config.toml_values(table_from_process(world.process)),
        "losses": config.toml_values(losses),
        "mixing": config.toml_values(conditioning(world)),
        "probes": [score.record() for score in probed(world, _as_compared(learner), settings)],
        **identification_record(
            world,
            learner.encode,
            optimum(world.seed, learner),
            objective=learner.objective,
            samples=2 * settings.samples,
            interventions=settings.interventions,
        ),
    }


def _as_compared(learner: Learner) -> Encode:
    """The encodings as the objective sees them: it leaves what it does not see to chance."""
    return lambda x, view: read_by(learner.objective, learner.encode(x, view))


def _called(control: str | None) -> str:
    return "a run" if control is None else f"the control {control}"


@torch.no_grad()
def conditioning(world: World) -> dict[str, Any]:
    """How well conditioned each mixing is where the data are."""
    sample = world.sample(CONDITIONING, "conditioning")
    return {
        view: dataclasses.asdict(mixed.conditioning(sample.latent.latents(view)))
        for view, mixed in unique_mixings(world.mixings).items()
    }


def probed(world: World, encode: Encode, settings: ProbeSettings) -> list[Score]:
    """Every variable predicted from every view, by the settings of a simulation; see `probe_world`."""
    return probe_world(
        world,
        encode,
        samples=settings.samples,
        bootstrap=settings.bootstrap,
        interventions=settings.interventions,
    )
