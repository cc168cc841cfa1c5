from collections.abc import Iterator
from dataclasses import replace

import pytest

from drawn_squares import data, squares
from identbox.metrics import probing

__all__ = ["data", "few_epochs", "squares"]


@pytest.fixture(scope="module")
def few_epochs() -> Iterator[None]:
    """Predictors of classes that are trained for ten epochs, where no score is looked at."""
    train = probing.shallow_mlp

    def briefly(*arguments, settings, **options):
        return train(*arguments, settings=replace(settings, epochs=10), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "shallow_mlp", briefly)
        yield
