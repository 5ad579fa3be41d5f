"""A potential written by the user in Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.box import Box
from diffmd.errors import ConfigError
from diffmd.paths import child, last
from diffmd.potentials.base import BuildContext, EnergyPotential, Parameters, Potential
from diffmd.spec import FUNCTION, POTENTIALS, Spec, quantity

SECTION = "parameters"


@dataclasses.dataclass(frozen=True, eq=False)
class PythonPotential(EnergyPotential):
    """The energy that the user's function returns: energy(positions, box, neighbors, types, parameters) -> scalar.

    The function is JAX code: it is traced once and differentiated. It gets positions (atoms, 3) unwrapped, a
    `diffmd.box.Box`, the force field's neighbours, the type index of each atom and its parameters by name.
    """

    parameters: Mapping[str, np.ndarray]
    cutoff: float | None
    function: Callable[..., Array]
    types: Int[np.ndarray, "atoms"]
    reference: str
    path: str

    def energy(
        self, p: Parameters, positions: Float[Array, "atoms 3"], box: Box, neighbors: object
    ) -> Float[Array, ""]:
        """The function's value.

        Raises:
            ConfigError: if it does not return a scalar.
        """
        parameters = {last(name): value for name, value in p.items()}
        value = jnp.asarray(self.function(positions, box, neighbors, jnp.asarray(self.types), parameters))
        if value.ndim != 0 or not jnp.issubdtype(value.dtype, jnp.floating):
            found = f"{value.dtype} of shape {value.shape}"
            raise ConfigError(f"{self.reference} must return one real number, the energy, not {found}", self.path)
        return value


@POTENTIALS.register
class PythonSpec(Spec):
    """The user's own energy: a JAX function energy(positions, box, neighbors, types, parameters) -> scalar."""

    kind: Literal["python"] = "python"
    function: Annotated[str, Field(pattern=FUNCTION)] = quantity(
        doc="./mine.py:energy (a file beside the config) or package.module:function."
    )
    cutoff: Annotated[float, Field(gt=0)] | None = quantity(
        None, doc="Longest distance that the function looks at; null: all pairs.", unit="length"
    )
    parameters: dict[str, float | list[float]] = Field(
        default_factory=dict, description="Numbers given to the function by name; each can be learned."
    )

    def build(self, context: BuildContext) -> Potential:
        """The potential; `context.load_function` imports the function.

        Raises:
            ConfigError: as `context.load_function` does.
        """
        starting = {child(SECTION, name): np.asarray(value, dtype=float) for name, value in self.parameters.items()}
        function = context.load_function(self.function)
        return PythonPotential(starting, self.cutoff, function, context.types, self.function, context.path("function"))
