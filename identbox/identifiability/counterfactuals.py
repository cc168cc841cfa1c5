"""Counterfactual splits of a dataset as evidence: the same samples before and after an intervention, encoded.

Nothing here knows how samples are encoded: ``encode`` takes the name of a split of the dataset and returns the
encodings of its samples by view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from identbox.data.counterfactuals import Counterfactual, counterfactuals_of
from identbox.data.dataset import Multimodal3DIdent
from identbox.data.folder import Columns
from identbox.metrics.displacement import displacement
from identbox.metrics.displacement_records import Displacement
from identbox.process.model import Process

EncodeNamed = Callable[[str], Mapping[str, Float[Tensor, "n d"]]]  # a split -> encodings by view


@dataclass(frozen=True)
class LatentRows:
    """The latents of some samples."""

    image_latents: Columns
    text_latents: Columns

    def __len__(self) -> int:
        return len(next(iter(self.image_latents.values())))

    def rows(self, start: int, stop: int) -> LatentRows:
        """Those of some of the samples."""
        image, text = (
            {name: column[start:stop] for name, column in columns.items()}
            for columns in (self.image_latents, self.text_latents)
        )
        return LatentRows(image, text)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A counterfactual split: its latents, those of the samples that it is made from, and the encodings of both."""

    intervention: Counterfactual
    before: LatentRows
    after: LatentRows
    encoded_before: Mapping[str, Float[Tensor, "n d"]]
    encoded_after: Mapping[str, Float[Tensor, "n d"]]


def read_pairs(
    dataset: Path,
    encode: EncodeNamed,
    *,
    of: str = "test",
    wanted: Callable[[Counterfactual], bool] = lambda one: True,
) -> list[Pairs]:
    """The counterfactual splits of a dataset that are made from the split ``of``, with their encodings."""
    found = []
    known = [one for one in counterfactuals_of(dataset) if one.of == of and wanted(one)]
    whole = encode(of) if known else {}
    for one in known:
        data = Multimodal3DIdent(dataset, of, intervention=str(one))
        assert data.before is not None
        n, after = len(data), encode(one.name)
        found.append(
            Pairs(
                intervention=one,
                before=LatentRows(data.before.image_latents, data.before.text_latents).rows(0, n),
                after=LatentRows(data.image_latents, data.text_latents),
                encoded_before={view: whole[view][:n] for view in after},
                encoded_after=after,
            )
        )
    return found


def displacements(pairs: Sequence[Pairs]) -> list[Displacement]:
    """What moves the encodings: for each intervention and view the displacement."""
    return [
        displacement(one.encoded_before[view], after, view=view, intervention=one.intervention.what)
        for one in pairs
        for view, after in one.encoded_after.items()
    ]


def content_redrawn(pairs: Sequence[Pairs], process: Process) -> Pairs | None:
    """The pairs of the same content with everything else redrawn as its causes make it; None where there are none."""
    varying = {v.name for v in process.variables if not v.distribution.constant}
    content = {v.name for v in process.variables if v.role == "content"}
    for one in pairs:
        changed = one.intervention.changed(process)
        if one.intervention.how == "redraw" and changed >= varying - content and not changed & content:
            return one
    return None
