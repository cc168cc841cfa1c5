"""What a user asks to be rendered, and how it becomes a plan: a recipe, a pack of shapes, and the Blender to use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from identbox.data.colors import DEFAULT_NAMING, Naming
from identbox.data.folder import SPLITS
from identbox.data.recipe import Recipe, check_views, shape_names, with_shapes
from identbox.data.scene import Flavour
from identbox.process import tables
from identbox.process.model import Process
from identbox.rendering import generation
from identbox.rendering.blender import Blender, RenderDevice, choose_render_device, describe_blender
from identbox.rendering.generation import Part
from identbox.rendering.shapes import Pack, find_pack, load_pack
from identbox.rendering.workers import ImageSize, RenderOutcome, SamplesPerPixel
from identbox.settings import at_least, settings

SHARE_OF_OTHER_SPLITS = 0.08  # of n: the published dataset has 10 000 samples for 125 000


@settings
class RenderRequest:
    """A dataset, in the words of a user; the options of ``identbox render`` have the same names."""

    n: int  # training samples
    val: int | None = None  # validation samples (None: 8% of n)
    test: int | None = None  # test samples (None: 8% of n)
    process: str | Path | Process = "multimodal3dident"  # a name, a TOML file, or a process
    seed: Annotated[int, at_least(0)] = 0  # of all latents and pixels
    size: ImageSize = 224
    samples: SamplesPerPixel = 4
    scene: Flavour = "thesis"
    naming: Naming = DEFAULT_NAMING
    shapes: str = "builtin"  # 'builtin', 'published', or a folder
    offline: bool = False  # whether published shapes are taken from the cache alone
    device: Literal["auto"] | RenderDevice = "auto"
    executable: str | None = None  # an installed Blender (None: the bpy module)
    splits: tuple[Literal["train", "val", "test"], ...] = ()  # whose images are rendered (none named: all)
    shard: tuple[int, int] = (1, 1)  # I, K: part I of K of each split

    def counts(self) -> dict[str, int]:
        """The number of samples of each split."""
        share = round(self.n * SHARE_OF_OTHER_SPLITS)
        return {
            "train": self.n,
            "val": share if self.val is None else self.val,
            "test": share if self.test is None else self.test,
        }


@dataclass(frozen=True, kw_only=True)
class RenderPlan:
    """A request that was found possible: all that is needed to render it on this machine or on others."""

    recipe: Recipe
    part: Part
    pack: Pack
    pack_name: str  # as the user wrote it, for other machines
    blender: Blender
    offline: bool


def plan_render(request: RenderRequest, *, on_step: Callable[[str], None] = lambda what: None) -> RenderPlan:
    """Find out what a request needs. Nothing is written but the cache; ``on_step`` gets in words what is done
    next: which file is fetched or read.

    Raises IdentboxError for a process that cannot be rendered, a pack that does not fit it, a Blender or a device that
    is not there, and numbers out of range.
    """
    part = Part(splits=request.splits or SPLITS, shard=request.shard)
    process = _process_of(request)
    blender = Blender(executable=request.executable)
    machine = describe_blender(blender)
    pack = load_pack(request.shapes, shape_names(process), blender, offline=request.offline, on_step=on_step)
    recipe = Recipe(
        process=process,
        splits=request.counts(),
        seed=request.seed,
        scene=request.scene,
        naming=request.naming,
        shapes=pack.table(),
        renderer={
            "blender": machine["blender"],
            "device": choose_render_device(request.device, machine["devices"]),
            "size": request.size,
            "samples": request.samples,
        },
    )
    return RenderPlan(
        recipe=recipe,
        part=part,
        pack=pack,
        pack_name=request.shapes,
        blender=blender,
        offline=request.offline,
    )


def _process_of(request: RenderRequest) -> Process:
    """The process of a request. Where it does not name its shapes itself, it draws those that the pack names."""
    if isinstance(request.process, Process):
        process, takes_classes = request.process, False
    else:
        process = tables.load_process(request.process)
        takes_classes = tables.inherits(request.process, "object_shape")
    check_views(process)
    listing = find_pack(request.shapes)
    return with_shapes(process, listing.classes) if takes_classes and listing.declared else process


def render_here(
    folder: Path,
    plan: RenderPlan,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_start: Callable[[int, int], None] = lambda done, total: None,
    on_image: Callable[[], None] = lambda: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> RenderOutcome:
    """Make the dataset of a plan in ``folder`` on this machine; what is there already is not made again.

    >>> plan = plan_render(RenderRequest(n=100, size=64))  # doctest: +SKIP
    >>> render_here(Path("m3di"), plan, workers=2)  # doctest: +SKIP

    ``on_start`` gets the number of images already there and that of all, ``on_image`` is called after each image.
    Raises IdentboxError as `generation.prepare_folder` and `generation.render_images` do.
    """
    generation.prepare_folder(folder, plan.recipe, overwrite=overwrite, on_message=on_message)
    outcome = generation.render_images(
        folder,
        plan.recipe,
        plan.part,
        plan.pack.files,
        plan.blender,
        workers=workers,
        on_start=on_start,
        on_image=on_image,
        on_message=on_message,
    )
    generation.finish(folder, plan.recipe)
    return outcome
