"""The reversible method: its gradient, that it comes back, and what it refuses."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import Array
from support.objectives import FLUID, MOLECULE, PLENTY, Case, apart, changed, nothing, ready

from diffmd.adjoints.base import Gradient
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reversible.damping import damp, rounded
from diffmd.adjoints.reversible.programs import Passes
from diffmd.adjoints.reversible.reversible import Reversible
from diffmd.commands.run.experiment import method_spec
from diffmd.config.loading import load_data
from diffmd.dynamics.run.host_loop import BlownUpError, NonFiniteError
from diffmd.errors import ConfigError, NumericalError
from diffmd.neighbors import build
from diffmd.objective import Objective
from diffmd.system import State

LANGEVIN = {"kind": "langevin", "dt": 0.01, "friction": 3.0, "temperature": 0.8}
LOSS: list[dict[str, Any]] = [
    {"observable": {"kind": "potential_energy"}, "compare": "none", "frames": {"from": 0, "to": 24, "every": 6}},
    {
        "observable": {"kind": "vacf", "lags": 2},
        "compare": "squared",
        "target": 1.0,
        "frames": {"from": 0, "to": 24, "every": 6},
    },
]
EVERYTHING = [
    "potentials.lj",
    "system.positions",
    "system.velocities",
    "system.box",
    "system.atoms.0.mass",
    "dynamics.integrator",
]
DAMPED = changed(FLUID, dynamics__integrator=LANGEVIN, dynamics__steps=24, loss=LOSS, parameters=EVERYTHING)
FIRST = 1000
"""Steps done before the run."""


def later(objective: Objective) -> Objective:
    """The same, going on from an earlier run."""
    problems = tuple(dataclasses.replace(problem, first_step=FIRST) for problem in objective.problems)
    return dataclasses.replace(objective, problems=problems)


def reversible(case: Case, objective: Objective | None = None, **options: Any) -> Gradient:
    adjoint = Reversible(objective or case.experiment.objective, **options)
    return adjoint.gradient(case.fresh(), case.p, nothing, nothing)


def test_it_is_the_gradient_through_the_same_integers():
    case, bits = ready(DAMPED), 40
    problem = later(case.experiment.objective).problems[0].with_mode("reverse")
    base, key, plan = case.ready.values["default"], case.ready.key, case.ready.controls["default"].plan
    field, system = problem.dynamics.forcefield, problem.dynamics.system

    def straight(y: Array, integers: Array) -> Array:
        """The integers' value, and the derivative of y."""
        return y + lax.stop_gradient(integers * 2.0**-bits - y)

    def near(y: Array) -> Array:
        return straight(y, rounded(lax.stop_gradient(y) * 2.0**bits))

    def loss(p: Any) -> Array:
        values = problem.values(p, base)
        box, masses = problem.box(values), system.masses(values)
        numbers = problem.dynamics.numbers(values, "integrator")
        neighbors = build(plan, values["system.positions"], box, system.excluded)
        half = numbers["dt"] / 2
        c, spread = problem.dynamics.integrator.bath(numbers, masses, system.units.boltzmann)
        least = jnp.min(masses)

        def kick(x: Array) -> Array:
            still = lax.stop_gradient((values, x, box, 2.0**bits * half / least))
            integers = field.rounded_forces(still[0], still[1], still[2], neighbors, still[3])[0]
            of_each = rounded(integers * lax.stop_gradient(least / masses)[:, None])
            return straight(half * field.forces(values, x, box, neighbors) / masses[:, None], of_each)

        def step(carry: Any, number: Array) -> Any:
            x, v, r, k = carry
            v = v + k
            x = x + near(v * half)
            integers, r = damp(rounded(lax.stop_gradient(v) * 2.0**bits), r, lax.stop_gradient(c))
            v = straight(c * v, integers) + near(spread * problem.dynamics.noise(key, number, x.dtype))
            x = x + near(v * half)
            k = kick(x)
            return (x, v + k, r, k), (x, v + k)

        x, v = near(values["system.positions"]), near(values["system.velocities"])
        start = (x, v, jnp.zeros(x.shape, np.int64), kick(x))
        _, (xs, vs) = lax.scan(step, start, FIRST + jnp.arange(problem.steps))
        rows = []
        for k in range(0, problem.steps + 1, 6):
            at = (x, v) if k == 0 else (xs[k - 1], vs[k - 1])
            rows.append(problem.measure(p, base, plan, State(*at, x, box, jnp.asarray(FIRST + k))))
        stacked = [jax.tree.map(lambda *r: jnp.stack(r), *term) for term in zip(*rows, strict=True)]
        return problem.finish(stacked)[0]

    value, gradients = jax.jit(jax.value_and_grad(loss))(dict(case.p))
    mine = reversible(case, later(case.experiment.objective))
    assert mine.loss == pytest.approx(float(value), rel=1e-13)
    for path, gradient in mine.gradients.items():
        np.testing.assert_allclose(gradient, gradients[path], rtol=1e-9, atol=1e-11 * np.max(np.abs(gradient)))


def test_it_is_the_gradient_of_the_floating_point_run_on_lists_that_are_built_elsewhere():
    config = changed(
        FLUID,
        potentials__lj__cutoff={"kind": "switch", "distance": 1.3, "from": 1.1},
        dynamics__steps=60,
        dynamics__integrator={**LANGEVIN, "friction": 30.0},
        dynamics__neighbors={"kind": "cell_list", "skin": 0.15},
        system__atoms__0__count=16,
        system__positions__min_distance=0.95,
    )
    case = ready(config)
    assert case.ready.controls["default"].plan.is_list
    plain, mine = case.reverse(), reversible(case)
    # Roundings of 5e-13 a step, which the motion makes a little larger.
    assert mine.loss == pytest.approx(plain.loss, rel=1e-10)
    assert apart(mine.gradients, plain.gradients) < 1e-9
    assert mine.health.kind == "cotangent"
    np.testing.assert_allclose(mine.health.norm, plain.health.norm, rtol=1e-8)
    np.testing.assert_array_equal(mine.health.steps, plain.health.steps)


def test_truncated_and_clipped_like_reverse():
    case = ready(MOLECULE)
    limits: dict[str, Any] = {"truncate": 7, "clip": 0.3}
    plain = Reverse(case.experiment.objective, PLENTY, **limits).gradient(case.fresh(), case.p, nothing, nothing)
    mine = reversible(case, **limits)
    assert apart(mine.gradients, plain.gradients) < 1e-9
    np.testing.assert_allclose(mine.health.norm, plain.health.norm, rtol=1e-9)
    assert "no influence reaches over more than 7 steps" in mine.health.advice
    # Over the clip, which acts behind where the norm is taken.
    assert np.max(mine.health.norm) > 0.3


def test_nothing_is_compiled_twice(caplog: pytest.LogCaptureFixture):
    case = ready(MOLECULE)
    adjoint = Reversible(case.experiment.objective)
    start, other = case.fresh(), {path: value * 1.01 for path, value in case.p.items()}
    results, compiled, told = [], [], list[int]()
    with jax.log_compiles(True), caplog.at_level(logging.DEBUG):
        for p in (case.p, other, case.p):
            caplog.clear()
            told.clear()
            results.append(adjoint.gradient(start, p, nothing, told.append))
            compiled.append(sum(record.getMessage().startswith("Compiling") for record in caplog.records))
    assert compiled[0] > 0
    assert compiled[1:] == [0, 0]
    assert sum(told) == adjoint.steps(case.p)
    assert results[0].loss == results[2].loss != results[1].loss
    assert apart(results[0].gradients, results[2].gradients) == 0


def test_a_wrong_bit_on_the_way_back_is_found(monkeypatch: pytest.MonkeyPatch):
    case = ready(MOLECULE)
    right = Passes.roll

    def wrong(self: Passes, plan: Any, longest: int) -> Any:
        def rolled(p: Any, base: Any, key: Any, state: Any, words: Any, steps: Any, forward: Any) -> Any:
            off = 0 if forward else 1
            state = dataclasses.replace(state, velocities=state.velocities.at[0, 0].add(off))
            return right(self, plan, longest)(p, base, key, state, words, steps, forward)

        return rolled

    monkeypatch.setattr(Passes, "roll", wrong)
    with pytest.raises(NumericalError, match=r"did not return to the start: \d+ of \d+ integers"):
        reversible(case)


def placed(second: list[float], speed: float) -> Case:
    return ready(
        changed(
            FLUID,
            system={
                "box": None,
                "atoms": [{"type": "A", "count": 2, "mass": 1.0}],
                "positions": {"kind": "inline", "values": [[0, 0, 0], second]},
                "velocities": {"kind": "inline", "values": [[speed, 0, 0], [0, 0, 0]]},
            },
            dynamics__steps=2,
        )
    )


def test_what_does_not_fit_is_said():
    with pytest.raises(NumericalError, match=r"velocity of 600 at the start does not fit into integers of 2\^-52"):
        reversible(placed([1.5, 0, 0], 600.0), bits=52)
    with pytest.raises(NumericalError, match="a force is too large for integers of 2"):
        reversible(placed([0.8, 0, 0], 0.0), bits=52)
    with pytest.raises(BlownUpError):
        reversible(placed([0.05, 0, 0], 0.0))
    with pytest.raises(NonFiniteError):
        reversible(placed([0, 0, 0], 0.0))


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "thermostat": (
        {"dynamics__thermostat": {"kind": "rescale", "temperature": 1.0}},
        "dynamics.thermostat",
        "cannot undo a thermostat that scales velocities",
    ),
    "drift": ({"dynamics__remove_com_motion": 5}, "dynamics.remove_com_motion", "cannot put a removed"),
    "single": ({"precision": "single"}, "precision", "set precision: double"),
    "minimizer": (
        {"dynamics__integrator": {"kind": "quickmin", "dt": 0.01, "max_step": 0.05}},
        "dynamics.integrator",
        "cannot run this integrator backwards",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str):
    values, path, sentence = REFUSED[name]
    config = changed(FLUID, **values)
    with pytest.raises(ConfigError, match=f"{path}: .*{sentence}"):
        load_data({**config, "gradient": {"method": "reversible"}})
    with pytest.raises(ConfigError, match=f"--method reversible: .*{sentence}"):
        method_spec(load_data(config).config, "reversible")


def test_an_energy_over_lists_and_single_precision_are_refused():
    case = ready(FLUID)
    with jax.enable_x64(False), pytest.raises(ConfigError, match="set precision: double"):
        Reversible(case.experiment.objective)
    own = {"kind": "python", "function": "math:fabs", "cutoff": 1.5}
    with pytest.raises(ConfigError, match="order of a neighbour list"):
        load_data(
            {
                **changed(FLUID, potentials={"own": own}, parameters=["system.positions"]),
                "gradient": {"method": "reversible"},
            }
        )


@pytest.mark.slow
def test_a_long_damped_run_comes_back_and_says_what_it_keeps():
    config = changed(
        FLUID,
        system__atoms=[{"type": "A", "count": 20, "mass": 1.0}],
        system__positions__min_distance=0.95,
        dynamics__steps=5000,
        dynamics__integrator={**LANGEVIN, "dt": 0.005},
    )
    case = ready(config)
    told: list[str] = []
    result = Reversible(case.experiment.objective).gradient(case.fresh(), case.p, told.append, nothing)
    assert np.isfinite(result.loss)
    assert len(result.health.norm) == 5000
    (line,) = told
    assert "words of 64 bits for each of 60 velocities" in line
