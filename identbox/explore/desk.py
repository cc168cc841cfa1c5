"""All that a page can ask for, whatever it was opened on: a dataset, a process, runs, or several of them."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from identbox import documents
from identbox.explore.images import LiveImages
from identbox.explore.samples import DatasetView
from identbox.explore.scene import Asked, LiveProcess

if TYPE_CHECKING:
    from identbox.explore.encoders import RunEncoders
    from identbox.explore.lab import Lab

EXPLORE_TEMPLATES = Path(__file__).parent / "templates"
MODULES = sorted(path.name for path in (Path(__file__).parent / "static").glob("*.js"))


class Desk:
    """What lies open: each part is there or None."""

    def __init__(
        self,
        *,
        title: str = "identbox",
        dataset: DatasetView | None = None,
        scene: LiveProcess | None = None,
        images: LiveImages | None = None,
        lab: Lab | None = None,
        encoders: RunEncoders | None = None,
    ) -> None:
        self.title, self.dataset, self.scene, self.images = title, dataset, scene, images
        self.lab, self.encoders = lab, encoders

    def close(self) -> None:
        """End what runs."""
        if self.images is not None:
            self.images.close()

    def page(self, policy: str = "") -> str:
        """The HTML of the page, whose script reads all else. ``policy`` is for files that no server of ours sends."""
        # The script imports all modules, one after the other: the browser is told of them at once.
        given = {"title": self.title, "policy": policy, "modules": MODULES}
        return str(documents.fill_template("explore.html.j2", EXPLORE_TEMPLATES, **given))

    @property
    def pages(self) -> list[str]:
        """The pages that have something to show."""
        there = {
            "dataset": self.dataset,
            "scene": self.scene,
            "encoder": self.encoders or None,
            "runs": self.lab,
        }
        return [name for name, part in there.items() if part is not None]

    def info(self) -> dict[str, Any]:
        """What the page must know first."""
        return {
            "title": self.title,
            "live": True,
            "pages": self.pages,
            "dataset": None if self.dataset is None else self.dataset.info(),
            "scene": None if self.scene is None else self.scene.table(),
            "encoders": [] if self.encoders is None else self.encoders.table(),
        }

    def _samples(self) -> DatasetView:
        if self.dataset is None:
            raise KeyError("dataset")
        return self.dataset

    def column(self, split: int, column: int) -> bytes:
        """The values of a column."""
        return self._samples().split(split).values(column)

    def sentences(self, split: int, chunk: int) -> list[str]:
        """Some of the sentences of a split."""
        return self._samples().split(split).sentences(chunk)

    def image(self, split: int, row: int) -> bytes:
        """The image of a sample."""
        return self._samples().split(split).image(row)

    def record(self, split: int, row: int) -> dict[str, Any]:
        """The scene of a sample."""
        return self._samples().record(split, row)

    def dependence(self, split: int) -> dict[str, Any]:
        """How strongly each two factors of a split depend on each other."""
        return self._samples().split(split).dependence

    def search(self, split: int, asked: dict[str, Any]) -> bytes:
        """The rows whose sentence has some ``words``, in small letters or capitals, as 32-bit whole numbers."""
        words = str(asked.get("words", "")).lower()
        sentences = self._samples().split(split).source.sentences
        found = [row for row, sentence in enumerate(sentences) if words in sentence.lower()]
        return np.array(found, dtype="<u4").tobytes()

    def scene_state(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Every variable of a sample before and after some are moved."""
        return self._scene().answer(Asked.of_request(asked))

    def scene_image(self, asked: dict[str, Any]) -> Future[bytes]:
        """The image of a sample before or after some variables are moved."""
        if self.images is None:
            raise KeyError("images")
        quick, client = asked.get("quality") == "quick", str(asked.get("client", ""))
        return self.images.request(
            Asked.of_request(asked), str(asked.get("which")), quick=quick, client=client
        )

    def scene_status(self) -> dict[str, Any]:
        """What the renderer does."""
        if self.images is None:
            raise KeyError("images")
        return self.images.status()

    def _scene(self) -> LiveProcess:
        if self.scene is None:
            raise KeyError("scene")
        return self.scene

    def _lab(self) -> Lab:
        if self.lab is None:
            raise KeyError("lab")
        return self.lab

    def runs(self) -> dict[str, Any]:
        """Every run, sweep and verification, with how far each is."""
        return self._lab().table()

    def run_curves(self, number: int) -> dict[str, Any]:
        """The figures of a run by step."""
        return self._lab().curves(number)

    def run_report(self, number: int) -> dict[str, Any]:
        """The report of a run or a sweep."""
        return self._lab().report(number)

    def run_figure(self, number: int, place: int) -> bytes:
        """A figure of a report."""
        return self._lab().figure(number, place)

    def run_page(self, number: int) -> str:
        """The page of a verification."""
        return self._lab().verification_page(number)

    def _encoders(self) -> RunEncoders:
        if self.encoders is None:
            raise KeyError("encoders")
        return self.encoders

    def encoder_status(self, run: int) -> dict[str, Any]:
        """How far the loading of a run is."""
        return self._encoders().status(run)

    def encoder_read(self, run: int, asked: dict[str, Any]) -> dict[str, Any]:
        """What a run makes of the present image and sentence."""
        return self._encoders().read(run, asked)
