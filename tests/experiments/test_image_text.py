"""Real trainings on small drawn images: a coloured square in one of nine places, its sentence beside it."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from conftest import ROOT
from identbox import config, seeding
from identbox.commands.main import cli
from identbox.data import folder as data_folder
from identbox.data import formats
from identbox.data import pixels as data_pixels
from identbox.data import recipe as data_recipe
from identbox.data.pixels import batch
from identbox.data.scene import hsv_to_rgb
from identbox.errors import IdentboxError
from identbox.experiments import image_text, sweeps
from identbox.experiments.records import read_run
from identbox.learning import contrastive, training
from identbox.learning.training import Callbacks
from identbox.process import presets
from identbox.rendering import generation
from identbox.reports import runs

SIZE, CELL = 18, 6  # pixels of an image and of one of its nine places
COUNTS = {"train": 480, "val": 96, "test": 96}
TINY = {
    "encoder": {"image": "small", "encoding_size": 4, "hidden": 32, "width": 32},
    "data": {"image_size": 18, "shift": 0, "hue": 0.0, "light": 0.0, "more_sentences": 0},
    "training": {
        "steps": 150,
        "batch": 24,
        "log_every": 50,
        "checkpoint_every": 0.0,
        "learning_rate": 0.004,
        "weight_decay": 0.0,
    },
    "probes": {"samples": 240, "bootstrap": 10},
}
SHORT = {"probes": {"samples": 60, "bootstrap": 2}, "training": {"steps": 6, "log_every": 3}}


def draw(latents: dict[str, np.ndarray], n: int):
    """The images of a split: the square's place, colour and side are position, hue and shape; the ground is grey."""
    colors = np.rint(255 * hsv_to_rgb(latents["object_color"], 1.0, 1.0)).astype(np.uint8)
    for i in range(n):
        pixels = np.full((SIZE, SIZE, 3), int(40 * latents["background_color"][i]), dtype=np.uint8)
        top, left = CELL * latents["object_ypos"][i], CELL * latents["object_xpos"][i]
        side = 3 + latents["object_shape"][i] % 4
        pixels[top : top + side, left : left + side] = colors[i]
        yield Image.fromarray(pixels)


def make_dataset(folder: Path, counts: dict[str, int] = COUNTS, seed: int = 0) -> Path:
    recipe = data_recipe.Recipe(
        process=presets.multimodal3dident(),
        splits=counts,
        seed=seed,
        shapes={"name": "squares"},
        renderer={"size": SIZE},
    )
    generation.prepare_folder(folder, recipe)
    for split, n in counts.items():
        place = folder / split / "images"
        place.mkdir(exist_ok=True)
        latents = data_recipe.draw_latents(recipe.process, seed, split, n)["image"]
        for i, image in enumerate(draw(latents, n)):
            image.save(place / data_folder.image_name(i, n))
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "squares")


def made(table=None) -> image_text.Experiment:
    return image_text.Experiment.from_preset("quick", config.merge(TINY, table or {}))


@pytest.fixture(scope="module")
def data(squares: Path) -> image_text.Data:
    return image_text.open_data(squares, made().data)


@pytest.fixture(scope="module")
def finished(data: image_text.Data, tmp_path_factory) -> Path:
    """A run of a few dozen steps; not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    image_text.run_experiment(made(), data, folder, seed=0)
    return folder


def score(record: dict, view: str, target: str, probe: str = "mlp", key: str = "probes") -> float:
    (found,) = [
        p["score"] for p in record[key] if (p["view"], p["target"], p["probe"]) == (view, target, probe)
    ]
    return found


def test_a_few_dozen_steps_find_the_position_in_images_and_sentences(finished: Path):
    """Chance is a third; 0.8 is far from it for 96 test samples, and leaves room for so short a training."""
    record = json.loads((finished / "results.json").read_text())
    for view in ("image", "text"):
        assert score(record, view, "object_xpos") > 0.8
    assert record["losses"]["validation"] < 0.8 * record["losses"]["chance"]
    assert record["losses"]["chance"] == pytest.approx(math.log(24))


def test_what_only_one_of_the_two_tells_is_not_encoded_by_the_other(finished: Path):
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
    assert [line["step"] for line in lines] == [50, 100, 150]
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


def test_encodings_are_of_length_one_where_the_objective_sees_their_direction_alone(data):
    cosine = image_text.PairLearner(made(), data.train, seed=0).encodings(data.val, 30)
    other = made({"objective": {"similarity": "euclidean"}})
    plain = image_text.PairLearner(other, data.train, seed=0).encodings(data.val, 30)
    for view in ("image", "text"):
        torch.testing.assert_close(cosine[view].norm(dim=1), torch.ones(30))
        assert plain[view].norm(dim=1).std() > 0.01
        torch.testing.assert_close(cosine[view], plain[view] / plain[view].norm(dim=1, keepdim=True))


def test_a_batch_has_no_sample_twice_and_an_epoch_has_every_batch_once(data, monkeypatch):
    drawn = []

    def read(split, indices, **options):
        drawn.append(indices)
        return image_text_batch(split, indices, **options)

    image_text_batch = data_pixels.batch
    monkeypatch.setattr(image_text, "batch", read)
    learner = image_text.PairLearner(made(), data.train, seed=0)
    with torch.no_grad():
        for step in (*range(20), 20, 3):
            learner.loss(step)
    epoch = torch.cat(drawn[:20])
    assert sorted(epoch.tolist()) == list(range(480))
    assert not torch.equal(drawn[20], drawn[0])
    assert torch.equal(drawn[21], drawn[3])


def test_the_loss_of_a_step_is_a_function_of_its_number_alone(data):
    """Batch norm in training mode moves its running statistics, which the training loss does not read."""
    learner = image_text.PairLearner(made({"data": {"shift": 3}}), data.train, seed=0)
    with torch.no_grad():
        first = [learner.loss(step).item() for step in (5, 25, 5)]
    assert first[0] == first[2] != first[1]


def test_the_validation_loss_is_the_objective_on_fixed_batches_in_evaluation_mode(data):
    """96 samples are four batches of 24. Evaluation leaves neither the mode nor a running statistic changed."""
    learner = image_text.PairLearner(made(), data.train, seed=0)
    with torch.no_grad():
        for step in range(3):
            learner.loss(step)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    found = learner.validation_loss(data.val)
    assert learner.training
    assert all(torch.equal(before[key], value) for key, value in learner.state_dict().items())
    encoded = learner.encodings(data.val, 96)
    parts = [[encoded[view][rows] for view in ("image", "text")] for rows in torch.arange(96).split(24)]
    losses = [contrastive.info_nce(part, learner.experiment.objective) for part in parts]
    assert found == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert learner.validation_loss(data.val) == found


def test_encodings_do_not_depend_on_their_batch_unless_batch_norm_is_left_in_training_mode(data):
    """Neither mode leaves a trace. Batches of other sizes sum in another order: float32."""
    learner = image_text.PairLearner(made(), data.train, seed=0)
    with torch.no_grad():
        for step in range(3):
            learner.loss(step)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    few, many = learner.encodings(data.test, 20), learner.encodings(data.test, 96)
    modes = learner.encodings(data.test, 96, train_mode=True)
    for view in ("image", "text"):
        torch.testing.assert_close(few[view], many[view][:20], rtol=1e-4, atol=1e-5)
        assert (modes[view] - many[view]).abs().max() > 0.01
    assert learner.training
    assert all(torch.equal(before[key], value) for key, value in learner.state_dict().items())


def test_no_sample_is_left_over_alone_in_training_mode(data):
    """33 samples in batches of 32: a ResNet has one number a channel in the end, and one sample no variance."""
    table = {"encoder": {"image": "resnet18"}, "training": {"batch": 32}}
    learner = image_text.PairLearner(made(table), data.train, seed=0)
    assert learner.encodings(data.test, 33, train_mode=True)["image"].isfinite().all()


def test_both_modes_are_recorded_when_asked(data, tmp_path):
    table = config.merge(SHORT, {"probes": {"train_mode": True}})
    record = image_text.run_experiment(made(table), data, tmp_path / "run", seed=0)
    keys = [(p["view"], p["target"], p["probe"]) for p in record["probes"]]
    assert [(p["view"], p["target"], p["probe"]) for p in record["probes_train_mode"]] == keys
    assert record["probes_train_mode"] != record["probes"]


def test_images_are_told_from_more_sentences_than_the_batch_has(data):
    """The loss is that of the first samples of the epoch's order with the next ones' sentences as negatives."""
    table = {"data": {"more_sentences": 5}, "training": {"batch": 8}}
    learner = image_text.PairLearner(made(table), data.train, seed=0)
    loss = learner.loss(0).item()
    order = torch.randperm(len(data.train), generator=seeding.generator(0, "order", 0))
    images, _ = batch(data.train, order[:8])
    image, text = learner(images, data.train.tokens[order[:13]])
    logits = torch.nn.functional.cosine_similarity(image[:, None], text[None], dim=-1)
    logits = logits / learner.experiment.objective.temperature
    cross_entropy, own = torch.nn.functional.cross_entropy, torch.arange(8)
    expected = (cross_entropy(logits, own) + cross_entropy(logits[:, :8].T, own)) / 2
    assert loss == pytest.approx(expected.item(), abs=1e-5)  # float32
    with pytest.raises(
        IdentboxError, match=r"more_sentences: expected at most the \d+ of the split train beyond"
    ):
        image_text.PairLearner(made({"data": {"more_sentences": 1000}}), data.train, seed=0)


def test_presets_are_those_of_table_a_2b(tmp_path):
    thesis = image_text.Experiment.from_preset("thesis")
    assert (thesis.encoder.image, thesis.data.image_size, thesis.data.shift) == ("resnet18", None, 0)
    assert (thesis.objective.similarity, thesis.objective.temperature) == ("cosine", 1.0)
    wanted = {"steps": 100_000, "batch": 256, "learning_rate": 1e-5, "clip": 2.0, "schedule": "constant"}
    assert {key: getattr(thesis.training, key) for key in wanted} == wanted
    assert image_text.Experiment.from_preset("quick").data.image_size == 64


def test_the_committed_run_is_one_of_the_preset_and_found_content_alone():
    """Content above, all that is not content at most at what content tells of it, but for a margin of 0.15."""
    folder = ROOT / "simulations" / "results" / "image_text-quick"
    found = config.read_toml(folder / "config.toml")
    expected = image_text.Experiment.from_preset("quick", {"probes": {"train_mode": True}}).table()
    assert {key: found[key] for key in expected} == expected
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


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"encoder": {"encoding_size": 0}}, "config: encoder.encoding_size: expected at least 1, got 0"),
        ({"encoder": {"image": "vgg"}}, "config: encoder.image: expected one of small, resnet18; got 'vgg'"),
        ({"data": {"shift": -1}}, "config: data.shift: expected at least 0, got -1"),
        ({"data": {"hue": 0.6}}, "config: data.hue: expected a number in [0, 0.5], got 0.6"),
        ({"data": {"light": -0.5}}, "config: data.light: expected at least 0, got -0.5"),
        ({"data": {"more_sentences": -1}}, "config: data.more_sentences: expected at least 0, got -1"),
        ({"objective": {"negatives": "same-view"}}, "negatives: expected other-view, got same-view"),
        ({"colour": 1}, "config: expected keys among encoder, data, objective, training, probes; got colour"),
        ({"probes": {"samples": 3}}, "config: probes.samples: expected at least 10, got 3"),
    ],
)
def test_bad_configurations(table, message):
    with pytest.raises(IdentboxError) as error:
        image_text.Experiment.from_preset("quick", table)
    assert message in str(error.value)


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
    with pytest.raises(IdentboxError, match="expected the dataset it was trained on"):
        image_text.load(finished, tmp_path / "other")


def test_a_dataset_that_moved_is_the_same_dataset(finished, squares, tmp_path):
    moved = shutil.copytree(squares, tmp_path / "moved")
    learner, found = image_text.load(finished, moved)
    assert found.folder == moved
    assert all(torch.equal(learner.state_dict()[k], v) for k, v in weights(finished).items())
    record = json.loads((finished / "results.json").read_text())
    again = image_text.probe_pairs(learner, found)
    assert again["probes"] == record["probes"]
    assert image_text.run_experiment(made(), found, finished, seed=0) == record


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


def test_the_commands_make_the_same_record_as_the_library_and_probe_again(squares, data, tmp_path):
    out = tmp_path / "run"
    table = config.merge(TINY, SHORT)
    sets = [f"--set={key}={json.dumps(value)}" for key, value in config.flat(table).items()]
    command = ["train", str(squares), "--out", str(out), "--device", "cpu", *sets]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0
    first = json.loads((out / "results.json").read_text())
    assert first["steps"] == 6
    direct = image_text.run_experiment(made(SHORT), data, tmp_path / "direct", seed=0)
    assert {**direct, "seconds": 0} == {**first, "seconds": 0}
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
