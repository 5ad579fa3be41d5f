"""What the tests of observables share: frames, and observables built as a config would."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from diffmd.box import Box
from diffmd.observables import Frame, Observable, ObservableContext
from diffmd.spec import OBSERVABLES
from diffmd.system import System
from diffmd.units import MD, REDUCED


@pytest.fixture
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[True, False], ids=["double", "single"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    with jax.enable_x64(request.param):
        yield "float64" if request.param else "float32"


@pytest.fixture(scope="session")
def make() -> Callable[..., Observable]:
    """Builds an observable from plain data: `types` is a letter an atom, `h` the box vectors or None."""
    adapter = TypeAdapter(OBSERVABLES.union())

    def build(section: dict, types: str, h: np.ndarray | None = None, units: str = "reduced") -> Observable:
        names = tuple(dict.fromkeys(types))
        index = np.array([names.index(t) for t in types])
        system = System(index, index, names, np.zeros((0, 2), int), MD if units == "md" else REDUCED)
        spec = adapter.validate_python(section)
        return spec.build(ObservableContext(system, make_box(h), "loss.0.observable"))

    return build


def make_box(h: np.ndarray | None) -> Box:
    if h is None:
        return Box(jnp.eye(3), "none")
    h = np.asarray(h, dtype=float)
    return Box(jnp.asarray(h), "triclinic" if np.any(h != np.diag(np.diag(h))) else "orthorhombic")


@pytest.fixture(scope="session")
def frame() -> Callable[..., Frame]:
    def build(x: np.ndarray, h: np.ndarray | None = None, v: np.ndarray | None = None, **fields: object) -> Frame:
        x = jnp.asarray(x, jnp.zeros(()).dtype)
        v = jnp.zeros_like(x) if v is None else jnp.asarray(v)
        given = {
            "masses": jnp.ones(len(x)),
            "time": jnp.zeros(()),
            "potential_energy": lambda: jnp.zeros(()),
            "potential_energies": dict,
            "virial": lambda: jnp.zeros((3, 3)),
            "degrees_of_freedom": 3,
        }
        box = make_box(h) if not isinstance(h, Box) else h
        return Frame(positions=x, velocities=v, box=box, **(given | fields))

    return build
