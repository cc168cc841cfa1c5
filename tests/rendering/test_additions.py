"""Counterfactual splits that are rendered for real: resumed, in shards, and beside the dataset that they belong to."""

import shutil
from pathlib import Path

import pytest

from conftest import identbox
from identbox.data.checks import check_dataset
from identbox.data.formats import fingerprint
from identbox.rendering import generation, shards
from identbox.rendering.additions import plan_counterfactuals

SPLIT = "train.permute.object_color.first4"
ADD = ("render", "--intervene", "permute:object_color:first=4", "--of", "train", "--workers", 1, "--out")


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / SPLIT / "images").iterdir()}


@pytest.fixture(scope="module")
def added(small: Path, tmp_path_factory) -> Path:
    folder = shutil.copytree(small, tmp_path_factory.mktemp("data") / "added")
    done = identbox(*ADD, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_counterfactual_split_is_checked_and_leaves_the_dataset_as_it_is(added: Path, small: Path) -> None:
    assert [f for f in check_dataset(added) if f.good is False] == []
    assert len(images(added)) == 4
    assert fingerprint(added) == fingerprint(small)
    assert (added / "dataset.toml").read_bytes() == (small / "dataset.toml").read_bytes()
    assert not (added / "logs").exists()


def test_the_same_command_makes_only_what_is_missing_and_shards_make_the_same_images(
    added: Path, small: Path, tmp_path: Path
) -> None:
    whole = images(added)
    folder = shutil.copytree(small, tmp_path / "again")
    for place in ("2/2", "1/2"):
        done = identbox(*ADD, folder, "--shard", place)
        assert done.returncode == 0, done.stderr
        assert "2 images rendered" in done.stdout
    assert images(folder) == whole
    (folder / SPLIT / "images" / "3.png").write_bytes(whole["3.png"][:50])
    done = identbox(*ADD, folder)
    assert "1 images rendered" in done.stdout
    assert images(folder) == whole


def test_what_the_dataset_answers_is_not_asked_again(added: Path, tmp_path: Path) -> None:
    done = identbox(*ADD, added, "--size", 64)
    assert (done.returncode, "--size: expected none beside --intervene" in done.stderr) == (1, True)
    done = identbox(*ADD, tmp_path / "nothing")
    assert (done.returncode, "expected a dataset of identbox" in done.stderr) == (1, True)
    assert not (tmp_path / "nothing").exists()
    done = identbox("render", "--intervene", "permute:hue", "--out", added)
    assert (done.returncode, "expected a variable among" in done.stderr) == (1, True)
    done = identbox("render", "--out", tmp_path / "new")
    assert (done.returncode, "Missing option '--n'" in done.stderr) == (1, True)


def test_jobs_of_a_cluster_make_the_same_images(
    added: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "IMAGES_PER_JOB", 2)
    folder = shutil.copytree(small, tmp_path / "again")
    plan = plan_counterfactuals(folder, ["permute:object_color:first=4"], of="train", offline=True)
    generation.prepare_folder(folder, plan.recipe)
    jobs = list(shards.shard_jobs(folder, plan.recipe, plan.part, plan.pack_name, plan.blender, offline=True))
    assert [job.name for job in jobs] == [f"{SPLIT} 1/2", f"{SPLIT} 2/2"]
    for job in jobs:
        assert not job.done()
        job.claim()
        shards._render_shard(list(job.command[1:]))
        assert job.done()
    assert images(folder) == images(added)
