"""Lists that are built where atoms have moved: when, for whom, and how seldom anything is run again."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import VERLET, liquid, runner

from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.run.experiment import made_ready, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.dynamics.run.segment import run_segment
from diffmd.spec import INTEGRATORS

LISTS = {"neighbors": {"kind": "cell_list", "skin": 0.3}, "steps": 60}


def quiet(*_: object) -> None:
    """Takes no notice."""


@pytest.mark.parametrize("precision", ["single", "double"])
def test_no_segment_of_a_liquid_is_run_again_neither_first_nor_later(precision):
    with jax.enable_x64(precision == "double"):
        built = liquid(LISTS, parameters=["potentials.lj.sigma"], precision=precision)
        p = starting_parameters(built, None)
        ready = made_ready(built, p, SilentReporter())
        assert ready.controls["default"].plan.is_list
        evaluator, reverse = Evaluator(built.objective), Reverse(built.objective, 1 << 30)
        said: list[str] = []
        seen = []
        for _ in range(2):
            loss, _ = evaluator.one(ready, p, said.append, quiet)
            gradient = reverse.gradient(ready, p, said.append, quiet)
            seen.append((loss, gradient.loss, float(gradient.gradients["potentials.lj.sigma"])))
        assert not said
        # From the same lists, the same run.
        assert seen[0] == seen[1]
        np.testing.assert_allclose(seen[0][0], seen[0][1], rtol=1e-9 if precision == "double" else 1e-4)


def test_what_a_run_learned_of_its_lists_another_start_begins_with(double):
    built = liquid(LISTS)
    ready = made_ready(built, {}, SilentReporter())
    control = ready.controls["default"]
    control.plan = dataclasses.replace(control.plan, capacity=control.plan.capacity + 8)
    assert made_ready(built, {}, SilentReporter(), controls=ready.controls).controls["default"] is control
    assert made_ready(built, {}, SilentReporter()).controls["default"].plan != control.plan


def test_a_step_too_long_for_any_list_is_reported(double):
    one = runner(liquid(LISTS, temperature=2.0)).one
    control = one.control(one.values)
    values = {**one.values, "dynamics.integrator.dt": jnp.asarray(0.02)}
    fast = dataclasses.replace(control, plan=dataclasses.replace(control.plan, skin=0.05))
    problem = one.problem
    state = problem.start({}, values, fast.plan)
    shape = dataclasses.replace(fast.shape(problem.segments(5)[0]), active=())
    report = jax.jit(lambda: run_segment(problem.dynamics, (), shape, values, jax.random.key(0), state)[2])()
    assert float(np.sqrt(report.displacement2)) > 0.025


def test_systems_beside_build_together_and_run_as_they_would_alone(double):
    one = runner(liquid(LISTS, temperature=2.0)).one
    problem, control = one.problem, one.control(one.values)
    shape = control.shape(problem.segments(60)[0])
    shape = dataclasses.replace(shape, active=(), stride=0)

    def end(faster: jax.Array) -> jax.Array:
        values = {**one.values, "system.velocities": one.values["system.velocities"] * faster}
        state = problem.start({}, values, control.plan)
        return run_segment(problem.dynamics, (), shape, values, jax.random.key(0), state)[0].positions

    several = jnp.asarray([0.2, 1.0])
    together = jax.vmap(end)
    for row, alone in zip(jax.jit(together)(several), several, strict=True):
        np.testing.assert_allclose(row, jax.jit(end)(alone), rtol=0, atol=1e-9)
    # Each by itself would make a choice for every system, which is to build always.
    assert " cond[" in str(jax.make_jaxpr(together)(several))


MOVERS = {
    "velocity_verlet": VERLET,
    "langevin": {"kind": "langevin", "dt": 0.004, "friction": 1.0, "temperature": 2.0},
    "quickmin": {"kind": "quickmin", "dt": 0.01, "max_step": 0.05},
}


def test_every_integrator_stands_here():
    assert set(MOVERS) == set(INTEGRATORS.members)


@pytest.mark.parametrize("kind", MOVERS)
def test_the_look_ahead_sees_where_each_integrator_leads(kind, double):
    run = {"integrator": MOVERS[kind], "steps": 60}
    listed = runner(liquid(LISTS | run, temperature=2.0))(60, 20)
    every_pair = runner(liquid({"neighbors": {"kind": "all_pairs"}} | run, temperature=2.0))(60, 20)
    # The crystal is where a minimisation ends.
    assert listed.control.built > (0 if kind == "quickmin" else 2)
    assert not listed.said
    np.testing.assert_allclose(listed["positions"], every_pair["positions"], rtol=0, atol=1e-8)
