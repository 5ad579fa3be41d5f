"""Mistakes of physics that a beginner makes: each is told in a sentence with its numbers, under the right exit code.

A config is one of a few starting points and what is changed in it; a case is the command, the changes, the exit code
and pieces of what is said.
"""

from __future__ import annotations

import dataclasses
import json

import pytest

from diffmd.cli import main

ARGON = """\
seed: 1
units: md
system:
  atoms: [{type: Ar, count: 32, mass: 39.95}]
  positions: {kind: lattice, lattice: fcc, density: 21.0}
  velocities: {kind: maxwell_boltzmann, temperature: 85}
potentials:
  lj: {kind: lennard_jones, sigma: 0.34, epsilon: 0.996, cutoff: {kind: shifted_force, distance: 0.55}}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.002}, steps: 20}
output: {every: 5}
loss: [{observable: {kind: potential_energy}, compare: none}]
parameters: [potentials.lj.sigma]
train: {epochs: 1, optimizer: {kind: sgd, learning_rate: 1.0e-9}}
"""
WATER = """\
units: md
system:
  box: null
  atoms: [{type: O, count: 1, mass: 15.999}, {type: H, count: 2, mass: 1.008}]
  positions: {kind: inline, values: [[0, 0, 0], [0.1, 0, 0], [-0.024, 0.0927, 0]]}
  velocities: {kind: maxwell_boltzmann, temperature: 300}
  exclusions: 2
potentials:
  lj: {kind: lennard_jones, sigma: {O: 0.3166, H: 0.05}, epsilon: {O: 0.65, H: 0.02}}
  bond: {kind: harmonic_bond, bonds: [[0, 1], [0, 2]], r0: 0.1, k: 345000}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.0005}, steps: 20}
"""
CHAIN = """\
units: reduced
system:
  box: null
  atoms: [{type: A, count: 4, mass: 1.0}]
  positions: {kind: chain, bond_length: 0.97}
  velocities: {kind: zero}
potentials:
  bond: {kind: fene_bond, bonds: {chain: [0, 3]}, k: 30.0, r_max: 1.5}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.005}, steps: 20}
loss: [{observable: {kind: radius_of_gyration}, target: 1.0}]
parameters: [potentials.bond.k]
train: {epochs: 1, optimizer: {kind: sgd, learning_rate: 1.0e-9}}
"""
ON_LISTS = "dynamics.neighbors={kind: cell_list, skin: 0.1}"
HELD = "dynamics.thermostat={kind: rescale, temperature: 85}"
BATH = "dynamics.integrator={kind: langevin, dt: 0.002, friction: 1.0, temperature: 85}"
EARLIER = "dynamics.equilibration={steps: 20, integrator: {kind: velocity_verlet, dt: 5.0}}"


@dataclasses.dataclass(frozen=True)
class Case:
    """A mistake: what is said under which exit code."""

    command: str
    config: str
    changes: tuple[str, ...]
    code: int
    said: tuple[str, ...]


def run_away(config: str, *changes: str, said: tuple[str, ...], command: str = "simulate") -> Case:
    """A mistake that makes a run blow up."""
    return Case(command, config, changes, 3, ("the run blew up at step ", *said))


def seen(config: str, *changes: str, said: tuple[str, ...]) -> Case:
    """A mistake that validate warns of."""
    return Case("validate", config, changes, 0, ("warning: ", *said))


def refused(config: str, change: str, *said: str) -> Case:
    """A mistake that no run begins with."""
    return Case("validate", config, (change,), 2, said)


def aimed(config: str, observable: str, target: str, *said: str) -> Case:
    """A target in the unit of something else."""
    change = f"loss=[{{observable: {observable}, target: {target}}}]"
    return refused(config, change, "loss.0.target: ", *said)


LEARNED = (
    "potentials.lj.epsilon.H=0",
    "loss=[{observable: {kind: potential_energy}, compare: none}]",
    "parameters=[potentials.lj.epsilon]",
    "train={epochs: 1, optimizer: {kind: sgd, learning_rate: 1.0}}",
)
FROM_ZERO = (
    "potentials.lj.epsilon.H cannot be learned from 0: pairs O-H take the geometric mean",
    "such as 0.001, or give",
)
SIGMA = ("sigma is 3.4 nm at a density of 21 1/nm^3: sigma^3 times the density is 825", "0.34 for argon's sigma")
MASS = ("system.atoms.0.mass is 6.63e-26 g/mol, where a hydrogen atom has 1.008", "masses are in g/mol")
LONG = ("dynamics.integrator.dt is 5 ps, and the stiffest vibration (potentials.lj", "write at most 0.06 ps")
CASES = {
    "sigma in angstrom": run_away(ARGON, "potentials.lj.sigma=3.4", said=SIGMA),
    "sigma in angstrom under a thermostat": run_away(ARGON, "potentials.lj.sigma=3.4", HELD, said=SIGMA),
    "density in atoms per cubic angstrom for one of nm": run_away(
        ARGON,
        "system.positions.density=2100",
        "potentials.lj.cutoff.distance=0.12",
        said=("at a density of 2.1e+03 1/nm^3: sigma^3 times the density is 82.5",),
    ),
    "masses in kilograms": run_away(ARGON, "system.atoms.0.mass=6.63e-26", said=MASS),
    "masses in kilograms in a heat bath": run_away(ARGON, "system.atoms.0.mass=6.63e-26", BATH, said=MASS),
    "femtoseconds for picoseconds": run_away(ARGON, "dynamics.integrator.dt=5", said=LONG),
    "femtoseconds for picoseconds, on lists": run_away(ARGON, "dynamics.integrator.dt=5", ON_LISTS, said=LONG),
    "femtoseconds for picoseconds in a gradient": run_away(
        ARGON, "dynamics.integrator.dt=5", command="gradient", said=LONG
    ),
    "femtoseconds for picoseconds in replicas": run_away(
        ARGON,
        "dynamics.integrator.dt=5",
        "gradient={method: reverse, replicas: 2}",
        command="gradient",
        said=("replica 0: the run", *LONG),
    ),
    "femtoseconds for picoseconds in the equilibration": run_away(
        ARGON, EARLIER, said=("of the equilibration: atom", "the equilibration's dt is 5 ps, and the stiffest")
    ),
    "a time step that flexible bonds do not stand": run_away(
        WATER,
        "dynamics.integrator.dt=0.004",
        "dynamics.steps=200",
        said=("pushed by potentials.bond", "stiffest vibration (potentials.bond", "of 0.0103 ps", "at most 0.0005 ps"),
    ),
    "a stiffness in other units": run_away(
        WATER,
        "potentials.bond.k=3.45e11",
        said=("potentials.bond", "check the units of masses and force constants"),
    ),
    "a hydrogen on its oxygen": run_away(
        WATER,
        "system.exclusions=0",
        "system.positions.values=[[0, 0, 0], [0.0001, 0, 0], [-0.024, 0.0927, 0]]",
        said=("atoms 0 (O) and 1 (H) start 0.0001 nm apart, and potentials.lj pushes them", "move them apart"),
    ),
    "atoms drawn on top of each other": run_away(
        ARGON,
        "system.box=[1.2, 1.2, 1.2]",
        "system.positions={kind: random, min_distance: 0.02}",
        said=("start 0.0", "nm apart, and potentials.lj pushes them", "a larger min_distance"),
    ),
    "two atoms in one place": Case(
        "simulate",
        WATER,
        ("system.exclusions=0", "system.positions.values=[[0, 0, 0], [0, 0, 0], [-0.024, 0.0927, 0]]"),
        3,
        (
            "became infinite or undefined at the start",
            "potentials.lj gives atom 0 (O) no finite force: atom 1 (H) is 0 nm",
        ),
    ),
    "a FENE bond that is too long": Case(
        "simulate",
        CHAIN,
        ("system.positions.bond_length=1.6",),
        3,
        ("at the start", "potentials.bond: term 0, of atoms 0 (A) and 1 (A), is 1.6 long, and r_max is 1.5"),
    ),
    "a learning rate whose first update is larger than sigma": Case(
        "train",
        ARGON,
        ("train.optimizer.learning_rate=0.01", "dynamics.steps=2"),
        3,
        (
            "epoch 1: the update moves potentials.lj.sigma by",
            "more than its value of 0.34 nm; write train.optimizer.learning_rate: ",
            "after epoch 1 potentials.lj.sigma is -",
            "which must be at least 0",
        ),
    ),
    "a learning rate after which the run blows up": Case(
        "train",
        CHAIN,
        (
            "system.positions.bond_length=1.1",
            "potentials={lj: {kind: lennard_jones, sigma: 1.0, epsilon: 1.0}}",
            "dynamics.steps=2",
            "loss=[{observable: {kind: potential_energy}, target: 5.0}]",
            "parameters=[potentials.lj.sigma]",
            "train={epochs: 2, optimizer: {kind: sgd, learning_rate: 0.1}}",
        ),
        3,
        (
            "epoch 2: the run blew up at step ",
            "The updates took potentials.lj.sigma from 1 to ",
            ": take a smaller train.optimizer.learning_rate",
        ),
    ),
    "a learning rate that turns an angle round and round": Case(
        "train",
        WATER,
        (
            "potentials.angle={kind: harmonic_angle, angles: [[1, 0, 2]], theta0: 109.5 deg, k: 383}",
            "loss=[{observable: {kind: potential_energy}, compare: none}]",
            "parameters=[potentials.angle.theta0]",
            "train={epochs: 1, optimizer: {kind: sgd, learning_rate: 100.0}}",
            "dynamics.steps=2",
        ),
        0,
        ("the update moves potentials.angle.theta0 by", "deg in size (", "rad), where angles are at most a full turn"),
    ),
    "a FENE bond that is too long in a gradient": Case(
        "gradient",
        CHAIN,
        ("system.positions={kind: inline, values: [[0, 0, 0], [1, 0, 0], [3, 0, 0], [4, 0, 0]]}",),
        3,
        ("at the start", "potentials.bond: term 1, of atoms 1 (A) and 2 (A), is 2 long, and r_max is 1.5"),
    ),
    "sigma in angstrom, before the run": seen(
        ARGON,
        "potentials.lj.sigma=3.4",
        said=("system.positions.density: ", "have less room than spheres packed as closely as can be"),
    ),
    "masses in kilograms, before the run": seen(
        ARGON, "system.atoms.0.mass=6.63e-26", said=("a mass of 6.63e-26 g/mol is lighter than hydrogen's 1.008",)
    ),
    "femtoseconds for picoseconds, before the run": seen(
        ARGON,
        "dynamics.integrator.dt=5",
        said=("dynamics.integrator.dt: 5 ps leaves 0.", "and the motion is not stable; take at most 0.1"),
    ),
    "a time step that flexible bonds do not stand, before the run": seen(
        WATER,
        "dynamics.integrator.dt=0.004",
        said=("dynamics.integrator.dt: 0.004 ps leaves 2.", "to the stiffest vibration (potentials.bond, atoms"),
    ),
    "a box in angstrom": seen(
        ARGON,
        "system.positions.density=0.021",
        said=("an atom has 0 others within the cutoff of 0.55", "a box written in A is 1000 times too large"),
    ),
    "velocities of another temperature than the bath": seen(
        ARGON,
        BATH,
        "system.velocities={kind: maxwell_boltzmann, temperature: 8500, exact: true}",
        said=("system.velocities: the start is at 8500 K, and the bath at 85 K",),
    ),
    "atoms drawn on top of each other, before the run": seen(
        ARGON,
        "system.box=[1.2, 1.2, 1.2]",
        "system.positions={kind: random, min_distance: 0.02}",
        said=("system.positions: the force of ", "in the first step", "`min_distance` of random positions"),
    ),
    "two atoms in one place, before the run": Case(
        "validate",
        WATER,
        ("system.exclusions=0", "system.positions.values=[[0, 0, 0], [0, 0, 0], [-0.024, 0.0927, 0]]"),
        2,
        ("potentials.lj gives atom 0 (O) no finite force: atom 1 (H) is 0 nm",),
    ),
    "a FENE bond that is too long, before the run": Case(
        "validate",
        CHAIN,
        ("system.positions.bond_length=1.6",),
        2,
        ("potentials.bond: term 0, of atoms 0 (A) and 1 (A), is 1.6 long, and r_max is 1.5",),
    ),
    "a path that names no number": Case(
        "validate",
        ARGON,
        ("parameters=[potentials.lj.kind]",),
        2,
        ("parameters.0: potentials.lj.kind names nothing that can be learnt",),
    ),
    "a length in the unit of an energy": refused(
        ARGON, "potentials.lj.sigma=0.34 kJ/mol", "potentials.lj.sigma: is '0.34 kJ/mol', an energy; write a length in"
    ),
    "a well depth in kelvin": refused(
        ARGON, "potentials.lj.epsilon=119.8 K", "is '119.8 K', a temperature; write an energy in kJ/mol", "kB K"
    ),
    "a stiffness in the unit of an energy": refused(
        WATER, "potentials.bond.k=345000 kJ/mol", "an energy; write a force constant in kJ/mol/nm^2"
    ),
    "a friction in the unit of a time": refused(
        ARGON, BATH.replace("1.0", "1 ps"), "friction: is '1 ps', a time; write a rate in 1/ps"
    ),
    "an equilibrium angle in degrees": refused(
        WATER,
        "potentials.angle={kind: harmonic_angle, angles: [[1, 0, 2]], theta0: 109.5, k: 383}",
        "potentials.angle.theta0: angles are radians; did you mean 109.5 deg?",
    ),
    "units in reduced units": refused(CHAIN, "potentials.bond.r_max=1.5 nm", "`units: reduced` knows no units"),
    "a temperature in degrees Celsius": refused(
        ARGON, "system.velocities.temperature=-188 C", "has the unknown unit `C`; write a temperature in K"
    ),
    "a time step with a decimal comma": refused(
        ARGON, "dynamics.integrator.dt=0,002", "dynamics.integrator.dt: is '0,002', a decimal comma; write 0.002"
    ),
    "a time step with a decimal comma, between braces": refused(
        ARGON, "dynamics.integrator={kind: velocity_verlet, dt: 0,002}", "dt: a decimal comma; write 0.002"
    ),
    "a time step with Fortran's exponent": refused(
        ARGON, "dynamics.integrator.dt=2d-3", "is '2d-3', a Fortran exponent; write 0.002"
    ),
    "a time step that is a length": refused(
        ARGON, "dynamics.integrator.dt=2 nm", "is '2 nm', a length; write a time in fs, ps"
    ),
    "a time for the number of steps": refused(
        ARGON, "dynamics.steps=20 ps", "dynamics.steps: is '20 ps'; write a whole number"
    ),
    "the mass of a mole": refused(
        ARGON, "system.atoms.0.mass=39.9 g", "this is of one atom or of a mole of them; write 39.9 g/mol"
    ),
    "no mass": refused(ARGON, "system.atoms.0.mass=0", "system.atoms.0.mass: is 0; must be more than 0"),
    "a cutoff in angstrom": refused(
        ARGON, "potentials.lj.cutoff.distance=8.5", "8.5 is longer than half the smallest width of the box, 0.57537"
    ),
    "a mass for a density": refused(
        ARGON, "system.positions.density=1.4 g", "is '1.4 g', a mass; write a number density in 1/nm^3"
    ),
    "an RDF in angstrom": refused(
        ARGON,
        "loss=[{observable: {kind: rdf, types: [Ar, Ar], range: [0, 5.0], bins: 50}, target: 1.0}]",
        "loss.0.observable.range: the range ends at 5, beyond half the smallest width of the box",
    ),
    "a learning rate up the hill": refused(
        ARGON, "train.optimizer.learning_rate=-0.1", "train.optimizer.learning_rate: is -0.1; must be at least 0"
    ),
    "a pressure's target in the unit of an energy": aimed(
        ARGON, "{kind: pressure}", "1 kcal/mol", "is '1 kcal/mol', an energy; write a pressure in bar"
    ),
    "a temperature's target in the unit of an energy": aimed(
        ARGON, "{kind: temperature}", "0.7 kJ/mol", "is '0.7 kJ/mol', an energy; write a temperature in K"
    ),
    "an energy's target in kelvin": aimed(
        ARGON, "{kind: potential_energy}", "-700 K", "is '-700 K', a temperature; write an energy in kJ/mol"
    ),
    "a distance's target in the unit of an angle": aimed(
        WATER, "{kind: distance, pairs: [[0, 1]]}", "109.5 deg", "write a length in A, nm"
    ),
    "an angle's target in degrees": aimed(
        WATER, "{kind: angle, triples: [[1, 0, 2]]}", "109.5", "angles are radians; did you mean 109.5 deg?"
    ),
    "a well depth learned from zero": Case("train", WATER, LEARNED, 2, FROM_ZERO),
    "a well depth learned from zero, checked": Case("gradcheck", WATER, LEARNED, 2, FROM_ZERO),
}


@pytest.fixture
def run(capfd, tmp_path):
    """Runs `diffmd` here: exit code, what was said."""

    def diffmd(case: Case) -> tuple[int, str]:
        (tmp_path / "config.yaml").write_text(case.config)
        settings = [part for change in case.changes for part in ("-s", change)]
        where = [] if case.command == "validate" else ["-o", str(tmp_path / "run")]
        with pytest.raises(SystemExit) as end:
            main([case.command, str(tmp_path / "config.yaml"), *settings, *where, "-q"])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "internal error" not in err, err
        return int(end.value.code or 0), " ".join((out + err).split())

    return diffmd


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told(run, tmp_path, name: str):
    case = CASES[name]
    code, told = run(case)
    assert code == case.code, told
    assert "at the start" not in told or "dynamics.integrator.dt is" not in told
    for piece in case.said:
        assert piece in told
    if code == 3:
        assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("config", [ARGON, WATER, CHAIN], ids=["argon", "water", "chain"])
def test_without_a_mistake_nothing_is(run, config: str):
    assert run(Case("simulate", config, (), 0, ()))[0] == 0
