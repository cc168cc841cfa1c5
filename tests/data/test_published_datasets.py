"""Published PolyMNIST in its layouts, and CelebA and CUB from copies of them."""

import numpy as np
import pytest
import torch
from made_datasets import write_celeba, write_cub
from PIL import Image

from conftest import identbox
from identbox.data.celeba import ATTRIBUTES, CelebaSettings, build_celeba, parse_attributes, text_of
from identbox.data.cub import CubSettings, build_cub
from identbox.data.multiview import open_multiview
from identbox.data.multiview_checks import check_multiview
from identbox.data.published_polymnist import import_polymnist
from identbox.errors import IdentboxError

LABELS = [3, 1, 4, 1, 5, 3, 4, 5, 1, 3, 4, 5]


def pixels(split, modality, n=12):
    return np.random.default_rng([modality, len(split)]).integers(0, 256, (n, 28, 28, 3), dtype=np.uint8)


def write_folders(place):
    for split in ("train", "test"):
        for m in range(3):
            (place / split / f"m{m}").mkdir(parents=True)
            for i, (image, label) in enumerate(zip(pixels(split, m), LABELS, strict=True)):
                Image.fromarray(image).save(place / split / f"m{m}" / f"{i}.{label}.png")


def write_tensors(place, dtype):
    for split in ("train", "test"):
        (place / split).mkdir(parents=True)
        torch.save(torch.tensor(LABELS), place / split / "labels.pt")
        for m in range(3):
            values = torch.from_numpy(pixels(split, m)).permute(0, 3, 1, 2)
            values = values if dtype == torch.uint8 else values.to(dtype) / 255
            torch.save(values, place / split / f"m{m}.pt")


LAYOUTS = {
    "MMNIST": write_folders,
    "PolyMNIST": write_folders,
    "PolyMNIST_translated_scale075": write_folders,
    "tensors": lambda place: write_tensors(place, torch.float32),
    "bytes": lambda place: write_tensors(place, torch.uint8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_pixels_and_labels_that_were_written(tmp_path, layout):
    inner = "MMNIST" if layout in ("tensors", "bytes") else layout
    LAYOUTS[layout](tmp_path / "source" / inner)
    recipe = import_polymnist(tmp_path / "source", tmp_path / "made")
    assert ("Translated" in recipe.name) == ("translated" in layout)
    for name in ("train", "test"):
        split = open_multiview(tmp_path / "made", name)
        assert split.factors["digit"].tolist() == LABELS
        for m in range(3):
            assert np.array_equal(split.arrays[f"m{m}"], pixels(name, m))
    assert all(one.good for one in check_multiview(tmp_path / "made"))


def test_names_that_do_not_pair_and_labels_that_differ_are_named(tmp_path):
    write_folders(tmp_path)
    file = tmp_path / "train" / "m1" / "4.5.png"
    file.rename(file.with_name("4.6.png"))
    message = r"m1: expected the same names as in m0, got 2 that do not pair: 4.5.png, 4.6.png"
    with pytest.raises(IdentboxError, match=message):
        import_polymnist(tmp_path, tmp_path / "made")


def test_a_class_that_a_split_lacks_an_image_of_another_size_and_no_layout_are_named(tmp_path):
    write_tensors(tmp_path / "a", torch.uint8)
    torch.save(torch.tensor([3] * 12), tmp_path / "a" / "test" / "labels.pt")
    with pytest.raises(IdentboxError, match=r"test: expected all classes, got none of class 1"):
        import_polymnist(tmp_path / "a", tmp_path / "made")
    write_folders(tmp_path / "b")
    Image.new("RGB", (32, 32)).save(tmp_path / "b" / "train" / "m2" / "0.3.png")
    with pytest.raises(IdentboxError, match=r"0.3.png: expected 28 x 28, got 32 x 32"):
        import_polymnist(tmp_path / "b", tmp_path / "made")
    with pytest.raises(IdentboxError, match=r"expected train and test in it"):
        import_polymnist(tmp_path, tmp_path / "made")


def test_a_tensor_file_with_code_in_it_is_refused(tmp_path):
    write_tensors(tmp_path, torch.uint8)
    torch.save(torch.nn.Linear(1, 1), tmp_path / "train" / "m0.pt")
    with pytest.raises(IdentboxError, match=r"m0.pt: expected a tensor, got"):
        import_polymnist(tmp_path, tmp_path / "made")


@pytest.mark.parametrize(("texts", "suffix"), [(False, "txt"), (True, "csv")])
def test_celeba_has_its_partitions_attributes_and_texts(tmp_path, texts, suffix):
    attributes = write_celeba(tmp_path / "celeba", texts=texts, suffix=suffix)
    done = identbox("data", "celeba", tmp_path / "celeba", "--size", 16, "--out", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    splits = {name: open_multiview(tmp_path / "made", name) for name in ("train", "val", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "val": 3, "test": 6}
    test, spec = splits["test"], splits["test"].modalities["text"]
    assert test.arrays["image"].shape == (6, 16, 16, 3)
    for row, wanted in zip(test.arrays["text"], attributes[6:] == 1, strict=True):
        text = spec.sentence(row.tolist())
        assert len(text) == 256
        named = [name for name, there in parse_attributes(text).items() if there]
        whole = [name for name, there in zip(ATTRIBUTES, wanted, strict=True) if there]
        assert named == (["Bald", "Male"] if texts else whole)
    assert (
        test.factors["Male"].tolist() == (attributes[6:, ATTRIBUTES.index("Male")] == 1).astype(int).tolist()
    )
    assert all(one.good is not False for one in check_multiview(tmp_path / "made"))


def test_a_text_that_is_too_long_loses_its_last_attributes_and_begins_anywhere():
    text = text_of(ATTRIBUTES, 0.0)
    assert len(text) == 256
    there = [name for name, one in parse_attributes(text).items() if one]
    assert there == list(ATTRIBUTES[: len(there)])
    assert 15 < len(there) < 40
    begins = {
        len(text_of(["Bald"], k / 1000)) - len(text_of(["Bald"], k / 1000).lstrip("*")) for k in range(1000)
    }
    assert begins == set(range(253))


def test_bad_copies_of_celeba_are_refused_in_one_line(tmp_path):
    write_celeba(tmp_path / "c", texts=True)
    path = tmp_path / "c" / "list_attr_text_256_random.csv"
    good = path.read_text()
    path.write_text(good.replace("bald", "bäld"))
    with pytest.raises(
        IdentboxError, match=r"000001.jpg: expected the alphabet .* got 3 other characters in all: 'ä'"
    ):
        build_celeba(tmp_path / "c", tmp_path / "made", CelebaSettings(side=16))
    path.write_text(good.replace("male*", "male"))
    with pytest.raises(IdentboxError, match=r"000001.jpg: expected 256 characters, got 255"):
        build_celeba(tmp_path / "c", tmp_path / "made", CelebaSettings(side=16))
    path.write_text(good)
    (tmp_path / "c" / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(IdentboxError, match=r"expected 12 images, got none of 1: 000002.jpg"):
        build_celeba(tmp_path / "c", tmp_path / "made", CelebaSettings(side=16))


def test_cub_has_ten_captions_an_image_and_classes_that_differ_between_splits(tmp_path):
    done = identbox("data", "cub", write_cub(tmp_path / "cub"), "--size", 16, "--out", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    split = open_multiview(tmp_path / "made", "train")
    spec = split.modalities["text"]
    assert len(split) == 40
    assert spec.words[:3] == ("<exc>", "<pad>", "<eos>")
    assert set(spec.words[3:]) == {"this", "bird", "is", "red", ",", "with", "wing", "."}
    assert spec.sentence(split.arrays["text"][0].tolist()) == "this bird is red , with wing <exc> . <eos>"
    assert all(np.array_equal(split.arrays["image"][0], one) for one in split.arrays["image"][:10])
    assert not np.array_equal(split.arrays["image"][0], split.arrays["image"][10])
    findings = list(check_multiview(tmp_path / "made"))
    assert [one.what for one in findings if one.good is None] == ["classes of class"]


def test_a_caption_file_of_the_wrong_length_is_refused(tmp_path):
    write_cub(tmp_path / "cub", captions=9)
    with pytest.raises(IdentboxError, match=r"expected 40 captions, 10 for each of 4 images, got 36"):
        build_cub(tmp_path / "cub", tmp_path / "made", CubSettings(side=16))
