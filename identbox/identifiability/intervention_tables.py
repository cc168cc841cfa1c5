"""Interventions by factors as tables; without torch, since reports need them too. `counterfactual_scores` measures."""

from __future__ import annotations

from collections.abc import Sequence

from identbox.data.factors import FACTOR_ROLES, factor_label
from identbox.metrics.scores import PRIME, Score
from identbox.tables import Table
from identbox.texts import fixed_digits

NOTE = (
    "R² or accuracy of nonlinear probes, fitted on one half of the split and scored on the other; in brackets what "
    "content alone predicts. Of a factor that the intervention changed the new values are predicted."
)


def intervention_tables(scores: Sequence[Score]) -> list[Table]:
    """For each view what its encodings predict after each intervention, beside what content alone predicts.

    Content stands first, then style, then what is specific to a view.
    """
    at = {(score.intervention, score.view, score.label): score for score in scores if score.nonlinear}
    roles = {score.target: score.role or FACTOR_ROLES[-1] for score in scores if not score.permuted}
    targets = sorted(roles, key=lambda target: FACTOR_ROLES.index(roles[target]))
    tables = []
    for view in dict.fromkeys(score.view for score in scores if score.view != "content"):
        rows = []
        for name in dict.fromkeys(score.intervention for score in scores if score.view == view):
            row = []
            for target in targets:
                # What the intervention put in place, where it changed the factor.
                label = target + PRIME if (name, view, target + PRIME) in at else target
                own, ceiling = at.get((name, view, label)), at.get((name, "content", label))
                text = "–" if own is None else fixed_digits(own.score)
                row.append(text if ceiling is None else f"{text} ({fixed_digits(ceiling.score)})")
            rows.append([str(name), *row])
        columns = ["intervention", *map(factor_label, targets)]
        title = f"Predicted from the {view} encoding after each intervention"
        align = "l" + "r" * len(targets)
        tables.append(Table(title, columns, rows, notes=[NOTE], align=align, dense=True))
    return tables
