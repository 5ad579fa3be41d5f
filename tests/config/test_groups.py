"""Which atoms share a type, a mass and a charge: listed, or as a structure file or a run has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.config.build import Experiment, build
from diffmd.config.learned import with_learned
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError
from diffmd.io.h5md import STANDARD, Frames, Topology, TrajectoryWriter
from diffmd.units import REDUCED

WATERS = """6
Lattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3
O 1 1 1
H 2 1 1
H 1 2 1
O 5 5 5
H 6 5 5
H 5 6 5
"""
PLAIN = "4\n\nA 0 0 0\nB 1 0 0\nA 0 1 0\nB 0 0 1\n"
MASSES = {"O": 15.999, "H": 1.008}


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def config(system: dict[str, Any], units: str = "reduced", **more: Any) -> dict[str, Any]:
    return {
        "units": units,
        "system": {"positions": {"kind": "file", "path": "start.xyz"}, **system},
        "potentials": {"lj": {"kind": "lennard_jones", "sigma": 0.3, "epsilon": 0.1}},
        "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.01}, "steps": 3},
        "loss": [{"observable": {"kind": "kinetic_energy"}, "target": 0.5}],
        **more,
    }


def made(folder: Path, system: dict[str, Any], text: str = WATERS, units: str = "reduced", **more: Any) -> Experiment:
    (folder / "start.xyz").write_text(text)
    return build(load_data(config(system, units, **more), folder=folder))


def refused(folder: Path, system: dict[str, Any], text: str = WATERS, units: str = "reduced") -> str:
    with pytest.raises(ConfigError) as caught:
        made(folder, system, text, units)
    return (
        str(caught.value).removeprefix("config: ")
        if caught.value.path is None
        else f"{caught.value.path}: {caught.value.message}"
    )


def masses(experiment: Experiment) -> list[float]:
    (one,) = experiment.systems
    return np.asarray(one.problem.dynamics.system.masses(one.values)).tolist()


def charges(experiment: Experiment) -> list[float]:
    (one,) = experiment.systems
    return np.asarray(one.problem.dynamics.system.charges(one.values)).tolist()


def group(name: str, count: int, mass: float = 1.0) -> dict[str, Any]:
    return {"type": name, "count": count, "mass": mass}


def test_interleaved_types_take_masses_and_charges_by_type(tmp_path):
    made_of = made(tmp_path, {"masses": MASSES, "charges": {"O": -0.8, "H": 0.4}})
    assert masses(made_of) == [15.999, 1.008, 1.008] * 2
    assert charges(made_of) == [-0.8, 0.4, 0.4] * 2
    (one,) = made_of.systems
    assert {key for key in one.values if key.startswith(("system.masses", "system.charges"))} == {
        *("system.masses.O", "system.masses.H", "system.charges.O", "system.charges.H")
    }


def test_they_win_over_the_files_own(tmp_path):
    text = PLAIN.replace("\n\n", "\nProperties=species:S:1:pos:R:3:mass:R:1:charge:R:1\n")
    rows = iter(("2 0.5", "3 -0.5", "2 0.5", "3.5 -0.5"))
    text = "".join(f"{line} {next(rows)}\n" if line[0] in "AB" else f"{line}\n" for line in text.splitlines())
    assert masses(made(tmp_path, {}, text)) == [2, 3, 2, 3.5]
    assert masses(made(tmp_path, {"masses": {"A": 7.0}}, text)) == [7, 3, 7, 3.5]
    assert masses(made(tmp_path, {"masses": {"B": [7.0, 8.0]}}, text)) == [2, 7, 2, 8]
    assert charges(made(tmp_path, {"charges": {"B": 0.0}}, text)) == [0.5, 0, 0.5, 0]
    # Elements bring theirs in md units.
    assert masses(made(tmp_path, {"masses": {"H": 2.014}}, units="md")) == pytest.approx([15.999, 2.014, 2.014] * 2)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ({"masses": {"O": 16.0, "H": 1.0, "Q": 1.0}}, "system.masses.Q: there are no atoms of type Q (types: O, H)"),
        ({"masses": MASSES, "charges": {"N": 1.0}}, "system.charges.N: there are no atoms of type N (types: O, H)"),
        ({"masses": {"O": 16.0}}, "system.masses: no mass for H: write `masses: {H: ...}` under system"),
        (
            {},
            "system.masses: the file brings no masses: write `masses: {O: ..., H: ...}` under system, by type; or give "
            "the file a mass column (extxyz: Properties=species:S:1:pos:R:3:mass:R:1); or list the atoms with theirs "
            "under `atoms`",
        ),
        ({"masses": {"O": 16.0, "H": [1.0, 2.0]}}, "system.masses.H: has 2 numbers for 4 atoms of type H"),
        (
            {"masses": MASSES, "positions": {"kind": "file", "path": "start.xyz", "types": "ignore"}},
            "system.positions.types: ignore takes the types from `atoms`, which lists none; list them, or write",
        ),
    ],
)
def test_what_does_not_fit_the_file_is_refused(tmp_path, system, said):
    assert refused(tmp_path, system).startswith(said)


@pytest.mark.parametrize("name", ["masses", "charges"])
def test_both_ways_at_once_are_refused(tmp_path, name):
    said = refused(tmp_path, {"atoms": [group("A", 6)], name: {"A": 1.0}})
    assert f"system.{name}: stands beside `atoms`, whose groups have {name} of their own; keep one of them" in said


def test_a_mass_is_positive(tmp_path):
    assert "system.masses.O: is 0; must be more than 0" in refused(tmp_path, {"masses": {"O": 0, "H": 1.0}})


@pytest.mark.parametrize(
    ("text", "atoms", "said"),
    [
        (
            WATERS,
            [group("H", 2), group("O", 1), group("H", 2), group("O", 1)],
            "system.atoms.0: atoms 0 to 3 are O, H, H and O in start.xyz, and H, H, O and H here: atom 0 would be "
            "another one. List them in the file's order; or leave out `atoms`, and the file's types are taken (with "
            "masses and charges under system.masses and system.charges); or, if the file's types mean nothing, write "
            "`types: ignore` in system.positions",
        ),
        (
            WATERS,
            [group("O", 1), group("H", 2), group("H", 3)],
            "system.atoms.2: atoms 2 to 5 are H, O, H and H in start.xyz, and H, H, H and H here: atom 3 would be",
        ),
        ("1\n\nA 0 0 0\n", [group("B", 1)], "system.atoms.0: atom 0 is A in start.xyz, and B here: atom 0 would be"),
    ],
)
def test_listed_types_are_compared_with_the_files(tmp_path, text, atoms, said):
    assert refused(tmp_path, {"atoms": atoms}, text).startswith(said)
    ignored = {"kind": "file", "path": "start.xyz", "types": "ignore"}
    assert len(masses(made(tmp_path, {"atoms": atoms, "positions": ignored}, text))) == sum(a["count"] for a in atoms)


def test_listed_types_that_are_the_files_names_or_elements_are_taken(tmp_path):
    pdb = "".join(
        f"HETATM{k:5d} {name:<4s} LIG A   1    {k:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00          {element:>2s}\n"
        for k, (name, element) in enumerate([("C1", "C"), ("O2", "O")])
    )
    (tmp_path / "a.pdb").write_text(pdb + "END\n")

    def tried(names: tuple[str, str], types: str | None = None) -> list[float]:
        positions = {"kind": "file", "path": "a.pdb", "types": types}
        return masses(made(tmp_path, {"atoms": [group(name, 1) for name in names], "positions": positions}))

    assert tried(("C", "O")) == tried(("C1", "O2")) == tried(("C1", "O2"), "names") == tried(("C", "O"), "elements")
    for names, types in ((("C", "O"), "names"), (("C1", "O2"), "elements"), (("C", "N"), None)):
        with pytest.raises(ConfigError, match="would be another one"):
            tried(names, types)


def test_velocities_of_other_atoms_are_refused(tmp_path):
    columns = "\nProperties=species:S:1:pos:R:3:vel:R:3\n"
    (tmp_path / "v.xyz").write_text(f"2{columns}B 0 0 0 1 0 0\nA 0 0 0 2 0 0\n")
    system = {"atoms": [group("A", 1), group("B", 1)], "velocities": {"kind": "file", "path": "v.xyz"}}
    text = "2\n\nA 0 0 0\nB 1 0 0\n"
    assert refused(tmp_path, system, text).startswith(
        "system.velocities: atoms 0 to 1 are B and A in v.xyz, and A and B here: atom 0 would be another one. Give a "
        "file with the same atoms in the same order; or, if its types mean nothing, write `types: ignore`"
    )
    system["velocities"]["types"] = "ignore"
    (one,) = made(tmp_path, system, text).systems
    assert one.values["system.velocities"][:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("path", ["system.masses.H", "system.masses", "system.*.H"])
def test_a_mass_by_type_is_learned_and_written_back(tmp_path, path):
    start = {"velocities": {"kind": "maxwell_boltzmann", "temperature": 1.0}}
    experiment = made(tmp_path, {"masses": MASSES, **start}, parameters=[path])
    p = experiment.objective.parameters.initial(experiment.values)
    assert p["system.masses.H"] == 1.008
    changed = {**p, "system.masses.H": jnp.asarray(2.5)}
    data = with_learned(experiment, experiment.loaded.data, changed, "weights.h5").data
    assert data["system"]["masses"] == {"O": 15.999, "H": 2.5}
    again = build(load_data(data, folder=tmp_path))
    assert masses(again) == [15.999, 2.5, 2.5] * 2
    # Drawn from other masses they would be others.
    before, after = (np.asarray(e.systems[0].values["system.velocities"]) for e in (experiment, again))
    assert np.array_equal(before, after)


def test_a_type_whose_name_is_no_name_is_learned_by_its_quoted_key(tmp_path):
    text = PLAIN.replace("A ", "C.2 ").replace("B ", "N* ")
    path = 'system.masses["N*"]'
    experiment = made(tmp_path, {"masses": {"C.2": 12.0, "N*": 14.0}}, text, parameters=[path])
    assert list(experiment.objective.parameters.initial(experiment.values)) == [path]
    data = with_learned(experiment, experiment.loaded.data, {path: jnp.asarray(15.0)}, "weights.h5").data
    assert data["system"]["masses"] == {"C.2": 12.0, "N*": 15.0}
    assert masses(build(load_data(data, folder=tmp_path))) == [12, 15, 12, 15]
    assert refused(tmp_path, {"masses": {"C.3": 12.0}}, text).startswith('system.masses["C.3"]: there are no atoms of')


def test_the_files_own_masses_are_learned_by_the_same_path(tmp_path):
    experiment = made(tmp_path, {}, units="md", parameters=["system.masses.O"])
    p = {"system.masses.O": jnp.asarray(18.0)}
    data = with_learned(experiment, experiment.loaded.data, p, "weights.h5").data
    assert data["system"]["masses"] == {"O": 18.0}
    assert masses(build(load_data(data, folder=tmp_path))) == pytest.approx([18, 1.008, 1.008] * 2)
    with pytest.raises(ConfigError, match=r"system\.atoms\.0\.mass names nothing that can be learnt"):
        made(tmp_path, {}, units="md", parameters=["system.atoms.0.mass"])


def test_of_several_systems_the_path_has_the_systems_name(tmp_path):
    data = config({}, parameters=["systems.wet.system.masses.O"])
    system = {**data.pop("system"), "masses": MASSES}
    dry = {
        "system": {
            "box": None,
            "atoms": [group("A", 2)],
            "positions": {"kind": "inline", "values": [[0] * 3, [1.0] * 3]},
        }
    }
    data["systems"] = {"wet": {"system": system}, "dry": dry}
    (tmp_path / "start.xyz").write_text(WATERS)
    experiment = build(load_data(data, folder=tmp_path))
    p = experiment.objective.parameters.initial(experiment.values)
    assert list(p) == ["systems.wet.system.masses.O"]
    learned = with_learned(experiment, data, {"systems.wet.system.masses.O": jnp.asarray(18.0)}, "weights.h5").data
    assert learned["systems"]["wet"]["system"]["masses"] == {"O": 18.0, "H": 1.008}


def test_atoms_of_a_run_take_masses_by_type_too(tmp_path):
    (tmp_path / "run").mkdir()
    top = Topology(
        np.array([0, 1]), ("A", "B"), np.array([2.0, 3.0]), np.zeros(2), np.zeros((0, 2), int), False, ("x", "y")
    )
    x = np.array([[[0.0, 0, 0], [1, 0, 0]]])
    with TrajectoryWriter.create(tmp_path / "run/trajectory.h5md", top, REDUCED) as writer:
        writer.append(Frames(np.array([4]), np.array([0.4]), x, x, x, None, dict.fromkeys(STANDARD, np.ones(1))))
    start = {"start": {"run": "run"}, "positions": None}
    assert masses(made(tmp_path, start)) == [2, 3]
    experiment = made(tmp_path, {**start, "masses": {"B": 9.0}}, parameters=["system.masses.B"])
    assert masses(experiment) == [2, 9]
    assert experiment.systems[0].names == ("x", "y")


def test_atoms_of_other_types_than_in_the_run_before_are_told(tmp_path):
    (tmp_path / "run").mkdir()
    top = Topology(np.array([0, 1]), ("A", "B"), np.array([2.0, 3.0]), np.zeros(2), np.zeros((0, 2), int), False)
    x = np.array([[[0.0, 0, 0], [1, 0, 0]]])
    with TrajectoryWriter.create(tmp_path / "run/trajectory.h5md", top, REDUCED) as writer:
        writer.append(Frames(np.array([4]), np.array([0.4]), x, x, x, None, dict.fromkeys(STANDARD, np.zeros(1))))
    start = {"start": {"run": "run"}, "positions": None}
    swapped = made(tmp_path, {**start, "atoms": [group("B", 1), group("A", 1)]}).systems[0].notes
    assert swapped == (
        "system.start: atoms 0 to 1 are A and B in run, and B and A here: atom 0 would be another one than in that "
        "run; what is not given here is still taken from there",
    )
    by_file = {**start, "positions": {"kind": "file", "path": "start.xyz"}, "masses": {"A": 1.0, "B": 1.0}}
    assert made(tmp_path, by_file, "2\n\nB 0 0 0\nA 1 0 0\n").systems[0].notes == swapped
    assert not made(tmp_path, {**start, "atoms": [group("A", 1), group("B", 1)]}).systems[0].notes


def test_atom_names_of_a_file_are_kept(tmp_path):
    pdb = "HETATM    1  C1  LIG A   1       0.000   0.000   0.000  1.00  0.00           C\n"
    (tmp_path / "a.pdb").write_text(pdb)
    positions = {"kind": "file", "path": "a.pdb"}
    assert made(tmp_path, {"positions": positions, "masses": {"C": 12.0}}).systems[0].names == ("C1",)
    listed = {"atoms": [group("Q", 1)], "positions": {**positions, "types": "ignore"}}
    assert made(tmp_path, listed).systems[0].names is None
