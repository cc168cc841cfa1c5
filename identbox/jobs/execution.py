"""Work as child processes: each restartable, with a log of its own; state is on disk alone.

What is done is skipped, what was interrupted goes on, what fails is named and stops nothing else. Jobs are handed to
any `concurrent.futures.Executor`: threads of this process that each watch a child, or a cluster (see `clusters`).
"""

from __future__ import annotations

import itertools
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from identbox.errors import IdentboxError, first_few
from identbox.jobs.leases import Lease

ATTEMPTS = 3  # of a job whose child, or whose worker, is killed
AHEAD = 32  # jobs that a cluster gets beyond those it does: on its way, the next is there when one ends
KILL_AFTER = 5.0  # seconds between asking a child to stop and making it
LOOK = 2.0  # seconds between two looks at what is on disk, for a display
LOOK_AGAIN = 1.0  # seconds until it is seen again whether another client has done a job

State = Literal["done", "failed", "died", "elsewhere", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work. What it is for is on disk; only its command goes to where it is done."""

    name: str
    done: Callable[[], bool]  # whether all that it leaves is there
    claim: Callable[[], None] = lambda: (
        None
    )  # makes its folder, or raises IdentboxError where that is another's
    command: tuple[str, ...]  # what follows `python -m`
    log: Path  # that its output goes to; its folder is there once the job is claimed


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job as it is sent to where it is done."""

    command: tuple[str, ...]
    log: str
    threads: int  # cores that it may use
    timeout: float | None = None  # seconds


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a piece of work ended, and why if it is not done."""

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

    ``threads`` is the number of cores that each may use, ``timeout`` the seconds; each sees one of the ``gpus`` (as in
    CUDA_VISIBLE_DEVICES), where they are given. A job that another client is at is left to it, and looked at again
    until it is done. One whose child or worker is killed is done again from what is on disk, ATTEMPTS times at most.
    ``on_done`` gets a job's name when it is over, and why if it failed; ``on_look`` is called every LOOK seconds.
    Ctrl-C stops the jobs that run here; the same call goes on with them.
    """
    works = partial(Work, threads=threads, timeout=timeout)
    if executor is not None:
        return drive(
            jobs, executor, perform, works=works, window=workers + AHEAD, on_done=on_done, on_look=on_look
        )
    stop = threading.Event()
    free: queue.Queue[str] = queue.Queue()
    for place in range(workers if gpus else 0):
        free.put(gpus[place % len(gpus)])
    with ThreadPoolExecutor(workers) as pool:
        try:
            here = partial(perform, stop=stop, gpus=free if gpus else None)
            return drive(jobs, pool, here, works=works, window=workers, on_done=on_done, on_look=on_look)
        except BaseException:
            stop.set()
            raise


def drive(
    jobs: Iterable[Job],
    executor: Executor,
    body: Callable[[Work], Outcome],
    *,
    works: Callable[..., Work],
    window: int,
    on_done: Callable[[str, str], None],
    on_look: Callable[[], None],
) -> dict[str, str]:
    """Keep ``window`` jobs with an executor until none is left; see `execute`.

    ``body`` does a piece of work, which ``works`` makes of the command and the log of a job. Nothing is kept of a job
    that is over.
    """
    source = iter(jobs)  # taken one by one: there may be very many
    waiting = deque(itertools.islice(source, 1))
    running: dict[Future[Outcome], Job] = {}
    later: deque[tuple[float, Job]] = deque()  # when to look again
    deaths: Counter[str] = Counter()
    failed: dict[str, str] = {}

    def over(job: Job, reason: str = "") -> None:
        if reason:
            failed[job.name] = reason
        on_done(job.name, reason)

    looked = -math.inf
    while waiting or running or later:
        if time.monotonic() - looked > LOOK:
            looked = time.monotonic()
            on_look()
        while later and later[0][0] <= time.monotonic():
            waiting.append(later.popleft()[1])
        while waiting and len(running) < window:
            job = waiting.popleft()
            if not waiting:
                waiting.extend(itertools.islice(source, 1))
            if job.done():
                over(job)
                continue
            try:
                job.claim()
            except IdentboxError as error:
                over(job, str(error))
                continue
            work = works(command=job.command, log=str(job.log))
            try:
                running[executor.submit(body, work)] = job
            except Exception as error:  # the scheduler is gone, say
                raise IdentboxError(
                    f"{job.name}: expected a cluster to do it, got {error!r}; the same command goes on"
                ) from error
        if not running:
            time.sleep(0.1 if later else 0)
            continue
        # Short waits, so that a signal reaches this thread.
        for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            outcome = _outcome(future)
            if outcome.state == "done" and not job.done():
                # Of its own fault, or a shared folder shows it late.
                outcome = Outcome(state="died", reason=f"ended without its result (log: {job.log})")
            if outcome.state == "died":
                deaths[job.name] += 1
                if deaths[job.name] < ATTEMPTS:
                    later.append((time.monotonic() + LOOK_AGAIN, job))
                else:
                    over(job, f"{outcome.reason}, {ATTEMPTS} times")
            elif outcome.state == "elsewhere":
                later.append((time.monotonic() + LOOK_AGAIN, job))
            else:
                over(job, outcome.reason)
    return failed


def _outcome(future: Future[Outcome]) -> Outcome:
    """What a future holds; an executor says by an exception that a worker died."""
    try:
        return future.result()
    except Exception as error:
        return Outcome(state="died", reason=" ".join(str(error).split()) or type(error).__name__)


def perform(work: Work, stop: threading.Event | None = None, gpus: queue.Queue[str] | None = None) -> Outcome:
    """Do a piece of work in a child process, unless another has its lease; on whatever machine this is called.

    The child has a temporary folder of its own, one of the free ``gpus`` for itself, and ends when this process does.
    """
    log = Path(work.log)
    lease = Lease.take(log.with_suffix(".lease"))
    if lease is None:
        return Outcome(state="elsewhere")
    gpu = None if gpus is None else gpus.get()
    try:
        with tempfile.TemporaryDirectory(prefix="identbox-", ignore_cleanup_errors=True) as scratch:
            own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(work.threads))
            own["TMPDIR"] = scratch
            if gpu is not None:
                own["CUDA_VISIBLE_DEVICES"] = gpu
            tether = (
                sys.executable,
                "-m",
                "identbox.jobs.tether",
                str(os.getpid()),
                str(lease.path),
                lease.token,
            )
            with log.open("ab") as output:
                child = subprocess.Popen(
                    [*tether, *work.command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **own},
                )
                reason = _watch(child, work.timeout, stop)
        if reason is not None:
            return Outcome(state="stopped" if not reason else "failed", reason=reason)
        if child.returncode == 0:
            return Outcome(state="done")
        if not lease.is_mine():
            return Outcome(state="elsewhere")
        if child.returncode < 0:
            return Outcome(state="died", reason=f"killed by {signal.Signals(-child.returncode).name}")
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1] if lines else "no output"
        return Outcome(state="failed", reason=f"exit code {child.returncode}, {last}")
    finally:
        lease.release()
        if gpus is not None and gpu is not None:
            gpus.put(gpu)


def _watch(child: subprocess.Popen, timeout: float | None, stop: threading.Event | None) -> str | None:
    """Wait for a child: None where it ended by itself, be it at the last moment, else why it was ended ('' if that was
    asked for).
    """
    begun = time.monotonic()
    while True:
        try:
            child.wait(timeout=0.2)
            return None
        except subprocess.TimeoutExpired:
            if stop is not None and stop.is_set():
                _end(child)
                return ""
            if timeout is not None and time.monotonic() - begun > timeout:
                _end(child)
                return f"took longer than {timeout:g} s" if child.returncode else None


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(timeout=KILL_AFTER)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(body: Callable[[list[str]], None]) -> None:
    """Run ``body`` on the arguments of a child's command line: a user's mistake is the log's last line, and code 1."""
    try:
        body(sys.argv[1:])
    except IdentboxError as error:
        sys.exit(f"identbox: {error}")


def expect_no_failures(folder: Path, failed: dict[str, str]) -> None:
    """Raise IdentboxError where jobs in a folder failed, with the first reason."""
    if failed:
        name, reason = next(iter(failed.items()))
        raise IdentboxError(
            f"{folder}: expected all runs to finish, got {len(failed)} that failed "
            f"({first_few(failed, 3)}); {name}: {reason}"
        )
