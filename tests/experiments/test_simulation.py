import json
import os
import shutil
import threading

import pytest
import torch

from conftest import identbox
from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments import run
from identbox.experiments import simulation as simulations
from identbox.experiments.simulation import Simulation
from identbox.jobs import leases
from identbox.metrics.interventional import content_r2
from identbox.process.interventions import Permute

TINY = {
    "process": {"content": 1, "style": 1, "specific": 1},
    "mixing": {"pool": 100, "ratio": 0.1},
    "encoder": {"widths": [8]},
    "training": {"steps": 300, "batch": 64, "log_every": 20, "checkpoint_every": 0.0, "learning_rate": 0.01},
    "probes": {"samples": 120, "bootstrap": 20},
}


def learner(table=None, seed=0):
    made = Simulation.from_preset("quick", config.merge(TINY, table or {}))
    return simulations.learner_of(made, seed=seed)


def label(probe):
    """The target of a recorded score, with a prime where it is what was permuted."""
    return probe["target"] + "'" * probe["permuted"]


def without_time(record):
    return {key: value for key, value in record.items() if key != "seconds"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of seed 3; not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    simulations.run_simulation(Simulation.from_preset("quick", TINY), folder, seed=3)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def test_encoders_that_start_by_he_start_alike_until_each_undoes_the_covariance_of_its_view():
    apart = learner({"encoder": {"widths": [8, 8]}}).encoders.state_dict()
    alike = learner({"encoder": {"widths": [8, 8], "start": "he", "whitening": 500}}).encoders.state_dict()
    assert not torch.equal(apart["1.2.weight"], apart["2.2.weight"])
    for name in ("2.weight", "2.bias", "4.weight"):
        assert torch.equal(alike[f"1.{name}"], alike[f"2.{name}"])
    assert not torch.equal(alike["1.0.weight"], alike["2.0.weight"])


def test_plain_steps_come_first_and_minimise_the_published_loss():
    objective = {"encodings": "whitened", "decoupled": True, "temperature": 0.7}
    both = learner({"objective": objective, "plain_steps": 5})
    plain, later = learner(), learner({"objective": objective})
    step = both.drawn_loss()
    assert torch.equal(step(4), plain.loss(4))
    assert torch.equal(step(5), later.loss(5))
    assert not torch.equal(step(4), later.loss(4))
    assert both.validation_loss() == later.validation_loss()


def test_the_content_that_is_watched_is_read_whatever_the_lengths_of_directions():
    world = learner({"process": {"content": 2}}).world

    def content(x, view):
        return world.invert(x, view)["content"]

    assert content_r2(world, content) > 0.999
    assert content_r2(world, lambda x, view: content(x, view) * torch.tensor([1000.0, 0.1]) + 50) > 0.999
    assert content_r2(world, lambda x, view: content(x, view)[:, :1]) == pytest.approx(0.5, abs=0.1)
    assert content_r2(world, lambda x, view: torch.randn(len(x), 2)) < 0.05


def test_a_run_leaves_its_record(finished):
    record = json.loads((finished / "results.json").read_text())
    assert record["seed"] == 3
    assert record["steps"] == 300
    assert record["config"]["process"]["content"] == 1
    assert record["versions"]["torch"] == torch.__version__
    assert record["losses"]["validation"] < record["losses"]["chance"] == pytest.approx(4.1589, abs=1e-4)
    keys = {
        "view",
        "target",
        "permuted",
        "role",
        "intervention",
        "probe",
        "metric",
        "score",
        "low",
        "high",
        "chance",
        "components",
    }
    assert all(set(probe) == keys for probe in record["probes"])
    probed = {(p["view"], label(p), p["intervention"]) for p in record["probes"]}
    assert {v for v, _, _ in probed} == {"1", "2"}
    assert {t for _, t, i in probed if i is None} == {"content", "style", "specific_1", "specific_2"}
    assert {t for _, t, i in probed if i == "style"} == {
        "content",
        "style",
        "style'",
        "specific_1",
        "specific_2",
    }
    assert all(probe["low"] <= probe["score"] <= probe["high"] for probe in record["probes"])


def test_content_is_read_and_follows_its_permutation(tmp_path):
    """One dimension each, so a small net is enough; 0.9 and 0.1 leave room for 120 probe samples."""
    training = {"steps": 600, "batch": 256, "learning_rate": 0.03, "log_every": 200}
    table = config.merge(TINY, {"training": training})
    record = simulations.run_simulation(Simulation.from_preset("quick", table), tmp_path / "run", seed=0)
    score = {
        (label(p), p["intervention"]): p["score"]
        for p in record["probes"]
        if p["probe"] == "kernel_ridge" and p["view"] == "1"
    }
    assert score["content", None] > 0.9
    assert score["style", None] < 0.1
    assert score["specific_1", None] < 0.1
    assert score["content'", "content"] > 0.9
    assert score["content", "content"] < 0.1
    assert score["content", "style"] > 0.9


def test_the_same_folder_gives_the_record_back_and_no_other_configuration_may_use_it(finished):
    made = Simulation.from_preset("quick", TINY)
    record = json.loads((finished / "results.json").read_text())
    assert simulations.run_simulation(made, finished, seed=3) == record
    other = Simulation.from_preset("quick", config.merge(TINY, {"process": {"causal": True}}))
    with pytest.raises(
        IdentboxError, match=r"differs in process.causal \(False in the folder, True asked for\)"
    ):
        simulations.run_simulation(other, finished, seed=3)
    with pytest.raises(IdentboxError, match=r"differs in seed \(3 in the folder, 1 asked for\)"):
        simulations.run_simulation(made, finished, seed=1)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(
        IdentboxError, match="expected an empty folder or a run of this configuration, got thesis.tex"
    ):
        simulations.run_simulation(Simulation.from_preset("quick", TINY), tmp_path, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "checkpoint.pt", "results.json"])
def test_damaged_files_of_a_run_are_made_again(copy, name):
    """A finished run whose checkpoint or record was cut short is finished again; the other files matter only before."""
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    made = json.loads(before["results.json"])
    if name == "metrics.jsonl":
        (copy / "results.json").unlink()
    (copy / name).write_bytes(before[name][: len(before[name]) // 2])
    again = simulations.run_simulation(Simulation.from_preset("quick", TINY), copy, seed=3)
    assert again["probes"] == made["probes"]
    assert again["losses"] == made["losses"]
    assert (copy / "config.toml").read_bytes() == before["config.toml"]

    def steps(lines):
        return [json.loads(line)["step"] for line in lines.splitlines()]

    assert steps((copy / "metrics.jsonl").read_bytes()) == steps(before["metrics.jsonl"])
    assert run.is_finished(copy)


def test_two_processes_cannot_claim_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "CHECK_EVERY", 0.02)
    made_of = Simulation.from_preset("quick", TINY)
    simulations.simulation_folder(tmp_path, made_of, seed=0).claim()
    other = {"token": "other", "host": "there", "pid": 1}
    (tmp_path / "run.lease").write_text(json.dumps(other))
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.05):
            os.utime(tmp_path / "run.lease")

    thread = threading.Thread(target=live)
    thread.start()
    with pytest.raises(
        IdentboxError, match="expected no other process in this folder, got process 1 on there"
    ):
        simulations.run_simulation(made_of, tmp_path, seed=0)
    stop.set()
    thread.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "run.lease"]


def test_an_encoding_has_room_for_content_as_the_objective_reads_it():
    for similarity, size in (("euclidean", 2), ("cosine", 3)):
        made = learner({"objective": {"similarity": similarity}, "process": {"content": 2}})
        assert made.encode(made.world.sample(4, "x").x["1"], "1").shape == (4, size)


def test_views_share_what_they_should():
    multimodal, multiview = learner(), learner({"setting": "multiview"})
    assert set(multimodal.encoders) == set(multimodal.mixings) == {"1", "2"}
    assert set(multiview.encoders) == set(multiview.mixings) == {"1"}
    assert not torch.equal(multimodal.mixings["1"].weights, multimodal.mixings["2"].weights)
    assert [variable.name for variable in multiview.world.process.variables] == ["content", "style"]
    sample = multiview.world.sample(5, "x")
    changed = multiview.world.intervene(sample, Permute(target="style"))
    assert not torch.equal(sample.x["2"], changed.x["2"])


def test_checkpoint_holds_the_mixing_and_the_optimiser_does_not():
    made = learner()
    assert any(name.startswith("mixings.") for name in made.state_dict())
    assert not any(name.startswith("mixings.") for name, _ in made.named_parameters())


def test_discrete_blocks_are_scored_by_accuracy(tmp_path):
    change = {
        "process": {"discrete": ["style"], "classes": 4},
        "training": {"steps": 20},
        "probes": {"interventions": False},
    }
    table = config.merge(TINY, change)
    record = simulations.run_simulation(Simulation.from_preset("quick", table), tmp_path, seed=0)
    probes = [p for p in record["probes"] if p["target"] == "style" and p["intervention"] is None]
    assert {(p["probe"], p["metric"]) for p in probes} == {("linear", "accuracy"), ("mlp", "accuracy")}
    assert all(0.15 < p["chance"] < 0.35 for p in probes)


def test_a_process_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'views = ["a", "b"]\n'
        '[variables.cause]\nrole = "content"\ndistribution = "normal"\ndim = 2\n'
        '[variables.angle]\nrole = "specific"\nview = "b"\ndistribution = "uniform"\ncircular = true\n'
    )
    table = {**TINY, "process": {"file": str(tmp_path / "mine.toml")}}
    made = config.merge(
        {"training": {"steps": 20, "batch": 16}, "probes": {"samples": 60, "bootstrap": 5}}, table
    )
    record = simulations.run_simulation(_thesis_like(made), tmp_path / "run", seed=0)
    assert {p["view"] for p in record["probes"]} == {"a", "b"}
    assert {label(p) for p in record["probes"]} == {"cause", "cause'", "angle", "angle'"}


def _thesis_like(table):
    return Simulation.from_preset("thesis", table)


def test_same_view_negatives_and_bfloat16_run():
    made = learner({"objective": {"negatives": "same-view"}, "training": {"precision": "bfloat16"}})
    loss = made.loss(0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in made.encoders.parameters())
    assert made.chance_loss() == pytest.approx(torch.tensor(65.0).log().item())


def test_presets_are_those_of_the_thesis_table():
    """Table A.2a."""
    made = Simulation.from_preset("thesis")
    assert (made.training.batch, made.training.steps, made.training.learning_rate) == (6144, 300_000, 1e-4)
    assert (made.objective.similarity, made.objective.temperature, made.training.clip) == (
        "euclidean",
        1.0,
        2.0,
    )
    assert (made.mixing.layers, made.mixing.ratio, len(made.encoder.widths) + 1) == (3, 1e-3, 7)
    assert made.process.content == made.process.style == made.process.specific == 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"encoder": {"encoding_size": 0}}, "config: encoder.encoding_size: expected at least 1, got 0"),
        ({"process": {"change_probability": 1.5}}, "probability: expected a number in [0, 1], got 1.5"),
        ({"process": {"colour": 1}}, "process: expected keys among"),
        ({"training": {"steps": "many"}}, "training.steps: expected an integer, got 'many'"),
        ({"setting": "bimodal"}, "setting: expected"),
        ({"process": {"statistical": True, "covariance": [[1.0, 2.0], [2.0, 1.0]]}}, "positive definite"),
        ({"process": {"file": "x.toml", "content": 3}}, "expected no other key beside it, got"),
        ({"nothing": 1}, "expected keys among"),
    ],
)
def test_bad_configurations(table, message):
    with pytest.raises(IdentboxError) as error:
        Simulation.from_preset("quick", table)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_input_on_the_command_line_is_one_line(tmp_path):
    for arguments, message in [
        (["--set", "process.causal"], "--set: expected KEY=VALUE, got process.causal"),
        (["--set", "proces.causal=true"], "expected keys among"),
        (["--device", "tpu"], "device: expected auto, cpu, cuda or cuda:N, got tpu"),
        (["--config", str(tmp_path / "none.toml")], "expected a TOML file"),
    ]:
        done = identbox("simulate", *arguments, "--out", tmp_path / "run")
        assert done.returncode == 1
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_with_the_reason(tmp_path):
    config.write_toml(tmp_path / "steep.toml", config.merge(TINY, {"training": {"learning_rate": 1e30}}))
    done = identbox("simulate", "--config", tmp_path / "steep.toml", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "expected a finite loss and gradient" in done.stderr
    assert "learning rate" in done.stderr
    assert not (tmp_path / "run" / "results.json").exists()
