"""A process drawn: in the terminal, and as Graphviz."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from identbox.identifiability import assumptions
from identbox.process import Process, Variable

ROLE_STYLES = {"content": "bold cyan", "style": "italic magenta", "specific": "dim"}
ROLE_COLORS = {"content": "#8ecae6", "style": "#f4b6d2", "specific": "#e6e6e6"}
VERDICT_STYLES = {"holds": "green", "violated": "red", "unknown": "yellow"}


def terminal(process: Process) -> RenderableType:
    """The graph (effects indented under their causes), roles, distributions, views, and the assumptions."""
    graph = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("variable", "role", "distribution", *process.views):
        graph.add_column(heading, overflow="fold")
    roots = [variable for variable in process.variables if not variable.effects]
    drawn: set[str] = set()
    for root in roots:
        _branch(process, root, "", "", graph, drawn)
    judged = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Theorem 2 assumes", "verdict", "because"):
        judged.add_column(heading)
    for entry in assumptions(process):
        judged.add_row(entry.name, Text(entry.verdict, VERDICT_STYLES[entry.verdict]), entry.evidence)
    title = Text.assemble((process.name, "bold"), f"  {process.description}" if process.description else "")
    key = Text("= seen as it is   ~ seen perturbed   └ caused by the variable above it", "dim")
    return Group(title, graph, key, Text(), judged)


def _branch(
    process: Process, variable: Variable, stem: str, effect: str, graph: Table, drawn: set[str]
) -> None:
    label = Text.assemble((f"{stem}{'└ ' if effect else ''}", "dim"), variable.name)
    if effect:
        label.append(f"  by {effect}", "dim")
    if variable.name in drawn:
        graph.add_row(label, Text("as above", "dim"), *[""] * (1 + len(process.views)))
        return
    drawn.add(variable.name)
    seen = [_seen(process, variable, view) for view in process.views]
    graph.add_row(label, Text(variable.role, ROLE_STYLES[variable.role]), str(variable.distribution), *seen)
    for child in process.variables:
        if variable.name in child.effects:
            kind = child.effects[variable.name].kind
            _branch(process, child, stem + ("  " if effect else ""), kind, graph, drawn)


def _seen(process: Process, variable: Variable, view: str) -> str:
    if variable.view not in (None, view):
        return ""
    if variable.change is not None and process.perturbs(view):
        return f"~ {variable.change}"
    return "="


def dot(process: Process) -> str:
    """The graph in Graphviz's language: variables, effects, and the views that see them."""
    lines = [
        f"digraph {_quoted(process.name)} {{",
        '  rankdir=TB; node [style=filled, fontname="Helvetica"];',
    ]
    for variable in process.variables:
        label = f"{variable.name}\n{variable.distribution}"
        lines.append(
            f"  {_quoted(variable.name)} [label={_quoted(label)}, fillcolor={_quoted(ROLE_COLORS[variable.role])}];"
        )
    for view in process.views:
        lines.append(f"  {_quoted('view ' + view)} [label={_quoted(view)}, shape=box, fillcolor=white];")
    for variable in process.variables:
        for parent, effect in variable.effects.items():
            lines.append(f"  {_quoted(parent)} -> {_quoted(variable.name)} [label={_quoted(effect.kind)}];")
        for view in process.views:
            if variable.view in (None, view):
                perturbed = variable.change is not None and process.perturbs(view)
                style = "style=dashed, " if perturbed else ""
                lines.append(f"  {_quoted(variable.name)} -> {_quoted('view ' + view)} [{style}color=gray];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
