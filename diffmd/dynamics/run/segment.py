"""A segment: the compiled stretch of steps between two looks of the host.

A segment is a scan of blocks, a block the stretch between two list builds; or, but for reverse mode, lists are built on
demand. They are built inside the compiled code from positions that carry no gradient. What the host must know to accept
a segment comes back in a `Report`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.run.guard import UNGUARDED, Guard
from diffmd.dynamics.run.on_demand import on_demand
from diffmd.dynamics.run.shape import Measure, Report, Shape
from diffmd.dynamics.run.stepping import Loop, finite, scanned
from diffmd.forcefield import Neighbors
from diffmd.system import State, Values


def _cut(probes: Array | None, groups: int) -> Array | None:
    """`probes` in so many runs, as (groups, probes of each)."""
    return None if probes is None else probes.reshape(groups, -1, probes.shape[-1])


def _last(probes: Array | None) -> Array | None:
    """The probe of the last stretch."""
    return None if probes is None else probes[-1]


def run_segment(
    dynamics: Dynamics,
    measures: tuple[Measure, ...],
    shape: Shape,
    values: Values,
    key: Array,
    state: State,
    probes: Float[Array, "stretches probes"] | None = None,
    guard: Guard = UNGUARDED,
    watched: tuple[str, ...] = (),
) -> tuple[State, tuple[object, ...], Report]:
    """Runs a segment.

    Args:
        probes: zeros, `PROBES` for each of the shape's `stretches`; their "gradient" is the norm of the state's
            cotangent at the start of each, and the sketch of what these steps, and the frame that they lead to, add to
            the derivative with respect to the watched values. They forbid forward mode; None leaves them out.
        guard: what holds the derivative back.
        watched: names of the values that are sketched.

    Returns:
        The state after it, the rows of each active measure (frames first), and the report.
    """
    loop = Loop(dynamics, shape, measures, values, key, guard, watched)
    if shape.plan.is_list and not shape.block:
        return on_demand(loop, state)
    zero = jnp.zeros((), state.positions.dtype)
    needed = jnp.zeros(5, np.int32)
    stride, group = shape.stride, shape.group
    # Between two frames steps are cut into stretches of their own.
    between = dataclasses.replace(loop, shape=shape.between_frames)

    def on_one_list(carry, count: int, probes, neighbors: Neighbors):  # type: ignore[no-untyped-def]
        """`count` steps and their frames on one list."""
        if not stride:
            return loop.steps(carry, count, probes, neighbors), ()

        def interval(carry, probes):  # type: ignore[no-untyped-def]
            carry = loop.steps(carry, stride, probes, neighbors)
            return carry, loop.measure(carry[0], neighbors, _last(probes))

        return scanned(interval, carry, _cut(probes, count // stride), count // stride)

    def block(carry, count: int, probes):  # type: ignore[no-untyped-def]
        """A list build, then `count` steps on it, and their frames."""
        inner, needed = carry
        neighbors = loop.list_of(inner[0])
        inner, rows = on_one_list(inner, count, probes, neighbors)
        return (inner, jnp.maximum(needed, neighbors.needed)), rows

    def block_between(carry, count: int, probes):  # type: ignore[no-untyped-def]
        """A list build, then `count` steps on it, without a frame; and the list."""
        inner, needed = carry
        neighbors = loop.list_of(inner[0])
        inner = between.steps(inner, count, probes, neighbors)
        return (inner, jnp.maximum(needed, neighbors.needed)), neighbors

    def blocks(carry, probes):  # type: ignore[no-untyped-def]
        """The segment in blocks of `group` steps, and a shorter one at the end."""
        full, rest = divmod(shape.steps, group)
        of_full = full * len(shape.on_one_list(group))
        first, last = (None, None) if probes is None else (probes[:of_full], probes[of_full:])
        rows: list[object] = []
        if full:
            carry, out = scanned(lambda c, p: block(c, group, p), carry, _cut(first, full), full)
            rows.append(jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:]), out))
        if rest:
            carry, out = block(carry, rest, last)
            rows.append(out)
        return carry, rows[0] if len(rows) == 1 else jax.tree.map(lambda *r: jnp.concatenate(r), *rows)

    def to_frame(carry, probes):  # type: ignore[no-untyped-def]
        """The steps to a frame in blocks, and the frame, which is measured on the list of the last of them."""
        before = (stride - 1) // group
        count = before * len(between.shape.on_one_list(group))
        first, last = (None, None) if probes is None else (probes[:count], probes[count:])
        carry, _ = scanned(lambda c, p: (block_between(c, group, p)[0], ()), carry, _cut(first, before), before)
        carry, neighbors = block_between(carry, stride - before * group, last)
        return carry, loop.measure(carry[0][0], neighbors, _last(probes))

    inner = (state, (zero, zero))
    if not shape.plan.is_list:
        inner, rows = on_one_list(inner, shape.steps, probes, loop.list_of(state))
    elif shape.listed_between_frames:
        frames = shape.steps // stride
        (inner, needed), rows = scanned(to_frame, (inner, needed), _cut(probes, frames), frames)
    else:
        (inner, needed), rows = blocks((inner, needed), probes)
    state, (displacement, furthest) = inner
    builds = jnp.asarray(shape.builds, np.int32)
    return state, rows, Report(displacement, furthest, needed, finite(state), builds)
