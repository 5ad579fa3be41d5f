"""What an integrator and a thermostat are."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Array, Float

from diffmd.box import Box
from diffmd.slopes import Slope
from diffmd.system import Moving

Parameters = Mapping[str, Array]
"""Numbers of an integrator or thermostat by name: ``dt``, ``temperature``, ``friction``, ``tau``."""

ForceFunction = Callable[[Float[Array, "3 atoms"], Box], Float[Array, "3 atoms"]]


class Integrator(abc.ABC):
    """Advances a state by one time step dt."""

    parameters: Mapping[str, np.ndarray]
    splitting: str = ""
    """The step as a product of kicks (B: v += F/m t), drifts (A: x += v t) and at most one Ornstein-Uhlenbeck process
    (O: v = c v + s xi, see `bath`), where those of one letter share dt evenly: a palindrome with a B at either end and
    none between, which can be undone letter by letter. Empty: it is no such product."""
    conserves_momentum: bool
    """Whether total momentum is conserved, so that 3N - 3 degrees of freedom share the kinetic energy."""
    canonical: bool
    """Whether it samples the canonical ensemble."""
    stochastic: bool
    """Whether noise acts."""
    minimizes: bool = False
    """Whether it comes to rest at a minimum of the potential energy: there is no temperature, and no thermostat."""

    @abc.abstractmethod
    def step(
        self,
        p: Parameters,
        state: Moving,
        masses: Float[Array, "atoms"],
        boltzmann: float,
        force: ForceFunction,
        noise: Callable[[], Float[Array, "3 atoms"]],
    ) -> Moving:
        """One step. `noise` draws this step's standard normal numbers (a function of seed, replica and step).

        Where it leads atoms must not depend on the forces that it asks for: lists that are built on demand look ahead
        by a step without them. A step that breaks this has its lists found too short, and ends the run.
        """

    def slopes(self, p: Mapping[str, np.ndarray]) -> dict[str, Slope]:
        """Those of its numbers whose derivative at the values `p` is infinite."""
        return {}

    def bath(
        self, p: Parameters, masses: Float[Array, "atoms"], boltzmann: float
    ) -> tuple[Float[Array, ""], Float[Array, "atoms 1"]]:
        """c and s of the splitting's O."""
        raise NotImplementedError(f"{type(self).__name__} has no bath")


class Thermostat(abc.ABC):
    """Changes velocities after the integrator's step."""

    parameters: Mapping[str, np.ndarray]

    @abc.abstractmethod
    def apply(
        self, p: Parameters, velocities: Float[Array, "*axes"], temperature: Array, dt: Array
    ) -> Float[Array, "*axes"]:
        """Velocities after the thermostat; `temperature` is the instantaneous one, 2 E_kin / (n_f k_B)."""

    def slopes(self, p: Mapping[str, np.ndarray], dt: float) -> dict[str, Slope]:
        """Those of its numbers whose derivative at the values `p` is infinite, with a time step `dt`."""
        return {}
