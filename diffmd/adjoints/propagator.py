"""A problem's functions of what is differentiated: of one trajectory, or of replicas side by side.

A method is written once against `Propagator`. Replicas are independent runs of one problem: other velocities, other
starting conformations where the config draws them, other noise. Each has its own copy of the parameters, so that the
gradient with respect to the copies is each replica's own contribution.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.adjoints.base import Choice, Floats, chosen_rows, join, split
from diffmd.adjoints.replicas.mesh import Devices, placed, side_by_side
from diffmd.dynamics.run.guard import UNGUARDED, Guard
from diffmd.dynamics.run.shape import Opening, Report, Shape
from diffmd.losses import compared, reduced
from diffmd.neighbors import NeighborPlan
from diffmd.objective import P, Problem
from diffmd.programs import ProgramCache
from diffmd.system import Values

DRAWN = ("system.positions", "system.velocities")
"""Which held values differ from replica to replica: their arrays have the replicas first."""

Average = Literal["loss", "observable"]


@dataclasses.dataclass(frozen=True)
class Replicas:
    """How many, what is averaged over them (the loss of each, or the reduced observable before it is compared), and
    the devices that share them out."""

    count: int
    average: Average = "loss"
    devices: Devices = ()


def copies(replicas: Replicas | None) -> int:
    """How many runs stand side by side."""
    return 1 if replicas is None else replicas.count


class Propagator(abc.ABC):
    """The functions of a problem, pure and ready to be compiled. `p` is what `spread` gives."""

    problem: Problem

    def programs(self, *names: Hashable) -> ProgramCache:
        """The compiled programs of the problem below these names; those of other options are others."""
        return self.problem.programs.scope(*names, *self.options)

    @property
    @abc.abstractmethod
    def options(self) -> tuple[Hashable, ...]:
        """What tells this propagator from others of its problem."""

    @property
    @abc.abstractmethod
    def one(self) -> Single:
        """The propagator of a trajectory alone."""

    @abc.abstractmethod
    def each(self, function: Callable[..., Any], *axes: int | None) -> Callable[..., Any]:
        """A function (p, base, key, *rest) of one trajectory, as one of this propagator's.

        Args:
            axes: for each argument of the rest 0 where it is the trajectory's own, None where all share it.
        """

    @abc.abstractmethod
    def spread(self, p: P) -> dict[str, Array]:
        """The parameters as the other functions take them."""

    @abc.abstractmethod
    def placed(self, base: Values) -> Values:
        """The held values on the devices that compute with them."""

    @abc.abstractmethod
    def opened(self, p: P, base: Values, plan: NeighborPlan) -> tuple[Floats, Array, Opening]:
        """What is differentiated of the first state, its step, and what tells whether its forces miss no pair."""

    @abc.abstractmethod
    def advance(
        self,
        p: P,
        base: Values,
        key: Array,
        shape: Shape,
        floats: Floats,
        step: Array,
        probes: Float[Array, "stretches probes"] | None = None,
    ) -> tuple[Floats, Array, tuple[Any, ...], Report]:
        """A segment: what is differentiated of the state after it, its step, rows, report."""

    @abc.abstractmethod
    def measure(self, p: P, base: Values, plan: NeighborPlan, floats: Floats, step: Array) -> list[Any]:
        """Every term's measurement of one state."""

    @abc.abstractmethod
    def finish(
        self, choice: Choice, pieces: list[list[Any]], factors: Float[Array, "terms"] | None = None
    ) -> tuple[Array, Array]:
        """Loss and terms from the rows that the segments gave (see `Measurements`), and the factors of `Ready`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Single(Propagator):
    """One trajectory."""

    problem: Problem
    guard: Guard = UNGUARDED

    @property
    def options(self) -> tuple[Hashable, ...]:
        """See `Propagator`."""
        return (self.guard,)

    @property
    def one(self) -> Single:
        """See `Propagator`."""
        return self

    def each(self, function: Callable[..., Any], *axes: int | None) -> Callable[..., Any]:
        """See `Propagator`."""
        return function

    def spread(self, p: P) -> dict[str, Array]:
        """See `Propagator`."""
        return dict(p)

    def placed(self, base: Values) -> Values:
        """See `Propagator`."""
        return base

    def opened(self, p: P, base: Values, plan: NeighborPlan) -> tuple[Floats, Array, Opening]:
        """See `Propagator`."""
        state, opening = self.problem.opened(p, base, plan)
        return split(state), state.step, opening

    def advance(
        self,
        p: P,
        base: Values,
        key: Array,
        shape: Shape,
        floats: Floats,
        step: Array,
        probes: Float[Array, "stretches probes"] | None = None,
    ) -> tuple[Floats, Array, tuple[Any, ...], Report]:
        """See `Propagator`."""
        state = join(floats, self.problem.box_shape, step)
        after, rows, report = self.problem.advance(p, base, key, shape, state, probes, self.guard)
        return split(after), after.step, rows, report

    def measure(self, p: P, base: Values, plan: NeighborPlan, floats: Floats, step: Array) -> list[Any]:
        """See `Propagator`."""
        return list(self.problem.measure(p, base, plan, join(floats, self.problem.box_shape, step)))

    def finish(
        self, choice: Choice, pieces: list[list[Any]], factors: Float[Array, "terms"] | None = None
    ) -> tuple[Array, Array]:
        """See `Propagator`."""
        return self.problem.finish(chosen_rows(choice, pieces, start=self.problem.measures_start), factors)


@dataclasses.dataclass(frozen=True, eq=False)
class Replicated(Propagator):
    """Replicas side by side: they come first in every array of `Floats`, of the rows, and of `DRAWN` in the base."""

    problem: Problem
    replicas: Replicas
    guard: Guard = UNGUARDED

    @property
    def options(self) -> tuple[Hashable, ...]:
        """See `Propagator`."""
        return (self.replicas, self.guard)

    @property
    def one(self) -> Single:
        """See `Propagator`."""
        return Single(self.problem, self.guard)

    def each(self, function: Callable[..., Any], *axes: int | None) -> Callable[..., Any]:
        """See `Propagator`; what it gives has the replicas first."""

        def every(p: P, base: Values, key: Array, *rest: Any) -> Any:
            keys = replica_keys(key, self.replicas.count)
            return self._all(function, 0, replica_axes(base), 0, *axes)(p, base, keys, *rest)

        return every

    def _all(self, function: Callable[..., Any], *axes: Any) -> Callable[..., Any]:
        return side_by_side(function, axes, self.replicas.devices)

    def spread(self, p: P) -> dict[str, Array]:
        """A copy for each replica."""
        copies = {path: jnp.broadcast_to(value, (self.replicas.count, *jnp.shape(value))) for path, value in p.items()}
        return dict(placed(copies, dict.fromkeys(copies, 0), self.replicas.devices))

    def placed(self, base: Values) -> Values:
        """See `Propagator`."""
        arranged: Values = placed(base, replica_axes(base), self.replicas.devices)
        return arranged

    def opened(self, p: P, base: Values, plan: NeighborPlan) -> tuple[Floats, Array, Opening]:
        """See `Propagator`."""

        def one(p: P, base: Values) -> tuple[Floats, Opening]:
            floats, _, opening = self.one.opened(p, base, plan)
            return floats, opening

        floats, openings = self._all(one, 0, replica_axes(base))(p, base)
        opening = Opening(jnp.max(openings.needed, 0), jnp.min(openings.reach))
        return floats, jnp.asarray(self.problem.first_step), opening

    def advance(
        self,
        p: P,
        base: Values,
        key: Array,
        shape: Shape,
        floats: Floats,
        step: Array,
        probes: Float[Array, "stretches probes"] | None = None,
    ) -> tuple[Floats, Array, tuple[Any, ...], Report]:
        """See `Propagator`."""

        def one(p: P, base: Values, key: Array, floats: Floats, step: Array, probes: Array | None) -> Any:
            floats, _, rows, report = self.one.advance(p, base, key, shape, floats, step, probes)
            return floats, rows, report

        floats, rows, reports = self.each(one, 0, None, None)(p, base, key, floats, step, probes)
        report = Report(
            jnp.max(reports.displacement2),
            jnp.max(reports.furthest2),
            jnp.max(reports.needed, 0),
            jnp.all(reports.finite),
            jnp.max(reports.builds),
        )
        return floats, step + shape.steps, rows, report

    def measure(self, p: P, base: Values, plan: NeighborPlan, floats: Floats, step: Array) -> list[Any]:
        """See `Propagator`."""

        def one(p: P, base: Values, floats: Floats, step: Array) -> list[Any]:
            return self.one.measure(p, base, plan, floats, step)

        measured: list[Any] = self._all(one, 0, replica_axes(base), 0, None)(p, base, floats, step)
        return measured

    def finish(
        self, choice: Choice, pieces: list[list[Any]], factors: Float[Array, "terms"] | None = None
    ) -> tuple[Array, Array]:
        """See `Propagator`. Raises ValueError where there are factors."""
        if factors is not None:
            raise ValueError("the losses of replicas apart know nothing of factors")
        terms = self.problem.terms

        def values(pieces: list[list[Any]]) -> list[Array]:
            rows = chosen_rows(choice, pieces, start=self.problem.measures_start)
            return [reduced(term, row) for term, row in zip(terms, rows, strict=True)]

        each = jax.vmap(values)(pieces)
        if self.replicas.average == "observable":
            worth = [compared(term, jnp.mean(y, axis=0)) for term, y in zip(terms, each, strict=True)]
        else:
            worth = [
                jnp.mean(jax.vmap(functools.partial(compared, term))(y)) for term, y in zip(terms, each, strict=True)
            ]
        stacked = self.problem.weight * jnp.stack(worth)
        return jnp.sum(stacked), stacked


def propagator_of(
    problem: Problem, replicas: Replicas | None = None, truncate: int | None = None, clip: float | None = None
) -> Propagator:
    """The propagator of a problem under a method's options; `clip` is of the loss of one trajectory."""
    if clip is not None and replicas is not None:
        # The cotangent of each is that of the mean.
        clip /= replicas.count
    guard = Guard(truncate, clip, problem.first_step + problem.steps)
    return Single(problem, guard) if replicas is None else Replicated(problem, replicas, guard)


def replica_keys(key: Array, count: int) -> Array:
    """The random key of each replica; the first is the run's own, so that it is the run without replicas."""
    others = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(1, count))
    return jnp.concatenate([key[None], others])


def replica_axes(base: Values) -> dict[str, int | None]:
    """Where the replicas are in each of their held values; None where they share it."""
    return {name: 0 if name in DRAWN else None for name in base}


def spread_values(values: Sequence[Values]) -> Values:
    """The held values of replicas in one: `DRAWN` stacked, the rest the first's."""
    first = values[0]
    return {**first, **{name: jnp.stack([one[name] for one in values]) for name in DRAWN}}


def replica_values(base: Values, number: int) -> Values:
    """The held values of one replica."""
    return {**base, **{name: base[name][number] for name in DRAWN}}
