"""The commands of processes: process show, process list."""

from __future__ import annotations

import click


@click.group("process")
def process_group() -> None:
    """Generative processes: the ready-made ones, and your own."""


@process_group.command("show")
@click.argument("name")
@click.option("--dot", is_flag=True, help="Print the graph in Graphviz's language.")
def show_command(name: str, dot: bool) -> None:
    """Show a process, given by the NAME of a preset or a TOML file: graph, roles, distributions, assumptions."""
    from rich.console import Console

    from identbox.process import tables
    from identbox.reports import graphs

    shown = tables.load_process(name)
    if dot:
        click.echo(graphs.dot(shown))
    else:
        Console().print(graphs.terminal(shown))


@process_group.command("list")
def list_command() -> None:
    """List the ready-made processes."""
    from identbox.process import presets

    for name, make in presets.PROCESSES.items():
        click.echo(f"{name:<32} {make().description}")
