"""A process drawn: in the terminal, and as Graphviz."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from identbox.identifiability.assumptions import assumptions
from identbox.process.model import ROLES, Process, Variable
from identbox.reports.svg import WIDTH, element, picture, shortened, spot, text
from identbox.tables import Table, judged_cell
from identbox.texts import visible

ROLE_STYLES = {"content": "bold cyan", "style": "italic magenta", "specific": "dim"}
ROLE_COLORS = {"content": "#8ecae6", "style": "#f4b6d2", "specific": "#e6e6e6"}


def terminal(process: Process) -> RenderableType:
    """The graph (effects indented under their causes), roles, distributions, views, and the assumptions."""
    graph = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("variable", "role", "distribution", *process.views):
        graph.add_column(Text(visible(heading)), overflow="fold")
    roots = [variable for variable in process.variables if not variable.effects]
    drawn: set[str] = set()
    for root in roots:
        _branch(process, root, "", "", graph, drawn)
    rows = [(entry.name, judged_cell(entry.verdict), entry.evidence) for entry in assumptions(process)]
    judged = Table("", ("Theorem 2 assumes", "verdict", "because"), rows)
    title = Text.assemble(
        (visible(process.name), "bold"), f"  {visible(process.description)}" if process.description else ""
    )
    key = Text("= seen as it is   ~ seen perturbed   └ caused by the variable above it", "dim")
    return Group(title, graph, key, Text(), judged)


def _branch(
    process: Process, variable: Variable, stem: str, effect: str, graph: RichTable, drawn: set[str]
) -> None:
    label = Text.assemble((f"{stem}{'└ ' if effect else ''}", "dim"), variable.name)
    if effect:
        label.append(f"  by {effect}", "dim")
    if variable.name in drawn:
        graph.add_row(label, Text("as above", "dim"), *[""] * (1 + len(process.views)))
        return
    drawn.add(variable.name)
    seen = [_seen(process, variable, view) for view in process.views]
    graph.add_row(
        label,
        Text(variable.role, ROLE_STYLES[variable.role]),
        Text(visible(str(variable.distribution))),
        *seen,
    )
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
    return f'"{visible(escaped)}"'


NODE = 170.0  # the width of a variable


def graph(process: Process) -> Markup:
    """Variables on the left, by role, with arcs for causes; views on the right, perturbed edges dashed."""
    variables = sorted(process.variables, key=lambda v: ROLES.index(v.role))
    left = 34.0 if any(v.effects for v in variables) else 2.0
    middle, nodes, y = {}, [], 2.0
    for variable in variables:
        middle[variable.name] = y + _height(variable) / 2
        nodes.append(_node(variable, left, y))
        y += _height(variable) + 10
    height = max(y - 8, 48.0 * len(process.views))
    edges = [edge for v in variables for edge in _causes(v, middle, left)]
    for place, view in enumerate(process.views):
        y = height * (place + 0.5) / len(process.views)
        for variable in process.seen_by(view):
            perturbed = variable.change is not None and process.perturbs(view)
            edges += _edge(variable.role, left + NODE, middle[variable.name], WIDTH - 62, y, perturbed)
        nodes.append(element("rect", x=WIDTH - 62, y=y - 20, width=60.0, height=40.0, rx=3.0, class_="view"))
        nodes.append(text(WIDTH - 32, y - 4, "view", "small muted", "middle"))
        nodes.append(text(WIDTH - 32, y + 11, shortened(view, 9), "", "middle"))
    return picture(f"Process {process.name}", described(process), height + 2, *edges, *nodes)


def _edge(role: str, x: float, y: float, to_x: float, to_y: float, perturbed: bool) -> list[Markup]:
    bend = (x + to_x) / 2
    path = f"M{spot(x, y)}C{spot(bend, y)} {spot(bend, to_y)} {spot(to_x, to_y)}"
    parts = [element("path", d=path, class_=f"edge {role}{' changed' * perturbed}")]
    if perturbed:
        # The point of the curve at 0.3 of its parameter: near the variable, where curves lie apart.
        x, y = x + 0.342 * (to_x - x), y + 0.216 * (to_y - y)
        parts += [
            element("circle", cx=x, cy=y, r=7.0, class_="noise"),
            text(x, y + 3.5, "ε", "small", "middle"),
        ]
    return parts


def _causes(variable: Variable, middle: Mapping[str, float], x: float) -> list[Markup]:
    parts, y = [], middle[variable.name]
    for parent in variable.effects:
        path = f"M{spot(x, middle[parent])}C{spot(4.0, middle[parent])} {spot(4.0, y)} {spot(x - 6, y)}"
        parts += [
            element("path", d=path, class_="cause"),
            element("path", d=f"M{spot(x, y)}l-8 -4v8z", class_="head"),
        ]
    return parts


def _height(variable: Variable) -> float:
    return 40.0 if variable.change is None else 54.0


def _node(variable: Variable, x: float, y: float) -> Markup:
    tall, role = _height(variable), variable.role
    lines = [text(x + 12, y + 16, shortened(variable.name, 23), f"name {role}")]
    lines.append(text(x + 12, y + 32, shortened(_kind(variable), 30), "small muted"))
    if variable.change is not None:
        lines.append(text(x + 12, y + 46, shortened(_changes(variable), 30), "small muted"))
    rx = tall / 2 if role == "specific" else 3.0
    return element(
        "g",
        element("title", f"{variable.name}: {role}, {_kind(variable)}"),
        element("rect", x=x, y=y, width=NODE, height=tall, rx=min(rx, 12.0), class_=f"node {role}"),
        *lines,
    )


def _kind(variable: Variable) -> str:
    distribution = variable.distribution
    correlated = getattr(distribution, "covariance", "identity") != "identity"
    dims = f"{distribution.dim} × " if distribution.dim > 1 else ""
    return f"{dims}{'normal, correlated' if correlated else distribution}"


def _changes(variable: Variable) -> str:
    change = variable.change
    assert change is not None
    if change.how == "mechanism":
        return "ε: by the view's mechanism"
    p = change.probability if isinstance(change.probability, tuple) else (change.probability,)
    share = f"{min(p):g}" if min(p) == max(p) else f"{min(p):g} to {max(p):g}"
    return f"ε: {'noise' if change.how == 'noise' else 'drawn anew'}, p = {share}"


def described(process: Process) -> str:
    """A process in words: variables, causes, and what each view sees."""
    parts = [
        f"{v.name} is {v.role}{f' to view {v.view}' if v.view else ''}, {_kind(v)}" for v in process.variables
    ]
    for v in process.variables:
        parts += [f"{parent} causes {v.name} ({effect.kind})" for parent, effect in v.effects.items()]
    for view in process.views:
        changed = {v.name for v in process.variables if v.change and process.perturbs(view)}
        seen = [f"{v.name}{' perturbed' * (v.name in changed)}" for v in process.seen_by(view)]
        parts.append(f"view {view} sees {', '.join(seen)}")
    return visible("; ".join(parts))
