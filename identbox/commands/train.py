"""The commands that train one learner: simulate, train; and probe, which reads a trained one again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.commands.display import cores, open_dataset, show_run, steps_bar, threads_each, warn
from identbox.commands.options import (
    SIMULATION_SIZES,
    configuration_options,
    device_option,
    preset_option,
    run_option,
    seed_option,
    torch_device,
)
from identbox.errors import IdentboxError
from identbox.experiments.records import DMVAE, SIMULATION

if TYPE_CHECKING:
    from identbox.experiments.multiview import MultiviewData
    from identbox.experiments.pair_learner import DataSettings
    from identbox.learning.training import Callbacks

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that decode images, where that was not done before.  [default: cores]",
)


@contextmanager
def _training_bar(
    steps: int,
    figures: Callable[[dict[str, Any]], str],
    steps_of: Callable[[dict[str, Any]], int] | None = None,
) -> Iterator[Callbacks]:
    """The callbacks of a training that show its steps in a bar, with the ``figures`` of each line of metrics.

    Where parts are trained one after the other, ``steps_of`` says how many steps the part of a line has.
    """
    from identbox.learning.training import Callbacks

    with steps_bar() as progress:
        task = progress.add_task("training", total=steps, figures="")
        yield Callbacks(
            on_start=lambda step: progress.update(task, completed=step),
            on_metrics=lambda metrics: progress.update(
                task,
                completed=metrics["step"],
                total=steps if steps_of is None else steps_of(metrics),
                figures=f"loss {metrics['loss']:.4f}  {figures(metrics)}",
            ),
            on_message=warn,
        )


@click.command("train")
@click.argument("data", type=Path)
@click.option(
    "--model",
    metavar="NAME",
    help="A multimodal VAE instead of contrastive encoders: mvae, mmvae, mopoe-vae, mmvae-plus, dmvae, ...; another "
    "name lists all.",
)
@preset_option("Small images and a small encoder, or Table A.2b.")
@configuration_options("encoder.image=resnet18")
@seed_option
@run_option
@workers_option
@device_option
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Modalities whose second stages a DMVAE trains side by side, each by a process of its own.",
)
@click.option(
    "--part",
    metavar="NAME",
    help="Train this part of a DMVAE alone: shared, or specific-MODALITY once shared is finished.",
)
def train_command(
    data: Path,
    model: str | None,
    preset: str,
    changes: dict[str, Any],
    where: str,
    seed: int,
    out: Path,
    workers: int | None,
    device: str,
    parallel: int,
    part: str | None,
) -> None:
    """Train an image and a text encoder on a dataset folder DATA, and probe what they encode.

    With --model a multimodal VAE is trained instead. DATA may then also be a dataset of identbox data, the word
    simulation, for the vectors of a numerical simulation as identbox simulate has them, or the TOML file of a discrete
    law, whose likelihoods are known exactly. After an interruption the same command continues where it stopped.
    """
    if model is not None:
        changes = {**changes, "model": model}
    options: dict[str, Any] = {"seed": seed, "out": out, "device": torch_device(device)}
    if changes.get("model") != DMVAE and (part is not None or parallel > 1):
        given = "--parallel" if part is None else "--part"
        raise IdentboxError(
            f"{given}: expected --model {DMVAE} beside it, got {changes.get('model', 'none')}"
        )
    if "model" not in changes:
        _train_pairs(data, preset, changes, where, workers, **options)
    elif changes["model"] == DMVAE:
        _train_dmvae(data, preset, changes, where, workers, parallel=parallel, part=part, **options)
        out = out if part is None else out / part
    elif str(data) == SIMULATION:
        _train_vae_on_world(preset, changes, where, **options)
    elif _is_law(data):
        _train_vae_on_law(data, preset, changes, where, **options)
    else:
        _train_vae_on_dataset(data, preset, changes, where, workers, **options)
    show_run(out)


def _is_law(data: Path) -> bool:
    """Whether the data are a law that a TOML file describes."""
    return data.suffix == ".toml"


def _validation(metrics: dict[str, Any]) -> str:
    return f"validation {metrics['validation_loss']:.4f}"


def _content(metrics: dict[str, Any]) -> str:
    return f"content R² {metrics['content_r2']:.3f}"


def _train_pairs(
    dataset: Path,
    preset: str,
    changes: dict[str, Any],
    where: str,
    workers: int | None,
    *,
    seed: int,
    out: Path,
    device: str,
) -> None:
    from identbox.experiments import image_text

    experiment = image_text.Experiment.from_preset(preset, changes, where)
    data = open_dataset(dataset, experiment.data, workers)
    with _training_bar(experiment.training.steps, _validation) as callbacks:
        image_text.run_experiment(experiment, data, out, seed=seed, device=device, callbacks=callbacks)


def _train_vae_on_world(
    preset: str, changes: dict[str, Any], where: str, *, seed: int, out: Path, device: str
) -> None:
    from identbox.experiments import generative

    experiment = generative.Generative.from_preset(preset, changes, where)
    with _training_bar(experiment.training.steps, _content) as callbacks:
        generative.run_vae_on_world(experiment, out, seed=seed, device=device, callbacks=callbacks)


def _train_vae_on_law(
    law: Path, preset: str, changes: dict[str, Any], where: str, *, seed: int, out: Path, device: str
) -> None:
    from identbox.experiments import generative, law_vaes

    experiment = generative.Generative.from_preset(preset, changes, where, on="law")
    with _training_bar(experiment.training.steps, _validation) as callbacks:
        law_vaes.run_vae_on_law(experiment, law, out, seed=seed, device=device, callbacks=callbacks)


def _train_dmvae(
    data: Path,
    preset: str,
    changes: dict[str, Any],
    where: str,
    workers: int | None,
    *,
    seed: int,
    out: Path,
    device: str,
    parallel: int,
    part: str | None,
) -> None:
    from identbox.experiments import dmvae, dmvae_runs
    from identbox.experiments.dmvae_parts import SideBySide
    from identbox.experiments.multiview import data_kind
    from identbox.experiments.run import CONFIG_FILE

    on_world = str(data) == SIMULATION
    if _is_law(data):
        raise IdentboxError(f"--model {DMVAE}: expected simulation or a dataset, got the law {data}")
    kind = data_kind(None if on_world else data)
    experiment = dmvae.DMVAESettings.from_preset(preset, changes, where, on=kind)
    options: dict[str, Any] = {"seed": seed, "device": device, "part": part}
    if parallel > 1:
        place = data if on_world else data.resolve()
        given = {"--preset": preset, "--config": out.resolve() / CONFIG_FILE, "--out": out.resolve()}
        given |= {"--seed": seed, "--device": device}
        words = tuple(str(word) for pair in given.items() for word in pair)
        options["side_by_side"] = SideBySide(
            workers=parallel,
            threads=threads_each(parallel),
            command=lambda name: ("identbox", "train", str(place), *words, "--part", name),
        )
    first, second = experiment.shared.training.steps, experiment.specific.training.steps

    def steps_of(metrics: dict[str, Any]) -> int:
        return second if "mutual_information" in metrics else first

    with _training_bar(first, _part, steps_of) as callbacks:
        options["callbacks"] = callbacks
        if on_world:
            dmvae_runs.run_dmvae_on_world(experiment, out, **options)
        else:
            dmvae_runs.run_dmvae(experiment, _open_multiview(data, experiment.data, workers), out, **options)


def _part(metrics: dict[str, Any]) -> str:
    if "content_r2" in metrics:
        return f"shared: {_content(metrics)}"
    if "validation_loss" in metrics:
        return f"shared: {_validation(metrics)}"
    return f"specific: I(c; m) {metrics['mutual_information']:.3f}"


def _open_multiview(dataset: Path, settings: DataSettings, workers: int | None) -> MultiviewData:
    """A dataset of any modalities, or a rendered one."""
    from identbox.experiments import multiview

    if multiview.data_kind(dataset) == "pairs":
        return multiview.data_of_pairs(open_dataset(dataset, settings, workers))
    return multiview.open_multiview_data(dataset, settings)


def _train_vae_on_dataset(
    dataset: Path,
    preset: str,
    changes: dict[str, Any],
    where: str,
    workers: int | None,
    *,
    seed: int,
    out: Path,
    device: str,
) -> None:
    from identbox.experiments import generative, multiview, vae_runs

    kind = multiview.data_kind(dataset)
    experiment = generative.Generative.from_preset(preset, changes, where, on=kind)
    data = _open_multiview(dataset, experiment.data, workers)
    with _training_bar(experiment.training.steps, _validation) as callbacks:
        vae_runs.run_vae(experiment, data, out, seed=seed, device=device, callbacks=callbacks)


@click.command("probe")
@click.argument("run", type=Path)
@click.option("--dataset", type=Path, help="Where the dataset is now.  [default: where it was]")
@workers_option
@device_option
def probe_command(run: Path, dataset: Path | None, workers: int | None, device: str) -> None:
    """Probe the encodings of a RUN of identbox train again, from its last checkpoint, and renew its record."""
    from identbox.experiments.reprobing import probe_again

    probe_again(run, dataset, workers=workers or cores(), device=torch_device(device), on_message=warn)
    show_run(run)


@click.command("simulate")
@preset_option(SIMULATION_SIZES, "laptop", "gpu")
@configuration_options("process.causal=true")
@seed_option
@run_option
@device_option
def simulate_command(
    preset: str, changes: dict[str, Any], where: str, seed: int, out: Path, device: str
) -> None:
    """Train contrastive encoders on a numerical simulation, and probe what they encode.

    After an interruption the same command continues where it stopped.
    """
    from identbox.experiments.simulation import Simulation, run_simulation

    simulation = Simulation.from_preset(preset, changes, where)
    device = torch_device(device)
    with _training_bar(simulation.training.steps, _content) as callbacks:
        run_simulation(simulation, out, seed=seed, device=device, callbacks=callbacks)
    show_run(out)
