"""mmCIF: what each way of writing it means, or the sentence that refuses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmd.errors import ConfigError
from diffmd.io.structures import read_structure
from diffmd.units import MD, REDUCED

NAMES = ("type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy")
ROWS = (
    ("N", "N", ".", "ALA", "1.0", "2.0", "3.0", "1.00"),
    ("C", "CA", ".", "ALA", "11.0", "-2.0", "3.0", "1.00"),
    ("O", '"O5\'"', ".", "ALA", "-1.0", "12.0", "3.0", "1.00"),
)
X = [[0.1, 0.2, 0.3], [1.1, -0.2, 0.3], [-0.1, 1.2, 0.3]]
MASSES = [14.007, 12.011, 15.999]
CELL = ("20.0", "30.0", "40.0", "90", "90.00", "90.0")
BOX = np.diag([2.0, 3.0, 4.0])


def table(rows: Sequence[Sequence[str]] = ROWS, names: Sequence[str] = NAMES) -> str:
    return "loop_\n" + "".join(f"_atom_site.{name}\n" for name in names) + "".join(f"{' '.join(row)}\n" for row in rows)


def cell(*values: str) -> str:
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    return "".join(f"_cell.{key} {value}\n" for key, value in zip(keys, values, strict=False))


def changed(column: str, *values: str) -> tuple[tuple[str, ...], ...]:
    at = NAMES.index(column)
    return tuple((*row[:at], value, *row[at + 1 :]) for row, value in zip(ROWS, values, strict=True))


def more(name: str, *values: str, rows: Sequence[Sequence[str]] = ROWS) -> str:
    return table([(*row, value) for row, value in zip(rows, values, strict=True)], (*NAMES, name))


def without(column: str) -> str:
    at = NAMES.index(column)
    return table([[*row[:at], *row[at + 1 :]] for row in ROWS], [*NAMES[:at], *NAMES[at + 1 :]])


READ: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "atoms alone": (f"data_x\n{table()}", {}),
    "comments and other tables": (f"# c\ndata_x\n_entry.id x\n{table()}#\nloop_\n_struct.id\n1\n2\n", {}),
    "a box": (f"data_x\n{cell(*CELL)}{table()}", {"box": BOX}),
    "a box with uncertainties": (f"data_x\n{cell('20.0(1)', *CELL[1:])}{table()}", {"box": BOX}),
    "a box of zeros": (f"data_x\n{cell('0', '0', '0', '90', '90', '90')}{table()}", {}),
    "the cube of one angstrom": (f"data_x\n{cell('1.000', '1.0', '1', '90', '90', '90')}{table()}", {}),
    "an unknown box": (f"data_x\n{cell('?', '?', '?', '.', '.', '.')}{table()}", {}),
    "a monoclinic box": (
        f"data_x\n{cell('20', '30', '40', '90', '60', '90')}{table()}",
        {"box": [[2, 0, 0], [0, 3, 0], [0, 0, 12**0.5]]},
    ),
    "CRLF": (f"data_x\n{table()}".replace("\n", "\r\n"), {}),
    "byte-order mark": (b"\xef\xbb\xbf" + f"data_x\n{table()}".encode(), {}),
    "Latin-1 comment": ("# für Å\n".encode("latin-1") + f"data_x\n{table()}".encode(), {}),
    "one atom without a loop": (
        "data_x\n" + "".join(f"_atom_site.{name} {value}\n" for name, value in zip(NAMES, ROWS[1], strict=True)),
        {"names": ("CA",), "elements": ("C",), "at": X[1:2], "masses": MASSES[1:2]},
    ),
    "symbols in capitals": (
        f"data_x\n{table(changed('type_symbol', 'CL', 'ZN2+', 'D'))}",
        {"elements": ("Cl", "Zn", "D"), "masses": [35.45, 65.38, 2.01410177811]},
    ),
    "no symbols, an amino acid": (f"data_x\n{without('type_symbol')}", {}),
    "unknown symbols, an amino acid": (f"data_x\n{table(changed('type_symbol', '?', '.', 'O'))}", {}),
    "no symbols, an unknown residue": (
        f"data_x\n{without('type_symbol').replace('ALA', 'LIG')}",
        {"elements": (None,) * 3, "masses": None},
    ),
    "symbols that are no elements": (
        f"data_x\n{table(changed('type_symbol', 'X', 'Q', 'O'))}",
        {"elements": (None, None, "O"), "masses": None},
    ),
    "no occupancies": (f"data_x\n{without('occupancy')}", {}),
    "no alternates": (f"data_x\n{without('label_alt_id')}", {}),
    "columns in another order": (f"data_x\n{table([row[::-1] for row in ROWS], NAMES[::-1])}", {}),
    "coordinates with uncertainties": (f"data_x\n{table(changed('Cartn_x', '1.0(2)', '11.0(1)', '-1.0'))}", {}),
    "models, the last": (
        f"data_x\n{more('pdbx_PDB_model_num', '1', '1', '7')}",
        {"names": ("O5'",), "elements": ("O",), "at": X[2:], "masses": MASSES[2:]},
    ),
    "insertion codes": (f"data_x\n{more('pdbx_PDB_ins_code', '?', 'A', 'B')}", {}),
    "a block without atoms first": (f"data_a\n_entry.id a\ndata_x\n{table()}", {}),
    "alternates: the highest occupancy": (
        "data_x\n"
        + table(
            [
                (*row[:1], "CA", label, *row[3:7], o)
                for row, label, o in zip(ROWS, "ABC", ("0.2", "0.5", "0.3"), strict=True)
            ]
        ),
        {"names": ("CA",), "elements": ("C",), "at": X[1:2], "masses": MASSES[1:2], "notes": ": 2 alternate locations"},
    ),
    "alternates: the first of equals": (
        "data_x\n"
        + table([(*row[:1], "CA", label, *row[3:7], "0.33") for row, label in zip(ROWS, "BAC", strict=True)]),
        {"names": ("CA",), "elements": ("N",), "at": X[:1], "masses": MASSES[:1], "notes": ": 2 alternate locations"},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_written_is_read(case: str, tmp_path: Path) -> None:
    content, expected = READ[case]
    path = tmp_path / "x.cif"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_structure(path, -1, MD)
    wanted = {
        "names": ("N", "CA", "O5'"),
        "elements": ("N", "C", "O"),
        "at": X,
        "box": None,
        "masses": MASSES,
        **expected,
    }
    assert (found.names, found.elements) == (wanted["names"], wanted["elements"])
    for name, value in (("at", found.positions), ("box", found.box), ("masses", found.masses)):
        if wanted[name] is None:
            assert value is None, name
        else:
            np.testing.assert_allclose(value, wanted[name], rtol=1e-12, atol=1e-12, err_msg=name)
    assert len(found.notes) == ("notes" in expected)
    assert not found.notes or expected["notes"] in found.notes[0]


@pytest.mark.parametrize("suffix", ["cif", "mmcif", "pdbx", "CIF"])
def test_its_names_end_in_many_ways(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_text(f"data_x\n{cell(*CELL)}{table()}")
    found = read_structure(path, 0, REDUCED)
    assert (found.types(), found.masses) == (("N", "C", "O"), None)
    np.testing.assert_allclose(found.positions, np.array(X) * 10)
    np.testing.assert_allclose(found.box, BOX * 10)


REFUSED = {
    "empty": ("", "the file is empty"),
    "no CIF": ("hello\nthere\n", "it is no CIF file, or damaged (line 1: expected block header"),
    "no atoms": (
        "data_x\n_entry.id x\n",
        "has no atoms: there is no _atom_site table with Cartn_x, Cartn_y and Cartn_z",
    ),
    "no z": (f"data_x\n{without('Cartn_z')}", "has no atoms: there is no _atom_site table with Cartn_x"),
    "a crystal": (
        "data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\nC1 0.5\n",
        "is a CIF of a crystal's asymmetric unit, with fractional coordinates; convert it to an extxyz file of all",
    ),
    "a value left out": (
        f"data_x\n{table()}".replace(" 1.00\n", "\n", 1),
        "or damaged (line 2: Wrong number of values in",
    ),
    "a quotation mark left open": (f"data_x\n{table()}".replace('"O5\'"', "'O5"), "or damaged (line 13: unterminated"),
    "a word for a number": (
        f"data_x\n{table(changed('Cartn_y', '1', 'two', '3'))}",
        "Cartn_y of atom 1 is 'two', not a number",
    ),
    "not a number": (
        f"data_x\n{table(changed('Cartn_y', '1', 'nan', '3'))}",
        "Cartn_y of atom 1 is 'nan', not a number",
    ),
    "an unknown coordinate": (
        f"data_x\n{table(changed('Cartn_z', '1', '?', '3'))}",
        "Cartn_z of atom 1 is '', not a number",
    ),
    "a word for an occupancy": (
        f"data_x\n{table(changed('occupancy', '1', '1', 'x'))}",
        "occupancy of atom 2 is 'x', not a",
    ),
    "an empty name": (
        f"data_x\n{table(changed('label_atom_id', 'N', chr(34) + ' ' + chr(34), 'O'))}",
        "atom 1 is named ' ' in its label_atom_id",
    ),
    "an id twice": (f"data_x\n{more('id', '1', '2', '2')}", "two atoms have the id 2"),
    "models of words": (f"data_x\n{more('pdbx_PDB_model_num', '1', '1', 'x')}", "pdbx_PDB_model_num holds '1 x', not"),
    "half a box": (f"data_x\n{cell(*CELL[:3])}{table()}", "its _cell has 3 of the six lengths and angles"),
    "a box of words": (f"data_x\n{cell('x', *CELL[1:])}{table()}", "_cell.length_a is 'x', not a number"),
    "a flat box": (f"data_x\n{cell('0', *CELL[1:])}{table()}", "has a cell without volume: edges [0.0, 30.0, 40.0]"),
    "an impossible box": (f"data_x\n{cell(*CELL[:3], '60', '60', '150')}{table()}", "has a cell without volume"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    path = tmp_path / "x.cif"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_structure(path, -1, MD)
    assert said in str(raised.value)
