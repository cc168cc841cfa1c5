"""A verification as files: verification.json, verification.md and the page verification.html."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from identbox import files
from identbox.errors import IdentboxError
from identbox.experiments.learner import Learner
from identbox.experiments.pictures import encoding_picture
from identbox.experiments.trials import Trial
from identbox.experiments.verification import Verification, validation_losses
from identbox.metrics.displacement import displacements_in_world
from identbox.metrics.displacement_records import Displacement
from identbox.reports import pages, verdicts

PERMUTED_SAMPLES = 1000  # of a world, that each variable is permuted in


def write_verification(verification: Verification, folder: Path) -> list[Path]:
    """Write a verification to a folder, which is made; returns the paths of the files.

    Raises IdentboxError where the folder cannot be written to.
    """
    texts = {
        "verification.json": json.dumps(
            verdicts.json_value(verdicts.record(verification)), indent=1, allow_nan=False
        )
        + "\n",
        "verification.md": verdicts.markdown(verification),
        "verification.html": _page(verification),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            files.write_whole(folder / name, text.encode())
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error
    return [folder / name for name in texts]


def _page(verification: Verification) -> str:
    learners = {name: members[0].learner() for name, members in verification.groups.items()}
    return pages.verification_page(
        verification,
        losses=validation_losses(verification.runs),
        processes={name: members[0].process for name, members in verification.groups.items()},
        pictures={name: encoding_picture(one) for name, one in learners.items() if one is not None},
        trials={
            name: pages.EncoderTrial(
                displacements=displacements_of(members[0], learners[name]),
                interventions=members[0].interventions,
                scores=members[0].disentanglement,
            )
            for name, members in verification.groups.items()
        },
    )


def displacements_of(trial: Trial, learner: Learner | None) -> Sequence[Displacement]:
    """What moves a run's encodings: from its record, or else in its world by its checkpoint; none without either."""
    if trial.displacement or learner is None:
        return trial.displacement
    return displacements_in_world(learner.world, learner.encode, samples=PERMUTED_SAMPLES)
