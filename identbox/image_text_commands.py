"""The commands of the image/text experiment: train, probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.errors import IdentboxError
from identbox.simulation_commands import (
    choose_device,
    config_option,
    device_option,
    differences,
    run_option,
    seed_option,
    set_option,
    show,
)
from identbox.terminal import cores, steps_bar, warn

if TYPE_CHECKING:
    from identbox.image_text import Data, DataSettings

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
    from identbox import experiments, image_text

    table = differences(config_file, assignments, besides=("seed", "dataset"))
    if encoding_size is not None:
        table = experiments.merge(table, {"encoder": {"encoding_size": encoding_size}})
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
    from identbox import experiments, image_text

    where = choose_device(device)
    if not (run / experiments.RESULTS).exists():
        raise IdentboxError(f"{run}: expected a finished run of identbox train, got none")
    record = experiments.read_results(run / experiments.RESULTS)
    learner, data = image_text.load(run, dataset, workers=workers or cores(), on_message=warn)
    record |= image_text.probe(learner.to(where), data)
    experiments.write_results(run / experiments.RESULTS, record)
    show(run)


def open_dataset(dataset: Path, settings: DataSettings, workers: int | None = None) -> Data:
    """Open a dataset's splits behind a progress bar, where images have to be decoded first."""
    from identbox import image_text

    with steps_bar() as progress:
        tasks: dict[str, Any] = {}

        def tell(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = progress.add_task(f"decoding {split}", total=total, figures="images")
            progress.update(tasks[split], completed=done)

        return image_text.open_data(
            dataset, settings, workers=workers or cores(), on_progress=tell, on_message=warn
        )
