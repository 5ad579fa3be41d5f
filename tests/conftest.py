"""What all tests share: the shapes and types of every function of diffmd are checked; programs are compiled once."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import jax
import pytest
import support.shapes  # noqa: F401 - the hook looks it up by its name
from jaxtyping import install_import_hook
from support.compiled import kept_in

# As the command line has it: tracing makes objects by the hundred thousand, nearly all of which stay.
gc.set_threshold(50_000, 10, 10)

# Before anything imports diffmd.
install_import_hook("diffmd", "support.shapes.checked")


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs that several tests compile, also those of another worker, are compiled once."""
    folder = tmp_path_factory.getbasetemp()
    with kept_in((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "compiled"):
        yield


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
