"""One table, shown in a terminal, as Markdown, as HTML and as CSV."""

import csv
import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from identbox import documents
from identbox.tables import Table, TableCell, judged_cell

STRANGE = '<b>|"it\'s" & *co*_</b>'
TABLE = Table(
    "Scores",
    ("target", TableCell("content", face="bold"), "state"),
    [
        (TableCell("style", face="italic"), 0.31, judged_cell("not identified (2 of 3)")),
        (None, TableCell("0.70", face="bold", state="bad", below="of 0.95", shade=0.7, hint="a < b"), "–"),
        (STRANGE, TableCell("1", link="#group-1"), judged_cell("holds")),
    ],
    notes=["A sentence.", judged_cell("undecided: more seeds decide")],
    align="lrl",
    sections={2: "Controls"},
)


def printed(table: Table, **options) -> str:
    console = Console(file=io.StringIO(), width=80, **options)
    console.print(table)
    return console.file.getvalue()


def test_markdown_marks_faces_aligns_columns_and_escapes_text():
    lines = TABLE.markdown(level=2).splitlines()
    assert lines == [
        "## Scores",
        "",
        "| target | **content** | state |",
        "| :-- | --: | :-- |",
        "| *style* | 0.31 | not identified (2 of 3) |",
        "|  | **0.70 of 0.95** | – |",
        "| **Controls** |  |  |",
        r"""| &lt;b>\|"it's" & \*co\*\_&lt;/b> | 1 | holds |""",
        "",
        "- A sentence.",
        "- undecided: more seeds decide",
    ]


def test_text_and_terminal_hold_every_cell_in_order():
    text = str(TABLE)
    places = [
        text.index(part) for part in ("Scores", "style", "0.70 of 0.95", "Controls", STRANGE, "A sentence.")
    ]
    assert places == sorted(places)
    assert text in "\n".join(line.rstrip() for line in printed(TABLE).splitlines())
    assert "\x1b" not in text


def test_the_terminal_shows_states_in_colour():
    coloured = printed(TABLE, force_terminal=True, color_system="standard")
    for color, words in ((31, "not identified"), (32, "holds"), (33, "undecided")):
        assert re.search(rf"\x1b\[{color}m{words}", coloured)


def test_html_escapes_text_and_puts_a_sign_beside_each_colour():
    html = TABLE.html()
    assert "&lt;b&gt;|&#34;it&#39;s&#34; &amp; *co*_&lt;/b&gt;" in html
    assert '<th scope="row" rowspan="2"><i>style</i></th>' in html
    assert '<td class="bad" style="--v:70%" title="a &lt; b"><b>0.70 ✗</b><small>of 0.95</small></td>' in html
    assert '<span class="state good"><span aria-hidden="true">✓</span> holds</span>' in html
    assert '<a href="#group-1">1</a>' in html
    assert '<th colspan="3" scope="rowgroup">Controls</th>' in html


def test_csv_has_the_columns_and_rows_as_text():
    head, *rows = csv.reader(io.StringIO(TABLE.csv()))
    assert head == ["target", "content", "state"]
    assert rows[1] == ["", "0.70 of 0.95", "–"]
    assert rows[2] == [STRANGE, "1", "holds"]


def test_a_table_without_columns_is_its_title_and_notes():
    table = Table("No oracle", notes=("no checkpoint",))
    assert str(table) == "No oracle\nno checkpoint"
    assert table.markdown() == "### No oracle\n\n- no checkpoint"
    assert "<table" not in table.html()


@pytest.mark.parametrize("wrong", [{"rows": [("a",)]}, {"align": "l"}])
def test_rows_and_alignments_must_fit_the_columns(wrong: dict):
    with pytest.raises(ValueError, match="expected 2"):
        Table("", ("one", "two"), **wrong)


def test_a_page_escapes_text_and_keeps_tables():
    page = documents.page(STRANGE, STRANGE, documents.heading(STRANGE), TABLE)
    assert "<b>|" not in page
    assert page.count("&lt;b&gt;|") == 5
    assert TABLE.html() in page
    assert page == documents.page(STRANGE, STRANGE, documents.heading(STRANGE), TABLE)
    assert not re.search(r"<(script|link|img)|url\(|@import|https?:", page)


def test_a_linked_name_is_escaped_and_may_break_after_an_underscore():
    page = Table("", ("runs",), [(TableCell("<i>_0.75-a_b", link="#group-1"),)]).html()
    assert '<a href="#group-1">&lt;i&gt;_<wbr>0.75-a_<wbr>b</a>' in page


def test_tables_load_no_library_before_they_are_shown():
    code = "import sys, identbox.tables, identbox.documents; print({'rich', 'jinja2', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_dense_table_wider_than_the_terminal_is_shown_in_blocks_of_columns():
    columns = ("intervention", *(f"factor {place}" for place in range(30)))
    rows = [(f"permute:{name}", *(f"{name}{place}" for place in range(30))) for name in "abc"]
    text = printed(Table("Wide", columns, rows, align="l" + "r" * 30, dense=True))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for row in rows:
        assert re.findall(rf"\b{row[0][-1]}\d+", text) == list(row[1:])
    assert text.count("intervention") == text.count("permute:a") > 2
    alone = printed(Table("One", ("name",), [("a",), ("b",)], dense=True))
    assert [line.strip() for line in alone.splitlines() if line.strip()][0::2] == ["One", "─" * 4, "b"]
