"""Numbers with a unit in a config: every kind of place where one may stand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.objectives import changed

from diffmd.config.conversion import converted, dimension
from diffmd.config.known import Known
from diffmd.config.loading import load_data
from diffmd.config.paths import get
from diffmd.config.schema import Config
from diffmd.errors import ConfigError

ARGON: dict[str, Any] = {
    "units": "md",
    "system": {
        "box": ["30 A", "3.0 nm", 3.0],
        "atoms": [{"type": "Ar", "count": 3, "mass": "39.948 amu"}, {"type": "Xe", "count": 1, "mass": 131.293}],
        "positions": {"kind": "inline", "values": [["1 A", 0, 0], [0.5, 0, 0], [1.0, 0, 0], [1.5, 0, 0]]},
        "velocities": {"kind": "maxwell_boltzmann", "temperature": "85 K"},
    },
    "potentials": {
        "lj": {"kind": "lennard_jones", "sigma": {"Ar": "3.4 A", "Xe": "0.4 nm"}, "epsilon": 1, "cutoff": "1 nm"},
        "bond": {"kind": "harmonic_bond", "bonds": [[0, 1], [1, 2]], "r0": ["1.5 A", 0.2], "k": "1 kcal/mol/A^2"},
        "angle": {"kind": "harmonic_angle", "angles": [[0, 1, 2]], "theta0": "110 deg", "k": "1 kJ/mol/rad^2"},
    },
    "dynamics": {
        "integrator": {"kind": "langevin", "dt": "2 fs", "friction": "1/ps", "temperature": "85 K"},
        "steps": 10,
        "neighbors": {"skin": "1.5 A"},
    },
    "loss": [{"observable": {"kind": "distance", "pairs": [[0, 1]]}, "target": "3 A"}],
    "parameters": [{"path": "potentials.lj.sigma.Ar", "lower": "3 A", "upper": "4.0 A"}],
}


def plain_of(data: dict[str, Any]) -> dict[str, Any]:
    found, errors = converted(data, Config)
    assert not errors
    return found


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("system.box", [3.0, 3.0, 3.0]),
        ("system.atoms.0.mass", 39.948),
        ("system.positions.values.0", [0.1, 0, 0]),
        ("system.velocities.temperature", 85.0),
        ("potentials.lj.sigma", {"Ar": 0.34, "Xe": 0.4}),
        ("potentials.lj.cutoff", 1.0),
        ("potentials.bond.r0", [0.15, 0.2]),
        ("potentials.bond.k", 418.4),
        ("potentials.angle.theta0", np.radians(110)),
        ("dynamics.integrator.dt", 0.002),
        ("dynamics.integrator.friction", 1.0),
        ("dynamics.neighbors.skin", 0.15),
        ("loss.0.target", 0.3),
        ("parameters.0.lower", 0.3),
    ],
)
def test_numbers_with_a_unit_are_plain_numbers(path: str, number: Any):
    assert get(plain_of(ARGON), path) == number


def test_the_resolved_config_holds_plain_numbers():
    resolved = load_data(ARGON).data
    assert resolved["dynamics"]["integrator"]["dt"] == 0.002
    assert resolved["parameters"][0]["upper"] == 0.4
    assert load_data(resolved).data == resolved


def test_a_mass_density_counts_atoms():
    """Liquid argon of 1.40 g/cm3 has 21.1 atoms in a cubic nanometre; of a mixture the mean mass counts."""
    lattice = {"kind": "lattice", "lattice": "fcc", "density": "1.40 g/cm3"}
    mixed = plain_of(changed(ARGON, system__positions=lattice))["system"]["positions"]["density"]
    assert mixed == pytest.approx(1.40 * 602.214076 / ((3 * 39.948 + 131.293) / 4))
    number = changed(ARGON, system__positions=lattice | {"density": "35.05 mol/L"})
    assert plain_of(number)["system"]["positions"]["density"] == pytest.approx(21.1, rel=1e-3)
    _, (refused,) = converted(changed(ARGON, system__positions=lattice, system__atoms=[]), Config)
    assert "a mass density, and the masses of the atoms are not known here" in refused.message


def observed(target: Any, reduce: str = "mean", **observable: Any) -> Any:
    term = {"observable": observable, "target": target, "reduce": reduce}
    return plain_of({"units": "md", "loss": [term]})["loss"][0]["target"]


def test_a_target_has_the_unit_of_its_observable():
    assert observed("1.4 g/cm3", kind="density", of="mass") == pytest.approx(843.1, rel=1e-4)
    assert observed("1 bar", kind="pressure") == pytest.approx(0.06022, rel=1e-4)
    assert observed("2 A^2", "variance", kind="nearest_distance") == pytest.approx(0.02)
    assert observed(["90 deg", 1.0], "max", kind="angle", triples=[[0, 1, 2]]) == pytest.approx([np.pi / 2, 1.0])
    assert observed("5 cm^2/s", kind="diffusion_einstein") == pytest.approx(500)


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"dynamics__integrator__dt": "2 nm"}, "dynamics.integrator.dt", "is '2 nm', a length; write a time in fs, ps"),
        ({"dynamics__integrator__dt": "2 fz"}, "dynamics.integrator.dt", "unknown unit `fz`; write a time in fs, ps"),
        ({"dynamics__integrator__dt": "2 PS"}, "dynamics.integrator.dt", "unknown unit `PS`; did you mean ps?"),
        ({"dynamics__integrator__dt": "0,002"}, "dynamics.integrator.dt", "a decimal comma; write 0.002"),
        ({"dynamics__integrator__dt": "2d-3"}, "dynamics.integrator.dt", "a Fortran exponent; write 0.002"),
        ({"dynamics__integrator__dt": "0,002 ps"}, "dynamics.integrator.dt", "a decimal comma; write 0.002 ps"),
        ({"dynamics__steps": "1,000"}, "dynamics.steps", "a decimal comma; write 1.000, or 1000"),
        ({"potentials__lj__sigma": {"Ar": "3 K"}}, "potentials.lj.sigma.Ar", "a temperature; write a length in"),
        ({"potentials__bond__r0": ["1.5 A", "2 ps"]}, "potentials.bond.r0.1", "is '2 ps', a time; write a length"),
        ({"potentials__angle__theta0": 110}, "potentials.angle.theta0", "did you mean 110 deg?"),
        ({"loss__0__weight": "1,5"}, "loss.0.weight", "a decimal comma; write 1.5"),
        ({"loss__0__weight": "1 nm"}, "loss.0.weight", "this number has no unit; write 1"),
        ({"loss__0__target": "3 ps"}, "loss.0.target", "is '3 ps', a time; write a length"),
        ({"parameters__0__lower": "3 ps"}, "parameters.0.lower", "is '3 ps', a time; write a length"),
        (
            {"parameters__0__path": "potentials.angle.*"},
            "parameters.0.lower",
            "is '3 A', but potentials.angle.* names numbers of different units; give each an entry of its own",
        ),
        (
            {"parameters__0__path": "potentials.lj.sgima"},
            "parameters.0.lower",
            "is '3 A', but `path` names nothing that has a unit",
        ),
        (
            {"loss__0__observable": {"kind": "distance"}},
            "loss.0.target",
            "is '3 A', but its unit is that of the observable, which cannot be read",
        ),
        ({"units": "reduced"}, "system.box.0", "is '30 A', but `units: reduced` knows no units"),
    ],
)
def test_what_is_no_such_number_is_refused_once(changes: dict[str, Any], path: str, said: str):
    with pytest.raises(ConfigError) as refused:
        load_data(changed(ARGON, **changes))
    lines = [line for line in str(refused.value).splitlines() if f" {path}: " in line]
    assert len(lines) == 1
    assert said in lines[0]


def test_angles_have_units_in_reduced_units_too():
    degrees = {"potentials": {"a": {"kind": "harmonic_angle", "theta0": {"A-A-A": "110 deg"}, "k": 1}}}
    assert plain_of(degrees)["potentials"]["a"]["theta0"] == {"A-A-A": np.radians(110)}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("potentials.lj.sigma", "length"),
        ("potentials.lj.sigma.Ar", "length"),
        ("potentials.*.r0", "length"),
        ("potentials.*.k", "1"),
        ("potentials.bond.k.1", "energy/length^2"),
        ("potentials.angle.theta0", "angle"),
        ("potentials.angle", "1"),
        ("potentials.bond.nothing", "1"),
        ("system.positions[0:2]", "length"),
        ("system.velocities", "length/time"),
        ("system.box", "length"),
        ("system.atoms.*.mass", "mass"),
        ("system.atoms.0.charge", "charge"),
        ("dynamics.integrator.temperature", "temperature"),
    ],
)
def test_the_dimension_of_a_parameter(path: str, found: str):
    assert dimension(ARGON, path, Known(Config)) == found
