"""Rules across fields: each refused with its path and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from damageable import MINIMAL, Said

from diffmd.config.checks import require_loss, warnings
from diffmd.config.loading import LoadedConfig, load, load_data
from diffmd.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
Minimal = Callable[..., LoadedConfig]
SLANTED = "system.box=[[4, 0, 0], [3, 4, 0], [0, 0, 4]]"
OBSERVABLE = "loss.0.observable"
PRESSURE = "loss.0.observable={kind: pressure, temperature: 0.1}"
MOVING = "loss.0.observable={kind: pressure, temperature: dynamics}"
LANGEVIN = "dynamics.integrator={kind: langevin, dt: 0.01, friction: 1.0, temperature: 0.1}"
ANGLE = "potentials.angle={kind: harmonic_angle, angles: [[0, 1, 2]], theta0: [110 deg], k: 10.0}"
LEFT_HANDED = "system.box=[[0, 0, 4], [0, 4, 0], [4, 0, 0]]"


def test_a_box_that_follows_from_masses_in_kilograms_is_told_to() -> None:
    given = ("system.atoms.0.mass=6.63e-26", "system.positions.density=1.4 g/cm3")
    with pytest.raises(ConfigError, match="longer than half the smallest width of the box") as refused:
        load(CONFIGS / "argon_md.yaml", given)
    assert "(which the density and the number of atoms give, and their masses where it is in g/cm3)" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("overrides", "path", "words"),
    [
        (
            ["potentials.lj.cutoff.distance=2.1"],
            "potentials.lj.cutoff.distance",
            "half the smallest width of the box, 2",
        ),
        (
            ["potentials.u={kind: spline_pair, from: 0.3, cutoff: 2.5, knots: 4}"],
            "potentials.u.cutoff",
            "2.5 is longer",
        ),
        (["potentials.u={kind: python, function: './m.py:f', cutoff: 2.5}"], "potentials.u.cutoff", "2.5 is longer"),
        (["potentials.lj.cutoff={kind: switch, distance: 1.5, from: 1.6}"], "potentials.lj.cutoff", "from"),
        (["potentials.lj.sigma={A: 0.5}"], "potentials.lj.sigma", "no value for type B"),
        (["potentials.lj.sigma.C=0.5"], "potentials.lj.sigma.C", "types: A, B"),
        (["potentials.lj.sigma.A-C=0.5"], "potentials.lj.sigma.A-C", "did you mean A-"),
        (["potentials.bond.bonds.1=[1, 10]"], "potentials.bond.bonds.1", "the atoms are 0 to 9"),
        (["potentials.bond.bonds.1=[1, 1]"], "potentials.bond.bonds.1", "twice"),
        (["potentials.bond.bonds.1=[1, 2, 3]"], "potentials.bond.bonds.1", "3 atoms, not 2"),
        (["potentials.bond.bonds={chain: [0, 10]}"], "potentials.bond.bonds.chain", "0 to 9"),
        (["potentials.bond.r0=[0.7, 0.7, 0.7]"], "potentials.bond.r0", "3 values for 2 terms"),
        (["potentials={}", "parameters=[]"], "potentials", "no potential acts"),
        (["loss.0.observable.types=[C]"], "loss.0.observable.types.0", "types: A, B"),
        (["output.observables.g={kind: rdf, range: 2.5}"], "output.observables.g.range", "half"),
        (["loss.0.frames={from: 30}"], "loss.0.frames.from", "ends at step 20"),
        (["loss.0.frames={to: 30}"], "loss.0.frames.to", "ends at step 20"),
        (["loss.0.frames={from: 10, to: 5}"], "loss.0.frames.to", "comes before"),
        (["loss.0.target=null"], "loss.0.target", "needs a target"),
        (["loss.0.compare=none"], "loss.0.target", "leave the target out"),
        (["loss.0.compare=relative", "loss.0.target=0"], "loss.0.target", "divides by the target"),
        (["loss.0.target=[[1, 2], [3]]"], "loss.0.target", "one length"),
        (["loss.0.target={kind: file, path: g.csv}"], "loss.0.target.path", "no such file"),
        (["system.positions={kind: file, path: x.xyz}"], "system.positions.path", "no such file"),
        (["system.start={run: nowhere}"], "system.start.run", "no such run"),
        (["system.positions=null"], "system.positions", "is missing"),
        (["system.atoms=[]"], "system.atoms", "lists no atoms"),
        (["system.positions={kind: inline, values: [[0, 0, 0]]}"], "system.positions.values", "the system has 10"),
        (["system.velocities={kind: inline, values: [[0, 0, 0]]}"], "system.velocities.values", "the system has 10"),
        (["system.box=auto", "system.positions={kind: lattice, lattice: sc}"], "system.positions.density", "density"),
        (
            ["system.box=auto", "system.positions={kind: lattice, lattice: sc, density: 1.0}"],
            "potentials.lj.cutoff.distance",
            "half the smallest width",
        ),
        (["system.box=auto"], "system.box", "random positions bring none"),
        ([SLANTED], "system.box", "the same lattice is [[4.0, 0.0, 0.0], [-1.0, 4.0, 0.0], [0.0, 0.0, 4.0]]"),
        ([LEFT_HANDED], "system.box", "[[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]"),
        (["system.box=[[4, 0, 0], [8, 0, 0], [0, 0, 4]]"], "system.box", "lie in one plane"),
        (["system.atoms.0.count=100000000"], "system.atoms", "this machine has"),
        (
            ["system.atoms.0.count=1000000", "dynamics.neighbors.kind=all_pairs"],
            "system.atoms",
            "take neighbors: {kind: cell_list}",
        ),
        (
            ["potentials.lj.cutoff=null", "dynamics.neighbors.kind=cell_list"],
            "dynamics.neighbors.kind",
            "needs a cutoff",
        ),
        (
            ["dynamics.neighbors={kind: cell_list, skin: 0}"],
            "dynamics.neighbors.skin",
            "write a fraction of an atom's size, or kind: all_pairs",
        ),
        (["dynamics.thermostat.tau=0.001"], "dynamics.thermostat.tau", "shorter than the time step"),
        (
            ["dynamics.equilibration={steps: 5, thermostat: {kind: berendsen, temperature: 1, tau: 0.001}}"],
            "dynamics.equilibration.thermostat.tau",
            "shorter than the time step",
        ),
        (["system=null"], "system", "is missing"),
        (["dynamics=null"], "dynamics", "is missing"),
        (["systems={}"], "systems", "stands beside `system`"),
        (["parameters=[potentials.lj.epsilom]"], "parameters.0", "did you mean potentials.lj.epsilon?"),
        (["parameters=[dynamics.steps]"], "parameters.0", "names nothing"),
        (["parameters=[potentials.lj.cutoff.distance]"], "parameters.0", "names nothing"),
        (["parameters=[system.atoms.2.mass]"], "parameters.0", "system.atoms"),
        (["parameters=['system.positions[10:12]']"], "parameters.0", "selects nothing"),
        (["parameters=[potentials.lj.epsilon, potentials.*.epsilon]"], "parameters", "twice"),
        (["parameters=['system.positions[0:3]', 'system.positions[2:4]']"], "parameters", "another entry"),
        (
            ["parameters=[{path: 'system.positions[0:2]', tie: ['system.velocities[0:3]']}]"],
            "parameters",
            "cannot be tied",
        ),
        (
            ["parameters=[{path: potentials.lj.sigma.A, tie: [potentials.lj.sigma.C]}]"],
            "parameters.0",
            "potentials.lj.sigma.C",
        ),
        (["parameters=[{path: potentials.lj.epsilon, lower: 1, upper: 0}]"], "parameters.0", "bound"),
        (["parameters=[{path: potentials.lj.epsilon, lower: 0.3}]"], "parameters.0", "bound"),
        ([ANGLE, "parameters=[{path: 'potentials.*.theta0', upper: 170}]"], "parameters.0.upper", "mean 170 deg?"),
        ([ANGLE, "parameters=[{path: potentials.*.theta0, lower: no}]"], "parameters.0.lower", "write a number"),
        (
            [ANGLE, "parameters=[{path: potentials.angle, lower: 1 deg}]"],
            "parameters.0.lower",
            "names numbers of different units",
        ),
        (["parameters=[{path: potentials.lj.epsilon, per: term}]"], "parameters.0", "needs terms"),
        (["parameters=[{path: potentials.bond.k, per: type}]"], "parameters.0", "take per: term, or write"),
        ([ANGLE, "potentials.angle.k={A: 1.0}"], "potentials.angle.k.A", "(types: A, B); did you mean A-A-A?"),
        (["parameters=[system.positions]", "dynamics.equilibration={steps: 5}"], "parameters.0", "not differentiated"),
        (
            [LANGEVIN, "dynamics.integrator.friction=0", "parameters=[dynamics.integrator.friction]"],
            "parameters.0",
            "dynamics.integrator.friction cannot be learned from 0",
        ),
        (
            ["dynamics.thermostat={kind: rescale, temperature: 0}", "parameters=[dynamics.thermostat]"],
            "parameters.0",
            "velocities follow its square root",
        ),
        (
            ["train={epochs: 1, optimizer: {kind: lbfgs}, clip: 1.0}"],
            "train.clip",
            "lbfgs",
        ),
        ([PRESSURE, "parameters=[dynamics.thermostat.temperature]"], f"{OBSERVABLE}.temperature", "stays 0.1 while"),
        ([PRESSURE, "parameters=['dynamics.*.temperature']"], f"{OBSERVABLE}.temperature", "temperature: dynamics"),
        (
            [PRESSURE, LANGEVIN, "parameters=[dynamics.integrator]"],
            f"{OBSERVABLE}.temperature",
            "integrator.temperature",
        ),
        (
            [PRESSURE, "parameters=[{path: potentials.lj.epsilon, tie: [dynamics.thermostat.temperature]}]"],
            f"{OBSERVABLE}.temperature",
            "stays 0.1 while",
        ),
        (
            [
                "loss.0={observable: {kind: binder_cumulant, observable: {kind: pressure, temperature: 0.1}}, "
                "frames: all, target: 1.0}",
                "parameters=[dynamics.thermostat.temperature]",
            ],
            f"{OBSERVABLE}.observable.temperature",
            "stays 0.1 while",
        ),
        ([MOVING, "dynamics.thermostat=null"], f"{OBSERVABLE}.temperature", "hold no temperature"),
        ([MOVING, LANGEVIN], f"{OBSERVABLE}.temperature", "the dynamics hold two"),
        (
            ["output.observables.p={kind: pressure, temperature: dynamics}", "dynamics.thermostat=null"],
            "output.observables.p.temperature",
            "hold no temperature",
        ),
        (["loss.0.observable={kind: pressure, temperature: bath}"], f"{OBSERVABLE}.temperature", "write"),
    ],
)
def test_refused(said: Said, overrides: list[str], path: str, words: str) -> None:
    message = said(*overrides)
    lines = [line for line in message.splitlines() if f" {path}: " in line]
    assert lines, message
    assert words in lines[0]


@pytest.mark.parametrize(
    "overrides",
    [
        ["potentials.lj.cutoff.distance=2.0"],
        ["dynamics.steps=0"],
        ["loss.0.frames=all"],
        ["loss.0.frames={from: 0, to: 20, every: 5}"],
        ["loss=[{observable: {kind: potential_energy}, compare: none}]"],
        ["system.box=[[4, 0, 0], [2, 4, 0], [-2, 2, 4]]", "potentials.lj.cutoff.distance=1.0"],
        ["system.box=null"],
        ["potentials.lj.sigma={A: 0.5, B: 0.6, B-A: 0.5}"],
        ["dynamics.neighbors.skin=0"],
        ["dynamics.thermostat.tau=0.01"],
        ["dynamics.thermostat=null"],
        ["parameters=[potentials.lj.sigma, system.box, system.atoms.*.mass, dynamics.thermostat.temperature]"],
        ["parameters=['system.positions[0:5]', 'system.velocities[0:2, 1]']"],
        ["parameters=[potentials.bond]"],
        [MOVING, "parameters=[dynamics.thermostat.temperature]"],
        [PRESSURE, "parameters=[dynamics.thermostat.tau]"],
        [LANGEVIN, "dynamics.integrator.temperature=0", "parameters=[dynamics.integrator.friction]"],
        ["parameters=[{path: potentials.bond.k, tie: [potentials.lj.epsilon], transform: positive}]"],
        [ANGLE, "parameters=[{path: potentials.angle.theta0.0, lower: 100 deg, upper: 3.0}]"],
        [ANGLE, "parameters=[{path: potentials.angle.k, upper: 170}]"],
        ["dynamics.equilibration={steps: 5, integrator: {kind: langevin, dt: 0.01, friction: 1, temperature: 1}}"],
    ],
)
def test_taken(minimal: Minimal, overrides: list[str]) -> None:
    loaded = minimal(*overrides)
    assert load_data(loaded.data, folder=loaded.folder).data == loaded.data


def test_targets_in_files(said: Said, minimal: Minimal, write: Callable[[str], Path]) -> None:
    file = write(MINIMAL).parent / "g.csv"
    rdf = "loss.0={observable: {kind: rdf, range: [0.5, 1.5], bins: 5}, target: {kind: file, path: "
    for text, words in (
        ("r,g\n0.1,1\n", "at least two rows"),
        ("0.1,1\n0.2,1\n0.3,2\n", "the first line is a header"),
        ("r,g\n0.1,1\n0.1,2\n", "g.csv:3: the first column must increase"),
        ("r,g\n0.1,1\n0.2,x\n", "g.csv:3: expected two numbers"),
        ("r,g\n0.1,1\n0.2,1,3\n", "g.csv:3: expected two numbers"),
        ("r,g\n0.1,1\n0.2,nan\n", "not finite"),
    ):
        file.write_text(text)
        assert words in said(f"{rdf}{file}}}}}")
    file.write_text("r,g\n0.1,1\n0.2,1\n2.0,1\n")
    minimal(f"{rdf}{file}}}}}")


def test_a_bare_cutoff_warns(minimal: Minimal) -> None:
    (text,) = warnings(minimal("potentials.lj.cutoff=1.5").config)
    assert text.startswith("potentials.lj.cutoff: the force jumps")
    assert warnings(minimal().config) == []


def test_a_temperature_beside_that_of_the_dynamics_warns(minimal: Minimal) -> None:
    (text,) = warnings(minimal("loss.0.observable={kind: heat_capacity, temperature: 0.2}", "loss.0.frames=all").config)
    assert text.startswith("loss.0.observable.temperature: is 0.2, and dynamics.thermostat.temperature is 0.1")
    for same in (PRESSURE, MOVING):
        assert warnings(minimal(same).config) == []
    assert (
        warnings(minimal("loss.0.observable={kind: pressure, temperature: 3}", "dynamics.thermostat=null").config) == []
    )


def test_what_a_gradient_needs(minimal: Minimal) -> None:
    require_loss(minimal().config)
    with pytest.raises(ConfigError, match="loss: is missing: add"):
        require_loss(minimal("loss=[]").config)
    with pytest.raises(ConfigError, match="parameters: is missing: add") as caught:
        require_loss(minimal("parameters=[]").config)
    assert "potentials.lj" in caught.value.message


def test_atoms_that_only_a_file_knows_are_left_to_the_run(minimal: Minimal, write: Callable[[str], Path]) -> None:
    structure = write(MINIMAL).parent / "a.xyz"
    structure.write_text("1\n\nAr 0 0 0\n")
    positions = f"system.positions={{kind: file, path: {structure}}}"
    loaded = minimal(positions, "system.atoms=[]", "parameters=[system.masses.Ar, potentials.lj.sigma.Ar]")
    assert loaded.data["system"]["atoms"] == []
