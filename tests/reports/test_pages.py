"""The HTML page of a verification: self-contained, well-formed, in words as well as in colours."""

import dataclasses
import itertools
import json
import re

import numpy as np

from identbox.identifiability.predictions import Prediction
from identbox.identifiability.verdicts import Judgement, ViewVerdict
from identbox.process.distributions import Constant
from identbox.process.model import Process, Variable
from identbox.reports import pages, verdicts
from made_pages import (
    ELBOW,
    LOSSES,
    NASTY,
    SIX,
    Reader,
    cells,
    condition,
    finding,
    page_text,
    page_tree,
    verification,
)


def test_the_page_is_one_document_that_needs_nothing_else():
    (page,) = page_tree().all("html")
    assert page.attributes["lang"] == "en"
    for element in page_tree().all():
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
    assert not re.search(r"url\(|@import|@font-face|https?:", page_text())
    metas = [element.attributes for element in page_tree().all("meta")]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    (policy,) = [meta["content"] for meta in metas if "http-equiv" in meta]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_six_groups_stay_below_a_megabyte():
    assert len(page_text().encode()) < 1_000_000


def test_equal_arguments_give_equal_text():
    one = verification(SIX[0], factors=ELBOW)
    assert pages.verification_page(one, losses=LOSSES) == pages.verification_page(one, losses=LOSSES)


def test_every_figure_says_what_it_shows():
    figures = list(page_tree().all("svg"))
    # For each group: graph, three quantities, two scatters, Eq. 8.9 and InfoNCE; for the first the scores of two views.
    assert len(figures) == 1 + 6 * (1 + 3 + 2 + 2) + 2
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
    ids = [element.attributes["id"] for element in page_tree().all() if "id" in element.attributes]
    assert len(ids) == len(set(ids)) == len(SIX)
    links = {element.attributes["href"] for element in page_tree().all("a")}
    assert links == {f"#{name}" for name in ids}


def test_headings_leave_out_no_level():
    levels = [int(heading.name[1]) for heading in page_tree().all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_tables_are_rectangular_and_scroll_in_a_box_that_keys_reach():
    tables = list(page_tree().all("table"))
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
    assert NASTY in [heading.words for heading in page_tree().all("h3")]
    assert NASTY in [link.words for link in page_tree().all("a")]
    assert NASTY in [value.words for value in page_tree().all("dd")]
    nasty = condition(view="</svg>", what="' onload='x")
    verdict = ViewVerdict(
        view="</svg>", outcome="undecided", on_support="undecided", reasons=("<u>",), conditions=(nasty,)
    )
    prediction = Prediction(block=("<td>",), outcome=None, reason="<s>")
    seed = dataclasses.replace(
        SIX[0].seeds[0],
        judgements=(Judgement(prediction=prediction, verdicts=(verdict,)),),
        effective={"<q>": (1, 1.0)},
        without="<q>",
    )
    odd = dataclasses.replace(SIX[0], seeds=(seed,))
    process = Process(
        name="<svg>", variables=(Variable(name="<em>", role="content", distribution=Constant()),), views=("<a>", "b")
    )  # fmt: skip
    tree = Reader(pages.verification_page(verification(odd), processes={"main": process})).root
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
    (style,) = page_tree().all("style")
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
    for element in page_tree().all("span"):
        if "state" in element.attributes.get("class", "").split():
            assert element.children[0].words in "✓✗?–"
            assert len(element.words) > 3
    marks = {
        group.attributes["class"]: group.children[-1].attributes["class"]
        for group in page_tree().all("g")
        if group.attributes.get("class") in ("good", "bad", "open")
    }
    assert marks == {"good": "dot", "bad": "cross", "open": "ring"}


def headline(*findings):
    tree = Reader(pages.verification_page(verification(*findings))).root
    return [next(iter(tree.all("h1"))).words, *[item.words for box in tree.all("ul") if
            box.attributes["class"] == "failures" for item in box.all("li")]]  # fmt: skip


def test_the_headline_says_what_failed():
    control = SIX[4]
    called = finding("untrained", predicted="not identified", control="untrained")
    assert headline(SIX[0], control) == ["Every prediction came true (3 of 3)"]
    assert headline(SIX[3]) == ["Nothing was predicted of these runs"]
    assert headline(SIX[0], SIX[2]) == ["3 of 6 predictions came true, the others are undecided"]
    assert headline(SIX[0], called) == [
        "1 of 2 groups of runs failed",
        "control untrained: the control untrained is called identified (seeds 0, 1, 2).",
    ]
    assert headline(*SIX) == [
        "1 of 6 groups of runs failed",
        f"{NASTY}: content: identified predicted, not identified found for 3 of 3 seeds (0, 1, 2).",
    ]


def test_the_exit_code_tells_true_refuted_and_open_apart():
    assert verification(SIX[0], SIX[3], SIX[4]).exit_code == 0
    assert verification(SIX[0], SIX[1]).exit_code == 2
    assert verification(SIX[3]).exit_code == 3
    assert verification(SIX[0], SIX[2]).exit_code == 3


def test_predicted_stands_beside_measured_and_controls_come_last_and_folded():
    summary = next(table for table in page_tree().all("table") if table.attributes.get("class") == "summary")
    rows = [[cell.words for cell in row.children] for row in summary.all("tr")]
    assert rows[1] == ["main", "✓ came true: 3 of 3", "identified", "3", "", "", "content", "2", "0-2"]
    assert rows[2][1:6] == ["✗ refuted: 3 of 3", "identified", "", "3", ""]
    assert rows[3][1:6] == ["? undecided: 3 of 3", "identified", "", "", "3"]
    assert rows[4][1:6] == ["– nothing predicted", "nothing", "1", "", ""]
    assert rows[5] == ["Negative controls"]
    assert [heading.words for heading in page_tree().all("h3")][-2:] == ["untrained", "fifth"]
    folded = [element for element in page_tree().all("details") if list(element.all("h3"))]
    assert len(folded) == 2
    assert "open" not in folded[0].attributes
    # The id lies inside, where a browser unfolds what a link leads to.
    assert [child.name for child in folded[0].children] == ["summary", "div"]
    assert "id" in folded[0].children[1].attributes


def test_cells_of_matrices_hold_number_ceiling_and_depth():
    table = next(table for table in page_tree().all("table") if table.attributes.get("class") == "heat")
    rows = {row.children[0].words: row.children[1:] for row in table.all("tr")}
    assert list(rows)[1:] == ["content", "content'", "style", "style'"]
    assert [cell.words for cell in rows["content"]] == ["0.99of 1.00", "", ""]
    assert rows["content"][0].attributes["style"] == "--v:99%"
    assert list(rows["content"][0].all("b"))
    assert not list(rows["style"][0].all("b"))
    assert rows["style"][0].attributes["title"] == "style: 0.020, ceiling 0.000 (closed form)"


def test_two_blocks_of_a_group_share_its_rows():
    """Of a process whose style never changes, content and content with style are judged."""
    one = SIX[0].seeds[0]
    (alone,) = one.judgements
    prediction = Prediction(block=("content", "style"), outcome="identified", reason="")
    both = dataclasses.replace(one, judgements=(alone, dataclasses.replace(alone, prediction=prediction)))
    made = verification(dataclasses.replace(SIX[0], seeds=(both,)))
    tree = Reader(pages.verification_page(made)).root
    for table in tree.all("table"):
        assert len(set(cells(table))) == 1
    summary = next(iter(tree.all("table")))
    blocks = [row.children[-3].words for row in summary.all("tr")][1:]
    assert blocks == ["content", "content and style"]


def test_what_a_verdict_would_have_seen_is_told_with_its_group():
    words = page_tree().words
    assert (
        "Positive controls: 1 of 2 invertible functions of content are called identified, 1 undecided"
        in words
    )
    assert "Smallest planted leak that is seen: linear 10%, even none up to 20%." in words


def test_tables_say_of_which_seeds_encodings_were_whitened():
    best = finding().seeds[0].optimum
    of_both = [dataclasses.replace(best, seed=0), dataclasses.replace(best, seed=1, whitened=True)]
    assert verdicts.whitening_note(of_both[:1]) == []
    note = "are whitened first, as the objective compares them."
    assert verdicts.whitening_note(of_both[1:]) == [f"Encodings {note}"]
    assert verdicts.whitening_note(of_both) == [f"Encodings of seeds 1 {note}"]
