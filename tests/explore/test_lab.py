"""Runs as they train, from their files alone; some of them are damaged."""

import json
import shutil
from pathlib import Path

import pytest

from conftest import ROOT
from identbox.errors import IdentboxError
from identbox.explore.lab import Lab, thinned
from identbox.jobs import leases

RESULTS = ROOT / "simulations" / "results"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A sweep with two of its runs, one of them in training, beside a verification."""
    sweep = tmp_path / "lab" / "table"
    source = RESULTS / "table_8_1-quick"
    for name in ("change_probability0.75-multimodal-seed0", "change_probability0.75-multimodal-seed1"):
        shutil.copytree(source / "runs" / name, sweep / "runs" / name, ignore=shutil.ignore_patterns("*.pt"))
    shutil.copy(source / "sweep.toml", sweep)
    (sweep / "runs" / "change_probability0.75-multimodal-seed1" / "results.json").unlink()
    theorem = tmp_path / "lab" / "theorem"
    theorem.mkdir()
    for name in ("verification.json", "verification.html"):
        shutil.copy(RESULTS / "theorem_2-quick" / name, theorem)
    return tmp_path / "lab"


def entries(made: Lab) -> dict[tuple[str, str], dict]:
    return {(one["kind"], one["name"].split("/")[-1]): one for one in made.table()["entries"]}


def test_states_steps_and_losses_are_those_of_the_files(lab: Path):
    found = entries(Lab([lab]))
    done, other = (found["run", f"change_probability0.75-multimodal-seed{seed}"] for seed in (0, 1))
    record = json.loads((lab / "table/runs/change_probability0.75-multimodal-seed0/results.json").read_text())
    assert (done["state"], done["step"], done["steps"]) == ("finished", record["steps"], record["steps"])
    assert (
        done["loss"] == record["losses"]["validation"]
        if "validation" in record["losses"]
        else record["losses"]["train"]
    )
    assert (other["state"], other["group"]) == ("stopped", "table")
    assert (found["sweep", "table"]["done"], found["sweep", "table"]["planned"]) == (1, 30)
    verified = found["verification", "theorem"]
    assert verified["outcome"] == "passed"
    assert verified["predictions"]["came true"] == 6
    assert {view for group in verified["verdicts"] for one in group["outcomes"] for view in one["views"]} <= {
        "identified", "not identified", "undecided"}  # fmt: skip


@pytest.mark.parametrize(
    ("verified", "outcome"),
    [
        ("theorem_2-quick", "passed"),
        ("table_8_1a-laptop", "failed"),
        ("verdict_rates-quick", "undecided"),
        ("dmvae_multimodal3dident-quick", "nothing predicted"),
    ],
)
def test_a_verification_passes_only_where_a_prediction_came_true_and_none_is_undecided(
    tmp_path, verified, outcome
):
    shutil.copy(RESULTS / verified / "verification.json", tmp_path)
    (entry,) = Lab([tmp_path]).table()["entries"]
    assert entry["outcome"] == outcome


def test_what_is_predicted_of_the_support_alone_is_named_so(tmp_path):
    shutil.copy(RESULTS / "table_8_1a-laptop" / "verification.json", tmp_path)
    (entry,) = Lab([tmp_path]).table()["entries"]
    predicted = {
        group["name"]: {one["predicted"] for one in group["outcomes"]} for group in entry["verdicts"]
    }
    assert predicted["multiview-change_probability1.0"] == {"identified"}
    assert predicted["multiview-change_probability0.75-causal"] == {"identified on the support"}
    assert predicted["multiview-change_probability0.75-statistical-causal"] == {"nothing"}


def test_a_verification_without_a_result_is_called_unreadable(tmp_path):
    (tmp_path / "verification.json").write_text('{"groups": []}')
    (entry,) = Lab([tmp_path]).table()["entries"]
    assert entry["outcome"] == "unreadable"


def test_a_run_is_followed_as_it_trains(lab: Path):
    folder = lab / "table" / "runs" / "change_probability0.75-multimodal-seed1"
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(lines[:3]))
    made = Lab([lab])
    name = ("run", folder.name)
    with leases.hold(folder / "run.lease"):
        first = entries(made)[name]
        assert (first["state"], first["step"]) == ("training", 300)
        with metrics.open("a") as file:
            file.write(lines[3] + '{"step": 500, "loss": 1.25}\n' + '{"step": 600, "lo')
        second = entries(made)[name]
        assert (second["step"], second["loss"], second["id"]) == (500, 1.25, first["id"])
        with metrics.open("a") as file:
            file.write('ss": NaN}\n')
        third = entries(made)[name]
        assert (third["step"], third["loss"]) == (600, None)
        curves = made.curves(third["id"])
        assert curves["curves"]["training loss"][-2:] == [[500, 1.25], [600, None]]
        assert any(one.startswith("content from") for one in curves["scores"])
        metrics.write_text(lines[0])  # begun anew
        assert entries(made)[name]["step"] == 100
    assert entries(made)[name]["state"] == "stopped"


def test_the_report_of_a_run_is_that_of_the_command(lab: Path):
    made = Lab([lab])
    found = entries(made)
    report = made.report(found["run", "change_probability0.75-multimodal-seed0"]["id"])
    assert report["tables"][0]["columns"][0]["text"] == "target"
    whole = made.report(found["sweep", "table"]["id"])
    assert whole["title"] == "Table 8.1: numerical simulations"
    for table in whole["tables"]:
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
    json.dumps(whole, allow_nan=False)


def test_damaged_files_and_links_harm_nobody_else(lab: Path, tmp_path: Path):
    bad = lab / "bad"
    bad.mkdir()
    (bad / "config.toml").write_text("training = 3\nprocess = [1")
    (bad / "metrics.jsonl").write_text(
        '[1]\nnull\n{"step": "x"}\n{"step": 7, "loss": "low", "scores": 5}\n\xff'
    )
    (bad / "results.json").write_text("[" * 5000)
    (lab / "theorem" / "verification.json").write_text('{"groups": [1, {"seeds": 2}], "predictions": 4}')
    (lab / "table" / "sweep.toml").write_text("cells = 3")
    (lab / "loop").symlink_to(lab, target_is_directory=True)
    found = entries(Lab([lab]))
    assert found["run", "bad"]["step"] == 7
    assert found["run", "bad"]["loss"] is None
    assert found["verification", "theorem"]["verdicts"] == []
    assert found["sweep", "table"]["planned"] is None
    json.dumps(Lab([lab]).table(), allow_nan=False)
    with pytest.raises(KeyError):
        Lab([lab]).curves(99)
    with pytest.raises(IdentboxError, match="expected a folder of runs"):
        Lab([tmp_path / "nowhere"])


def test_a_verification_page_cannot_leave_its_folder(lab: Path, tmp_path: Path):
    made = Lab([lab])
    number = entries(made)["verification", "theorem"]["id"]
    assert "Verdicts" in made.verification_page(number)
    (tmp_path / "secret.html").write_text("a secret")
    (lab / "theorem" / "verification.html").unlink()
    (lab / "theorem" / "verification.html").symlink_to(tmp_path / "secret.html")
    with pytest.raises(IdentboxError, match="inside"):
        made.verification_page(number)


@pytest.mark.parametrize("n", [1, 2, 5, 399, 400, 401, 5000])
def test_a_thinned_curve_keeps_its_ends(n: int):
    kept = thinned(list(range(n)), 400)
    assert (kept[0], kept[-1]) == (0, n - 1)
    assert len(kept) == min(n, 400)
    assert kept == sorted(set(kept))
