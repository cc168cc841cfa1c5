"""What counterfactual splits show of an encoder, as the record of a run has it.

That is what moves its encodings, and what they predict after each intervention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from identbox import config
from identbox.identifiability.counterfactual_scores import intervention_scores
from identbox.identifiability.counterfactuals import Pairs, displacements


def evidence_record(
    pairs: Sequence[Pairs], *, process: Mapping[str, Any], bootstrap: int, seed: int
) -> dict[str, Any]:
    """The keys ``displacement`` and ``interventions`` of a record; none where there are no counterfactual splits."""
    if not pairs:
        return {}
    scores = intervention_scores(pairs, process=process, bootstrap=bootstrap, seed=seed)
    return {
        "displacement": [config.toml_values(one.record()) for one in displacements(pairs)],
        "interventions": [config.toml_values(one.record()) for one in scores],
    }
