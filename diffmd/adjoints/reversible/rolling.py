"""Stretches of integer dynamics, rolled on or back by one compiled program, which hands over every state on the way.

Neighbour lists are built when they are needed: before a force is computed, if an atom has moved half the skin since.
Where that happens is another place on the way back; the integers do not mind.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffmd.adjoints.reversible.fixed_point import Extent, FixedPoint, FixedState, Triple
from diffmd.box import Box
from diffmd.dynamics.run.schedule import Segment
from diffmd.forcefield import Neighbors
from diffmd.neighbors import AllPairs, NeighborPlan, build, displacement2


@dataclasses.dataclass(frozen=True)
class Lists:
    """How lists follow the atoms in one box.

    Attributes:
        beside: the axis of the systems that run side by side, if they do: all of them build when one has to, where
            each by itself would make all build at every step.
    """

    plan: NeighborPlan
    box: Box
    excluded: Int[np.ndarray, "pairs 2"]
    beside: str | None = None

    def at(self, positions: Float[Array, "atoms 3"]) -> Neighbors:
        """Built there."""
        return build(self.plan, positions, self.box, self.excluded)

    def before(self, positions: Float[Array, "atoms 3"]) -> Neighbors:
        """What `kept` is given first: a list of nobody, built nowhere, in place of a second build to be compiled."""
        if not self.plan.is_list:
            return self.at(positions)
        blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(self.at, positions))
        nowhere: Neighbors = dataclasses.replace(blank, reference=jnp.full_like(positions, jnp.nan))
        return nowhere

    def kept(self, neighbors: Neighbors, positions: Float[Array, "atoms 3"]) -> Neighbors:
        """The same list if it is complete at `positions`, or one that is built there."""
        if isinstance(neighbors, AllPairs):
            return neighbors
        near = displacement2(neighbors, positions, self.box) <= (self.plan.skin / 2) ** 2
        if self.beside is not None:
            near = lax.pmin(near.astype(np.int32), self.beside) > 0
        new: Neighbors = lax.cond(near, lambda: neighbors, lambda: self.at(positions))
        return new


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LostBits:
    """Where reservoirs are put away (see `diffmd.adjoints.reversible.damping`).

    Attributes:
        interval: every so many steps, counted from `start`.
        start: number of the run's first state.
        stored: the words of one stretch, first to last.
    """

    interval: Int[Array, ""]
    start: Int[Array, ""]
    stored: Int[Array, "*replicas words atoms 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """The words of a whole run, in the host's memory.

    Attributes:
        every: steps between two of them.
        first_step: number of the run's first state.
        stored: filled as the run goes on; of replicas each has its own.
    """

    every: int
    first_step: int
    stored: Int[np.ndarray, "*replicas words atoms 3"]

    @staticmethod
    def empty(every: int, first_step: int, steps: int, size: int, replicas: int | None = None) -> Store:
        """Room for those of a run of `size` atoms, or of replicas of it."""
        each = (steps // every, size, 3)
        return Store(every, first_step, np.zeros(each if replicas is None else (replicas, *each), np.int64))

    def warning(self) -> str:
        """A sentence on its size."""
        count = self.stored.shape[-3]
        return (
            f"what friction takes away fills {self.stored.nbytes / 1e6:.3g} MB: {count} words of 64 bits for each of "
            f"{self.stored.size // count} velocities, one every {self.every} steps"
        )

    def of(self, segment: Segment, longest: int) -> LostBits:
        """Those of one segment, with room for as many as one of `longest` steps may have."""
        start, stop = self._range(segment)
        *replicas, _, size, _ = self.stored.shape
        room = np.zeros((*replicas, longest // self.every + 1, size, 3), np.int64)
        room[..., : stop - start, :, :] = self.stored[..., start:stop, :, :]
        return LostBits(jnp.asarray(self.every), jnp.asarray(self.first_step), jnp.asarray(room))

    def keep(self, segment: Segment, lost_bits: LostBits) -> None:
        """Takes in those of one segment."""
        start, stop = self._range(segment)
        if stop > start:
            self.stored[..., start:stop, :, :] = np.asarray(lost_bits.stored)[..., : stop - start, :, :]

    def _range(self, segment: Segment) -> tuple[int, int]:
        return segment.start // self.every, (segment.start + segment.steps) // self.every


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rolled:
    """A stretch.

    Attributes:
        state: where it ended.
        on_the_way: positions, velocities and kicks of each state by time, the stretch's ends included (states first);
            rows past its length are of no account.
        words: as they are after it.
        needed: largest counts that list builds found.
        extent: the largest numbers.
        whole: rolled back: whether damping had nothing left where it had started afresh.
    """

    state: FixedState
    on_the_way: Triple
    lost_bits: LostBits
    needed: Int[Array, "capacities"]
    extent: Extent
    whole: Bool[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Carry:
    state: FixedState
    neighbors: Neighbors
    on_the_way: Triple
    lost_bits: Array
    needed: Array
    extent: Extent
    whole: Array


def opened(fixed: FixedPoint, lists: Lists, state: FixedState) -> tuple[FixedState, Extent]:
    """The first state with its forces."""
    begun, force = fixed.with_kicks(state, lists.at(state.positions * 2.0**-fixed.bits))
    return begun, Extent.none().with_state(begun, force)


def roll(
    fixed: FixedPoint,
    lists: Lists,
    state: FixedState,
    lost_bits: LostBits,
    longest: int,
    steps: Int[Array, ""],
    forward: Bool[Array, ""],
) -> Rolled:
    """Rolls `steps` (at most `longest`) steps on from `state`, or back.

    Everything but `longest` may be traced, so that one program serves every stretch and either direction.
    """
    first = jnp.where(forward, state.step, state.step - steps) - lost_bits.start
    # Words put away before the stretch; those within it are numbered from there.
    earlier = first // lost_bits.interval

    def stored(now: FixedState, kept: Array, whole: Array, on: Array) -> tuple[FixedState, Array, Array]:
        """Puts the reservoir away, or takes it out again, where the step's number says so and it is the time (`on`)."""
        done = now.step - lost_bits.start
        due = (done % lost_bits.interval == 0) & (done > 0) & on
        place = jnp.clip(done // lost_bits.interval - earlier - 1, 0, kept.shape[0] - 1)

        def exchanged() -> tuple[FixedState, Array, Array]:
            clean = whole & (forward | jnp.all(now.reservoir == 0))
            taken = jnp.where(forward, 0, kept[place])
            put = lax.dynamic_update_index_in_dim(kept, jnp.where(forward, now.reservoir, kept[place]), place, 0)
            return dataclasses.replace(now, reservoir=taken), put, clean

        out: tuple[FixedState, Array, Array] = lax.cond(due, exchanged, lambda: (now, kept, whole))
        return out

    def body(k: Array, carry: _Carry) -> _Carry:
        now, kept, whole = carry.state, carry.lost_bits, carry.whole
        if fixed.damps:
            now, kept, whole = stored(now, kept, whole, ~forward)
        begun = now.positions
        now = fixed.moved(now, forward)
        neighbors = lists.kept(carry.neighbors, now.positions * 2.0**-fixed.bits)
        now, force = fixed.with_kicks(now, neighbors)
        now = fixed.kicked(now, forward)
        if fixed.damps:
            now, kept, whole = stored(now, kept, whole, forward)
        place = jnp.where(forward, k + 1, steps - 1 - k)
        return _Carry(
            now,
            neighbors,
            _written(carry.on_the_way, place, now),
            kept,
            jnp.maximum(carry.needed, neighbors.needed),
            carry.extent.with_state(now, force).with_way(now.positions - begun),
            whole,
        )

    neighbors = lists.before(state.positions * 2.0**-fixed.bits)
    empty = jnp.zeros((longest + 1, *state.positions.shape), np.int64)
    start = _written((empty, empty, empty), jnp.where(forward, 0, steps), state)
    none = Extent.none()
    carry = _Carry(state, neighbors, start, lost_bits.stored, neighbors.needed, none, jnp.asarray(True))
    end = lax.fori_loop(0, steps, body, carry)
    after = dataclasses.replace(lost_bits, stored=end.lost_bits)
    return Rolled(end.state, end.on_the_way, after, end.needed, end.extent, end.whole)


def _written(on_the_way: Triple, place: Array, state: FixedState) -> Triple:
    x, v, f = on_the_way
    return (
        lax.dynamic_update_index_in_dim(x, state.positions, place, 0),
        lax.dynamic_update_index_in_dim(v, state.velocities, place, 0),
        lax.dynamic_update_index_in_dim(f, state.kicks, place, 0),
    )
