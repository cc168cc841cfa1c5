"""Calls with arrays of another shape than the signature has fail in the tests: shapes by name, or by an alias."""

import inspect

import jaxtyping
import numpy as np
import pytest

from identbox.learning import contrastive
from identbox.metrics import associations
from identbox.process.model import Sample


def test_an_argument_of_another_shape_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match="codes"):
        associations.correlations(np.zeros(5), np.zeros((5, 1)))


def test_methods_are_checked_too():
    assert hasattr(inspect.getattr_static(Sample, "block"), "__wrapped__")


def test_functions_without_arrays_are_left_as_they_are():
    assert not hasattr(contrastive.Objective.encoding_size, "__wrapped__")
