"""PolyMNIST: pixels against a second making from the factors, equal builds, and bad input."""

import os
import shutil

import numpy as np
import pytest
import torch
from made_datasets import idx, write_mnist
from PIL import Image

from conftest import identbox
from identbox.data import backgrounds
from identbox.data.digits import embedded_digits, read_mnist
from identbox.data.multiview import open_multiview
from identbox.data.multiview_checks import check_multiview
from identbox.data.polymnist import INK_ABOVE, Handwriting, PolyMnistSettings, build_polymnist
from identbox.errors import IdentboxError


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp("mnist") / "files")


@pytest.fixture(scope="module")
def grounds(tmp_path_factory):
    """Pictures of different sizes, one exactly as large as a digit."""
    folder = tmp_path_factory.mktemp("grounds")
    rng = np.random.default_rng(1)
    for k, size in enumerate([(28, 28), (40, 31)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return folder


def build(folder, mnist, grounds, **options):
    settings = PolyMnistSettings(modalities=2, **options)
    build_polymnist(folder, settings, mnist=mnist, pictures=grounds)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_image_is_its_crop_inverted_where_a_digit_of_its_class_has_ink(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds, train=90)
    digits = read_mnist(mnist)["train"]
    split = open_multiview(folder, "train")
    shown = {name: [] for name in split.modalities}
    for name, path in zip(split.modalities, sorted(grounds.iterdir()), strict=True):
        ground = np.asarray(Image.open(path))
        free = np.array(ground.shape[:2]) - 28
        for i in range(90):
            row = round(split.factors[f"background_y_{name}"][i] * free[0])
            column = round(split.factors[f"background_x_{name}"][i] * free[1])
            crop = ground[row : row + 28, column : column + 28]
            image = split.arrays[name][i]
            mask = (image != crop).any(2)
            assert np.array_equal(image[mask], 255 - crop[mask])
            found = [
                k
                for k in range(60)
                if digits.labels[k] == split.factors["digit"][i]
                and np.array_equal(digits.images[k] > INK_ABOVE, mask)
            ]
            assert len(found) == 1
            shown[name].append(found[0])
    # Of 60 digits each is shown once before any is shown again, in another order in each modality.
    assert all(sorted(own[:60]) == list(range(60)) for own in shown.values())
    assert shown["m0"] != shown["m1"]


def test_builds_are_equal_byte_for_byte_also_after_an_interruption(tmp_path, mnist, grounds):
    one = build(tmp_path / "one", mnist, grounds)
    other = build(tmp_path / "other", mnist, grounds)
    assert contents(one) == contents(other)
    for name in ("checksums.json", "train/m1.npy", "gallery.png"):
        (other / name).unlink()
    build(other, mnist, grounds)
    assert contents(one) == contents(other)


def test_a_sample_does_not_depend_on_how_many_there_are(tmp_path, mnist, grounds):
    few, many = (open_multiview(build(tmp_path / str(n), mnist, grounds, train=n), "train") for n in (7, 70))
    assert all(np.array_equal(few.arrays[name], many.arrays[name][:7]) for name in few.modalities)
    assert all(np.array_equal(column, many.factors[name][:7]) for name, column in few.factors.items())


def test_a_translated_digit_stands_where_its_factors_say(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds, scale=0.7, train=400)
    split = open_multiview(folder, "train")
    ground = np.asarray(Image.open(sorted(grounds.iterdir())[0]))  # has one crop alone
    source = Handwriting(read_mnist(mnist)["train"], 0.7)
    assert source.masks.shape[1:] == (20, 20)
    corners = set()
    for i in range(400):
        mask = (split.arrays["m0"][i] != ground).any(2)
        x, y = (round(split.factors[f"{axis}_m0"][i] * 8) for axis in "xy")
        corners.add((x, y))
        own = mask[y : y + 20, x : x + 20]
        assert own.sum() == mask.sum()
        same_class = source.masks[source.digits.labels == split.factors["digit"][i]]
        assert any(np.array_equal(own, one) for one in same_class)
    assert {x for x, _ in corners} == {y for _, y in corners} == set(range(9))  # both ends included


def test_places_are_uniform_and_independent_of_the_digit(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds, scale=0.7, train=3000)
    factors = open_multiview(folder, "train").factors
    counts = np.bincount(np.rint(factors["x_m1"] * 8).astype(int), minlength=9)
    expected = 3000 / 9
    assert (
        (counts - expected) ** 2 / expected
    ).sum() < 26.1  # 99.9% of chi-squared with 8 degrees of freedom
    assert abs(np.corrcoef(factors["x_m1"], factors["digit"])[0, 1]) < 4 / 3000**0.5
    assert abs(np.corrcoef(factors["x_m0"], factors["x_m1"])[0, 1]) < 4 / 3000**0.5


def test_validation_digits_are_no_training_digits(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds, val=20)
    sizes = {name: len(open_multiview(folder, name)) for name in ("train", "val", "test")}
    assert sizes == {"train": 40, "val": 20, "test": 30}
    with pytest.raises(IdentboxError, match=r"val: expected fewer.*got 55 of 60 digits"):
        build(tmp_path / "more", mnist, grounds, val=55)


def test_slant_and_ink_of_a_handwriting_are_those_of_its_shape():
    digits = embedded_digits()["train"]
    lean = np.zeros((2, 28, 28), np.uint8)
    for row in range(5, 23):
        lean[0, row, 13] = 255  # upright
        lean[1, row, 5 + (22 - row) // 2 + 4] = 255  # half a column to the right for each row up
    known = Handwriting(type(digits)(lean, np.zeros(2, np.int64)), 1.0).handwriting
    assert known["slant"] == pytest.approx([0, 0.5], abs=0.01)
    assert known["ink"] == pytest.approx([18 / 784] * 2)


def test_the_embedded_digits_are_split_without_overlap():
    splits = embedded_digits()
    assert len(splits["train"].labels) + len(splits["test"].labels) == 1797
    sets = [{image.tobytes() for image in one.images} for one in splits.values()]
    assert not sets[0] & sets[1]


def test_textures_are_equal_when_made_again_and_of_colours_of_their_own():
    made = [backgrounds.texture(k, seed=0) for k in range(7)]
    assert np.array_equal(made[3], backgrounds.texture(3, seed=0))
    means = np.stack([one.reshape(-1, 3).mean(0) for one in made])
    distances = np.linalg.norm(means[:, None] - means, axis=2)[np.triu_indices(7, 1)]
    assert distances.min() > 25


def test_batches_and_samples_are_the_pixels_of_the_file(tmp_path, mnist, grounds):
    split = open_multiview(build(tmp_path / "d", mnist, grounds), "train")
    batch = split.batch(torch.tensor([5, 0, 59]))
    assert batch["m1"].shape == (3, 3, 28, 28)
    for place, index in enumerate([5, 0, 59]):
        naive = torch.from_numpy(np.array(split.arrays["m1"][index])).permute(2, 0, 1) / 255
        assert torch.equal(batch["m1"][place], naive)
        assert torch.equal(split[index]["m1"], naive)
    loader = torch.utils.data.DataLoader(split, batch_size=7)
    assert next(iter(loader))["factors"]["digit"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    with pytest.raises(IndexError):
        split.batch(torch.tensor([60]))


def test_check_finds_a_changed_pixel_and_a_missing_array(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds)
    assert all(one.good for one in check_multiview(folder))
    done = identbox("check", folder)
    assert done.returncode == 0
    assert "whole" in done.stdout
    path = folder / "test" / "m1.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (folder / "train" / "m0.npy").unlink()
    wrong = {(one.split, one.what): one.detail for one in check_multiview(folder) if one.good is False}
    assert wrong["test", "content"] == "changed: test/m1.npy"
    assert ("train", "files") in wrong


def test_the_command_makes_a_dataset_and_names_it(tmp_path):
    done = identbox(
        "data", "polymnist", "--train", 20, "--test", 10, "--modalities", 3, "--out", tmp_path / "d"
    )
    assert done.returncode == 0, done.stderr
    assert "PolyMNIST, 20 train, 10 test" in done.stdout
    assert Image.open(tmp_path / "d" / "gallery.png").width > 800
    assert "digit" in (tmp_path / "d" / "README.md").read_text()


def broken(mnist, folder, name, content):
    shutil.copytree(mnist, folder)
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t10k-labels-idx1-ubyte", idx(np.zeros(30, np.uint8))[:-3], r"expected 38 bytes, got 35.*cut short"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(29, np.uint8)), r"expected 30 labels, one for each image, got 29"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(30, np.uint8)), r"got none of class 1"),
        ("t10k-labels-idx1-ubyte", b"no digits", r"expected an IDX file of bytes"),
        ("t10k-images-idx3-ubyte.gz", idx(np.zeros((30, 32, 32), np.uint8)), r"expected images of 28 x 28, got 32"),
        ("t10k-images-idx3-ubyte.gz", b"\x1f\x8b broken", r"expected a gzipped IDX file"),
    ],
)  # fmt: skip
def test_broken_digits_are_refused_in_one_line(tmp_path, mnist, name, content, message):
    with pytest.raises(IdentboxError, match=message):
        read_mnist(broken(mnist, tmp_path / "m", name, content))


def test_another_recipe_and_too_few_pictures_are_refused(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds)
    with pytest.raises(IdentboxError, match=r"expected a dataset of this recipe, got one that differs in"):
        build(folder, mnist, grounds, seed=1)
    with pytest.raises(IdentboxError, match=r"expected 3 pictures .* got 2"):
        backgrounds.read_backgrounds(grounds, 3, 28)
    with pytest.raises(
        IdentboxError, match=r"0.png: expected a picture of 30 to 8192 pixels a side, got 28 x 28"
    ):
        backgrounds.read_backgrounds(grounds, 2, 30)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train = 60", "train = 61", r"m0.npy: expected bytes of shape \(61, 28, 28, 3\), got uint8 of \(60"),
        ("train = 60", "train = 0", r"splits: expected a number of samples from 1 on, got 0"),
        ("train = 60", 'train = "many"', r"splits: expected a number of samples from 1 on, got 'many'"),
        ('kind = "image"', 'kind = "sound"', r"m0.kind: expected one of image, text; got 'sound'"),
        (
            'role = "specific"',
            'role = "shared"',
            r"role: expected one of content, style, specific; got 'shared'",
        ),
        ('modality = "m1"', 'modality = "m9"', r"factors: expected modalities among m0, m1; got m9"),
        ("[factors.digit]", '[factors."a.b"]', r"expected names without a dot, got 'a.b'"),
        ("format = 1", "format = 7", r"expected kind multiview of format 1, got 'multiview' of 7"),
    ],
)
def test_a_dataset_toml_that_does_not_fit_is_named(tmp_path, mnist, grounds, old, new, message):
    folder = build(tmp_path / "d", mnist, grounds)
    path = folder / "dataset.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(IdentboxError, match=message):
        open_multiview(folder, "train")


def test_an_array_that_is_a_pipe_or_has_objects_is_refused(tmp_path, mnist, grounds):
    folder = build(tmp_path / "d", mnist, grounds)
    path = folder / "train" / "m0.npy"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(IdentboxError, match=r"expected a regular file, got a pipe"):
        open_multiview(folder, "train")
    path.unlink()
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(IdentboxError, match=r"m0.npy: expected an array, got Array can't be memory-mapped"):
        open_multiview(folder, "train")
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(
        IdentboxError, match=r"m0.npy: expected an array, got the magic string is not correct"
    ):
        open_multiview(folder, "train")
