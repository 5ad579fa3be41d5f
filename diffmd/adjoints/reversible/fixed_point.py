"""Dynamics on integers, which runs backwards bit for bit.

Positions and velocities are multiples of 2^-bits units of length and of length/time, in 64 bits. A step is an
integrator's splitting (`Integrator.splitting`), letter by letter, each adding a rounded number to one of them:

    B: v += s [kick]     A: x += s [v t]     O: (v, r) damped with c (`damping`), then v += [spread xi]

with s = 1. Read from its end with s = -1 and the damping undone, it is the step before (splittings are palindromes):
whatever was added is computed from the same integers, hence is the same, and is taken away. One compiled program runs
either way, so that no compiler can make two different roundings of one force.

Forces are kept as the kick that they give to the lightest atom in the time of one B, in units of velocity: each pair's
is rounded, and integers are summed, so that lists in any order, of any age within their skin, give the same.

Levesque and Verlet, J. Stat. Phys. 72, 519 (1993), doi:10.1007/BF01048022.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffmd.adjoints.reversible.damping import damp, rounded, undamp
from diffmd.box import Box
from diffmd.dynamics.dynamics import Dynamics
from diffmd.forcefield import Neighbors
from diffmd.potentials.sweep import LARGEST_ROUNDED
from diffmd.system import Values

RANGE = 2.0**61
"""Integers stay below this, so that no sum of two overflows."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FixedState:
    """A state of integers.

    Attributes:
        positions, velocities: in units of 2^-bits.
        kicks: forces at the positions, as what they do to the lightest atom's velocity in the time of one B.
        reservoir: what damping took from the velocities since it was last put away (`damping`).
        step: number of steps done.
    """

    positions: Int[Array, "atoms 3"]
    velocities: Int[Array, "atoms 3"]
    kicks: Int[Array, "atoms 3"]
    reservoir: Int[Array, "atoms 3"]
    step: Int[Array, ""]


Triple = tuple[Array, Array, Array]
"""Positions, velocities and kicks; or positions, velocities and forces."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Extent:
    """The largest numbers of a run, to be compared with what fits: coordinates and velocities (integers), what forces
    are summed from (nan if one is), and how far an atom went in one step."""

    moving: Float[Array, ""]
    force: Float[Array, ""]
    furthest: Float[Array, ""]

    @staticmethod
    def none() -> Extent:
        """Of nothing."""
        return Extent(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    def with_state(self, state: FixedState, force: Float[Array, ""]) -> Extent:
        """Of a state, too."""
        far, fast = jnp.max(jnp.abs(state.positions)), jnp.max(jnp.abs(state.velocities))
        moving = jnp.maximum(far, fast).astype(force.dtype)
        return Extent(jnp.maximum(self.moving, moving), jnp.maximum(self.force, force), self.furthest)

    def with_way(self, way: Int[Array, "atoms 3"]) -> Extent:
        """Of a step that moved atoms so far, too."""
        far = jnp.sqrt(jnp.max(jnp.sum(way.astype(self.furthest.dtype) ** 2, axis=-1)))
        return dataclasses.replace(self, furthest=jnp.maximum(self.furthest, far))

    @property
    def fits(self) -> Bool[Array, ""]:
        """Whether nothing overflowed."""
        return (self.moving <= RANGE) & ~(self.force > LARGEST_ROUNDED / 2)


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """The integer map of `dynamics` with `values`; inside a compiled function.

    Attributes:
        values: with which it runs.
        box: in which it runs.
        key: the run's random key.
        bits: a unit of length (or of velocity) is 2^bits.
    """

    dynamics: Dynamics
    values: Values
    box: Box
    key: Array
    bits: int

    @property
    def order(self) -> str:
        """The letters of a step."""
        return self.dynamics.integrator.splitting

    @property
    def damps(self) -> bool:
        """Whether the reservoir is used."""
        return "O" in self.order

    def time(self, letter: str) -> Float[Array, ""]:
        """What one B or A of a step lasts."""
        return self.dynamics.numbers(self.values, "integrator")["dt"] / self.order.count(letter)

    @property
    def _masses(self) -> Float[Array, "atoms"]:
        return self.dynamics.system.masses(self.values)

    @property
    def force_scale(self) -> Float[Array, ""]:
        """A force, times this, is a kick."""
        return 2.0**self.bits * self.time("B") / jnp.min(self._masses)

    def encode(
        self, positions: Float[Array, "atoms 3"], velocities: Float[Array, "atoms 3"], step: Array
    ) -> FixedState:
        """The nearest integers; kicks are left at zero (see `with_kicks`)."""
        x, v = (rounded(a * 2.0**self.bits) for a in (positions, velocities))
        return FixedState(x, v, jnp.zeros_like(x), jnp.zeros_like(x), step)

    def decode(self, integers: Triple) -> Triple:
        """Positions, velocities and forces of positions, velocities and kicks."""
        x, v, kicks = integers
        return x * 2.0**-self.bits, v * 2.0**-self.bits, kicks / self.force_scale

    def with_kicks(self, state: FixedState, neighbors: Neighbors) -> tuple[FixedState, Float[Array, ""]]:
        """The state with the forces at its positions, and the largest number that was summed."""
        x = state.positions * 2.0**-self.bits
        kicks, largest = self.dynamics.forcefield.rounded_forces(self.values, x, self.box, neighbors, self.force_scale)
        return dataclasses.replace(state, kicks=kicks), largest

    def moved(self, state: FixedState, forward: Bool[Array, ""]) -> FixedState:
        """A step up to (not with) its last kick, or a step back up to its first; the kicks stay as they are."""
        sign = jnp.where(forward, 1, -1)
        x, v, r = state.positions, self.kicked(state, forward).velocities, state.reservoir
        step = jnp.where(forward, state.step, state.step - 1)
        for letter in self.order[1:-1]:
            if letter == "A":
                x = x + sign * rounded(v * self.time("A"))
            else:
                v, r = self._bath(v, r, step, forward)
        return FixedState(x, v, state.kicks, r, jnp.where(forward, state.step + 1, step))

    def kicked(self, state: FixedState, forward: Bool[Array, ""]) -> FixedState:
        """One B."""
        masses = self._masses
        change = rounded(state.kicks * (jnp.min(masses) / masses)[:, None])
        return dataclasses.replace(state, velocities=state.velocities + jnp.where(forward, change, -change))

    def _bath(self, v: Array, r: Array, step: Array, forward: Array) -> tuple[Array, Array]:
        """O of the step from state number `step`, done or undone."""
        dynamics = self.dynamics
        numbers, units = dynamics.numbers(self.values, "integrator"), dynamics.system.units
        c, spread = dynamics.integrator.bath(numbers, self._masses, units.boltzmann)
        noise = rounded(spread * dynamics.noise(self.key, step, spread.dtype) * 2.0**self.bits)

        def undone() -> tuple[Array, Array]:
            return undamp(v - noise, r, c)

        def done() -> tuple[Array, Array]:
            damped, kept = damp(v, r, c)
            return damped + noise, kept

        new: tuple[Array, Array] = lax.cond(forward, done, undone)
        return new
