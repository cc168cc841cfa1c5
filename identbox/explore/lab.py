"""Runs in folders as they train: how far they are, their losses and scores, and the reports of those that are done.

A folder of runs is looked through again at each request. A file is read again only where it has changed, and of
metrics.jsonl only what was added.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from identbox import config, files
from identbox.errors import IdentboxError
from identbox.experiments.records import LEASE, RESULTS, RUNS, SCORES_KEY, SWEEP
from identbox.jobs import leases
from identbox.reports.curves import METRICS
from identbox.reports.report import Report
from identbox.reports.runs import read_report
from identbox.tables import Table, TableCell, as_cell

CONFIG, VERIFICATION, PAGE = "config.toml", "verification.json", "verification.html"
FOLDER_DEPTH, MOST_FOLDERS, MOST_LISTED_RUNS = 6, 20_000, 2000
CURVE_POINTS, SPARK = 400, 60  # of a curve, and of the line in a list
NEVER = {"images", "text", "logs", ".cache", ".git", ".venv", "__pycache__", "cluster"}
# Figures of a line of metrics.jsonl, with what they are called.
CURVES = {
    "loss": "training loss",
    "validation_loss": "validation loss",
    "content_r2": "content R²",
    "gradient_norm": "gradient norm",
    "learning_rate": "learning rate",
}


@dataclass
class Metrics:
    """The lines of a metrics.jsonl so far."""

    read: int = 0  # bytes
    lines: list[dict[str, Any]] = field(default_factory=list)

    def update(self, path: Path) -> None:
        """Read what was added; lines that are damaged or of another form are left out."""
        try:
            with files.open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.read:  # the run was begun anew
                    self.read, self.lines = 0, []
                if size == self.read:
                    return
                file.seek(self.read)
                content = file.read(files.LARGEST_RECORD)
        except (OSError, IdentboxError):
            return
        whole = content[: content.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            try:
                table = files.parse_json(line, str(path))
            except IdentboxError:
                continue
            if isinstance(table, dict) and isinstance(table.get("step"), int):
                self.lines.append(table)

    def curve(self, key: str, most: int = CURVE_POINTS) -> list[list[int | float | None]]:
        """[step, value] of a figure; of many lines as many as are drawn, the last one among them."""
        points = [
            [line["step"], _finite(line[key])] for line in self.lines if _is_plain_number(line.get(key))
        ]
        return thinned(points, most)

    def scores(self) -> dict[str, list[list[int | float | None]]]:
        """The nonlinear score of each target from each view, by step."""
        found: dict[str, list[list[int | float | None]]] = {}
        for line in self.lines:
            listed = line.get(SCORES_KEY)
            for one in listed if isinstance(listed, list) else ():
                if (
                    isinstance(one, dict)
                    and one.get("probe") != "linear"
                    and _is_plain_number(one.get("score"))
                ):
                    name = f"{one.get('target')} from {one.get('view')}"
                    found.setdefault(name, []).append([line["step"], _finite(one["score"])])
        return {name: thinned(points, CURVE_POINTS) for name, points in found.items()}


def thinned(points: list[Any], most: int) -> list[Any]:
    """Some of the points at equal distances, the first and the last among them.

    >>> thinned(list(range(10)), 4)
    [0, 3, 6, 9]
    """
    if len(points) <= most:
        return points
    return [points[round(k * (len(points) - 1) / (most - 1))] for k in range(most)]


def _is_plain_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> float | None:
    """A number as it is; None for anything else."""
    return float(value) if _is_plain_number(value) and math.isfinite(value) else None


class Lab:
    """The runs, sweeps and verifications below some folders. Each has a number that stays its own."""

    def __init__(self, places: Sequence[Path]) -> None:
        for place in places:
            if not place.is_dir():
                raise IdentboxError(f"{place}: expected a folder of runs, got no folder")
        self._places = [place.resolve() for place in places]
        self._numbers: dict[Path, int] = {}
        self._metrics: dict[Path, Metrics] = {}
        self._tables: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}
        self._reports: dict[int, Report] = {}
        self._lock = threading.Lock()

    def table(self) -> dict[str, Any]:
        """Every run, sweep and verification, with how far each is."""
        with self._lock:
            found = [self._entry(kind, path) for kind, path in self._found()]
        counts = {
            state: sum(one["state"] == state for one in found if one["kind"] == "run") for state in STATES
        }
        return {"places": [place.name for place in self._places], "entries": found, "counts": counts}

    def _found(self) -> Iterator[tuple[str, Path]]:
        runs = 0
        for place in self._places:
            for path in folders_below(place):
                if (path / SWEEP).is_file():
                    yield "sweep", path
                if (path / VERIFICATION).is_file():
                    yield "verification", path
                if is_run(path) and runs < MOST_LISTED_RUNS:
                    runs += 1
                    yield "run", path

    def _number(self, kind: str, path: Path) -> int:
        return self._numbers.setdefault(path / kind, len(self._numbers))

    def _name(self, path: Path) -> str:
        place = next(one for one in self._places if path.is_relative_to(one))
        inside = path.relative_to(place)
        return str(inside) if inside.parts and len(self._places) == 1 else str(Path(place.name) / inside)

    def _entry(self, kind: str, path: Path) -> dict[str, Any]:
        entry = {"id": self._number(kind, path), "kind": kind, "name": self._name(path)}
        made = {"run": self._run, "sweep": self._sweep, "verification": self._verification}[kind]
        return {**entry, "state": "", **made(path)}

    def _run(self, path: Path) -> dict[str, Any]:
        metrics = self._metrics.setdefault(path, Metrics())
        metrics.update(path / METRICS)
        table, record = self._read(path / CONFIG), self._read(path / RESULTS)
        training = table.get("training")
        steps = training.get("steps") if isinstance(training, dict) else None
        last = metrics.lines[-1] if metrics.lines else {}
        finished = bool(record)
        state = "finished" if finished else "training" if leases.looks_held(path / LEASE) else "stopped"
        group = path.parent.parent if path.parent.name in (RUNS, "controls") else path.parent
        losses = record.get("losses")
        known = losses if isinstance(losses, dict) else {}
        loss = known.get("validation", known.get("train", last.get("loss")))
        return {
            "state": state,
            "what": str(
                record.get("kind")
                or ("image-text" if "dataset" in table else table.get("model") or "simulation")
            ),
            "seed": table.get("seed"),
            "step": last.get("step", record.get("steps")),
            "steps": steps,
            "seconds": last.get("seconds", record.get("seconds")),
            "loss": _finite(loss),
            "content_r2": _finite(last.get("content_r2")),
            "spark": metrics.curve("loss", SPARK),
            "group": self._name(group) if any(group.is_relative_to(one) for one in self._places) else "",
        }

    def _sweep(self, path: Path) -> dict[str, Any]:
        table = self._read(path / SWEEP)
        cells, seeds = table.get("cells"), table.get("seeds")
        planned = len(cells) * len(seeds) if isinstance(cells, list) and isinstance(seeds, list) else None
        done = (
            sum((one / RESULTS).exists() for one in (path / RUNS).glob("*")) if (path / RUNS).is_dir() else 0
        )
        return {"title": str(table.get("title", "")), "done": done, "planned": planned}

    def _verification(self, path: Path) -> dict[str, Any]:
        record = self._read(path / VERIFICATION)
        tally = record.get("predictions")
        counts = (
            {str(k): v for k, v in tally.items() if _is_plain_number(v)} if isinstance(tally, dict) else {}
        )
        groups = record.get("groups")
        return {
            "outcome": _outcome(record.get("exit_code"), counts),
            "predictions": counts,
            "verdicts": list(_verdicts(groups)) if isinstance(groups, list) else [],
            "page": (path / PAGE).is_file(),
        }

    def _read(self, path: Path) -> dict[str, Any]:
        """A table in a TOML or JSON file, from memory where the file is as it was; empty where it cannot be read."""
        try:
            status = path.stat()
            stamp = status.st_mtime_ns, status.st_size
            known = self._tables.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            value = config.read_toml(path) if path.suffix == ".toml" else files.read_json(path)
        except (OSError, IdentboxError):
            return {}
        table = value if isinstance(value, dict) else {}
        self._tables[path] = stamp, _without_bulk(table) if path.suffix == ".json" else table
        return self._tables[path][1]

    def _place(self, number: int, *kinds: str) -> Path:
        """The folder of an entry. Raises KeyError where there is none of these kinds."""
        for path, own in self._numbers.items():
            if own == number and path.name in kinds:
                return path.parent
        raise KeyError(number)

    def curves(self, number: int) -> dict[str, Any]:
        """The figures of a run by step, and the scores of its targets."""
        path = self._place(number, "run")
        with self._lock:
            metrics = self._metrics.setdefault(path, Metrics())
            metrics.update(path / METRICS)
            curves = {title: metrics.curve(key) for key, title in CURVES.items()}
            scores = metrics.scores()
        table = config.flat(self._read(path / CONFIG))
        shown = {name: str(value)[:200] for name, value in table.items()}
        return {
            "curves": {name: points for name, points in curves.items() if points},
            "scores": scores,
            "config": shown,
        }

    def report(self, number: int) -> dict[str, Any]:
        """The report of a run or a sweep as tables. Raises IdentboxError where there is none yet."""
        report = read_report(self._place(number, "run", "sweep"))
        self._reports[number] = report
        tables = [
            made
            for one in report.tables
            for made in ([one] if isinstance(one, Table) else [one.wide(), *one.agreement_tables(wide=True)])
        ]
        return {
            "title": report.title,
            "lead": report.lead,
            "tables": [table_for_page(one) for one in tables],
            "notes": list(report.notes),
            "provenance": list(report.provenance),
            "figures": list(report.figures),
        }

    def figure(self, number: int, place: int) -> bytes:
        """A figure of a report that was read, as SVG."""
        from identbox.reports.drawing import encode

        report = self._reports[number]
        if not 0 <= place < len(report.figures):
            raise IndexError(place)
        return encode(list(report.figures.values())[place]())["svg"]

    def verification_page(self, number: int) -> str:
        """The page of a verification."""
        path = self._place(number, "verification")
        return files.read_text(
            files.inside(path, PAGE, str(path)), files.LARGEST_RECORD, "the page of a verification"
        )


STATES = ("training", "finished", "stopped")


def folders_below(place: Path) -> Iterator[Path]:
    """The folder and those in it, not deeper than runs lie; links to folders are not followed."""
    for seen, (name, inner, _) in enumerate(os.walk(place)):
        path = Path(name)
        inner[:] = sorted(one for one in inner if one not in NEVER and not one.startswith("."))
        if len(path.relative_to(place).parts) >= FOLDER_DEPTH:
            inner.clear()
        if seen >= MOST_FOLDERS:
            return
        yield path


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run: claimed by its configuration, with some sign of a training."""
    there = (path / RESULTS).is_file() or (path / METRICS).is_file() or (path / LEASE).is_file()
    return there and ((path / CONFIG).is_file() or (path / RESULTS).is_file())


def _without_bulk(table: dict[str, Any]) -> dict[str, Any]:
    """A record without its long lists, which the list of runs does not show."""
    return {key: value for key, value in table.items() if key == "groups" or not isinstance(value, list)}


def _outcome(exit_code: Any, predictions: dict[str, Any]) -> str:
    """What a verification says in all, by the exit code of `identbox verify`."""
    match exit_code:
        case 0:
            return "passed"
        case 2:
            return "failed"
        case 3:
            return "undecided" if predictions.get("undecided") else "nothing predicted"
        case _:
            return "unreadable"


def _verdicts(groups: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """What was predicted and found of the content of each group, seed by seed."""
    for group in groups:
        try:
            outcomes = []
            for seed in group["seeds"]:
                judged = seed["judgements"][0]
                views = [str(one["outcome"]) for one in judged["verdicts"]]
                predicted = str(judged["prediction"]["words"])
                outcomes.append({"seed": seed["seed"], "predicted": predicted, "views": views})
            yield {
                "name": str(group["name"]),
                "control": group["control"],
                "tally": group["tally"],
                "failure": group["failure"],
                "outcomes": outcomes,
            }
        except (KeyError, TypeError, IndexError):
            continue


def table_for_page(table: Table) -> dict[str, Any]:
    """A table as the page draws it."""

    def cell(one: TableCell, reach: int = 1) -> dict[str, Any]:
        return {
            "text": one.text, "face": one.face, "state": one.state, "below": one.below, "shade": one.shade,
            "hint": one.hint, "reach": reach,
        }  # fmt: skip

    rows = []
    for place, row in enumerate(table.rows):
        reaches = [_reach(table, place, column) for column in range(len(row))]
        rows.append(
            [
                None if one is None else cell(as_cell(one), reach)
                for one, reach in zip(row, reaches, strict=True)
            ]
        )
    return {
        "title": table.title,
        "columns": [cell(as_cell(one)) for one in table.columns],
        "rows": rows,
        "notes": [str(as_cell(one)) for one in table.notes],
        "align": table.align or "l" * len(table.columns),
        "shaded": any(as_cell(one).shade is not None for row in table.rows for one in row),
        "sections": {str(place): words for place, words in table.sections.items()},
    }


def _reach(table: Table, place: int, column: int) -> int:
    reach = 1
    while place + reach < len(table.rows) and table.rows[place + reach][column] is None:
        reach += 1
    return reach
