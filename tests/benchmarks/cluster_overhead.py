"""What a task costs on a local Dask cluster beside its work: one JSON line.

    python tests/benchmarks/cluster_overhead.py --tasks 10000

Tasks that do nothing go through the driver of `identbox.jobs.execution`. Reported are the seconds a task, and the
memory of scheduler and client after each fifth of the tasks.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil

from identbox.jobs import clusters, execution
from identbox.jobs.clusters import Cluster
from identbox.jobs.execution import Dispatcher, Job, Work, WorkOutcome


class Nothing:
    """A job that is done when it was asked for a second time."""

    def __init__(self) -> None:
        self.asked = 0

    def done(self) -> bool:
        self.asked += 1
        return self.asked > 1


def nothing(work: Work) -> WorkOutcome:
    """What a worker does with a task."""
    return WorkOutcome(state="done")


def start(module: str, *options: object) -> subprocess.Popen:
    """A process of Dask's."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", module, *map(str, options)], **quiet)


def main() -> None:
    """Start a cluster, send tasks, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "scheduler.json"
        processes = [start("distributed.cli.dask_scheduler", "--port", 0, "--scheduler-file", told)]
        while not told.exists() or not told.read_text().endswith("}"):
            time.sleep(0.1)
        address = json.loads(told.read_text())["address"]
        for _ in range(options.workers):
            worker = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", scratch)
            processes.append(start("distributed.cli.dask_worker", address, *worker))
        memory: dict[str, list[float]] = {"scheduler": [], "client": []}

        def look(processes: list[subprocess.Popen] = processes) -> None:
            for name, pid in (("scheduler", processes[0].pid), ("client", None)):
                memory[name].append(round(psutil.Process(pid).memory_info().rss / 2**20, 1))

        try:
            time.sleep(5)  # until the workers have found the scheduler
            with clusters.connect(Cluster(address=address), Path(scratch)) as pool:
                seconds = []
                for tasks in [options.tasks // 5] * 5:
                    jobs = (
                        Job(name=str(k), done=Nothing().done, command=(), log=Path("log"))
                        for k in range(tasks)
                    )
                    begun = time.perf_counter()
                    Dispatcher(
                        executor=pool.executor,
                        body=nothing,
                        works=partial(Work, threads=1),
                        window=pool.slots + execution.SPARE_JOBS,
                        on_done=lambda name, reason: None,
                        on_look=lambda: None,
                    ).run(jobs)
                    seconds.append((time.perf_counter() - begun) / tasks)
                    look()
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()
    print(json.dumps({"benchmark": "cluster overhead", "tasks": options.tasks, "workers": options.workers,
                      "ms_a_task": round(1000 * sum(seconds) / 5, 2), "rss_mib": memory}))  # fmt: skip


if __name__ == "__main__":
    main()
