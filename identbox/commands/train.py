"""The commands of the image/text experiment: train, probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from identbox.commands.display import cores, open_dataset, show, steps_bar, warn
from identbox.commands.options import (
    choose_device,
    config_option,
    device_option,
    differences,
    preset_option,
    run_option,
    seed_option,
    set_option,
)
from identbox.errors import IdentboxError

if TYPE_CHECKING:
    pass
if TYPE_CHECKING:
    pass


workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that decode images, where that was not done before.  [default: cores]",
)


@click.command()
@click.argument("dataset", type=Path)
@click.option(
    "--preset",
    type=click.Choice(["quick", "thesis"]),
    default="quick",
    show_default=True,
    help="Small images and a small encoder, or Table A.2b.",
)
@click.option(
    "--encoding-size", type=int, help="Dimensions of both encodings.  [default: 6 for quick, 4 for thesis]"
)
@config_option
@set_option("encoder.image=resnet18")
@seed_option
@run_option
@workers_option
@device_option
def train(
    dataset: Path,
    preset: str,
    encoding_size: int | None,
    config_file: Path | None,
    assignments: tuple[str, ...],
    seed: int,
    out: Path,
    workers: int | None,
    device: str,
) -> None:
    """Train an image and a text encoder on a DATASET folder, and probe what they encode.

    Interrupted, the same command goes on where it stopped.
    """
    from identbox import config
    from identbox.experiments import image_text

    table = differences(config_file, assignments, besides=("seed", "dataset"))
    if encoding_size is not None:
        table = config.merge(table, {"encoder": {"encoding_size": encoding_size}})
    experiment = image_text.experiment(preset, table, str(config_file or "--set"))
    where = choose_device(device)
    data = open_dataset(dataset, experiment.data, workers)
    with steps_bar() as progress:
        task = progress.add_task("training", total=experiment.training.steps, figures="")
        image_text.run(
            experiment,
            data,
            out,
            seed=seed,
            device=where,
            on_start=lambda step: progress.update(task, completed=step),
            on_metrics=lambda metrics: progress.update(
                task,
                completed=metrics["step"],
                figures=f"loss {metrics['loss']:.4f}  validation {metrics['validation_loss']:.4f}",
            ),
            on_message=warn,
        )
    show(out)


@click.command()
@click.argument("run", type=Path)
@click.option("--dataset", type=Path, help="Where the dataset is now.  [default: where it was]")
@workers_option
@device_option
def probe(run: Path, dataset: Path | None, workers: int | None, device: str) -> None:
    """Probe the encodings of a RUN of identbox train again, from its last checkpoint, and renew its record."""
    from identbox.experiments import image_text, records
    from identbox.experiments import run as experiments_run

    where = choose_device(device)
    if not (run / records.RESULTS).exists():
        raise IdentboxError(f"{run}: expected a finished run of identbox train, got none")
    record = experiments_run.read_results(run / records.RESULTS)
    learner, data = image_text.load(run, dataset, workers=workers or cores(), on_message=warn)
    record |= image_text.probe(learner.to(where), data)
    experiments_run.write_results(run / records.RESULTS, record)
    show(run)


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
    from identbox.experiments import simulation as experiments_simulation

    table = differences(config_file, assignments)
    simulation = experiments_simulation.simulation(preset, table, str(config_file or "--set"))
    where = choose_device(device)
    with steps_bar() as progress:
        task = progress.add_task("training", total=simulation.training.steps, figures="")
        experiments_simulation.run(
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
