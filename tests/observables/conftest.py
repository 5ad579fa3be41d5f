"""What the tests of observables share: frames, and observables built as a config would."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from diffmd.box import Box
from diffmd.observables import Frame, Observable, ObservableContext, SeriesObservable
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
def make() -> Callable[..., Observable | SeriesObservable]:
    """Builds an observable from plain data: `types` is a letter an atom, `h` the box vectors or None; further fields
    of its context by name."""
    adapter = TypeAdapter(OBSERVABLES.union())

    def build(
        section: dict, types: str, h: np.ndarray | None = None, units: str = "reduced", **context: object
    ) -> Observable | SeriesObservable:
        names = tuple(dict.fromkeys(types))
        index = np.array([names.index(t) for t in types])
        paths = (tuple(f"system.{what}.{name}" for name in names) for what in ("masses", "charges"))
        system = System(index, index, names, np.zeros((0, 2), int), MD if units == "md" else REDUCED, *paths)
        spec = adapter.validate_python(section)
        return spec.build(ObservableContext(system, make_box(h), "loss.0.observable", **context))

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
            "hessian": lambda: jnp.zeros((x.size, x.size)),
            "degrees_of_freedom": 3,
        }
        box = make_box(h) if not isinstance(h, Box) else h
        return Frame(positions=x, velocities=v, box=box, **(given | fields))

    return build


@pytest.fixture(scope="session")
def rows(frame: Callable[..., Frame]) -> Callable[..., dict[str, jax.Array]]:
    """What a series observable keeps of frames: `x` (frames, atoms, 3), one `h` for all or one a frame, `dt` apart.

    A field given as a function of the positions becomes the frame's function of that name.
    """

    def keep(
        observable: SeriesObservable,
        x: np.ndarray,
        h: object = None,
        v: object = None,
        dt: object = 1.0,
        **fields: object,
    ) -> dict[str, jax.Array]:
        x = jnp.asarray(x, jnp.zeros(()).dtype)
        times = jnp.asarray(dt, x.dtype) * jnp.arange(len(x))
        v = jnp.zeros_like(x) if v is None else jnp.asarray(v, x.dtype)
        boxes = None if h is None else jnp.broadcast_to(jnp.asarray(h, x.dtype), (len(x), 3, 3))

        def one(x: jax.Array, v: jax.Array, time: jax.Array, h: jax.Array | None) -> dict[str, jax.Array]:
            of = {name: (lambda f=f: f(x)) if callable(f) else f for name, f in fields.items()}
            box = None if h is None else Box(h, "triclinic")
            return observable.measure(frame(x, box, v, time=time, **of))

        return jax.jit(jax.vmap(one))(x, v, times, boxes)

    return keep


@pytest.fixture(scope="session")
def series(rows: Callable[..., dict[str, jax.Array]]) -> Callable[..., jax.Array]:
    """The value of a series observable over frames given as for `rows`."""

    def value(observable: SeriesObservable, *frames: object, **fields: object) -> jax.Array:
        return jax.jit(observable.over)(rows(observable, *frames, **fields))

    return value
