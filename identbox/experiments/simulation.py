"""One numerical simulation from its configuration to its record (section 8.4.1, appendix A.6).

A run lives in a folder: ``config.toml`` says what it is, ``metrics.jsonl`` and ``checkpoint.pt`` how far it is, and
``results.json`` what came out. The same configuration in the same folder goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox import config, seeding
from identbox.config import configuration
from identbox.errors import IdentboxError
from identbox.experiments.records import LEASE, RESULTS
from identbox.experiments.run import claim_table, is_finished, read_results, record_of, write_results
from identbox.jobs import leases
from identbox.learning import contrastive, training
from identbox.learning.contrastive import Objective
from identbox.learning.encoders import MLP, MLPSettings
from identbox.learning.training import TrainingSettings
from identbox.metrics import predictors, probing
from identbox.metrics import targets as metrics_targets
from identbox.metrics.scores import Probe
from identbox.metrics.targets import seen, target_of
from identbox.process import mixing, tables
from identbox.process import presets as process_presets
from identbox.process.distributions import Covariance
from identbox.process.interventions import Permute
from identbox.process.mixing import Mixing
from identbox.process.model import ROLES, Process, Role, Sample
from identbox.process.tables import table_from_process
from identbox.settings import Count, at_least, settings, table_of

WATCHED = 1024  # samples of the R2 that is shown during training, each for fit and score
VALIDATION_BATCHES = (
    4  # of the validation loss, each of the training's batch size, since the loss depends on it
)


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
            return tables.load(self.file)
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
SETTINGS: tuple[Setting, ...] = ("multimodal", "multiview")


@settings
class Simulation:
    """All that a simulation is, but for its seed."""

    # multimodal: a mixing and an encoder for each view (f1 != f2); multiview: one for both, nothing view-specific
    setting: Setting = "multimodal"
    process: ProcessSettings = field(default_factory=ProcessSettings)
    mixing: Mixing = field(default_factory=Mixing)
    encoder: MLPSettings = field(default_factory=MLPSettings)
    objective: Objective = field(default_factory=Objective)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    probes: ProbeSettings = field(default_factory=ProbeSettings)

    def table(self) -> dict[str, Any]:
        """Every key with its value, as tables of TOML."""
        return dataclasses.asdict(self)


PRESETS: dict[str, dict[str, Any]] = {
    # Table A.2a: the defaults of every section.
    "thesis": {},
    # Blocks of two dimensions and a small encoder: minutes on two cores.
    "quick": {
        "process": {"content": 2, "style": 2, "specific": 2},
        "encoder": {"widths": (20, 40, 40, 20)},
        "training": {"steps": 3000, "batch": 512, "learning_rate": 2e-3, "schedule": "cosine"},
        "probes": {"samples": 1024},
    },
}


def simulation(preset: str, table: Mapping[str, Any] = {}, where: str = "config") -> Simulation:
    """The configuration of a preset, changed by a table of the same form as config.toml.

    Raises IdentboxError for an unknown preset, and for keys and values that do not fit.
    """
    made = configuration(Simulation, PRESETS, preset, table, where)
    try:
        made.process.make(made.setting)
    except IdentboxError as error:
        raise IdentboxError(f"{where}: process: {error}") from error
    return made


class Learner(nn.Module):
    """What a simulation trains, with what it is trained on: a mixing and an encoder for each view.

    In the multi-view setting all views share one of each. The mixings have no parameters, only buffers, so that a
    checkpoint holds them and an optimiser does not.
    """

    def __init__(self, simulation: Simulation, process: Process, *, seed: int) -> None:
        super().__init__()
        self.process = process.realise(seed=seed)
        self.simulation, self.seed = simulation, seed
        sizes = {view: _dimensions(process, view) for view in process.views}
        shared = simulation.setting == "multiview"
        if shared and len(set(sizes.values())) > 1:
            raise IdentboxError(
                f"setting: expected views of equal dimension for multiview, got {list(sizes.values())}"
            )
        names = process.views[:1] if shared else process.views
        outputs = simulation.encoder.encoding_size or _content(process)
        self.mixings = nn.ModuleDict(
            {
                name: mixing.draw(sizes[name], simulation.mixing, seed=seed, name=f"mixing/{name}")
                for name in names
            }
        )
        self.encoders = nn.ModuleDict(
            {
                name: MLP(sizes[name], outputs, simulation.encoder, seed=seed, name=f"encoder/{name}")
                for name in names
            }
        )

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def draw(self, n: int, *names: str | int) -> Sample:
        """n samples of the process from the stream of that name."""
        return self.process.sample(n, generator=seeding.generator(self.seed, *names, device=self.device))

    def observe(self, sample: Sample, view: str) -> Float[Tensor, "n x"]:
        """x = f(z) of a view (Eq. 8.5)."""
        return self.mixings[view if view in self.mixings else self.process.views[0]](sample.latents(view))

    def encode(self, x: Float[Tensor, "n x"], view: str) -> Float[Tensor, "n d"]:
        """g(x) of a view, in float32 whatever the precision inside."""
        encoder = self.encoders[view if view in self.encoders else self.process.views[0]]
        low = self.simulation.training.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            return encoder(x).float()

    def encodings(self, sample: Sample) -> list[Float[Tensor, "n d"]]:
        """The encodings of all views of a sample."""
        return [self.encode(self.observe(sample, view), view) for view in self.process.views]

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        """The objective on a fresh batch, the one of that step's number."""
        objective, batch = self.simulation.objective, self.simulation.training.batch
        views = self.encodings(self.draw(batch, stream, step))
        again = None
        if objective.negatives == "same-view":
            again = self.encodings(self.draw(batch, f"{stream}/negatives", step))
        return contrastive.info_nce(views, objective, negatives=again)

    @torch.no_grad()
    def content_r2(self) -> float:
        """R2 of a linear regression from the first view's encodings to content, on samples kept for it."""
        sample = self.draw(2 * WATCHED, "watch")
        view = self.process.views[0]
        inputs = nn.functional.pad(self.encode(self.observe(sample, view), view), (0, 1), value=1.0)
        targets = sample.block(view, "content")
        # Ridge of 1e-6 in float64: encodings may be collinear, and this is a figure to watch, not to publish.
        a, b = inputs[:WATCHED].double(), targets[:WATCHED].double()
        gram = a.T @ a
        ridge = 1e-6 * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram), device=a.device)
        weights = torch.linalg.solve(gram + ridge, a.T @ b)
        truth = targets[WATCHED:].double()
        residual = (truth - inputs[WATCHED:].double() @ weights).square().sum(0)
        return (1 - residual / (truth - truth.mean(0)).square().sum(0)).mean().item()


def _dimensions(process: Process, view: str) -> int:
    return sum(variable.distribution.dim for variable in process.seen_by(view))


def _content(process: Process) -> int:
    return sum(variable.distribution.dim for variable in process.variables if variable.role == "content")


def run(
    simulation: Simulation,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    learner_type: type[Learner] = Learner,
    control: str | None = None,
    on_start: Callable[[int], None] = lambda step: None,
    on_metrics: Callable[[dict[str, Any]], None] = lambda metrics: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Train and probe a simulation, and write its record to ``folder``/results.json; returns the record.

    A folder that has the record already gives it back. ``learner_type`` and ``control`` are those of a negative
    control (`controls`), whose name the record has. Raises IdentboxError for a folder of another configuration
    (naming the keys) or control, one that another process is at, and where a step is not finite.
    """
    claim(folder, simulation, seed=seed)
    done = is_finished(folder)  # perhaps in a folder that nobody may write to
    with nullcontext() if done else leases.hold(folder / LEASE, on_message):
        if is_finished(folder):
            record = read_results(folder / RESULTS)
            if record.get("control") != control:
                raise IdentboxError(
                    f"{folder}: expected {_called(control)}, got {_called(record.get('control'))}"
                )
            return record
        learner = learner_type(simulation, simulation.process.make(simulation.setting), seed=seed).to(device)
        trained = training.train(
            learner,
            learner.loss,
            simulation.training,
            folder,
            watch=lambda: {"content_r2": learner.content_r2()},
            on_start=on_start,
            on_metrics=on_metrics,
            on_message=on_message,
        )
        learner.eval()
        record = {
            **record_of("simulation", simulation.table(), trained, seed=seed, device=learner.device),
            **({} if control is None else {"control": control}),
            "process": config.plain(table_from_process(learner.process)),
            "losses": config.plain(  # without that of training where no step was asked for
                {
                    "train": trained.loss,
                    "validation": validation_loss(learner),
                    "chance": chance_loss(simulation),
                }
            ),
            "mixing": config.plain(conditioning(learner)),
            "probes": [dataclasses.asdict(record) for record in probe(learner)],
        }
        write_results(folder / RESULTS, record)
        return record


def _called(control: str | None) -> str:
    return "a run" if control is None else f"the control {control}"


def claim(folder: Path, simulation: Simulation, *, seed: int) -> None:
    """Make the folder of a run, or see that it is of the same configuration; raises IdentboxError if not."""
    claim_table(folder, {"seed": seed, **simulation.table()})


@torch.no_grad()
def validation_loss(learner: Learner) -> float:
    """The objective on batches that training has not seen, of its batch size (section 8.4.3)."""
    losses = [learner.loss(step, "validation") for step in range(VALIDATION_BATCHES)]
    return torch.stack(losses).mean().item()


def chance_loss(simulation: Simulation) -> float:
    """The loss of constant encodings."""
    more = simulation.objective.negatives == "same-view"
    return torch.tensor(simulation.training.batch + more, dtype=torch.float64).log().item()


@torch.no_grad()
def conditioning(learner: Learner) -> dict[str, Any]:
    """How well conditioned each mixing is where the data are."""
    sample = learner.draw(WATCHED, "conditioning")
    return {
        view: dataclasses.asdict(mixed.conditioning(sample.latents(view)))  # type: ignore[operator]
        for view, mixed in learner.mixings.items()
    }


@torch.no_grad()
def probe(learner: Learner) -> list[Probe]:
    """Predict every variable from the encodings of every view, as they are and after each intervention.

    An intervention permutes a block over the batch before mixing and leaves all else alone (appendix A.6). Its
    target ``content'`` is the permuted block, ``content`` what it was before. Probes are fitted and scored after
    the same intervention.
    """
    settings = learner.simulation.probes
    roles = {variable.role for variable in learner.process.variables}
    interventions: list[str | None] = [None]
    if settings.interventions:
        interventions += [role for role in ROLES if role in roles]
    records = []
    for intervention in interventions:
        befores, afters = [], []
        for part in ("fit", "score"):
            before = learner.draw(settings.samples, "probe", part)
            after = before
            if intervention is not None:
                generator = seeding.generator(
                    learner.seed, "intervene", intervention, part, device=learner.device
                )
                after = learner.process.intervene(
                    before, Permute(target=intervention), recompute=False, generator=generator
                )
            befores.append(before)
            afters.append(after)
        for view in learner.process.views:
            fit, score = (learner.encode(learner.observe(sample, view), view) for sample in afters)
            scores = probing.probe(
                fit,
                score,
                _targets(learner.process, view, befores, afters, intervention),
                settings=predictors.PredictorSettings(bootstrap=settings.bootstrap, centre=True),
                seed=seeding.derive(learner.seed, "probing", view, str(intervention)),
            )
            records += [found.record(view, intervention) for found in scores]
    return records


def _targets(
    process: Process, view: str, befores: list[Sample], afters: list[Sample], intervention: str | None
) -> list[metrics_targets.Target]:
    """Every variable as it was, and those of the permuted role as they are now, in the eyes of a view."""
    found = []
    for variable in process.variables:
        versions = {variable.name: befores}
        if variable.role == intervention:
            versions[f"{variable.name}'"] = afters
        for name, samples in versions.items():
            if variable.distribution.kind != "constant":  # which has nothing to predict
                fit, score = (seen(sample, view, variable) for sample in samples)
                found.append(target_of(variable, name, fit, score))
    return found
