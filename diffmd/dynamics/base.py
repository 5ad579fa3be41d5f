"""What an integrator and a thermostat are."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Array, Float

from diffmd.box import Box
from diffmd.system import State

Parameters = Mapping[str, Array]
"""Numbers of an integrator or thermostat by name: ``dt``, ``temperature``, ``friction``, ``tau``."""

ForceFunction = Callable[[Float[Array, "atoms 3"], Box], Float[Array, "atoms 3"]]


class Integrator(abc.ABC):
    """Advances a state by one time step dt."""

    parameters: Mapping[str, np.ndarray]
    reversible: bool
    """Whether the map has an exact inverse without friction or noise."""
    conserves_momentum: bool
    """Whether total momentum is conserved, so that 3N - 3 degrees of freedom share the kinetic energy."""
    canonical: bool
    """Whether it samples the canonical ensemble."""
    minimizes: bool = False
    """Whether it comes to rest at a minimum of the potential energy: there is no temperature, and no thermostat."""

    @abc.abstractmethod
    def step(
        self,
        p: Parameters,
        state: State,
        masses: Float[Array, "atoms"],
        boltzmann: float,
        force: ForceFunction,
        noise: Callable[[], Float[Array, "atoms 3"]],
    ) -> State:
        """One step. `noise` draws this step's standard normal numbers (a function of seed, replica and step)."""


class Thermostat(abc.ABC):
    """Changes velocities after the integrator's step."""

    parameters: Mapping[str, np.ndarray]

    @abc.abstractmethod
    def apply(
        self, p: Parameters, velocities: Float[Array, "atoms 3"], temperature: Array, dt: Array
    ) -> Float[Array, "atoms 3"]:
        """Velocities after the thermostat; `temperature` is the instantaneous one, 2 E_kin / (n_f k_B)."""
