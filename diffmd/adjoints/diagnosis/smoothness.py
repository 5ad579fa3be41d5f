"""Where a trajectory is not differentiable: a pair that crosses a cutoff at which the force jumps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.box import Box, displacement
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.run.schedule import Segment
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.potentials.base import PairPotential
from diffmd.simulation import Recorder, Say, recording
from diffmd.system import State

_MOST_NUMBERS = 2e8
"""Pair distances looked at, at most; beyond it the search is given up after so many steps."""


def first_crossing(objective: Objective, ready: Ready, p: P, say: Say) -> str:
    """The first pair to cross a truncated cutoff, in words; empty if none does."""
    for problem in objective.problems:
        cut = {
            name: potential.cutoff
            for name, potential in problem.dynamics.forcefield.potentials.items()
            if isinstance(potential, PairPotential) and potential.truncated and potential.cutoff is not None
        }
        if cut:
            found = _search(problem, cut, ready, p, say)
            if found:
                return found
    return ""


def _keep(frame: Frame, state: State) -> Array:
    return frame.positions


def _search(problem: Problem, cut: dict[str, float], ready: Ready, p: P, say: Say) -> str:
    steps = min(problem.steps, int(_MOST_NUMBERS / problem.dynamics.system.size**2))
    base, control = ready.values[problem.name], ready.controls[problem.name]
    recorder = Recorder(problem, _keep)
    state = recorder.start(p, base, control)
    frames: list[Float[np.ndarray, "frames atoms 3"]] = [np.asarray(state.positions)[None]]

    def accepted(segment: Segment, after: State, rows: Array) -> None:
        frames.append(np.asarray(rows))

    recorder.run(p, base, ready.key, control, state, recording(steps, 1, 100), accepted, say)
    interacts = np.triu(np.ones((problem.dynamics.system.size,) * 2, bool), 1)
    interacts[tuple(problem.dynamics.system.excluded.T)] = False
    before: dict[str, np.ndarray] = {}
    for step, x in enumerate(np.concatenate(frames)):
        distances = _distances(state.box, x)
        for name, cutoff in cut.items():
            inside = (distances < cutoff) & interacts
            if name in before and (changed := np.argwhere(inside != before[name])).size:
                i, j = changed[0]
                return f"pair {i}-{j} crosses the truncated cutoff of potentials.{name} at step {step}"
            before[name] = inside
    return ""


def _distances(box: Box, x: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "atoms atoms"]:
    at = jnp.asarray(x)
    return np.linalg.norm(np.asarray(displacement(box, at[:, None], at[None])), axis=-1)
