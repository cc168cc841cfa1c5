"""What a page is opened on: from the words of a command to a desk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from identbox.data.folder import SPLITS
from identbox.data.formats import has_split
from identbox.data.multiview import is_multiview
from identbox.errors import IdentboxError
from identbox.explore.desk import Desk
from identbox.explore.images import LiveImages
from identbox.explore.samples import DatasetView
from identbox.explore.scene import LiveProcess
from identbox.process.tables import load_process

if TYPE_CHECKING:
    from identbox.explore.lab import Lab

DEFAULT_PROCESS = "multimodal3dident"


def open_desk(
    folder: Path | None = None,
    *,
    runs: Sequence[Path] = (),
    process: str | None = None,
    shapes: str = "builtin",
    offline: bool = False,
    executable: str | None = None,
) -> Desk:
    """The desk of a dataset folder, of a folder of runs, of several ``runs``, or of a process alone.

    Raises IdentboxError for what cannot be read, and names it.
    """
    view = None
    places = list(runs)
    if folder is not None and is_dataset(folder):
        view = DatasetView(folder)
        view.info()  # reads all splits, so that the first page comes at once
    elif folder is not None:
        places.insert(0, folder)
    lab = _lab_of(places)
    live, images = None, None
    if view is not None or process is not None or not places:
        recipe = None if view is None or process is not None else view.recipe
        drawn = recipe.process if recipe is not None else load_process(process or DEFAULT_PROCESS)
        live = LiveProcess(drawn, recipe)
        images = (
            None if live.without else LiveImages(live, shapes=shapes, offline=offline, executable=executable)
        )
    encoders = None
    if view is not None and live is not None and places:
        from identbox.explore.encoders import RunEncoders

        encoders = RunEncoders(places, view.folder, live, images)
    title = folder.resolve().name if folder is not None else live.process.name if live is not None else "runs"
    return Desk(title=title, dataset=view, scene=live, images=images, lab=lab, encoders=encoders)


def _lab_of(places: Sequence[Path]) -> Lab | None:
    """The runs in some folders. Without any, the modules of reports and training are not loaded."""
    if not places:
        return None
    from identbox.explore.lab import Lab

    return Lab(places)


def is_dataset(folder: Path) -> bool:
    """Whether a folder has a split of a dataset; otherwise it is taken for one of runs.

    Raises IdentboxError where there is no folder, and for a dataset of other modalities.
    """
    if not folder.is_dir():
        raise IdentboxError(f"{folder}: expected the folder of a dataset or of runs, got no folder")
    if is_multiview(folder):
        raise IdentboxError(
            f"{folder}: expected a dataset of images and sentences, got one of other modalities"
        )
    return any(has_split(folder, split) for split in SPLITS)
