"""Lists that are built just when an atom is about to outrun them (which reverse mode cannot do)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from diffmd.dynamics.run.shape import Report
from diffmd.dynamics.run.stepping import Loop, finite
from diffmd.neighbors import NeighborList, displacement2
from diffmd.system import Moving, State

_REACH = 0.999
"""Part of half the skin that atoms may go from a list which is built on demand: what the host finds in the report is
the bound itself, and rounding must not take an atom over it."""


@custom_vmap
def _of_any(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """The flag; of systems that run side by side, whether it is up for one: they build their lists together, where each
    by itself would make all build at every step."""
    return flag


@_of_any.def_vmap
def _of_any_beside(_size: int, batched: list[bool], flag: Array) -> tuple[Array, bool]:
    return _of_any(jnp.any(flag, axis=0) if batched[0] else flag), False


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _OnDemand:
    """Steps on the way to the next frame.

    Attributes:
        left: how many there are still to do.
        neighbors: the list.
        ahead: the largest squared displacement since the list was built, as it will be after the next step.
        outrun: whether that is too large.
        moved: the largest that any step was accepted with.
        gone: the largest squared distance that each atom went in one step.
        needed, builds: as in `Report`.
    """

    left: Int[Array, ""]
    state: Moving
    neighbors: NeighborList
    ahead: Float[Array, ""]
    outrun: Bool[Array, ""]
    moved: Float[Array, ""]
    gone: Float[Array, "atoms"]
    needed: Int[Array, "capacities"]
    builds: Int[Array, ""]


def on_demand(loop: Loop, state: State) -> tuple[State, tuple[object, ...], Report]:
    """A segment whose lists are built where atoms have moved. A new list always serves one step; where that step is too
    long for any list, the report tells.

    The next step is looked at before it is taken: where it leads does not depend on the forces there, so that it is
    taken without a force field (and draws its noise, which is a function of its number, once more). What the report
    tells is what atoms went, too, should a step lead elsewhere.
    """
    shape, dynamics = loop.shape, loop.dynamics
    forceless = dataclasses.replace(dynamics, forcefield=dynamics.forcefield.without_potentials())
    count = shape.stride or shape.steps

    def looked_ahead(state: Moving, neighbors: NeighborList) -> Array:
        """The largest squared displacement after the next step."""
        after = forceless.stepper(loop.values, loop.key, neighbors)(state)
        return displacement2(neighbors, *lax.stop_gradient((after.positions.T, after.box)))

    def outrun(ahead: Array) -> Array:
        return _of_any(ahead > (_REACH * shape.plan.skin / 2) ** 2)

    def renewed(state: Moving) -> tuple[NeighborList, Array]:
        neighbors = loop.list_of(state.state)
        assert isinstance(neighbors, NeighborList)
        return neighbors, looked_ahead(state, neighbors)

    def on_one_list(now: _OnDemand) -> _OnDemand:
        neighbors, ahead = lax.cond(now.outrun, lambda: renewed(now.state), lambda: (now.neighbors, now.ahead))
        needed, builds = jnp.maximum(now.needed, neighbors.needed), now.builds + now.outrun
        now = dataclasses.replace(now, neighbors=neighbors, ahead=ahead, needed=needed, builds=builds)
        now = dataclasses.replace(now, outrun=jnp.asarray(False))
        advance = dynamics.stepper(loop.values, loop.key, neighbors)

        def step(now: _OnDemand) -> _OnDemand:
            state = advance(loop.guard.held(now.state))
            went = lax.stop_gradient(state.positions - now.state.positions)
            gone = jnp.maximum(now.gone, jnp.sum(went**2, axis=0))
            ahead = looked_ahead(state, neighbors)
            went_away = displacement2(neighbors, *lax.stop_gradient((state.positions.T, state.box)))
            moved = jnp.maximum(now.moved, jnp.maximum(now.ahead, went_away))
            on = dataclasses.replace(now, left=now.left - 1, state=state, moved=moved, gone=gone)
            return dataclasses.replace(on, ahead=ahead, outrun=outrun(ahead))

        return lax.while_loop(lambda now: (now.left > 0) & ~now.outrun, step, now)

    def interval(now: _OnDemand, _: None) -> tuple[_OnDemand, tuple[object, ...]]:
        now = dataclasses.replace(now, left=jnp.asarray(count, np.int32))
        now = lax.while_loop(lambda now: now.left > 0, on_one_list, now)
        return now, loop.measure(now.state.state, now.neighbors, None) if shape.stride else ()

    # A list of nobody, in place of a second build to be compiled.
    blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(loop.list_of, state))
    zero, none = jnp.zeros((), state.positions.dtype), jnp.zeros((), np.int32)
    still = jnp.zeros_like(state.positions[:, 0])
    begun = _OnDemand(none, Moving.of(state), blank, zero, jnp.asarray(True), zero, still, blank.needed, none)
    now, rows = lax.scan(interval, begun, None, length=shape.steps // count)
    end = now.state.state
    return end, rows, Report(now.moved, jnp.max(now.gone), now.needed, finite(end), now.builds)
