"""What holds a derivative back on its way along the trajectory: truncation, and clipping of the state's cotangent."""

from __future__ import annotations

import dataclasses
import functools
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from diffmd.system import Moving, State

_Differentiated = tuple[Array, Array, Array]
"""Positions, velocities, forces."""

_State = TypeVar("_State", State, Moving)


@dataclasses.dataclass(frozen=True)
class Guard:
    """Limits on what a derivative carries from step to step; the trajectory itself is untouched.

    Attributes:
        truncate: the derivative of positions, velocities and forces is cut before the steps last - n, last - 2n, ...,
            so that no influence of one state on another reaches over more than n steps; what parameters do directly
            within each stretch stays. None: it is never cut.
        clip: the norm sqrt(|dL/dx|^2 + |dL/dv|^2) of the state's cotangent is scaled down to this at every step
            (reverse mode only). None: it never is.
        last: number of the last step.
    """

    truncate: int | None = None
    clip: float | None = None
    last: int = 0

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.truncate is None and self.clip is None

    def held(self, state: _State) -> _State:
        """The same state, whose derivative is cut or clipped."""
        if self.idle:
            return state
        moving: _Differentiated = (state.positions, state.velocities, state.forces)
        if self.clip is not None:
            moving = _clipped(self.clip, moving)
        if self.truncate is not None:
            cut = (self.last - state.step) % self.truncate == 0
            moving = jax.tree.map(lambda a: jnp.where(cut, lax.stop_gradient(a), a), moving)
        x, v, f = moving
        return dataclasses.replace(state, positions=x, velocities=v, forces=f)


UNGUARDED = Guard()


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _clipped(most: float, moving: _Differentiated) -> _Differentiated:
    return moving


def _scaled(most: float, _: None, ct: _Differentiated) -> tuple[_Differentiated]:
    size2 = jnp.sum(ct[0] * ct[0]) + jnp.sum(ct[1] * ct[1])
    over = size2 > most * most
    factor = jnp.where(over, most / jnp.sqrt(jnp.where(over, size2, 1)), 1)
    return ((factor * ct[0], factor * ct[1], factor * ct[2]),)


_clipped.defvjp(lambda most, moving: (moving, None), _scaled)
