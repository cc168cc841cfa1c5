"""Work as child processes: each can be continued, and has a log of its own; state is on disk alone.

Jobs that are done are skipped, interrupted ones continued; one that fails is named and stops no other. They are handed
to any `concurrent.futures.Executor`: threads of this process that each watch a child, or a cluster (see `clusters`).
"""

from __future__ import annotations

import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from identbox import files
from identbox.errors import IdentboxError, first_few
from identbox.jobs.leases import Lease

MOST_DEATHS = 3  # of the child, or the worker, of a job; then the job has failed
SPARE_JOBS = (
    32  # jobs that a cluster gets beyond those that it does: when one ends, the next is already there
)
KILL_AFTER = 5.0  # seconds between asking a child to stop and killing it
DISPLAY_EVERY = 2.0  # seconds between two looks at what is on disk, for a display
RETRY_AFTER = 1.0  # seconds until a job is tried again whose child died, or which another client was doing

State = Literal["done", "failed", "died", "elsewhere", "stopped"]


def _claim_nothing() -> None:
    """The claim of a job whose folder is there already."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work. Its input is on disk; only its command is sent to where it is done."""

    name: str
    done: Callable[[], bool]  # whether all that it should write is there
    # makes its folder, or raises IdentboxError where the folder belongs to something else
    claim: Callable[[], None] = _claim_nothing
    command: tuple[str, ...]  # what follows `python -m`
    log: Path  # file for its output, in a folder that is there once the job is claimed


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job as it is sent to where it is done."""

    command: tuple[str, ...]
    log: str
    threads: int  # cores that it may use
    timeout: float | None = None  # seconds


@dataclass(frozen=True, kw_only=True)
class WorkOutcome:
    """How a piece of work ended; the reason where it is not done."""

    state: State
    reason: str = ""


def execute(
    jobs: Iterable[Job],
    *,
    workers: int,
    threads: int,
    executor: Executor | None = None,
    gpus: Sequence[str] = (),
    timeout: float | None = None,
    on_done: Callable[[str, str], None] = lambda name, reason: None,
    on_look: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Do the jobs that are not done, ``workers`` side by side; returns the reason of each that failed, by its name.

    ``threads`` is the number of cores that each may use, ``timeout`` its longest time in seconds. Where ``gpus`` are
    given, as in CUDA_VISIBLE_DEVICES, each job sees one of them. A job that another client is doing is left to that
    client, and looked at again until it is done. A job whose child or worker is killed is continued from what is on
    disk, until that has happened MOST_DEATHS times. ``on_done`` gets the name of a job that is over, and the reason if
    it failed; ``on_look`` is called every DISPLAY_EVERY seconds. Ctrl-C stops the jobs that run here; the same call
    continues them.
    """
    works = partial(Work, threads=threads, timeout=timeout)
    dispatcher = partial(Dispatcher, works=works, on_done=on_done, on_look=on_look)
    if executor is not None:
        return dispatcher(executor=executor, body=perform, window=workers + SPARE_JOBS).run(jobs)
    stop = threading.Event()
    free: queue.Queue[str] = queue.Queue()
    for place in range(workers if gpus else 0):
        free.put(gpus[place % len(gpus)])
    with ThreadPoolExecutor(workers) as pool:
        try:
            here = partial(perform, stop=stop, gpus=free if gpus else None)
            return dispatcher(executor=pool, body=here, window=workers).run(jobs)
        except BaseException:
            stop.set()
            raise


@dataclass(kw_only=True)
class Dispatcher:
    """Keeps an executor busy with jobs until all are over; nothing is kept of a job that is over, but its failure.

    ``body`` does a piece of work, which ``works`` makes of the command and the log of a job. ``window`` is the number
    of jobs that the executor has at a time; see `execute` for the rest.
    """

    executor: Executor
    body: Callable[[Work], WorkOutcome]
    works: Callable[..., Work]
    window: int
    on_done: Callable[[str, str], None]
    on_look: Callable[[], None]
    running: dict[Future[WorkOutcome], Job] = field(default_factory=dict)
    retries: deque[tuple[float, Job]] = field(default_factory=deque)  # and from which moment on
    deaths: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, jobs: Iterable[Job]) -> dict[str, str]:
        """Do all jobs; returns the reasons of those that failed, by name."""
        new = iter(jobs)  # taken one by one: there may be very many
        looked = -math.inf
        while True:
            if time.monotonic() - looked > DISPLAY_EVERY:
                looked = time.monotonic()
                self.on_look()
            while len(self.running) < self.window and (job := self._next(new)) is not None:
                self._start(job)
            if self.running:
                self._collect()
            elif self.retries:
                time.sleep(0.1)
            else:
                return self.failed

    def _is_retry_due(self) -> bool:
        return bool(self.retries) and self.retries[0][0] <= time.monotonic()

    def _next(self, new: Iterator[Job]) -> Job | None:
        """A job whose time has come to be tried again, or else a new one; None where there is no new one."""
        return self.retries.popleft()[1] if self._is_retry_due() else next(new, None)

    def _start(self, job: Job) -> None:
        """Hand a job to the executor, unless it is done or its folder belongs to something else."""
        if job.done():
            return self._end(job)
        try:
            job.claim()
        except IdentboxError as error:
            return self._end(job, str(error))
        work = self.works(command=job.command, log=str(job.log))
        try:
            self.running[self.executor.submit(self.body, work)] = job
        except Exception as error:  # the scheduler is gone, say
            raise IdentboxError(
                f"{job.name}: expected a cluster to do it, got {error!r}; the same command continues"
            ) from error
        return None

    def _collect(self) -> None:
        """Wait for jobs to end, not for long, so that a signal reaches this thread."""
        for future in wait(self.running, timeout=0.5, return_when=FIRST_COMPLETED).done:
            job = self.running.pop(future)
            outcome = _outcome(future)
            if outcome.state == "done" and not job.done():
                # The job's own fault, or a shared folder shows the result late.
                outcome = WorkOutcome(state="died", reason=f"ended without its result (log: {job.log})")
            if outcome.state == "died":
                self.deaths[job.name] += 1
            if outcome.state == "died" and self.deaths[job.name] >= MOST_DEATHS:
                self._end(job, f"{outcome.reason}, {MOST_DEATHS} times")
            elif outcome.state in ("died", "elsewhere"):
                self.retries.append((time.monotonic() + RETRY_AFTER, job))
            else:
                self._end(job, outcome.reason)

    def _end(self, job: Job, reason: str = "") -> None:
        if reason:
            self.failed[job.name] = reason
        self.on_done(job.name, reason)


def _outcome(future: Future[WorkOutcome]) -> WorkOutcome:
    """The outcome of a future; an executor raises an exception where a worker died."""
    try:
        return future.result()
    except Exception as error:
        return WorkOutcome(state="died", reason=" ".join(str(error).split()) or type(error).__name__)


def perform(
    work: Work, stop: threading.Event | None = None, gpus: queue.Queue[str] | None = None
) -> WorkOutcome:
    """Do a piece of work in a child process, on whatever machine this is called, unless another has its lease.

    The child has a temporary folder of its own, one of the free ``gpus`` for itself, and ends when this process does.
    """
    log = Path(work.log)
    lease = Lease.take(log.with_suffix(".lease"))
    if lease is None:
        return WorkOutcome(state="elsewhere")
    try:
        with _one_of(gpus) as gpu:
            return _watched_child(work, log, lease, gpu, stop)
    finally:
        lease.release()


@contextmanager
def _one_of(gpus: queue.Queue[str] | None) -> Iterator[str | None]:
    """One of the free GPUs, which is free again after the block; None where there are none to choose from."""
    if gpus is None:
        yield None
        return
    gpu = gpus.get()
    try:
        yield gpu
    finally:
        gpus.put(gpu)


def _watched_child(
    work: Work, log: Path, lease: Lease, gpu: str | None, stop: threading.Event | None
) -> WorkOutcome:
    """Run the child of a piece of work to its end, and say how it ended."""
    tether = ("-m", "identbox.jobs.tether", str(os.getpid()), str(lease.path), lease.token)
    with files.scratch() as scratch:
        own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(work.threads))
        own |= {"TMPDIR": str(scratch), "PYTHONIOENCODING": "utf-8:backslashreplace"}
        if gpu is not None:
            own["CUDA_VISIBLE_DEVICES"] = gpu
        with files.open_log(log) as output:
            child = subprocess.Popen(
                [sys.executable, *tether, *work.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own},
            )
            reason = _wait_for_child(child, work.timeout, stop)
    if reason is not None:
        return WorkOutcome(state="stopped" if not reason else "failed", reason=reason)
    if child.returncode == 0:
        return WorkOutcome(state="done")
    if not lease.is_mine():
        return WorkOutcome(state="elsewhere")
    if child.returncode < 0:
        return WorkOutcome(state="died", reason=f"killed by {signal.Signals(-child.returncode).name}")
    content = files.read_bytes(log, files.LARGEST_TEXT).decode(errors="replace")
    lines = [line for line in content.splitlines() if line.strip()]
    last = lines[-1] if lines else "no output"
    return WorkOutcome(state="failed", reason=f"exit code {child.returncode}, {last}")


def _wait_for_child(
    child: subprocess.Popen, timeout: float | None, stop: threading.Event | None
) -> str | None:
    """Wait for a child; returns None where it ended by itself, even at the last moment.

    Otherwise it was ended here, and the reason is returned: '' where that was asked for by ``stop``.
    """
    begun = time.monotonic()
    while True:
        try:
            child.wait(timeout=0.2)
            return None
        except subprocess.TimeoutExpired:
            if stop is not None and stop.is_set():
                _end_child(child)
                return ""
            if timeout is not None and time.monotonic() - begun > timeout:
                _end_child(child)
                return f"took longer than {timeout:g} s" if child.returncode else None


def _end_child(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(timeout=KILL_AFTER)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def run_child(body: Callable[[list[str]], None]) -> None:
    """Run ``body`` on the arguments of a child's command line; a user's mistake is the log's last line, and code 1."""
    try:
        body(sys.argv[1:])
    except IdentboxError as error:
        sys.exit(f"identbox: {error}")


def expect_no_failures(folder: Path, failed: dict[str, str]) -> None:
    """Raise IdentboxError where jobs in a folder failed; the message has the first reason."""
    if failed:
        name, reason = next(iter(failed.items()))
        raise IdentboxError(
            f"{folder}: expected all runs to finish, got {len(failed)} that failed "
            f"({first_few(failed, 3)}); {name}: {reason}"
        )
