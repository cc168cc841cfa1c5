"""The commands of many runs: sweep, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from identbox.commands.display import open_dataset, run_jobs
from identbox.commands.options import (
    SIMULATION_SIZES,
    cluster_options,
    comma_separated,
    device_option,
    preset_option,
    torch_device,
    visible_gpus,
)
from identbox.texts import visible

if TYPE_CHECKING:
    from identbox.jobs.clusters import Cluster


@click.command("sweep")
@click.argument("file", type=Path)
@preset_option(SIMULATION_SIZES, "laptop", "gpu")
@click.option("--out", type=Path, help="Folder of the sweep.  [default: results/NAME-PRESET beside the file]")
@click.option("--seeds", metavar="0,1,2", help="Seeds instead of those of the file.")
@click.option("--dataset", type=Path, help="Folder of the dataset, for a sweep of images and text.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of runs side by side."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="End a run that takes longer, name it, and continue with the others.",
)
@click.option(
    "--reuse",
    type=Path,
    multiple=True,
    help="Folder of another sweep: its finished runs of the same configuration and seed are copied; may be repeated.",
)
@device_option
@cluster_options
def sweep_command(
    file: Path,
    preset: str,
    out: Path | None,
    seeds: str | None,
    dataset: Path | None,
    workers: int,
    timeout: float | None,
    reuse: tuple[Path, ...],
    device: str,
    cluster: Cluster | None,
) -> None:
    """Train all runs of a sweep FILE: those of a table or a figure.

    Each run is a process of its own. Finished runs are skipped and interrupted ones continued. A failed run stops no
    other; it is named at the end.
    """
    from identbox.experiments import sweeps
    from identbox.experiments.multiview import data_kind

    chosen = None if seeds is None else comma_separated(seeds, "--seeds")
    planned = sweeps.read_sweep_file(file, preset, chosen, on=data_kind(dataset))
    folder = out or file.parent / "results" / f"{file.stem}-{preset}"
    # Each machine of a cluster chooses its own device.
    where = torch_device(device) if cluster is None else device
    jobs = list(planned.jobs(folder, device=where, dataset=dataset))
    if data_kind(dataset) == "pairs":
        # Images are decoded once, here, and not by every run that starts.
        for settings in {one.image_size: one for one in planned.data()}.values():
            open_dataset(Path(str(dataset)), settings)
    planned.claim(folder)
    for other in reuse:
        copied = planned.take(folder, other, dataset=dataset)
        click.echo(f"{visible(str(other))}: {copied} finished runs copied")
    gpus = visible_gpus() if where == "cuda" else ()
    run_jobs(folder, jobs, workers, "runs", cluster, gpus=gpus, timeout=timeout and timeout * 3600)
    click.echo(f"{folder}: all runs are done; see: identbox report {folder}")


@click.command("report")
@click.argument("folder", type=Path)
@click.option("--out", type=Path, help="Folder for report.md, table.csv and figures.  [default: FOLDER]")
@click.option(
    "--beside",
    type=Path,
    multiple=True,
    help="Folder of another sweep, whose figures of the same cells stand beside these; may be repeated.",
)
def report_command(folder: Path, out: Path | None, beside: tuple[Path, ...]) -> None:
    """Show the results of a run or a sweep in FOLDER, and write them as Markdown, CSV, PNG and SVG."""
    from rich.console import Console

    from identbox.reports import runs

    shown = runs.read_report(folder, beside)
    Console().print(shown.terminal())
    for path in shown.write(out or folder):
        click.echo(visible(str(path)))
