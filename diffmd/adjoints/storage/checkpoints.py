"""Where a reverse pass keeps states, within a budget of memory: everywhere, where segments start, or groups of them.

For n steps, with `state` bytes a state and `residual` bytes that the vjp of one step keeps:

    stored            n residual                                    the run is never repeated
    square root       (n / L) state + L residual                    each segment of L steps is run once more
    multi-level       (n / (L g)) state + g state + L residual      each group of g segments twice more
"""

from __future__ import annotations

import dataclasses

_LENGTHS = (1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)
_GROUPS = tuple(2**k for k in range(1, 21))


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one problem is run.

    Attributes:
        longest: steps of a segment.
        stored: whether residuals are kept from the run, so that nothing is repeated.
        group: segments between two states that are kept through the run.
        predicted: bytes that this takes: what is kept, and the residuals of a segment that is run again.
        kept: bytes kept between segments.
    """

    longest: int
    stored: bool
    group: int
    predicted: float
    kept: float

    @property
    def name(self) -> str:
        """``none``, ``square-root`` or ``multi-level`` checkpoints."""
        return "none" if self.stored else "square-root" if self.group == 1 else "multi-level"


def layout(steps: int, state: float, residual: float, usual: int, memory: float) -> Layout:
    """The cheapest layout within `memory` bytes; the most frugal one where none fits.

    Args:
        usual: steps of a segment where memory is no concern.
    """
    whole = steps * residual
    if whole <= memory:
        return Layout(usual, True, 1, whole, whole)

    def again(length: int, group: int) -> Layout:
        # A group of one segment needs no states but its start.
        kept = steps / (length * group) * state + (group * state if group > 1 else 0)
        return Layout(length, False, group, kept + length * residual, kept)

    lengths = [length for length in _LENGTHS if length <= max(usual, 1)] or [1]
    roots = [again(length, 1) for length in lengths]
    groups = [again(length, group) for length in lengths for group in _GROUPS]
    fitting = [one for one in roots if one.predicted <= memory] or [one for one in groups if one.predicted <= memory]
    if fitting:
        return max(fitting, key=lambda one: (one.longest, -one.group))
    return min([*roots, *groups], key=lambda one: one.predicted)
