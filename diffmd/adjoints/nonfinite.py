"""Where a derivative left the finite numbers although the trajectory did not: the step, the potential, the atoms."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.adjoints.base import Gradient
from diffmd.dynamics.march import ListControl
from diffmd.dynamics.schedule import Leg, segments
from diffmd.forcefield import ForceField
from diffmd.neighbors import build
from diffmd.objective import P, Problem
from diffmd.simulation import Recorder
from diffmd.system import State, Values


def first_lost_step(result: Gradient) -> int | None:
    """The step at whose state the derivative left the finite numbers, as far as the health's norm tells: the latest on
    the way back, the earliest on the way forward."""
    lost = np.flatnonzero(~np.isfinite(result.health.norm))
    if not len(lost) or result.health.kind not in ("cotangent", "tangent"):
        return None
    return int(result.health.steps[lost[-1] if result.health.kind == "cotangent" else lost[0]])


def culprit(problem: Problem, p: P, base: Values, key: Array, control: ListControl, step: int | None) -> str | None:
    """A sentence on the potential and the atoms whose force has no finite derivative, at `step` or at the start; None
    where every force has one."""
    for number in dict.fromkeys((step or 0, 0)):
        state = _state_at(problem, p, base, key, control, number)
        values = problem.values(p, base)
        neighbors = build(control.plan, state.positions, state.box, problem.dynamics.system.excluded)
        for name in problem.dynamics.forcefield.potentials:
            field = problem.dynamics.forcefield.only(name).with_mode("reverse")
            atoms, parameters = _lost(field, values, state, neighbors, name)
            if len(atoms):
                shown = ", ".join(str(atom) for atom in atoms[:4]) + (", ..." if len(atoms) > 4 else "")
                return f"the force of potentials.{name} on atoms {shown} has no finite derivative at step {number}"
            if parameters:
                return f"the derivative of potentials.{name} by {', '.join(parameters)} is not finite at step {number}"
    return None


def _state_at(problem: Problem, p: P, base: Values, key: Array, control: ListControl, step: int) -> State:
    """The state after `step` steps."""
    recorder = Recorder(problem)
    state = recorder.start(p, base, control)
    if not step:
        return state
    plan = segments([Leg(step, 0, ())], problem.longest(control.plan))
    return recorder.run(p, base, key, control, state, plan, lambda *_: None, lambda _: None)


def _lost(
    field: ForceField, values: Values, state: State, neighbors: object, name: str
) -> tuple[np.ndarray, list[str]]:
    """Atoms and parameters by which the forces' derivative is not finite."""
    own = {key: value for key, value in values.items() if key.startswith(f"potentials.{name}.")}

    def forces(own: Mapping[str, Array], x: Array) -> Array:
        return field.forces({**values, **own}, x, state.box, neighbors)  # type: ignore[arg-type]

    out, pull = jax.vjp(forces, own, state.positions)
    by_parameter, by_position = pull(jnp.ones_like(out) + jnp.arange(out.size, dtype=out.dtype).reshape(out.shape))
    atoms = np.flatnonzero(~np.isfinite(np.asarray(by_position)).all(axis=1))
    lost = [key.removeprefix(f"potentials.{name}.") for key, g in by_parameter.items() if not np.isfinite(g).all()]
    return atoms, lost
