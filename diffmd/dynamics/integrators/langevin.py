"""Langevin dynamics in the BAOAB splitting."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.dynamics.base import ForceFunction, Integrator, Parameters
from diffmd.slopes import AT_REST, Slope
from diffmd.spec import INTEGRATORS, Spec, quantity
from diffmd.system import Moving


@dataclasses.dataclass(frozen=True)
class Langevin(Integrator):
    """m dv = F dt - m gamma v dt + sqrt(2 m gamma k_B T) dW, in the order B A O A B:

        B: v += F/m dt/2     A: x += v dt/2     O: v = c v + sqrt((1 - c^2) k_B T / m) xi,   c = exp(-gamma dt)

    Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34, doi:10.1093/amrx/abs010. Configurations are canonical to
    second order in dt (exactly, for a harmonic well); the noise xi of step n is a function of (seed, replica, n).
    """

    parameters: Mapping[str, np.ndarray]
    splitting: str = "BAOAB"
    conserves_momentum: bool = False
    canonical: bool = True
    stochastic: bool = True

    def step(
        self,
        p: Parameters,
        state: Moving,
        masses: Float[Array, "atoms"],
        boltzmann: float,
        force: ForceFunction,
        noise: Callable[[], Float[Array, "3 atoms"]],
    ) -> Moving:
        """One step, one force evaluation."""
        dt, kick = p["dt"], p["dt"] / (2 * masses)
        v = state.velocities + state.forces * kick
        x = state.positions + v * (dt / 2)
        c, spread = self.bath(p, masses, boltzmann)
        v = c * v + spread.T * noise()
        x = x + v * (dt / 2)
        forces = force(x, state.box)
        v = v + forces * kick
        return dataclasses.replace(state, positions=x, velocities=v, forces=forces, step=state.step + 1)

    def slopes(self, p: Mapping[str, np.ndarray]) -> dict[str, Slope]:
        """Noise goes as the root of temperature times friction: while one is zero, the other does nothing."""
        zero = [name for name in ("friction", "temperature") if p[name] == 0]
        return {name: AT_REST for name in zero if len(zero) == 1}

    def bath(
        self, p: Parameters, masses: Float[Array, "atoms"], boltzmann: float
    ) -> tuple[Float[Array, ""], Float[Array, "atoms 1"]]:
        """c and sqrt((1 - c^2) k_B T / m)."""
        # -expm1(-2 gamma dt) is 1 - c^2 without cancellation; the inner where keeps sqrt's slope finite at T = 0. A
        # temperature or friction that training made negative gives nan.
        variance = -jnp.expm1(-2 * p["friction"] * p["dt"]) * boltzmann * p["temperature"] / masses[:, None]
        spread = jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))
        return jnp.exp(-p["friction"] * p["dt"]), spread


@INTEGRATORS.register
class LangevinSpec(Spec):
    """Langevin dynamics (BAOAB): samples the canonical ensemble at `temperature`."""

    kind: Literal["langevin"] = "langevin"
    dt: float = quantity(unit="time", doc="Time step.", gt=0)
    friction: float = quantity(unit="1/time", doc="gamma in -m gamma v.", ge=0)
    temperature: float = quantity(unit="temperature", doc="Temperature of the bath.", ge=0)

    def build(self) -> Langevin:
        """The integrator."""
        numbers = {"dt": self.dt, "friction": self.friction, "temperature": self.temperature}
        return Langevin({name: np.asarray(value) for name, value in numbers.items()})
