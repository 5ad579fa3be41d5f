"""GRO: what each way of writing it means, or the sentence that refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmd.errors import ConfigError
from diffmd.io.structures import read_structure
from diffmd.units import MD, REDUCED

OXYGEN, HYDROGEN = 15.999, 1.008
BOX = np.diag([2.0, 3.0, 4.0])
X = [[0.1, 0.2, 0.3], [1.1, 0.2, 0.3], [0.1, -1.2, 0.3]]
END = "   2.00000   3.00000   4.00000\n"


def atom(
    residue: str, name: str, x: Any, v: Any = None, number: str = "1", serial: str = "1", decimals: int = 3
) -> str:
    """A line of an atom as `gmx` writes it."""
    width = decimals + 5
    numbers = "".join(f"{value:{width}.{decimals}f}" for value in x)
    numbers += "" if v is None else "".join(f"{value:{width}.{decimals + 1}f}" for value in v)
    return f"{number:>5s}{residue:<5s}{name:>5s}{serial:>5s}{numbers}\n"


def water(residue: str = "SOL", names: tuple[str, ...] = ("OW", "HW1", "HW2"), **how: Any) -> str:
    return "".join(atom(residue, name, x, **how) for name, x in zip(names, X, strict=False))


def file(atoms: str, end: str = END, title: str = "made for a test, t=   1.00000") -> str:
    return f"{title}\n{atoms.count(chr(10)):5d}\n{atoms}{end}"


def lone(residue: str, name: str) -> str:
    """Two residues of one atom."""
    return atom(residue, name, X[0]) + atom(residue, name, X[1], number="2")


IONS = {"at": X[:2]}
READ: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "water of GROMACS": (file(water()), {}),
    "water of CHARMM": (file(water("TIP3", ("OH2", "H1", "H2"))), {"names": ("OH2", "H1", "H2")}),
    "four sites": (
        file(water() + atom("SOL", "MW", [0, 0, 0])),
        {"names": ("OW", "HW1", "HW2", "MW"), "elements": ("O", "H", "H", None), "masses": None, "at": [*X, [0, 0, 0]]},
    ),
    "amino acid": (
        file(water("ALA", ("CA", "1HB", "OXT"))),
        {"names": ("CA", "1HB", "OXT"), "elements": ("C", "H", "O")},
    ),
    "protonated histidine": (file(water("NHIE", ("ND1", "CE1", "HD1"))), {"elements": ("N", "C", "H"), "names": None}),
    "cysteine": (file(water("CYX", ("SG", "HB2", "CB"))), {"elements": ("S", "H", "C"), "names": None}),
    "nucleotide": (file(water("DA5", ("O5'", "P", "H5''"))), {"elements": ("O", "P", "H"), "names": None}),
    "selenium": (file(water("SEC", ("SE", "CA", "N"))), {"elements": ("Se", "C", "N"), "names": None}),
    "magnesium": (
        file(lone("MG", "MG")),
        {**IONS, "names": ("MG",) * 2, "elements": ("Mg",) * 2, "masses": [24.305] * 2},
    ),
    "argon": (file(lone("AR", "AR")), {**IONS, "names": ("AR",) * 2, "elements": ("Ar",) * 2, "masses": [39.948] * 2}),
    "zinc": (file(lone("ZN", "ZN")), {**IONS, "names": None, "elements": ("Zn",) * 2, "masses": [65.38] * 2}),
    "calcium": (file(lone("CA", "CA")), {**IONS, "names": None, "elements": ("Ca",) * 2, "masses": [40.078] * 2}),
    "a charge": (
        file(lone("NA+", "NA+")),
        {**IONS, "names": None, "elements": ("Na",) * 2, "masses": [22.98976928] * 2},
    ),
    "a charge on one name": (
        file(lone("CL", "CL-")),
        {**IONS, "names": None, "elements": ("Cl",) * 2, "masses": [35.45] * 2},
    ),
    "potassium": (file(lone("K", "K")), {**IONS, "names": None, "elements": ("K",) * 2, "masses": [39.0983] * 2}),
    "argon in one residue": (
        file(water("AR", ("AR",) * 3)),
        {"names": ("AR",) * 3, "elements": ("Ar",) * 3, "masses": [39.948] * 3},
    ),
    "water beads": (file(lone("W", "W")), {**IONS, "names": ("W", "W"), "elements": (None, None), "masses": None}),
    "a coarse-grained residue": (
        file(water("LYS", ("BB", "SC1", "SC2"))),
        {"names": ("BB", "SC1", "SC2"), "elements": (None,) * 3, "masses": None},
    ),
    "an unknown residue": (
        file(water("LIG", ("MG", "CA", "C1"))),
        {"names": ("MG", "CA", "C1"), "elements": (None,) * 3, "masses": None},
    ),
    "velocities": (
        file("".join(atom("SOL", n, x, [1, 2, -3]) for n, x in zip(("OW", "HW1", "HW2"), X, strict=True))),
        {"velocities": [[1, 2, -3]] * 3},
    ),
    "velocities of one atom": (
        file(atom("SOL", "OW", X[0]) + atom("SOL", "HW1", X[1], [1, 0, 0.5]) + atom("SOL", "HW2", X[2])),
        {"velocities": [[0, 0, 0], [1, 0, 0.5], [0, 0, 0]], "notes": "has velocities of 1 of its 3 atoms"},
    ),
    "six decimals": (file(water(decimals=6)), {}),
    "six decimals and velocities": (
        file(
            "".join(atom("SOL", n, x, [0.25, 0, 1], decimals=6) for n, x in zip(("OW", "HW1", "HW2"), X, strict=True))
        ),
        {"velocities": [[0.25, 0, 1]] * 3},
    ),
    "one decimal": (file(water(decimals=1)), {}),
    "no room between numbers": (
        file(atom("SOL", "OW", [-100.125, -200.25, -300.5]) + water("SOL", ("HW1", "HW2"))),
        {"at": [[-100.125, -200.25, -300.5], *X[:2]]},
    ),
    "blank lines after the box": (file(water(), END + "\n  \n\n"), {}),
    "no newline at the end": (file(water()).rstrip("\n"), {}),
    "an empty title": (file(water(), title=""), {}),
    "CRLF": (file(water()).replace("\n", "\r\n"), {}),
    "byte-order mark": (b"\xef\xbb\xbf" + file(water()).encode(), {}),
    "Latin-1 title": (file(water(), title="für Ångström").encode("latin-1"), {}),
    "wrapped numbers": (
        file(water(number="0", serial="99999") + water(number="1", serial="0")),
        {
            "names": ("OW", "HW1", "HW2") * 2,
            "elements": ("O", "H", "H") * 2,
            "at": X * 2,
            "masses": [OXYGEN, HYDROGEN, HYDROGEN] * 2,
        },
    ),
    "stars for numbers": (file(water(number="*****", serial="*****")), {}),
    "no box": (file(water(), "   0.00000   0.00000   0.00000\n"), {"box": None}),
    "a box in free columns": (file(water(), "2 3.0 4.00\n"), {}),
    "nine numbers": (
        file(water(), "2.0 3.0 4.0 0.0 0.0 0.5 0.0 -0.5 1.0\n"),
        {"box": [[2, 0, 0], [0.5, 3, 0], [-0.5, 1, 4]]},
    ),
    "several frames, the last": (
        file(water(), "9 9 9\n") + file(water()),
        {},
    ),
    "several frames with blank lines between": (file(water(), "9 9 9\n\n\n") + file(water(), title="\nx"), {}),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_written_is_read(case: str, tmp_path: Path) -> None:
    content, expected = READ[case]
    path = tmp_path / "x.gro"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_structure(path, -1, MD)
    elements = expected.get("elements", ("O", "H", "H"))
    of = {"O": OXYGEN, "H": HYDROGEN, "C": 12.011, "N": 14.007, "S": 32.06, "P": 30.973761998, "Se": 78.971}
    standard = None if None in elements or not set(elements) <= of.keys() else [of[element] for element in elements]
    wanted = {"names": ("OW", "HW1", "HW2"), "box": BOX, "velocities": None, "masses": standard, "at": X, **expected}
    assert found.elements == elements
    assert wanted["names"] in (None, found.names)
    np.testing.assert_allclose(found.positions, wanted["at"], atol=1e-14)
    for name in ("box", "velocities", "masses"):
        value = getattr(found, name)
        if wanted[name] is None:
            assert value is None, name
        else:
            np.testing.assert_allclose(value, wanted[name], rtol=1e-12, atol=1e-14, err_msg=name)
    assert len(found.notes) == ("notes" in expected)
    assert not found.notes or expected["notes"] in found.notes[0]


def test_frames_are_counted_from_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.gro"
    path.write_text("".join(file(atom("SOL", "OW", [k, 0, 0])) for k in range(3)))
    assert [read_structure(path, k, MD).positions[0, 0] for k in (0, 1, -1, -3)] == [0, 1, 2, 0]
    with pytest.raises(ConfigError, match="has 3 frames; there is no frame 3"):
        read_structure(path, 3, MD)


def test_reduced_units_bring_no_masses(tmp_path: Path) -> None:
    path = tmp_path / "x.gro"
    path.write_text(file(lone("AR", "AR")))
    found = read_structure(path, 0, REDUCED)
    assert (found.types(), found.masses) == (("Ar", "Ar"), None)
    np.testing.assert_array_equal(found.positions, X[:2])


A = atom("SOL", "OW", X[0])
REFUSED = {
    "empty": ("", "line 1: the file is empty"),
    "a title alone": ("title\n", "line 2: the file ends before the number of atoms"),
    "a word for the count": (
        "title\nmany\n",
        "line 2: it is no GRO file: here should be the number of atoms, not 'many'",
    ),
    "a negative count": ("title\n-1\n", "line 2: it is no GRO file"),
    "no atoms": (f"title\n0\n{END}", "has no atoms"),
    "cut before the box": (
        f"title\n1\n{A}",
        "line 2: it counts 1 atoms, and 1 lines follow, not these and a box: truncated",
    ),
    "cut before an atom": (f"title\n3\n{A}", "line 2: it counts 3 atoms, and 1 lines follow"),
    "counts too few": (
        f"title\n1\n{A}{A}{END}",
        "line 4: after 1 atoms there should be the box, 3 or 9 numbers, not '    1SOL",
    ),
    "counts too many": (
        f"title\n3\n{A}{A}{END}\n",
        "line 6: after 3 atoms there should be the box, 3 or 9 numbers, not ''",
    ),
    "a box of two numbers": (
        f"title\n1\n{A}2.0 3.0\n",
        "line 4: after 1 atoms there should be the box, 3 or 9 numbers",
    ),
    "a box of words": (f"title\n1\n{A}a b c\n", "line 4: after 1 atoms there should be the box"),
    "a flat box": (f"title\n1\n{A}2.0 3.0 0.0\n", "has a cell without volume"),
    "a word for a number": (
        f"title\n2\n{A}{A[:28]}     x.y{A[36:]}{END}",
        "line 4: here should be an atom, with 3 or 6 numbers after column 20, each 8 columns wide",
    ),
    "not a number": (
        f"title\n2\n{A}{A[:20]}     nan{A[28:]}{END}",
        "line 4: here should be an atom, with 3 or 6 numbers after column 20",
    ),
    "a number cut short": (f"title\n2\n{A}{A[:-2]}\n{END}", "line 4: its numbers do not stand in columns of width 8"),
    "two coordinates": (
        f"title\n2\n{A}{A[:36]}\n{END}",
        "line 4: here should be an atom, with 3 or 6 numbers after column 20",
    ),
    "two velocities": (
        f"title\n1\n{A[:-1]}  1.0000  2.0000\n{END}",
        "line 3: here should be an atom, with 3 or 6 numbers after column 20",
    ),
    "shifted by a column": (f"title\n2\n{A} {A}{END}", "line 4: here should be an atom"),
    "no decimal points": (
        f"title\n1\n    1SOL     OW    1   1   2   3\n{END}",
        "line 3: here should be an atom, with x, y and z after column 20, their decimal points",
    ),
    "unequal columns": (
        f"title\n1\n    1SOL     OW    1   1.0  2.0   3.0\n{END}",
        "their decimal points equally far apart",
    ),
    "no name": (
        f"title\n1\n    1SOL           1   0.100   0.200   0.300\n{END}",
        "line 3: columns 11-15 hold '     '",
    ),
    "an empty line among atoms": (f"title\n2\n{A}\n{END}", "line 4: here should be an atom"),
    "a second frame cut short": (file(A) + f"title\n2\n{A}", "line 6: it counts 2 atoms, and 1 lines follow"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    path = tmp_path / "x.gro"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_structure(path, -1, MD)
    assert said in str(raised.value)
