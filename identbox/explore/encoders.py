"""The trained models that a page can ask: each is loaded when it is asked for the first time."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments.run import CONFIG_FILE
from identbox.explore.images import LiveImages
from identbox.explore.lab import folders_below
from identbox.explore.scene import Asked, LiveProcess
from identbox.learning.training import CHECKPOINT

if TYPE_CHECKING:
    from identbox.explore.reading import ReadModel

MOST_RUNS = 50


@dataclass
class _Loading:
    """How far the loading of a run is."""

    run: Path
    state: str = "not loaded"  # loading, ready, failed
    note: str = ""
    model: ReadModel | None = None


class RunEncoders:
    """The runs on a dataset among some folders; the present image and sentence are those of the live scene."""

    def __init__(
        self, places: Sequence[Path], dataset: Path, scene: LiveProcess, images: LiveImages | None
    ) -> None:
        found = [path for place in places for path in folders_below(place) if is_on_dataset(path)]
        self._runs = [_Loading(path) for path in found[:MOST_RUNS]]
        self._dataset, self._scene, self._images = dataset, scene, images
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._runs)

    def table(self) -> list[str]:
        """The names of the runs."""
        return [one.run.resolve().name for one in self._runs]

    def status(self, place: int) -> dict[str, Any]:
        """How far the loading of a run is; the first call starts it."""
        one = self._one(place)
        with self._lock:
            if one.state == "not loaded":
                one.state = "loading"
                threading.Thread(target=self._load, args=(one,), daemon=True).start()
        return {
            "state": one.state,
            "note": one.note,
            "generates": one.model is not None and one.model.generates,
        }

    def _one(self, place: int) -> _Loading:
        if not 0 <= place < len(self._runs):
            raise IndexError(place)
        return self._runs[place]

    def _load(self, one: _Loading) -> None:
        def tell(words: str) -> None:
            one.note = words

        try:
            from identbox.explore.reading import ReadModel

            tell("loading")
            one.model = ReadModel(one.run, self._dataset, tell)
            one.state, one.note = "ready", ""
        except IdentboxError as error:
            one.state, one.note = "failed", str(error)
        except Exception as error:
            traceback.print_exc()
            one.state, one.note = (
                "failed",
                f"a bug in identbox: {error!r:.200}; its traceback is in the terminal",
            )

    def read(self, place: int, request: dict[str, Any]) -> dict[str, Any]:
        """What a run makes of the present image and sentence, before and after what is moved.

        Raises Superseded where a newer request came, and IdentboxError where there is no image or no model yet.
        """
        model = self._one(place).model
        if model is None or self._images is None:
            raise IdentboxError("encoder: expected a run that is loaded and a scene with images, got none")
        asked = Asked.of_request(request)
        client = f"encoder {place} {str(request.get('client', ''))[:20]}"
        wanted = [
            self._images.request(asked, which, quick=False, client=client) for which in ("before", "after")
        ]
        images = [future.result() for future in wanted]
        shown = [
            self._scene.shown(sample, asked) for sample in (self._scene.base(asked), self._scene.moved(asked))
        ]
        found = model.read((images[0], images[1]), (shown[0].sentence, shown[1].sentence))
        return {**found, "true": shown[1].values, "true_before": shown[0].values}


def is_on_dataset(folder: Path) -> bool:
    """Whether a folder is a run that was trained on a dataset, with the weights still there."""
    if not (folder / CONFIG_FILE).is_file() or not (folder / CHECKPOINT).is_file():
        return False
    try:
        return isinstance(config.read_toml(folder / CONFIG_FILE).get("dataset"), dict)
    except IdentboxError:
        return False
