"""PDB: what each way of writing it means, or the sentence that refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmd.errors import ConfigError
from diffmd.io.structures import read_structure
from diffmd.units import MD, REDUCED

MASSES = {"C": 12.011, "N": 14.007, "O": 15.999, "H": 1.008, "Mg": 24.305, "Ca": 40.078, "D": 2.01410177811}
X = [[0.1, 0.2, 0.3], [1.1, -0.2, 0.3], [-0.1, 1.2, 0.3]]
CRYST1 = "CRYST1   20.000   30.000   40.000  90.00  90.00  90.00 P 1           1\n"
BOX = np.diag([2.0, 3.0, 4.0])
END = "END\n"


def atom(
    columns: str,
    x: Any,
    symbol: str = "",
    *,
    residue: str = "LIG",
    number: str = "   1 ",
    alternate: str = " ",
    occupancy: float = 1.0,
    record: str = "ATOM  ",
    serial: str = "    1",
    chain: str = "A",
) -> str:
    """A line of an atom at x nm; `columns` are 13-16."""
    numbers = "".join(f"{10 * value:8.3f}" for value in x)
    end = f"{occupancy:6.2f}{0:6.2f}          {symbol:>2s}\n"
    named = residue if len(residue) > 3 else f"{residue:>3s} "
    return f"{record}{serial} {columns:4s}{alternate}{named}{chain}{number}   {numbers}{end}"


def atoms(*columns: str, symbols: tuple[str, ...] = (), **how: Any) -> str:
    symbols = symbols or ("",) * len(columns)
    return "".join(atom(name, x, symbol, **how) for name, x, symbol in zip(columns, X, symbols, strict=True))


def alternates(*labels: tuple[str, float]) -> str:
    """One atom CA of an alanine at several places, between N and C."""
    places = "".join(
        atom(" CA ", [k, 0, 0], "C", residue="ALA", alternate=label, occupancy=o) for k, (label, o) in enumerate(labels)
    )
    return atom(" N  ", X[0], "N", residue="ALA") + places + atom(" C  ", X[2], "C", residue="ALA")


def heme(*columns: str, **expected: Any) -> tuple[str, dict[str, Any]]:
    return atoms(*columns, residue="HEM"), {"names": tuple(map(str.strip, columns)), **expected}


def lone(columns: str, residue: str) -> str:
    return "".join(atom(columns, x, residue=residue, number=f"{k:4d} ", record="HETATM") for k, x in enumerate(X))


CNO = {"names": ("C1", "N", "OXT"), "elements": ("C", "N", "O")}
THREE = (" C1 ", " N  ", " OXT")
FULL = atoms(*THREE, symbols=("C", "N", "O"))
READ: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "an element column": (FULL, CNO),
    "symbols on the left": (atoms(*THREE, symbols=("C ", "N ", "O ")), CNO),
    "symbols in small letters, with charges": (FULL.replace(" O\n", " o1-\n"), CNO),
    "the symbol wins over the columns": (
        atoms("CA  ", " CA ", " MG ", symbols=("C", "CA", "MG")),
        {"names": ("CA", "CA", "MG"), "elements": ("C", "Ca", "Mg")},
    ),
    "columns tell nitrogen from niobium": heme(" NB ", "NB  ", " NA ", elements=("N", "Nb", "N")),
    "columns tell carbon from calcium": heme(" CA ", "CA  ", "FE  ", elements=("C", "Ca", "Fe")),
    "names that begin with digits": heme("1HB ", "2C4A", " O1A", elements=("H", "C", "O")),
    "hydrogens of four letters": heme("HMB1", "HG11", "DD12", elements=("H", "H", "D")),
    "letter and number fill the name": heme("C210", "O301", "N1  ", elements=("C", "O", "N")),
    "four letters of what is no hydrogen": heme("CL12", " C1 ", " C2 ", elements=(None, "C", "C")),
    "symbols as chemists write them": heme(" Cl ", "Ar  ", " Ca ", elements=("Cl", "Ar", "Ca")),
    "beads": heme(" BB ", "BB  ", "Q1  ", elements=(None, None, None)),
    "beads of a lipid": heme(" NC3", " GL1", " C1A", elements=(None, None, None)),
    "an ion of CHARMM in the columns of sulfur": (
        lone(" SOD", "SOD"),
        {"names": ("SOD",) * 3, "elements": ("Na",) * 3, "notes": "(SOD of SOD: Na)"},
    ),
    "an ion of CHARMM in the columns of carbon": (
        lone(" CLA", "CLA"),
        {"names": ("CLA",) * 3, "elements": ("Cl",) * 3, "notes": "(CLA of CLA: Cl)"},
    ),
    "an ion of CHARMM in the columns of polonium": (
        lone("POT ", "POT"),
        {"names": ("POT",) * 3, "elements": ("K",) * 3, "notes": "(POT of POT: K)"},
    ),
    "a bead named as its residue": (lone(" SQ ", "SQ"), {"names": ("SQ",) * 3, "elements": (None,) * 3}),
    "an amino acid": (
        atoms(" CA ", "HD11", " ND1", residue="HIS"),
        {"names": ("CA", "HD11", "ND1"), "elements": ("C", "H", "N")},
    ),
    "an amino acid, names on the left": (
        atoms("CA  ", "HG  ", "N   ", residue="SER"),
        {"names": ("CA", "HG", "N"), "elements": ("C", "H", "N"), "notes": "names no element of 2 atoms"},
    ),
    "an amino acid of beads": (
        atoms(" BB ", " SC1", " SC2", residue="LYS"),
        {"names": ("BB", "SC1", "SC2"), "elements": (None,) * 3},
    ),
    "water of CHARMM": (
        atoms(" OH2", " H1 ", " H2 ", residue="TIP3"),
        {"names": ("OH2", "H1", "H2"), "elements": ("O", "H", "H")},
    ),
    "water beads": (lone(" W  ", "W"), {"names": ("W",) * 3, "elements": (None,) * 3}),
    "ions on the right": (
        lone(" MG ", "MG"),
        {"names": ("MG",) * 3, "elements": ("Mg",) * 3},
    ),
    "ions on the left": (lone("CA  ", "CA"), {"names": ("CA",) * 3, "elements": ("Ca",) * 3}),
    "ions in the columns of a carbon": (
        lone(" CA ", "CA"),
        {"names": ("CA",) * 3, "elements": ("Ca",) * 3, "notes": "(CA of CA: Ca)"},
    ),
    "X is no element": (
        atoms("CA  ", " C  ", " N  ", symbols=("X",) * 3),
        {"names": ("CA", "C", "N"), "elements": (None,) * 3},
    ),
    "identifiers where symbols stand today": (FULL.replace("           C\n", "      1CRN  70\n"), CNO),
    "a box": (CRYST1 + FULL, {**CNO, "box": BOX}),
    "a box without a group": (CRYST1[:54] + "\n" + FULL, {**CNO, "box": BOX}),
    "a box without angles": (CRYST1[:33] + "\n" + FULL, {**CNO, "box": BOX, "notes": "line 1: CRYST1 has no angles"}),
    "a box of zeros": (f"CRYST1{0:9.3f}{0:9.3f}{0:9.3f}{0:7.2f}{0:7.2f}{0:7.2f}\n" + FULL, CNO),
    "a box of zeros with right angles": (f"CRYST1{0:9.3f}{0:9.3f}{0:9.3f}{90:7.2f}{90:7.2f}{90:7.2f}\n" + FULL, CNO),
    "the cube of one angstrom": (f"CRYST1{1:9.3f}{1:9.3f}{1:9.3f}{90:7.2f}{90:7.2f}{90:7.2f} P 1\n" + FULL, CNO),
    "a hexagonal box": (
        CRYST1.replace("30.000", "20.000").replace("90.00 P", "60.00 P") + FULL,
        {**CNO, "box": [[2, 0, 0], [1, 3**0.5, 0], [0, 0, 4]]},
    ),
    "lines that end with z": ("".join(f"{line:.54}\n" for line in FULL.splitlines()), CNO),
    "no END": (
        FULL.rstrip("\n"),
        {**CNO, "notes": "has no END, so that it may have been cut short: 3 lines"},
    ),
    "CRLF": ((FULL + END).replace("\n", "\r\n"), CNO),
    "byte-order mark": (b"\xef\xbb\xbf" + FULL.encode(), CNO),
    "Latin-1 remark": (b"REMARK   f\xfcr \xc5ngstr\xf6m\n" + FULL.encode(), CNO),
    "other records": (
        "HEADER    X\nTITLE     Y\nMODEL        1\n"
        + FULL.replace("\n", "\nANISOU    1  C1  LIG A   1     1000   1000\n", 1)
        + "TER       4      LIG A   1\nENDMDL\nCONECT    1    2\nMASTER\nEND\n",
        CNO,
    ),
    "hybrid-36 numbers": (atoms(*THREE, symbols=("C", "N", "O"), number="A000 ", serial="A0000"), CNO),
    "hexadecimal numbers": (atoms(*THREE, symbols=("C", "N", "O"), number="2710 ", serial="186a0"), CNO),
    "serial numbers past 99,999": (atoms(*THREE, symbols=("C", "N", "O"), record="ATOM ", serial="100000"), CNO),
    "stars for numbers": (atoms(*THREE, symbols=("C", "N", "O"), number="**** ", serial="*****"), CNO),
    "wrapped numbers keep every atom, in order": (
        "".join(atom(" O  ", [0, 0, k], residue="HOH", number=f"{(9998 + k) % 10000:4d} ") for k in range(5)),
        {"names": ("O",) * 5, "elements": ("O",) * 5, "at": [[0, 0, k] for k in range(5)]},
    ),
    "insertion codes": (
        "".join(atom(" CA ", x, "C", residue="LYS", number=f"  60{code}") for x, code in zip(X, " AB", strict=True)),
        {"names": ("CA",) * 3, "elements": ("C",) * 3},
    ),
    "a chain in two parts": (
        "".join(atom(" O  ", x, "O", residue="HOH", chain=chain) for x, chain in zip(X, "ABA", strict=True)),
        {"names": ("O",) * 3, "elements": ("O",) * 3},
    ),
    "alternates: the highest occupancy": (
        alternates(("A", 0.3), ("B", 0.7)),
        {
            "names": ("N", "CA", "C"),
            "elements": ("N", "C", "C"),
            "at": [X[0], [1, 0, 0], X[2]],
            "notes": ": 1 alternate locations of atoms are left out",
        },
    ),
    "alternates: the first of equals": (
        alternates(("B", 0.4), ("A", 0.4), ("C", 0.2)),
        {
            "names": ("N", "CA", "C"),
            "elements": ("N", "C", "C"),
            "at": [X[0], [0, 0, 0], X[2]],
            "notes": ": 2 alternate locations of atoms are left out",
        },
    ),
    "alternates: one without a label": (
        alternates((" ", 0.6), ("B", 0.4)),
        {
            "names": ("N", "CA", "C"),
            "elements": ("N", "C", "C"),
            "at": [X[0], [0, 0, 0], X[2]],
            "notes": ": 1 alternate",
        },
    ),
    "alternates: a label alone": (
        alternates(("A", 0.6)),
        {"names": ("N", "CA", "C"), "elements": ("N", "C", "C"), "at": [X[0], [0, 0, 0], X[2]]},
    ),
    "alternates: two residues at one place": (
        atom(" CB ", X[0], "C", residue="SER", alternate="A", occupancy=0.4)
        + atom(" OG ", X[1], "O", residue="SER", alternate="A", occupancy=0.4)
        + atom(" CB ", X[2], "C", residue="ALA", alternate="B", occupancy=0.6),
        {"names": ("CB",), "elements": ("C",), "at": [X[2]], "notes": ": 2 alternate locations"},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_written_is_read(case: str, tmp_path: Path) -> None:
    content, expected = READ[case]
    path = tmp_path / "x.pdb"
    whole = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(whole if case == "no END" else whole + END.encode())
    found = read_structure(path, -1, MD)
    elements = expected["elements"]
    assert (found.names, found.elements, found.velocities, found.charges) == (expected["names"], elements, None, None)
    np.testing.assert_allclose(found.positions, expected.get("at", X), atol=1e-14)
    if expected.get("box") is None:
        assert found.box is None
    else:
        np.testing.assert_allclose(found.box, expected["box"], atol=1e-12)
    assert (found.masses is None) == (None in elements)
    if set(elements) <= MASSES.keys():
        np.testing.assert_allclose(found.masses, [MASSES[element] for element in elements], rtol=1e-12)
    assert len(found.notes) == ("notes" in expected)
    assert not found.notes or expected["notes"] in found.notes[0]


@pytest.mark.parametrize("ends", [("MODEL        1\n", "ENDMDL\n"), ("", END), ("MODEL\n", END), ("MODEL\n", "")])
def test_models_are_frames_and_share_the_box(ends: tuple[str, str], tmp_path: Path) -> None:
    path, (begin, end) = tmp_path / "x.pdb", ends
    path.write_text(CRYST1 + "".join(begin + atom(" O  ", [0, 0, k], "O") + end for k in range(3)) + END)
    for frame, z in ((0, 0), (1, 1), (-1, 2), (-3, 0)):
        found = read_structure(path, frame, MD)
        np.testing.assert_allclose(found.positions, [[0, 0, z]])
        np.testing.assert_allclose(found.box, BOX)
    with pytest.raises(ConfigError, match="has 3 frames; there is no frame 3"):
        read_structure(path, 3, MD)


def test_a_model_may_have_a_box_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.pdb"
    small = CRYST1.replace("40.000", "20.000")
    path.write_text("".join(f"{box}MODEL\n{atom(' O  ', X[0], 'O')}ENDMDL\n" for box in (CRYST1, small)) + END)
    assert [read_structure(path, k, MD).box[2, 2] for k in (0, 1)] == pytest.approx([4, 2])  # type: ignore[index]


def test_reduced_units_bring_no_masses_and_no_angstrom(tmp_path: Path) -> None:
    path = tmp_path / "x.pdb"
    path.write_text(CRYST1 + FULL)
    found = read_structure(path, 0, REDUCED)
    assert (found.types(), found.masses) == (("C", "N", "O"), None)
    np.testing.assert_allclose(found.positions, np.array(X) * 10)
    np.testing.assert_allclose(found.box, BOX * 10)
    path.write_text(CRYST1.replace("20.000   30.000   40.000", " 1.000    1.000    1.000") + FULL + END)
    found = read_structure(path, 0, REDUCED)
    assert found.box is None
    assert "a CRYST1 of 1 x 1 x 1 stands for no crystal" in found.notes[0]


LINE = atom(" O  ", X[0], "O")
REFUSED = {
    "empty": ("", "has no ATOM or HETATM lines"),
    "remarks alone": ("REMARK nothing\n", "has no ATOM or HETATM lines"),
    "stars for a coordinate": (
        f"{LINE[:30]}********{LINE[38:]}",
        "line 1: columns 31-38 should be the atom's x, not '********'",
    ),
    "not a number": (f"{LINE[:38]}     nan{LINE[46:]}", "line 1: columns 39-46 should be the atom's y, not '     nan'"),
    "a blank coordinate": (f"{LINE}{LINE[:46]}        {LINE[54:]}", "line 2: columns 47-54 should be the atom's z"),
    "shifted by a column": (
        f" {LINE}".replace(" ATOM", "ATOM "),
        "line 1: columns 39-46 should be the atom's y, not '0   2.00'",
    ),
    "cut in z": (
        f"{LINE}{LINE[:52]}\n",
        "line 2 ends before the atom's coordinates do (z is columns 47-54): it is damaged or truncated",
    ),
    "cut in x": (LINE[:33], "line 1 ends before the atom's coordinates do (x is columns 31-38)"),
    "cut before the numbers": (LINE[:20], "line 1 ends before the atom's coordinates do"),
    "no name": (f"{LINE[:12]}    {LINE[16:]}", "line 1: columns 13-16 should be the atom's name, not '    '"),
    "two names": (f"{LINE[:12]}A  B{LINE[16:]}", "line 1: columns 13-16 should be the atom's name, not 'A  B'"),
    "a tab": (f"{LINE[:30]}\t{LINE[32:]}", "line 1: it holds a tab, and PDB goes by columns"),
    "a damaged record": (f"{LINE}ATxM{LINE[4:]}", "line 2: it has coordinates, but is no ATOM or HETATM: 'ATxM"),
    "a record with a dash": (LINE.replace("ATOM  ", "HET-AT") + LINE, "line 1: it has coordinates, but is no ATOM or"),
    "two atoms in a line": (LINE.rstrip() + " " + LINE, "line 1: another atom follows in it: '  1.00"),
    "an atom twice": (f"{LINE}REMARK\n{LINE}", "line 3: it repeats line 1"),
    "small letters": (LINE.replace("ATOM", "atom"), "line 1: it has coordinates, but is no ATOM or HETATM"),
    "a word for the occupancy": (
        f"{LINE[:16]}A{LINE[17:54]}  half{LINE[60:]}",
        "line 1: columns 55-60 should be the occupancy, not '  half'",
    ),
    "an atom before the models": (
        f"{LINE}MODEL\n{LINE}ENDMDL\n",
        "line 1: this atom stands outside of MODEL and ENDMDL",
    ),
    "an atom behind the models": (
        f"MODEL\n{LINE}ENDMDL\n{LINE}",
        "line 4: this atom stands outside of MODEL and ENDMDL",
    ),
    "a model without an end": (f"MODEL        1\n{LINE}", "line 1: this MODEL has no ENDMDL: the file is truncated"),
    "a box cut in c": (
        CRYST1[:31] + "\n" + LINE,
        "line 1: columns 25-33 of CRYST1 should be a decimal number, not '   40.0' and the line is cut short",
    ),
    "a box cut in an angle": (
        CRYST1[:53] + "\n" + LINE,
        "line 1: columns 48-54 of CRYST1 should be a decimal number, not '  90.0' and the line",
    ),
    "a box without its last angle": (CRYST1[:47] + "\n" + LINE, "line 1: columns 48-54 of CRYST1"),
    "a box of words": (
        CRYST1.replace("30.000", "thirty") + LINE,
        "line 1: columns 16-24 of CRYST1 should be a decimal number",
    ),
    "a box out of its columns": ("CRYST1 20.0 30.0 40.0 90.0 90.0 90.0\n" + LINE, "line 1: columns 7-15 of CRYST1"),
    "a flat box": (CRYST1.replace("30.000", " 0.000") + LINE, "has a cell without volume: edges [20.0, 0.0, 40.0]"),
    "an impossible box": (
        CRYST1.replace("90.00  90.00  90.00", "60.00  60.00 150.00") + LINE,
        "has a cell without volume",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    path = tmp_path / "x.pdb"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_structure(path, -1, MD)
    assert said in str(raised.value)
