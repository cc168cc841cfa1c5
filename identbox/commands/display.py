"""What commands show in a terminal, and how many cores they find."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.texts import visible

if TYPE_CHECKING:
    from rich.progress import Progress

    from identbox.experiments.image_text import Data, DataSettings
    from identbox.jobs.clusters import Cluster
    from identbox.jobs.execution import Job


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(side_by_side: int) -> int:
    """The threads of each of so many processes: its share of the cores, and no more than OMP_NUM_THREADS says."""
    share, said = max(1, cores() // side_by_side), os.environ.get("OMP_NUM_THREADS", "")
    return min(share, max(1, int(said))) if said.isdecimal() else share


def images_bar(unit: str = "images") -> Progress:
    """A bar with images or another unit, how many each second in this run, and the time left.

    A task's ``already`` is the number that was there before, its ``workers`` the number that share the work.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            done = task.completed - task.fields.get("already", 0)
            speed = done / task.elapsed if task.elapsed and done else 0.0
            workers = task.fields.get("workers", 1)
            each = f", {speed / workers:.2f} a worker" if workers > 1 else ""
            return Text(f"{speed:.2f} {unit}/s{each}")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


def steps_bar() -> Progress:
    """A bar with steps, the newest figures and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


def print_finding(what: str, good: bool | None, detail: str) -> None:
    """Print one line: a mark, what was examined, and the result."""
    mark, color = {True: ("ok", "green"), False: ("FAULT", "red"), None: ("-", "yellow")}[good]
    click.echo(f"{click.style(f'{mark:<6}', fg=color)}{visible(what):<36} {visible(detail)}")


def print_step(what: str) -> None:
    """Say on the error stream what is done next, where that may take long."""
    click.echo(visible(what), err=True)


def print_failure(progress: Progress, name: str, reason: str) -> None:
    """Say above a bar what failed, while the rest goes on."""
    progress.console.print(
        visible(f"failed: {name}: {reason}"), markup=False, highlight=False, soft_wrap=True
    )


def warn(message: str) -> None:
    """Print a line on the error stream, so that the output stays clean."""
    click.echo(f"identbox: {visible(message)}", err=True)


def open_dataset(dataset: Path, settings: DataSettings, workers: int | None = None) -> Data:
    """Open a dataset's splits behind a progress bar, where images have to be decoded first."""
    from identbox.experiments import image_text

    with steps_bar() as progress:
        tasks: dict[str, Any] = {}

        def tell(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = progress.add_task(f"decoding {split}", total=total, figures="images")
            progress.update(tasks[split], completed=done)

        return image_text.open_data(
            dataset, settings, workers=workers or cores(), on_progress=tell, on_message=warn
        )


def show_run(run: Path) -> None:
    """Print the report of a run."""
    from rich.console import Console

    from identbox.experiments.records import RESULTS
    from identbox.reports import runs

    Console().print(runs.read_report(run).terminal())
    click.echo(f"{run / RESULTS}: the whole record")


def run_jobs(
    folder: Path,
    jobs: Sequence[Job],
    workers: int | None,
    what: str,
    cluster: Cluster | None = None,
    gpus: Sequence[str] = (),
    timeout: float | None = None,
) -> None:
    """Run jobs in child processes behind a progress bar, ``workers`` side by side (default: as many as cores).

    Raises IdentboxError after the last one where some failed.
    """
    from identbox.jobs import clusters, execution

    with ExitStack() as stack:
        side_by_side, executor = workers or cores(), None
        threads = threads_each(side_by_side)
        if cluster is not None:
            pool = stack.enter_context(clusters.connect(cluster, folder.resolve() / "cluster"))
            side_by_side, executor, threads = pool.slots, pool.executor, cluster.cpus
            click.echo(pool.summary)
        progress = stack.enter_context(steps_bar())
        task = progress.add_task(what, total=len(jobs), figures="")

        def tell(name: str, reason: str) -> None:
            progress.update(task, advance=1, figures=visible(name))
            if reason:
                print_failure(progress, name, reason)
            elif not progress.console.is_terminal:  # in the log of a cluster's job no bar moves
                click.echo(visible(name))

        failed = execution.execute(
            jobs,
            workers=side_by_side,
            threads=threads,
            executor=executor,
            gpus=gpus,
            timeout=timeout,
            on_done=tell,
        )
    execution.expect_no_failures(folder, failed)
