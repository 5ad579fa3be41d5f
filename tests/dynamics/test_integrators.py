"""Integrators against the closed-form oscillator and their own symmetries."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from support.experiments import dimers, liquid, runner

from diffmd.dynamics.run.shape import Shape

LANGEVIN = {"kind": "langevin", "dt": 0.004, "friction": 2.0, "temperature": 1.0}


def test_velocity_verlet_is_of_second_order(double):
    # Two atoms of mass 1: r = r0 + A cos(omega t), omega^2 = 2 k.
    run = runner(dimers(1, {"r0": 0.7, "k": 8.0}, {"integrator": {"kind": "velocity_verlet", "dt": 0.02}}))
    errors = []
    for dt, steps in ((0.02, 100), (0.01, 200), (0.005, 400)):
        end = run(steps, steps, longest=100, values={"dynamics.integrator.dt": dt}).end
        r = end.positions[1, 0] - end.positions[0, 0]
        errors.append(abs(float(r) - (0.7 + 0.3 * np.cos(4 * 2.0))))
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.02)


def test_velocity_verlet_runs_back_and_conserves_momentum(double):
    run = runner(liquid())
    there = run(60, 20)
    back = run(60, 20, state=dataclasses.replace(there.end, velocities=-there.end.velocities))
    np.testing.assert_allclose(back.end.positions, there["positions"][0], atol=1e-11)
    np.testing.assert_allclose(-np.asarray(back.end.velocities), there["velocities"][0], atol=1e-10)
    np.testing.assert_allclose(there["velocities"].sum(axis=1), 0, atol=1e-11)


def test_positions_are_continuous(double):
    # Nothing is wrapped on the way, however far an atom goes.
    built = liquid({"integrator": {"kind": "velocity_verlet", "dt": 0.002}})
    run = runner(built)
    fast = np.asarray(built.systems[0].values["system.velocities"]) + np.array([80.0, 0, 0])
    x = run(100, values={"system.velocities": fast})["positions"]
    assert np.abs(np.diff(x, axis=0)).max() < 0.3
    assert (x[-1] - x[0])[:, 0].min() > 2 * float(built.systems[0].values["system.box"][0])


def test_without_friction_langevin_is_newton(double):
    newton = runner(liquid())(30, 10)
    free = runner(liquid({"integrator": LANGEVIN | {"friction": 0.0}}))(30, 10)
    for name in ("positions", "velocities"):
        np.testing.assert_allclose(free[name], newton[name], atol=1e-12)


def test_noise_is_a_function_of_seed_and_step(double):
    run = runner(liquid({"integrator": LANGEVIN}))
    whole = run(30, 10, longest=10)
    first = run(20, 10, longest=10)
    rest = run(10, 10, longest=10, state=first.end)
    again = run(30, 10, longest=10)
    for end in (rest.end, again.end):
        np.testing.assert_array_equal(end.positions, whole.end.positions)
        np.testing.assert_array_equal(end.velocities, whole.end.velocities)
    other = run(30, 10, longest=10, seed=2)
    assert np.abs(np.asarray(other.end.velocities) - whole.end.velocities).max() > 0.1
    # Two steps draw different numbers.
    late = run(20, 10, longest=10, state=dataclasses.replace(run(0).end, step=first.end.step))
    assert np.abs(np.asarray(late.end.velocities) - first.end.velocities).max() > 0.1


def test_gradients_are_finite_at_zero_temperature_and_friction(double):
    built = liquid({"integrator": LANGEVIN})
    problem, one = built.systems[0].problem, built.systems[0]
    control = one.control(one.values)
    shape = Shape(3, 0, 0, (), control.plan)

    def loss(numbers):
        values = dict(one.values) | numbers
        state = problem.start({}, values, control.plan)
        return (problem.advance({}, values, jax.random.key(0), shape, state)[0].positions ** 2).sum()

    slope = jax.jit(jax.grad(loss))
    for temperature in (0.0, 1.0):
        numbers = {"dynamics.integrator.friction": 0.0, "dynamics.integrator.temperature": temperature}
        assert all(np.isfinite(g) for g in slope(numbers).values())
