"""Runs as child processes: some side by side, each with a log of its own; state is on disk alone.

A finished run is skipped, an interrupted one goes on, a failed one is named and stops no other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from identbox.errors import IdentboxError, first_few
from identbox.records import RESULTS

LOG = "run.log"
KILL_AFTER = 5.0  # seconds between asking a run to stop and making it


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run: its folder, what makes the folder its own, and the command that fills it."""

    folder: Path  # done once it holds results.json; its output goes to run.log
    claim: Callable[[], None]  # makes the folder, or raises IdentboxError where it is another run's
    command: tuple[str, ...]  # what follows `python -m`


def execute(
    jobs: Iterable[Job],
    *,
    workers: int,
    threads: int,
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, str]:
    """Do the jobs that are not done, ``workers`` side by side; returns the reason of each that failed, by its name.

    ``threads`` is the number of cores that each may use. Ctrl-C stops them; the same call goes on with them.
    """
    stop = threading.Event()

    def one(job: Job) -> tuple[str, str | None]:
        reason = None
        if not stop.is_set() and not (job.folder / RESULTS).exists():
            reason = _run(job, threads, stop)
        on_done(job.folder.name)
        return job.folder.name, reason

    with ThreadPoolExecutor(workers) as pool:
        try:
            outcomes = list(pool.map(one, jobs))
        except BaseException:
            stop.set()
            raise
    return {name: reason for name, reason in outcomes if reason is not None}


def _run(job: Job, threads: int, stop: threading.Event) -> str | None:
    """Why a job failed, or None."""
    try:
        job.claim()
    except IdentboxError as error:
        return str(error)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    log = job.folder / LOG
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *job.command], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        while True:
            try:
                code = child.wait(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    _end(child)
                    return None
    if code == 0 and (job.folder / RESULTS).exists():
        return None
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"exit code {code}, {lines[-1] if lines else 'no output'}"


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(timeout=KILL_AFTER)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def expect_no_failures(folder: Path, failed: dict[str, str]) -> None:
    """Raise IdentboxError where runs in a folder failed, with the first reason."""
    if failed:
        name, reason = next(iter(failed.items()))
        raise IdentboxError(
            f"{folder}: expected all runs to finish, got {len(failed)} that failed "
            f"({first_few(failed, 3)}); {name}: {reason}"
        )
