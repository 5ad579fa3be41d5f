"""What validate says of the start, and that it refuses what a run refuses, in the same words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.commanded import Listener, request, written
from support.objectives import MOLECULE, changed

from diffmd.commands.config.setup import Setup
from diffmd.commands.config.setup_rows import setup_rows, setup_warnings
from diffmd.commands.config.validate import validate
from diffmd.commands.gradient import gradient
from diffmd.config.effective import effective_systems
from diffmd.config.loading import load
from diffmd.diagnosis import Contact, Crowding, Push, Vibration
from diffmd.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
WATER = """3
Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:masses:R:1
O 0 0 0 16
H 0.1 0 0 1
H 0 0.1 0 1
"""
FROM_FILE: dict[str, Any] = {
    "system": {"positions": {"kind": "file", "path": "w.xyz"}},
    "potentials": {
        "bond": {"kind": "harmonic_bond", "bonds": [[0, 1], [0, 2]], "r0": 0.1, "k": 100.0},
        "lj": {
            "kind": "lennard_jones",
            "sigma": {"O": 0.05, "H": 0.05},
            "epsilon": {"O": 1.0, "H": 1.0},
            "cutoff": {"kind": "shifted_force", "distance": 0.12},
        },
    },
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.001}, "steps": 5},
    "loss": [{"observable": {"kind": "distance", "pairs": [[0, 1]]}, "target": 0.2}],
    "parameters": ["potentials.bond.r0"],
}
ARGON = Setup(
    name="default",
    units="md",
    atoms={"Ar": 200},
    box=[2.2, 2.2, 2.2],
    number_density=18.78,
    mass_density=1.246,
    crowding=Crowding(1.04, 0.3816, 18.78, "lj"),
    cutoff=1.0,
    neighbors=77.8,
    degrees_of_freedom=597,
    temperature=83.2,
    bath_temperature=85.0,
    lightest=39.948,
    shortest_distance=Contact(0.3, (8, 168)),
    largest_force=Push(763.1, 6, "lj"),
    leap=3.8e-5,
    unseen=[],
    steps=1000,
    dt=0.002,
    time=2.0,
    stiffest_vibration=Vibration(0.1486, "lj", (25, 45)),
    steps_per_period=74.3,
    minimizes=False,
)


def _odd(**differing: Any) -> list[str]:
    one = effective_systems(load(CONFIGS / "lj_fluid.yaml").config)[0]
    return setup_warnings(dataclasses.replace(ARGON, **differing), one)


def test_numbers_come_with_their_units() -> None:
    rows = dict(setup_rows(ARGON))
    assert rows["box"] == "2.2 2.2 2.2 nm"
    assert rows["number density"] == "18.78 1/nm^3"
    assert rows["mass density"] == "1.246 g/cm3"
    assert rows["temperature"] == "83.2 K at the start, bath 85 K"
    assert rows["shortest distance"] == "0.3 nm, atoms 8 and 168"
    assert rows["largest force"] == "763.1 kJ/mol/nm, atom 6"
    assert rows["run"] == "1000 steps of 0.002 ps, 2 ps"
    assert rows["stiffest vibration"] == "0.1486 ps, 74.3 steps, potentials.lj, atoms 25 and 45"


def test_a_sound_start_is_not_warned_of() -> None:
    assert _odd() == []


def test_atoms_that_overlap_without_a_large_force_are_not_warned_of() -> None:
    """SPC/E water at 1 g/cm3: hydrogen bonds hold oxygens closer than their Lennard-Jones minimum."""
    assert _odd(crowding=Crowding(1.51, 0.3554, 33.6, "lj")) == []


def test_charges_are_told_to_do_nothing() -> None:
    loaded = load(CONFIGS / "lj_fluid.yaml", ("system.atoms.0.charge=0.4",))
    (warning,) = setup_warnings(ARGON, effective_systems(loaded.config)[0])
    assert warning == (
        "system.atoms: no potential acts on charges: diffmd has no Coulomb potential, and they are only written into "
        "the trajectory"
    )


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        (
            {"crowding": Crowding(18.8, 1.0, 18.78, "lj"), "leap": 5e7, "steps_per_period": 7e-5},
            "system.box: atoms that keep 1 nm apart (potentials.lj) have less room than spheres packed as closely as",
        ),
        ({"mass_density": 1246.0}, "system.box: 1.25e+03 g/cm3 is denser than any matter (osmium has 22.6)"),
        ({"neighbors": 0.07}, "system.box: an atom has 0.07 others within the cutoff of 1 on average, so they hardly"),
        (
            {"lightest": 6.6e-26, "leap": 2e22, "steps_per_period": 3e-12},
            "system.atoms: a mass of 6.6e-26 g/mol is lighter than hydrogen's 1.008; masses are g/mol (argon: 39.948)",
        ),
        (
            {"temperature": 8323.0},
            "system.velocities: the start is at 8323 K, and the bath at 85 K; draw the velocities at the bath's",
        ),
        (
            {"shortest_distance": Contact(0.0, (1, 2))},
            "system.positions: atoms 1 and 2 are at the same place; move one of them",
        ),
        (
            {"leap": 0.1},
            "system.positions: the force of 763.1 kJ/mol/nm, mostly of potentials.lj, would move atom 6 by 0.1 nm in",
        ),
        (
            {"steps_per_period": 7.43},
            "dynamics.integrator.dt: 0.002 ps leaves 7.4 steps to the stiffest vibration (potentials.lj, atoms 25 and "
            "45; period 0.1486 ps), and energies and frequencies are off; take at most 0.01486 ps",
        ),
        ({"steps_per_period": 0.07, "leap": 38.0}, "and the motion is not stable; take at most 0.01486 ps"),
        ({"steps_per_period": 7e13}, "(potentials.lj, atoms 25 and 45; period 0.1486 ps); 0.00743 ps would do"),
    ],
)
def test_what_is_odd_is_said_once_with_what_to_write(differing: dict[str, Any], said: str) -> None:
    (warning,) = _odd(**differing)
    assert said in warning


def test_atoms_at_one_place_with_a_time_step_too_long_are_both_told() -> None:
    told = _odd(shortest_distance=Contact(0.01, (1, 2)), leap=1.0, steps_per_period=0.1)
    assert [text.partition(":")[0] for text in told] == ["system.positions", "dynamics.integrator.dt"]


def test_the_start_of_a_config(tmp_path: Path) -> None:
    (tmp_path / "w.xyz").write_text(WATER)
    result = validate(written(tmp_path, FROM_FILE))
    (setup,) = result.systems
    assert setup.atoms == {"O": 1, "H": 2}
    assert setup.box == [3.0, 3.0, 3.0]
    assert setup.number_density == pytest.approx(3 / 27)
    assert setup.mass_density == pytest.approx(18 / 27)
    assert setup.degrees_of_freedom == 6
    assert setup.temperature == 0
    assert setup.shortest_distance == Contact(0.1, (0, 1))
    assert setup.dt == 0.001
    assert setup.time == pytest.approx(0.005)
    assert setup.stiffest_vibration is not None
    assert setup.steps_per_period == pytest.approx(setup.stiffest_vibration.period / 0.001)
    assert result.unchecked == ()


def test_python_of_the_users_own_is_not_imported_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("raise SystemError('imported')\n")
    own = {"kind": "python", "function": "./own.py:energy"}
    seen = {"observable": {"kind": "python", "function": "./own.py:seen"}, "target": 1.0}
    config = written(tmp_path, changed(MOLECULE, potentials__own=own, loss=[seen]))
    result = validate(config)
    assert set(result.unchecked) == {
        f"{place}: ./own.py:{name} is not imported here; what it gives, only a run can tell"
        for place, name in (("potentials.own.function", "energy"), ("loss.0.observable.function", "seen"))
    }
    (setup,) = result.systems
    assert setup.unseen == ["own"]
    assert "without potentials.own" in dict(setup_rows(setup))["largest force"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("potentials.bond.bonds=[[0, 7]]", "potentials.bond.bonds.0: [0, 7] names an atom that is not there"),
        ("potentials.lj.sigma={O: 1}", "potentials.lj.sigma: no value for type H"),
        ("potentials.lj.cutoff.distance=2", "2 is longer than half the smallest width of the box, 1.5"),
        ("parameters=[potentials.bond.kind]", "parameters.0: potentials.bond.kind names nothing that can be learnt"),
        ("parameters=[potentials.lj.sigma.X]", "did you mean potentials.lj.sigma.O?"),
        ("parameters=[{path: potentials.bond.r0, lower: 0.5}]", "parameters.0: it starts below its own bound 0.5"),
        ("loss.0.observable.pairs=[[0, 7]]", "loss.0.observable.pairs.0: [0, 7] names an atom that is not there"),
        ("loss.0.target=[1, 2]", "loss.0.target: the target has shape (2,), the observable ()"),
        ("loss.0.target={kind: file, path: no.csv}", "loss.0.target.path: no such file"),
        ("system.positions.frame=3", "has 1 frame; there is no frame 3"),
        ("output.observables={g: {kind: rdf, range: [0, 5], bins: 5, width: 0.1}}", "the range ends at 5, beyond half"),
        ("gradient={method: reweight}", "dynamics.integrator: method: reweight takes frames of the canonical ensemble"),
        ("gradient={method: reverse, replicas: 4}", "gradient.replicas: the replicas would all be alike"),
    ],
)
def test_validate_refuses_what_a_run_refuses_in_the_same_words(tmp_path: Path, setting: str, said: str) -> None:
    (tmp_path / "w.xyz").write_text(WATER)
    config = written(tmp_path, FROM_FILE)
    with pytest.raises(ConfigError) as validated:
        validate(config, (setting,))
    with pytest.raises(ConfigError) as ran:
        gradient(request(config, tmp_path / "run", setting), Listener())
    assert str(validated.value) == str(ran.value)
    assert said in str(ran.value)
