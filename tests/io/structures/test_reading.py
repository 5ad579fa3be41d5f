"""Structure files: what ASE writes is read back in the config's units; what is damaged is told in a sentence."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import ase
import ase.build
import ase.io
import MDAnalysis
import numpy as np
import pytest

from diffmd.errors import ConfigError, DiffmdError
from diffmd.io.structures import Structure, read_structure
from diffmd.units import MD, REDUCED


@pytest.fixture
def water() -> ase.Atoms:
    """Water in a general cell, with velocities."""
    atoms = ase.build.molecule("H2O")
    atoms.set_cell([[0.0, 9, 1], [8, 0.5, -2], [1, 2, 10]])
    atoms.pbc = True
    atoms.set_velocities(np.random.default_rng(0).normal(size=(3, 3)))
    return atoms


def distances(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


@pytest.mark.parametrize("suffix", ["extxyz", "pdb", "gro"])
def test_what_ase_writes_is_read_in_nanometres(water: ase.Atoms, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"water.{suffix}"
    ase.io.write(path, water)
    found = read_structure(path, -1, MD)
    exact = 1e-8 if suffix == "extxyz" else 2e-3
    assert found.types() == ("O", "H", "H")
    if suffix == "gro":
        # A residue 1DUM, of which nobody knows what it is made of.
        assert (found.elements, found.masses) == ((None,) * 3, None)
    else:
        np.testing.assert_allclose(found.masses, water.get_masses())
    np.testing.assert_allclose(distances(found.positions), distances(water.positions) / 10, atol=exact)
    assert found.box is not None
    np.testing.assert_array_equal(found.box, np.tril(found.box))
    assert np.all(np.diag(found.box) > 0)
    np.testing.assert_allclose(np.linalg.det(found.box), water.get_volume() / 1000, rtol=max(exact, 1e-9))
    a, b, c = found.box
    assert abs(b[0]) <= a[0] / 2 + 1e-9
    assert abs(c[0]) <= a[0] / 2 + 1e-9
    assert abs(c[1]) <= b[1] / 2 + 1e-9
    images = np.argwhere(np.ones((7, 7, 7))) - 3
    # Distances to images are those of the file's own cell.
    general = np.sort([np.linalg.norm(n @ water.cell.array) / 10 for n in images])
    turned = np.sort([np.linalg.norm(n @ found.box) for n in images])
    np.testing.assert_allclose(turned[:15], general[:15], atol=exact * 20)
    if suffix == "pdb":
        assert found.velocities is None
    else:
        speeds = np.linalg.norm(water.get_velocities() * ase.units.fs, axis=1) * 100
        np.testing.assert_allclose(np.linalg.norm(found.velocities, axis=1), speeds, atol=exact)


def test_velocities_turn_with_the_cell(water: ase.Atoms, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "w.extxyz", water)
    found = read_structure(tmp_path / "w.extxyz", 0, MD)
    assert found.velocities is not None
    before = np.einsum("ik,jk->ij", water.get_velocities() * ase.units.fs * 100, water.positions / 10)
    np.testing.assert_allclose(found.velocities @ found.positions.T, before, atol=1e-5)


def test_frames_are_counted_from_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "three.xyz"
    path.write_text("".join(f"1\nframe {k}\nA {k} 0 0\n" for k in range(3)) + "\n")
    assert [read_structure(path, k, REDUCED).positions[0, 0] for k in (0, 1, -1, -3)] == [0, 1, 2, 0]
    for frame in (3, -4):
        with pytest.raises(ConfigError, match=f"has 3 frames; there is no frame {frame}"):
            read_structure(path, frame, REDUCED)


def test_models_of_a_pdb_share_the_cell(tmp_path: Path) -> None:
    frames = [ase.Atoms("Ar2", positions=[[0, 0, k], [3, 3, 3]], cell=[20, 30, 40], pbc=True) for k in range(3)]
    ase.io.write(tmp_path / "models.pdb", frames)
    found = read_structure(tmp_path / "models.pdb", -1, MD)
    np.testing.assert_allclose(found.box, np.diag([2, 3, 4]), atol=1e-9)
    assert found.positions[0, 2] == pytest.approx(0.2)


def test_reduced_units_take_numbers_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    path.write_text(
        '2\nLattice="3 0 0 0 4 0 0 0 5" Properties=species:S:1:pos:R:3:vel:R:3:mass:R:1 step=7\n'
        "A 0.1 0.2 0.3 1 2 3 10\nblob -9 0 0 4 5 6 20\n"
    )
    found = read_structure(path, 0, REDUCED)
    assert found.types() == ("A", "blob")
    assert found.step == 7
    np.testing.assert_array_equal(found.positions, [[0.1, 0.2, 0.3], [-9, 0, 0]])
    np.testing.assert_array_equal(found.velocities, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(found.masses, [10, 20])
    np.testing.assert_array_equal(found.box, np.diag([3, 4, 5]))


BAD = {
    "missing.pdb": (None, "no such file"),
    "what.xtc": ("data_", "must end in one of"),
    "empty.cif": ("data_", "no atoms"),
    "empty.xyz": ("", "empty"),
    "words.xyz": ("hello\nthere\n", "no xyz file"),
    "short.xyz": ("3\n\nA 0 0 0\nA 1 1 1\n", "truncated: frame 0 has 2 of 3"),
    "number.xyz": ("1\n\nA 0 zero 0\n", "line 3: 'zero' is not a finite number"),
    "columns.xyz": ("1\n\nA 0 0\n", "line 3: atom 0 has 3 columns, not 4"),
    "nan.xyz": ("1\n\nA 0 nan 0\n", "not a finite number"),
    "flat.xyz": ('1\nLattice="1 0 0 2 0 0 0 0 1" Properties=species:S:1:pos:R:3\nA 0 0 0\n', "without volume"),
    "slab.xyz": ('1\nLattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3 pbc="T T F"\nA 0 0 0\n', "some axes"),
    "lattice.xyz": ('1\nLattice="1 0 0" Properties=species:S:1:pos:R:3\nA 0 0 0\n', "nine numbers"),
    "empty.pdb": ("REMARK nothing\n", "no ATOM"),
    "broken.pdb": ("ATOM      1  O   HOH A   1      xxxxx\n", "line 1 ends before the atom's coordinates do"),
    "short.gro": ("water\n 3\n    1SOL     OW    1   0.1   0.1   0.1\n", "truncated"),
    "words.gro": ("water\nmany\n", "no GRO"),
    "empty.h5md": ("", "cannot read"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_told_in_a_sentence(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(DiffmdError, match=said):
        read_structure(path, -1, REDUCED)


def test_binary_and_directories(tmp_path: Path) -> None:
    (tmp_path / "b.xyz").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not text"):
        read_structure(tmp_path / "b.xyz", 0, MD)
    (tmp_path / "d.xyz").mkdir()
    with pytest.raises(ConfigError, match="directory"):
        read_structure(tmp_path / "d.xyz", 0, MD)


def structure(names: tuple[str, ...], elements: tuple[str | None, ...]) -> Structure:
    return Structure(np.zeros((len(names), 3)), None, None, names, elements, None, None)


def test_types_are_elements_where_they_are_known_else_names() -> None:
    known = structure(("CA", "CB", "N"), ("C", "C", "N"))
    assert known.types() == known.types("elements") == ("C", "C", "N")
    assert known.types("names") == ("CA", "CB", "N")
    assert known.unknown_elements() == ""
    some = structure(("CA", "BB", "BB"), ("C", None, None))
    assert some.types() == ("C", "BB", "BB")
    assert some.types("names") == ("CA", "BB", "BB")
    assert some.unknown_elements() == "the elements of 2 of its 3 atoms are not known from it (BB)"


@pytest.mark.parametrize(
    ("names", "elements", "choice", "said"),
    [
        (("CA", "CA"), ("C", "Ca"), "names", "atoms named CA are of two elements, C and Ca; rename those of one"),
        (("CA", "BB"), ("C", None), "elements", "the element of atom 1 (BB) is not known from the file"),
        (
            ("CA", "C"),
            ("C", None),
            None,
            "atom 1 is named C and its element is not known, but others are of",
        ),
    ],
)
def test_types_that_would_merge_are_refused(
    names: tuple[str, ...], elements: tuple[str | None, ...], choice: Any, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        structure(names, elements).types(choice)
    assert said in str(raised.value)


FOLDER = Path(__file__).parents[4] / "shared" / "data" / "molecules"
REAL = {
    "ala_ala_ala.pdb": ({"H": 17, "C": 9, "N": 3, "O": 4}, None),
    "alanine-dipeptide-implicit.pdb": ({"H": 12, "C": 6, "N": 2, "O": 2}, None),
    "altlocs.pdb": ({"H": 11, "C": 6, "N": 1, "O": 1}, None),
    "apgr.gro": ({"H": 30, "C": 16, "N": 7, "O": 5}, np.diag([5.0, 5.0, 5.0])),
    "insertions.pdbx": ({"C": 43, "O": 9, "N": 8}, None),
    "opcbox.pdb": ({"O": 216, "H": 432, None: 216}, np.diag([1.8865, 1.8478, 1.9006])),
    "tip5p.pdb": ({"O": 1, "H": 2, None: 2}, np.diag([3.0, 3.0, 3.0])),
    "vsite3-3.gro": ({None: 4}, None),
}


@pytest.mark.parametrize("name", REAL)
def test_files_of_other_programs(name: str) -> None:
    """Beside MDAnalysis, which keeps all alternate locations and reads no mmCIF."""
    path, (elements, box) = FOLDER / name, REAL[name]
    if not path.exists():
        pytest.skip("the folder of real molecules is not here")
    found = read_structure(path, -1, MD)
    assert collections.Counter(found.elements) == elements
    if box is not None:
        np.testing.assert_allclose(found.box, box, atol=1e-9)
    if name not in ("altlocs.pdb", "insertions.pdbx"):
        universe = MDAnalysis.Universe(str(path))
        assert tuple(universe.atoms.names) == found.names
        np.testing.assert_allclose(universe.atoms.positions, found.positions * 10, atol=1e-5)
