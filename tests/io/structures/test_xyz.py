"""xyz and extended xyz: what each way of writing them means, or the sentence that refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import ase.io
import ase.units
import numpy as np
import pytest

from diffmd.errors import ConfigError
from diffmd.io.structures import read_structure
from diffmd.units import MD, REDUCED

WATER = "O 0.0 0.0 1.0\nH 1.0 0.0 0.0\nH 0.0 -1.0 0.0\n"
X = [[0, 0, 0.1], [0.1, 0, 0], [0, -0.1, 0]]
OXYGEN, HYDROGEN = 15.999, 1.008
BOX = np.diag([2.0, 3.0, 4.0])
LATTICE = "20 0 0 0 30 0 0 0 40"

READ: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "plain": (f"3\nwater\n{WATER}", {}),
    "no newline at the end": (f"3\nwater\n{WATER}".rstrip(), {}),
    "blank lines at the end": (f"3\nwater\n{WATER}\n  \n\n", {}),
    "empty comment": (f"3\n\n{WATER}", {}),
    "count with blanks": (f"   3   \n\n{WATER}", {}),
    "tabs and indents": ("3\n\n  O\t0 0 1\n\tH 1 0 0\n H  0 -1   0\n", {}),
    "CRLF": (f"3\nwater\n{WATER}".replace("\n", "\r\n"), {}),
    "CR alone": (f"3\nwater\n{WATER}".replace("\n", "\r"), {}),
    "byte-order mark": (b"\xef\xbb\xbf" + f"3\nwater\n{WATER}".encode(), {}),
    "Latin-1 comment": ("3\nbei 25 °C, für später\n".encode("latin-1") + WATER.encode(), {}),
    "UTF-8 comment": (f"3\n1 Å\n{WATER}", {}),
    "Fortran exponents": ("3\n\nO 0.0D+00 0d0 1.0D0\nH 0.1D+01 0 0\nH 0 -1.0d+00 0\n", {}),
    "exponents": ("3\n\nO 0 0 1e0\nH .1E1 0 0\nH 0 -100.e-2 +0\n", {}),
    "comment with an equals sign": (f"3\nE = -1.0 name=x\n{WATER}", {}),
    "Lattice": (f'3\nLattice="{LATTICE}" Properties=species:S:1:pos:R:3\n{WATER}', {"box": BOX}),
    "lattice in lower case": (
        f'3\nlattice="{LATTICE}" properties=species:S:1:pos:R:3 PBC="T T T"\n{WATER}',
        {"box": BOX},
    ),
    "LATTICE, blanks about =": (f'3\nLATTICE = "{LATTICE}"\n{WATER}', {"box": BOX}),
    "Lattice in braces": (f"3\nLattice={{{LATTICE}}}\n{WATER}", {"box": BOX}),
    "Lattice as lists": (f"3\nLattice=[[20,0,0],[0,30,0],[0,0,40]] pbc=[T, T, T]\n{WATER}", {"box": BOX}),
    "Lattice with Fortran exponents": (f'3\nLattice="2D1 0 0 0 3.0d+1 0 0 0 40"\n{WATER}', {"box": BOX}),
    "a lattice that is not periodic": (f'3\nLattice="{LATTICE}" pbc="F F F"\n{WATER}', {"box": None}),
    "left-handed lattice": (
        f'3\nLattice="0 30 0 20 0 0 0 0 40"\n{WATER}',
        {"box": np.diag([3.0, 2.0, 4.0]), "at": None},
    ),
    "Z alone": ("3\nProperties=Z:I:1:pos:R:3\n8 0 0 1\n1 1 0 0\n1 0 -1 0\n", {}),
    "numbers": ("3\nProperties=pos:R:3:numbers:I:1\n0 0 1 8\n1 0 0 1\n0 -1 0 1\n", {}),
    "species and Z": (
        "3\nProperties=species:S:1:pos:R:3:Z:I:1\nOW 0 0 1 8\nHW 1 0 0 1\nHW 0 -1 0 1\n",
        {"names": ("OW", "HW", "HW")},
    ),
    "species behind the positions": ("3\nProperties=pos:R:3:species:S:1\n0 0 1 O\n1 0 0 H\n0 -1 0 H\n", {}),
    "mass column": (
        "3\nProperties=species:S:1:pos:R:3:mass:R:1\nO 0 0 1 16.0\nH 1 0 0 2.014\nH 0 -1 0 1.0D0\n",
        {"masses": [16, 2.014, 1]},
    ),
    "masses and charges in any case": (
        "3\nPROPERTIES=Species:S:1:Pos:R:3:Masses:R:1:Charge:R:1\nO 0 0 1 16 -0.8\nH 1 0 0 1 0.4\nH 0 -1 0 1 0.4\n",
        {"masses": [16, 1, 1], "charges": [-0.8, 0.4, 0.4]},
    ),
    "velocities in A/fs": (
        "3\nProperties=species:S:1:pos:R:3:velo:R:3\nO 0 0 1 1 0 0\nH 1 0 0 0 0 0\nH 0 -1 0 0 0 0.01\n",
        {"velocities": [[100, 0, 0], [0, 0, 0], [0, 0, 1]]},
    ),
    "other columns": (
        "3\nProperties=species:S:1:pos:R:3:forces:R:3:tag:S:1\nO 0 0 1 1 2 3 a\nH 1 0 0 1 2 3 b\nH 0 -1 0 1 2 3 c\n",
        {},
    ),
    "the step, and other keys": (
        f'3\nenergy=-1.5 step=7 Properties=species:S:1:pos:R:3 name="a = b" Time=1.0\n{WATER}',
        {"step": 7},
    ),
    "beads": (
        "3\n\nBB 0 0 1\nW 1 0 0\nSC1 0 -1 0\n",
        {"names": ("BB", "W", "SC1"), "elements": (None, "W", None), "masses": None},
    ),
    "type numbers of LAMMPS are no atomic numbers": (
        "3\n\n1 0 0 1\n2 1 0 0\n2 0 -1 0\n",
        {"names": ("1", "2", "2"), "elements": (None,) * 3, "masses": None},
    ),
    "columns that nobody names": (f"3\n\n{WATER.replace(chr(10), ' 0.5' + chr(10))}", {"notes": "1 more columns than"}),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_written_is_read(case: str, tmp_path: Path) -> None:
    content, expected = READ[case]
    path = tmp_path / "x.xyz"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_structure(path, -1, MD)
    wanted = {
        "names": ("O", "H", "H"),
        "elements": ("O", "H", "H"),
        "at": X,
        "box": None,
        "velocities": None,
        "masses": [OXYGEN, HYDROGEN, HYDROGEN],
        "charges": None,
        "step": 0,
        "notes": None,
        **expected,
    }
    assert (found.names, found.elements, found.step) == (wanted["names"], wanted["elements"], wanted["step"])
    if wanted["at"] is not None:
        np.testing.assert_allclose(found.positions, wanted["at"], atol=1e-14)
    for name in ("box", "velocities", "masses", "charges"):
        value = getattr(found, name)
        if wanted[name] is None:
            assert value is None, name
        else:
            np.testing.assert_allclose(value, wanted[name], rtol=1e-12, err_msg=name)
    assert len(found.notes) == (wanted["notes"] is not None)
    assert not found.notes or wanted["notes"] in found.notes[0]


P = "Properties=species:S:1:pos:R:3"
REFUSED = {
    "a word for a number": ("1\n\nA 0 zero 0\n", "line 3: 'zero' is not a finite number (pos of atom 0)"),
    "not a number": ("1\n\nA 0 nan 0\n", "line 3: 'nan' is not a finite number (pos of atom 0)"),
    "infinity": ("1\n\nA 0 1e999 0\n", "line 3: '1e999' is not a finite number (pos of atom 0)"),
    "underscores": ("1\n\nA 0 1_0 0\n", "line 3: '1_0' is not a finite number (pos of atom 0)"),
    "a decimal comma": ("1\n\nA 0,5 1 0\n", "line 3: '0,5' is not a finite number (pos of atom 0)"),
    "too few columns": ("2\n\nA 0 0 0\nA 0 0\n", "line 4: atom 1 has 3 columns, not 4"),
    "more columns than named": (f"1\n{P}\nA 0 0 0 1\n", "line 3: atom 0 has 5 columns, not 4"),
    "a quotation mark left open": (
        f'1\nLattice="1 0 0 0 1 0 0 0 1 {P}\nA 0 0 0\n',
        "line 2: a quotation mark is not closed",
    ),
    "lattice of three numbers": (
        f'1\nLattice="1 2 3" {P}\nA 0 0 0\n',
        "line 2: Lattice should be nine numbers, the vectors a, b and c, not '1 2 3'",
    ),
    "lattice of words": (f'1\nLattice="a 0 0 0 1 0 0 0 1" {P}\nA 0 0 0\n', "line 2: Lattice should be nine numbers"),
    "flat lattice": (f'1\nLattice="1 0 0 2 0 0 0 0 1" {P}\nA 0 0 0\n', "has a cell without volume"),
    "a slab": (f'1\nLattice="1 0 0 0 1 0 0 0 1" {P} pbc="T T F"\nA 0 0 0\n', "periodic along some axes only"),
    "pbc of words": ('1\nLattice="1 0 0 0 1 0 0 0 1" pbc="yes"\nA 0 0 0\n', 'line 2: pbc should be such as "T T T"'),
    "a word for the step": (f"1\n{P} step=ten\nA 0 0 0\n", "line 2: step should be a whole number, not 'ten'"),
    "no species": ("1\nProperties=pos:R:3\n0 0 0\n", "line 2: its Properties name no species"),
    "no positions": ("1\nProperties=species:S:1\nA\n", "line 2: its Properties name no positions; write pos:R:3"),
    "two positions": ("1\nProperties=species:S:1:pos:R:2\nA 0 0\n", "line 2: Properties give pos 2 columns, not 3"),
    "a column twice": (f"1\n{P}:pos:R:3\nA 0 0 0 0 0 0\n", "line 2: Properties name a column twice"),
    "half a property": (
        "1\nProperties=species:S:1:pos:R\nA 0 0 0\n",
        "line 2: Properties should be a list of name:type:col",
    ),
    "an atomic number that is none": ("1\nProperties=Z:I:1:pos:R:3\n200 0 0 0\n", "the atomic number of atom 0 is 200"),
    "a word for an atomic number": (
        "1\nProperties=Z:I:1:pos:R:3\nO 0 0 0\n",
        "line 3: the atomic number of atom 0 is 'O'",
    ),
    "a mass of zero": (f"1\n{P}:mass:R:1\nA 0 0 0 0\n", "line 3: the mass of atom 0 is 0; masses are positive"),
    "a second frame cut short": ("1\n\nA 0 0 0\n2\n\nA 0 0 0\n", "is truncated: frame 1 has 1 of 2 atoms"),
    "more atoms than counted": (
        "1\n\nA 0 0 0\nA 1 0 0\n",
        "line 4: it is no xyz file: here should be the number of atoms",
    ),
    "no count": ("A 0 0 0\n", "line 1: it is no xyz file: here should be the number of atoms, not 'A 0 0 0'"),
    "no atoms": ("0\n\n", "has no atoms"),
    "empty": ("", "is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    path = tmp_path / "x.xyz"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_structure(path, -1, MD)
    assert said in str(raised.value)
    assert "np." not in str(raised.value)


def test_reduced_units_take_numbers_and_names_and_no_masses(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text(f'3\nLattice="{LATTICE}"\n{WATER}')
    found = read_structure(path, 0, REDUCED)
    assert (found.types(), found.elements, found.masses) == (("O", "H", "H"), ("O", "H", "H"), None)
    np.testing.assert_array_equal(found.positions, np.array(X) * 10)
    np.testing.assert_array_equal(found.box, np.diag([20, 30, 40]))


def test_momenta_of_ase_become_velocities(tmp_path: Path) -> None:
    atoms = ase.Atoms("OH", positions=[[0, 0, 0], [0, 0, 1]])
    atoms.set_velocities([[1, 0, 0], [0, -2, 0]])
    ase.io.write(tmp_path / "x.extxyz", atoms)
    found = read_structure(tmp_path / "x.extxyz", 0, MD)
    np.testing.assert_allclose(found.velocities, atoms.get_velocities() * ase.units.fs * 100, rtol=1e-7)


def test_binary_files_are_no_text(tmp_path: Path) -> None:
    for content in (b"\xff\xfe3\x00\n\x00", b"3\n\nA 0 0 0\x00\n"):
        (tmp_path / "b.xyz").write_bytes(content)
        with pytest.raises(ConfigError, match=r"not text in UTF-8$"):
            read_structure(tmp_path / "b.xyz", 0, MD)
