"""The command verify: verdicts on Theorem 2, from finished runs or from nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.commands.display import run_jobs
from identbox.commands.options import assigned_table, comma_separated, device_option, set_option, torch_device
from identbox.errors import IdentboxError

if TYPE_CHECKING:
    from identbox.experiments.trials import Trial


FAILED = 2  # exit code where a prediction did not come true, or a control was called identified
ALL = "theorem_2.toml"  # under simulations: what --preset trains


@click.command()
@click.argument("paths", nargs=-1, type=Path, metavar="[RUN_OR_SWEEP]...")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=Path,
    help="A run or sweep to judge, like an argument; may be repeated.",
)
@click.option(
    "--preset",
    type=click.Choice(["quick", "thesis"]),
    help="Do all from nothing: train encoders of several sizes and the controls, then judge them.",
)
@click.option("--seeds", default="0,1,2", show_default=True, help="Seeds of the runs of --preset.")
@set_option("process.style=3")
@click.option(
    "--controls", is_flag=True, help="Train the negative controls of the runs, too.  [--preset does]"
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
    "--content", default=0.95, show_default=True, help="Least score of content that counts as told."
)
@click.option(
    "--excess", default=0.05, show_default=True, help="Most by which anything else may pass its ceiling."
)
@click.option("--workers", type=click.IntRange(min=1), help="Trainings side by side.  [default: cores]")
@device_option
def verify(
    paths: tuple[Path, ...],
    runs: tuple[Path, ...],
    preset: str | None,
    seeds: str,
    assignments: tuple[str, ...],
    controls: bool,
    control_seeds: str,
    out: Path | None,
    content: float,
    excess: float,
    workers: int | None,
    device: str,
) -> None:
    """Judge whether encoders identified their content, as Theorem 2 predicts.

    Finished runs of the same configuration are judged together over their seeds, and none is trained again.
    Interrupted, the same command goes on where it stopped.

    Exit code 0: every prediction came true. 2: one did not, or a control was called identified. 1: an error.
    """
    from rich.console import Console

    from identbox import files
    from identbox.experiments import pictures, trials, verification
    from identbox.identifiability import verdicts
    from identbox.reports import pages
    from identbox.reports import verdicts as report_verdicts

    paths += runs
    if (preset is None) != bool(paths):
        raise IdentboxError(
            f"verify: expected runs to judge or --preset, got {'neither' if preset is None else 'both'}"
        )
    margins = verdicts.Margins(content=content, excess=excess)
    where, several = torch_device(device), comma_separated(control_seeds, "--control-seeds")
    if preset is not None:
        paths = (out or Path("verification"),)
        _train(
            preset, paths[0], comma_separated(seeds, "--seeds"), assigned_table(assignments), workers, where
        )
    folder = out or paths[0]
    found = [trials.read(place) for place in trials.find(paths)]
    judged = list(found)
    if controls or preset is not None:
        judged += _controls(found, folder / "controls", several, workers, where)
    groups = trials.groups(judged)
    findings = [verification.verify_group(*item, margins) for item in groups.items()]
    factors = verification.content_factors(found)
    learners = {name: members[0].learner() for name, members in groups.items()}
    console = Console()
    console.print(report_verdicts.terminal_report(findings, margins, factors))
    record = report_verdicts.record(findings, margins, factors)
    texts = {
        "verification.json": json.dumps(report_verdicts.json_value(record), indent=1, allow_nan=False) + "\n",
        "verification.md": report_verdicts.markdown(findings, margins, factors),
        "verification.html": pages.verification_page(
            findings,
            margins,
            factors,
            losses=verification.validation_losses(found),
            processes={name: members[0].process for name, members in groups.items()},
            pictures={
                name: pictures.encoding_picture(learner)
                for name, learner in learners.items()
                if learner is not None
            },
        ),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            files.write_whole(folder / name, text.encode())
            click.echo(str(folder / name))
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error
    failures = [f"{finding.name}: {finding.failure}" for finding in findings if finding.failure]
    for failure in failures:
        click.echo(f"failed: {failure}")
    if failures:
        click.get_current_context().exit(FAILED)


def _train(
    preset: str,
    folder: Path,
    seeds: tuple[int, ...],
    changed: Mapping[str, Any],
    workers: int | None,
    device: str,
) -> None:
    from identbox import files
    from identbox.experiments import sweeps

    found = sweeps.read_sweep_file(files.packaged("simulations") / ALL, preset, seeds, changed)
    found.claim(folder)
    run_jobs(folder, list(found.jobs(folder, device=device)), workers, "runs")


def _controls(
    found: Sequence[Trial], folder: Path, seeds: tuple[int, ...], workers: int | None, device: str
) -> list[Trial]:
    """Train the controls of the first simulation, best of one whose encodings have the size of content."""
    from identbox.experiments import controls, simulation, trials

    simulations = [trial for trial in found if trial.record.get("kind") == "simulation"]
    if not simulations:
        raise IdentboxError(f"{found[0].folder}: --controls: expected the run of a simulation, got another")
    trial = next((t for t in simulations if t.encoding_size == t.content_size), simulations[0])
    base = simulation.Simulation.from_preset("thesis", trial.record["config"], str(trial.folder))
    jobs = list(controls.jobs(base, folder, content=trial.content_size, seeds=seeds, device=device))
    run_jobs(folder, jobs, workers, "controls")
    return [trials.read(folder / job.name) for job in jobs]
