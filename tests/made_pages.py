"""Findings made by hand and the page of them, and a reader of HTML, for the tests of pages and charts."""

import dataclasses
import functools
from html.parser import HTMLParser

import numpy as np

from identbox.experiments.optimum import EqualScale, Optimum
from identbox.experiments.pictures import Component, Picture
from identbox.experiments.verification import GroupFinding, ScoreBesideCeiling, SeedFinding, Verification
from identbox.identifiability.assumptions import Assumption
from identbox.identifiability.ceilings import Ceiling
from identbox.identifiability.controls import Power
from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import Measure
from identbox.identifiability.oracle import Value
from identbox.identifiability.predictions import Prediction
from identbox.identifiability.verdicts import Condition, Judgement, ViewVerdict
from identbox.metrics import elbow
from identbox.metrics.disentanglement_records import DisentanglementScore
from identbox.metrics.displacement_records import Displacement
from identbox.metrics.scores import Score
from identbox.process import presets
from identbox.reports import pages

VOID = {"meta", "circle", "line", "path", "rect"}  # written without an end


NASTY = '<b>"it\'s" & co</b><script>'


class Element:
    def __init__(self, name, attributes, parent):
        self.name, self.attributes, self.parent = name, attributes, parent
        self.children, self.parts = [], []  # parts: text between children, too

    def all(self, *names):
        """Descendants of these names, in order; all without a name."""
        for child in self.children:
            if not names or child.name in names:
                yield child
            yield from child.all(*names)

    @property
    def words(self):
        return "".join(part if isinstance(part, str) else part.words for part in self.parts)


class Reader(HTMLParser):
    """A tree of elements that insists on every end in its place."""

    def __init__(self, text):
        super().__init__()
        self.root = self.here = Element("", {}, None)
        self.feed(text)
        self.close()
        assert self.here is self.root, f"{self.here.name} has no end"

    def handle_starttag(self, name, attributes):
        keys = [key for key, _ in attributes]
        assert len(set(keys)) == len(keys), (name, keys)
        element = Element(name, dict(attributes), self.here)
        self.here.children.append(element)
        self.here.parts.append(element)
        if name not in VOID:
            self.here = element

    def handle_startendtag(self, name, attributes):
        assert name in VOID, name
        self.handle_starttag(name, attributes)

    def handle_endtag(self, name):
        assert self.here.name == name, f"{name} ends within {self.here.name}"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.parts.append(data)


def condition(quantity="leak", value=0.01, half=0.005, view="1", regime="observed", **other):
    """A condition whose state is that of its interval beside the default margins."""
    bound = {"leak": 0.05, "recovery": 0.95, "degenerate": 0.05}[quantity]
    low, high = value - half, value + half
    inside = [end >= bound if quantity == "recovery" else end <= bound for end in (low, high)]
    state = "satisfied" if all(inside) else "open" if any(inside) else "violated"
    how = {"leak": "redrawn", "recovery": "probe", "degenerate": "moves"}[quantity]
    what = "content" if quantity == "recovery" else ""
    given = {"value": value, "low": low, "high": high, "how": how, "what": what, **other}
    measure = Measure(view=view, quantity=quantity, regime=regime, **given)
    return Condition(measure=measure, bound=bound, state=state)


def comparison(target, intervention, score, ceiling, view):
    probe = Score(
        view=view, target=target.removesuffix("'"), permuted=target.endswith("'"), intervention=intervention,
        probe="kernel_ridge", metric="r2", score=score, low=score, high=score, chance=0.0,
    )  # fmt: skip
    limit = Ceiling(score=ceiling, low=ceiling, high=ceiling, how="closed form")
    return ScoreBesideCeiling(score=probe, ceiling=limit, encoded=target.startswith("content"))


def seed_finding(seed, *, predicted="identified", outcome="identified", leak=0.01, optimum=True):
    """Two views with this leak, and all else as it should be."""
    verdicts = tuple(
        ViewVerdict(
            view=view,
            outcome=outcome,
            on_support=outcome,
            reasons=(f"leak {leak}",),
            conditions=(
                condition("leak", leak, view=view),
                condition("leak", leak, view=view, regime="cut"),
                condition("recovery", 0.99, view=view),
                condition("degenerate", 0.0, 0.0, view=view),
            ),
        )
        for view in ("1", "2")
    )
    value = Value(alignment=0.03, entropies=(-0.01, 0.0), error=0.007)
    best = Optimum(
        seed=seed,
        how="closed form",
        oracle=dataclasses.replace(value, alignment=1e-15),
        trained=value,
        equal_scale=EqualScale(trained=1.8, oracle=1.4, spread=2.0, error=0.01),
    )
    pairs = [("content", None), ("style", None), ("content'", "content"), ("style'", "style")]
    scores = [
        comparison(target, block, 0.99 if target[0] == "c" else 0.02, float(target[0] == "c"), view)
        for view in ("1", "2")
        for target, block in pairs
    ]
    return SeedFinding(
        seed=seed,
        assumptions=(
            Assumption("content-invariance", "content invariance", "holds", "c < d"),
            Assumption("mixing", "mixing", "unknown", "?"),
        ),
        effective={"content": (2, 1.9)},
        judgements=(
            Judgement(
                prediction=Prediction(block=("content",), outcome=predicted, reason="every assumption holds"),
                verdicts=verdicts,
            ),
        ),
        scores=tuple(scores),
        optimum=best if optimum else None,
        without=None if optimum else "no checkpoint",
    )


def finding(name="main", *, control=None, seeds=(0, 1, 2), **same):
    """Seeds that are alike but for the last, which has no oracle."""
    return GroupFinding(
        name=name,
        control=control,
        encoding_size=2,
        seeds=tuple(seed_finding(seed, optimum=seed != seeds[-1] or not seed, **same) for seed in seeds),
        provenance={"identbox": "0.1", "versions": {"torch": "2"}, "machine": {"cpu": NASTY}, "steps": None},
    )


def verification(*findings, factors=None, power=None):
    """Findings as the report takes them; there are no runs behind them."""
    return Verification(
        margins=Margins(), runs=(), groups={}, findings=tuple(findings), factors=factors, power=power or {}
    )


def a_picture(n=400, seed=0):
    truth = np.random.default_rng(seed).standard_normal(n)
    roles = {"content": 1.0, "style": 0.0}
    return Picture(
        seed=0,
        view="1",
        components=tuple(
            Component(name=f"{role}, component 1", role=role, truth=truth, predicted=slope * truth, r2=slope)
            for role, slope in roles.items()
        ),
    )


SIZES = (1, 2, 3, 4, 5, 6)


CURVE = np.array([4.0, 3.2, 2.4, 2.35, 2.3, 2.25]) + 0.01 * np.random.default_rng(0).standard_normal((3, 6))


ELBOW = elbow.estimate(SIZES, CURVE)


LOSSES = {(seed, size): float(CURVE[seed, place]) for seed in range(3) for place, size in enumerate(SIZES)}


PROCESS = presets.numerical_simulation(content=2, style=2, specific=1, causal=True, change_probability=0.75)


SIX = [
    finding("main"),
    finding(NASTY, outcome="not identified", leak=0.3),
    finding("third", outcome="undecided", leak=0.05),
    finding("fourth", predicted=None, seeds=(0,)),
    finding("untrained", predicted="not identified", outcome="not identified", control="untrained", leak=0.3),
    finding("fifth", predicted="not identified", outcome="not identified", control="small-encoder", leak=0.3),
]  # fmt: skip


POWER = Power(
    positive={"content": "identified", "cubes": "undecided"},
    leaks={"linear": 0.1, "even": None},
    losses={"steps": 0.1},
)


def moves(view, intervention, value):
    """A displacement: so much in the worst direction, and half of that on average."""
    ends = {"low": 0.9 * value, "high": min(1.0, 1.1 * value)}
    half = {"mean": value / 2, "mean_low": value / 3, "mean_high": value / 1.5}
    return Displacement(view=view, intervention=intervention, samples=500, value=value, **ends, **half)


def after(view, target, value, **more):
    """What is predicted after a permutation of the hue."""
    figures = {"probe": "kernel_ridge", "metric": "r2", "low": value, "high": value, "chance": 0.0}
    return Score(view=view, target=target, intervention="permute:hue", score=value, **figures, **more)


TRIAL = pages.EncoderTrial(
    displacements=[
        moves("image", f"permute:{NASTY}", 0.1),
        moves("text", f"permute:{NASTY}", 0.0),
        moves("image", "permute:shape", 0.9),
    ],
    interventions=[
        after("image", NASTY, 0.8),
        after("content", NASTY, 0.9),
        after("image", NASTY, 0.1, permuted=True),
        after("content", NASTY, 0.0, permuted=True),
        after("image", "shape", 0.3),
    ],
    scores=[
        DisentanglementScore(
            view=NASTY, name="MCC", value=0.8, low=0.7, high=0.9, permuted=0.1, warning=NASTY
        ),
        DisentanglementScore(view="text", name="SAP", value=0.5, low=0.4, high=0.6, permuted=0.0),
    ],
)


@functools.cache
def page_text():
    """The HTML of the page of all six."""
    return pages.verification_page(
        verification(*SIX, factors=ELBOW, power={"main": POWER}),
        losses=LOSSES,
        processes={f.name: PROCESS for f in SIX},
        pictures={f.name: a_picture() for f in SIX},
        trials={"main": TRIAL},
    )


@functools.cache
def page_tree():
    return Reader(page_text()).root


def cells(table):
    """Width of every row of a table, with cells that span rows and columns counted where they lie."""
    widths, hanging = [], []
    for row in table.all("tr"):
        hanging = [(rows - 1, columns) for rows, columns in hanging if rows > 1]
        width = sum(columns for _, columns in hanging)
        for cell in row.children:
            assert cell.name in ("td", "th")
            columns, rows = (int(cell.attributes.get(key, 1)) for key in ("colspan", "rowspan"))
            assert columns >= 1
            width += columns
            if rows > 1:
                hanging.append((rows, columns))
        widths.append(width)
    return widths
