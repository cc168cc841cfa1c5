"""Findings made by hand and the page of them, and a reader of HTML, for the tests of pages and charts."""

import dataclasses
from html.parser import HTMLParser

import numpy as np

from identbox.experiments.optimum import EqualScale, Optimum
from identbox.experiments.pictures import Component, Picture
from identbox.experiments.verification import GroupFinding
from identbox.identifiability.assumptions import Assumption
from identbox.identifiability.oracle import Value
from identbox.identifiability.verdicts import Condition, Judgement, Margins, Prediction, ViewVerdict
from identbox.metrics import elbow
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


def condition(target="content", intervention=None, kind="content", value=0.99, half=0.01, view="1", **other):
    bound = 0.95 if kind == "content" else 0.05
    ends = value - half, value + half
    inside = [end >= bound if kind == "content" else end <= bound for end in ends]
    state = "satisfied" if all(inside) else "open" if any(inside) else "violated"
    given = {
        "view": view, "target": target, "intervention": intervention, "kind": kind, "metric": "r2",
        "score": value, "ceiling": 1.0 if kind == "content" else 0.0, "value": value, "low": ends[0],
        "high": ends[1], "bound": bound, "state": state, "how": "closed form",
    }  # fmt: skip
    return Condition(**given | other)


def finding(
    name="main", *, predicted="identified", found="identified", control=None, style=0.0, seeds=(0, 1, 2)
):
    """Two views of content and style, with style's excess as given, an optimum for each seed but the last."""
    verdicts = tuple(
        ViewVerdict(
            view=view,
            outcome=found,
            reasons=("lowest: content",),
            conditions=(
                condition(view=view),
                condition("style", None, "excess", style, view=view),
                condition("content'", "content", view=view),
                condition("style", "content", "excess", style, view=view),
                condition("content", "style", view=view),
                condition("style'", "style", "excess", style, 0.1, view=view),
            ),
        )
        for view in ("1", "2")
    )
    judgement = Judgement(
        prediction=Prediction(block=("content",), outcome=predicted, reason="every assumption holds"),
        verdicts=verdicts,
        by_seed=dict.fromkeys(seeds, found),
    )
    value = Value(alignment=0.03, entropies=(-0.01, 0.0), error=0.007)
    optima = [
        Optimum(
            seed=seed,
            how="closed form",
            oracle=dataclasses.replace(value, alignment=1e-15),
            trained=value,
            equal_scale=EqualScale(trained=1.8, oracle=1.4, spread=2.0, error=0.01),
        )
        for seed in seeds[:-1]
    ]
    return GroupFinding(
        name=name,
        control=control,
        seeds=seeds,
        encoding_size=2,
        assumptions=(
            Assumption("content-invariance", "content invariance", "holds", "c < d"),
            Assumption("mixing", "mixing", "unknown", "?"),
        ),
        effective={"content": (2, 1.9)},
        judgements=(judgement,),
        optima=tuple(optima),
        without="no checkpoint",
        provenance={"identbox": "0.1", "versions": {"torch": "2"}, "machine": {"cpu": NASTY}, "steps": None},
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
    finding(NASTY, found="not identified", style=0.3),
    finding("third", found="undecided", style=0.05),
    finding("fourth", predicted=None, seeds=(0,)),
    finding("untrained", predicted="not identified", found="not identified", control="untrained", style=0.3),
    finding("fifth", predicted="not identified", found="not identified", control="small-encoder", style=0.3),
]  # fmt: skip


TEXT = pages.verification_page(
    SIX,
    Margins(),
    ELBOW,
    losses=LOSSES,
    processes={f.name: PROCESS for f in SIX},
    pictures={f.name: a_picture() for f in SIX},
)


TREE = Reader(TEXT).root


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
