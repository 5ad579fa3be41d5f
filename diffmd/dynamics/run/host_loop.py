"""The host's loop over segments: capacities, block lengths, flags, and what to do when a segment broke a bound."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from diffmd.dynamics.run.schedule import Segment
from diffmd.dynamics.run.shape import Opening, Report, Shape
from diffmd.errors import NumericalError
from diffmd.neighbors import NeighborPlan, grow

_LONGEST_BLOCK = 100
"""Steps between list builds, at most."""

_ROUNDING = 1e-5
"""Relative: a cutoff may equal half the width of the box, in single precision, too."""

Carry = TypeVar("Carry")
Extra = TypeVar("Extra")


class DivergedError(NumericalError):
    """A segment of the problem called `problem` is no result."""

    def __init__(self, what: str, problem: str, segment: Segment) -> None:
        super().__init__(f"{what} between steps {segment.start} and {segment.start + segment.steps}")
        self.problem = problem
        self.segment = segment


class NonFiniteError(DivergedError):
    """It ended in nan or infinity."""

    def __init__(self, problem: str, segment: Segment) -> None:
        super().__init__("not finite", problem, segment)


class BlownUpError(DivergedError):
    """An atom went too far in one step (see `Leap`)."""

    def __init__(self, problem: str, segment: Segment, furthest: float) -> None:
        super().__init__(f"an atom went {furthest:.3g} in one step", problem, segment)


@dataclasses.dataclass
class ListControl:
    """How lists are built now: the plan, and how many steps a block has. The one thing that a run adapts.

    It changes only with what segments report, so a run that is repeated or resumed from it repeats every choice. What
    one run has learned, the next one with the same control starts from.
    """

    plan: NeighborPlan
    block: int
    fixed: bool = False
    """Whether the config fixed the block; it still shrinks when a segment breaks the bound."""
    built: int = dataclasses.field(default=0, compare=False)
    """Lists that the runs under it have built, those of segments that were run again among them: no choice of its own,
    and so in no checkpoint."""

    def shape(self, segment: Segment) -> Shape:
        """The compiled shape of a segment whose lists are built where atoms have moved; in blocks that the config
        fixed."""
        block = self.block if self.fixed and self.plan.is_list else 0
        return Shape(segment.steps, segment.stride, block, segment.active, self.plan)

    def in_blocks(self, segment: Segment) -> Shape:
        """The compiled shape of a segment whose lists are built every so many steps, for reverse mode."""
        block = self.block if self.plan.is_list else 0
        return Shape(segment.steps, segment.stride, block, segment.active, self.plan)

    def to_json(self) -> str:
        """For a checkpoint."""
        return json.dumps({"plan": self.plan.to_dict(), "block": self.block, "fixed": self.fixed})

    @staticmethod
    def from_json(text: str) -> ListControl:
        """The reverse of `to_json`."""
        data = json.loads(text)
        return ListControl(NeighborPlan.from_dict(data["plan"]), data["block"], data["fixed"])

    def settle(self, cutoff: float | None, attempt: Callable[[NeighborPlan], tuple[Extra, Opening]]) -> Extra:
        """What `attempt` makes with the plan, which is grown first until the lists that it needs fit.

        The plan was made for the atoms as they are held; parameters may have moved them, or the box, since.

        Raises NumericalError if the box has become too small for the longest `cutoff`.
        """
        while True:
            made, opening = attempt(self.plan)
            self.built += self.plan.is_list
            reach = float(opening.reach)
            if cutoff is not None and cutoff > reach * (1 + _ROUNDING):
                raise NumericalError(
                    f"half the smallest width of the box is {reach:.6g} now, less than the cutoff of {cutoff:g}: "
                    "atoms would meet several images of each other; keep the box larger (`lower` of system.box)"
                )
            if not self.plan.is_list or not self.plan.overflowed(needed := np.asarray(opening.needed)):
                return made
            self._grow(needed)

    def roomy(self, segment: Segment, attempt: Callable[[Shape], Any], say: Callable[[str], None]) -> Any:
        """What `attempt` makes with the segment's shape, again until its lists had room: the largest counts that they
        needed are its last part.

        For steps that build a list whenever atoms have moved, so that nothing but room can be wanting.
        """
        while True:
            made = attempt(self.shape(segment))
            if not self.plan.is_list or not self.plan.overflowed(needed := np.asarray(made[-1])):
                return made
            self._grow(needed)
            say(_run_again(segment, self._room()))

    def _grow(self, needed: np.ndarray) -> None:
        larger = grow(self.plan, needed)
        if larger == self.plan:
            raise NumericalError(f"the neighbour list cannot grow to the {needed.max()} neighbours it needs")
        self.plan = larger

    def _room(self) -> str:
        return f"neighbour list grown to {self.plan.capacity} a row"

    def mend(self, report: Report, shape: Shape) -> str | None:
        """Grows a capacity or shortens the block if the report of a segment of that shape broke a bound; says which, or
        None if all held.

        Raises NumericalError if nothing is left to mend.
        """
        if not self.plan.is_list:
            return None
        if self.plan.overflowed(needed := np.asarray(report.needed)):
            self._grow(needed)
            return self._room()
        limit = self.plan.skin / 2
        moved = float(np.sqrt(report.displacement2))
        if not moved <= limit:
            if shape.block <= 1:
                raise NumericalError(
                    f"an atom moved {moved:.3g} in one step, over half the skin of {self.plan.skin:g}; "
                    "use a smaller dynamics.integrator.dt or a larger dynamics.neighbors.skin"
                )
            # Shorter in proportion to how far it went, and a little more: another program is compiled for it.
            allowed = 0.9 * shape.block * limit / moved if np.isfinite(moved) else 1
            self.block = max(1, min(int(allowed), shape.block - 1))
            return f"neighbour lists rebuilt every {self.block} steps"
        return None

    def relax(self, report: Report, shape: Shape) -> None:
        """Lengthens the block where it is less than half of what the displacements allow: then the builds that it saves
        are worth another program."""
        if self.fixed or not shape.block:
            return
        moved = float(np.sqrt(report.displacement2))
        allowed = 0.8 * shape.block * (self.plan.skin / 2) / moved if moved > 0 else _LONGEST_BLOCK
        better = int(min(allowed, _LONGEST_BLOCK))
        if better >= 2 * self.block:
            self.block = better


def _run_again(segment: Segment, why: str) -> str:
    return f"steps {segment.start} to {segment.start + segment.steps} run again: {why}"


def run_segments(
    problem: str,
    state: Carry,
    segments: Iterable[Segment],
    control: ListControl,
    too_far: Callable[[float], bool],
    advance: Callable[[Shape, Carry], tuple[Carry, Any, Report, Extra]],
    accepted: Callable[[Segment, Shape, Carry, Carry, Any, Extra], None],
    say: Callable[[str], None],
    *,
    in_blocks: bool = False,
) -> Carry:
    """Runs segments one after another, each again until it keeps every bound.

    Args:
        problem: its name, for errors.
        state: what is carried from segment to segment.
        too_far: whether an atom that went so far in one step went too far (`Leap.over`).
        advance: runs one segment of a shape from a state.
        accepted: told of each segment that kept its bounds: (segment, shape, state before, state after, rows, extra).
        say: told when a segment had to be run again.
        in_blocks: whether lists are built in blocks (reverse mode), or where atoms have moved.

    Raises:
        NonFiniteError: a segment left the finite numbers.
        BlownUpError: an atom went too far in one step.
        NumericalError: a bound was broken that nothing mends.
    """
    for segment in segments:
        while True:
            shape = control.in_blocks(segment) if in_blocks else control.shape(segment)
            after, rows, report, extra = advance(shape, state)
            control.built += int(report.builds)
            finite, furthest = bool(report.finite), float(np.sqrt(report.furthest2))
            sound = finite and not too_far(furthest)
            # A list that missed a pair can itself be the reason: mend it first, and believe the rest after.
            doubtful = shape.block > 1 or control.plan.overflowed(np.asarray(report.needed))
            mended = control.mend(report, shape) if sound or doubtful else None
            if mended is None:
                if sound:
                    break
                raise BlownUpError(problem, segment, furthest) if finite else NonFiniteError(problem, segment)
            say(_run_again(segment, mended))
        # Before it is told: a checkpoint that `accepted` writes holds what the next segment will be run with.
        control.relax(report, shape)
        accepted(segment, shape, state, after, rows, extra)
        state = after
    return state
