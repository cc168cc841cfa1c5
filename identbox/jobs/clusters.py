"""Where jobs run when they do not run here: a running Dask cluster, or SLURM jobs that Parsl starts.

For `execution.execute` both are a `concurrent.futures.Executor`, to which only commands are sent: the input and output
of a job lie in a folder that all machines share, under the same path.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identbox.errors import IdentboxError, expect_library

if TYPE_CHECKING:
    from logging import LogRecord


HEARTBEAT = 2  # seconds between two signs of life of a SLURM job
LOST = 10  # seconds without one after which another job does its work
CONNECT = 10  # seconds to wait for a scheduler
FORGET = 1000  # tasks after which a Dask scheduler is asked to drop its notes on them


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Which machines: ``tcp://ADDRESS`` of a Dask scheduler, or ``slurm`` and what its jobs ask for."""

    address: str
    jobs: int = 1  # SLURM jobs at a time, each doing one piece of work after another
    cpus: int = 2  # cores of a piece of work
    gpus: int = 0  # GPUs of a SLURM job
    queue: str | None = None  # SLURM's partition
    walltime: str = "24:00:00"  # of a SLURM job; unfinished work is continued in another job

    def __post_init__(self) -> None:
        if self.address != "slurm" and "://" not in self.address:
            raise IdentboxError(f"--cluster: expected tcp://ADDRESS or slurm, got {self.address}")
        for name, least in (("jobs", 1), ("cpus", 1), ("gpus", 0)):
            if getattr(self, name) < least:
                raise IdentboxError(f"--{name}: expected at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A cluster that is ready to work."""

    executor: Executor
    slots: int  # pieces of work side by side
    summary: str  # one line about it


@contextmanager
def connect(cluster: Cluster, folder: Path) -> Iterator[Pool]:
    """The cluster as an executor; SLURM's scripts and logs go to ``folder``, and its jobs end with the block.

    Raises IdentboxError where the library is not installed, no scheduler answers, no worker is there, or SLURM's
    commands are not.
    """
    with _slurm(cluster, folder) if cluster.address == "slurm" else _dask(cluster) as pool:
        yield pool


@contextmanager
def _dask(cluster: Cluster) -> Iterator[Pool]:
    import logging

    with expect_library("--cluster", "dask", "dask"):
        from distributed import Client, span
    for name in ("distributed.client", "distributed.batched"):
        logging.getLogger(name).addFilter(_is_no_farewell)
    try:
        client = Client(cluster.address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise IdentboxError(
            f"--cluster: expected a Dask scheduler at {cluster.address}, got {' '.join(str(error).split())}"
        ) from error
    with client, span("identbox") as ours:
        slots = sum(client.nthreads().values())
        if not slots:
            raise IdentboxError(
                f"--cluster: expected workers at {cluster.address}, got none; type: dask worker {cluster.address}"
            )
        summary = (
            f"{len(client.nthreads())} workers, {slots} side by side; dashboard: {client.dashboard_link}"
        )
        yield Pool(executor=_Forgetful(client, ours), slots=slots, summary=summary)


class _Forgetful(Executor):
    """Dask's executor, which makes the scheduler drop its notes on what was submitted from time to time.

    The scheduler adds a note of each submission to the span that it belongs to, a quarter KiB a task, and keeps it for
    as long as it runs: see `distributed.spans.Span.metadata`. Nobody reads those of ``span``, which is ours alone.
    """

    def __init__(self, client: Any, span: str) -> None:
        # Not pure: an equal call must not return an earlier value, since the disk alone says what is done.
        self._client, self._span, self._executor = client, span, client.get_executor(pure=False)
        self._submitted = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._submitted += 1
        if self._submitted % FORGET == 0:
            self._client.loop.add_callback(self._forget)
        return self._executor.submit(fn, *args, **kwargs)

    async def _forget(self) -> None:
        with suppress(Exception):  # a scheduler that is lost, or has no spans, is no reason to stop
            # A lambda travels by value: a scheduler's machine need not have identbox.
            await self._client.run_on_scheduler(
                lambda name, dask_scheduler: [
                    span.metadata["collections"].clear()
                    for span in dask_scheduler.extensions["spans"].spans.values()
                    if span.id == name and span.metadata
                ],
                self._span,
            )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait=wait)


def _is_no_farewell(record: LogRecord) -> bool:
    """False for the tracebacks that a client logs when its scheduler is lost.

    They are of a message that was on its way, and of cancelling the search for the scheduler when the client is closed
    meanwhile. That the scheduler is lost is reported by the work itself.
    """
    from asyncio import CancelledError

    from distributed.comm.core import CommClosedError

    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, (CancelledError, CommClosedError))


@contextmanager
def _slurm(cluster: Cluster, folder: Path) -> Iterator[Pool]:
    with expect_library("--cluster", "parsl", "slurm"):
        import parsl
        from parsl.concurrent import ParslPoolExecutor
    import shutil

    for command in ("sbatch", "squeue", "scancel"):
        if shutil.which(command) is None:
            raise IdentboxError(f"--cluster slurm: expected the command {command}, got a machine without it")
    executor = ParslPoolExecutor(_parsl_config(cluster, folder))
    try:
        yield Pool(
            executor=executor,
            slots=cluster.jobs,
            summary=f"up to {cluster.jobs} SLURM jobs of {cluster.cpus} cores; scripts and logs: {folder}",
        )
    finally:
        executor.shutdown(wait=False)
        parsl.clear()


def _parsl_config(cluster: Cluster, folder: Path) -> Any:
    """One SLURM job a block, one piece of work at a time in each."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import SlurmProvider

    provider = SlurmProvider(
        partition=cluster.queue,
        cores_per_node=cluster.cpus,
        gpus_per_node=cluster.gpus or None,
        init_blocks=cluster.jobs,
        max_blocks=cluster.jobs,
        walltime=cluster.walltime,
        exclusive=False,
        # The Python of this process, with the packages installed for it.
        worker_init=f'export PATH="{Path(sys.executable).parent}:$PATH"',
    )
    executor = HighThroughputExecutor(
        label="identbox",
        provider=provider,
        # By its module: its script is found only in an activated environment.
        interchange_launch_cmd=[sys.executable, "-m", "parsl.executors.high_throughput.interchange"],
        cores_per_worker=cluster.cpus,
        max_workers_per_node=1,
        heartbeat_period=HEARTBEAT,
        heartbeat_threshold=LOST,
    )
    return Config(executors=[executor], run_dir=str(folder), retries=0, initialize_logging=False)
