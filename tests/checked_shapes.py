"""Which functions the tests check at every call: those whose annotations have a shape of jaxtyping.

The option --jaxtyping-packages in pyproject.toml has everything in identbox checked. Of the calls seven in ten have no
array among their arguments, and mypy checks their types. Checked as well, they take a third of a collection
and of many tests.
"""

import re
from functools import partial

import jaxtyping
from jaxtyping._decorator import jaxtyped as check  # the original, also where this module is imported twice


def with_shapes(one, *, typechecker):
    """The function or dataclass, checked at every call where its annotations have a shape, by name or by an alias."""
    function = one.__init__ if isinstance(one, type) else one
    words = re.findall(r"\w+", " ".join(map(str, getattr(function, "__annotations__", {}).values())))
    known = getattr(function, "__globals__", {})
    shapes = any("jaxtyping" in repr(known.get(word)) for word in words)
    return check(one, typechecker=typechecker) if shapes else one


jaxtyping.jaxtyped = lambda *, typechecker: partial(with_shapes, typechecker=typechecker)
