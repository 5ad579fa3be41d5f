"""What the tests of potentials share: precisions, build contexts, and finite differences."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from diffmd.potentials import BuildContext, Potential
from diffmd.spec import POTENTIALS


@pytest.fixture
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[True, False], ids=["double", "single"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    with jax.enable_x64(request.param):
        yield "float64" if request.param else "float32"


@pytest.fixture(scope="session")
def make() -> Callable[..., Potential]:
    """Builds a potential from plain data, as a config would give them."""
    adapter = TypeAdapter(POTENTIALS.union())

    def build(section: dict, types: str = "AAAA", **context: object) -> Potential:
        names = tuple(dict.fromkeys(types))
        index = np.array([names.index(t) for t in types])
        spec = adapter.validate_python(section)
        return spec.build(BuildContext("it", names, index, 7, ".", **context))

    return build


@pytest.fixture(scope="session")
def slope() -> Callable[..., np.ndarray]:
    """Fourth-order central differences of a scalar function, entry by entry."""

    def differences(function: Callable, x: np.ndarray, h: float = 1e-3) -> np.ndarray:
        function = jax.jit(function)
        x = np.asarray(x, dtype=float)
        out = np.zeros(x.shape)
        for index in np.ndindex(x.shape):

            def at(k: int, index: tuple = index) -> float:
                moved = x.copy()
                moved[index] += k * h
                return float(function(jnp.asarray(moved)))

            out[index] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
        return out

    return differences
