"""What MkDocs does not do by itself: examples in docstrings, options of commands, and links to files beside docs/."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath

import click
from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from identbox.commands.main import cli

NOT_IN_NAV = InclusionLevel.NOT_IN_NAV
OUTSIDE = re.compile(r"\]\(((?:\.\./)+)([^)#\s]+)")  # a link to a file of another folder
HELP = re.compile(r"```\nidentbox ([\w ]+) --help\n```")  # a block that asks for the options of a command
WIDTH = 100  # columns of the options of a command
LINKED = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")  # a link to a file


class Examples(Extension):
    """Puts the lines of an example (``>>>``) into a code block. Markdown takes them for quotations otherwise."""

    def on_object(self, *, obj: Object, **other: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = with_examples_fenced(obj.docstring.value)


def with_examples_fenced(text: str) -> str:
    """A docstring with a fence around each paragraph that begins with ``>>>``."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```pycon\n{p}\n```" if p.startswith(">>>") else p for p in paragraphs)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository that pages link to, as ``../notebooks/quickstart.ipynb``, to the site."""
    root = Path(config.config_file_path).parent
    docs = PurePosixPath(Path(config.docs_dir).relative_to(root))
    wanted = {
        name
        for page in files.documentation_pages()
        for name in (_target(docs / page.src_uri, link) for link in _links(page.content_string))
        if not name.startswith(f"{docs}/")
    }
    while wanted:
        name = wanted.pop()
        if files.get_file_from_path(name) is None and (root / name).is_file():
            path = str(root / name)
            files.append(File.generated(config, name, abs_src_path=path, inclusion=NOT_IN_NAV))
            if name.endswith(".md"):
                text = (root / name).read_text(encoding="utf-8")
                wanted |= {_target(PurePosixPath(name), link) for link in _links(text)}
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with the options of commands, and with links out of docs/ as they are on the site, its root."""
    depth = page.file.src_uri.count("/")
    if not Path(page.file.abs_src_path or "").is_relative_to(config.docs_dir):
        return markdown

    def moved(link: re.Match[str]) -> str:
        up = link[1].count("../")
        return f"]({'../' * (up - 1 if up > depth else up)}{link[2]}"

    shown = HELP.sub(lambda block: f"```text\n{help_of(block[1].split())}\n```", markdown)
    return OUTSIDE.sub(moved, shown)


def help_of(path: list[str]) -> str:
    """What ``identbox COMMAND --help`` prints."""
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group), f"expected a group of commands, got {command.name}"
        command = command.commands[name]
    context = click.Context(
        command, info_name=f"identbox {' '.join(path)}", terminal_width=WIDTH, max_content_width=WIDTH
    )
    return command.get_help(context)


def _links(text: str) -> list[str]:
    return LINKED.findall(text)


def _target(page: PurePosixPath, link: str) -> str:
    """The path in the repository that a link of a page leads to."""
    return normpath(str(page.parent / link))
