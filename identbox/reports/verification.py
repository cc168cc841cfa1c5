"""A verification as files: verification.json, verification.md and the page verification.html."""

from __future__ import annotations

import json
from pathlib import Path

from identbox import files
from identbox.errors import IdentboxError
from identbox.experiments.pictures import encoding_picture
from identbox.experiments.verification import Verification, validation_losses
from identbox.reports import pages, verdicts


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
    )
