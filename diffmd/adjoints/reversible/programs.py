"""The compiled programs of the reversible method: integers rolled on and back, their frames measured, and the cotangent
pulled through the steps between states that are known."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int

from diffmd.adjoints.base import Floats
from diffmd.adjoints.propagator import Propagator, Single
from diffmd.adjoints.replicas.mesh import BESIDE
from diffmd.adjoints.reversible.fixed_point import Extent, FixedPoint, FixedState, Triple
from diffmd.adjoints.reversible.rolling import Lists, LostBits, Rolled, opened, roll
from diffmd.box import Box
from diffmd.dynamics.run.shape import Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import P, Problem
from diffmd.system import OF_STATE, State, Values


class Passes:
    """The jitted functions of one problem, made when first asked for; `bits` are those of the fixed point.

    Of replicas every array has them first, the step's number too; what the host checks is the worst of them.
    """

    def __init__(self, propagator: Propagator, bits: int) -> None:
        self._propagator = propagator
        self._bits = bits
        self._cache = propagator.programs("reversible", bits)

    @property
    def _problem(self) -> Problem:
        return self._propagator.problem

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return self._cache.temporary()

    def _lists(self, plan: NeighborPlan, box: Box) -> Lists:
        beside = None if self._propagator is self._propagator.one else BESIDE
        return Lists(plan, box, self._problem.dynamics.system.excluded, beside)

    def _fixed(self, p: P, base: Values, key: Array) -> FixedPoint:
        values = self._problem.values(p, base)
        return FixedPoint(self._problem.dynamics, values, self._problem.box(values), key, self._bits)

    def begin(self, plan: NeighborPlan) -> Any:
        """(p, base, key, floats, step) -> the state in integers, those as floats, the largest numbers."""

        def begin(p: P, base: Values, key: Array, floats: Floats, step: Array) -> tuple[FixedState, Floats, Extent]:
            fixed = self._fixed(p, base, key)
            state = fixed.encode(floats[0], floats[1], step)
            state, extent = opened(fixed, self._lists(plan, fixed.box), state)
            x, v, f = fixed.decode((state.positions, state.velocities, state.kicks))
            return state, (x, v, f, floats[3]), extent

        def every(p: P, base: Values, key: Array, floats: Floats, step: Array) -> tuple[FixedState, Floats, Extent]:
            state, shown, extent = self._propagator.each(begin, 0, None)(p, base, key, floats, step)
            return state, shown, _largest(extent)

        return self._cache.once(("begin", plan), every)

    def roll(self, plan: NeighborPlan, longest: int) -> Any:
        """(p, base, key, state, words, steps, forward) -> `Rolled`, of up to `longest` steps."""

        def rolled(
            p: P,
            base: Values,
            key: Array,
            state: FixedState,
            stored: Array,
            interval: Array,
            start: Array,
            steps: Int[Array, ""],
            forward: Bool[Array, ""],
        ) -> Rolled:
            fixed, lost_bits = self._fixed(p, base, key), LostBits(interval, start, stored)
            return roll(fixed, self._lists(plan, fixed.box), state, lost_bits, longest, steps, forward)

        def every(
            p: P, base: Values, key: Array, state: FixedState, lost_bits: LostBits, steps: Array, forward: Array
        ) -> Rolled:
            run = self._propagator.each(rolled, 0, 0, None, None, None, None)
            out: Rolled = run(
                p, base, key, state, lost_bits.stored, lost_bits.interval, lost_bits.start, steps, forward
            )
            return dataclasses.replace(
                out, needed=_most(out.needed), extent=_largest(out.extent), whole=jnp.all(out.whole)
            )

        return self._cache.once(("roll", plan, longest), every)

    def measure(self, shape: Shape) -> Any:
        """(p, base, key, states on the way, step of the first) -> rows of the active terms, largest counts of lists."""

        def measure(p: P, base: Values, key: Array, on_the_way: Triple, step: Array) -> Any:
            fixed = self._fixed(p, base, key)
            lists = self._lists(shape.plan, fixed.box)
            x, v, f = fixed.decode(_part(on_the_way, shape.stride, shape.steps, shape.stride))
            numbers = step + shape.stride * jnp.arange(1, len(x) + 1)

            def frame(carry: Any, at: Any) -> Any:
                neighbors, needed = carry
                x, v, f, number = at
                neighbors = lists.kept(neighbors, x)
                rows = self._rows(shape, fixed.values, State(x, v, f, fixed.box, number), neighbors)
                return (neighbors, jnp.maximum(needed, neighbors.needed)), rows

            first = lists.before(x[0])
            (_, needed), rows = lax.scan(frame, (first, first.needed), (x, v, f, numbers))
            return rows, needed

        def every(p: P, base: Values, key: Array, on_the_way: Triple, step: Array) -> Any:
            rows, needed = self._propagator.each(measure, 0, 0)(p, base, key, on_the_way, step)
            return rows, _most(needed)

        return self._cache.once(("measure", shape), every)

    def _rows(self, shape: Shape, values: Values, state: State, neighbors: Any) -> tuple[Any, ...]:
        frame = self._problem.dynamics.frame(values, state, neighbors)
        return tuple(self._problem.terms[k].observable.measure(frame) for k in shape.active)

    def pull(self, shape: Shape) -> Any:
        """(p, base, key, states on the way, step of the first, cotangent of the last, of the rows, running total) ->
        total, cotangent of the first, norms of the cotangent at the start of each step, largest counts of lists."""

        def pull(
            p: P, base: Values, key: Array, on_the_way: Triple, step: Array, ct: Floats, rows: Any, total: Any
        ) -> Any:
            fixed = self._fixed(p, base, key)
            back = _Back(self._propagator.one, shape, fixed, self._lists(shape.plan, fixed.box), self._moving(p, base))
            x, v, f = fixed.decode(_part(on_the_way, 0, shape.steps, 1))
            starts = (x[:-1], v[:-1], f[:-1], x[1:], step + jnp.arange(shape.steps))
            first = back.lists.before(x[-1])
            carry = _Pulled(ct, jax.tree.map(jnp.zeros_like, back.moving), first, first.needed)
            if shape.stride:
                count = shape.steps // shape.stride
                within = jax.tree.map(lambda a: a.reshape(count, shape.stride, *a.shape[1:]), starts)
                frames = (*(a[shape.stride :: shape.stride] for a in (x, v, f)), within[-1][:, -1] + 1)
                carry, norms = lax.scan(back.interval, carry, (within, frames, rows), reverse=True)
            else:
                carry, norms = lax.scan(back.step, carry, starts, reverse=True)
            bound = jax.vjp(lambda q: self._moving(q, base), dict(p))[1](carry.total)[0]
            return jax.tree.map(jnp.add, total, bound), carry.ct, norms.reshape(-1), carry.needed

        def every(*arguments: Any) -> Any:
            total, ct, norms, needed = self._propagator.each(pull, 0, 0, 0, 0, 0)(*arguments)
            return total, ct, jnp.sum(norms.reshape(-1, shape.steps), axis=0), _most(needed)

        return self._cache.once(("pull", shape), every)

    def _moving(self, p: P, base: Values) -> dict[str, Array]:
        """The values that steps and frames read, and parameters fill."""
        problem = self._problem
        return {
            name: value
            for name, value in problem.values(p, base).items()
            if name not in OF_STATE and problem.parameters.touches(problem.name, name)
        }


def _largest(extent: Extent) -> Extent:
    """Of all replicas."""
    return jax.tree.map(jnp.max, extent)


def _most(needed: Int[Array, "*replicas capacities"]) -> Int[Array, "capacities"]:
    """Of all replicas."""
    return jnp.max(needed.reshape(-1, needed.shape[-1]), axis=0)


def _part(on_the_way: Triple, first: int, last: int, every: int) -> Triple:
    x, v, f = on_the_way
    return x[first : last + 1 : every], v[first : last + 1 : every], f[first : last + 1 : every]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Pulled:
    """On the way back: the cotangents of the state and of the moving values, the list, and the largest counts."""

    ct: Floats
    total: dict[str, Array]
    neighbors: Any
    needed: Array


@dataclasses.dataclass(frozen=True)
class _Back:
    """The bodies of the walk back. `moving`: the values that are differentiated."""

    propagator: Single
    shape: Shape
    fixed: FixedPoint
    lists: Lists
    moving: dict[str, Array]

    def _added(self, carry: _Pulled, function: Any, at: tuple[Array, ...], ct: Any, *, onto: Floats) -> _Pulled:
        """Pulls `ct` through function(moving values, x, v, f, box vectors), adding to `onto`."""
        h = self.fixed.box.vectors
        # The cotangent of a box that nobody learns costs a sweep as much as the rest.
        if self.propagator.problem.learns_box:
            _, vjp = jax.vjp(function, self.moving, *at, h)
            moved, *floats = vjp(ct)
        else:
            _, vjp = jax.vjp(lambda moving, *floats: function(moving, *floats, h), self.moving, *at)
            moved, *floats = vjp(ct)
            floats.append(jnp.zeros_like(h))
        total = jax.tree.map(jnp.add, carry.total, moved)
        summed: Any = jax.tree.map(jnp.add, onto, tuple(floats))
        return dataclasses.replace(carry, ct=summed, total=total)

    def _listed(self, carry: _Pulled, positions: Array) -> _Pulled:
        neighbors = self.lists.kept(carry.neighbors, positions)
        return dataclasses.replace(carry, neighbors=neighbors, needed=jnp.maximum(carry.needed, neighbors.needed))

    def step(self, carry: _Pulled, at: Any) -> tuple[_Pulled, Array]:
        """One step, from the state that it led to."""
        *state, after, number = at
        carry = self._listed(carry, after)

        def stepped(moving: dict[str, Array], x: Array, v: Array, f: Array, h: Array) -> Any:
            begun = State(x, v, f, Box(h, self.fixed.box.shape), number)
            values = {**self.fixed.values, **moving}
            # Positions that are computed once more, noise and all, would be so for every pair (XLA fuses them there).
            done = self.fixed.dynamics.step(values, self.fixed.key, begun, carry.neighbors, after)
            return done.positions, done.velocities, done.forces

        zero = jnp.zeros_like(after)
        onto = (zero, zero, zero, carry.ct[3])
        carry = self._added(carry, stepped, tuple(state), carry.ct[:3], onto=onto)
        x, v, *_ = carry.ct
        norm = jnp.sqrt(jnp.sum(x * x) + jnp.sum(v * v))
        return dataclasses.replace(carry, ct=self._guarded(carry.ct, tuple(state), number)), norm

    def _guarded(self, ct: Floats, state: tuple[Array, ...], number: Array) -> Floats:
        guard = self.propagator.guard
        if guard.idle:
            return ct

        def held(x: Array, v: Array, f: Array) -> Any:
            kept = guard.held(State(x, v, f, self.fixed.box, number))
            return kept.positions, kept.velocities, kept.forces

        x, v, f = jax.vjp(held, *state)[1](ct[:3])
        return x, v, f, ct[3]

    def interval(self, carry: _Pulled, at: Any) -> tuple[_Pulled, Array]:
        """The steps up to a frame, from the frame on."""
        within, (*frame, number), rows = at
        carry = self._listed(carry, frame[0])

        def measured(moving: dict[str, Array], x: Array, v: Array, f: Array, h: Array) -> Any:
            state = State(x, v, f, Box(h, self.fixed.box.shape), number)
            shown = self.fixed.dynamics.frame({**self.fixed.values, **moving}, state, carry.neighbors)
            return tuple(self.propagator.problem.terms[k].observable.measure(shown) for k in self.shape.active)

        carry = self._added(carry, measured, tuple(frame), rows, onto=carry.ct)
        return lax.scan(self.step, carry, within, reverse=True)
