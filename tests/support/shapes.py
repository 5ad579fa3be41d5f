"""The checker of diffmd's annotations under the tests: beartype, with jaxtyping's shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from beartype import BeartypeConf, beartype

_STRICT = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its arguments and result checked; an int will do for a float.

    JAX makes pytrees of batches, tracers and placeholders by calling the class, so their fields are not checked.
    """
    strict = _STRICT(function)
    if function.__name__ != "__init__":
        return strict

    def init(self: object, *args: Any, **kwargs: Any) -> Any:
        pytree = not jax.tree_util.all_leaves([self])
        return (function if pytree else strict)(self, *args, **kwargs)

    return init
