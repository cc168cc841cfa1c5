"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from identbox.errors import IdentboxError

CLUSTER_OPTIONS = (
    click.option(
        "--cluster",
        "address",
        metavar="tcp://ADDRESS|slurm",
        help="Let a running Dask cluster, or SLURM jobs, do the work in a folder that all machines share.",
    ),
    click.option("--jobs", type=int, help="Number of SLURM jobs at a time.  [default: 1]"),
    click.option("--cpus", type=int, help="Cores that each piece of work uses on the cluster.  [default: 2]"),
    click.option("--gpus", type=int, help="GPUs that each SLURM job asks for.  [default: 0]"),
    click.option("--queue", help="SLURM's partition.  [default: SLURM's own]"),
    click.option("--walltime", metavar="HH:MM:SS", help="Longest time of a SLURM job.  [default: 24:00:00]"),
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a cluster; it gets ``cluster``, a `clusters.Cluster`, or None without --cluster."""

    @wraps(command)
    def parsed(address: str | None, **others: Any) -> Any:
        asked = {name: others.pop(name) for name in ("jobs", "cpus", "gpus", "queue", "walltime")}
        given = {name: value for name, value in asked.items() if value is not None}
        if address is None and given:
            raise IdentboxError(f"--{next(iter(given))}: expected --cluster beside it, got none")
        cluster = None
        if address is not None:
            from identbox.jobs.clusters import Cluster

            cluster = Cluster(address=address, **given)
        return command(cluster=cluster, **others)

    for option in reversed(CLUSTER_OPTIONS):
        parsed = option(parsed)
    return parsed


offline_option = click.option(
    "--offline", is_flag=True, help="Never touch the network: the published shapes must be in the cache."
)
blender_option = click.option(
    "--blender", "executable", metavar="PATH", help="An installed Blender instead of the bpy module."
)


class PartOfWhole(click.ParamType):
    """I/K, two whole numbers: part I of K."""

    name = "I/K"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            first, second = str(value).split("/")
            return int(first), int(second)
        except ValueError:
            self.fail(f"expected I/K, like 1/4, got {value}", param, ctx)


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to train and probe.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random number."
)
run_option = click.option(
    "--out", type=Path, default=Path("run"), show_default=True, help="Folder of the run."
)


SIMULATION_SIZES = (
    "Blocks of 2 dimensions and a small encoder; Table A.2a; or its process and encoders, trained in up to an hour "
    "of a core (laptop) or a minute of a GPU (gpu)."
)


def preset_option(what: str, *more: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option --preset; ``more`` are values beside quick and thesis, and ``what`` says what they are."""
    choice = click.Choice(["quick", "thesis", *more])
    return click.option("--preset", type=choice, default="quick", show_default=True, help=what)


def set_option(example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option --set, which gives a command its ``assignments``."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Change one key of the preset, as in {example}; may be repeated.",
    )


# Options for the keys of a configuration that are changed most often, with their types and what they are.
KEY_OPTIONS: dict[str, tuple[str, click.ParamType, str]] = {
    "--steps": ("training.steps", click.IntRange(min=0), "Steps of the training."),
    "--batch-size": ("training.batch", click.IntRange(min=2), "Samples of each view in a step."),
    "--learning-rate": (
        "training.learning_rate",
        click.FloatRange(min=0, min_open=True),
        "Learning rate of Adam.",
    ),
    "--encoding-size": ("encoder.encoding_size", click.IntRange(min=1), "Dimensions of each encoding."),
}
NOT_CONFIGURATION = ("seed", "dataset")  # keys of the config.toml of a run that an option of their own gives


def configuration_options(example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --config, --set and KEY_OPTIONS; ``example`` is that of --set.

    The command gets ``changes``, the table of all that differs from the preset, and ``where``, which names in messages
    where it comes from. Options go before the file.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def parsed(config_file: Path | None, assignments: tuple[str, ...], **others: Any) -> Any:
            given = {option: others.pop(_argument(option)) for option in KEY_OPTIONS}
            changes = configuration_changes(config_file, assignments, given)
            return command(changes=changes, where=str(config_file or "--set"), **others)

        options: list[Callable[..., Any]] = [
            click.option(
                "--config",
                "config_file",
                type=Path,
                metavar="FILE",
                help="TOML file with the keys that differ from the preset.",
            ),
            set_option(example),
            *(
                click.option(option, type=kind, help=f"{what}  [default: that of the preset]")
                for option, (_, kind, what) in KEY_OPTIONS.items()
            ),
        ]
        for option in reversed(options):
            parsed = option(parsed)
        return parsed

    return decorate


def _argument(option: str) -> str:
    """The name of the argument that click gives the value of an option."""
    return option.removeprefix("--").replace("-", "_")


def configuration_changes(
    config_file: Path | None, assignments: Iterable[str], given: dict[str, Any]
) -> dict[str, Any]:
    """What a file, then KEY=VALUEs and the KEY_OPTIONS ``given`` change of a preset.

    Raises IdentboxError where one key has two values, by --set and by an option of its own.
    """
    from identbox import config

    table: dict[str, Any] = {} if config_file is None else config.read_toml(config_file)
    table = {key: value for key, value in table.items() if key not in NOT_CONFIGURATION}
    assigned = assigned_table(assignments)
    values = config.flat(assigned)
    for option, value in given.items():
        key = KEY_OPTIONS[option][0]
        if value is None:
            continue
        if values.get(key, value) != value:
            raise IdentboxError(
                f"{option}: expected one value of {key}, got {value} and, by --set, {values[key]}"
            )
        assigned = config.merge(assigned, config.nested({key: value}, option))
    return config.merge(table, assigned)


def assigned_table(assignments: Iterable[str]) -> dict[str, Any]:
    """The table of several KEY=VALUE; of two values for one key the later counts."""
    from identbox import config

    table: dict[str, Any] = {}
    for assignment in assignments:
        table = config.merge(table, parse_assignment(assignment))
    return table


def parse_assignment(assignment: str) -> dict[str, Any]:
    """The nested table of KEY=VALUE, where the value is written as in TOML, or is a word without quotes."""
    from identbox import config

    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise IdentboxError(f"--set: expected KEY=VALUE, got {assignment}")
    try:
        value = config.parse_toml(f"value = {text}", "--set")["value"]
    except IdentboxError:
        value = text.strip()
    return config.nested({key.strip(): value}, "--set")


def torch_device(name: str) -> str:
    """The torch device of that name; auto is a GPU where there is one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise IdentboxError(f"device: expected auto, cpu, cuda or cuda:N, got {name}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise IdentboxError(f"device: expected one of {torch.cuda.device_count()} GPUs, got {name}")
    return name


def visible_gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]


def comma_separated(text: str, option: str) -> tuple[int, ...]:
    """Integers from 0, separated by commas."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise IdentboxError(f"{option}: expected numbers like 0,1,2; got {text}")
    return tuple(int(part) for part in parts)
