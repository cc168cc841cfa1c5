"""The commands of the numerical simulations: simulate, sweep, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from identbox.commands.display import do
from identbox.commands.options import (
    choose_device,
    cluster_options,
    device_option,
    numbers,
    preset_option,
    visible_gpus,
)

if TYPE_CHECKING:
    from identbox.jobs.clusters import Cluster


@click.command()
@click.argument("file", type=Path)
@preset_option
@click.option("--out", type=Path, help="Folder of the sweep.  [default: results/NAME-PRESET beside the file]")
@click.option("--seeds", metavar="0,1,2", help="Seeds instead of those of the file.")
@click.option("--dataset", type=Path, help="Folder of the dataset, for a sweep of images and text.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Runs side by side."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="End a run that takes longer, name it, and go on.",
)
@device_option
@cluster_options
def sweep(
    file: Path,
    preset: str,
    out: Path | None,
    seeds: str | None,
    dataset: Path | None,
    workers: int,
    timeout: float | None,
    device: str,
    cluster: Cluster | None,
) -> None:
    """Do all runs of a sweep FILE: a table or a figure.

    Each run is a process of its own. Finished runs are skipped, interrupted ones go on; a failed run is reported
    in the end and stops no other.
    """
    from identbox.experiments import sweeps

    found = sweeps.read(file, preset, None if seeds is None else numbers(seeds, "--seeds"))
    folder = out or file.parent / "results" / f"{file.stem}-{preset}"
    where = (
        choose_device(device) if cluster is None else device
    )  # each machine of a cluster chooses for itself
    jobs = list(sweeps.jobs(folder, found, device=where, dataset=dataset))
    if dataset is not None:
        from identbox.commands.display import open_dataset

        # Decoded here and once, not by every run that starts.
        for settings in {one.image_size: one for one in found.data()}.values():
            open_dataset(dataset, settings)
    sweeps.prepare(folder, found)
    gpus = visible_gpus() if where == "cuda" else ()
    do(folder, jobs, workers, "runs", cluster, gpus=gpus, timeout=timeout and timeout * 3600)
    click.echo(f"{folder}: all runs are done; see: identbox report {folder}")


@click.command()
@click.argument("folder", type=Path)
@click.option("--out", type=Path, help="Folder for report.md, table.csv and figures.  [default: FOLDER]")
def report(folder: Path, out: Path | None) -> None:
    """Show the results of a run or a sweep in FOLDER, and write them as Markdown, CSV, PNG and SVG."""
    from rich.console import Console

    from identbox.reports import runs

    found = runs.read(folder)
    for shown in found.tables():
        Console().print(shown)
    for path in found.write(out or folder):
        click.echo(str(path))
