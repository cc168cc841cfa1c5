"""Rendering for real: Blender runs, workers are killed, disks are full."""

import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import ROOT, SMALL, identbox
from hare_records import records
from identbox.data import png
from identbox.errors import IdentboxError
from identbox.process import presets
from identbox.rendering import blender, shapes, workers
from identbox.rendering.generation import Part

COMMAND = [sys.executable, "-m", "identbox", "render"]
SETTINGS = workers.RenderSettings(size=32, samples=1)
TRAIN_ONLY = (*SMALL, "--val", 0, "--test", 0)  # samples do not depend on the other splits


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def pack(cache: Path) -> dict[str, Path]:
    return shapes.load_pack("builtin", ("hare",), blender.Blender()).files


def make_run(
    folder: Path, count: int, pack: dict, runner: blender.Blender | None = None, **options
) -> workers.RenderRun:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    return workers.RenderRun(records(count), folder, pack, SETTINGS, runner or blender.Blender(), **options)


def test_the_same_files_for_any_number_of_workers_and_shards(small: Path, tmp_path: Path):
    whole = files(small)
    assert identbox("render", *SMALL, "--workers", 2, "--out", tmp_path / "two").returncode == 0
    assert files(tmp_path / "two") == whole
    # As a job array starts them: all at once.
    words = [*map(str, TRAIN_ONLY), "--workers", "1", "--out", str(tmp_path / "parts"), "--shard"]
    shard = subprocess.Popen([*COMMAND, *words, "2/2"], stderr=subprocess.PIPE, text=True)
    assert identbox("render", *words, "1/2").returncode == 0
    _, said = shard.communicate(timeout=120)
    assert shard.returncode == 0, said
    assert files(tmp_path / "parts" / "train") == files(small / "train")


def test_a_sample_does_not_depend_on_how_many_there_are(small: Path, tmp_path: Path):
    done = identbox(
        "render", "--n", 3, "--val", 0, "--test", 0, "--size", 48, "--samples", 1, "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    for index in range(3):
        few, many = (folder / "train" / "images" for folder in (tmp_path, small))
        assert (few / f"{index}.png").read_bytes() == (many / f"{index:02d}.png").read_bytes()
    assert not (tmp_path / "val").exists()


def test_killed_workers_are_replaced_and_no_pixel_differs(tmp_path: Path, pack: dict):
    count, goals, chance = 30, (4, 10), random.Random(1)
    make_run(tmp_path / "calm", count, pack).execute(1)
    run = make_run(tmp_path / "storm", count, pack)
    killed = []

    def storm() -> None:
        for goal in goals:
            while run.outcome.done < goal or not (pids := run.worker_pids()):
                time.sleep(0.01)
            os.kill(pid := chance.choice(pids), signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=storm, daemon=True)
    thread.start()
    outcome = run.execute(2)
    thread.join(timeout=5)
    assert len(killed) == len(goals), "the run was over before the workers could be killed"
    assert outcome.done == count
    assert not outcome.failed
    calm, storm_files = files(tmp_path / "calm" / "images"), files(tmp_path / "storm" / "images")
    assert calm == storm_files


def test_a_killed_run_continues_and_renders_no_image_again(small: Path, tmp_path: Path):
    words = [*map(str, TRAIN_ONLY), "--workers", "1", "--out", str(tmp_path / "out")]
    images = tmp_path / "out" / "train" / "images"
    parent = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 60
    while len(list(images.glob("*.png"))) < 3 and time.time() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    time.sleep(1.0)  # the orphan finishes the image at hand, finds nobody listening, and ends
    stamps = {path.name: path.stat().st_mtime_ns for path in images.glob("*.png")}
    assert 3 <= len(stamps) < 14
    (images / ".13.png.99999.part").write_bytes(b"what a killed worker leaves")
    done = identbox("render", *words)
    assert done.returncode == 0, done.stderr
    now = {path.name: path.stat().st_mtime_ns for path in images.glob("*.png")}
    assert stamps.items() <= now.items(), "a whole image was rendered again"
    assert files(tmp_path / "out" / "train") == files(small / "train")


def test_ctrl_c_stops_cleanly_and_the_same_command_continues(small: Path, tmp_path: Path):
    words = [*map(str, TRAIN_ONLY), "--workers", "2", "--out", str(tmp_path / "out")]
    parent = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not list((tmp_path / "out").glob("train/images/*.png")) and time.time() < deadline:
        time.sleep(0.02)
    parent.send_signal(signal.SIGINT)
    _, complaint = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert (
        complaint.strip().splitlines()[-1] == "identbox: stopped; the same command continues where it stopped"
    )
    assert "Traceback" not in complaint
    assert not subprocess.run(["pgrep", "-f", str(tmp_path / "out")], capture_output=True).stdout
    assert identbox("render", *words).returncode == 0
    assert files(tmp_path / "out" / "train") == files(small / "train")


def scripted_blender(path: Path, body: str) -> blender.Blender:
    """An executable in Blender's place that runs the real worker after ``body``."""
    path.write_text(
        f"#!{sys.executable}\nimport os, runpy, signal, sys, time\n"
        f"sys.path.insert(0, {str(ROOT / 'render')!r})\n"
        f"sys.argv = [{str(ROOT / 'render' / 'worker.py')!r}, *sys.argv[sys.argv.index('--') + 1:]]\n"
        f"{body}\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return blender.Blender(executable=str(path))


CRASH = """
import studio
render = studio.Studio.render
def crash(self, record, path):
    if record["file"].endswith("002.png"):
        os.kill(os.getpid(), signal.SIGSEGV)
    render(self, record, path)
studio.Studio.render = crash
"""


def test_an_image_that_kills_three_workers_is_named_and_the_rest_is_finished(tmp_path: Path, pack: dict):
    runner = scripted_blender(tmp_path / "blender", CRASH)
    outcome = make_run(tmp_path, 6, pack, runner).execute(2)
    assert outcome.failed == {"images/002.png": "killed by signal 11"}
    assert outcome.done == 5
    assert (tmp_path / "logs" / "images-000.log").exists()


def test_an_image_that_cannot_be_rendered_is_named(tmp_path: Path, pack: dict):
    run = make_run(tmp_path, 4, pack)
    run._records[1] = run._records[1] | {"shape": "whale"}
    outcome = run.execute(1)
    assert outcome.failed == {"images/001.png": "'whale'"}
    assert sorted(files(tmp_path / "images")) == ["000.png", "002.png", "003.png"]


def test_a_worker_that_stops_reporting_is_replaced(tmp_path: Path, pack: dict):
    marker = tmp_path / "slept"
    body = (
        f"if not os.path.exists({str(marker)!r}):\n    open({str(marker)!r}, 'w').close(); time.sleep(3600)"
    )
    outcome = make_run(tmp_path, 2, pack, scripted_blender(tmp_path / "b", body), timeout=8.0).execute(1)
    assert outcome.done == 2


def test_a_blender_that_cannot_start_is_named(tmp_path: Path, pack: dict):
    runner = scripted_blender(tmp_path / "b", "sys.exit('libfoo.so.1: cannot open shared object file')")
    with pytest.raises(IdentboxError, match="expected a worker that starts, got exit code 1 3 times: libfoo"):
        make_run(tmp_path, 2, pack, runner).execute(2)
    with pytest.raises(
        IdentboxError, match="--blender: expected an executable Blender, got /nowhere/blender"
    ):
        blender.describe_blender(blender.Blender(executable="/nowhere/blender"))


def test_a_full_disk_ends_the_run_and_leaves_whole_images(tmp_path: Path, pack: dict):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        (disk / "images").mkdir()
        (disk / "filler").write_bytes(b"x" * 150_000)
        with pytest.raises(
            IdentboxError, match=r"disk: expected room for images, got .*No space left.*same command"
        ):
            make_run(disk, 60, pack).execute(2)
        left = list((disk / "images").iterdir())
        assert left, "the disk was full before the first image"
        assert all(png.is_whole(path, 32) for path in left)
        (disk / "filler").unlink()
        missing = [r for r in records(60) if not png.is_whole(disk / r["file"], 32)]
        assert len(missing) == 60 - len(left)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_number_of_threads_changes_no_pixel(tmp_path: Path, pack: dict):
    for threads in (1, 2):
        (tmp_path / str(threads) / "images").mkdir(parents=True)
        settings = workers.RenderSettings(size=96, samples=4, threads=threads)
        folder = tmp_path / str(threads)
        workers.RenderRun(records(4), folder, pack, settings, blender.Blender()).execute(1)
    assert files(tmp_path / "1" / "images") == files(tmp_path / "2" / "images")


def test_is_whole_rejects_other_sizes_and_cut_files(tmp_path: Path, small: Path):
    good = (small / "train" / "images" / "00.png").read_bytes()
    path = tmp_path / "a.png"
    for content, size, whole in (
        (good, 48, True),
        (good, 64, False),
        (good[:-1], 48, False),
        (b"", 48, False),
    ):
        path.write_bytes(content)
        assert png.is_whole(path, size) == whole
    assert not png.is_whole(tmp_path / "none.png", 48)


def test_no_metadata_in_the_images(small: Path):
    for path in (small / "train" / "images").iterdir():
        content, names, place = path.read_bytes(), [], 8
        while place < len(content):
            length = int.from_bytes(content[place : place + 4], "big")
            names.append(content[place + 4 : place + 8])
            place += length + 12
        assert set(names) == {b"IHDR", b"IDAT", b"IEND"}


def test_settings_and_parts_are_checked():
    with pytest.raises(IdentboxError, match=r"size: expected a number in \[8, 8192\], got 0"):
        workers.RenderSettings(size=0)
    with pytest.raises(IdentboxError, match=r"--shard: expected I/K with 1 <= I <= K, got 3/2"):
        Part(shard=(3, 2))
    parts = [Part(shard=(k, 3)).indices(10) for k in (1, 2, 3)]
    assert [index for part in parts for index in part] == list(range(10))


def test_auto_chooses_the_fastest_device():
    assert blender.choose_render_device("auto", {"cpu": ["cpu"], "cuda": ["x"], "optix": ["x"]}) == "optix"
    assert blender.choose_render_device("auto", {"cpu": ["cpu"]}) == "cpu"
    with pytest.raises(IdentboxError, match="--device: expected one of cpu on this machine, got cuda"):
        blender.choose_render_device("cuda", {"cpu": ["cpu"]})


def test_describe_blender_gives_the_version():
    assert blender.describe_blender(blender.Blender())["blender"].startswith("4.5")


def test_real_meshes_render(real_meshes: Path, tmp_path: Path):
    done = identbox("render", *SMALL, "--shapes", real_meshes, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    checked = identbox("check", tmp_path, "--rerender", 2, "--placement", 0, "--shapes", real_meshes)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_process_of_the_user_is_rendered(tmp_path: Path):
    example = ROOT / "simulations" / "shape_causes_background.toml"
    few = ("--n", 4, "--val", 1, "--test", 1, "--size", 32, "--samples", 1, "--workers", 1)
    done = identbox("render", "--process", example, *few, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    checked = identbox("check", tmp_path, "--placement", 0)
    assert checked.returncode == 0, checked.stdout
    assert "object_shape -> background_color" in checked.stdout


def test_a_process_may_have_other_classes_than_the_published(tmp_path: Path):
    path = tmp_path / "two.toml"
    path.write_text(
        'base = "multimodal3dident"\n[variables.object_shape]\nrole = "content"\n'
        'distribution = "categorical"\nclasses = ["horse", "hare"]\n'
    )
    few = ("--n", 6, "--val", 0, "--test", 0, "--size", 16, "--samples", 1, "--workers", 1)
    done = identbox("render", "--process", path, *few, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    sentences = (tmp_path / "out" / "train" / "text" / "text_raw.txt").read_text()
    assert "horse" in sentences
    assert "teapot" not in sentences
    assert replace(presets.multimodal3dident()).name == "multimodal3dident"
