"""The commands of the numerical simulations: simulate, sweep, report."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.cluster_options import cluster_options
from identbox.errors import IdentboxError
from identbox.terminal import cores, print_failure, steps_bar, warn

if TYPE_CHECKING:
    from identbox.children import Job
    from identbox.clusters import Cluster

preset_option = click.option(
    "--preset",
    type=click.Choice(["quick", "thesis"]),
    default="quick",
    show_default=True,
    help="Blocks of 2 dimensions and a small encoder, or Table A.2a.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to train and probe.",
)
config_option = click.option(
    "--config", "config_file", type=Path, metavar="FILE", help="TOML with keys that differ from the preset."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is drawn."
)
run_option = click.option(
    "--out", type=Path, default=Path("run"), show_default=True, help="Folder of the run."
)


def set_option(example: str) -> Any:
    """The option --set, which gives a command its ``assignments``."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"One key that differs from the preset, as {example}; may be repeated.",
    )


def choose_device(name: str) -> str:
    """The torch device of that name; auto is a GPU where there is one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise IdentboxError(f"device: expected auto, cpu, cuda or cuda:N, got {name}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise IdentboxError(f"device: expected one of {torch.cuda.device_count()} GPUs, got {name}")
    return name


def visible_gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]


@click.command()
@preset_option
@config_option
@set_option("process.causal=true")
@seed_option
@run_option
@device_option
def simulate(
    preset: str,
    config_file: Path | None,
    assignments: tuple[str, ...],
    seed: int,
    out: Path,
    device: str,
) -> None:
    """Train contrastive encoders on a numerical simulation, and probe what they encode.

    Interrupted, the same command goes on where it stopped.
    """
    from identbox import experiments

    table = differences(config_file, assignments)
    simulation = experiments.simulation(preset, table, str(config_file or "--set"))
    where = choose_device(device)
    with steps_bar() as progress:
        task = progress.add_task("training", total=simulation.training.steps, figures="")
        experiments.run(
            simulation,
            out,
            seed=seed,
            device=where,
            on_start=lambda step: progress.update(task, completed=step),
            on_metrics=lambda metrics: progress.update(
                task,
                completed=metrics["step"],
                figures=f"loss {metrics['loss']:.4f}  content R² {metrics['content_r2']:.3f}",
            ),
            on_message=warn,
        )
    show(out)


def differences(
    config_file: Path | None, assignments: Iterable[str], *, besides: Sequence[str] = ("seed",)
) -> dict[str, Any]:
    """What a file and then KEY=VALUEs change of a preset; ``besides`` are a file's keys that change none of it."""
    from identbox import config, experiments

    table: dict[str, Any] = {} if config_file is None else config.read_toml(config_file)
    kept = {key: value for key, value in table.items() if key not in besides}
    return experiments.merge(kept, changes(assignments))


def show(run: Path) -> None:
    """Print the report of a run."""
    from rich.console import Console

    from identbox import reports
    from identbox.records import RESULTS

    for shown in reports.read(run).tables():
        Console().print(shown)
    click.echo(f"{run / RESULTS}: the whole record")


def changes(assignments: Iterable[str]) -> dict[str, Any]:
    """The table of several KEY=VALUE, later ones before earlier ones."""
    from identbox import experiments

    table: dict[str, Any] = {}
    for assignment in assignments:
        table = experiments.merge(table, parse(assignment))
    return table


def parse(assignment: str) -> dict[str, Any]:
    """The nested table of KEY=VALUE, the value as TOML has it, or a plain word."""
    from identbox import sweeps

    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise IdentboxError(f"--set: expected KEY=VALUE, got {assignment}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return sweeps.nested({key.strip(): value}, "--set")


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
    from identbox import sweeps

    found = sweeps.read(file, preset, None if seeds is None else numbers(seeds, "--seeds"))
    folder = out or file.parent / "results" / f"{file.stem}-{preset}"
    where = (
        choose_device(device) if cluster is None else device
    )  # each machine of a cluster chooses for itself
    jobs = list(sweeps.jobs(folder, found, device=where, dataset=dataset))
    if dataset is not None:
        from identbox.image_text_commands import open_dataset

        # Decoded here and once, not by every run that starts.
        for settings in {one.image_size: one for one in found.data()}.values():
            open_dataset(dataset, settings)
    sweeps.prepare(folder, found)
    gpus = visible_gpus() if where == "cuda" else ()
    do(folder, jobs, workers, "runs", cluster, gpus=gpus, timeout=timeout and timeout * 3600)
    click.echo(f"{folder}: all runs are done; see: identbox report {folder}")


def do(
    folder: Path,
    jobs: Sequence[Job],
    workers: int | None,
    what: str,
    cluster: Cluster | None = None,
    gpus: Sequence[str] = (),
    timeout: float | None = None,
) -> None:
    """Do jobs in child processes behind a progress bar; without ``workers``, as many side by side as there are cores.

    Raises IdentboxError in the end where some failed.
    """
    from identbox import children, clusters

    with ExitStack() as stack:
        side_by_side, executor = workers or cores(), None
        threads = max(1, cores() // side_by_side)
        if cluster is not None:
            pool = stack.enter_context(clusters.connect(cluster, folder.resolve() / "cluster"))
            side_by_side, executor, threads = pool.slots, pool.executor, cluster.cpus
            click.echo(pool.told)
        progress = stack.enter_context(steps_bar())
        task = progress.add_task(what, total=len(jobs), figures="")

        def tell(name: str, reason: str) -> None:
            progress.update(task, advance=1, figures=name)
            if reason:
                print_failure(progress, name, reason)
            elif not progress.console.is_terminal:  # in the log of a cluster's job no bar moves
                click.echo(name)

        failed = children.execute(
            jobs,
            workers=side_by_side,
            threads=threads,
            executor=executor,
            gpus=gpus,
            timeout=timeout,
            on_done=tell,
        )
    children.expect_no_failures(folder, failed)


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Integers from 0, separated by commas."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise IdentboxError(f"{option}: expected numbers like 0,1,2; got {text}")
    return tuple(int(part) for part in parts)


@click.command()
@click.argument("folder", type=Path)
@click.option("--out", type=Path, help="Folder for report.md, table.csv and figures.  [default: FOLDER]")
def report(folder: Path, out: Path | None) -> None:
    """Show the results of a run or a sweep in FOLDER, and write them as Markdown, CSV, PNG and SVG."""
    from rich.console import Console

    from identbox import reports

    found = reports.read(folder)
    for shown in found.tables():
        Console().print(shown)
    for path in found.write(out or folder):
        click.echo(str(path))
