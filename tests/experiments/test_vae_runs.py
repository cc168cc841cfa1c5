"""Runs of multimodal VAEs on datasets of any modalities: their record, and what bad input gets."""

import dataclasses
import json
import math
import shutil
from unittest import mock

import numpy as np
import pytest
import torch
from made_datasets import write_cub
from PIL import Image

from conftest import identbox
from identbox.data.cub import CubSettings, build_cub
from identbox.data.multiview import ModalitySpec, open_multiview
from identbox.data.polymnist import PolyMnistSettings, build_polymnist
from identbox.errors import IdentboxError
from identbox.experiments import judges as judges_module
from identbox.experiments import records
from identbox.experiments.generation import GenerationRequest, generated_sheet
from identbox.experiments.generative import Generative
from identbox.experiments.judges import image_judge, judges_of, text_judge, values_of
from identbox.experiments.multiview import open_multiview_data
from identbox.experiments.pair_learner import DataSettings
from identbox.experiments.reprobing import probe_again
from identbox.experiments.vae_runs import color_coherence, dataset_vae, load_vae, run_vae
from identbox.learning.inception import Inception
from identbox.learning.judges import Judge, JudgeSettings, train_judge
from identbox.metrics import color_proxy
from identbox.metrics.coherence import classes_of

SMALL = {
    "encoder": {"encoding_size": 6, "channels": [4, 4], "hidden": 8},
    "decoder": {"channels": [4, 4], "hidden": 8},
    "training": {"steps": 3, "batch": 16, "log_every": 2},
    "probes": {"samples": 60, "bootstrap": 2},
    "likelihood": {"data": 2, "samples": 8},
    "generation": {"samples": 40, "judge": {"steps": 3}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / "digits"
    build_polymnist(place, PolyMnistSettings(modalities=3, train=200, test=120, scale=0.7))
    return place


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "run"
    experiment = Generative.from_preset("quick", {**SMALL, "model": "mmvae-plus"}, on="multiview")
    record = run_vae(experiment, open_multiview_data(folder, DataSettings()), place, seed=0)
    return place, record


def test_a_record_has_every_subset_and_no_self_reconstruction_among_them(trained):
    place, record = trained
    pairs = {(tuple(one["given"]), one["made"]) for one in record["coherence"]}
    assert len(pairs) == len(record["coherence"]) == 9
    assert all(made not in given for given, made in pairs)
    assert {one["factor"] for one in record["coherence"]} == {"digit"}
    kept = {one["factor"] for one in record["reconstruction"] if one["made"] == "m1"}
    assert {"digit", "x_m1", "y_m1", "background_x_m1", "slant_m1"} <= kept
    assert {one["features"] for one in record["frechet"]} == {"Frechet distance (classifier features)"}
    assert {(one["samples"], one["real"]) for one in record["frechet_unconditional"]} == {(40, 120)}
    assert [one["inputs"] for one in record["likelihood_by_inputs"]][-1] == ["m0", "m1", "m2"]
    run = records.read_run(place / records.RESULTS)
    assert {probe.view for probe in run.probes} == {"m0", "m1", "m2"}
    views = {probe.view for probe in run.probes_subsets if probe.target == "digit"}
    assert views == {"m0+m1", "m0+m2", "m1+m2", "m0+m1+m2", *(f"m{k}, specific" for k in range(3))}
    assert {probe.target for probe in run.probes_subsets if probe.view == "m0+m1"} == {"digit"}
    assert run.block(run.probes[0]) == "content"


def test_a_run_is_loaded_again_with_its_weights(trained, folder):
    place, record = trained
    learner, _, experiment = load_vae(place)
    assert experiment.model == "mmvae-plus"
    assert learner.validation_loss() == pytest.approx(record["losses"]["validation"])
    (place.parent / "other").mkdir()
    (place.parent / "other" / "config.toml").write_text("seed = 0\n")
    with pytest.raises(IdentboxError, match=r"expected a run of identbox train DATA --model"):
        load_vae(place.parent / "other")


def test_a_run_is_probed_again_and_the_rest_of_its_record_stays(trained, tmp_path):
    place, record = trained
    again = shutil.copytree(place, tmp_path / "again")
    (again / records.RESULTS).write_text(json.dumps({**record, "probes": [], "probes_subsets": []}))
    probe_again(again)
    assert json.loads((again / records.RESULTS).read_text()) == json.loads(
        (place / records.RESULTS).read_text()
    )
    elsewhere = {key: value for key, value in record.items() if key != "dataset"}
    (again / records.RESULTS).write_text(json.dumps(elsewhere))
    with pytest.raises(
        IdentboxError, match=r"again: expected a run on a dataset, got one of kind generative"
    ):
        probe_again(again)
    (again / records.RESULTS).unlink()
    with pytest.raises(IdentboxError, match=r"again: expected a finished run of identbox train, got none"):
        probe_again(again)


def test_some_of_the_modalities_alone_are_modelled(folder, tmp_path):
    changes = {**SMALL, "modalities": ["m2", "m0"], "generation": {"samples": 0}}
    experiment = Generative.from_preset("quick", changes, on="multiview")
    data = open_multiview_data(folder, DataSettings()).only(experiment.modalities)
    assert data.names == ("m2", "m0")
    assert not [name for name in data.train.declared if name.endswith("_m1")]
    with pytest.raises(IdentboxError, match=r"modalities: expected some of m0, m1, m2; got m7"):
        open_multiview_data(folder, DataSettings()).only(("m0", "m7"))


def test_another_dataset_and_a_batch_that_is_too_large_are_refused(trained, folder, tmp_path):
    place, _ = trained
    build_polymnist(tmp_path / "other", PolyMnistSettings(modalities=3, train=60, test=60, seed=1))
    with pytest.raises(IdentboxError, match=r"expected the dataset it was trained on, got another"):
        load_vae(place, tmp_path / "other")
    experiment = Generative.from_preset("quick", {**SMALL, "training": {"batch": 61}}, on="multiview")
    data = open_multiview_data(tmp_path / "other", DataSettings())
    with pytest.raises(IdentboxError, match=r"training.batch: expected at most the 60 samples"):
        run_vae(experiment, data, tmp_path / "run", seed=0)


def test_a_judge_learns_a_class_and_a_number_that_are_plain_to_see():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (300,), generator=rng)
    places = torch.randint(5, 23, (300,), generator=rng)
    images = torch.zeros(300, 3, 28, 28)
    for image, label, place in zip(images, labels, places, strict=True):
        image[label, 4:24, place - 3 : place + 3] = 1
    truth = {"channel": labels, "place": ((places - 14.0) / 5)[:, None]}
    judge = Judge(3, 28, {"channel": 3, "place": 1}, dropout=0.1, seed=0, name="judge")
    state = torch.get_rng_state()
    train_judge(judge, lambda rows: images[rows], truth, JudgeSettings(steps=120, batch=64), name="judge")
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        read = judge(images)
    assert (read["channel"].argmax(1) == labels).all()
    assert (read["place"] - truth["place"]).square().mean() < 0.1


def test_the_network_of_28_pixels_has_the_sizes_of_the_published_classifier():
    judge = Judge(3, 28, {"digit": 10}, seed=0, name="judge")
    shapes = [tuple(p.shape) for p in judge.parameters() if p.dim() > 1]
    assert shapes == [(10, 3, 4, 4), (20, 10, 4, 4), (128, 980), (10, 128)]


def test_judges_are_kept_and_their_numbers_are_in_the_units_of_the_data(folder):
    data = open_multiview_data(folder, DataSettings())
    told: list[str] = []
    settings = JudgeSettings(steps=4, seed=3)
    first = judges_of(data, settings, samples=50, on_message=told.append)
    assert len(told) == 6  # classes and numbers of three modalities
    with mock.patch.object(judges_module, "_on_real", side_effect=AssertionError("looked at again")):
        again = judges_of(data, settings, samples=50, on_message=told.append)
    assert len(told) == 6
    assert [one.ceilings for one in again.factors] == [one.ceilings for one in first.factors]
    for name, moments in first.real.items():
        assert torch.equal(moments.covariance, again.real[name].covariance)
        assert moments.samples == again.real[name].samples == len(data.test)
    images = data.test.batch(torch.arange(5))["m0"]
    one, other = (judges.read["m0"](images).read for judges in (first, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    column = data.train.factors["ink_m0"]
    ink = one["ink_m0"].mean().item()  # hardly trained, a judge says about the mean
    assert abs(ink - column.mean()) < 3 * column.std()
    factors = {judged.name for judged in first.own}
    assert {"x_m0", "y_m2"} <= factors
    assert all(math.isfinite(max(judged.ceilings.values())) for judged in first.own)


def test_with_inception_features_are_its_own(folder):
    data = open_multiview_data(folder, DataSettings())
    network = Judge(3, 28, {"digit": 10}, seed=0, name="judge").eval()
    images = data.test.batch(torch.arange(2))["m0"]
    inception = Inception().eval()
    judged, plain = image_judge([network], inception)(images), image_judge([network])(images)
    torch.testing.assert_close(judged.features, inception(images))
    assert plain.features.shape == (2, 128)
    assert torch.equal(judged.read["digit"], plain.read["digit"])


def test_weights_of_inception_are_looked_for_before_the_training(folder, tmp_path):
    changes = {**SMALL, "generation": {"inception": str(tmp_path / "none.pth")}}
    experiment = Generative.from_preset("quick", changes, on="multiview")
    data = open_multiview_data(folder, DataSettings())
    with pytest.raises(IdentboxError, match=r"none.pth"):
        run_vae(experiment, data, tmp_path / "run", seed=0)
    assert not (tmp_path / "run").exists()


def test_a_hue_is_judged_as_a_point_on_the_circle(folder):
    split = open_multiview(folder, "train")
    hues = np.array([0.0, 0.25, 0.999])
    declared = {"hue": dataclasses.replace(split.declared["x_m0"], kind="circular", period=1.0)}
    circle = values_of(dataclasses.replace(split, factors={"hue": hues}, declared=declared), "hue")
    assert circle[0].tolist() == pytest.approx([1, 0])
    assert circle[1].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert (circle[2] - circle[0]).norm() < 0.01


def test_a_sheet_has_the_inputs_above_what_is_made_of_them(trained, folder):
    learner, data, _ = load_vae(trained[0])
    rows = generated_sheet(learner, data, GenerationRequest(given=("m1",), n=5, times=2, first=3))
    assert [(row.name, row.ruled) for row in rows] == [
        ("m1", False), ("m0", True), ("", False), ("m2", True), ("", False),
    ]  # fmt: skip
    assert np.array_equal(rows[0].values, data.test.arrays["m1"][3:8])
    assert not np.array_equal(rows[1].values, rows[2].values)  # another draw
    assert all(row.values.shape == (5, 28, 28, 3) for row in rows)
    again = generated_sheet(learner, data, GenerationRequest(given=("m1",), n=5, times=2, first=3))
    assert all(np.array_equal(one.values, other.values) for one, other in zip(rows, again, strict=True))
    still = generated_sheet(learner, data, GenerationRequest(given=("m1",), made=("m0",), n=1, scale=0.0))
    assert len(still) == 5


@pytest.mark.parametrize(
    ("options", "rows"),
    [(("--from", "m0,m2"), 2 + 4), ((), 12), (("--from", "m1", "--to", "m1", "--times", 1), 2)],
)
def test_the_command_writes_a_picture_of_each_kind(trained, tmp_path, options, rows):
    done = identbox("generate", trained[0], "--n", 3, *options, "--out", tmp_path / "grid.png")
    assert done.returncode == 0, done.stderr
    assert f"{rows} rows of 3" in done.stdout
    assert Image.open(tmp_path / "grid.png").height > 90 * rows


def test_other_modalities_than_the_datas_are_refused(trained, tmp_path):
    done = identbox("generate", trained[0], "--from", "text", "--out", tmp_path / "grid.png")
    assert done.returncode == 1
    assert "modalities: expected some of m0, m1, m2; got text" in done.stderr
    assert not (tmp_path / "grid.png").exists()


def test_images_of_birds_are_judged_by_the_colour_of_their_caption(tmp_path):
    build_cub(
        write_cub(tmp_path / "copy", colors=color_proxy.COLOR_RANGES),
        tmp_path / "birds",
        CubSettings(side=16),
    )
    data = open_multiview_data(tmp_path / "birds", DataSettings())
    experiment = Generative.from_preset("quick", SMALL, on="multiview")
    learner = dataset_vae(experiment, data, seed=0)
    with torch.no_grad():  # a decoder that only ever makes one dark red
        for parameter in learner.vae.decoders["image"].convolutions[-1].parameters():
            parameter.zero_()
        learner.vae.decoders["image"].convolutions[-1].bias.copy_(torch.tensor([0.6, 0.05, 0.05]))
    found = color_coherence(learner, data)["color_coherence"]
    assert found["by_color"] == {name: float(name == "red") for name in color_proxy.COLOR_RANGES}
    assert (found["score"], found["images"]) == (1 / 8, 80)


def test_the_usual_scores_are_of_the_factors_that_a_modality_shows(trained):
    done = identbox("scores", trained[0], "--only", "MIG")
    assert done.returncode == 0, done.stderr
    found = records.read_run(trained[0] / records.RESULTS).disentanglement
    assert {score.view for score in found} == {"m0", "m1", "m2"}


def test_a_text_is_judged_by_its_parser_and_says_nothing_where_it_cannot_be_parsed():
    spec = ModalitySpec(kind="text", shape=(2,), words=("red", "blue", "bird", "odd"), separator=" ")

    def parser(text):
        first, last = text.split()
        if last != "bird":
            raise IdentboxError("text: expected a bird")
        return {"color": ("red", "blue", "bird", "odd").index(first)}

    judge = text_judge(spec, parser, {"color": 2})
    read = judge(torch.tensor([[0, 2], [1, 2], [1, 0], [3, 2]])).read["color"]
    assert classes_of(read).tolist() == [0, 1, -1, -1]
    assert judge(torch.tensor([[1, 0]])).read["color"].shape == (1, 2)  # as wide when nothing is parsed
