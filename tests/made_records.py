"""Records of runs and sweeps made by hand, for the tests of reports."""

import csv
import io
import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from identbox import config
from identbox.reports import report as reports_report

ROWS = [(1.0, False, False), (0.75, True, False), (0.75, True, True)]


SEEDS = (0, 1, 2)


def probe(view: str, target: str, score: float, **other) -> dict:
    return {
        "view": view,
        "target": target,
        "intervention": None,
        "probe": "kernel_ridge",
        "metric": "r2",
        "score": score,
        "low": score - 0.01,
        "high": score + 0.01,
        "chance": 0.0,
        **other,
    }


def probes(content: float, style: float, modality: float | None = None, **other) -> list[dict]:
    """Both views: the first scores 0.02 higher, linear probes are far off, and so is the other view's block."""
    found = []
    for view, shift in (("1", 0.02), ("2", 0.0)):
        scores = {"content": content, "style": style}
        if modality is not None:
            scores |= {f"specific_{i}": modality if i == view else 0.5 for i in "12"}
        for target, score in scores.items():
            found.append(probe(view, target, score + shift, **other))
            found.append(probe(view, target, -5.0, probe="linear", intervention=other.get("intervention")))
    return found


def write_run(folder: Path, *, seed: int = 0, scores: list[dict], **other) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "format": 1,
        "kind": "simulation",
        "identbox": "0.1.0",
        "seed": seed,
        "config": {"process": {"content": 5}},
        "versions": {"python": "3.11.9", "torch": "2.13.0+cpu"},
        "machine": {"device": "cpu", "cpu": "A processor", "cores": 2},
        "steps": 5000,
        "seconds": 80.1,
        "losses": {"train": 1.2, "validation": 1.25, "chance": 8.7},
        "probes": scores,
        **other,
    }
    (folder / "results.json").write_text(json.dumps(record))


def write_sweep(folder: Path, cells: dict[str, dict], **other) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "format": 1,
        "name": "a",
        "title": "A title",
        "preset": "quick",
        "report": "table",
        "seeds": SEEDS,
        "cells": [{"name": name, "values": values} for name, values in cells.items()],
        **other,
    }
    config.write_toml(folder / "sweep.toml", table)
    return folder


def run_at(folder: Path, cell: str, seed: int) -> Path:
    return folder / "runs" / f"{cell}-seed{seed}"


def score(cell: int, seed: int, target: int) -> float:
    """Content near one, style anywhere, modality a little below zero."""
    draw = np.random.default_rng([cell, seed, target]).random()
    return (0.97 + 0.02 * draw, draw, -0.004 * draw)[target]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six cells in two settings with three seeds; the last cell lacks one, the one before all."""
    cells = {
        f"{setting}-{place}": {
            "setting": setting,
            "change_probability": p,
            "statistical": statistical,
            "causal": causal,
        }
        for setting in ("multiview", "multimodal")
        for place, (p, statistical, causal) in enumerate(ROWS)
    }
    folder = write_sweep(tmp_path / "table", cells, published="table_8_1.csv")
    for number, (name, values) in enumerate(cells.items()):
        for seed in SEEDS:
            if (number, seed) == (5, 1) or number == 4:
                continue
            found = [score(number, seed, target) for target in range(3)]
            write_run(
                run_at(folder, name, seed),
                seed=seed,
                scores=probes(*found[: 2 if values["setting"] == "multiview" else 3]),
            )
    return folder


def lines_of(report: reports_report.Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.csv())))


def shown(report: reports_report.Report, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(report.terminal())
    return console.export_text()


def check_files(report: reports_report.Report, folder: Path, figure: str) -> None:
    paths = report.write(folder)
    assert [path.name for path in paths] == ["report.md", "table.csv", f"{figure}.png", f"{figure}.svg"]
    assert (folder / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.parse(folder / f"{figure}.svg").getroot()
    assert root.tag.endswith("svg")
    assert f"({figure}.png)" in (folder / "report.md").read_text()
    assert not list(folder.glob(".*"))


def write_losses(folder: Path, losses: np.ndarray, **other) -> Path:
    """Losses of 3 seeds (rows) over encoding sizes from 1; no run where one is not a number."""
    cells = {f"size{k + 1}": {"encoding_size": k + 1} for k in range(losses.shape[1])}
    write_sweep(folder, cells, report="elbow", x="encoding_size", **other)
    for (seed, k), loss in np.ndenumerate(losses):
        if not math.isnan(loss):
            written = {"train": loss - 0.1, "validation": loss, "chance": 8.7}
            write_run(run_at(folder, f"size{k + 1}", seed), seed=seed, scores=[], losses=written)
    return folder


def bent(sizes: int) -> np.ndarray:
    noise = 0.01 * np.random.default_rng(0).standard_normal((3, sizes))
    return 8 - np.minimum(np.arange(1.0, sizes + 1), 5) + noise
