"""The images of a live scene: a Blender that is started when the first one is asked for, and kept."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from identbox.errors import IdentboxError
from identbox.explore.scene import Asked, LiveProcess
from identbox.rendering.blender import Blender, choose_render_device, describe_blender
from identbox.rendering.live import LiveRenderer
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import RenderSettings

# Of a quick image, while a slider moves: so few that two cores make five and more a second.
QUICK_SIZE, QUICK_SAMPLES = 160, 1
THREADS = 2
LONGEST_CLIENT = 40  # characters


class LiveImages:
    """Renders the samples of a process as they are before and after what is moved.

    The quality is that of the dataset, or that of `RenderSettings` where there is none.
    """

    def __init__(
        self,
        process: LiveProcess,
        *,
        shapes: str = "builtin",
        offline: bool = False,
        executable: str | None = None,
    ) -> None:
        self._process, self._shapes, self._offline = process, shapes, offline
        self._blender = Blender(executable=executable)
        self._lock = threading.Lock()
        self._renderer: LiveRenderer | None = None
        self.remark = ""  # on what differs from the dataset
        own = {} if process.recipe is None else process.recipe.renderer
        self.settings = RenderSettings(
            size=own.get("size", 224), samples=own.get("samples", 4), threads=THREADS
        )

    def renderer(self) -> LiveRenderer:
        """The renderer, which is started at the first call.

        Raises IdentboxError where there is no Blender, or where the shapes have not the classes of the process.
        """
        with self._lock:
            if self._renderer is None:
                machine = describe_blender(self._blender)
                device: Any = choose_render_device("auto", machine["devices"])
                pack = load_pack(self._shapes, self._process.shapes, self._blender, offline=self._offline)
                self.remark = self._difference(pack.sha256, machine["blender"])
                settings = RenderSettings(
                    size=self.settings.size, samples=self.settings.samples, threads=THREADS, device=device
                )
                self._renderer = LiveRenderer(self._blender, pack.files, settings)
            return self._renderer

    def _difference(self, sha256: str, blender: str) -> str:
        recipe = self._process.recipe
        if recipe is None:
            return ""
        if recipe.shapes["sha256"] != sha256:
            return f"these are not the shapes of the dataset ({recipe.shapes['name']}); --shapes names a pack"
        if recipe.renderer["blender"] != blender:
            return f"Blender {blender} renders here; the dataset was rendered by {recipe.renderer['blender']}"
        return ""

    def request(self, asked: Asked, which: str, *, quick: bool, client: str) -> Future[bytes]:
        """The PNG of the sample ``before`` or ``after`` what is moved, for a place of one ``client``.

        The future raises Superseded where the same client asked for another one of that place in the meantime.
        Raises IdentboxError for a process of no scene.
        """
        if which not in ("before", "after"):
            raise IdentboxError(f"which: expected before or after, got {which:.20}")
        sample = self._process.base(asked) if which == "before" else self._process.moved(asked)
        shown = self._process.shown(sample, asked)
        if shown.record is None:
            raise IdentboxError(
                f"scene: expected a process that can be rendered, got one where {shown.without}"
            )
        size = min(QUICK_SIZE, self.settings.size) if quick else self.settings.size
        samples = QUICK_SAMPLES if quick else self.settings.samples
        place = f"{client[:LONGEST_CLIENT]}/{which}"
        return self.renderer().request(place, shown.record, size=size, samples=samples)

    def status(self) -> dict[str, Any]:
        """What the renderer does, and what happened to it."""
        renderer = self._renderer
        if renderer is None:
            return {"state": "not started", "note": "", "rendered": 0, "replaced": 0, "remark": self.remark}
        names = ("state", "note", "rendered", "replaced")
        return {**{name: getattr(renderer, name) for name in names}, "remark": self.remark}

    def close(self) -> None:
        """End the renderer."""
        with self._lock:
            if self._renderer is not None:
                self._renderer.close()
