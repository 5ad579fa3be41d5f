"""How much of memory a propagator's states take, before anything is run."""

from __future__ import annotations

import jax

from diffmd.adjoints.base import Floats, tree_bytes
from diffmd.adjoints.propagator import Propagator
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.objective import P, Problem
from diffmd.system import Values

_MANY = 10
"""Segments from which on some begins before the buffers of the one before it have been given back."""


def in_a_row(problem: Problem, longest: int) -> bool:
    """Whether a run in segments of so many steps has many of them (see `Stored`)."""
    return len(problem.segments(longest)) > _MANY


def state_bytes(propagator: Propagator, p: P, base: Values, control: ListControl) -> int:
    """Bytes of what is differentiated of one state."""

    def opened(q: P, base: Values) -> Floats:
        return propagator.opened(q, base, control.plan)[0]

    return tree_bytes(jax.eval_shape(opened, propagator.spread(p), base))
