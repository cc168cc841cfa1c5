import os
import re
import subprocess
import sys

import click
import pytest

from conftest import ROOT, identbox, identbox_process
from identbox.commands.main import cli
from identbox.process import presets, tables


def commands(group=cli, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_help_imports_neither_torch_nor_blender_nor_numpy():
    script = "import sys\nfrom identbox.commands import main\ntry: main.main()\nfinally: print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True
    )
    assert "render" in done.stdout
    assert not {"'torch'", "'bpy'", "'numpy'"} & set(re.findall(r"'\w+'", done.stdout))


def test_importing_identbox_loads_neither_torch_nor_numpy():
    script = "import sys, identbox; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "scipy", "click"} & set(done.stdout.split())


INTERRUPTED = """
import signal, sys, time
from identbox.commands import main

def body(standalone_mode):
    try:
        import slow
        time.sleep(30)
    except KeyboardInterrupt:
        print(sys.modules["slow"].whole)
        raise

main.cli = body
main.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_an_import_stops_the_command_after_the_import(name, tmp_path):
    (tmp_path / "slow.py").write_text(
        f"import os, signal, time\nos.kill(os.getpid(), signal.{name})\ntime.sleep(0.2)\nwhole = True\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=25,  # less than the command would take
    )
    assert done.stdout == "True\n"
    assert done.returncode == 130
    assert done.stderr == "identbox: stopped; the same command continues where it stopped\n"


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_command_has_help_and_is_in_the_readme(path):
    command = dict(commands())[path]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert f"identbox {' '.join(path)}" in (ROOT / "README.md").read_text()
    assert identbox(*path, "--help").returncode == 0


def test_the_readme_names_no_option_that_does_not_exist():
    known = {name for _, command in commands() for option in command.params for name in option.opts}
    for line in re.findall(r"^identbox .*$", (ROOT / "README.md").read_text(), re.MULTILINE):
        used = set(re.findall(r"(?<= )--[a-z-]+", line))
        assert used <= known, line


@pytest.mark.parametrize("name", list(presets.PROCESSES))
def test_process_show(name):
    done = identbox("process", "show", name)
    assert done.returncode == 0
    for variable in tables.load_process(name).variables:
        assert variable.name in done.stdout
    assert "Theorem 2 assumes" in done.stdout
    assert name in identbox("process", "list").stdout


def test_process_show_dot_is_graphviz():
    done = identbox("process", "show", "multimodal3dident", "--dot")
    assert done.stdout.startswith('digraph "multimodal3dident" {')
    assert '"object_xpos" -> "object_color" [label="interval"];' in done.stdout
    assert '"object_color" -> "view text" [style=dashed, color=gray];' in done.stdout
    assert done.stdout.count("{") == done.stdout.count("}") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("process", "show", "nobody"), "process: expected one of multimodal3dident"),
        (("process", "show", "none.toml"), "none.toml: expected a TOML file, got No such file or directory"),
        (("check", "nowhere"), "nowhere: expected a dataset with train, val or test, got none of them"),
        (("chekc",), "No such command 'chekc'"),
        (("doctor", "--blender", "/none"), "got what is marked FAULT"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_1(arguments, message):
    done = identbox(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_mistake_gets_one_line_from_a_process_too():
    done = identbox_process("process", "show", "nobody")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (1, 1, "")


def test_doctor():
    done = identbox("doctor")
    assert done.returncode == 0, done.stdout
    for what in ("Python", "Blender", "torch", "disk", "cores"):
        assert what in done.stdout
    fault = identbox("doctor", "--blender", sys.executable)
    assert fault.returncode == 1
    assert re.search("FAULT +Blender", fault.stdout)


def test_version():
    assert re.fullmatch(r"identbox, version \d+\.\d+\.\d+\n", identbox_process("--version").stdout)
