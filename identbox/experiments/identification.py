"""What the record of a run holds for its verdict, so that it does not depend on a checkpoint.

That is leak, recovery and local degeneracy of every block that Theorem 2 speaks of, what the mixings are, and how far
the run is from the optimum of the theorem's proof.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from identbox import config, seeding
from identbox.errors import IdentboxError
from identbox.experiments.optimum import Optimum, optimum_record
from identbox.identifiability.assumptions import assumptions, invariant
from identbox.identifiability.blocks import EVALUATION_SAMPLES
from identbox.identifiability.measures import (
    Encode,
    Measure,
    freedom_left,
    measure_of_record,
    measured_in_world,
    weakness,
    with_weakness,
)
from identbox.identifiability.predictions import declared
from identbox.identifiability.rows import Assumption
from identbox.identifiability.verify import read_by
from identbox.learning.contrastive import Objective
from identbox.process.model import Process, Variable
from identbox.process.world import World, unique_mixings

# Keys of records: what encodings have of content; of a DMVAE, what the latents of each modality have of all else.
IDENTIFICATION, SPECIFIC_IDENTIFICATION = "identification", "specific_identification"
DRAWS = "draws"  # within the latter: the leak of content into draws from the posterior of these latents
MIXING_ROWS = ("mixing", "distinct-mechanisms")  # assumptions that need the mixings themselves
Blocks = dict[tuple[str, ...], list[Measure]]


def blocks_of(process: Process) -> list[list[Variable]]:
    """The content as declared, and all that is invariant where that is more."""
    content, same = declared(process), invariant(process)
    return [content] if {v.name for v in content} == {v.name for v in same} else [content, same]


def measured_blocks(
    world: World, encode: Encode, *, objective: Objective | None, samples: int, interventions: bool
) -> Blocks:
    """The measures of each block in all views, from a stream of the world's seed."""
    measured: Blocks = {}
    for block in blocks_of(world.process):
        measures = measured_in_world(
            world,
            lambda x, view: read_by(objective, encode(x, view)),
            block,
            samples=samples,
            interventions=interventions,
        )
        base = world.sample(samples, "verify", "base")
        measured[tuple(v.name for v in block)] = with_weakness(
            measures, functools.partial(weakness, block, base.z[world.views[0]])
        )
    return measured


def identification_record(
    world: World,
    encode: Encode,
    best: Optimum | str,
    *,
    objective: Objective | None,
    samples: int,
    interventions: bool,
) -> dict[str, Any]:
    """The keys ``identification``, ``assumptions`` and ``optimum`` of a learner's record.

    ``best`` is the learner beside the optimum of the theorem's proof, or why there is none.
    """
    measured = measured_blocks(
        world, encode, objective=objective, samples=samples, interventions=interventions
    )
    rows = assumptions(world.process, mixings=unique_mixings(world.mixings), seed=world.seed)
    return {
        IDENTIFICATION: [block_record(block, measures) for block, measures in measured.items()],
        "assumptions": [
            config.toml_values(dataclasses.asdict(row)) for row in rows if row.key in MIXING_ROWS
        ],
        "optimum": best if isinstance(best, str) else optimum_record(best),
    }


def block_record(block: Iterable[str], measures: Iterable[Measure]) -> dict[str, Any]:
    """The measures of a block as records have them."""
    return {"block": list(block), "measures": [config.toml_values(m.record()) for m in measures]}


def blocks_of_record(record: Mapping[str, Any], where: str, key: str = IDENTIFICATION) -> Blocks:
    """The measures in a record, by block; none where it is older. Raises IdentboxError where they are damaged."""
    blocks: Blocks = {}
    for place, table in enumerate(_list(record, key, where)):
        at = f"{where}: {key}[{place}]"
        if not isinstance(table, Mapping) or not isinstance(table.get("block"), list):
            raise IdentboxError(f"{at}: expected a block and its measures, got {table!r:.60}")
        measures = _list(table, "measures", at)
        blocks.setdefault(tuple(map(str, table["block"])), []).extend(
            _measure(one, f"{at}.measures[{k}]") for k, one in enumerate(measures)
        )
    return blocks


def drawn_leaks(record: Mapping[str, Any], where: str) -> list[Measure]:
    """Of a DMVAE, the leak of content into draws of each modality's latents; none where the record lacks them.

    Raises IdentboxError where they are damaged.
    """
    return [
        _measure(table[DRAWS], f"{where}: {SPECIFIC_IDENTIFICATION}[{place}].{DRAWS}")
        for place, table in enumerate(_list(record, SPECIFIC_IDENTIFICATION, where))
        if DRAWS in table
    ]


def _measure(table: object, where: str) -> Measure:
    if not isinstance(table, Mapping):
        raise IdentboxError(f"{where}: expected a measure, got {table!r:.60}")
    return measure_of_record({"freedom": None, **table}, where)  # a record leaves out what is None


def with_freedom(blocks: Blocks, process: Process, *, seed: int) -> Blocks:
    """The measures of a record, with what content leaves to the style that depends on it: older ones lack that."""
    drawn = process.sample(EVALUATION_SAMPLES, generator=seeding.generator(seed, "verify", "freedom"))

    def known(measure: Measure, content: Sequence[Variable]) -> Measure:
        if measure.how != "redrawn" or measure.regime == "cut" or measure.freedom != 1:
            return measure
        left = freedom_left(process, measure.view, content, drawn.views[measure.view])
        return dataclasses.replace(measure, freedom=left)

    return {
        names: [known(measure, [v for v in process.variables if v.name in names]) for measure in measures]
        for names, measures in blocks.items()
    }


def mixing_rows_of_record(record: Mapping[str, Any], where: str) -> list[Assumption]:
    """What a record says of the mixings; nothing where it is older."""
    rows = []
    for place, table in enumerate(_list(record, "assumptions", where)):
        try:
            rows.append(Assumption(**table))
        except TypeError as error:
            raise IdentboxError(
                f"{where}: assumptions[{place}]: expected a row of the table, got {error}"
            ) from error
    return rows


def _list(record: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
    value = record.get(key, [])
    if not isinstance(value, list):
        raise IdentboxError(f"{where}: {key}: expected a list, got {value!r:.60}")
    return value
