"""When a gradient is noise, and what made it infinite."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import FLUID, changed, ready

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.diagnosis.health import along_trajectory, noise
from diffmd.adjoints.diagnosis.nonfinite import culprit, lost_steps
from diffmd.adjoints.replicas.mean import scattered
from diffmd.losses import Frames, LossTerm
from diffmd.observables.base import Observable, SeriesObservable

CALM = Health("cotangent", np.arange(3.0), np.ones(3), 0.0, None, "")


def gradient(health: Health = CALM, **errors: float) -> Gradient:
    values = {path: np.asarray(1.0) for path in errors}
    spread = {path: np.asarray(error) for path, error in errors.items()}
    return Gradient(0.0, [0.0], values, health, spread or None, samples=16 if spread else None)


def test_samples_tell_signal_from_noise():
    assert noise(gradient(a=0.1, b=5.0)) is None
    said = noise(gradient(a=0.8, b=5.0))
    assert said is not None
    assert "1.2 times" in said
    assert "more replicas" in said
    of_frames = noise(gradient(dataclasses.replace(CALM, kind="effective_samples"), a=0.8))
    assert of_frames is not None
    assert of_frames.endswith("it takes more steps")
    assert noise(gradient(a=0.0)) is None


@pytest.mark.parametrize("components", [1, 16, 300])
@pytest.mark.parametrize("samples", [3, 16])
def test_chance_seldom_passes_for_signal(components, samples):
    draws = np.random.default_rng(1).normal(size=(400, samples, components))
    passed = 0
    for each in draws:
        found = scattered({"a": each.mean(axis=0)}, {"a": each}).of(0.0, [0.0], CALM)
        passed += noise(found) is None
        clear = scattered({"a": each.mean(axis=0) + 400}, {"a": each + 400}).of(0.0, [0.0], CALM)
        assert noise(clear) is None
    # One in twenty, within four standard deviations of so many draws.
    assert passed <= 20 + 4 * np.sqrt(19)


def test_without_samples_chaos_tells():
    steps = np.arange(400.0)
    calm, wild = (along_trajectory("tangent", steps, np.exp(rate * steps), reverse=False) for rate in (1e-4, 0.1))
    assert noise(gradient(calm)) is None
    assert noise(gradient(wild)) == wild.advice


@pytest.mark.parametrize(("kind", "steps"), [("cotangent", range(20, 30)), ("tangent", range(11))])
def test_the_steps_where_a_derivative_is_lost(kind: str, steps: range):
    norm = (
        np.array([1.0, np.nan, np.inf, 1.0, 2.0]) if kind == "cotangent" else np.array([1.0, np.inf, np.nan, 1.0, 1.0])
    )
    health = Health(kind, np.array([0, 10, 20, 30, 40.0]), norm, None, None, "")
    assert lost_steps(dataclasses.replace(gradient(), health=health)) == steps
    at_the_end = dataclasses.replace(health, norm=np.array([1.0, 1.0, 1.0, 1.0, np.inf]))
    last = range(40, 50) if kind == "cotangent" else range(30, 41)
    assert lost_steps(dataclasses.replace(gradient(), health=at_the_end)) == last
    assert lost_steps(gradient()) is None


def test_the_potential_and_the_atoms_that_lost_it_are_named(double):
    def torn(positions, box, neighbors, types, parameters):
        # The root's slope is infinite where its argument is zero, its value is not.
        return parameters["a"] * jnp.sqrt(positions[3, 0] - positions[3, 0])

    case = ready(changed(FLUID, parameters=["potentials.lj"]))
    problem = case.experiment.objective.problems[0]
    base, control = case.ready.values["default"], case.ready.controls["default"]
    assert culprit(problem, case.p, base, case.ready.key, control, range(3, 8)) is None

    from diffmd.potentials.python import PythonPotential

    bad = PythonPotential({"parameters.a": np.asarray(1.0)}, None, torn, np.zeros(12, int), "torn", "potentials.torn")
    field = problem.dynamics.forcefield
    both = type(field).create(field.system, {**field.potentials, "torn": bad}, "reverse")
    broken = dataclasses.replace(problem, dynamics=dataclasses.replace(problem.dynamics, forcefield=both))
    values = {**base, "potentials.torn.parameters.a": jnp.asarray(1.0)}
    said = culprit(broken, case.p, values, case.ready.key, control, range(0))
    assert said is not None
    assert "potentials.torn" in said
    assert "step 0" in said


class Torn(Observable):
    """Finite, with a derivative that is not, by two atoms, from the time on at which it is asked for."""

    def measure(self, frame):
        gap = jnp.where(frame.time > 0.035, 0.0, 1.0) * (frame.positions[3, 0] - frame.positions[7, 1])
        return jnp.sqrt(jnp.abs(gap))


class Spread(SeriesObservable):
    """A root of what is zero."""

    def measure(self, frame):
        return {"x": frame.positions[0, 0]}

    def over(self, rows):
        return jnp.sqrt(jnp.var(0.0 * rows["x"]))


def test_the_observable_that_lost_it_is_named_with_its_step_and_atoms(double):
    case = ready(changed(FLUID, parameters=["potentials.lj"]))
    problem = case.experiment.objective.problems[0]
    start = (case.p, case.ready.values["default"], case.ready.key, case.ready.controls["default"])

    def said(observable, steps):
        term = LossTerm.create("loss.0", observable, frames=Frames(2, 8, 2), compare="none")
        return culprit(dataclasses.replace(problem, terms=(term,)), *start, steps)

    assert said(Torn(), range(0)) == "the derivative of loss.0.observable is not finite at step 4, atoms 3, 7"
    # The cotangent was lost on the way back from step 8.
    assert said(Torn(), range(7, 8)) == "the derivative of loss.0.observable is not finite at step 8, atoms 3, 7"
    assert said(Spread(), range(0)) == (
        "the derivative of loss.0 by what its observable measured is not finite; look at its reduce and compare"
    )
