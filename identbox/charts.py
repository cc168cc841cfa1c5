"""Figures of an HTML page as inline SVG, and the escaping that all of the page goes through.

A figure is drawn for 340 units of width, which is a phone's, so that its text is read there at its own size. Colours
are classes and variables of the page's style sheet, which has a light and a dark set; wherever a colour says something,
a shape or a word says it too. Every figure has a title and is described in words. Equal input gives equal text.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from identbox.elbow import Elbow
from identbox.experiments import Learner, seen, target_of
from identbox.predictors import r2
from identbox.process import ROLES, Process, Role, Variable
from identbox.verification import Condition

WIDTH = 340.0  # of a figure, in its own units
NODE = 170.0  # the width of a variable
FIT, SHOWN = 2048, 400  # samples of a picture: to fit the predictor on, and to draw
EMPTY = frozenset({"meta", "circle", "line", "path", "rect"})  # elements without an end
WRONG = {"satisfied": "good", "violated": "bad", "open": "open"}  # classes of the style sheet

STYLE = """
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr));gap:1.75rem 2.5rem;
margin:1rem 0}
.figures.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,9.25rem),1fr));gap:1.25rem 1.5rem}
.small figure{display:flex;flex-direction:column;justify-content:space-between}
figcaption b{display:block;font-weight:400;color:var(--muted)}
figure{margin:0;min-width:0}figcaption{margin-bottom:.5rem}
svg{display:block;width:100%;height:auto;font-size:12px}
svg text{fill:var(--fg)}svg .small{font-size:11px}svg text.muted{fill:var(--muted)}
.content{--role:var(--content)}.style{--role:var(--style)}.specific{--role:var(--specific)}
.name{font-size:13px}.name.content{font-weight:700}.name.style{font-style:italic}
.node{fill:var(--bg);stroke:var(--role);stroke-width:1.5}.node.content{stroke-width:2.5}
.node.style{stroke-dasharray:5 3}
.view{fill:var(--soft);stroke:var(--muted)}
.edge{fill:none;stroke:var(--role);opacity:.65}.changed{stroke-dasharray:5 3}
.noise{fill:var(--bg);stroke:var(--style)}
.cause{fill:none;stroke:var(--fg);stroke-width:1.5}.head{fill:var(--fg)}
.rule{stroke:var(--line)}.axis{stroke:var(--muted)}.margin{stroke:var(--fg);stroke-dasharray:3 3}
.wrong{fill:var(--bad);opacity:.09}.span{fill:var(--content);opacity:.15}
.bar{stroke:var(--state,var(--fg));stroke-width:1.5}
.dot{fill:var(--state)}.ring{fill:var(--bg);stroke:var(--state);stroke-width:2}
.cross{fill:none;stroke:var(--state);stroke-width:2.2}
.gap{stroke:var(--content);stroke-width:1.5;opacity:.6}
.oracle{fill:var(--bg);stroke:var(--fg);stroke-width:1.5}.run{fill:var(--content)}
.faint{fill:none;stroke:var(--content);opacity:.4}.mean{fill:none;stroke:var(--content);stroke-width:2}
.frame{fill:none;stroke:var(--line)}.diagonal{stroke:var(--muted);stroke-dasharray:3 3}
.dots{fill:none;stroke:var(--role);stroke-width:3;stroke-linecap:round;opacity:.55}
"""


class Html(str):
    """Markup, which is put in as it is; any other text is escaped."""


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. Attributes: ``class_`` for class, ``_`` for -, None and False are left out, True stands alone.

    >>> tag("p", "a < b", tag("b", 1), class_="note", hidden=False)
    '<p class="note">a &lt; b<b>1</b></p>'
    """
    parts = [name]
    for key, value in attributes.items():
        label = key.removesuffix("_").replace("_", "-")
        if value is True:
            parts.append(label)
        elif value is not None and value is not False:
            parts.append(f'{label}="{html.escape(plain(value))}"')
    start = f"<{' '.join(parts)}>"
    if name in EMPTY and not children:
        return Html(start if name == "meta" else start[:-1] + "/>")
    return Html(start + join(children) + f"</{name}>")


def join(children: Iterable[object]) -> Html:
    """Children one after the other, None left out, text escaped."""
    return Html(
        "".join(c if isinstance(c, Html) else html.escape(plain(c)) for c in children if c is not None)
    )


def plain(value: object) -> str:
    """A value of an attribute, coordinates without needless digits."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def number(x: float, digits: int = 3, *, sign: bool = False) -> str:
    """A number as it is printed: fixed digits, a true minus, never a negative zero.

    >>> number(-0.0001), number(-0.25, 2), number(0.5, 1, sign=True), number(float("inf"))
    ('0.000', '−0.25', '+0.5', '∞')
    """
    if not math.isfinite(x):
        return "–" if math.isnan(x) else "∞" if x > 0 else "−∞"
    text = f"{x:+.{digits}f}" if sign else f"{x:.{digits}f}"
    return (text if float(text) else text.lstrip("+-")).replace("-", "−")


def picture(title: str, words: str, height: float, *parts: object, width: float = WIDTH) -> Html:
    """A figure: what it is, and what it shows in words."""
    return tag(
        "svg",
        tag("title", title),
        *parts,
        role="img",
        aria_label=f"{title}: {words}",
        viewBox=f"0 0 {plain(width)} {plain(height)}",
        style=f"max-width:{1.2 * width:.0f}px",
    )


def text(x: float, y: float, content: object, class_: str = "", anchor: str | None = None) -> Html:
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def shortened(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


@dataclass(frozen=True)
class Axis:
    """Numbers from ``low`` to ``high`` along ``start`` to ``end`` of a figure."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> Axis:
        """Room for the values that are finite, and a little more."""
        found = [v for v in values if math.isfinite(v)]
        low, high = min(found), max(found)
        room = 0.06 * (high - low) or 0.5
        return cls(low - room, high + room, start, end)

    def at(self, x: float | int) -> float:
        return self.start + (min(max(x, self.low), self.high) - self.low) / (self.high - self.low) * (
            self.end - self.start
        )

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round numbers within, at most so many, with their text."""
        span = self.high - self.low
        power = math.floor(math.log10(span)) - 1
        for step in (m * 10.0**p for p in range(power, power + 3) for m in (1, 2, 5)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first < most:
                break
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(i * step, number(i * step, digits)) for i in range(first, last + 1)]


def graph(process: Process) -> Html:
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
        nodes.append(tag("rect", x=WIDTH - 62, y=y - 20, width=60.0, height=40.0, rx=3.0, class_="view"))
        nodes.append(text(WIDTH - 32, y - 4, "view", "small muted", "middle"))
        nodes.append(text(WIDTH - 32, y + 11, shortened(view, 9), "", "middle"))
    return picture(f"Process {process.name}", described(process), height + 2, *edges, *nodes)


def _edge(role: str, x: float, y: float, to_x: float, to_y: float, perturbed: bool) -> list[Html]:
    bend = (x + to_x) / 2
    path = f"M{_spot(x, y)}C{_spot(bend, y)} {_spot(bend, to_y)} {_spot(to_x, to_y)}"
    parts = [tag("path", d=path, class_=f"edge {role}{' changed' * perturbed}")]
    if perturbed:
        # The point of the curve at 0.3 of its parameter: near the variable, where curves lie apart.
        x, y = x + 0.342 * (to_x - x), y + 0.216 * (to_y - y)
        parts += [tag("circle", cx=x, cy=y, r=7.0, class_="noise"), text(x, y + 3.5, "ε", "small", "middle")]
    return parts


def _causes(variable: Variable, middle: Mapping[str, float], x: float) -> list[Html]:
    parts, y = [], middle[variable.name]
    for parent in variable.effects:
        path = f"M{_spot(x, middle[parent])}C{_spot(4.0, middle[parent])} {_spot(4.0, y)} {_spot(x - 6, y)}"
        parts += [
            tag("path", d=path, class_="cause"),
            tag("path", d=f"M{_spot(x, y)}l-8 -4v8z", class_="head"),
        ]
    return parts


def _spot(x: float, y: float) -> str:
    return f"{plain(x)} {plain(y)}"


def _height(variable: Variable) -> float:
    return 40.0 if variable.change is None else 54.0


def _node(variable: Variable, x: float, y: float) -> Html:
    tall, role = _height(variable), variable.role
    lines = [text(x + 12, y + 16, shortened(variable.name, 23), f"name {role}")]
    lines.append(text(x + 12, y + 32, shortened(_kind(variable), 30), "small muted"))
    if variable.change is not None:
        lines.append(text(x + 12, y + 46, shortened(_changes(variable), 30), "small muted"))
    rx = tall / 2 if role == "specific" else 3.0
    return tag(
        "g",
        tag("title", f"{variable.name}: {role}, {_kind(variable)}"),
        tag("rect", x=x, y=y, width=NODE, height=tall, rx=min(rx, 12.0), class_=f"node {role}"),
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
    return "; ".join(parts)


def whiskers(title: str, conditions: Sequence[Condition], values: Iterable[float]) -> Html:
    """A dot with its interval for each condition of one kind, against their margin.

    ``values`` must find room on the axis, so that several figures can share it, but for what lies far from where
    scores do: an interval that goes on has an arrow. Satisfied: a full dot; open: a ring; violated: a cross.
    """
    bound, at_least = conditions[0].bound, conditions[0].kind == "content"
    start, end, high = 112.0, 288.0, 17.0
    near = [min(max(v, -0.3), 1.1) for v in values]  # not a number stays what it is
    axis = Axis.around([*near, bound, 1.0 if at_least else 0.0], start, end)
    parts: list[Html] = []
    y = 18.0
    previous: object = ()
    for condition in conditions:
        if condition.intervention != previous:
            previous = condition.intervention
            when = f"{previous} permuted" if previous else "as it is"
            parts.append(text(0.0, y + 16, shortened(when, 34), "small muted"))
            parts.append(line(0.0, y + 21, WIDTH, y + 21, "rule"))
            y += 24
        parts.append(_whisker(condition, axis, y + high / 2))
        y += high
    edge = axis.at(bound)
    wrong = (start, edge) if at_least else (edge, end)
    back = [
        tag("rect", x=wrong[0], y=20.0, width=wrong[1] - wrong[0], height=y - 18, class_="wrong"),
        line(edge, 16.0, edge, y + 2, "margin"),
        text(edge, 11.0, f"{'at least' if at_least else 'at most'} {bound:g}", "small", _anchor(edge, 150.0, 250.0)),
    ]  # fmt: skip
    counts = {state: sum(c.state == state for c in conditions) for state in WRONG}
    least = min(conditions, key=lambda c: (c.low - bound) if at_least else (bound - c.high))
    words = (
        f"{', '.join(f'{n} {state}' for state, n in counts.items() if n)} of {len(conditions)}; "
        f"closest to or farthest beyond the margin is {least}"
    )
    return picture(title, words, y + 22, *back, *parts, *_bottom(axis, y + 2))


def _anchor(x: float, low: float, high: float) -> str:
    return "start" if x < low else "end" if x > high else "middle"


def _whisker(condition: Condition, axis: Axis, y: float) -> Html:
    name = text(8.0, y + 4, shortened(condition.target, 17))
    told = text(WIDTH, y + 4, number(condition.value), "", "end")
    parts: list[object] = [tag("title", f"{condition}: {condition.state}"), name, told]
    if all(map(math.isfinite, (condition.low, condition.value, condition.high))):
        x = axis.at(condition.value)
        parts.append(line(axis.at(condition.low), y, axis.at(condition.high), y, "bar"))
        if condition.low < axis.low:
            parts.append(tag("path", d=f"M{_spot(axis.start + 5, y - 4)}l-5 4l5 4", class_="cross"))
        if condition.high > axis.high:
            parts.append(tag("path", d=f"M{_spot(axis.end - 5, y - 4)}l5 4l-5 4", class_="cross"))
        if condition.state == "violated":
            parts.append(tag("path", d=f"M{plain(x - 4)} {plain(y - 4)}l8 8m0 -8l-8 8", class_="cross"))
        else:
            parts.append(
                tag("circle", cx=x, cy=y, r=3.5, class_="ring" if condition.state == "open" else "dot")
            )
    return tag("g", *parts, class_=WRONG[condition.state])


def _bottom(axis: Axis, y: float) -> list[Html]:
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for value, label in axis.ticks():
        x = axis.at(value)
        parts += [line(x, y, x, y + 4, "axis"), text(x, y + 16, label, "small muted", "middle")]
    return parts


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A run beside the oracle, each with a standard error, in nats."""

    label: str
    oracle: tuple[float, float]
    run: tuple[float, float]


def gaps(title: str, pairs: Sequence[Pair], *, zero: bool) -> Html:
    """A line from the oracle (a diamond) to the run (a dot) for each seed; bars are standard errors."""
    ends = [value + sign * error for p in pairs for value, error in (p.oracle, p.run) for sign in (-1, 1)]
    axis = Axis.around([*ends, 0.0] if zero or not any(map(math.isfinite, ends)) else ends, 64.0, 284.0)
    parts: list[Html] = []
    y = 10.0
    if zero:
        parts.append(line(axis.at(0.0), 2.0, axis.at(0.0), 14 + 24.0 * len(pairs), "margin"))
    for pair in pairs:
        (best, spare), (value, error), y = pair.oracle, pair.run, y + 24
        parts.append(text(0.0, y - 8, pair.label))
        finite = math.isfinite(value)
        parts.append(text(WIDTH, y - 8, number(value - best, sign=True) if finite else "∞", "", "end"))
        if math.isfinite(best):
            x = axis.at(best)
            parts.append(line(axis.at(best - spare), y - 12, axis.at(best + spare), y - 12, "bar"))
            if finite:
                parts.append(line(x, y - 12, axis.at(value), y - 12, "gap"))
            parts.append(tag("path", d=f"M{plain(x)} {plain(y - 17)}l5 5l-5 5l-5 -5z", class_="oracle"))
        if finite:
            parts.append(line(axis.at(value - error), y - 12, axis.at(value + error), y - 12, "bar"))
            parts.append(tag("circle", cx=axis.at(value), cy=y - 12, r=4.0, class_="run"))
    words = "; ".join(
        f"{p.label}: run {number(p.run[0])} ± {number(p.run[1])} nats, oracle {number(p.oracle[0])}"
        for p in pairs
    )
    return picture(title, words, y + 24, *parts, *_bottom(axis, y + 4))


def losses(found: Mapping[tuple[int, int], float], estimate: Elbow) -> Html:
    """Validation losses by (seed, encoding size): a thin line for each seed, the mean, and the elbow."""
    sizes, seeds = sorted({size for _, size in found}), sorted({seed for seed, _ in found})
    mean = {size: fmean(found[seed, size] for seed in seeds) for size in sizes}
    x_axis = Axis(sizes[0] - 0.3, sizes[-1] + 0.3, 44.0, WIDTH - 4)
    y_axis = Axis.around(found.values(), 190.0, 22.0)
    parts: list[Html] = []
    for value, label in y_axis.ticks():
        y = y_axis.at(value)
        parts += [line(44.0, y, WIDTH - 4, y, "rule"), text(38.0, y + 4, label, "small muted", "end")]
    if estimate.size is not None:
        low, high = estimate.low or estimate.size, estimate.high or estimate.size
        x, left = x_axis.at(estimate.size), x_axis.at(low - 0.12)
        right = x_axis.at(high + 0.12)
        parts.append(tag("rect", x=left, y=18.0, width=right - left, height=172.0, class_="span"))
        parts.append(line(x, 18.0, x, 190.0, "margin"))
        parts.append(text(x, 11.0, f"estimate: {estimate.size}", "small", _anchor(x, 90.0, 290.0)))
    for seed in seeds if len(seeds) > 1 else []:
        parts.append(_curve([(x_axis.at(s), y_axis.at(found[seed, s])) for s in sizes], "faint"))
    points = [(x_axis.at(size), y_axis.at(mean[size])) for size in sizes]
    parts.append(_curve(points, "mean"))
    parts += [tag("circle", cx=x, cy=y, r=3.5, class_="run") for x, y in points]
    parts += [text(x_axis.at(s), 206.0, s, "small muted", "middle") for s in sizes]
    parts.append(line(44.0, 190.0, WIDTH - 4, 190.0, "axis"))
    parts.append(text((44 + WIDTH) / 2, 223.0, "dimensions of the encoding", "small muted", "middle"))
    words = f"{', '.join(f'{number(mean[s])} nats at {s}' for s in sizes)}; {estimate}"
    return picture("Mean validation loss over encoding sizes", words, 228.0, *parts)


def _curve(points: Sequence[tuple[float, float]], class_: str) -> Html:
    d = "M" + "L".join(_spot(x, y) for x, y in points)
    return tag("path", d=d, class_=class_)


def scatter(component: Component, words: str) -> Html:
    """A value (across) against its prediction (upwards), on equal axes, with the diagonal of a perfect one."""
    side, truth, told = 150.0, component.truth, component.told
    ends = [float(f(values)) for values in (truth, told) for f in (np.min, np.max)]
    across = Axis.around(ends, 4.0, side - 4)
    upwards = Axis(across.low, across.high, side - 4, 4.0)
    points = [(across.at(float(x)), upwards.at(float(y))) for x, y in zip(truth, told, strict=True)]
    # A dot is a line of no length with round ends: a tenth of the text that circles take.
    return picture(
        component.name,
        words,
        side,
        tag("rect", x=0.5, y=0.5, width=side - 1, height=side - 1, class_="frame"),
        line(4.0, side - 4, side - 4, 4.0, "diagonal"),
        tag("path", d="".join(f"M{_spot(x, y)}h0" for x, y in points), class_=f"dots {component.role}"),
        width=side,
    )


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of a variable beside its linear prediction, in the variable's unit."""

    name: str
    role: Role
    truth: Float[np.ndarray, " n"]
    told: Float[np.ndarray, " n"]
    r2: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What one view's encodings tell linearly: every content component, and the best told of each other role."""

    seed: int
    view: str
    components: tuple[Component, ...]


@torch.no_grad()
def encoding_picture(learner: Learner, view: str | None = None) -> Picture:
    """Predict each component of what a view shows (the first by default) from its encodings, by least squares.

    Fitted on `FIT` samples and shown on `SHOWN` others, of the stream ``verify``, ``picture``. A circular variable
    has a cosine and a sine; classes and constants have no such picture. Of style and of what is specific to the view
    only the component that is predicted best is kept.
    """
    view = view or learner.process.views[0]
    samples = [learner.draw(n, "verify", "picture", part) for n, part in ((FIT, "fit"), (SHOWN, "shown"))]
    fit, shown = (_with_one(learner.encode(learner.observe(sample, view), view)) for sample in samples)
    kept: dict[str, list[Component]] = {role: [] for role in ROLES}
    for variable in learner.process.seen_by(view):
        if variable.distribution.discrete or variable.distribution.kind == "constant":
            continue
        target = target_of(variable, variable.name, *(seen(sample, view, variable) for sample in samples))
        wanted, truth = (target.columns(values).cpu() for values in (target.train, target.test))
        told = shown @ torch.linalg.lstsq(fit, wanted).solution
        names = [f"{variable.name}, component {place + 1}" for place in range(variable.distribution.dim)]
        if target.kind == "circular":
            names = [f"{name} ({part})" for part in ("cosine", "sine") for name in names]
        scores = r2(truth, told).tolist()
        kept[variable.role] += [
            Component(name=name, role=variable.role, truth=a.numpy(), told=b.numpy(), r2=score)
            for name, a, b, score in zip(names, truth.T, told.T, scores, strict=True)
        ]
    best = [max(kept[role], key=lambda c: c.r2) for role in ("style", "specific") if kept[role]]
    return Picture(seed=learner.seed, view=view, components=(*kept["content"], *best))


def _with_one(encodings: Float[Tensor, "n d"]) -> Float[Tensor, "n d_and_one"]:
    return torch.nn.functional.pad(encodings.double().cpu(), (0, 1), value=1.0)
