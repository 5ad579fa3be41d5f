"""Gradients of minimised structures: against closed forms, reverse mode and finite differences; what is no minimum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.commanded import Listener, request, written
from support.objectives import Case, apart, changed, nothing, ready

from diffmd.adjoints.base import Gradient
from diffmd.adjoints.gradcheck.verdicts import Row
from diffmd.adjoints.implicit.implicit import Implicit
from diffmd.commands.gradcheck.gradcheck import gradcheck
from diffmd.commands.run.experiment import method_spec
from diffmd.commands.train import train
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError, NumericalError

QUICKMIN = {"kind": "quickmin", "dt": 0.05, "max_step": 0.1}
LJ = {"kind": "lennard_jones", "sigma": {"A": 1.0, "B": 0.8}, "epsilon": {"A": 1.0, "B": 0.6}}
VERLET = {"kind": "velocity_verlet", "dt": 0.01}
R0, K = "potentials.bond.r0", "potentials.bond.k"


def atoms(*counts: tuple[str, int, float]) -> list[dict[str, Any]]:
    return [{"type": name, "count": count, "mass": mass} for name, count, mass in counts]


def system(x: list, groups: list, box: list | None = None) -> dict[str, Any]:
    positions = {"kind": "inline", "values": x}
    return {"box": box, "atoms": groups, "positions": positions, "velocities": {"kind": "zero"}}


CLUSTER: dict[str, Any] = {
    "system": system([[0.0, 0, 0], [1.3, 0.1, 0], [0.4, 1.2, 0], [0.5, 0.4, 1.0]], atoms(("A", 2, 1.0), ("B", 2, 1.0))),
    "potentials": {"lj": LJ},
    "dynamics": {"integrator": QUICKMIN | {"dt": 0.02}, "steps": 800},
    "loss": [
        {"observable": {"kind": "distance", "pairs": [[0, 1], [0, 2]]}, "target": 1.5},
        {"observable": {"kind": "potential_energy"}, "target": -6.0, "weight": 0.1},
    ],
    "parameters": ["potentials.lj"],
    "gradient": {"method": "implicit"},
}
DIMER: dict[str, Any] = {
    "system": system([[0.0, 0, 0], [0.9, 0.2, 0.1]], atoms(("A", 1, 2.0), ("B", 1, 6.0))),
    "potentials": {"bond": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.0, "k": 8.0}},
    "dynamics": {"integrator": QUICKMIN, "steps": 100},
    "loss": [{"observable": {"kind": "distance", "pairs": [[0, 1]]}, "target": 1.2}],
    "parameters": ["potentials.bond"],
    "gradient": {"method": "implicit"},
}


def implicit(case: Case, tolerance: float | None = None) -> Gradient:
    return Implicit(case.experiment.objective, tolerance).gradient(case.fresh(), case.p, nothing, nothing)


def test_it_is_the_gradient_of_a_long_search_and_of_finite_differences():
    case = ready(CLUSTER)
    rows = case.rows(("implicit", "reverse"))
    assert {row.verdict for row in rows} == {"agrees"}
    ours, reverse = ({row.parameter: row.ad for row in rows if row.method == m} for m in ("implicit", "reverse"))
    assert apart(ours, reverse) < 1e-9
    differences = {row.parameter: row.fd for row in rows}
    assert apart(ours, differences) < 1e-7
    # A search that was cut short is polished to the same.
    short = implicit(ready(changed(CLUSTER, dynamics__steps=30)))
    whole = implicit(case)
    assert apart(short.gradients, whole.gradients) < 1e-9
    assert short.loss == pytest.approx(whole.loss, rel=1e-12)
    assert short.health.kind == "residual"
    assert short.health.norm[0] > 1e-6
    assert short.health.norm[-1] < 1e-11
    assert "polished to" in short.health.advice


def test_a_learnt_box_strains_a_crystal_on_neighbour_lists():
    # Atoms of two sizes in one crystal leave their sites, by more in a smaller box.
    cell = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 0.5
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 1, 3)
    box = np.array([3.2, 3.25, 3.3])
    x = np.random.default_rng(2).permutation(((corners + cell) / 2).reshape(-1, 3)) * box
    cutoff = {"kind": "switch", "from": 1.25, "distance": 1.55}
    config = changed(
        CLUSTER,
        system=system(x.tolist(), atoms(("A", 16, 1.0), ("B", 16, 2.0)), box.tolist()),
        potentials={"lj": LJ | {"sigma": {"A": 1.0, "B": 0.95}, "cutoff": cutoff}},
        dynamics={
            "integrator": QUICKMIN | {"dt": 0.02},
            "steps": 60,
            "neighbors": {"kind": "cell_list", "skin": 0.2},
        },
        loss=[
            {"observable": {"kind": "distance", "pairs": [[0, 1], [5, 20]]}, "target": 1.5},
            {"observable": {"kind": "potential_energy"}, "target": -150.0, "weight": 1e-3},
        ],
        parameters=["system.box", "potentials.lj.epsilon.A"],
    )
    case = ready(config)
    adjoint = Implicit(case.experiment.objective, None)

    def at(moved: dict[str, Any]) -> Gradient:
        return adjoint.gradient(case.fresh(), case.p | moved, nothing, nothing)

    ours, h = at({}), 1e-4
    assert ours.health.norm[0] > 1e-6
    for path, value in case.p.items():
        for place in np.ndindex(*value.shape):
            unit = jnp.zeros(value.shape).at[place].set(1)
            near, far = (
                (at({path: value + k * unit}).loss - at({path: value - k * unit}).loss) / 2 for k in (h, 2 * h)
            )
            expected = (8 * near - far) / (6 * h)
            assert float(ours.gradients[path][place]) == pytest.approx(float(expected), rel=1e-7)


def test_several_systems_share_a_parameter():
    # L = (r0 - 1.2)^2 + 3 (r0 - 1.2)^2: the structure hangs on r0 alone.
    other = changed(DIMER, system__positions__values=[[0.0, 0, 0], [0.2, 0.8, 0.1]])
    both = {key: DIMER[key] for key in ("potentials", "dynamics", "loss", "parameters")}
    both["systems"] = {"one": {"system": DIMER["system"]}, "two": {"system": other["system"], "weight": 3.0}}
    result = implicit(ready(both))
    assert result.loss == pytest.approx(4 * 0.04, rel=1e-9)
    assert result.terms == pytest.approx([0.04, 0.12], rel=1e-9)
    assert result.health.advice.startswith(f"System {result.health.system}: The run ended")
    assert float(result.gradients[R0]) == pytest.approx(-4 * 0.4, rel=1e-9)
    assert abs(float(result.gradients[K])) < 1e-12


def test_bond_and_vibration_are_fitted_together(tmp_path: Path):
    # omega = sqrt(k / mu) = 3 with mu = 1.5 needs k = 13.5.
    loss = [{"observable": {"kind": "frequencies"}, "target": 3.0}, *DIMER["loss"]]
    fit = {"epochs": 12, "optimizer": {"kind": "lbfgs"}}
    config = written(tmp_path, changed(DIMER, loss=loss, train=fit, output={"every": 100}))
    answer = train(request(config, tmp_path / "run"), Listener()).answer
    learned = answer["best_parameters"]
    assert answer["best_loss"] < 1e-10
    assert learned[R0] == pytest.approx(1.2, abs=1e-5)
    assert learned[K] == pytest.approx(13.5, abs=1e-3)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == answer["epochs"]


def test_gradcheck_judges_it_where_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    judged: list[str] = []

    def listen(losses, objective, ready, p, methods, *_: object, **options: object) -> list[Row]:  # type: ignore[no-untyped-def]
        judged.extend(methods)
        return [Row(case, R0, method, 1.0, 1.0, 0.0, 0.0, "agrees", "", "") for case in losses for method in methods]

    monkeypatch.setattr("diffmd.commands.gradcheck.work.check", listen)
    gradcheck(request(written(tmp_path, changed(DIMER, parameters=[R0])), tmp_path / "run"), Listener())
    assert judged == ["reverse", "forward", "implicit"]
    moving = changed(DIMER, dynamics__integrator=VERLET, gradient={"method": "reverse"})
    config = written(tmp_path, moving, "moving.yaml")
    with pytest.raises(ConfigError, match=r"--method implicit: implicit differentiates minimised structures"):
        gradcheck(request(config, tmp_path / "other"), Listener(), ("implicit",))


SQUARE = [[0.0, 0, 0], [1.1, 0, 0], [0, 1.1, 0], [1.1, 1.1, 0]]


def test_what_is_no_minimum_is_refused():
    # A square of four atoms stays a square, which a tetrahedron is below.
    flat = changed(CLUSTER, system__positions__values=SQUARE, potentials__lj__sigma=1.0, potentials__lj__epsilon=1.0)
    with pytest.raises(NumericalError, match="ends at a saddle point: the energy curves downwards"):
        implicit(ready(flat))
    # The same programs from other starts, and to other tolerances.
    case = ready(
        changed(CLUSTER, dynamics__steps=2, system__positions__values=[[0.0, 0, 0], [2.2, 0, 0], [0, 2, 0], [9, 9, 9]])
    )
    with pytest.raises(NumericalError, match="the run ends where the energy curves downwards, with a largest force of"):
        implicit(case)


def test_a_tolerance_below_rounding_is_refused():
    with pytest.raises(NumericalError, match=r"no less than .* is reached; use more dynamics.steps or a larger grad"):
        implicit(ready(CLUSTER), 1e-30)


@pytest.mark.parametrize("double", [True, False])
def test_what_nothing_holds_has_no_gradient(double: bool):
    x = [[0.0, 0, 0], [1.1, 0, 0], [0, 5, 0], [0.8, 5, 0.2]]
    loose = changed(DIMER, system=system(x, atoms(("A", 4, 1.0))), potentials__bond__bonds=[[0, 1], [2, 3]])
    loose["precision"] = "double" if double else "single"
    with jax.enable_x64(double):
        held = implicit(ready(loose))
        assert float(held.gradients[R0]) == pytest.approx(-0.4, rel=1e-9 if double else 1e-4)
        loose = changed(loose, loss__0__observable__pairs=[[0, 3]])
        with pytest.raises(NumericalError, match="the loss looks at what nothing holds in place"):
            implicit(ready(loose))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "dynamics__integrator",
            VERLET,
            r"dynamics.integrator: implicit differentiates minimised structures; use `int",
        ),
        ("loss__0__frames", "all", r"loss.0: implicit knows the minimum alone"),
        ("loss__0__frames", {"from": 50, "to": 50}, r"loss.0: implicit knows the minimum alone"),
        ("loss__0__observable", {"kind": "temperature"}, r"loss.0: a minimised structure is at rest"),
        ("parameters", ["system.positions[0:1]"], r"system.positions\[0:1\] is exactly zero by implicit"),
        ("parameters", ["system.*"], r"system.positions is exactly zero by implicit; a minimum does not depend on"),
        ("parameters", ["dynamics.integrator.dt"], r"dynamics.integrator.dt is exactly zero by implicit"),
    ],
)
def test_what_does_not_fit_is_refused(path: str, value: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        load_data(changed(DIMER, **{path: value}))


def test_the_last_step_by_its_number_is_the_end():
    config = load_data(changed(DIMER, loss__0__frames={"from": 100, "to": 100}, gradient={"method": "reverse"})).config
    assert method_spec(config, "implicit").adjoint


@pytest.mark.parametrize("double", [True, False])
def test_a_search_holds_the_centre_of_mass_and_no_orientation(double: bool):
    u = np.array([0.9, 0.2, 0.1]) / np.linalg.norm([0.9, 0.2, 0.1])

    def placed(*reference: Any) -> Case:
        there = {"kind": "inline", "values": [np.asarray(x).tolist() for x in reference]}
        observable = {"kind": "rmsd", "reference": there, "superpose": False}
        loss = [{"observable": observable, "target": 0.0}, {"observable": {"kind": "potential_energy"}, "target": 1.0}]
        return ready(changed(DIMER, loss=loss, parameters=[R0, "system.atoms.0.mass"]))

    def expected(r0: Any, m: Any) -> Any:
        whole = m + 6
        centre = 6 * np.linalg.norm([0.9, 0.2, 0.1]) / whole
        return ((centre - r0 * 6 / whole - 0.3) ** 2 + (centre + r0 * m / whole - 1.7) ** 2) / 2

    with jax.enable_x64(double):
        found = implicit(placed(0.3 * u, 1.7 * u))
        slopes = jax.grad(expected, (0, 1))(1.0, 2.0)
        close = 1e-9 if double else 1e-4
        assert float(found.gradients[R0]) == pytest.approx(float(slopes[0]), rel=close)
        assert float(found.gradients["system.atoms.0.mass"]) == pytest.approx(float(slopes[1]), rel=close)
        with pytest.raises(NumericalError, match="looks at what nothing holds in place: how the whole is turned"):
            implicit(placed([0.3, 0, 0], [0, 1.7, 0]))
