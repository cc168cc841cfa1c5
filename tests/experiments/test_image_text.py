"""Real trainings on small drawn images: a coloured square in one of nine places, its sentence beside it."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from conftest import ROOT
from drawn_squares import TINY, made, make_dataset
from identbox import config
from identbox.commands.main import cli
from identbox.data import formats
from identbox.errors import IdentboxError
from identbox.experiments import image_text, sweeps, trials, verification
from identbox.experiments.records import read_run
from identbox.identifiability.margins import Margins
from identbox.learning import training
from identbox.learning.training import Callbacks
from identbox.reports import runs

SHORT = {
    "probes": {"samples": 60, "bootstrap": 2, "train_mode": True},
    "training": {"steps": 6, "log_every": 3},
}


@pytest.fixture(scope="module")
def finished(data: image_text.Data, tmp_path_factory) -> Path:
    """A run of a few dozen steps; not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    image_text.run_experiment(made(), data, folder, seed=0)
    return folder


def score(record: dict, view: str, target: str, probe: str = "mlp", key: str = "probes") -> float:
    (one,) = [
        p["score"] for p in record[key] if (p["view"], p["target"], p["probe"]) == (view, target, probe)
    ]
    return one


def test_a_few_dozen_steps_find_the_position_in_images_and_sentences(finished: Path):
    """Chance is a third; 0.8 is far from it for 96 test samples, and leaves room for so short a training."""
    record = json.loads((finished / "results.json").read_text())
    for view in ("image", "text"):
        assert score(record, view, "object_xpos") > 0.8
    assert record["losses"]["validation"] < 0.8 * record["losses"]["chance"]
    assert record["losses"]["chance"] == pytest.approx(math.log(24))


def test_curves_show_the_position_as_it_is_learned(finished: Path):
    """Scores of every factor from both views during training, which a report draws."""
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    scored = [line["scores"] for line in lines if "scores" in line]
    assert len(scored) > 1
    accuracy = [
        next(
            one["score"]
            for one in scores
            if (one["view"], one["target"], one["probe"]) == ("text", "object_xpos", "kernel_ridge")
        )
        for scores in scored
    ]
    assert accuracy[-1] > 0.8 > accuracy[0]
    assert "curves" in runs.run_report(finished).figures


def test_what_only_one_view_shows_is_not_encoded_from_the_other(finished: Path):
    """A rotation that the image does not even show, R2 = 0, and the phrasing, which no image tells, 1/5."""
    record = json.loads((finished / "results.json").read_text())
    for view in ("image", "text"):
        assert abs(score(record, view, "object_alpharot", "kernel_ridge")) < 0.2
    assert score(record, "image", "text_phrasing") < 0.4


def test_every_factor_of_table_4_1_that_varies_is_probed_from_both_encodings(finished: Path):
    record = json.loads((finished / "results.json").read_text())
    continuous = {f"object_{axis}rot" for axis in ("alpha", "beta", "gamma")}
    continuous |= {"object_color", "spotlight_pos", "spotlight_color", "background_color"}
    discrete = {"object_shape", "object_xpos", "object_ypos", "object_color_index", "text_phrasing"}
    for view in ("image", "text"):
        own = [p for p in record["probes"] if p["view"] == view]
        assert {p["target"] for p in own if p["probe"] == "kernel_ridge"} >= continuous
        assert {p["target"] for p in own if p["probe"] == "mlp"} == discrete
        assert all(p["low"] <= p["high"] and 0 <= p["chance"] < 1 for p in own)
    assert "object_zpos" not in {p["target"] for p in record["probes"]}


def test_the_record_tells_what_was_done_and_reports_can_read_it(finished: Path, squares: Path):
    record = json.loads((finished / "results.json").read_text())
    assert record["kind"] == "image-text"
    assert record["dataset"]["folder"] == str(squares)
    assert record["dataset"]["sha256"] == formats.fingerprint(squares)
    assert record["process"]["variables"]["object_color"]["role"] == "style"
    assert record["versions"]["torch"] == torch.__version__
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [25, 50, 75]
    assert lines[-1]["validation_loss"] == record["losses"]["validation"]
    run = read_run(finished / "results.json")
    assert run.seed == 0
    assert run.content == 3
    assert len(run.probes) == len(record["probes"])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / training.CHECKPOINT, weights_only=True)["model"]


def same_weights(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_that_was_stopped_and_continued_ends_in_the_same_weights(data, tmp_path, monkeypatch):
    """Stopped in the middle of an epoch of 20 steps, images moved; statistics of batch norms included."""
    monkeypatch.setattr(image_text, "probes", lambda *_, **__: {"probes": []})
    experiment = made(
        {"data": {"shift": 2, "hue": 0.2, "light": 0.5}, "training": {"steps": 12, "log_every": 3}}
    )
    image_text.run_experiment(experiment, data, tmp_path / "whole", seed=1)

    class Stop(Exception):
        pass

    def stop(metrics):
        if metrics["step"] == 9:
            raise Stop

    with pytest.raises(Stop):
        image_text.run_experiment(
            experiment, data, tmp_path / "parts", seed=1, callbacks=Callbacks(on_metrics=stop)
        )
    started = []
    image_text.run_experiment(
        experiment, data, tmp_path / "parts", seed=1, callbacks=Callbacks(on_start=started.append)
    )
    assert started == [6]  # the checkpoint of a step comes after its line of metrics
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert any("running_mean" in key for key in one)


@pytest.fixture(scope="module")
def short(data: image_text.Data, tmp_path_factory, few_epochs) -> dict:
    """The record of a run of six steps, probed in both modes."""
    return image_text.run_experiment(made(SHORT), data, tmp_path_factory.mktemp("short") / "run", seed=0)


def test_both_modes_are_recorded_when_asked(short):
    keys = [(p["view"], p["target"], p["probe"]) for p in short["probes"]]
    assert [(p["view"], p["target"], p["probe"]) for p in short["probes_train_mode"]] == keys
    assert short["probes_train_mode"] != short["probes"]


def test_a_run_on_shuffled_pairs_is_a_negative_control(finished, data, tmp_path, monkeypatch):
    """Its record says so; a verdict is made of what another run's encodings showed, which takes less time."""
    monkeypatch.setattr(image_text, "probe_pairs", lambda learner, data: {})
    made_of = made({"data": {"pairs": "shuffled"}, "training": {"steps": 1}})
    record = image_text.run_experiment(made_of, data, tmp_path / "run", seed=0)
    assert record["config"]["data"]["pairs"] == "shuffled"
    shown = json.loads((finished / "results.json").read_text()) | {"control": record["control"]}
    (tmp_path / "run" / "results.json").write_text(json.dumps(shown))
    (group,) = trials.groups([trials.read(tmp_path / "run")]).items()
    finding = verification.verify_group(*group, Margins())
    (judgement,) = finding.seeds[0].judgements
    assert finding.control == "shuffled-pairs"
    assert judgement.prediction.reason == "in shuffled pairs nothing is invariant"
    assert (judgement.prediction.outcome, judgement.outcome) == ("not identified", "not identified")


def test_the_committed_run_is_one_of_the_preset_and_found_content_alone():
    """Content above, all that is not content at most at what content tells of it, but for a margin of 0.15."""
    folder = ROOT / "simulations" / "results" / "image_text-quick"
    kept = config.read_toml(folder / "config.toml")
    expected = image_text.Experiment.from_preset("quick", {"probes": {"train_mode": True}}).table()
    own = {key: kept[key] for key in expected if key in kept}
    assert image_text.Experiment.from_preset("thesis", own).table() == expected
    record = json.loads((folder / "results.json").read_text())
    scores = {
        (one["view"], one["target"]): one
        for one in record["probes"]
        if one["probe"] in ("mlp", "kernel_ridge")
    }
    content = {one["target"]: one["score"] for one in record["from_content"] if one["probe"] != "linear"}
    for target, least in (("object_shape", 0.7), ("object_xpos", 0.95), ("object_ypos", 0.95)):
        assert scores["image", target]["score"] >= least
    image = {target: one for (view, target), one in scores.items() if view == "image"}
    others = image.keys() - {"object_shape", "object_xpos", "object_ypos"}
    assert {"object_color", "object_gammarot", "spotlight_pos", "background_color"} <= others
    for target in others:
        assert image[target]["score"] <= max(content[target], image[target]["chance"]) + 0.15


def test_a_batch_larger_than_a_split_is_refused_before_anything_is_trained(data, tmp_path):
    for size, split in ((500, "train"), (100, "val")):
        with pytest.raises(IdentboxError, match=str(size)) as error:
            image_text.run_experiment(made({"training": {"batch": size}}), data, tmp_path / split, seed=0)
        assert split in str(error.value)
        assert not (tmp_path / split / "metrics.jsonl").exists()


def test_a_folder_keeps_its_configuration_and_dataset(finished, data, squares, tmp_path):
    with pytest.raises(
        IdentboxError, match=r"differs in encoder.encoding_size \(4 in the folder, 2 asked for\)"
    ):
        image_text.run_experiment(made({"encoder": {"encoding_size": 2}}), data, finished, seed=0)
    other = image_text.open_data(make_dataset(tmp_path / "other", seed=1), made().data)
    with pytest.raises(IdentboxError, match=r"differs in dataset.sha256"):
        image_text.run_experiment(made(), other, finished, seed=0)
    # A run of a stranger's may name any folder: nothing is decoded there before it is known to be the run's dataset.
    another = make_dataset(tmp_path / "another", seed=2)
    with pytest.raises(IdentboxError, match="expected the dataset it was trained on"):
        image_text.load(finished, another)
    assert not (another / ".cache").exists()


def test_a_dataset_that_moved_is_the_same_dataset(finished, squares, tmp_path):
    moved = shutil.copytree(squares, tmp_path / "moved")
    learner, opened = image_text.load(finished, moved)
    assert opened.folder == moved
    assert all(torch.equal(learner.state_dict()[k], v) for k, v in weights(finished).items())
    record = json.loads((finished / "results.json").read_text())
    assert image_text.run_experiment(made(), opened, finished, seed=0) == record


def broken(squares: Path, tmp_path: Path) -> Path:
    return shutil.copytree(squares, tmp_path / "broken", ignore=shutil.ignore_patterns(".cache"))


def test_broken_datasets_are_named_in_one_line(squares, tmp_path):
    folder = broken(squares, tmp_path)
    (folder / "val" / "images" / "07.png").unlink()
    with pytest.raises(IdentboxError, match=r"val/images: expected 96 images, got none of 07.png"):
        image_text.open_data(folder, made().data)
    shutil.rmtree(folder / "val")
    with pytest.raises(IdentboxError, match="expected a dataset with the split val, got train, test"):
        image_text.open_data(folder, made().data)
    with pytest.raises(
        IdentboxError, match="nowhere: expected a dataset with the split train, got no folder"
    ):
        image_text.open_data(tmp_path / "nowhere", made().data)


def test_a_sweep_on_no_dataset_leaves_nothing_behind(tmp_path):
    """A run's folder would be bound to the dataset that was not there."""
    file, out = str(ROOT / "simulations" / "figure_8_3.toml"), tmp_path / "out"
    command = ["sweep", file, "--out", str(out), "--dataset", str(tmp_path / "nowhere")]
    with pytest.raises(
        IdentboxError, match="nowhere: expected a dataset with the split train, got no folder"
    ):
        CliRunner().invoke(cli, command, catch_exceptions=False)
    assert not out.exists()


def test_the_vocabulary_of_another_dataset_is_another_dataset(squares, tmp_path):
    """Few of its words known: named at once. The same words with other numbers: other tokens, another dataset."""
    folder = broken(squares, tmp_path)
    path = folder / "vocab.json"
    words = json.loads(path.read_text())["w2i"]
    marks = list(words)[:3]
    path.write_text(json.dumps({"w2i": {word: i for i, word in enumerate([*marks, "bird", "wing"])}}))
    with pytest.raises(
        IdentboxError, match="vocabulary: expected the words of the split train, got 12566 of 12566"
    ):
        image_text.open_data(folder, made().data)
    turned = [*marks, *reversed(list(words)[3:])]
    path.write_text(json.dumps({"w2i": {word: i for i, word in enumerate(turned)}}))
    assert formats.fingerprint(folder) != formats.fingerprint(squares)


def test_the_commands_make_the_same_record_as_the_library_and_probe_again(squares, short, tmp_path):
    out = tmp_path / "run"
    table = config.merge(TINY, SHORT)
    sets = [f"--set={key}={json.dumps(value)}" for key, value in config.flat(table).items()]
    command = ["train", str(squares), "--out", str(out), "--device", "cpu", *sets]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0
    first = json.loads((out / "results.json").read_text())
    assert first["steps"] == 6
    assert {**short, "seconds": 0} == {**first, "seconds": 0}
    for part in ("image", "text", "encoding", "chance", "shape", "xpos", "the whole record"):
        assert part in done.stdout
    done = CliRunner().invoke(cli, ["probe", str(out), "--device", "cpu"], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads((out / "results.json").read_text()) == first
    (out / "results.json").unlink()
    with pytest.raises(IdentboxError, match="expected a finished run of identbox train, got none"):
        CliRunner().invoke(cli, ["probe", str(out), "--device", "cpu"], catch_exceptions=False)
    refused = CliRunner().invoke(cli, [*command, "--encoding-size", "0"])
    assert "0 is not in the range x>=1" in refused.output


@pytest.mark.parametrize("preset", ["quick", "thesis"])
def test_a_run_of_a_sweep_finds_its_own_folder_as_the_sweep_made_it(squares, tmp_path, monkeypatch, preset):
    """The command of a child process leads to the very configuration that the sweep wrote, keys without a value too."""
    sweep = sweeps.read_sweep_file(ROOT / "simulations" / "figure_8_3.toml", preset, (0,))
    job = next(sweep.jobs(tmp_path, device="cpu", dataset=squares))
    job.claim()
    built = []
    monkeypatch.setattr(image_text, "open_data", lambda *_, **__: None)
    monkeypatch.setattr(image_text, "run_experiment", lambda experiment, *_, **__: built.append(experiment))
    monkeypatch.setattr(runs, "read_report", lambda path: SimpleNamespace(terminal=str))
    CliRunner().invoke(cli, job.command[1:], catch_exceptions=False)
    assert built == [sweep.cells[0].config]
