"""An observable written by the user in Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext, SeriesObservable
from diffmd.spec import FUNCTION, OBSERVABLES, Spec, quantity

Numbers = Mapping[str, float | list[float]]

KEPT: Mapping[str, Callable[[Frame], Array]] = {
    "positions": lambda frame: frame.positions,
    "velocities": lambda frame: frame.velocities,
    "masses": lambda frame: frame.masses,
    "box": lambda frame: frame.box.vectors,
    "time": lambda frame: frame.time,
    "potential_energy": lambda frame: frame.potential_energy(),
    "virial": lambda frame: frame.virial(),
}
"""What of a frame can be kept for a function of the series."""

Keep = Literal["positions", "velocities", "masses", "box", "time", "potential_energy", "virial"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Function:
    """The user's function and what it is given besides frames."""

    function: Callable[..., Any]
    types: Int[np.ndarray, "atoms"]
    parameters: Numbers
    reference: str
    path: str

    def __call__(self, first: object) -> Array:
        numbers = {name: jnp.asarray(value, dtype=float) for name, value in self.parameters.items()}
        returned = self.function(first, jnp.asarray(self.types), numbers)
        try:
            value = jnp.asarray(returned)
        except (TypeError, ValueError):
            found = type(returned).__name__
            raise ConfigError(f"{self.reference} must return an array, not {found}", self.path) from None
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise ConfigError(f"{self.reference} must return real numbers, not {value.dtype}", self.path)
        return value


@dataclasses.dataclass(frozen=True, eq=False)
class PythonObservable(Observable):
    """What the user's function of a frame returns: function(frame, types, parameters) -> array.

    The function is JAX code: it is traced and differentiated. It gets a `diffmd.observables.Frame`, the type index of
    each atom and its parameters by name, and returns a real number or array, of the same shape for every frame.
    """

    function: _Function
    only_configuration: bool

    def measure(self, frame: Frame) -> Array:
        """The function's value.

        Raises:
            ConfigError: if it does not return real numbers.
        """
        return self.function(frame)

    made_configurational: ClassVar[str] = "write configurational: true if the function does not"

    @property
    def configurational(self) -> bool:
        """As the config says."""
        return self.only_configuration


@dataclasses.dataclass(frozen=True, eq=False)
class PythonSeries(SeriesObservable):
    """What the user's function of the series returns: function(frames, types, parameters) -> array.

    Of each frame `keep` is kept; the function gets a mapping from those names to arrays, frames first.
    """

    function: _Function
    keep: tuple[str, ...]

    def measure(self, frame: Frame) -> dict[str, Array]:
        """What is kept of a frame."""
        return {name: KEPT[name](frame) for name in self.keep}

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Array:
        """The function's value.

        Raises:
            ConfigError: if it does not return real numbers.
        """
        return self.function(dict(rows))

    @property
    def least_frames(self) -> int:
        """Any number will do, as far as diffmd knows."""
        return 1


@OBSERVABLES.register
class PythonObservableSpec(Spec):
    """The user's own observable: a JAX function(frame, types, parameters) -> real number or array.

    `frame` has positions (unwrapped), velocities, masses, box (with vectors), neighbors, time, potential_energy(),
    potential_energies() by name and virial(); `types` is the type index of each atom. With ``series`` the function gets
    a mapping of arrays, frames first, instead of a frame.
    """

    kind: Literal["python"] = "python"
    function: Annotated[str, Field(pattern=FUNCTION)] = quantity(
        doc="./mine.py:observable (a file beside the config) or package.module:function."
    )
    parameters: dict[str, float | list[float]] = Field(
        default_factory=dict, description="Numbers given to the function by name."
    )
    series: bool = quantity(False, doc="Whether the function is of the whole series of frames instead of one frame.")
    keep: list[Keep] = quantity(
        ["positions", "velocities", "box", "time"], doc="With series: what of each frame is kept for the function."
    )
    configurational: bool = quantity(
        False, doc="Whether the function, of one frame, looks at neither velocities nor the time."
    )

    def build(self, context: ObservableContext) -> Observable | SeriesObservable:
        """The observable; `context.load_function` imports the function.

        Raises:
            ConfigError: as `context.load_function` does; for a series of which nothing is kept.
        """
        types, path = context.system.types, context.path("function")
        called = context.load_function(self.function, path)
        function = _Function(called, types, self.parameters, self.function, path)
        if not self.series:
            return PythonObservable(function, self.configurational)
        if not self.keep:
            raise ConfigError("the list is empty", context.path("keep"))
        return PythonSeries(function, tuple(dict.fromkeys(self.keep)))
