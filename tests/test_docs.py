"""The documentation: it builds without a warning, each public name and each command is in it, and its code runs."""

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import identbox as face
from conftest import ROOT
from identbox.commands.main import cli
from identbox.data.folder import image_name
from identbox.data.recipe import Recipe
from identbox.process.presets import multimodal3dident
from identbox.rendering.generation import prepare_folder

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PUBLIC = [name for name in face.__all__ if name != "__version__"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What a reader does at full size, and the tests at a small one: text of the page, and what replaces it.
SMALL = {
    "steps=1500": "steps=3",
    'out="run")': 'out="run", batch_size=32, probe_samples=40)',
    "causal=True), seed=0)": "causal=True), seed=0, mixing=Mixing(pool=100))",
    "specific=2), seed=0)": "specific=2), seed=0, mixing=Mixing(pool=100))",
    "sample(4096)": "sample(100)",
    "sample(2000,": "sample(200,",
    "verify(world, {": "verify(world, samples=100, encoders={",
}
NEEDED = "from identbox import Mixing"  # by the replacements


def blocks(path: Path) -> list[tuple[str, str]]:
    """The code blocks of a page: their language and their text."""
    return FENCED.findall(path.read_text())


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_has_an_example_and_stands_on_the_api_page(name):
    documented = inspect.getdoc(getattr(face, name)) or ""
    assert ">>> " in documented
    assert f"\n::: identbox.{name}\n" in (DOCS / "api.md").read_text()


def test_the_api_page_has_no_name_that_is_not_public():
    assert set(re.findall(r"::: identbox\.(\w+)", (DOCS / "api.md").read_text())) == set(PUBLIC)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_has_a_page_with_its_options_examples_and_python(words):
    asked = f"```\nidentbox {' '.join(words)} --help\n```\n"
    having = [page for page in PAGES if asked in page.read_text()]
    assert len(having) == 1
    after = having[0].read_text().split(asked)[1]
    assert "Examples\n" in after
    assert "In Python\n" in after
    assert f"]({having[0].name}" in (DOCS / "commands" / "index.md").read_text()


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_commands_on_pages_have_only_options_that_there_are(page):
    for line in re.findall(r"^(identbox \w.*)$", "\n".join(text for _, text in blocks(page)), re.MULTILINE):
        words = shlex.split(line.split("|")[0], comments=True)[1:]
        path = tuple(words[:1]) if tuple(words[:1]) in COMMANDS else tuple(words[:2])
        assert path in COMMANDS, line
        known = {"--help", *(option for one in COMMANDS[path].params for option in one.opts)}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_python_on_pages_imports_only_names_that_there_are(page):
    for language, text in blocks(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "identbox":
                exec(ast.unparse(node), {})


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text())
    assert [link for link in links if ":" not in link and not (ROOT / link).exists()] == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A dataset of small grey images with latents and sentences of the real process: nothing is rendered."""
    folder = tmp_path / "m3di"
    recipe = Recipe(
        process=multimodal3dident(),
        splits={"train": 120, "test": 80},
        shapes={"name": "none", "sha256": "0"},
        renderer={"blender": "none", "device": "cpu", "size": 8, "samples": 1},
    )
    prepare_folder(folder, recipe)
    levels = np.random.default_rng(0).integers(0, 256, size=(200, 8, 8, 3), dtype=np.uint8)
    for split, pixels in {"train": levels[:120], "test": levels[120:]}.items():
        (folder / split / "images").mkdir(exist_ok=True)
        for k, one in enumerate(pixels):
            Image.fromarray(one).save(folder / split / "images" / image_name(k, len(pixels)))
    return folder


def test_the_page_for_python_runs_from_top_to_bottom(tmp_path, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    page = (DOCS / "python.md").read_text()
    assert [text for text in SMALL if text not in page] == []
    names: dict = {}
    exec(NEEDED, names)
    for language, text in blocks(DOCS / "python.md"):
        if language == "python":
            for full, small in SMALL.items():
                text = text.replace(full, small)
            exec(compile(text, "docs/python.md", "exec"), names)
        elif language == "toml":
            Path("simulation.toml").write_text(text)
        elif not text.startswith("identbox render"):
            done = CliRunner().invoke(cli, shlex.split(text)[1:])
            assert done.exit_code in (0, 2, 3), done.output + str(done.exception)
    assert names["sample"].z["1"].keys() == {"content", "style", "specific_1"}
    assert names["z"]["content"].shape == (100, 5)
    assert names["verdict"].outcome == "not identified"  # after three steps
    assert "Content: not identified" in Path("page.html").read_text()
    assert names["one"]["image"].shape == (3, 8, 8)


def test_examples_in_docstrings_become_code_blocks():
    pytest.importorskip("mkdocs")
    spec = spec_from_file_location("hooks", DOCS / "hooks.py")
    hooks = module_from_spec(spec)
    spec.loader.exec_module(hooks)
    assert hooks.with_examples_fenced("Adds.\n\n>>> 1 + 1\n2") == "Adds.\n\n```pycon\n>>> 1 + 1\n2\n```"


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_the_network(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr
    html = {page: page.read_text() for page in (tmp_path / "site").rglob("*.html")}
    loaded = r"<(?:script|img|link)[^>]*(?:src|href)=\"?(?:https?:)?//"
    assert [str(page) for page, text in html.items() if re.search(loaded, text)] == []
    api = (tmp_path / "site" / "api" / "index.html").read_text()
    assert [name for name in PUBLIC if f'id="identbox.{name}"' not in api] == []
    for words in COMMANDS:
        usage = f"Usage: identbox {' '.join(words)} "
        assert any(usage in re.sub("<[^>]*>", "", text) for text in html.values()), usage
