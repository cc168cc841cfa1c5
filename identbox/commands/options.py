"""The options of commands whose work may be done by a cluster."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.errors import IdentboxError

if TYPE_CHECKING:
    pass
if TYPE_CHECKING:
    pass


OPTIONS = (
    click.option(
        "--cluster",
        "address",
        metavar="tcp://ADDRESS|slurm",
        help="Let a Dask cluster that is up, or SLURM jobs, do the work on a folder that all share.",
    ),
    click.option("--jobs", type=int, help="SLURM jobs at a time.  [default: 1]"),
    click.option("--cpus", type=int, help="Cores of a piece of work on the cluster.  [default: 2]"),
    click.option("--gpus", type=int, help="GPUs of a SLURM job.  [default: 0]"),
    click.option("--queue", help="SLURM's partition.  [default: SLURM's own]"),
    click.option("--walltime", metavar="HH:MM:SS", help="Of a SLURM job.  [default: 24:00:00]"),
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and as its argument ``cluster`` a `clusters.Cluster`, or None without --cluster."""

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

    for option in reversed(OPTIONS):
        parsed = option(parsed)
    return parsed


offline_option = click.option(
    "--offline", is_flag=True, help="Never touch the network: the published shapes must be in the cache."
)
blender_option = click.option(
    "--blender", "executable", metavar="PATH", help="An installed Blender instead of the bpy module."
)


class Numbers(click.ParamType):
    """I/K, two whole numbers."""

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


preset_option = click.option(
    "--preset",
    type=click.Choice(["quick", "thesis"]),
    default="quick",
    show_default=True,
    help="Blocks of 2 dimensions and a small encoder, or Table A.2a.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to train and probe.",
)
config_option = click.option(
    "--config", "config_file", type=Path, metavar="FILE", help="TOML with keys that differ from the preset."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is drawn."
)
run_option = click.option(
    "--out", type=Path, default=Path("run"), show_default=True, help="Folder of the run."
)


def set_option(example: str) -> Any:
    """The option --set, which gives a command its ``assignments``."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"One key that differs from the preset, as {example}; may be repeated.",
    )


def choose_device(name: str) -> str:
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


def differences(
    config_file: Path | None, assignments: Iterable[str], *, besides: Sequence[str] = ("seed",)
) -> dict[str, Any]:
    """What a file and then KEY=VALUEs change of a preset; ``besides`` are a file's keys that change none of it."""
    from identbox import config

    table: dict[str, Any] = {} if config_file is None else config.read_toml(config_file)
    kept = {key: value for key, value in table.items() if key not in besides}
    return config.merge(kept, changes(assignments))


def changes(assignments: Iterable[str]) -> dict[str, Any]:
    """The table of several KEY=VALUE, later ones before earlier ones."""
    from identbox import config

    table: dict[str, Any] = {}
    for assignment in assignments:
        table = config.merge(table, parse(assignment))
    return table


def parse(assignment: str) -> dict[str, Any]:
    """The nested table of KEY=VALUE, the value as TOML has it, or a plain word."""
    from identbox import config

    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise IdentboxError(f"--set: expected KEY=VALUE, got {assignment}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return config.nested({key.strip(): value}, "--set")


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Integers from 0, separated by commas."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise IdentboxError(f"{option}: expected numbers like 0,1,2; got {text}")
    return tuple(int(part) for part in parts)
