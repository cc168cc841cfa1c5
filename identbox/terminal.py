"""What commands show in a terminal, and how many cores they find."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def images_bar(unit: str = "images", *, workers: int = 1) -> Progress:
    """A bar with images or another unit, how many a second (of this run; in all and a worker), and the time left."""
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
            each = f", {speed / workers:.2f} a worker" if workers > 1 else ""
            return Text(f"{speed:.2f} {unit}/s{each}")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


def steps_bar() -> Progress:
    """A bar with steps, the newest figures and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


def print_finding(what: str, good: bool | None, detail: str) -> None:
    """One line: a mark, what was looked at, and what was seen."""
    mark, color = {True: ("ok", "green"), False: ("FAULT", "red"), None: ("-", "yellow")}[good]
    click.echo(f"{click.style(f'{mark:<6}', fg=color)}{what:<36} {detail}")


def print_download(name: str) -> None:
    """Say that a file is being fetched."""
    click.echo(f"fetching {name}", err=True)


def print_failure(progress: Progress, name: str, reason: str) -> None:
    """Say above a bar what failed, while the rest goes on."""
    progress.console.print(f"failed: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """Tell something beside the output."""
    click.echo(f"identbox: {message}", err=True)
