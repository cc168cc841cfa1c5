"""The command scores: the scores of the field for encodings and factors."""

from __future__ import annotations

from pathlib import Path

import click

from identbox.commands.options import seed_option
from identbox.errors import IdentboxError


@click.command("scores")
@click.argument("path", type=Path, metavar="RUN|FILE.npz")
@click.option("--dataset", type=Path, help="Where the dataset of a RUN is now.  [default: where it was]")
@click.option("--only", help="Families of scores, separated by commas, as in MCC,DCI,MIG.  [default: all]")
@click.option(
    "--period",
    "periods",
    multiple=True,
    metavar="FACTOR=LENGTH",
    help="Of a FILE: a factor on a circle of that length; may be repeated.",
)
@click.option("--out", type=Path, help="Folder for the scores as an HTML page and as CSV.")
@seed_option
def scores_command(
    path: Path, dataset: Path | None, only: str | None, periods: tuple[str, ...], out: Path | None, seed: int
) -> None:
    """Score encodings against factors: MCC, DCI, MIG, SAP, modularity, explicitness, IRS and R2 of blocks.

    A RUN needs its checkpoint, and its record keeps the scores. A FILE has an array codes (n, k) and arrays
    factors/NAME (n,), integers for classes.
    """
    from rich.console import Console

    from identbox.experiments import scored_codes
    from identbox.files import write_whole

    families = None if only is None else [name.strip() for name in only.split(",")]
    if path.suffix == ".npz":
        made = {"": scored_codes.scores_of_file(path, periods=_periods(periods), only=families, seed=seed)}
    elif periods:
        raise IdentboxError("--period: expected none for a run, which knows its circles, got one")
    else:
        made = scored_codes.scores_of_run(path, dataset=dataset, only=families, seed=seed)
    tables = [
        found.table(f"Scores of view {view}" if view else "Scores of codes against factors")
        for view, found in made.items()
    ]
    for table in tables:
        Console().print(table.terminal())
    if path.suffix != ".npz" and scored_codes.record_scores(path, made):
        click.echo(f"recorded; identbox report {path} shows them too")
    if out is not None:
        from identbox.documents import page

        try:
            out.mkdir(parents=True, exist_ok=True)
            write_whole(out / "scores.html", page("Scores of codes against factors", *tables).encode())
            write_whole(out / "scores.csv", "".join(table.csv() for table in tables).encode())
        except OSError as error:
            raise IdentboxError(f"{out}: expected a folder to write to, got {error.strerror}") from error
        click.echo(str(out / "scores.html"))


def _periods(given: tuple[str, ...]) -> dict[str, float]:
    """Lengths of circles by factor, from FACTOR=LENGTH."""
    periods = {}
    for one in given:
        name, equals, length = one.partition("=")
        try:
            periods[name] = float(length)
        except ValueError:
            equals = ""
        if not equals or not periods.get(name, 0) > 0:
            raise IdentboxError(f"--period: expected FACTOR=LENGTH with a positive number, got {one}")
    return periods
