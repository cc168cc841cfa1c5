"""What the machine does: streams that are closed, terminals and names without UTF-8, homes and caches that fail."""

import errno
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import worker
from conftest import ROOT, identbox
from identbox import config, files
from identbox.commands import main
from identbox.data import latents
from identbox.data.latents import draw_latents
from identbox.data.recipe import shape_names
from identbox.errors import IdentboxError
from identbox.experiments.run import write_results
from identbox.learning import training
from identbox.process import presets, tables
from identbox.rendering import blender, mesh_cache, shapes
from identbox.rendering.mesh_cache import MeshSource, converted_meshes
from made_records import probes, run_at, write_run, write_sweep


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1), (0, 1, 2)])
def test_no_file_that_is_opened_gets_the_number_of_a_stream_that_was_closed(closed, tmp_path):
    code = f"""
import os
for number in {closed}: os.close(number)
from identbox.commands.main import open_standard_streams
from identbox.rendering.blender import _pipe
open_standard_streams()
print("printed")
open({str(tmp_path / "told")!r}, "w").write(" ".join(map(str, _pipe())))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert all(int(number) >= 3 for number in (tmp_path / "told").read_text().split())


def test_a_terminal_that_knows_no_greek_shows_a_question_mark(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    main.open_standard_streams()
    print("R² of é and α ━━")
    out.flush()
    assert out.buffer.getvalue() == "R² of é and ? ??\n".encode("latin-1")


@pytest.mark.parametrize(
    "number",
    [
        errno.EACCES,
        errno.EIO,
        errno.ESTALE,
        errno.EMFILE,
        errno.EROFS,
        errno.EFBIG,
        errno.ENOSPC,
        errno.ENAMETOOLONG,
    ],
)
def test_what_the_system_refuses_is_one_line(number, monkeypatch, capsys):
    def refuse(standalone_mode: bool) -> None:
        raise OSError(number, os.strerror(number), "/some/\x1b[31mfile")

    monkeypatch.setattr(main, "cli", refuse)
    with pytest.raises(SystemExit) as end:
        main.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 1
    assert line.startswith(r"identbox: /some/\x1b[31mfile: expected ")
    assert os.strerror(number) in line


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def refuse(standalone_mode: bool) -> None:
        raise MemoryError

    monkeypatch.setattr(main, "cli", refuse)
    with pytest.raises(SystemExit):
        main.main()
    assert capsys.readouterr().err == "identbox: memory: expected more than this machine has left, got none\n"


def test_a_user_without_a_home_has_a_cache(monkeypatch, tmp_path):
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("IDENTBOX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", none)
    assert files.cache_folder().name == f"identbox-cache-{os.getuid()}"
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path))
    assert files.cache_folder() == tmp_path


def test_a_folder_whose_name_is_not_utf_8_is_reported_on(tmp_path):
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/m\xe9shes"))
    write_sweep(folder, {"one": {"process.causal": False}})
    write_run(run_at(folder, "one", 0), scores=probes(0.9, 0.3, 0.0))
    done = identbox("report", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"m\udce9shes" in done.stdout  # shown, as no terminal could show it
    assert (folder / "report.md").read_bytes().decode()
    with pytest.raises(IdentboxError, match="expected texts and names in Unicode"):
        config.write_toml(tmp_path / "a.toml", {"name": folder.name})


def test_what_changes_pixels_is_kept_from_blender_and_named(monkeypatch):
    for name in ("OCIO", "CYCLES_DEVICE"):
        monkeypatch.setenv(name, "/somewhere")
    assert not {"OCIO", "CYCLES_DEVICE"} & blender.worker_environment().keys()
    assert blender.worker_environment()["PATH"] == os.environ["PATH"]
    assert [note.split()[2] for note in blender.environment_notes()] == ["CYCLES_DEVICE", "OCIO"]


def test_class_names_are_words_of_a_sentence(tmp_path):
    for name in ("sofa two", "a,b", "a.b", "", "a/b", "a|b", "x" * 61, "\x1b[1m"):
        (tmp_path / "p.toml").write_text(
            'base = "multimodal3dident"\n[variables.object_shape]\nrole = "content"\ndistribution = "categorical"\n'
            f"classes = [{name!r}, 'table']\n".replace("\\x1b", "\\u001b").replace("'", '"')
        )
        with pytest.raises(IdentboxError, match="expected"):
            shape_names(tables.load_process(tmp_path / "p.toml"))


@pytest.fixture
def source(tmp_path: Path, monkeypatch) -> MeshSource:
    """A mesh file, as the cache of a hub keeps it: a link to a file without an ending."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "blobs" / "0123abcd").write_bytes(b"v 0 0 0\n")
    (tmp_path / "snapshot" / "cow.obj").symlink_to("../blobs/0123abcd")
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "cache"))
    return MeshSource(path=shapes.find_pack(str(tmp_path / "snapshot")).path("cow"))


@pytest.fixture
def conversions(monkeypatch) -> list[str]:
    """The endings of the files that Blender would be given."""
    asked: list[str] = []

    def convert(sources, blender, scratch, on_step):
        made = {}
        for shape, one in sources.items():
            asked.append(one.path.suffix)
            made[shape] = scratch / one.name
            one.copy(made[shape])
            made[shape].write_bytes(b"a mesh of " + made[shape].read_bytes())
        return made

    monkeypatch.setattr(mesh_cache, "_convert", convert)
    return asked


def convert(source: MeshSource) -> Path:
    return converted_meshes({"cow": source}, blender.Blender())["cow"]


def test_a_mesh_in_the_cache_is_believed_only_as_this_user_wrote_it(
    source, conversions, monkeypatch, tmp_path
):
    path = convert(source)
    whole = path.read_bytes()
    assert path.is_relative_to(tmp_path / "cache")
    assert convert(source) == path
    assert conversions == [".obj"]
    for other in (b"", whole[:-1], whole + b"x", b"a stranger's mesh"):
        path.write_bytes(other)
        assert convert(source).read_bytes() == whole
    path.with_suffix(".proof").write_bytes(
        hashlib.sha256(whole).hexdigest().encode()
    )  # without the user's secret
    convert(source)
    assert len(conversions) == 6
    shutil.rmtree(tmp_path / "cache" / "meshes")
    path.parent.mkdir()
    path.symlink_to("/etc/passwd")
    assert convert(source).read_bytes() == whole
    assert not path.is_symlink()


def test_a_mesh_that_changes_while_it_is_read_is_refused(source, tmp_path):
    """Or the cache would have another mesh under the hash of the first."""
    source.copy(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"v 0 0 0\n"
    source.path.write_bytes(b"v 1 1 1\n")
    with pytest.raises(IdentboxError, match="expected the file that was read before"):
        source.copy(tmp_path / "copy")


def test_a_cache_that_cannot_be_written_is_done_without(source, conversions, monkeypatch, tmp_path):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_whole", full)
    path = convert(source)
    assert path.read_bytes() == b"a mesh of v 0 0 0\n"
    assert not path.is_relative_to(tmp_path / "cache")


def test_a_part_of_a_split_draws_its_own_blocks_alone(monkeypatch):
    process, block = presets.multimodal3dident(), latents.BLOCK_OF_SAMPLES
    whole = draw_latents(process, 3, "train", 3 * block + 5)
    blocks: list[int] = []
    draw = latents.seeding.generator
    monkeypatch.setattr(
        latents.seeding, "generator", lambda seed, *names: blocks.append(names[-2]) or draw(seed, *names)
    )
    part = draw_latents(process, 3, "train", 2 * block + 7, begin=2 * block - 3)
    assert {block for block in blocks if isinstance(block, int)} == {1, 2}
    for view, columns in part.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(column, whole[view][name][2 * block - 3 : 2 * block + 7])
    blocks.clear()
    draw_latents(process, 3, "train", 10**9 + 500, begin=10**9)
    assert len(set(blocks) - {"train"}) <= 2


def test_checkpoints_and_records_are_on_the_disk_before_they_have_their_names(tmp_path, monkeypatch):
    synced: list[str] = []
    monkeypatch.setattr(
        files, "sync", lambda path: synced.append(re.sub(r"^\.|\.\d+\.[0-9a-f]+\.part$", "", path.name))
    )
    model = torch.nn.Linear(1, 1)
    settings = training.TrainingSettings(steps=1, log_every=1)
    training.minimise(model, lambda step: model(torch.ones(1, 1)).square().sum(), settings, tmp_path)
    write_results(tmp_path / "results.json", {"a": 1})
    assert synced == ["checkpoint.pt", "results.json"]


def test_a_worker_writes_nothing_into_a_folder_that_is_anothers(tmp_path):
    """The claims that it looks at before each image gets its name, and the end of who reads its reports."""
    recipe, lease = tmp_path / "dataset.toml", tmp_path / "a.lease"
    recipe.write_text("seed = 0")
    lease.write_text('{"token": "mine"}')
    claims = [
        {"path": str(recipe), "sha256": hashlib.sha256(b"seed = 0").hexdigest()},
        {"path": str(lease), "token": "mine"},
    ]
    reading, writing = os.pipe()
    report = worker.Reports(writing)
    worker._expect_claims(claims, report)
    for path, other in ((lease, '{"token": "other"}'), (recipe, "seed = 1")):
        before = path.read_text()
        path.write_text(other)
        with pytest.raises(worker.LostClaim, match=path.name):
            worker._expect_claims(claims, report)
        path.unlink()
        with pytest.raises(worker.LostClaim, match=path.name):
            worker._expect_claims(claims, report)
        path.write_text(before)
    part = worker._whole(tmp_path / "0.png")
    part.__enter__().write_bytes(b"half")
    part.__exit__(worker.LostClaim)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.lease", "dataset.toml"]
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        worker._expect_claims(claims, report)
    os.close(writing)


@pytest.mark.parametrize(
    ("bound", "body", "ends"),
    [
        ("_bound_seconds(1)", "while True: pass", -signal.SIGXCPU),
        ("_bound_memory(50 << 20)", "bytearray(40 << 20); bytearray(1 << 30)", 1),
    ],
)
def test_a_worker_takes_no_more_than_it_may(bound, body, ends):
    """Or it would go on for ever, or take a gigabyte."""
    code = f"import worker\nworker.{bound}\n{body}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "render", capture_output=True, timeout=60)
    assert done.returncode == ends
    assert (b"MemoryError" in done.stderr) == (ends == 1)
