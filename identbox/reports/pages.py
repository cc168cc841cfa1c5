"""A verification as one HTML page that needs nothing beside itself: no network, no script, no font.

What came true is said first; each group of runs follows with its process, the assumptions, what was predicted and
what was measured, and the controls come last, folded. Figures are those of `charts`. A policy in the page forbids
all that would be loaded from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from identbox.experiments.controls import CONTROLS
from identbox.experiments.pictures import SHOWN, Picture
from identbox.experiments.verification import Finding
from identbox.identifiability.verdicts import Condition, Judgement, Margins, Verdict
from identbox.metrics.elbow import Elbow
from identbox.process.model import Process
from identbox.reports import charts, graphs, svg
from identbox.reports.charts import WRONG, Pair
from identbox.reports.svg import Html, number, tag
from identbox.reports.tables import METRICS
from identbox.reports.verdicts import ranges

SIGNS = {"good": "✓", "bad": "✗", "open": "?", "none": "–"}
STATES = {"holds": "good", "violated": "bad", "unknown": "open"} | WRONG
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

LIGHT = """--bg:#fff;--fg:#1b1f24;--muted:#57606a;--line:#d5dbe1;--soft:#f5f7f9;--link:#0b5c94;--good:#0a6b4b;
--bad:#a62b08;--open:#7a5200;--content:#0b5c94;--style:#a8480a;--specific:#0b6e55;--heat:#a6cdee"""
DARK = """--bg:#14171b;--fg:#e6e9ed;--muted:#a3acb7;--line:#343b44;--soft:#1c2127;--link:#7cc4f5;--good:#58cfa0;
--bad:#ff9b7d;--open:#eac15a;--content:#7cc4f5;--style:#f5ac7b;--specific:#6fd3b0;--heat:#1d5583"""
STYLE = f"""
:root{{color-scheme:light dark;{LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}
@media print{{:root{{color-scheme:light;{LIGHT}}}}}
"""


STYLE += """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:72rem;margin:0 auto;padding:clamp(1.5rem,5vw,4rem) clamp(1rem,4vw,3rem)}
h1,h2,h3,h4{line-height:1.25;font-weight:650;text-wrap:balance;overflow-wrap:anywhere}
h1{font-size:clamp(1.7rem,5vw,2.5rem);margin:.2em 0 .4em;letter-spacing:-.015em}
h2{font-size:1.4rem;margin:3.5rem 0 1rem}h3{font-size:1.15rem;margin:0}
h4{font-size:1rem;margin:2.75rem 0 .75rem}p,ul{margin:.75rem 0}
a{color:var(--link);text-underline-offset:.15em;text-decoration-thickness:1px}
.kicker,.muted{color:var(--muted)}
.kicker,.note,.meta,figcaption,caption{font-size:.875rem}
.kicker{margin:0}.lead{font-size:1.1rem;margin:0}.prose,.lead,.note{max-width:44rem}
.state{white-space:nowrap}.state>span{font-weight:700}
.good{--state:var(--good)}.bad{--state:var(--bad)}.open{--state:var(--open)}.none{--state:var(--muted)}
.state{color:var(--state)}
.failures{border-left:3px solid var(--bad);padding:.25rem 0 .25rem 1.25rem;margin:1.5rem 0;list-style:none}
.failures li,.reasons li{overflow-wrap:anywhere}
.reasons{font-size:.9375rem;padding-left:1.1rem}
article,details:has(h3){border-top:1px solid var(--line);padding:1.75rem 0 2.5rem}
details:has(h3){padding:1rem 0}
article,[id]{scroll-margin-top:4rem}
summary{cursor:pointer}summary h3{display:inline;margin-right:.5rem}
.scroll{overflow-x:auto;margin:1rem 0;max-width:100%}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;font-size:.9375rem}
caption{text-align:left;color:var(--muted);padding-bottom:.4rem}
th,td{text-align:left;vertical-align:top;padding:.45rem 1.25rem .45rem 0;border-bottom:1px solid var(--line)}
thead th{font-weight:400;color:var(--muted);font-size:.875rem;vertical-align:bottom}
tbody th{font-weight:500}
.summary{min-width:100%}.summary td{white-space:nowrap}.summary tbody th{min-width:8rem;overflow-wrap:anywhere}
.summary [scope=rowgroup]{padding-top:1.5rem;font-weight:650}
.assumptions th{min-width:6.5rem}.assumptions td:last-child{min-width:8rem;overflow-wrap:anywhere}
.numbers td,.numbers th,.seeds td,.seeds th{white-space:nowrap}
.versus{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr));gap:1px;margin:1.25rem 0;
background:var(--line);border:1px solid var(--line)}
.versus>div{background:var(--bg);padding:.8rem 1rem}
dt{color:var(--muted);font-size:.875rem}dd{margin:0;overflow-wrap:anywhere}
.versus dd strong{display:block;font-size:1.1rem}.versus dd .muted{font-size:.875rem}
.provenance{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,12rem),1fr));gap:.75rem 2rem;margin:0;
font-size:.9375rem}
.beside{display:grid;gap:2rem;align-items:start;grid-template-columns:minmax(0,1fr)}
@media (min-width:60rem){.beside:has(figure){grid-template-columns:minmax(0,2fr) minmax(0,3fr)}}
.heats{display:flex;flex-wrap:wrap;gap:1rem 3rem;margin-top:2rem}.heats>.scroll{margin:0}
.heat tbody td{background:color-mix(in oklab,var(--heat) var(--v,0%),var(--soft));text-align:center;
white-space:nowrap;padding:.3rem .35rem;border:2px solid var(--bg);min-width:4rem;line-height:1.3}
.heat tbody td.empty{background:none}
.heat td.bad,.heat td.open{box-shadow:inset 0 0 0 2px var(--state)}
.heat small{display:block;font-size:.75rem}
.heat thead th{text-align:center;padding:.3rem .35rem}
.heat th:first-child{text-align:left;padding:.45rem .75rem .45rem 0}
.heat th,.heat td{border-bottom-width:2px;border-bottom-color:var(--bg)}
@media (max-width:40rem){table{font-size:.875rem}th,td{padding-right:.75rem}}
@media print{
body{font-size:10.5pt;-webkit-print-color-adjust:exact;print-color-adjust:exact}main{max-width:none;padding:0}
details::details-content{content-visibility:visible;block-size:auto}.scroll{overflow:visible}
h2,h3,h4{break-after:avoid}figure,tr,.versus,.heat{break-inside:avoid}a{text-decoration:none}}
"""


def page(
    findings: Sequence[Finding],
    margins: Margins,
    factors: Elbow | None,
    *,
    losses: Mapping[tuple[int, int], float] | None = None,
    processes: Mapping[str, Process] | None = None,
    pictures: Mapping[str, Picture] | None = None,
) -> str:
    """The report of a verification as one HTML page.

    ``losses`` are the validation losses (nats) behind ``factors``, by seed and encoding size; ``processes`` and
    ``pictures`` go by the names of findings, and what is left out is not drawn. Equal arguments give equal text.
    """
    runs = [finding for finding in findings if finding.control is None]
    spoilt = [finding for finding in findings if finding.control is not None]
    places = {id(finding): f"group-{place}" for place, finding in enumerate([*runs, *spoilt], 1)}
    headline, told = _headline(findings)
    kicker = tag("p", "identbox · verification of Theorem 2", class_="kicker")
    parts: list[Html | None] = [
        tag("header", kicker, tag("h1", headline), told),
        _failures(findings, places),
        tag("section", tag("h2", "Verdicts"), _summary(runs, spoilt, places), _words(margins)),
    ]
    if factors is not None:
        parts.append(_factors(factors, losses))
    for title, members in (("Runs", runs), ("Negative controls", spoilt)):
        if members:
            parts.append(tag("h2", title))
            for f in members:
                body = _group(f, (processes or {}).get(f.name), (pictures or {}).get(f.name))
                parts.append(_framed(f, places[id(f)], body))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"Verification of Theorem 2: {headline}"),
        tag("style", Html(STYLE + svg.STYLE)),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", tag("main", *parts)), lang="en") + "\n"


def _headline(findings: Sequence[Finding]) -> tuple[str, Html]:
    predicted = [j for f in findings if f.control is None for j in f.judgements if j.prediction.outcome]
    spoilt = [finding for finding in findings if finding.control is not None]
    failed = sum(finding.failure is not None for finding in findings)
    undecided = any(j.prediction.outcome and j.came_true is None for f in findings for j in f.judgements)
    if failed:
        title = f"{failed} of {_count(len(findings), 'group')} of runs failed"
    elif predicted or spoilt:
        title = "No prediction failed" if undecided else "Every prediction came true"
    else:
        title = "Nothing was predicted of these runs"
    true = sum(j.came_true is True for j in predicted)
    parts = [f"{true} of {_count(len(predicted), 'prediction')} on runs came true"] if predicted else []
    if spoilt:
        caught = sum(f.judgements[0].outcome != "identified" for f in spoilt)
        parts.append(f"{caught} of {_count(len(spoilt), 'negative control')} were not called identified")
    runs = sum(len(finding.seeds) for finding in findings)
    parts.append(f"{_count(runs, 'run')} in {_count(len(findings), 'group')} were judged")
    return title, tag("p", f"{'; '.join(parts)}.", class_="lead")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _block(judgement: Judgement) -> str:
    return " and ".join(judgement.prediction.block)


def _failures(findings: Sequence[Finding], places: Mapping[int, str]) -> Html | None:
    items = []
    for finding in findings:
        if finding.failure is not None:
            name = finding.name if finding.control is None else f"control {finding.name}"
            link = tag("a", name, href=f"#{places[id(finding)]}")
            items.append(tag("li", link, f": {_why(finding)}"))
    return tag("ul", *items, class_="failures") if items else None


def _why(finding: Finding) -> str:
    """The failure as a sentence."""
    for judgement in finding.judgements:
        if judgement.came_true is False:
            predicted = judgement.prediction.outcome
            return f"{_block(judgement)}: predicted {predicted}, measured {judgement.outcome}."
    return f"{finding.failure}."


def _state(class_: str, words: str) -> Html:
    """A word with its sign; the sign says to the eye what the colour does."""
    return tag("span", tag("span", SIGNS[class_], aria_hidden="true"), f" {words}", class_=f"state {class_}")


def _came_true(judgement: Judgement) -> Html:
    if judgement.prediction.outcome is None:
        return _state("none", "nothing predicted")
    true, false, undecided = ("good", "came true"), ("bad", "refuted"), ("open", "undecided")
    return _state(*{True: true, False: false, None: undecided}[judgement.came_true])


def _table(head: Sequence[object], rows: Sequence[Sequence[object]], label: str, class_: str = "") -> Html:
    """A table in a box of its own that scrolls; the first cell of a row is its heading."""
    body = [tag("tr", tag("th", first, scope="row"), *[tag("td", c) for c in rest]) for first, *rest in rows]
    return _box(label, tag("thead", _heads(head)), tag("tbody", *body), class_=class_)


def _heads(head: Sequence[object]) -> Html:
    return tag("tr", *[tag("th", cell, scope="col") for cell in head])


def _box(label: str, *parts: object, class_: str = "") -> Html:
    table = tag("table", tag("caption", label), *parts, class_=class_ or None)
    return tag("div", table, class_="scroll", role="region", aria_label=label, tabindex=0)


def _summary(runs: Sequence[Finding], spoilt: Sequence[Finding], places: Mapping[int, str]) -> Html:
    head = ("runs", "prediction", "predicted", "measured", "block", "dimensions", "seeds")
    bodies = []
    for findings, title in ((runs, ""), (spoilt, "Negative controls")):
        rows = [tag("tr", tag("th", title, colspan=7, scope="rowgroup"))] if title and findings else []
        for finding in findings:
            link = tag("a", finding.name, href=f"#{places[id(finding)]}")
            first: Html | None = tag("th", link, scope="row", rowspan=len(finding.judgements))
            size = "–" if finding.encoding_size is None else finding.encoding_size
            for judgement in finding.judgements:
                cells = (
                    _came_true(judgement), judgement.prediction.outcome or "nothing", judgement.outcome,
                    _block(judgement), size, ranges(finding.seeds),
                )  # fmt: skip
                rows.append(tag("tr", first, *[tag("td", cell) for cell in cells]))
                first = None
        if rows:
            bodies.append(tag("tbody", *rows))
    return _box("Predicted beside measured", tag("thead", _heads(head)), *bodies, class_="summary")


def _words(margins: Margins) -> Html:
    return tag(
        "p",
        tag("strong", "Identified"),
        f": the encodings tell the block (every score at least {margins.content:g}), and of anything else no more than "
        f"the block itself does (at most {margins.excess:g} beyond its ceiling), as it is and after each block is "
        f"permuted, by the unfavourable ends of {margins.confidence:.0%} intervals. ",
        tag("strong", "Not identified"),
        ": one of these fails by the favourable end. ",
        tag("strong", "Undecided"),
        ": neither; more seeds or probe samples decide.",
        class_="muted prose",
    )


def _factors(factors: Elbow, losses: Mapping[tuple[int, int], float] | None) -> Html:
    told = f"{str(factors)[0].upper()}{str(factors)[1:]}"
    why = "" if factors.size is None else f" {factors.reason[0].upper()}{factors.reason[1:]}."
    caption = "Validation loss in nats; thin lines are seeds"
    return tag(
        "section",
        tag("h2", "How many content factors?"),
        tag("p", "Where the validation loss stops falling: ", tag("strong", told), f".{why}", class_="prose"),
        _figures((caption, charts.losses(losses, factors))) if losses else None,
    )


def _figures(*figures: tuple[str, Html]) -> Html:
    made = [tag("figure", tag("figcaption", caption), drawn) for caption, drawn in figures]
    return tag("div", *made, class_="figures")


def _framed(finding: Finding, place: str, body: Iterator[Html | None]) -> Html:
    """A group under its name; a control is folded, and opens where a link leads into it."""
    title = tag("h3", finding.name)
    if finding.control is None:
        return tag("article", title, *body, id=place)
    control = CONTROLS.get(finding.control)
    summary = tag("summary", title, " ", _came_true(finding.judgements[0]))
    known = f"{control.what}. " if control else ""
    what = tag("p", f"{known[:1].upper()}{known[1:]}To call its content identified would be wrong.")
    return tag("details", summary, tag("div", what, *body, id=place))


def _group(finding: Finding, process: Process | None, picture: Picture | None) -> Iterator[Html | None]:
    told = [f"{'Seeds' if len(finding.seeds) > 1 else 'Seed'} {ranges(finding.seeds)}"]
    if finding.encoding_size is not None:
        told.append(_count(finding.encoding_size, "encoding dimension"))
    yield tag("p", " · ".join(told), class_="muted meta")
    for judgement in finding.judgements:
        yield from _predicted(judgement)
    yield tag("h4", "Process and assumptions")
    yield tag("div", *_assumed(finding, process), class_="beside")
    for judgement in finding.judgements:
        yield from _measured(judgement)
    if picture is not None and picture.components:
        yield from _drawn(picture)
    yield tag("h4", "Seed by seed, and the gap to the optimum")
    yield from _optimum(finding)
    yield tag("h4", "Provenance")
    yield tag("dl", *_provenance(finding.provenance), class_="provenance")


def _predicted(judgement: Judgement) -> Iterator[Html]:
    block = _block(judgement)
    prediction = judgement.prediction
    views = ", ".join(f"view {v.view} {v.outcome}" for v in judgement.verdicts)
    yield tag(
        "dl",
        tag("div", tag("dt", f"Predicted of {block}"), tag("dd", tag("strong", prediction.outcome or "nothing"),
                                                       tag("span", prediction.reason, class_="muted"))),
        tag("div", tag("dt", "Measured"), tag("dd", tag("strong", judgement.outcome),
                                              tag("span", views, class_="muted"))),
        tag("div", tag("dt", "Prediction"), tag("dd", tag("strong", _came_true(judgement)))),
        class_="versus",
    )  # fmt: skip
    items = []
    for verdict in judgement.verdicts:
        told = "; ".join(verdict.brief)
        items.append(tag("li", tag("strong", f"View {verdict.view}, {verdict.outcome}. "), f"{told}."))
    yield tag("ul", *items, class_="reasons")


def _assumed(finding: Finding, process: Process | None) -> Iterator[Html]:
    if process is not None:
        caption = (
            "What causes what, and what each view sees. Content is bold, style dashed and in italics, what is specific "
            "to a view rounded; ε stands where a view sees a changed copy."
        )
        yield tag("figure", tag("figcaption", caption), graphs.graph(process))
    rows = [(a.name, _state(STATES[a.verdict], a.verdict), a.evidence) for a in finding.assumptions]
    effective = [f"{block} {number(value, 2)} of {dim}" for block, (dim, value) in finding.effective.items()]
    note = (
        tag("p", f"Effective dimensions: {', '.join(effective)}.", class_="muted note") if effective else None
    )
    head = ("assumption", "status", "evidence")
    yield tag("div", _table(head, rows, "Assumptions of Theorem 2", "assumptions"), note)


def _measured(judgement: Judgement) -> Iterator[Html]:
    block = _block(judgement)
    yield tag("h4", f"What was measured: {block}, and all else")
    figures = []
    for kind, what in (("content", "scores of the block"), ("excess", "anything else, beyond its ceiling")):
        # Views side by side, on one axis.
        ends = [
            e for v in judgement.verdicts for c in v.conditions if c.kind == kind for e in (c.low, c.high)
        ]
        for verdict in judgement.verdicts:
            held = [c for c in verdict.conditions if c.kind == kind]
            if held:
                title = f"View {verdict.view}: {what}"
                figures.append((title, charts.whiskers(title, held, ends)))
    yield _figures(*figures)
    note = (
        "Dots with their intervals against the margin; the wrong side is shaded. Full dot: satisfied; ring: open; "
        "cross: violated. ' marks what was permuted, as it is now."
    )
    yield tag("p", note, class_="muted note")
    yield tag("div", *[_heat(verdict) for verdict in judgement.verdicts], class_="heats")
    note = (
        "Above: the score, darker for more. Below: its ceiling, which content alone reaches. Bold: must be told. "
        "✗ beyond its margin, ? not decided."
    )
    yield tag("p", note, class_="muted note")
    rows = [_numbers(c) for verdict in judgement.verdicts for c in verdict.conditions]
    head = ("target", "view", "permuted", "score", "ceiling", "value", "interval", "margin", "state")
    label = f"All conditions on {block}"
    yield tag("details", tag("summary", f"{label}, in numbers"), _table(head, rows, label, "numbers"))


def _numbers(c: Condition) -> tuple[object, ...]:
    ceiling = "–" if c.kind == "content" else f"{number(c.ceiling)} ({c.how})"
    margin = f"{'at least' if c.kind == 'content' else 'at most'} {c.bound:g}"
    interval = f"{number(c.low)} to {number(c.high)}"
    score = f"{number(c.score)} ({METRICS.get(c.metric, c.metric)})"
    return (
        c.target, c.view, c.intervention or "–", score, ceiling, number(c.value), interval, margin,
        _state(STATES[c.state], c.state),
    )  # fmt: skip


def _heat(verdict: Verdict) -> Html:
    """Scores of targets by what was permuted; the number in each cell, its ceiling below."""
    blocks = list(dict.fromkeys(c.intervention for c in verdict.conditions if c.intervention))
    at = {(c.target, c.intervention): c for c in verdict.conditions}
    names = dict.fromkeys(c.target.removesuffix("'") for c in verdict.conditions)
    targets = [t for name in names for t in (name, f"{name}'") if any((t, b) in at for b in (None, *blocks))]
    above = tag("tr", tag("td", colspan=2), tag("th", "permuted", scope="colgroup", colspan=len(blocks)))
    rows = [
        tag("tr", tag("th", target, scope="row"), *[_cell(at.get((target, b))) for b in (None, *blocks)])
        for target in targets
    ]
    head = tag("thead", above if blocks else None, _heads(("target", "as it is", *blocks)))
    return _box(f"View {verdict.view}: scores", head, tag("tbody", *rows), class_="heat")


def _cell(c: Condition | None) -> Html:
    if c is None:
        return tag("td", class_="empty")
    mark = {"satisfied": "", "violated": " ✗", "open": " ?"}[c.state]
    depth = 100 * min(max(c.score, 0.0), 1.0) if math.isfinite(c.score) else 0.0
    score = tag("b" if c.kind == "content" else "span", f"{number(c.score, 2)}{mark}")
    return tag(
        "td",
        score,
        tag("small", f"of {number(c.ceiling, 2)}"),
        style=f"--v:{depth:.0f}%",
        class_=WRONG[c.state],
        title=f"{c}: {c.state}",
    )


def _drawn(picture: Picture) -> Iterator[Html]:
    yield tag("h4", "What the encodings tell")
    note = (
        f"Seed {picture.seed}, view {picture.view}: {SHOWN} samples, the value across and its best linear prediction "
        "from the encoding upwards. On the diagonal: told; flat: not told. Of style, and of what is specific to the "
        "view, the component that is told best; style that content causes is told as far as content tells it."
    )
    yield tag("p", note, class_="muted note")
    figures = []
    for c in picture.components:
        told = f"R² {number(c.r2, 2)}"
        words = f"{told}, {'near the diagonal' if c.r2 > 0.9 else 'away from the diagonal'}"
        caption = tag("figcaption", c.name, tag("b", told))
        figures.append(tag("figure", caption, charts.scatter(c, words)))
    yield tag("div", *figures, class_="figures small")


def _optimum(finding: Finding) -> Iterator[Html]:
    optima = {o.seed: o for o in finding.optima}
    values, scales, rows = [], [], []
    for seed in finding.seeds:
        cells: list[object] = [j.by_seed.get(seed, "–") for j in finding.judgements]
        o = optima.get(seed)
        s = None if o is None else o.equal_scale
        if o is not None:
            best, own = (o.oracle.value, o.oracle.error), (o.trained.value, o.trained.error)
            values.append(Pair(label=f"seed {seed}", oracle=best, run=own))
            cells.append(f"{number(o.gap, sign=True)} ± {number(o.trained.error)}")
            cells.append(f"{o.trained.alignment:.1e}")
            cells.append(", ".join(number(h, sign=True) for h in o.trained.entropies))
        if s is not None:
            scales.append(Pair(label=f"seed {seed}", oracle=(s.oracle, 0.0), run=(s.trained, s.error)))
            cells.append(f"{number(s.cost)} ± {number(s.error)}")
        rows.append([seed, *cells, *["–"] * (len(finding.judgements) + 4 - len(cells))])
    figures = [
        (f"{title}, in nats", charts.gaps(title, pairs, zero=zero))
        for title, pairs, zero in (("Eq. 8.9, at best 0", values, True), ("InfoNCE at equal scale", scales, False))
        if pairs
    ]  # fmt: skip
    outcomes = [f"verdict on {_block(judgement)}" for judgement in finding.judgements]
    head = ["seed", *outcomes, "gap of Eq. 8.9", "alignment", "entropies", "cost of InfoNCE"]
    yield _table(head, rows, "Seeds by themselves; values in nats", "seeds")
    if figures:
        yield _figures(*figures)
        how = finding.optima[0].how
        note = (
            f"Diamond: the oracle, the exact inverse of the mixing and the Darmois construction ({how}); dot: the run; "
            "bars: standard errors; to the right the difference. At equal scale the oracle's encodings have the mean "
            "squared norm of the run's, and the difference is the cost of imperfect alignment."
        )
        yield tag("p", note, class_="muted note")
    if finding.without:
        yield tag("p", f"Without an oracle: {finding.without}.", class_="muted note")


def _provenance(provenance: Mapping[str, Any], prefix: str = "") -> Iterator[Html]:
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            yield from _provenance(value, f"{prefix}{key}, ")
        elif value is not None:
            yield tag("div", tag("dt", f"{prefix}{key}"), tag("dd", value))
