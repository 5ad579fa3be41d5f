"""What of a segment is compiled in, and what it reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import Array, Bool, Float, Int

from diffmd.dynamics.frame import Frame
from diffmd.neighbors import NeighborPlan
from diffmd.system import State

Measure = Callable[[Frame, State], object]
"""What is kept of a frame: any pytree of arrays."""

_STRETCHES = 50
"""Into about so many stretches a segment is cut: at the start of each the way back leaves a probe."""


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
        stretch: the most steps of a stretch, if its part of the segment is more; None: no such bound.
    """

    steps: int
    stride: int
    block: int
    active: tuple[int, ...]
    plan: NeighborPlan
    stretch: int | None = None

    @property
    def group(self) -> int:
        """Steps that share a list."""
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
            return self.steps // self.stride * -(-self.stride // self.block)
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
        usual = max(1, min(self.steps // _STRETCHES, self.stretch or self.steps))
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
