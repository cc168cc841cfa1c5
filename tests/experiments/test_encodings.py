"""Encodings in files are judged: of a process with its latents, and of a rendered dataset."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import identbox
from identbox.commands.verify import verify_command
from identbox.data.arrays import read_arrays
from identbox.data.folder import read_latents
from identbox.errors import IdentboxError
from identbox.experiments.encodings import verify_dataset, verify_files
from identbox.process.mixing import Mixing
from identbox.process.presets import numerical_simulation
from identbox.process.world import World

INDEPENDENT = '[variables.content]\nrole = "content"\ndistribution = "normal"\n' \
    '[variables.style]\nrole = "style"\ndistribution = "normal"\nchange = { how = "noise" }\n'  # fmt: skip


@pytest.fixture
def files(tmp_path: Path):
    """A process, its latents, and encodings of content in view 1 and of style in view 2."""
    world = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=200))
    z = world.sample(600).z
    (tmp_path / "process.toml").write_text(INDEPENDENT)
    np.savez(tmp_path / "content.npz", **{"1": np.asarray(z["1"]["content"])})
    np.savez(tmp_path / "style.npz", **{"2": np.asarray(z["2"]["style"])})
    nested = {f"{view}/{name}": np.asarray(values) for view in z for name, values in z[view].items()}
    np.savez(tmp_path / "latents.npz", **nested)
    return tmp_path


def test_arrays_from_files_are_judged(files: Path):
    process = str(files / "process.toml")
    latents = files / "latents.npz"
    assert verify_files(files / "content.npz", latents, process).outcome == "identified"
    assert verify_files(files / "style.npz", latents, process).outcome == "not identified"


def test_the_command_says_the_verdict_and_ends_with_its_code(files: Path):
    options = ["--latents", files / "latents.npz", "--process", files / "process.toml", "--leak", 0.1]
    good = identbox("verify", "--encodings", files / "content.npz", *options, "--out", files)
    assert good.returncode == 0, good.stderr
    assert "Content: identified" in good.stdout
    assert (files / "verdict.html").exists()
    bad = identbox("verify", "--encodings", files / "style.npz", *options)
    assert bad.returncode == 2
    assert "Content: not identified" in bad.stdout


def test_an_encoding_of_a_dataset_is_judged_on_its_factors(small: Path, tmp_path: Path):
    """14 training samples are too few for a verdict of any kind but one that says no; the path is what is tested."""
    arrays = {}
    for split in ("train", "test"):
        latents = read_latents(small / split / "latents_image.csv")
        arrays[f"{split}/image"] = np.column_stack([latents["object_color"], latents["spotlight_color"]])
    np.savez(tmp_path / "encodings.npz", **arrays)
    done = identbox("verify", "--encodings", tmp_path / "encodings.npz", "--dataset", small)
    assert done.returncode in (1, 2, 3)
    assert done.stderr.count("\n") <= 1
    np.savez(tmp_path / "short.npz", **{name: values[:1] for name, values in arrays.items()})
    with pytest.raises(
        IdentboxError, match=r"train/image: expected encodings of shape \(14, k\), got \(1, 2\)"
    ):
        verify_dataset(tmp_path / "short.npz", small)
    np.savez(tmp_path / "half.npz", **{"train/image": arrays["train/image"]})
    with pytest.raises(IdentboxError, match="expected the arrays train/image, test/image; got train/image"):
        verify_dataset(tmp_path / "half.npz", small)
    with pytest.raises(
        IdentboxError, match="expected a dataset with the splits train and test, got no folder train"
    ):
        verify_dataset(tmp_path / "half.npz", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encodings", "a.npz"], "--encodings: expected --dataset, or --latents and --process, beside it"),
        (["--latents", "a.npz"], "--latents: expected --encodings beside it, got none"),
        (["--process", "numerical-simulation"], "--process: expected --encodings beside it, got none"),
        (
            ["run", "--encodings", "a.npz"],
            "--encodings: expected no runs and no --preset beside it, got some",
        ),
        (
            ["--encodings", "a.npz", "--latents", "b.npz", "--process", "numerical-simulation"],
            "a.npz: expected an .npz file, got No such file or directory",
        ),
    ],
)
def test_options_that_do_not_fit_get_one_line(
    options, message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IdentboxError) as error:
        CliRunner().invoke(verify_command, options, catch_exceptions=False)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_arrays_are_refused(tmp_path: Path):
    np.savez(tmp_path / "objects.npz", a=np.array([{"code": print}], dtype=object))
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "text.npz").write_text("no archive")
    whole = tmp_path / "whole.npz"
    np.savez(whole, a=np.zeros((50, 50)))
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-100])
    for name, message in {
        "objects": "a: expected an array of numbers, got pickled objects, which are refused",
        "empty": "expected arrays, got an empty file",
        "text": "expected an .npz file of arrays, got File is not a zip file",
        "cut": "expected an .npz file of arrays, got File is not a zip file",
    }.items():
        with pytest.raises(IdentboxError, match=message):
            read_arrays(tmp_path / f"{name}.npz")
