"""Exports are read back: by diffmd's own reader, and by other programs, whose files diffmd reads, too."""

from __future__ import annotations

from pathlib import Path

import ase.io
import gemmi
import MDAnalysis
import numpy as np
import pytest

from diffmd.errors import DiffmdError
from diffmd.io.h5md import Frames, Topology, TrajectoryWriter
from diffmd.io.structures import Structure, read_structure, write_structure
from diffmd.io.structures.elements import element_masses, element_of
from diffmd.units import MD, REDUCED, Units

BOX = np.array([[3.0, 0, 0], [1.2, 3.1, 0], [-1.3, 1.4, 3.3]])
TYPES = {
    "elements": ("C", "N", "C", "Ar", "H"),
    "letters": ("A", "B", "A", "W", "BB"),
    "long names": ("Polymer", "Polyester", "Poly", "T1", "x"),
    "Tripos types": ("C.2", "N.am", "C.ar", "O.co2", "H"),
    "like elements in capitals": ("CA", "CL", "NA", "MG", "h1"),
    "signs": ("{z}", '[x"', "0/weight", ".", "#,="),
    "DNA": ("DNA-N*", "H5''", "C*", "P", "O"),
}


def run(types: tuple[str, ...], masses: np.ndarray | None, box: np.ndarray | None = BOX) -> Structure:
    rng = np.random.default_rng(1)
    n = len(types)
    x, v = rng.uniform(0, 3, (n, 3)), rng.normal(size=(n, 3))
    return Structure(x, v, box, types, (None,) * n, masses, rng.normal(size=n), 12)


def own_masses(types: tuple[str, ...]) -> np.ndarray:
    """The standard ones of what is an element, else 1."""
    return np.array([1.0 if element_of(t) != t else element_masses([t])[0] for t in types])  # type: ignore[index]


@pytest.mark.parametrize("units", [MD, REDUCED], ids=["md", "reduced"])
@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("suffix", ["extxyz", "xyz", "pdb"])
def test_an_export_reads_back(suffix: str, name: str, units: Units, tmp_path: Path) -> None:
    types, path = TYPES[name], tmp_path / f"x.{suffix}"
    for masses in (own_masses(types), np.arange(1.0, 6)):
        one = run(types, masses)
        write_structure(path, [one, one], "pdb" if suffix == "pdb" else "extxyz", units)
        found = read_structure(path, 1, units)
        exact = 5.1e-5 if units is MD else 5.1e-4
        close = {"rtol": 0, "atol": exact} if suffix == "pdb" else {"rtol": 1e-14, "atol": 1e-15}
        assert found.types() == found.types("names") == types
        assert found.notes == ()
        np.testing.assert_allclose(found.positions, one.positions, **close)
        # Angles have two decimals in PDB.
        np.testing.assert_allclose(found.box, BOX, atol=1e-3 if suffix == "pdb" else 1e-14)
        if suffix != "pdb":
            for field in ("velocities", "masses", "charges"):
                np.testing.assert_allclose(getattr(found, field), getattr(one, field), rtol=1e-14, atol=1e-15)
            assert found.step == 12
        elif units is MD and name == "elements" and masses[0] == pytest.approx(12.011):
            np.testing.assert_allclose(found.masses, masses, rtol=1e-12)
        else:
            assert found.masses is None


@pytest.mark.parametrize("suffix", ["extxyz", "pdb"])
def test_an_export_without_a_box_reads_back(suffix: str, tmp_path: Path) -> None:
    one = run(TYPES["letters"], np.ones(5), None)
    write_structure(tmp_path / f"x.{suffix}", [one], suffix, MD)  # type: ignore[arg-type]
    assert read_structure(tmp_path / f"x.{suffix}", 0, MD).box is None


def test_a_trajectory_reads_back(tmp_path: Path) -> None:
    none = np.zeros((0, 2), int)
    topology = Topology(np.array([0, 0, 1]), ("C", "BB"), np.array([1.0, 1, 72]), np.array([0.0, 1, -1]), none, True)
    x = np.random.default_rng(0).normal(size=(2, 3, 3))
    with TrajectoryWriter.create(tmp_path / "t.h5md", topology, MD, observables={}) as writer:
        writer.append(Frames(np.array([0, 5]), np.array([0.0, 1.0]), x, -x, x, BOX, {}))
    found = read_structure(tmp_path / "t.h5md", -1, MD)
    assert (found.types(), found.step) == (("C", "C", "BB"), 5)
    np.testing.assert_array_equal(found.masses, [1, 1, 72])
    np.testing.assert_array_equal(found.charges, [0, 1, -1])
    np.testing.assert_allclose(found.positions, x[1], rtol=1e-6)
    np.testing.assert_allclose(found.box, BOX)


def test_pdb_is_read_by_others_and_what_they_write_is_read(tmp_path: Path) -> None:
    """MDAnalysis writes GRO of it, gemmi mmCIF."""
    types = TYPES["elements"]
    one = run(types, own_masses(types))
    write_structure(tmp_path / "x.pdb", [one, one, one], "pdb", MD)
    universe = MDAnalysis.Universe(str(tmp_path / "x.pdb"))
    assert len(universe.trajectory) == 3
    np.testing.assert_allclose(universe.atoms.positions, one.positions * 10, atol=1e-3)
    assert list(universe.atoms.elements) == list(types)
    universe.atoms.write(str(tmp_path / "x.gro"))
    gemmi.read_pdb(str(tmp_path / "x.pdb")).make_mmcif_document().write_file(str(tmp_path / "x.cif"))
    for name in ("x.gro", "x.cif"):
        found = read_structure(tmp_path / name, -1, MD)
        np.testing.assert_allclose(found.positions, one.positions, atol=6e-4)
        np.testing.assert_allclose(found.box, BOX, atol=2e-3)
        # A residue MOL of GRO tells no elements.
        assert found.elements == ((None,) * 5 if name == "x.gro" else types)
        assert found.types("names") == types


def test_extxyz_is_read_by_ase(tmp_path: Path) -> None:
    one = run(TYPES["elements"], np.arange(1.0, 6))
    write_structure(tmp_path / "x.extxyz", [one, one], "extxyz", MD)
    frames = ase.io.read(tmp_path / "x.extxyz", index=":")
    assert len(frames) == 2
    np.testing.assert_allclose(frames[1].cell.array, BOX * 10)
    np.testing.assert_allclose(frames[1].positions, one.positions * 10)


def test_what_pdb_has_no_room_for(tmp_path: Path) -> None:
    one = run(TYPES["letters"], None)
    far = Structure(one.positions + 1e5, None, None, one.names, one.elements, None, None)
    wide = Structure(one.positions, None, BOX * 1e4, one.names, one.elements, None, None)
    for structure, what in ((far, "a coordinate"), (wide, "a box")):
        with pytest.raises(DiffmdError, match=f"frame 0 has {what} that PDB has no room for; use extxyz"):
            write_structure(tmp_path / "far.pdb", [structure], "pdb", MD)
        assert not (tmp_path / "far.pdb").exists()
