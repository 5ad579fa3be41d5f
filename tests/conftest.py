"""What all tests share: the shapes and types of every function of diffmd are checked."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest
import support.shapes  # noqa: F401 - the hook looks it up by its name
from jaxtyping import install_import_hook

# Before anything imports diffmd.
install_import_hook("diffmd", "support.shapes.checked")


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[True, False], ids=["double", "single"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """Either precision; the name of its floats."""
    with jax.enable_x64(request.param):
        yield "float64" if request.param else "float32"
