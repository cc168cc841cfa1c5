"""The HTML page of a verification: self-contained, well-formed, in words as well as in colours."""

import dataclasses
import html
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from identbox.experiments import pictures, trials, verification
from identbox.experiments import simulation as experiments_simulation
from identbox.experiments.learner import Learner
from identbox.experiments.optimum import EqualScale, Optimum
from identbox.experiments.pictures import Component, Picture
from identbox.experiments.verification import GroupFinding
from identbox.identifiability.assumptions import Assumption
from identbox.identifiability.oracle import Value
from identbox.identifiability.predictions import Prediction
from identbox.identifiability.verdicts import Condition, Judgement, Margins, ViewVerdict
from identbox.metrics import elbow
from identbox.process import presets
from identbox.process.distributions import Categorical, Constant, Uniform
from identbox.process.model import Process, Variable
from identbox.process.world import World
from identbox.reports import charts, graphs, pages
from identbox.reports.svg import Axis

VOID = {"meta", "circle", "line", "path", "rect"}  # written without an end
BROWSER = next(
    filter(
        None,
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")),
    ),
    None,
)
browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")
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


SIZES = (1, 2, 3, 4)
CURVE = np.array([4.0, 2.0, 1.95, 1.9]) + 0.01 * np.random.default_rng(0).standard_normal((3, 4))
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


def test_the_page_is_one_document_that_needs_nothing_else():
    (page,) = TREE.all("html")
    assert page.attributes["lang"] == "en"
    for element in TREE.all():
        assert element.name not in (
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "base",
            "form",
            "audio",
            "video",
        )
        assert not {"src", "srcset", "action", "background"} & element.attributes.keys()
        assert element.attributes.get("href", "#").startswith("#")
        assert not any(key.startswith("on") for key in element.attributes)
    assert not re.search(r"url\(|@import|@font-face|https?:", TEXT)
    metas = [element.attributes for element in TREE.all("meta")]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    (policy,) = [meta["content"] for meta in metas if "http-equiv" in meta]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_six_groups_stay_below_a_megabyte():
    assert len(TEXT.encode()) < 1_000_000


def test_equal_arguments_give_equal_text():
    arguments = SIX[:1], Margins(), ELBOW
    assert pages.verification_page(*arguments, losses=LOSSES) == pages.verification_page(
        *arguments, losses=LOSSES
    )


def test_every_figure_says_what_it_shows():
    figures = list(TREE.all("svg"))
    # For each group: graph, two kinds in two views, two scatters, Eq. 8.9 and InfoNCE where a seed has an optimum.
    assert len(figures) == 1 + 5 * (1 + 4 + 2 + 2) + (1 + 4 + 2)
    for figure in figures:
        assert figure.attributes["role"] == "img"
        assert figure.children[0].name == "title"
        title, label = figure.children[0].words, figure.attributes["aria-label"]
        assert label.startswith(f"{title}: ")
        assert len(label) > len(title) + 10
        assert not {"nan", "inf"} & set(
            re.findall("[a-z]+", json.dumps([e.attributes for e in figure.all()]))
        )


def test_ids_are_unique_and_links_lead_to_them():
    ids = [element.attributes["id"] for element in TREE.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids)) == len(SIX)
    links = {element.attributes["href"] for element in TREE.all("a")}
    assert links == {f"#{name}" for name in ids}


def test_headings_leave_out_no_level():
    levels = [int(heading.name[1]) for heading in TREE.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


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


def test_tables_are_rectangular_and_scroll_in_a_box_that_keys_reach():
    tables = list(TREE.all("table"))
    assert tables
    for table in tables:
        assert len(set(cells(table))) == 1
        assert [child.name for child in table.children][:2] == ["caption", "thead"]
        assert all(
            head.attributes["scope"] in ("col", "row", "rowgroup", "colgroup") for head in table.all("th")
        )
        assert table.parent.attributes["class"] == "scroll"
        assert table.parent.attributes["tabindex"] == "0"
        assert table.parent.attributes["aria-label"] == table.children[0].words


def test_names_that_users_give_are_escaped():
    assert NASTY in [heading.words for heading in TREE.all("h3")]
    assert NASTY in [link.words for link in TREE.all("a")]
    assert NASTY in [value.words for value in TREE.all("dd")]
    nasty = dataclasses.replace(
        condition(), target='"><script>', intervention="' onload='x", view="</svg>", how="<i>"
    )
    verdict = ViewVerdict(view="</svg>", outcome="undecided", reasons=("<u>",), conditions=(nasty,))
    judgement = dataclasses.replace(
        SIX[0].judgements[0],
        verdicts=(verdict,),
        prediction=Prediction(block=("<td>",), outcome=None, reason="<s>"),
    )
    odd = dataclasses.replace(SIX[0], judgements=(judgement,), effective={"<q>": (1, 1.0)}, without="<q>")
    process = Process(
        name="<svg>", variables=(Variable(name="<em>", role="content", distribution=Constant()),), views=("<a>", "b")
    )  # fmt: skip
    tree = Reader(pages.verification_page([odd], Margins(), None, processes={"main": process})).root
    assert not list(tree.all("script", "i", "u", "s", "q", "em"))
    assert not any(key.startswith("on") for element in tree.all() for key in element.attributes)


def luminance(colour):
    """Relative luminance of #rgb or #rrggbb, by WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def contrast(one, other):
    lighter, darker = sorted([luminance(one), luminance(other)], reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_text_stands_out_in_light_and_in_dark():
    """WCAG's AA asks for 4.5. The deepest cell is pure --heat, the palest --soft; both carry --fg."""
    (style,) = TREE.all("style")
    schemes = {
        "light": re.search(r":root \{\s*color-scheme: light dark;(.*?)\}", style.words, re.S),
        "dark": re.search(
            r"@media screen and \(prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", style.words, re.S
        ),
    }
    # Dark colours are for screens alone, so paper has the light ones.
    assert re.search(r"@media print \{\s*:root \{ color-scheme: light; \}", style.words)
    for scheme in schemes.values():
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme[1]))
        for name in ("fg", "muted", "link", "good", "bad", "open", "content", "style", "specific"):
            assert contrast(colours[name], colours["bg"]) >= 4.5, name
        assert contrast(colours["fg"], colours["heat"]) >= 4.5
        assert min(contrast(colours[name], colours["soft"]) for name in ("fg", "muted")) >= 4.5
    used = set(re.findall(r"var\(--(\w+)", style.words))
    assert used - {"state", "role", "v"} == colours.keys()


def test_colour_is_never_alone():
    """A sign or a form goes with every state: in words, in cells, and in marks of figures."""
    for element in TREE.all("span"):
        if "state" in element.attributes.get("class", "").split():
            assert element.children[0].words in "✓✗?–"
            assert len(element.words) > 3
    (bad,) = {
        e.words for e in TREE.all("td") if e.attributes.get("class") == "bad" and "style" in e.attributes
    }
    assert bad == "0.30 ✗of 0.00"
    marks = {
        group.attributes["class"]: group.children[-1].attributes["class"]
        for group in TREE.all("g")
        if group.attributes.get("class") in ("good", "bad", "open")
    }
    assert marks == {"good": "dot", "bad": "cross", "open": "ring"}


def headline(*findings):
    tree = Reader(pages.verification_page(findings, Margins(), None)).root
    return [next(iter(tree.all("h1"))).words, *[item.words for box in tree.all("ul") if
            box.attributes["class"] == "failures" for item in box.all("li")]]  # fmt: skip


def test_the_headline_says_what_failed():
    control = SIX[4]
    called = finding("untrained", predicted="not identified", control="untrained")
    open_control = finding("x", predicted="not identified", found="undecided", control="untrained")
    assert headline(SIX[0], control) == ["Every prediction came true"]
    assert headline(SIX[3]) == ["Nothing was predicted of these runs"]
    assert headline(SIX[0], open_control) == ["No prediction failed"]
    assert headline(SIX[0], called) == [
        "1 of 2 groups of runs failed",
        "control untrained: content: predicted not identified, measured identified.",
    ]
    assert headline(*SIX) == [
        "2 of 6 groups of runs failed",
        f"{NASTY}: content: predicted identified, measured not identified.",
        "third: content: identified predicted, undecided.",
    ]


def test_predicted_stands_beside_measured_and_controls_come_last_and_folded():
    summary = next(table for table in TREE.all("table") if table.attributes.get("class") == "summary")
    rows = [[cell.words for cell in row.children] for row in summary.all("tr")]
    assert rows[1] == ["main", "✓ came true", "identified", "identified", "content", "2", "0-2"]
    assert rows[2][1:4] == ["✗ refuted", "identified", "not identified"]
    assert rows[3][1:4] == ["? undecided", "identified", "undecided"]
    assert rows[4][1:4] == ["– nothing predicted", "nothing", "identified"]
    assert rows[5] == ["Negative controls"]
    assert [heading.words for heading in TREE.all("h3")][-2:] == ["untrained", "fifth"]
    folded = [element for element in TREE.all("details") if list(element.all("h3"))]
    assert len(folded) == 2
    assert "open" not in folded[0].attributes
    # The id lies inside, where a browser unfolds what a link leads to.
    assert [child.name for child in folded[0].children] == ["summary", "div"]
    assert "id" in folded[0].children[1].attributes


def test_cells_of_matrices_hold_number_ceiling_and_depth():
    table = next(table for table in TREE.all("table") if table.attributes.get("class") == "heat")
    rows = {row.children[0].words: row.children[1:] for row in table.all("tr")}
    assert list(rows)[1:] == ["content", "content'", "style", "style'"]
    assert [cell.words for cell in rows["content"]] == ["0.99of 1.00", "", "0.99of 1.00"]
    assert rows["content"][0].attributes["style"] == "--v:99%"
    assert list(rows["content"][0].all("b"))
    assert not list(rows["style"][0].all("b"))
    assert "at most 0.05 is required: satisfied" in rows["style"][0].attributes["title"]


def test_two_blocks_of_a_group_share_its_rows():
    """Of a process whose style never changes, content and content with style are judged."""
    one = SIX[0].judgements[0]
    both = dataclasses.replace(
        one, prediction=Prediction(block=("content", "style"), outcome="identified", reason="")
    )
    tree = Reader(
        pages.verification_page([dataclasses.replace(SIX[0], judgements=(one, both))], Margins(), None)
    ).root
    for table in tree.all("table"):
        assert len(set(cells(table))) == 1
    summary = next(iter(tree.all("table")))
    assert [cell.words for row in summary.all("tr") for cell in row.all("td")][3::6] == [
        "content",
        "content and style",
    ]


def test_numbers_that_are_not_finite_are_written_but_not_drawn():
    """Encodings with atoms have an entropy of minus infinity."""
    gone = Value(alignment=0.0, entropies=(-np.inf, -np.inf), error=0.0)
    optimum = dataclasses.replace(SIX[0].optima[0], trained=gone, equal_scale=None)
    blank = condition(low=float("nan"), high=float("nan"), state="open")
    verdict = ViewVerdict(view="1", outcome="undecided", reasons=(), conditions=(blank,))
    judgement = dataclasses.replace(SIX[0].judgements[0], verdicts=(verdict,))
    odd = dataclasses.replace(SIX[0], optima=(optimum,), judgements=(judgement,))
    text = pages.verification_page([odd], Margins(), None)
    assert "∞" in text
    for figure in Reader(text).root.all("svg"):
        for element in figure.all():
            numbers = {
                key: value for key, value in element.attributes.items() if key in ("x", "x1", "cx", "d", "y")
            }
            assert not re.search("nan|inf|∞", " ".join(numbers.values()))


def test_an_interval_that_goes_on_has_an_arrow_and_leaves_the_margin_in_sight():
    """Student's interval over two seeds can be many times wider than scores are."""
    wide, narrow = condition(value=0.9, half=8.0), condition(intervention="style")
    figure = Reader(charts.whiskers("t", [wide, narrow], [wide.low, wide.high])).root
    first, second = figure.all("g")
    bar = next(iter(first.all("line"))).attributes
    assert (float(bar["x1"]), float(bar["x2"])) == (112, 288)
    assert [len(list(group.all("path"))) for group in (first, second)] == [2, 0]
    margin = next(e.attributes for e in figure.all("line") if e.attributes["class"] == "margin")
    assert 220 < float(margin["x1"]) < 280


def test_the_elbow_is_shown_with_its_losses():
    chart = next(f for f in TREE.all("svg") if f.children[0].words.startswith("Mean validation loss"))
    for place, size in enumerate(SIZES):
        assert f"{CURVE[:, place].mean():.3f} nats at {size}" in chart.attributes["aria-label"]
    assert ELBOW.size == 2
    assert "estimate: 2" in chart.words
    assert "How many" not in pages.verification_page(SIX[:1], Margins(), None)


def test_a_process_is_described_in_words():
    words = graphs.described(PROCESS)
    assert "content causes style (linear)" in words
    assert (
        "view 1 sees content, specific_1, style;" in words
        or "view 1 sees content, style, specific_1;" in words
    )
    assert "style perturbed" in words.split("view 2 sees")[1]
    assert "perturbed" not in words.split("view 1 sees")[1].split("view 2 sees")[0]
    graph = Reader(graphs.graph(PROCESS)).root
    assert [e.words for e in graph.all("text") if "name" in e.attributes.get("class", "")] == [
        "content", "style", "specific_1", "specific_2",
    ]  # fmt: skip
    edges = [e.attributes["class"] for e in graph.all("path") if e.attributes["class"].startswith("edge")]
    assert len(edges) == 6  # content and style to both views, specific ones to their own
    assert sum("changed" in edge for edge in edges) == 1
    assert len([e for e in graph.all("path") if e.attributes["class"] == "cause"]) == 1
    assert "ε: noise, p = 0.75" in graph.words
    for other in (presets.multimodal3dident(), dataclasses.replace(PROCESS, views=("1", "2", "3"))):
        top, bottom = (
            0.0,
            float(Reader(graphs.graph(other)).root.children[0].attributes["viewbox"].split()[3]),
        )
        boxes = [e.attributes for e in Reader(graphs.graph(other)).root.all("rect")]
        assert all(top <= float(b["y"]) and float(b["y"]) + float(b["height"]) <= bottom for b in boxes)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-0.011, 0.052), (1.2, 1234.0), (3.0, 3.0), (-2e-5, 1e-5)])
def test_ticks_are_round_and_on_the_axis(ends):
    axis = Axis.around([*ends, float("inf")], 10.0, 110.0)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 6
    values = [value for value, _ in ticks]
    assert np.allclose(np.diff(values), values[1] - values[0])
    assert float(f"{values[1] - values[0]:.0e}") == pytest.approx(values[1] - values[0])  # one digit
    for value, label in ticks:
        assert axis.low <= value <= axis.high
        assert float(label.replace("−", "-")) == pytest.approx(value)
        assert 10 <= axis.at(value) <= 110
    assert axis.at(axis.low) == pytest.approx(10)
    assert axis.at(axis.high) == pytest.approx(110)


# Blocks of one or two dimensions and few samples: the page is looked at, not the verdict.
SMALL = {
    "process": {"content": 2, "style": 1, "specific": 1},
    "mixing": {"pool": 200},
    "encoder": {"widths": [4]},
    "training": {"steps": 0, "batch": 64},
    "probes": {"samples": 100, "bootstrap": 20},
}


class Perfect(Learner):
    """Undoes the mixing and keeps a linear, invertible function of content."""

    def encode(self, x, view):
        content = self.world.mixings[view].inverse(x)[:, :2]
        return content @ torch.tensor([[1.0, 2.0], [0.5, -1.0]])


def test_a_perfect_encoding_lies_on_the_diagonal_and_style_is_flat():
    """Style is independent of content: of 400 samples it explains less than 0.03 by chance, and predicts nothing."""
    simulation = experiments_simulation.Simulation.from_preset("quick", SMALL)
    found = pictures.encoding_picture(
        experiments_simulation.learner_of(simulation, seed=0, learner_type=Perfect), view="2"
    )
    assert [c.name for c in found.components] == [
        "content, component 1", "content, component 2", "style, component 1", "specific_2, component 1",
    ]  # fmt: skip
    assert (found.view, found.seed) == ("2", 0)
    for component in found.components[:2]:
        assert component.truth.shape == component.predicted.shape == (pictures.SHOWN,)
        # float32 through the mixing and back
        np.testing.assert_allclose(component.predicted, component.truth, atol=1e-3)
        assert component.r2 == pytest.approx(1.0, abs=1e-5)
    for component in found.components[2:]:
        assert abs(component.r2) < 0.03
        assert component.predicted.std() < 0.2 * component.truth.std()


def test_circles_have_two_components_and_classes_none():
    process = Process(
        name="p",
        variables=(
            Variable(name="angle", role="content", distribution=Uniform(circular=True)),
            Variable(name="kind", role="content", distribution=Categorical(classes=3)),
            Variable(name="zero", role="specific", view="1", distribution=Constant()),
        ),
    )
    simulation = experiments_simulation.Simulation.from_preset("quick", {**SMALL, "setting": "multimodal"})
    world = World(process, seed=0, mixing=simulation.mixing)
    learner = experiments_simulation.learner_of(simulation, seed=0, world=world)
    names = [component.name for component in pictures.encoding_picture(learner).components]
    assert names == ["angle, component 1 (cosine)", "angle, component 1 (sine)"]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The page of one real run, that of an untrained encoder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny-seed0"
    experiments_simulation.run_simulation(
        experiments_simulation.Simulation.from_preset("quick", SMALL), folder, seed=0
    )
    (item,) = trials.groups([trials.read(folder)]).items()
    name, (trial,) = item
    return pages.verification_page(
        [verification.verify_group(*item, Margins()), *SIX[1:]],
        Margins(),
        ELBOW,
        losses=LOSSES,
        processes={name: trial.process},
        pictures={name: pictures.encoding_picture(trial.learner())},
    )


def test_a_real_run_makes_a_page(real):
    tree = Reader(real).root
    assert "tiny" in [heading.words for heading in tree.all("h3")]
    assert all(len(set(cells(table))) == 1 for table in tree.all("table"))
    versions = [value.words for value in tree.all("dd")]
    assert torch.__version__ in versions
    titles = [figure.children[0].words for figure in tree.all("svg")]
    for title in ("Process numerical_simulation", "View 2: scores of the block", "Eq. 8.9, at best 0"):
        assert title in titles or title.replace("_", "-") in titles


def browse(page, *options, fragment=""):
    """What a browser without a window makes of a page: its document, and what it says of it on the side."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={page.parent / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr", "--v=0", *options, "--dump-dom", page.as_uri() + fragment,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def asked_for(log):
    """What a page of a file asked the network for; requests of the browser's own have another initiator."""
    found = json.loads(log.read_text())
    kinds = {number: name for name, number in found["constants"]["logSourceType"].items()}
    return {
        event["params"]["url"]
        for event in found["events"]
        if kinds[event["source"]["type"]] == "URL_REQUEST"
        and event.get("params", {}).get("initiator") in ("null", "file://")
    }


@browser
def test_a_browser_loads_nothing_else_reports_no_error_and_unfolds_the_group_of_a_link(real, tmp_path):
    """The page's policy blocks an image put into it; without the policy it is requested, so this test can fail."""
    page, log = tmp_path / "page.html", tmp_path / "net.json"
    page.write_text(real)
    dom, said = browse(page, f"--log-net-log={log}", fragment="#group-6")
    assert said == []
    assert asked_for(log) == set()
    assert re.findall(r"<details open[^>]*><summary><h3>(\w+)", dom) == ["fifth"]
    image = real.replace("<main>", '<main><img src="http://example.invalid/x.png" alt="">')
    page.write_text(image)
    _, said = browse(page, f"--log-net-log={log}")
    assert "Content Security Policy" in " ".join(said)
    assert asked_for(log) == set()
    page.write_text(re.sub("<meta http-equiv[^>]*>", "", image))
    browse(page, f"--log-net-log={log}")
    assert asked_for(log) == {"http://example.invalid/x.png"}


MEASURE = """
onload = () => {
  document.title = [...document.querySelectorAll("iframe")].map(frame => {
    const inside = frame.contentDocument
    const beyond = [...inside.querySelectorAll("body *")].filter(e =>
      !e.closest(".scroll") && !e.closest("svg") && e.getBoundingClientRect().right > frame.clientWidth + 1)
    const root = inside.documentElement
    const small = [...inside.querySelectorAll("svg text")].filter(e => {
      const scale = e.getScreenCTM().a * parseFloat(getComputedStyle(e).fontSize)
      return scale > 0 && scale < 8.5
    })
    return [root.scrollWidth <= root.clientWidth, beyond.length, small.length].join(" ")
  }).join(", ")
}
"""


@browser
def test_nothing_of_the_page_is_wider_than_a_phone(real, tmp_path):
    """All unfolded, in frames of a phone's width and of a screen's; text of figures is at least 8.5 pixels high."""
    page = tmp_path / "frames.html"
    inside = html.escape(real.replace("<details>", "<details open>"))
    frames = [
        f'<iframe style="width:{width}px;height:600px;border:0" srcdoc="{inside}"></iframe>'
        for width in (320, 360, 390, 1200)
    ]
    page.write_text(f"<!DOCTYPE html><title></title>{''.join(frames)}<script>{MEASURE}</script>")
    dom, _ = browse(page)
    assert re.search("<title>(.*?)</title>", dom)[1] == ", ".join(["true 0 0"] * 4)
