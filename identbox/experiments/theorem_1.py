"""Theorem 1, case by case: the gap that a model reaches beside what the theorem says, as printed and as corrected.

A case is a process, a set of subsets with weights, a family of decoders and an objective.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from identbox.config import read_toml
from identbox.errors import IdentboxError
from identbox.experiments.trained_gaps import GapTraining, TrainedGap, trained_gaps
from identbox.identifiability.discrepancy import (
    DECODERS,
    OBJECTIVES,
    DecoderFamily,
    GapBounds,
    ObjectiveName,
    gap_bounds,
)
from identbox.identifiability.finite_latent import Search, least_gap, searchable
from identbox.learning.posteriors import Subsets
from identbox.process.exact import DiscreteProcess, LinearGaussian
from identbox.process.exact_tables import exact_from_table
from identbox.settings import at_least, build, settings

ExactLaw = DiscreteProcess | LinearGaussian
GapFinding = Literal["refuted", "holds (proved)", "holds (not beaten)", "undecided", "not measured"]
GAP_ROUNDING = 1e-9  # nats by which a gap, a sum over all states in float64, may be wrong
ALONE = 0.3  # weight of single modalities in the model "mostly all"


@settings
class Model:
    """A set of subsets as a TOML file has it: lists of names, and their weights."""

    subsets: tuple[tuple[str, ...], ...]
    weights: tuple[float, ...] = ()


@settings
class Measurement:
    """How cases are measured."""

    # The search for the least gap over a finite latent space.
    search: Search = Search()
    # The training of a Gaussian VAE in each case that is searched.
    training: GapTraining = GapTraining()
    # Seed of the random starts, and of what is trained.
    seed: Annotated[int, at_least(0)] = 0


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A law, and the models that are to be held against it, by name."""

    law: ExactLaw
    models: dict[str, Subsets]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model on one process with one family of decoders and one objective; gaps are in nats."""

    process: str
    model: str
    subsets: str
    decoder: str
    objective: ObjectiveName
    bounds: GapBounds
    # What was reached in a finite latent space; None where that was not searched.
    gap: float | None = None
    latents: int | None = None
    enough: bool | None = None
    trained: TrainedGap | None = None

    @property
    def printed(self) -> GapFinding:
        """What became of Eq. 7.5: no gap is below Delta."""
        return self._finding(self.bounds.delta)

    @property
    def corrected(self) -> GapFinding:
        """What became of the bound that is proved: as a theorem it holds, and a gap below it would refute the proof."""
        if self.gap is None:
            return "not measured"
        return "refuted" if self.gap < self.bounds.low - GAP_ROUNDING else "holds (proved)"

    @property
    def correlation(self) -> GapFinding:
        """What became of sum_A w_A T(A) as a bound: proved for Eq. 5.19 alone."""
        return self._finding(self.bounds.correlation)

    def _finding(self, bound: float) -> GapFinding:
        """A gap that was reached refutes a bound above it, as does one that is known to be approached."""
        least = self.bounds.high if self.gap is None else min(self.gap, self.bounds.high)
        if least < bound - GAP_ROUNDING:
            return "refuted"
        if self.bounds.low >= bound - GAP_ROUNDING:
            return "holds (proved)"
        return "undecided" if self.gap is None else "holds (not beaten)"


def read_problem(path: Path) -> Problem:
    """The law of a TOML file, with the usual models and those of its tables [models.NAME].

    Raises IdentboxError for all that is wrong in the file.
    """
    table = read_toml(path)
    law = exact_from_table(table, str(path), name=path.stem)
    own = table.get("models", {})
    if not isinstance(own, dict):
        raise IdentboxError(f"{path}: models: expected a table [models.NAME] for each, got {own!r:.60}")
    models = usual_models(len(law.blocks))
    for name, entry in own.items():
        where = f"{path}: models.{name}"
        model = build(Model, entry, where)
        try:
            models[name] = Subsets.of_names(list(law.modalities), model.subsets, model.weights)
        except IdentboxError as error:
            raise IdentboxError(f"{where}: {error}") from error
    return Problem(law=law, models=models)


def read_problems(path: Path) -> list[Problem]:
    """The problems of a TOML file, or of all such files in a folder. Raises IdentboxError where there is none."""
    paths = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not paths:
        raise IdentboxError(f"{path}: expected a TOML file or a folder of them, got an empty folder")
    return [read_problem(one) for one in paths]


def usual_models(modalities: int) -> dict[str, Subsets]:
    """MVAE, MMVAE, MoPoE-VAE, the first modality alone, and all modalities with single ones at times."""
    share = ALONE / modalities
    everything = tuple(range(modalities))
    return {
        "MVAE": Subsets.all_modalities(modalities),
        "MMVAE": Subsets.single(modalities),
        "MoPoE-VAE": Subsets.powerset(modalities),
        "first alone": Subsets(modalities, ((0,),), (1.0,)),
        "mostly all": Subsets(
            modalities,
            (everything, *((k,) for k in everything)) if modalities > 1 else (everything,),
            (1 - ALONE, *(share for _ in everything)) if modalities > 1 else (1.0,),
        ),
    }


def families(law: ExactLaw) -> dict[str, DecoderFamily]:
    """The families of decoders that differ on this law, by name; those that are the same share one, as a/b.

    Where no modality has two components all are the same: any.
    """
    alike: dict[tuple[tuple[int, ...], ...], list[DecoderFamily]] = {}
    for family in DECODERS.values():
        alike.setdefault(tuple(family.contexts(law.blocks)), []).append(family)
    if len(alike) == 1:
        return {"any": next(iter(DECODERS.values()))}
    return {"/".join(family.name for family in same): same[0] for same in alike.values()}


def count_cases(problems: Sequence[Problem]) -> int:
    """The number of cases that `cases` goes through."""
    return sum(len(problem.models) * len(families(problem.law)) for problem in problems) * len(OBJECTIVES)


def cases(problem: Problem, measurement: Measurement) -> Iterator[Case]:
    """Every model, family of decoders and objective on one law, one after another.

    A law that is continuous, or has too many states, gets its bounds alone.
    """
    law = problem.law
    trained = _trained(problem, measurement) if measurement.training.steps else {}
    for (model, subsets), objective, (name, decoder) in itertools.product(
        problem.models.items(), OBJECTIVES, families(law).items()
    ):
        best = None
        if isinstance(law, DiscreteProcess) and searchable(law, measurement.search):
            best = least_gap(law, subsets, decoder, objective, measurement.search, seed=measurement.seed)
        yield Case(
            process=law.name,
            model=model,
            subsets=_weighted_names(law, subsets),
            decoder=name,
            objective=objective,
            bounds=gap_bounds(law, subsets, decoder, objective),
            gap=None if best is None else best.gap,
            latents=None if best is None else best.latents,
            enough=None if best is None else best.enough,
            trained=trained.get((model, objective, name)),
        )


def _trained(problem: Problem, measurement: Measurement) -> dict[tuple[str, ObjectiveName, str], TrainedGap]:
    """The trained gap by model, objective and family of decoders; nothing where the law is not searched."""
    law = problem.law
    found: dict[tuple[str, ObjectiveName, str], TrainedGap] = {}
    if not isinstance(law, DiscreteProcess) or not searchable(law, measurement.search):
        return found
    keys = list(itertools.product(problem.models, OBJECTIVES))
    for name, decoder in families(law).items():
        models = [(problem.models[model], objective) for model, objective in keys]
        gaps = trained_gaps(law, decoder, models, measurement.training, seed=measurement.seed)
        found |= {(*key, name): gap for key, gap in zip(keys, gaps, strict=True)}
    return found


def _weighted_names(law: ExactLaw, subsets: Subsets) -> str:
    """Each subset with its weight, as x1 0.5, x1+x2 0.5."""
    names = subsets.names(list(law.modalities))
    return ", ".join(f"{name} {weight:.3g}" for name, weight in zip(names, subsets.weights, strict=True))


def case_record(case: Case) -> dict[str, Any]:
    """A case as JSON has it: its numbers, and what became of each statement."""
    found = {"printed": case.printed, "corrected": case.corrected, "correlation": case.correlation}
    return {**dataclasses.asdict(case), "found": found}
