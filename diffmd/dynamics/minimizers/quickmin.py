"""Quick-min: descent to a minimum of the potential energy by projected velocities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from diffmd.dynamics.base import ForceFunction, Integrator, Parameters
from diffmd.spec import INTEGRATORS, Spec, quantity
from diffmd.system import Moving


@dataclasses.dataclass(frozen=True)
class QuickMin(Integrator):
    """Newton's equations whose velocity is kept only as far as it leads downhill:

        v <- max(0, v . F) a / (F . a) + a dt,   x <- x + v dt,   a = F / m,

    where the dots run over all atoms: v is projected onto the force (in the metric of the masses, so that the centre of
    mass stays where it is), and zero where it points uphill. If an atom would move further than `max_step`, the whole
    of v is shortened so that it does not, which keeps atoms that begin on top of each other from being thrown out.

    It comes to rest at a stationary point, at the rate of damped dynamics: dt is chosen as for dynamics (well below
    2 / omega of the fastest vibration). It has no temperature and keeps nothing beside positions and velocities, so it
    is differentiable like any integrator. Where F = 0 nothing moves.

    What is kept of v hangs on the forces alone, however small they are, so that in large systems the way down (not the
    minimum) is chaotic: the derivative through hundreds of steps of 500 atoms came out at 1e22. Gradient method
    ``implicit`` differentiates the minimum itself.

    Jonsson, Mills and Jacobsen, in Classical and Quantum Dynamics in Condensed Phase Simulations (World Scientific,
    1998), p. 385; the form with all atoms in one projection: Sheppard, Terrell and Henkelman, J. Chem. Phys. 128,
    134106 (2008), doi:10.1063/1.2841941.
    """

    parameters: Mapping[str, np.ndarray]
    conserves_momentum: bool = True
    canonical: bool = False
    stochastic: bool = False
    minimizes: bool = True

    def step(
        self,
        p: Parameters,
        state: Moving,
        masses: Float[Array, "atoms"],
        boltzmann: float,
        force: ForceFunction,
        noise: Callable[[], Float[Array, "3 atoms"]],
    ) -> Moving:
        """One step, one force evaluation; `noise` is not drawn."""
        dt, m = p["dt"], masses
        # Atoms on top of each other have forces whose squares overflow. The projection does not depend on the size of
        # F, so a size without derivative leaves its derivatives whole; the same holds for the length of a step below.
        f = state.forces / _size(state.forces)
        norm = jnp.sum(f * f / m)
        resting = norm == 0
        downhill = jnp.maximum(jnp.sum(state.velocities * f), 0) / jnp.where(resting, 1, norm)
        v = jnp.where(resting, 0, downhill) * f / m + state.forces / m * dt
        size = _size(v)
        square = jnp.max(jnp.sum((v / size) ** 2, axis=0))
        furthest = jnp.sqrt(jnp.where(square == 0, 1, square)) * size * dt
        v = v * jnp.where((square != 0) & (furthest > p["max_step"]), p["max_step"] / furthest, 1)
        x = state.positions + v * dt
        return dataclasses.replace(state, positions=x, velocities=v, forces=force(x, state.box), step=state.step + 1)


def _size(a: Float[Array, "3 atoms"]) -> Float[Array, ""]:
    """The largest number in an array, one if all are zero; carries no derivative."""
    largest = lax.stop_gradient(jnp.max(jnp.abs(a), initial=0))
    return jnp.where(largest == 0, 1, largest)


@INTEGRATORS.register
class QuickMinSpec(Spec):
    """Minimises the potential energy (quick-min): atoms slide downhill and stop. Takes no thermostat."""

    kind: Literal["quickmin"] = "quickmin"
    dt: float = quantity(unit="time", doc="Time step, as long as dynamics would allow.", gt=0)
    max_step: float = quantity(
        unit="length",
        doc="The furthest that any atom moves in one step; where neighbour lists are built, at most half their skin.",
        gt=0,
    )

    def build(self) -> QuickMin:
        """The integrator."""
        return QuickMin({"dt": np.asarray(self.dt), "max_step": np.asarray(self.max_step)})
