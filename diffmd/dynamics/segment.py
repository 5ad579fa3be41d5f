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
from jaxtyping import Array, Bool, Float, Int

from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.guard import Guard
from diffmd.dynamics.probes import tap_state, tap_values
from diffmd.forcefield import Neighbors
from diffmd.neighbors import AllPairs, NeighborPlan, build, displacement2
from diffmd.system import Moving, State, Values

Measure = Callable[[Frame, State], object]
"""What is kept of a frame: any pytree of arrays."""


UNGUARDED = Guard()

_STRETCHES = 50
"""Into so many stretches a segment of so many steps is cut: at the start of each the way back leaves a probe."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Everything about a segment that is compiled in.

    Attributes:
        steps: its length.
        stride: a frame is measured after every `stride` steps (which divides `steps`); 0: none is.
        block: steps between two list builds; of no account with all pairs.
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
        if self.listed_between_frames:
            # Those of the steps between two frames, and the frame's own.
            return self.steps // self.stride * (-(-self.stride // self.block) + 1)
        return -(-self.steps // self.group)

    @property
    def stretches(self) -> tuple[int, ...]:
        """Steps of each stretch, in the order of time."""
        if self.listed_between_frames:
            return self.between_frames.stretches * (self.steps // self.stride)
        full, rest = divmod(self.steps, self.group)
        return self.on_one_list(self.group) * full + (self.on_one_list(rest) if rest else ())

    def on_one_list(self, count: int) -> tuple[int, ...]:
        """The stretches of `count` steps on one list, which end where frames are."""
        if self.stride:
            return self._cut(self.stride) * (count // self.stride)
        return self._cut(count)

    def _cut(self, count: int) -> tuple[int, ...]:
        full, rest = divmod(count, self.stretch_of(count))
        return (self.stretch_of(count),) * full + (rest,) * (rest > 0)

    def stretch_of(self, count: int) -> int:
        """Steps of a stretch of `count` steps on one list between two frames: so many that all are alike, if they can
        be; what is left over is a loop of its own to compile."""
        usual = max(1, self.steps // _STRETCHES)
        wanted = max(1, count // usual)
        alike = max(k for k in range(1, wanted + 1) if count % k == 0)
        return count // alike if 2 * alike >= wanted else usual

    @property
    def listed_between_frames(self) -> bool:
        """Whether there are several lists between two frames."""
        return self.plan.is_list and self.block < self.stride

    @property
    def between_frames(self) -> Shape:
        """The steps between two frames."""
        return dataclasses.replace(self, steps=self.stride, stride=0)


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
        state, record = carry
        inner = (Moving.of(state), record)
        if probes is None:
            inner = self.stretch(inner, count, None, neighbors)
        else:
            size = self.shape.stretch_of(count)
            full, rest = divmod(count, size)

            def stretch(inner, probe):  # type: ignore[no-untyped-def]
                return self.stretch(inner, size, probe, neighbors), None

            # A loop of one stretch is none.
            inner, _ = stretch(inner, probes[0]) if full == 1 else lax.scan(stretch, inner, probes[:full], length=full)
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
        frame = self.dynamics.frame(self.probed(probe), state, neighbors)
        active = [self.measures[k] for k in self.shape.active]
        # Terms of a loss may share one measure: it is taken once.
        taken = {measure: measure(frame, state) for measure in dict.fromkeys(active)}
        return tuple(taken[measure] for measure in active)


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
    loop = _Loop(dynamics, shape, measures, values, key, guard, watched)
    zero = jnp.zeros((), state.positions.dtype)
    needed = jnp.zeros(5, np.int32)
    stride, group = shape.stride, shape.group

    def on_one_list(carry, count: int, probes, neighbors: Neighbors):  # type: ignore[no-untyped-def]
        """`count` steps and their frames on one list."""
        if not stride:
            return loop.steps(carry, count, probes, neighbors), ()

        def interval(carry, probes):  # type: ignore[no-untyped-def]
            carry = loop.steps(carry, stride, probes, neighbors)
            return carry, loop.measure(carry[0], neighbors, _last(probes))

        return lax.scan(interval, carry, _cut(probes, count // stride), length=count // stride)

    def block(carry, count: int, probes):  # type: ignore[no-untyped-def]
        """A list build, then `count` steps on it."""
        inner, needed = carry
        neighbors = loop.list_of(inner[0])
        inner, rows = on_one_list(inner, count, probes, neighbors)
        return (inner, jnp.maximum(needed, neighbors.needed)), rows

    def blocks(carry, steps: int, probes):  # type: ignore[no-untyped-def]
        """`steps` steps in blocks of `group`, and a shorter one at the end."""
        full, rest = divmod(steps, group)
        of_full = full * len(shape.on_one_list(group))
        first, last = (None, None) if probes is None else (probes[:of_full], probes[of_full:])
        rows: list[object] = []
        if full:
            carry, out = lax.scan(lambda c, p: block(c, group, p), carry, _cut(first, full), length=full)
            rows.append(jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:]), out))
        if rest:
            carry, out = block(carry, rest, last)
            rows.append(out)
        return carry, rows[0] if len(rows) == 1 else jax.tree.map(lambda *r: jnp.concatenate(r), *rows)

    inner = (state, (zero, zero))
    if not shape.plan.is_list:
        inner, rows = on_one_list(inner, shape.steps, probes, loop.list_of(state))
    elif shape.listed_between_frames:
        # The frame is measured on a list of its own.
        unmeasured = shape.between_frames

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
        (inner, needed), rows = lax.scan(interval, (inner, needed), _cut(probes, count), length=count)
    else:
        (inner, needed), rows = blocks((inner, needed), shape.steps, probes)
    state, (displacement, furthest) = inner
    finite = jnp.all(jnp.isfinite(state.positions)) & jnp.all(jnp.isfinite(state.velocities))
    return state, rows, Report(displacement, furthest, needed, finite, jnp.asarray(shape.builds, np.int32))
