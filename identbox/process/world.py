"""A world: a process with its random parameters drawn, and a mixing for each view (Eq. 8.4, 8.5).

world = World(numerical_simulation(causal=True), seed=0)
sample = world.sample(4096)
sample.x["1"]               # observations of the first view
sample.z["1"]["content"]    # and the latents behind them
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox import arrays, seeding
from identbox.errors import IdentboxError
from identbox.process import mixing
from identbox.process.interventions import Intervention
from identbox.process.mixing import InvertibleMLP, Mixing
from identbox.process.model import ROLES, Process, Sample, Values


@dataclass(frozen=True)
class Observed:
    """n joint draws of a world: what each view shows, and the latents behind it."""

    latent: Sample
    x: dict[str, Float[Tensor, "n _"]]  # observations by view

    @property
    def z(self) -> dict[str, Values]:
        """The variables that each view sees, by view and name: (n, dim) tensors."""
        return self.latent.views

    def __len__(self) -> int:
        return len(self.latent)

    def block(self, view: str, role: str) -> Float[Tensor, "n d"]:
        """The variables of one role that a view sees, side by side: (n, summed dim)."""
        return self.latent.block(view, role)


class World:
    """Samples a process, mixes what each view sees into observations, and answers interventions.

    Random parameters of the process and the mixings are drawn from ``seed``. With ``shared_mixing`` all views have one
    mixing (the multi-view setting, f1 = f2). Nothing is random beyond the seed: the same call gives the same sample,
    and a call that names another stream gives another one.

    Raises IdentboxError where views of different dimensions should share a mixing.

    >>> from identbox import Mixing, Permute, World, numerical_simulation
    >>> world = World(numerical_simulation(content=2, style=2, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> sample = world.sample(4)
    >>> sample.x["1"].shape, sample.z["1"]["content"].shape
    (torch.Size([4, 5]), torch.Size([4, 2]))
    >>> cut = world.intervene(sample, Permute("content"))
    >>> bool((cut.z["1"]["style"] == sample.z["1"]["style"]).all())
    True
    """

    def __init__(
        self,
        process: Process,
        *,
        seed: int,
        mixing: Mixing | None = None,
        mixings: Mapping[str, InvertibleMLP] | None = None,
        shared_mixing: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.process, self.seed = process.realise(seed=seed), seed
        self.shared_mixing = shared_mixing
        self.mixing = Mixing() if mixing is None else mixing
        self.given_mixings = mixings is not None
        self.mixings = (
            _drawn_mixings(self.process, self.mixing, seed=seed, shared=shared_mixing, device=device)
            if mixings is None
            else _given_mixings(self.process, mixings, device=device)
        )

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views."""
        return self.process.views

    @property
    def device(self) -> torch.device:
        """Where samples are drawn: the device of the mixings."""
        return self.mixings[self.views[0]].weights.device

    @property
    def content_size(self) -> int:
        """The dimensions of content together; constants do not count."""
        return self.process.content_size

    def table(self) -> dict[str, Any]:
        """How the mixings were drawn, as tables of TOML."""
        drawn = {"mixing": dataclasses.asdict(self.mixing), "shared_mixing": self.shared_mixing}
        return {**drawn, "given_mixings": True} if self.given_mixings else drawn

    def sample(self, n: int, *stream: str | int) -> Observed:
        """n joint draws from the stream of that name (``"sample"`` if none is named).

        Raises IdentboxError for n < 1.
        """
        names = stream or ("sample",)
        generator = seeding.generator(self.seed, *names, device=self.device)
        return self.observed(self.process.sample(n, generator=generator))

    def intervene(
        self,
        sample: Observed,
        *interventions: Intervention,
        recompute: bool = False,
        stream: Sequence[str | int] = (),
    ) -> Observed:
        """The sample as it would have been under interventions, with the noise that made it.

        Without ``recompute`` the descendants of what is changed stay as they are (the cut of appendix A.6). With it
        they follow (a do-intervention). ``stream`` names the draws of a permutation or of a resampling.

        Raises IdentboxError for a variable or role that the process does not have.
        """
        return self.observed(
            self.process.intervene(
                sample.latent,
                *interventions,
                recompute=recompute,
                generator=seeding.generator(self.seed, "intervene", *stream, device=self.device),
            )
        )

    def observed(self, sample: Sample) -> Observed:
        """A sample of the process with what each view shows of it."""
        return Observed(sample, {view: self.mixings[view](sample.latents(view)) for view in self.views})

    def invert(self, x: Any, view: str) -> dict[str, Shaped[Tensor, "n _"]]:
        """The latents behind observations of a view, by variable: what ``sample.z[view]`` holds, but for rounding.

        ``x`` is an array or tensor of shape (n, d). Raises IdentboxError for another shape, for numbers that are not
        finite, and for a view that there is not.

        >>> from identbox import Mixing, World, numerical_simulation
        >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
        >>> sample = world.sample(100)
        >>> z = world.invert(sample.x["2"], view="2")
        >>> torch.allclose(z["style"], sample.z["2"]["style"], atol=1e-4)
        True
        """
        seen = self.process.seen_by(view)
        width = sum(variable.distribution.dim for variable in seen)
        values = arrays.matrix(x, f"observations of view {view}", columns=width).to(
            self.device, torch.float32
        )
        latents = self.mixings[view].inverse(values)
        ordered = [variable for role in ROLES for variable in seen if variable.role == role]
        parts = latents.split([variable.distribution.dim for variable in ordered], dim=1)
        found = {
            variable.name: part if variable.distribution.domain.classes is None else part.round().long()
            for variable, part in zip(ordered, parts, strict=True)
        }
        return {variable.name: found[variable.name] for variable in seen}


def _drawn_mixings(
    process: Process, settings: Mixing, *, seed: int, shared: bool, device: torch.device | str
) -> dict[str, InvertibleMLP]:
    """A mixing for each view, or one for all of them."""
    sizes = {view: sum(v.distribution.dim for v in process.seen_by(view)) for view in process.views}
    if shared and len(set(sizes.values())) > 1:
        raise IdentboxError(
            f"setting: expected views of equal dimension for multiview, got {list(sizes.values())}"
        )
    drawn: dict[str, InvertibleMLP] = {}
    for view in process.views:
        name = process.views[0] if shared else view
        if name not in drawn:
            drawn[name] = mixing.draw(sizes[name], settings, seed=seed, name=f"mixing/{name}").to(device)
        drawn[view] = drawn[name]
    return drawn


def _given_mixings(
    process: Process, mixings: Mapping[str, InvertibleMLP], *, device: torch.device | str
) -> dict[str, InvertibleMLP]:
    """The mixing of each view from those that are given; views without one have that of the first view."""
    first = process.views[0]
    if first not in mixings or not set(mixings) <= set(process.views):
        got = ", ".join(mixings) or "none"
        raise IdentboxError(
            f"mixings: expected one for each of the views {', '.join(process.views)}; got {got}"
        )
    chosen = {view: mixings.get(view, mixings[first]).to(device) for view in process.views}
    for view, mixed in chosen.items():
        size = sum(v.distribution.dim for v in process.seen_by(view))
        if mixed.dim != size:
            raise IdentboxError(f"mixing of view {view}: expected {size} dimensions, got {mixed.dim}")
    return chosen


def unique_mixings(mixings: Mapping[str, InvertibleMLP]) -> dict[str, InvertibleMLP]:
    """Each mixing once, by the first view that has it."""
    found: dict[int, tuple[str, InvertibleMLP]] = {}
    for view, mixed in mixings.items():
        found.setdefault(id(mixed), (view, mixed))
    return dict(found.values())
