"""identbox: multimodal data whose hidden causes are known, and tests of whether a learner found them."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("identbox")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from identbox.data.dataset import Multimodal3DIdent
    from identbox.errors import IdentboxError
    from identbox.process.model import Process

_PLACES = {"Multimodal3DIdent": "data.dataset", "IdentboxError": "errors", "Process": "process.model"}
__all__ = ["IdentboxError", "Multimodal3DIdent", "Process", "__version__"]


def __getattr__(name: str) -> Any:
    # Looked up on first use, so that `import identbox` and `identbox --help` load no torch.
    if name in _PLACES:
        return getattr(import_module(f"identbox.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'identbox' has no attribute {name!r}")
