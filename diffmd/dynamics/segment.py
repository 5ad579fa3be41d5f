"""A segment: the compiled stretch of steps between two looks of the host.

A segment is a scan of blocks, a block the stretch between two list builds. Lists are built inside the compiled code
from positions that carry no gradient. What the host must know to accept a segment comes back in a `Report`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.guard import Guard
from diffmd.dynamics.probes import tap_state, tap_values
from diffmd.forcefield import Neighbors
from diffmd.neighbors import AllPairs, NeighborList, NeighborPlan, build, displacement2
from diffmd.system import State, Values

Measure = Callable[[Frame, State], object]
"""What is kept of a frame: any pytree of arrays."""


UNGUARDED = Guard()

_REACH = 0.999
"""Part of half the skin that atoms may go from a list which is built on demand: what the host finds in the report is
the bound itself, and rounding must not take an atom over it."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Everything about a segment that is compiled in.

    Attributes:
        steps: its length.
        stride: a frame is measured after every `stride` steps (which divides `steps`); 0: none is.
        block: steps between two list builds; 0: a list is built where an atom would leave its half of the skin with
            the next step (which reverse mode cannot do); of no account with all pairs.
        active: which of the measures are taken.
        plan: how lists are built.
    """

    steps: int
    stride: int
    block: int
    active: tuple[int, ...]
    plan: NeighborPlan

    @property
    def group(self) -> int:
        """Steps that share a list, where frames do not want one of their own."""
        if not self.plan.is_list:
            return self.steps
        if self.stride and self.block >= self.stride:
            return self.block // self.stride * self.stride
        return self.block

    @property
    def builds(self) -> int:
        """How many lists it builds."""
        if not self.plan.is_list:
            return 0
        if self.stride and self.block < self.stride:
            # Those of the steps between two frames, and the frame's own.
            return self.steps // self.stride * (-(-self.stride // self.block) + 1)
        return -(-self.steps // self.group)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Report:
    """What the host checks before it accepts a segment.

    Attributes:
        displacement2: largest squared displacement of an atom since its list was built; the list is complete while it
            is at most (skin / 2)^2.
        furthest2: largest squared distance that an atom went in one step (see `Leap`).
        needed: largest counts that the builds found, to compare with the plan's capacities.
        finite: whether the last state is finite.
        builds: how many lists were built.
    """

    displacement2: Float[Array, ""]
    furthest2: Float[Array, ""]
    needed: Int[Array, "capacities"]
    finite: Bool[Array, ""]
    builds: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Opening:
    """What the host checks before it accepts a first state.

    Attributes:
        needed: as in `Report`, of the list that the first forces were computed with.
        reach: half the smallest perpendicular width of the box, over which no cutoff may be; infinite without
            periodicity.
    """

    needed: Int[Array, "capacities"]
    reach: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class _Loop:
    dynamics: Dynamics
    shape: Shape
    measures: tuple[Measure, ...]
    values: Values
    key: Array
    guard: Guard
    watched: tuple[str, ...]

    def list_of(self, state: State) -> Neighbors:
        x, box = lax.stop_gradient((state.positions, state.box))
        return build(self.shape.plan, x, box, self.dynamics.system.excluded)

    def steps(self, carry, count: int, probes, neighbors: Neighbors):  # type: ignore[no-untyped-def]
        """`count` steps with one list."""

        def body(carry, probe):  # type: ignore[no-untyped-def]
            state, (old, furthest) = carry
            state, furthest = self.step(state, furthest, probe, neighbors)
            if not isinstance(neighbors, AllPairs):
                old = jnp.maximum(old, displacement2(neighbors, *lax.stop_gradient((state.positions, state.box))))
            return (state, (old, furthest)), None

        return lax.scan(body, carry, probes, length=count)[0]

    def step(
        self, state: State, furthest: Array, probe: Array | None, neighbors: Neighbors
    ) -> tuple[State, Float[Array, ""]]:
        """One step, and the largest squared distance that an atom went in one so far."""
        begun = lax.stop_gradient(state.positions)
        state = self.guard.held(state)
        if probe is not None:
            x, v = tap_state(state.positions, state.velocities, probe)
            state = dataclasses.replace(state, positions=x, velocities=v)
        state = self.dynamics.step(self.probed(probe), self.key, state, neighbors)
        went = lax.stop_gradient(state.positions) - begun
        return state, jnp.maximum(furthest, jnp.max(jnp.sum(went**2, axis=-1)))

    def probed(self, probe: Array | None) -> Values:
        """The values, whose derivative leaves its sketch in the probe."""
        if probe is None or not self.watched:
            return self.values
        return {**self.values, **tap_values({name: self.values[name] for name in self.watched}, probe)}

    def measure(self, state: State, neighbors: Neighbors, probe: Array | None) -> tuple[object, ...]:
        frame = self.dynamics.frame(self.probed(probe), state, neighbors)
        active = [self.measures[k] for k in self.shape.active]
        # Terms of a loss may share one measure: it is taken once.
        taken = {measure: measure(frame, state) for measure in dict.fromkeys(active)}
        return tuple(taken[measure] for measure in active)


def _cut(probes: Array | None, start: int, groups: int, size: int) -> Array | None:
    """`groups` runs of `size` probes from `start`, as (groups, size)."""
    return None if probes is None else probes[start : start + groups * size].reshape(groups, size, -1)


def _last(probes: Array | None) -> Array | None:
    """The probe of the last step."""
    return None if probes is None else probes[-1]


def run_segment(
    dynamics: Dynamics,
    measures: tuple[Measure, ...],
    shape: Shape,
    values: Values,
    key: Array,
    state: State,
    probes: Float[Array, "steps probes"] | None = None,
    guard: Guard = UNGUARDED,
    watched: tuple[str, ...] = (),
) -> tuple[State, tuple[object, ...], Report]:
    """Runs a segment.

    Args:
        probes: zeros, `PROBES` a step; their "gradient" is the norm of the state's cotangent at the start of each step,
            and the sketch of what this step, and the frame that it leads to, add to the derivative with respect to the
            watched values. They forbid forward mode; None leaves them out.
        guard: what holds the derivative back.
        watched: names of the values that are sketched.

    Returns:
        The state after it, the rows of each active measure (frames first), and the report.
    """
    loop = _Loop(dynamics, shape, measures, values, key, guard, watched)
    if shape.plan.is_list and not shape.block:
        return _on_demand(loop, state)
    zero = jnp.zeros((), state.positions.dtype)
    needed = jnp.zeros(5, np.int32)
    group, stride = shape.group, shape.stride

    def on_one_list(carry, count: int, probes, neighbors: Neighbors):  # type: ignore[no-untyped-def]
        """`count` steps and their frames on one list."""
        if not stride:
            return loop.steps(carry, count, probes, neighbors), ()

        def interval(carry, probes):  # type: ignore[no-untyped-def]
            carry = loop.steps(carry, stride, probes, neighbors)
            return carry, loop.measure(carry[0], neighbors, _last(probes))

        return lax.scan(interval, carry, _cut(probes, 0, count // stride, stride), length=count // stride)

    def block(carry, count: int, probes):  # type: ignore[no-untyped-def]
        """A list build, then `count` steps on it."""
        inner, needed = carry
        neighbors = loop.list_of(inner[0])
        inner, rows = on_one_list(inner, count, probes, neighbors)
        return (inner, jnp.maximum(needed, neighbors.needed)), rows

    def blocks(carry, steps: int, probes):  # type: ignore[no-untyped-def]
        """`steps` steps in blocks of `group`, and a shorter one at the end."""
        full, rest = divmod(steps, group)
        rows: list[object] = []
        if full:
            carry, out = lax.scan(lambda c, p: block(c, group, p), carry, _cut(probes, 0, full, group), length=full)
            rows.append(jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:]), out))
        if rest:
            carry, out = block(carry, rest, None if probes is None else probes[full * group :])
            rows.append(out)
        return carry, rows[0] if len(rows) == 1 else jax.tree.map(lambda *r: jnp.concatenate(r), *rows)

    inner = (state, (zero, zero))
    if not shape.plan.is_list:
        inner, rows = on_one_list(inner, shape.steps, probes, loop.list_of(state))
    elif stride and shape.block < stride:
        # Several lists between two frames: the frame is measured on a list of its own.
        unmeasured = dataclasses.replace(shape, steps=stride, stride=0)

        def interval(carry, probes):  # type: ignore[no-untyped-def]
            inner, needed = carry
            end, _, report = run_segment(dynamics, measures, unmeasured, values, key, inner[0], probes, guard, watched)
            moved = (report.displacement2, report.furthest2)
            inner = (end, jax.tree.map(jnp.maximum, inner[1], moved))
            # The frame's own list counts, too: after the last frame there is no block that would find it too short.
            own = loop.list_of(end)
            needed = jnp.maximum(jnp.maximum(needed, report.needed), own.needed)
            return (inner, needed), loop.measure(end, own, _last(probes))

        count = shape.steps // stride
        (inner, needed), rows = lax.scan(interval, (inner, needed), _cut(probes, 0, count, stride), length=count)
    else:
        (inner, needed), rows = blocks((inner, needed), shape.steps, probes)
    state, (displacement, furthest) = inner
    builds = jnp.asarray(shape.builds, np.int32)
    return state, rows, Report(displacement, furthest, needed, _finite(state), builds)


def _finite(state: State) -> Bool[Array, ""]:
    return jnp.all(jnp.isfinite(state.positions)) & jnp.all(jnp.isfinite(state.velocities))


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
        furthest: as in `Report`.
        needed, builds: as in `Report`.
    """

    left: Int[Array, ""]
    state: State
    neighbors: NeighborList
    ahead: Float[Array, ""]
    outrun: Bool[Array, ""]
    moved: Float[Array, ""]
    furthest: Float[Array, ""]
    needed: Int[Array, "capacities"]
    builds: Int[Array, ""]


def _on_demand(loop: _Loop, state: State) -> tuple[State, tuple[object, ...], Report]:
    """A segment whose lists are built where atoms have moved. A new list always serves one step; where that step is too
    long for any list, the report tells.

    The next step is looked at before it is taken: where it leads does not depend on the forces there, so without a
    force field it costs next to nothing.
    """
    shape, dynamics = loop.shape, loop.dynamics
    forceless = dataclasses.replace(dynamics, forcefield=dynamics.forcefield.without_potentials())
    count = shape.stride or shape.steps

    def looked_ahead(state: State, neighbors: NeighborList) -> tuple[Array, Array]:
        after = forceless.step(loop.values, loop.key, state, neighbors)
        ahead = displacement2(neighbors, *lax.stop_gradient((after.positions, after.box)))
        return ahead, _of_any(ahead > (_REACH * shape.plan.skin / 2) ** 2)

    def step(now: _OnDemand) -> _OnDemand:
        state, furthest = loop.step(now.state, now.furthest, None, now.neighbors)
        ahead, outrun = looked_ahead(state, now.neighbors)
        moved = jnp.maximum(now.moved, now.ahead)
        on = dataclasses.replace(now, left=now.left - 1, state=state, moved=moved, furthest=furthest)
        return dataclasses.replace(on, ahead=ahead, outrun=outrun)

    def renewed(state: State) -> tuple[NeighborList, Array]:
        neighbors = loop.list_of(state)
        assert isinstance(neighbors, NeighborList)
        return neighbors, looked_ahead(state, neighbors)[0]

    def on_one_list(now: _OnDemand) -> _OnDemand:
        neighbors, ahead = lax.cond(now.outrun, lambda: renewed(now.state), lambda: (now.neighbors, now.ahead))
        needed, builds = jnp.maximum(now.needed, neighbors.needed), now.builds + now.outrun
        now = dataclasses.replace(now, neighbors=neighbors, ahead=ahead, needed=needed, builds=builds)
        now = dataclasses.replace(now, outrun=jnp.asarray(False))
        return lax.while_loop(lambda now: (now.left > 0) & ~now.outrun, step, now)

    def interval(now: _OnDemand, _: None) -> tuple[_OnDemand, tuple[object, ...]]:
        now = dataclasses.replace(now, left=jnp.asarray(count, np.int32))
        now = lax.while_loop(lambda now: now.left > 0, on_one_list, now)
        return now, loop.measure(now.state, now.neighbors, None) if shape.stride else ()

    # A list of nobody, in place of a second build to be compiled.
    blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(loop.list_of, state))
    zero, none = jnp.zeros((), state.positions.dtype), jnp.zeros((), np.int32)
    now = _OnDemand(none, state, blank, zero, jnp.asarray(True), zero, zero, blank.needed, none)
    now, rows = lax.scan(interval, now, None, length=shape.steps // count)
    return now.state, rows, Report(now.moved, now.furthest, now.needed, _finite(now.state), now.builds)
