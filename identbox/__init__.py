"""identbox: multimodal data whose hidden causes are known, and tests of whether a learner found them.

The names below are what a researcher needs: processes and worlds to sample, modules to train, encodings to probe and to
judge. Every function takes numpy arrays, torch tensors, and anything with ``__array__``. Each name is loaded when it is
first used, so that ``import identbox`` loads neither torch nor numpy.

    >>> from identbox import Mixing, Permute, World, numerical_simulation
    >>> world = World(numerical_simulation(causal=True), seed=0, mixing=Mixing(pool=100))
    >>> sample = world.sample(4096)
    >>> sample.x["1"].shape
    torch.Size([4096, 15])
    >>> cut = world.intervene(sample, Permute("content"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__: str

if TYPE_CHECKING:
    from identbox.data.dataset import Multimodal3DIdent as Multimodal3DIdent
    from identbox.errors import IdentboxError as IdentboxError
    from identbox.experiments.own_encoders import train as train
    from identbox.identifiability.margins import Margins as Margins
    from identbox.identifiability.oracle import Oracle as Oracle
    from identbox.identifiability.verify import Verdict as Verdict
    from identbox.identifiability.verify import verify as verify
    from identbox.learning.contrastive import Objective as Objective
    from identbox.metrics.disentanglement import scores as scores
    from identbox.metrics.probe import probe as probe
    from identbox.process.distributions import Categorical as Categorical
    from identbox.process.distributions import Constant as Constant
    from identbox.process.distributions import Laplace as Laplace
    from identbox.process.distributions import Normal as Normal
    from identbox.process.distributions import Uniform as Uniform
    from identbox.process.effects import Interval as Interval
    from identbox.process.effects import Linear as Linear
    from identbox.process.effects import Table as Table
    from identbox.process.heavy_tails import StudentT as StudentT
    from identbox.process.interventions import Permute as Permute
    from identbox.process.interventions import Resample as Resample
    from identbox.process.interventions import Set as Set
    from identbox.process.interventions import Shift as Shift
    from identbox.process.mixing import Mixing as Mixing
    from identbox.process.model import Change as Change
    from identbox.process.model import Process as Process
    from identbox.process.model import Variable as Variable
    from identbox.process.presets import multimodal3dident as multimodal3dident
    from identbox.process.presets import numerical_simulation as numerical_simulation
    from identbox.process.tables import load_process as load_process
    from identbox.process.world import World as World

_PLACES = {
    "World": "process.world",
    "Process": "process.model",
    "Variable": "process.model",
    "Change": "process.model",
    "Normal": "process.distributions",
    "Laplace": "process.distributions",
    "StudentT": "process.heavy_tails",
    "Uniform": "process.distributions",
    "Categorical": "process.distributions",
    "Constant": "process.distributions",
    "Linear": "process.effects",
    "Interval": "process.effects",
    "Table": "process.effects",
    "Permute": "process.interventions",
    "Set": "process.interventions",
    "Shift": "process.interventions",
    "Resample": "process.interventions",
    "Mixing": "process.mixing",
    "numerical_simulation": "process.presets",
    "multimodal3dident": "process.presets",
    "load_process": "process.tables",
    "Objective": "learning.contrastive",
    "train": "experiments.own_encoders",
    "probe": "metrics.probe",
    "scores": "metrics.disentanglement",
    "verify": "identifiability.verify",
    "Verdict": "identifiability.verify",
    "Margins": "identifiability.margins",
    "Oracle": "identifiability.oracle",
    "Multimodal3DIdent": "data.dataset",
    "IdentboxError": "errors",
}
_PACKAGES = (
    "process",
    "learning",
    "data",
    "metrics",
    "identifiability",
    "rendering",
    "experiments",
    "reports",
)
__all__ = ["__version__", *sorted(_PLACES)]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"identbox.{_PLACES[name]}"), name)
    if name in _PACKAGES:
        return import_module(f"identbox.{name}")
    if name == "__version__":
        return _version()
    raise AttributeError(f"module 'identbox' has no attribute {name!r}")


def _version() -> str:
    # Imported here, since this module takes longer to load than the rest of `identbox --help`.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("identbox")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
