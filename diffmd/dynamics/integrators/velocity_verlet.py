"""Velocity Verlet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Array, Float

from diffmd.dynamics.base import ForceFunction, Integrator, Parameters
from diffmd.spec import INTEGRATORS, Spec, quantity
from diffmd.system import Moving


@dataclasses.dataclass(frozen=True)
class VelocityVerlet(Integrator):
    """Second-order, symplectic, time-reversible:

        x(t + dt) = x + v dt + a dt^2 / 2,   v(t + dt) = v + (a(t) + a(t + dt)) dt / 2,   a = F / m.

    Swope, Andersen, Berens and Wilson, J. Chem. Phys. 76, 637 (1982), doi:10.1063/1.442716.
    """

    parameters: Mapping[str, np.ndarray]
    splitting: str = "BAB"
    conserves_momentum: bool = True
    canonical: bool = False
    stochastic: bool = False

    def step(
        self,
        p: Parameters,
        state: Moving,
        masses: Float[Array, "atoms"],
        boltzmann: float,
        force: ForceFunction,
        noise: Callable[[], Float[Array, "3 atoms"]],
    ) -> Moving:
        """One step; `noise` is not drawn."""
        dt, inverse = p["dt"], 1 / masses
        a = state.forces * inverse
        x = state.positions + state.velocities * dt + a * (dt**2 / 2)
        forces = force(x, state.box)
        v = state.velocities + (a + forces * inverse) * (dt / 2)
        return dataclasses.replace(state, positions=x, velocities=v, forces=forces, step=state.step + 1)


@INTEGRATORS.register
class VelocityVerletSpec(Spec):
    """Velocity Verlet: NVE, or with a thermostat after each step."""

    kind: Literal["velocity_verlet"] = "velocity_verlet"
    dt: float = quantity(unit="time", doc="Time step.", gt=0)

    def build(self) -> VelocityVerlet:
        """The integrator."""
        return VelocityVerlet({"dt": np.asarray(self.dt)})
