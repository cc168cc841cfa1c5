"""Work on real Dask workers, some of which are killed, and on SLURM's commands as stand-ins that run it here."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from children import alive, starts, until
from cluster_faults import Dask, render_with_kills
from conftest import SMALL, identbox, identbox_process
from faults import differing, files
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.jobs import clusters, execution
from identbox.jobs.clusters import Cluster
from identbox.rendering import shards
from identbox.rendering.blender import Blender
from identbox.rendering.generation import Part

SWEEP = """
title = "Two runs"
report = "table"
seeds = [0, 1]

[config]
process = { content = 1, style = 1, specific = 1 }
mixing = { pool = 100, ratio = 0.1 }
encoder = { widths = [8] }
training = { steps = 20, batch = 32, log_every = 20 }
probes = { samples = 60, bootstrap = 5, interventions = false }
"""


@pytest.fixture
def dask(job, tmp_path: Path) -> Iterator[Dask]:
    """After ``job``, whose code the workers must find."""
    pytest.importorskip("distributed")
    cluster = Dask(tmp_path / "dask")
    yield cluster
    cluster.close()


def test_jobs_are_done_on_a_dask_cluster(dask: Dask, job: Callable, tmp_path: Path):
    workers = dask.start_workers(2)
    jobs = [job(f"job{k}", fail="error" if k == 3 else "no") for k in range(6)]
    told: list[str] = []
    with clusters.connect(Cluster(address=dask.address), tmp_path) as pool:
        assert pool.slots == 2
        assert pool.summary.startswith("2 workers, 2 side by side; dashboard: http")
        failed = execution.execute(
            jobs, workers=2, threads=3, executor=pool.executor, on_done=lambda name, reason: told.append(name)
        )
    assert failed == {"job3": "exit code 1, identbox: it cannot be done"}
    assert sorted(told) == [one.name for one in jobs]
    results = [json.loads((tmp_path / f"job{k}" / "result.json").read_text()) for k in (0, 1, 2, 4, 5)]
    assert {result["OMP_NUM_THREADS"] for result in results} == {"3"}
    assert all(worker.poll() is None for worker in workers)


def test_a_job_whose_worker_is_killed_is_done_again_by_another(dask: Dask, job: Callable, tmp_path: Path):
    (first,) = dask.start_workers(1)
    go = tmp_path / "go"
    begun = tmp_path / "one" / "starts"
    client = f"""
import sys; sys.path.insert(0, {str(tmp_path / "code")!r})
from pathlib import Path
from identbox.jobs import clusters, execution
folder = Path({str(tmp_path / "one")!r})
job = execution.Job(name="one", done=(folder / "result.json").exists, claim=lambda: folder.mkdir(exist_ok=True),
    command=("a_job", str(folder), {str(go)!r}, "no"), log=folder / "job.log")
with clusters.connect(clusters.Cluster(address={dask.address!r}), folder) as pool:
    print(execution.execute([job], workers=1, threads=1, executor=pool.executor))
"""
    process = subprocess.Popen([sys.executable, "-c", client], stdout=subprocess.PIPE, text=True)
    until(begun.exists)
    first.kill()
    first.wait()
    dask.worker()
    until(lambda: begun.read_text() == "2")
    go.touch()
    assert process.communicate(timeout=60)[0].strip() == "{}"
    assert starts(tmp_path, "one") == 2


def test_a_client_that_leaves_a_dead_scheduler_prints_no_traceback(dask: Dask, tmp_path: Path):
    dask.start_workers(1)
    client = f"""
import os, time
from pathlib import Path
from identbox.jobs import clusters
with clusters.connect(clusters.Cluster(address={dask.address!r}), Path()) as pool:
    print(pool.executor.submit(abs, -3).result())
    os.kill({dask.scheduler.pid}, 9)
    time.sleep(0.5)
"""
    done = subprocess.run([sys.executable, "-c", client], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("3\n", "", 0)


def test_a_scheduler_does_not_keep_a_note_of_each_task(
    dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from distributed import Client

    def notes(dask_scheduler: Any = None) -> int:
        spans = dask_scheduler.extensions["spans"].spans.values()
        return sum(len(span.metadata["collections"]) for span in spans if span.metadata)

    monkeypatch.setattr(clusters, "FORGET", 10)
    dask.start_workers(1)
    with (
        clusters.connect(Cluster(address=dask.address), tmp_path) as pool,
        Client(dask.address, set_as_default=False) as client,
    ):
        assert [pool.executor.submit(abs, -k).result() for k in range(9)] == list(range(9))
        assert client.run_on_scheduler(notes) == 9
        assert [pool.executor.submit(abs, -k).result() for k in range(90)] == list(range(90))
        until(lambda: client.run_on_scheduler(notes) <= 10)


def test_images_rendered_while_a_cluster_is_killed_are_those_of_an_undisturbed_run(
    small: Path, tmp_path: Path
):
    """One split of the dataset, whose images are the same without the others: each job starts Blender twice."""
    pytest.importorskip("distributed")
    out = tmp_path / "out"
    words = [*map(str, (*SMALL, "--val", 0, "--test", 0)), "--offline", "--workers", "1"]
    kills = ((0.3, "scheduler"),)  # the same command continues on another cluster
    (killed,) = render_with_kills(words, 14, out, tmp_path, shard=7, kills=kills, workers=1)
    assert killed.startswith("the scheduler at ")
    assert "the dataset is whole" in (tmp_path / "client.log").read_text()
    assert differing(files(small / "train"), files(out / "train")) == []
    assert identbox("check", out, "--placement", 0).returncode == 0


def test_what_is_asked_for_reaches_the_pieces_of_work(small: Path):
    recipe = Recipe.read(small)
    (piece, *_) = shards.shard_jobs(small, recipe, Part(), "published", Blender(), workers=3, offline=True)
    assert piece.command[-4:] == ("published", "", "3", "offline")


def test_a_cluster_that_is_not_there_is_named(dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (
        pytest.raises(
            IdentboxError, match="expected workers at tcp://.*, got none; type: dask worker tcp://"
        ),
        clusters.connect(Cluster(address=dask.address), tmp_path),
    ):
        pass
    dask.close()
    monkeypatch.setattr(clusters, "CONNECT", 2)
    begun = time.monotonic()
    done = identbox("render", "--n", 2, "--out", tmp_path / "out", "--cluster", dask.address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"identbox: --cluster: expected a Dask scheduler at {dask.address}, got ")
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cluster", "somewhere"], "--cluster: expected tcp://ADDRESS or slurm, got somewhere"),
        (["--jobs", "3"], "--jobs: expected --cluster beside it, got none"),
        (["--cluster", "slurm", "--cpus", "0"], "--cpus: expected at least 1, got 0"),
        (["--cluster", "slurm"], "--cluster slurm: expected the command sbatch, got a machine without it"),
        (["--cluster", "slurm", "--shard", "1/2"], "--shard: expected none beside --cluster"),
    ],
)
def test_wrong_options_of_a_cluster_get_one_line(options, message, tmp_path):
    done = identbox("render", "--n", 2, "--val", 0, "--test", 0, "--out", tmp_path / "out", *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


SBATCH = """#!{python}
import json, os, re, subprocess, sys
from pathlib import Path
state = Path({state!r})
arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
script = Path(arguments[0]).read_text() if arguments else sys.stdin.read()
options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.M))
number = len(list(state.glob("*.sh"))) + 1
(state / f"{{number}}.sh").write_text(script)
job = subprocess.Popen(["bash", str(state / f"{{number}}.sh")], start_new_session=True,
    env={{**os.environ, "SLURM_JOB_ID": str(number)}},
    stdout=(state / f"{{number}}.out").open("w"), stderr=subprocess.STDOUT)
(state / f"{{number}}.json").write_text(json.dumps([job.pid]))
print(f"Submitted batch job {{number}}")
"""
SQUEUE = """#!{python}
import json, os, sys
from pathlib import Path
for number in sys.argv[-1].split(","):
    for pid in json.loads(Path({state!r}, f"{{number}}.json").read_text()):
        try:
            state = Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            state = "Z"
        if state != "Z":
            print(number, "R")
"""
SCANCEL = """#!{python}
import json, os, signal, sys
from pathlib import Path
for number in sys.argv[1:]:
    for pid in json.loads(Path({state!r}, f"{{number}}.json").read_text()):
        try:
            os.killpg(pid, signal.SIGTERM)
        except OSError:
            pass
Path({state!r}, "cancelled").write_text(" ".join(sys.argv[1:]))
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SLURM's commands as stand-ins that start, report and end the same scripts here; the folder of their state."""
    state, commands = tmp_path / "slurm", tmp_path / "bin"
    state.mkdir()
    commands.mkdir()
    for name, code in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)):
        path = commands / name
        path.write_text(code.format(python=sys.executable, state=str(state)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    yield state
    for path in state.glob("*.json"):
        for pid in json.loads(path.read_text()):
            if alive(pid):
                os.killpg(pid, signal.SIGKILL)


def test_a_sweep_is_done_by_slurm_jobs_that_ask_for_what_was_said(slurm: Path, tmp_path: Path):
    pytest.importorskip("parsl")
    (tmp_path / "two.toml").write_text(SWEEP)
    asked = ("--jobs", 2, "--cpus", 3, "--gpus", 1, "--queue", "short", "--walltime", "01:30:00")
    done = identbox_process(
        "sweep", tmp_path / "two.toml", "--out", tmp_path / "out", "--cluster", "slurm", *asked
    )
    assert done.returncode == 0, done.stderr
    assert "up to 2 SLURM jobs of 3 cores" in done.stdout
    assert len(list((tmp_path / "out").glob("runs/*/results.json"))) == 2
    scripts = [path.read_text() for path in slurm.glob("*.sh")]
    assert len(scripts) == 2
    for script in scripts:
        lines = script.splitlines()
        assert lines[0] == "#!/bin/bash"
        for line in (
            "#SBATCH --nodes=1",
            "#SBATCH --time=90",  # minutes
            "#SBATCH --partition=short",
            "#SBATCH --gpus-per-node=1",
            "#SBATCH --cpus-per-task=3",
        ):
            assert line in lines
        assert "#SBATCH --exclusive" not in lines
        assert f'export PATH="{Path(sys.executable).parent}:$PATH"' in lines
    assert (slurm / "cancelled").exists()  # the jobs end with the command
