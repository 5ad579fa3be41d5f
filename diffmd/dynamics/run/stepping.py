"""The steps of a segment on one list, and its frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.run.guard import Guard
from diffmd.dynamics.run.probes import tap_state, tap_values
from diffmd.dynamics.run.shape import Measure, Shape
from diffmd.forcefield import Neighbors
from diffmd.neighbors import AllPairs, displacement2
from diffmd.system import Moving, State, Values


@dataclasses.dataclass(frozen=True)
class Loop:
    """The steps and frames of a segment.

    Attributes:
        values, key, guard, watched: as in `run_segment`.
    """

    dynamics: Dynamics
    shape: Shape
    measures: tuple[Measure, ...]
    values: Values
    key: Array
    guard: Guard
    watched: tuple[str, ...]

    def list_of(self, state: State) -> Neighbors:
        """The list of a state."""
        return self.dynamics.forcefield.neighbors(self.shape.plan, state.positions, state.box)

    def steps(self, carry, count: int, probes, neighbors: Neighbors):  # type: ignore[no-untyped-def]
        """`count` steps with one list."""
        state, record = carry
        inner = (Moving.of(state), record)
        if probes is None:
            inner = self.stretch(inner, count, None, neighbors)
        else:
            size = self.shape.stretch_of(count)
            full, rest = divmod(count, size)

            def stretch(inner, probe):  # type: ignore[no-untyped-def]
                return self.stretch(inner, size, probe, neighbors), None

            inner, _ = scanned(stretch, inner, probes[:full], full)
            if rest:
                inner = self.stretch(inner, rest, probes[full], neighbors)
        return inner[0].state, inner[1]

    def stretch(self, carry, count: int, probe, neighbors: Neighbors):  # type: ignore[no-untyped-def]
        """`count` steps, and at their start a probe."""
        state, (old, furthest) = carry
        state = self.guard.held(state)
        if probe is not None:
            x, v = tap_state(state.positions, state.velocities, probe)
            state = dataclasses.replace(state, positions=x, velocities=v)
        step = self.dynamics.stepper(self.probed(probe), self.key, neighbors)

        def body(carry, number):  # type: ignore[no-untyped-def]
            state, (old, gone) = carry
            begun = lax.stop_gradient(state.positions)
            if not self.guard.idle:
                # The first state is held already, before its probe.
                kept = self.guard.held(state)
                state = jax.tree.map(lambda a, b: jnp.where(number > 0, a, b), kept, state)
            state = step(state)
            x, box = lax.stop_gradient((state.positions, state.box))
            # Of each atom: the largest of all is looked for once, not at every step.
            gone = jnp.maximum(gone, jnp.sum((x - begun) ** 2, axis=0))
            if not isinstance(neighbors, AllPairs):
                old = jnp.maximum(old, displacement2(neighbors, x.T, box))
            return (state, (old, gone)), None

        numbers = None if self.guard.idle else jnp.arange(count)
        still = jnp.zeros_like(state.positions[0])
        (state, (old, gone)), _ = lax.scan(body, (state, (old, still)), numbers, length=count)
        return state, (old, jnp.maximum(furthest, jnp.max(gone)))

    def probed(self, probe: Array | None) -> Values:
        """The values, whose derivative leaves its sketch in the probe."""
        if probe is None or not self.watched:
            return self.values
        return {**self.values, **tap_values({name: self.values[name] for name in self.watched}, probe)}

    def measure(self, state: State, neighbors: Neighbors, probe: Array | None) -> tuple[object, ...]:
        """What the active measures keep of a state."""
        frame = self.dynamics.frame(self.probed(probe), state, neighbors)
        active = [self.measures[k] for k in self.shape.active]
        # Terms of a loss may share one measure: it is taken once.
        taken = {measure: measure(frame, state) for measure in dict.fromkeys(active)}
        return tuple(taken[measure] for measure in active)


def scanned(body: Callable[..., Any], carry: Any, xs: Any, length: int) -> Any:
    """`lax.scan` of at least one turn; a loop of one is none, which every transformation would go through."""
    if length > 1:
        return lax.scan(body, carry, xs, length=length)
    carry, row = body(carry, jax.tree.map(lambda a: a[0], xs))
    return carry, jax.tree.map(lambda a: jnp.asarray(a)[None], row)


def finite(state: State) -> Bool[Array, ""]:
    """Whether an atom is anywhere, and has a velocity."""
    return jnp.all(jnp.isfinite(state.positions)) & jnp.all(jnp.isfinite(state.velocities))
