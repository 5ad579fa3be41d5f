"""Where a derivative left the finite numbers, though the trajectory did not: its step, atoms, potential or term."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.adjoints.base import Gradient
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.schedule import Leg, segments
from diffmd.forcefield import ForceField, Neighbors
from diffmd.losses import LossTerm, compared, reduced
from diffmd.objective import P, Problem
from diffmd.paths import below
from diffmd.programs import Program
from diffmd.simulation import Recorder
from diffmd.system import State, Values

_MOST_FRAMES = 1000
"""At so many frames, from the first on, a term's derivative is looked at."""


def lost_steps(result: Gradient) -> range | None:
    """The steps at one of whose states the derivative left the finite numbers, as far as the health's norm tells: the
    latest such stretch on the way back, the earliest on the way forward."""
    steps, lost = result.health.steps.astype(int), np.flatnonzero(~np.isfinite(result.health.norm))
    if not len(lost) or result.health.kind not in ("cotangent", "tangent"):
        return None
    if result.health.kind == "tangent":
        return range(steps[lost[0] - 1] if lost[0] else 0, steps[lost[0]] + 1)
    first, longest = steps[lost[-1]], np.max(np.diff(steps), initial=1)
    return range(first, steps[lost[-1] + 1] if lost[-1] + 1 < len(steps) else first + longest)


def culprit(problem: Problem, p: P, base: Values, key: Array, control: ListControl, steps: range) -> str | None:
    """A sentence on what has no finite derivative: the force of a potential at one of `steps` or at the start, with its
    atoms; else a term's observable, with the step and atoms; else how the term reduces and compares. None where all
    have one.
    """
    start = (problem, p, base, key, control)
    steps = range(min(steps.start, problem.steps), min(steps.stop, problem.steps + 1))
    after = [step + 1 for step in steps]
    return _of_forces(*start, steps) or _of_observables(*start, after) or _of_terms(*start)


def _of_forces(problem: Problem, p: P, base: Values, key: Array, control: ListControl, steps: range) -> str | None:
    """On the potential and the atoms whose force has no finite derivative, at one of `steps` or at the start."""
    start, values, field = (problem, p, base, key, control), problem.values(p, base), problem.dynamics.forcefield
    looks = {name: _pulled(field.only(name).with_mode("reverse"), name) for name in field.potentials}
    for number, state in itertools.chain(_states(*start, steps), _states(*start, range(1))):
        neighbors = problem.dynamics.forcefield.neighbors(control.plan, state.positions, state.box)
        for name, look in looks.items():
            atoms, parameters = _lost(name, *look(values, state, neighbors))
            if len(atoms):
                return f"the force of potentials.{name} on {_shown(atoms)} has no finite derivative at step {number}"
            if parameters:
                return f"the derivative of potentials.{name} by {', '.join(parameters)} is not finite at step {number}"
    return None


def _shown(atoms: np.ndarray) -> str:
    return "atoms " + ", ".join(str(atom) for atom in atoms[:4]) + (", ..." if len(atoms) > 4 else "")


def _of_observables(
    problem: Problem, p: P, base: Values, key: Array, control: ListControl, first: Sequence[int]
) -> str | None:
    """On the observable whose derivative is not finite, at the steps `first` or at any other of its frames."""
    frames = [set(own.tolist()) for own in problem.frames]
    wanted = sorted(set().union(*frames))
    for steps in ([step for step in wanted if step in first], wanted[:_MOST_FRAMES]):
        for number, look in _frames(problem, p, base, key, control, steps):
            for term, own in zip(problem.terms, frames, strict=True):
                if number not in own:
                    continue
                _, (values, *state) = look(term)
                atoms = np.flatnonzero(~np.all([np.isfinite(ct).all(axis=1) for ct in state], axis=0))
                lost = [name for name, ct in values.items() if not np.isfinite(ct).all()]
                if len(atoms) or lost:
                    what = f"the derivative of {term.name}.observable is not finite at step {number}"
                    return f"{what}, {_shown(atoms)}" if len(atoms) else f"{what}, by {', '.join(lost)}"
    return None


def _of_terms(problem: Problem, p: P, base: Values, key: Array, control: ListControl) -> str | None:
    """On the term whose reduction or comparison has no finite derivative by what was measured."""
    frames = [set(own.tolist()) for own in problem.frames]
    wanted = sorted(set().union(*frames))
    if len(wanted) > _MOST_FRAMES:
        return None
    rows: list[list[Any]] = [[] for _ in frames]
    for number, look in _frames(problem, p, base, key, control, wanted):
        for term, own, kept in zip(problem.terms, frames, rows, strict=True):
            if number in own:
                kept.append(look(term)[0])
    for term, kept in zip(problem.terms, rows, strict=True):
        whole = jax.tree.map(lambda *parts: jnp.stack(parts), *kept)
        slopes = jax.grad(lambda measured: compared(term, reduced(term, measured)))(whole)  # noqa: B023 - used at once
        if not all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes)):
            what = f"the derivative of {term.name} by what its observable measured is not finite"
            return f"{what}; look at its reduce and compare"
    return None


def _frames(
    problem: Problem, p: P, base: Values, key: Array, control: ListControl, steps: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Each of the steps, rising, with a function of a term: what its observable measures there, and the cotangents of
    values that parameters fill, positions and velocities, pulled from some cotangent of that."""
    recorder, problem = Recorder(problem), problem.with_mode("reverse")
    for number, state in _states(problem, p, base, key, control, steps):
        plan_now = control.plan

        def look(term: LossTerm, state: State = state, plan: Any = plan_now) -> Any:
            def pulled(p: P, base: Values, state: State) -> Any:
                values = problem.values(p, base)
                neighbors = problem.dynamics.forcefield.neighbors(plan, state.positions, state.box)

                def measured(own: Mapping[str, Array], x: Array, v: Array) -> Any:
                    at = dataclasses.replace(state, positions=x, velocities=v)
                    return term.observable.measure(problem.dynamics.frame({**values, **own}, at, neighbors))

                own = {name: values[name] for name in problem.watched}
                out, pull = jax.vjp(measured, own, state.positions, state.velocities)
                return out, pull(jax.tree.map(_some, out))

            return recorder.compiled((term.name, plan), pulled)(p, base, state)

        yield number, look


def _some(array: Array) -> Array:
    """A cotangent in which no two numbers cancel."""
    return 1 + jnp.arange(array.size, dtype=array.dtype).reshape(array.shape)


def _states(
    problem: Problem, p: P, base: Values, key: Array, control: ListControl, steps: Sequence[int]
) -> Iterator[tuple[int, State]]:
    """Each of the steps, rising, with the state after it."""
    if not steps:
        return
    recorder = Recorder(problem)
    state, done = recorder.start(p, base, control), 0
    for number in steps:
        plan = segments([Leg(number - done, 0, ())], problem.longest(control.plan), done) if number > done else []
        state = recorder.run(p, base, key, control, state, plan, lambda *_: None, lambda _: None)
        done = number
        yield number, state


def _pulled(field: ForceField, name: str) -> Program:
    """(values, state, neighbors) -> some cotangent of a potential's forces, pulled back to its own values and to
    positions."""

    def pulled(values: Values, state: State, neighbors: Neighbors) -> tuple[Values, Array]:
        own = {key: value for key, value in values.items() if below(key, f"potentials.{name}")}

        def forces(own: Values, x: Array) -> Array:
            return field.forces({**values, **own}, x, state.box, neighbors)

        out, pull = jax.vjp(forces, own, state.positions)
        by_parameter, by_position = pull(_some(out))
        return by_parameter, by_position

    return Program(pulled)


def _lost(name: str, by_parameter: Values, by_position: Array) -> tuple[np.ndarray, list[str]]:
    """Atoms and parameters by which the forces' derivative is not finite."""
    atoms = np.flatnonzero(~np.isfinite(np.asarray(by_position)).all(axis=1))
    lost = [str(below(key, f"potentials.{name}")) for key, g in by_parameter.items() if not np.isfinite(g).all()]
    return atoms, lost
