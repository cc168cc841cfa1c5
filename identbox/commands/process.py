"""The commands of processes: process show, process list."""

from __future__ import annotations

import click


@click.group()
def process() -> None:
    """Generative processes: the ready-made ones, and your own."""


@process.command()
@click.argument("name")
@click.option("--dot", is_flag=True, help="Print the graph in Graphviz's language.")
def show(name: str, dot: bool) -> None:
    """Draw a process, by NAME or from a TOML FILE: graph, roles, distributions, assumptions."""
    from rich.console import Console

    from identbox.process import tables
    from identbox.reports import graphs

    found = tables.load(name)
    if dot:
        click.echo(graphs.dot(found))
    else:
        Console().print(graphs.terminal(found))


@process.command("list")
def list_processes() -> None:
    """List the ready-made processes."""
    from identbox.process import presets

    for name, make in presets.PRESETS.items():
        click.echo(f"{name:<32} {make().description}")
