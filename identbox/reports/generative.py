"""What the report of a multimodal VAE has beside that of every run: several modalities together, and likelihoods."""

from __future__ import annotations

from statistics import fmean

from identbox.experiments.records import Run
from identbox.reports.generation import (
    coherence_of,
    frechet_of,
    joint_likelihood,
    mean_of,
    modalities_of,
    probe_of,
    unconditional_frechet,
)
from identbox.reports.wording import METRIC_NAMES, MISSING, number_table
from identbox.tables import Table
from identbox.texts import fixed_digits


def subset_tables(run: Run) -> list[Table]:
    """What embeddings of several modalities, and the specific dimensions of each, predict; what a model generates."""
    return [*_subset_table(run), *_agreement_table(run), *_likelihood_table(run), *_exact_table(run)]


def _subset_table(run: Run) -> list[Table]:
    at = {(probe.view, probe.label, probe.nonlinear): probe for probe in run.probes_subsets}
    rows = []
    for view, label in dict.fromkeys((probe.view, probe.label) for probe in run.probes_subsets):
        pair = [at.get((view, label, kind)) for kind in (True, False)]
        one = pair[0] or pair[1]
        assert one is not None
        interval = f"[{fixed_digits(one.low)}, {fixed_digits(one.high)}]"
        first, second = (fixed_digits(p.score) if p else MISSING for p in pair)
        rows.append((view, label, first, interval, second, fixed_digits(one.chance)))
    if not rows:
        return []
    head = ("embedding", "target", "nonlinear", "95% CI", "linear", "chance")
    return [
        Table("Several modalities together, and specific dimensions", head, rows, align="llrrrr", dense=True)
    ]


def _agreement_table(run: Run) -> list[Table]:
    rows = [
        (
            str(one["given"]),
            str(one["generated"]),
            fixed_digits(one["r2"]),
            fixed_digits(one["chance"]) if "chance" in one else MISSING,
        )
        for one in run.content_agreement
    ]
    if not rows:
        return []
    return [
        Table("Content of generated views", ("given", "view", "R²", "chance"), rows, align="llrr", dense=True)
    ]


def _likelihood_table(run: Run) -> list[Table]:
    rows = [
        (
            str(one["what"]).partition(" by ")[0],
            f"{one['mean']:.2f} ± {one['error']:.2f}",
            f"{one['least_effective']:.0f} of {one['samples']}",
            f"{one['too_few_samples']} of {one['data']}",
        )
        for one in run.likelihood
    ]
    if not rows:
        return []
    head = ("in nats", "mean", "least effective samples", "K too small for")
    return [Table("Log-likelihoods on held-out data", head, rows, align="lrrr", dense=True)]


def _exact_table(run: Run) -> list[Table]:
    """What a model says of a law that is known, beside what is so."""
    exact = run.exact
    if exact is None:
        return []
    rows = [("E[L], the bound", exact.bound, exact.error, exact.log_evidence)]
    for one, known in zip(run.likelihood, exact.likelihood, strict=False):
        rows.append((str(one["what"]).partition(" by ")[0], one["mean"], one["error"], known))
    cells = [
        (what, f"{mean:.3f} ± {error:.3f}", f"{known:.3f}", f"{known - mean:.3f}")
        for what, mean, error, known in rows
    ]
    head = ("in nats", "model", "exact", "lost")
    return [Table("Beside the exact law", head, cells, align="lrrr", dense=True)]


def _exact_notes(run: Run) -> list[str]:
    exact = run.exact
    if exact is None:
        return []
    notes = [
        f"The bound is a mean over {exact.states} states of the law; beside it stands E[log p(x)], which no bound is "
        "above. Log-likelihoods are of the same samples in both columns."
    ]
    if exact.least_gap is not None and exact.printed_gap is not None:
        notes.append(
            f"With these subsets, {exact.decoder} decoders and the objective {exact.objective}, no model loses less "
            f"than {exact.least_gap:.3f} of E[log p(x)]. Eq. 7.5 as printed says {exact.printed_gap:.3f}."
        )
    return notes


def bound_notes(run: Run) -> list[str]:
    """Which bound the losses are of, and how likelihoods were estimated."""
    notes = _dmvae_notes(run)
    if not run.bound:
        return notes
    notes.append(f"The losses are of the {run.bound}.")
    if run.likelihood:
        how = str(run.likelihood[0]["what"]).partition(" by ")[2]
        notes.append(
            f"Log-likelihoods are by {how}, with the raw likelihoods and beta 1; errors are from sampling z."
        )
    return [*notes, *_exact_notes(run)]


def _dmvae_notes(run: Run) -> list[str]:
    if not run.mutual_information:
        return []
    parts = ", ".join(f"{value:.2f} (view {view})" for view, value in run.mutual_information.items())
    notes = [f"I(c; m) by the discriminator, in nats: {parts}."]
    if run.content_agreement:
        notes.append(
            "The content of a generated view is read by inverting its mixing. R² is that of the identity: 1 says that "
            "the view has exactly the content of the sample that it was made from, or of the other view that was made "
            "with it."
        )
    return notes


def run_tables(run: Run) -> list[Table]:
    """What the report of one run says of what it generates: by number of inputs, and from the prior."""
    most = modalities_of(run)
    if not run.coherence and not run.frechet_unconditional:
        return []
    rows: list[tuple[str, ...]] = []
    for k in range(1, most + 1):
        values = (probe_of(run, k), coherence_of(run, k), frechet_of(run, k), joint_likelihood(run, k))
        rows.append(
            (str(k), *(_text_of(value, digits) for value, digits in zip(values, (2, 2, 1, 0), strict=True)))
        )
    free = mean_of(one["score"] for one in run.coherence_unconditional)
    rows.append(("prior", MISSING, _text_of(free, 2), _text_of(unconditional_frechet(run), 1), MISSING))
    head = ("inputs", "linear probe", "coherence", "Frechet distance", "log p(x)")
    tables = [number_table("What is generated, over all subsets of a size", head, rows)]
    if kept := _kept_rows(run):
        names = ("factor", "metric", "kept", "ceiling")
        tables.append(number_table("What a modality keeps that is generated from itself", names, kept))
    return tables


def _text_of(value: float | None, digits: int) -> str:
    return MISSING if value is None else fixed_digits(value, digits)


def _kept_rows(run: Run) -> list[tuple[str, ...]]:
    """Each factor of the reconstructions, those of all modalities together where they are named alike."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in run.reconstruction:
        name = one["factor"].removesuffix(f"_{one['made']}")
        found.setdefault((name, one["metric"]), []).append((one["score"], one["ceiling"]))
    return [
        (
            name,
            METRIC_NAMES.get(metric, metric.replace("_", " ")),
            *(fixed_digits(fmean(v)) for v in zip(*own, strict=True)),
        )
        for (name, metric), own in found.items()
    ]
