"""The options of commands whose work may be done by a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from identbox.errors import IdentboxError

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
            from identbox.clusters import Cluster

            cluster = Cluster(address=address, **given)
        return command(cluster=cluster, **others)

    for option in reversed(OPTIONS):
        parsed = option(parsed)
    return parsed
