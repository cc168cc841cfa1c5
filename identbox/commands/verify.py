"""The command verify: verdicts on Theorem 2, from finished runs or from nothing, and Theorem 1 measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from identbox.commands.display import images_bar, run_jobs
from identbox.commands.options import assigned_table, comma_separated, device_option, set_option, torch_device
from identbox.errors import IdentboxError
from identbox.experiments.records import SIMULATION
from identbox.texts import visible

if TYPE_CHECKING:
    from identbox.experiments.trials import Trial
    from identbox.identifiability.margins import Margins


PROBLEMS = "theorem_1"  # under simulations: the processes of --theorem 1
OF_THEOREM_1 = ("theorem", "process_name", "assignments", "out")  # what may stand beside it
EXIT_CODES = {"identified": 0, "not identified": 2, "undecided": 3}  # of a verdict on arrays
ALL = "theorem_2.toml"  # under simulations: what --preset trains


@click.command("verify")
@click.argument("paths", nargs=-1, type=Path, metavar="[RUN_OR_SWEEP]...")
@click.option(
    "--theorem",
    type=click.Choice(["1", "2"]),
    default="2",
    show_default=True,
    help="2 judges encoders. 1 measures what multimodal VAEs can reach on discrete processes.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=Path,
    help="A run or sweep to judge, like an argument; may be repeated.",
)
@click.option(
    "--preset",
    type=click.Choice(["quick", "thesis", "laptop", "gpu"]),
    help="Do all from nothing: train encoders of several sizes and the controls, then judge them.",
)
@click.option("--seeds", default="0,1,2", show_default=True, help="Seeds of the runs of --preset.")
@set_option("process.style=3")
@click.option(
    "--controls",
    is_flag=True,
    help="Train the negative controls of simulations, too [--preset does], and say what the verdict would have seen.",
)
@click.option(
    "--control-seeds", default="0", show_default=True, metavar="0,1,2", help="Seeds of the controls."
)
@click.option(
    "--out",
    type=Path,
    help="Folder for the report, and for what is trained.  [default: the first folder; verification for --preset]",
)
@click.option(
    "--leak",
    default=0.05,
    show_default=True,
    help="Most of an encoding, in its worst direction, that something else than content may move.",
)
@click.option(
    "--recovery",
    default=0.95,
    show_default=True,
    help="Least of content, in its worst direction, that must be read from the encoding.",
)
@click.option(
    "--degenerate",
    default=0.05,
    show_default=True,
    help="Most of the samples where the encoding may not follow content.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Trainings side by side.  [default: cores]")
@click.option(
    "--encodings",
    type=Path,
    metavar="FILE",
    help="Judge arrays that were made elsewhere: an .npz file, with --latents and --process or with --dataset.",
)
@click.option("--latents", type=Path, metavar="FILE", help="An .npz file of the latents behind --encodings.")
@click.option(
    "--process",
    "process_name",
    metavar="NAME|FILE",
    help="The process that made the latents. With --theorem 1: a TOML file of a discrete one, or a folder of them.",
)
@click.option("--dataset", type=Path, metavar="DIR", help="The rendered dataset that was encoded.")
@device_option
def verify_command(
    theorem: str, paths: tuple[Path, ...], runs: tuple[Path, ...], encodings: Path | None, **options: Any
) -> None:
    """Judge whether encoders identified their content, as Theorem 2 predicts.

    Finished runs are judged one by one, since each seed draws a process of its own, and none is trained again.
    Interrupted, the same command goes on where it stopped. With --encodings, arrays of any framework are judged.

    Exit code 0: every prediction that was made came true. 2: one was refuted, or a control was called identified. 3:
    nothing was predicted, or a prediction is undecided. 1: an error. With --encodings 0 is identified, 2 not
    identified, 3 undecided.

    With --theorem 1 the least gap between log-evidence and ELBO is held against the theorem as printed and as
    corrected, for each process, model, family of decoders and objective. --set training.steps=600 trains a small VAE
    for each as well. Exit code 0: the corrected bound holds. 2: a case refutes it.
    """
    if theorem == "1":
        _refuse_others(click.get_current_context())
        _measure_theorem_1(options["process_name"], assigned_table(options["assignments"]), options["out"])
        return
    from identbox.identifiability.margins import Margins

    margins = Margins(**{name: options.pop(name) for name in ("leak", "recovery", "degenerate")})
    arrays = {name: options.pop(name) for name in ("latents", "process_name", "dataset")}
    if encodings is None:
        given = [name for name, value in arrays.items() if value is not None]
        if given:
            raise IdentboxError(
                f"--{given[0].removesuffix('_name')}: expected --encodings beside it, got none"
            )
        _verify_runs(paths + runs, margins, **options)
    elif paths or runs or options["preset"] is not None:
        raise IdentboxError("--encodings: expected no runs and no --preset beside it, got some")
    else:
        _judge_files(encodings, margins, out=options["out"], controls=options["controls"], **arrays)


def _refuse_others(context: click.Context) -> None:
    """Raise IdentboxError where an option was given that --theorem 1 has no use for."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        if given and name not in OF_THEOREM_1 and context.params[name]:
            raise IdentboxError(f"{parameter.opts[0]}: expected it with --theorem 2 alone, got --theorem 1")


def _measure_theorem_1(process: str | None, changed: Mapping[str, Any], out: Path | None) -> None:
    """Measure every case of a process of the user's own, or of those that come with identbox; print and write them."""
    from rich.console import Console

    from identbox import files
    from identbox.experiments import theorem_1
    from identbox.reports import theorem_1 as reports
    from identbox.settings import build

    measurement = build(theorem_1.Measurement, changed, "--set")
    problems = theorem_1.read_problems(Path(process or files.packaged("simulations") / PROBLEMS))
    found: list[theorem_1.Case] = []
    with images_bar("cases") as bar:
        task = bar.add_task("cases", total=theorem_1.count_cases(problems))
        for problem in problems:
            for case in theorem_1.cases(problem, measurement):
                found.append(case)
                bar.advance(task)
    for table in reports.shown_tables(found):
        Console().print(table)
    if out is not None:
        for path in reports.write_theorem_1(found, measurement, out):
            click.echo(str(path))
    click.echo(reports.gap_headline(found))
    if any(case.corrected == "refuted" for case in found):
        click.get_current_context().exit(EXIT_CODES["not identified"])


def _judge_files(
    encodings: Path,
    margins: Margins,
    *,
    latents: Path | None,
    process_name: str | None,
    dataset: Path | None,
    out: Path | None,
    controls: bool,
) -> None:
    """Judge arrays from files, print the verdict, and end with its exit code."""
    from rich.console import Console

    from identbox.experiments.encodings import verify_dataset, verify_files

    if dataset is not None and latents is None and process_name is None:
        verdict = verify_dataset(encodings, dataset, margins=margins, controls=controls)
    elif dataset is None and latents is not None and process_name is not None:
        verdict = verify_files(encodings, latents, process_name, margins=margins, controls=controls)
    else:
        raise IdentboxError(
            "--encodings: expected --dataset, or --latents and --process, beside it; got others"
        )
    Console().print(verdict)
    if out is not None:
        click.echo(str(verdict.save(out / "verdict.html")))
    click.get_current_context().exit(EXIT_CODES[verdict.outcome])


def _verify_runs(
    paths: tuple[Path, ...],
    margins: Margins,
    *,
    preset: str | None,
    seeds: str,
    assignments: tuple[str, ...],
    controls: bool,
    control_seeds: str,
    out: Path | None,
    workers: int | None,
    device: str,
) -> None:
    """Judge finished runs, after training what ``preset`` and ``controls`` ask for; print and write the verdicts."""
    from rich.console import Console

    from identbox.experiments import trials, verification
    from identbox.reports import verdicts
    from identbox.reports.verification import write_verification

    if (preset is None) != bool(paths):
        got = "neither" if preset is None else "both"
        raise IdentboxError(f"verify: expected runs to judge or --preset, got {got}")
    where, control_numbers = torch_device(device), comma_separated(control_seeds, "--control-seeds")
    if preset is not None:
        paths = (out or Path("verification"),)
        numbers = comma_separated(seeds, "--seeds")
        _train_runs(preset, paths[0], numbers, assigned_table(assignments), workers, where)
    folder = out or paths[0]
    runs = [trials.read(place) for place in trials.find_runs(paths)]
    control_runs = []
    if controls or preset is not None:
        control_runs = _train_controls(runs, folder / "controls", control_numbers, workers, where)
    judged = verification.verify_trials(runs, control_runs, margins, power=controls or preset is not None)
    Console().print(verdicts.terminal_report(judged))
    for path in write_verification(judged, folder):
        click.echo(str(path))
    for failure in judged.failures:
        click.echo(visible(f"failed: {failure}"))
    click.echo(verdicts.headline(judged))
    if judged.exit_code:
        click.get_current_context().exit(judged.exit_code)


def _train_runs(
    preset: str,
    folder: Path,
    seeds: tuple[int, ...],
    changed: Mapping[str, Any],
    workers: int | None,
    device: str,
) -> None:
    from identbox import files
    from identbox.experiments import sweeps

    sweep = sweeps.read_sweep_file(files.packaged("simulations") / ALL, preset, seeds, changed)
    sweep.claim(folder)
    run_jobs(folder, list(sweep.jobs(folder, device=device)), workers, "runs")


def _train_controls(
    runs: Sequence[Trial], folder: Path, seeds: tuple[int, ...], workers: int | None, device: str
) -> list[Trial]:
    """Train the controls of the first simulation, best of one whose encodings have the size of content.

    None without a simulation: the controls are simulations with a defect each.
    """
    from identbox.experiments import controls, simulation, trials

    simulations = [trial for trial in runs if trial.record.get("kind") == SIMULATION]
    if not simulations:
        return []
    trial = next((t for t in simulations if t.encoding_size == t.content_size), simulations[0])
    base = simulation.Simulation.from_preset("thesis", trial.record["config"], str(trial.folder))
    jobs = list(controls.jobs(base, folder, content=trial.content_size, seeds=seeds, device=device))
    run_jobs(folder, jobs, workers, "controls")
    return [trials.read(folder / job.name) for job in jobs]
