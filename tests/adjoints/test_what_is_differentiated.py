"""Gradients with respect to everything, by every kind of path, through every schedule of frames."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import FLUID, MOLECULE, apart, changed, moved, ready

from diffmd.adjoints.propagator import propagator_of

ENERGY = {"observable": {"kind": "potential_energy"}, "compare": "none"}
SCHEDULES: dict[str, list[dict[str, Any]]] = {
    "a range, and another, and step 0": [
        {
            "observable": {"kind": "distance", "pairs": [[0, 2]]},
            "target": 1.0,
            "frames": {"from": 2, "to": 11, "every": 3},
        },
        {
            "observable": {"kind": "temperature"},
            "target": 0.1,
            "frames": {"from": 3, "to": 12, "every": 2},
            "weight": 0.5,
        },
        {**ENERGY, "frames": {"from": 0, "to": 0, "every": 1}, "weight": 0.01},
    ],
    "each frame, its variance, its largest": [
        {"observable": {"kind": "total_energy"}, "frames": "all", "reduce": "none", "target": 1.0},
        {"observable": {"kind": "kinetic_energy"}, "frames": "all", "reduce": "variance", "compare": "none"},
        {"observable": {"kind": "distance", "pairs": [[1, 3]]}, "frames": "all", "reduce": "max", "compare": "none"},
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_of_frames(name: str):
    bonds = {"bond": MOLECULE["potentials"]["bond"]}
    parameters = ["potentials.bond.k", "system.velocities[0,0]"]
    rows = ready(changed(MOLECULE, potentials=bonds, loss=SCHEDULES[name], parameters=parameters)).rows()
    assert {row.verdict for row in rows} == {"agrees"}
    assert max(row.relative_error for row in rows if row.ad != 0) < 1e-6
    assert any(row.ad != 0 for row in rows)


def test_no_steps_at_all():
    case = ready(
        changed(MOLECULE, dynamics__steps=0, loss=[ENERGY], parameters=["potentials.angle", "system.positions"])
    )
    reverse, forward = case.reverse(), case.forward()
    assert apart(reverse.gradients, forward.gradients) < 1e-12
    # U = k (theta - theta0)^2 / 2 + ..., and dU/dk by hand.
    x, theta0 = np.asarray(case.p["system.positions"]), np.asarray(case.p["potentials.angle.theta0"])
    arms = [(x[a] - x[b], x[c] - x[b]) for a, b, c in ((0, 1, 2), (1, 2, 3))]
    theta = np.array([np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in arms])
    assert reverse.gradients["potentials.angle.k"] == pytest.approx(np.sum((theta - theta0) ** 2) / 2)
    assert len(reverse.health.norm) == 0


EVERYTHING = [
    "potentials.*",
    "system.positions",
    "system.velocities",
    "system.box",
    "system.atoms.0.mass",
    "system.atoms.1.mass",
    "dynamics.integrator.dt",
    "dynamics.thermostat",
]


@pytest.mark.slow
def test_slices_items_globs_and_ties_are_parts_of_the_whole():
    warm = changed(MOLECULE, parameters=EVERYTHING, potentials__angle__theta0=[1.8, 1.8], system__atoms__1__mass=10.0)
    warm["dynamics"]["thermostat"] = {"kind": "berendsen", "temperature": 0.01, "tau": 0.5}
    whole = ready(warm).reverse().gradients
    assert all(np.any(g) for path, g in whole.items() if path != "system.box")
    parts = [
        {"path": "potentials.angle.theta0.0", "tie": ["potentials.angle.theta0.1"]},
        "system.positions[0:2]",
        {"path": "system.atoms.0.mass", "tie": ["system.atoms.1.mass"]},
        "system.velocities[3,1]",
        "potentials.b*.r0",
    ]
    got = ready({**warm, "parameters": parts}).reverse().gradients
    wanted = {
        "potentials.angle.theta0.0": np.sum(whole["potentials.angle.theta0"]),
        "system.positions[0:2]": whole["system.positions"][0:2],
        "system.atoms.0.mass": whole["system.atoms.0.mass"] + whole["system.atoms.1.mass"],
        "system.velocities[3,1]": whole["system.velocities"][3, 1],
        "potentials.bond.r0": whole["potentials.bond.r0"],
    }
    assert got.keys() == wanted.keys()
    for path, mine in got.items():
        assert np.shape(mine) == np.shape(wanted[path])
        np.testing.assert_allclose(mine, wanted[path], rtol=1e-9, atol=1e-13)


@pytest.mark.slow
def test_values_per_type_and_per_term_add_up_to_the_shared_one():
    def sums(data: dict[str, Any], path: str, per: str) -> tuple[float, np.ndarray]:
        shared = ready({**data, "parameters": [path]}).reverse().gradients[path]
        spread = ready({**data, "parameters": [{"path": path, "per": per}]}).reverse().gradients
        return float(shared), np.concatenate([np.ravel(g) for g in spread.values()])

    shared, types = sums(FLUID, "potentials.lj.sigma", "type")
    assert types.shape == (2,)
    assert types.sum() == pytest.approx(shared, rel=1e-10)
    shared, terms = sums(MOLECULE, "potentials.bond.r0", "term")
    assert terms.shape == (3,)
    assert terms.sum() == pytest.approx(shared, rel=1e-10)


def test_the_box_takes_its_atoms_with_it():
    config = changed(FLUID, parameters=["system.box"], dynamics__steps=5)
    case = ready(config)
    gradient = case.reverse().gradients["system.box"]
    x = np.asarray(case.ready.values["default"]["system.positions"])
    v = np.asarray(case.ready.values["default"]["system.velocities"])
    still = {"kind": "inline", "values": v.tolist()}
    h = 1e-5

    def loss(edge: float) -> float:
        scaled = x * np.array([edge / 4.0, 1, 1])
        other = changed(
            config,
            system__box=[edge, 4.2, 4.4],
            system__positions={"kind": "inline", "values": scaled.tolist()},
            system__velocities=still,
        )
        return ready(other).loss()

    assert (loss(4.0 + h) - loss(4.0 - h)) / (2 * h) == pytest.approx(gradient[0], rel=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_the_box_of_a_state_has_a_derivative_where_it_is_learned(learned: bool):
    case = ready(changed(FLUID, parameters=["system.box" if learned else "potentials.lj.sigma"], dynamics__steps=5))
    (problem,) = case.experiment.objective.with_mode("reverse").problems
    propagator, base, control = propagator_of(problem), case.ready.values["default"], case.ready.controls["default"]
    shape = control.in_blocks(problem.segments(5)[0])

    def end(box: jax.Array) -> jax.Array:
        (x, v, f, _), step, _ = propagator.opened(case.p, base, control.plan)
        return propagator.advance(case.p, base, case.ready.key, shape, (x, v, f, box), step)[0][0]

    box = problem.box(base).vectors
    # By the box that a state carries, apart from what a learned box does to the positions.
    assert np.any(jax.grad(lambda h: jnp.sum(end(h)))(box)) == learned


@pytest.mark.slow
def test_several_systems_share_their_parameters():
    def alone(name: str, weight: float) -> dict[str, Any]:
        one = changed(MOLECULE, parameters=["potentials.angle.theta0"])
        return {"system": one["system"], "weight": weight}

    shared = {key: MOLECULE[key] for key in ("seed", "potentials", "dynamics", "loss")}
    second = changed(MOLECULE, system__positions__values__0=[0.9, 1.2, 1.4])
    both = {
        **shared,
        "systems": {"one": alone("one", 1.0), "two": {"system": second["system"], "weight": 0.25}},
        "parameters": ["potentials.angle.theta0", "systems.two.system.positions"],
    }
    joint = ready(both)
    result = joint.reverse()
    first = ready(MOLECULE).reverse()
    other = ready(changed(second, parameters=["potentials.angle.theta0", "system.positions"])).reverse()
    theta = "potentials.angle.theta0"
    assert result.loss == pytest.approx(first.loss + 0.25 * other.loss, rel=1e-12)
    assert result.terms == pytest.approx([first.terms[0], 0.25 * other.terms[0]])
    assert result.health.system in ("one", "two")
    np.testing.assert_allclose(
        result.gradients[theta], first.gradients[theta] + 0.25 * other.gradients[theta], rtol=1e-10
    )
    np.testing.assert_allclose(
        result.gradients["systems.two.system.positions"],
        0.25 * other.gradients["system.positions"],
        rtol=1e-9,
        atol=1e-15,
    )
    assert apart(result.gradients, joint.forward().gradients) < 1e-9


def test_a_difference_by_hand_agrees():
    case = ready(FLUID)
    gradient = case.reverse().gradients["potentials.lj.epsilon"]
    h, path = 1e-5, "potentials.lj.epsilon"
    by_hand = (case.loss(moved(case.p, path, h)) - case.loss(moved(case.p, path, -h))) / (2 * h)
    assert by_hand == pytest.approx(float(gradient), rel=1e-6)
    assert jnp.ones(()).dtype == jnp.float64
