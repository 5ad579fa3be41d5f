"""One step of a system's dynamics: integrator, thermostat, centre-of-mass removal, and what a frame shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.dynamics.base import Integrator, Thermostat
from diffmd.dynamics.frame import Frame
from diffmd.forcefield import ForceField, Neighbors
from diffmd.paths import below
from diffmd.system import Moving, State, System, Values


@jax.custom_vjp
def _known(value: Array, computed: Array) -> Array:
    """`value`, with the derivative of `computed`."""
    return value


_known.defvjp(lambda value, computed: (value, None), lambda _, ct: (jnp.zeros_like(ct), ct))


@dataclasses.dataclass(frozen=True, eq=False)
class Dynamics:
    """How a state evolves.

    Attributes:
        integrator, thermostat: their numbers are taken from values under `section` (``dynamics`` or
            ``dynamics.equilibration``), so that they can be learnt.
        com_every: centre-of-mass motion is removed every so many steps; 0: never.
        stream: which random stream the noise comes from, so that equilibration, production and
            different systems draw different numbers.
        clock: a step and its time: those of the frame that a run goes on from, whose time step may have been another.
    """

    forcefield: ForceField
    integrator: Integrator
    thermostat: Thermostat | None
    com_every: int = 0
    section: str = "dynamics"
    stream: int = 0
    clock: tuple[int, float] = (0, 0.0)

    @property
    def system(self) -> System:
        """The system of the force field."""
        return self.forcefield.system

    @property
    def degrees_of_freedom(self) -> int:
        """n_f in T = 2 E_kin / (n_f k_B): 3N - 3 where total momentum is conserved or removed, else 3N."""
        n = self.system.size
        fixed = 3 if (self.integrator.conserves_momentum or self.com_every) and n > 1 else 0
        return 3 * n - fixed

    def numbers(self, values: Values, part: str) -> Mapping[str, Array]:
        """The values of ``integrator`` or ``thermostat``, by name."""
        return {own: value for key, value in values.items() if (own := below(key, f"{self.section}.{part}"))}

    def step(
        self,
        values: Values,
        key: Array,
        state: State,
        neighbors: Neighbors,
        arrival: Float[Array, "atoms 3"] | None = None,
    ) -> State:
        """One time step.

        Args:
            arrival: the positions that it leads to, where they are known but for rounding: forces are computed there,
                and their derivative is that of the positions computed (reverse mode only).
        """
        step = self.stepper(values, key, neighbors, None if arrival is None else arrival.T)
        return step(Moving.of(state)).state

    def stepper(
        self, values: Values, key: Array, neighbors: Neighbors, arrival: Float[Array, "3 atoms"] | None = None
    ) -> Callable[[Moving], Moving]:
        """One time step as a function of the state: what hangs on the values alone is computed once for many steps.

        `key` is the run's; the noise of step n is a function of (key, stream, n) alone. `arrival` is as in `step`.
        """
        masses, p = self.system.masses(values), self.numbers(values, "integrator")
        field, boltzmann = self.forcefield.acting(values, neighbors), self.system.units.boltzmann

        def force(positions: Float[Array, "3 atoms"], box: Box) -> Float[Array, "3 atoms"]:
            return field(positions if arrival is None else _known(arrival, positions), box)

        def step(state: Moving) -> Moving:
            def noise() -> Float[Array, "3 atoms"]:
                return self.noise(key, state.step, state.positions.dtype).T

            new = self.integrator.step(p, state, masses, boltzmann, force, noise)
            velocities = new.velocities
            if self.thermostat is not None:
                velocities = self._thermostatted(values, masses, velocities, p["dt"])
            if self.com_every:
                drift = jnp.sum(masses * velocities, axis=1, keepdims=True) / jnp.sum(masses)
                velocities = velocities - jnp.where(new.step % self.com_every == 0, drift, 0)
            return dataclasses.replace(new, velocities=velocities)

        return step

    def noise(self, key: Array, step: Int[Array, ""], dtype: np.dtype) -> Float[Array, "atoms 3"]:
        """The standard normal numbers of the step from state number `step`."""
        own = jax.random.fold_in(jax.random.fold_in(key, self.stream), step)
        return jax.random.normal(own, (self.system.size, 3), dtype)

    def _thermostatted(
        self, values: Values, masses: Float[Array, "atoms"], velocities: Float[Array, "3 atoms"], dt: Array
    ) -> Float[Array, "3 atoms"]:
        """Velocities after the thermostat."""
        thermostat = self.thermostat
        assert thermostat is not None

        def apply(numbers: Mapping[str, Array], v: Float[Array, "3 atoms"], now: Array, dt: Array) -> Array:
            return thermostat.apply(numbers, v, now, dt)

        # Of each step the velocities and the temperature are stored, and the handful of scalars made of them are not:
        # on a CPU, storing a scalar takes as long as storing an array of a small system.
        numbers, now = dict(self.numbers(values, "thermostat")), self._temperature(masses, velocities)
        return jax.checkpoint(apply, prevent_cse=False)(numbers, velocities, now, dt)

    def temperature(self, masses: Float[Array, "atoms"], velocities: Float[Array, "atoms 3"]) -> Float[Array, ""]:
        """T = 2 E_kin / (n_f k_B)."""
        return self._temperature(masses, velocities.T)

    def _temperature(self, masses: Float[Array, "atoms"], velocities: Float[Array, "3 atoms"]) -> Float[Array, ""]:
        """The same of velocities by axis."""
        twice = jnp.sum(masses * (velocities * velocities))
        return twice / (self.degrees_of_freedom * self.system.units.boltzmann)

    def held_temperature(self, values: Values) -> Float[Array, ""] | None:
        """The temperature of the integrator's heat bath, or else of the thermostat; None where neither has one."""
        held = {**self.numbers(values, "thermostat"), **self.numbers(values, "integrator")}
        return held.get("temperature")

    def start(self, values: Values, neighbors: Neighbors, box: Box, step: Array) -> State:
        """The state at the values' positions and velocities."""
        x = values["system.positions"]
        forces = self.forcefield.forces(values, x, box, neighbors)
        return State(x, values["system.velocities"], forces, box, step)

    def time(self, step: Any, dt: Any) -> Any:
        """The time at a step, or at each of an array of steps."""
        first, then = self.clock
        return then + (step - first) * dt if first else step * dt

    def frame(self, values: Values, state: State, neighbors: Neighbors) -> Frame:
        """What observables see of a state."""
        return Frame(
            positions=state.positions,
            velocities=state.velocities,
            masses=self.system.masses(values),
            box=state.box,
            time=self.time(state.step, self.numbers(values, "integrator")["dt"]),
            potential_energy=lambda: self.forcefield.energy(values, state.positions, state.box, neighbors),
            potential_energies=lambda: self.forcefield.energies(values, state.positions, state.box, neighbors),
            virial=lambda: self.forcefield.virial(values, state.positions, state.box, neighbors),
            hessian=lambda: self.forcefield.hessian(values, state.positions, state.box, neighbors),
            degrees_of_freedom=self.degrees_of_freedom,
            neighbors=neighbors,
            held_temperature=self.held_temperature(values),
        )
