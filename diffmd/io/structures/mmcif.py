"""mmCIF (PDBx), its syntax read by gemmi; lengths in Angstrom.

Source: https://mmcif.wwpdb.org/dictionaries/mmcif_pdbx_v50.dic/Categories/atom_site.html.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.structures.base import Structure, pick_frame
from diffmd.io.structures.sites import Site, cell_of, structure_of_sites
from diffmd.io.structures.text import number, read_lines, shown
from diffmd.units import Units

if TYPE_CHECKING:
    from gemmi import cif

_RESIDUE_KEY = ("auth_asym_id", "label_asym_id", "auth_seq_id", "label_seq_id", "pdbx_PDB_ins_code")
_EDGES, _ANGLES = ("length_a", "length_b", "length_c"), ("angle_alpha", "angle_beta", "angle_gamma")


def read_mmcif(path: Path, frame: int, units: Units) -> Structure:
    """Model `frame` of the first block of an mmCIF file that has atoms.

    Raises:
        ConfigError: it is no mmCIF file, has no atoms, or is damaged.
        OSError: it cannot be read at all.
    """
    block = _block(path)
    columns = _columns(block)
    if not {"Cartn_x", "Cartn_y", "Cartn_z"} <= columns.keys():
        if block.find_loop("_atom_site_fract_x"):
            raise ConfigError(
                f"{path} is a CIF of a crystal's asymmetric unit, with fractional coordinates; "
                "convert it to an extxyz file of all atoms"
            )
        raise ConfigError(f"{path} has no atoms: there is no _atom_site table with Cartn_x, Cartn_y and Cartn_z")
    count = len(columns["Cartn_x"])
    numbers = collections.Counter(columns.get("id", ()))
    if len(numbers) < sum(numbers.values()):
        raise ConfigError(f"cannot read {path}: two atoms have the id {numbers.most_common(1)[0][0]}")
    models = columns.get("pdbx_PDB_model_num", [""] * count)
    order = list(dict.fromkeys(models))
    if len(order) > 1 and not all(model.isdigit() for model in order):
        raise ConfigError(f"cannot read {path}: pdbx_PDB_model_num holds {shown(' '.join(order))}, not numbers")
    chosen = order[pick_frame(len(order), frame, path)]
    sites = [_site(columns, k, path) for k in range(count) if models[k] == chosen]
    return structure_of_sites(sites, _cell(block, path), units, path)


def _block(path: Path) -> cif.Block:
    from gemmi import cif

    text = "\n".join(read_lines(path)).encode("utf-8", "backslashreplace").decode()
    try:
        document = cif.read_string(text)
        having = [block for block in document if block.find_mmcif_category("_atom_site.").width()]
    except (ValueError, RuntimeError) as error:
        # gemmi says "string:12:3(400): what is wrong".
        told = re.sub(r"^string:(\d+):\d+\(\d+\)", r"line \1", str(error))
        raise ConfigError(f"cannot read {path}: it is no CIF file, or damaged ({told})") from error
    if not len(document):
        raise ConfigError(f"cannot read {path}: the file is empty")
    return having[0] if having else document[0]


def _columns(block: cif.Block) -> dict[str, list[str]]:
    """Columns of the table of atoms; unknown (``?``) and inapplicable (``.``) values are empty."""
    table = block.get_mmcif_category("_atom_site.")
    return {name: [value or "" for value in values] for name, values in table.items()}


def _site(columns: Mapping[str, Sequence[str]], k: int, path: Path) -> Site:
    def text(*names: str) -> str:
        return next((columns[name][k] for name in names if name in columns and columns[name][k]), "")

    def value(name: str) -> float:
        # A number may carry its standard uncertainty: 1.234(5).
        found = number(columns[name][k].partition("(")[0])
        if found is None:
            raise ConfigError(f"cannot read {path}: {name} of atom {k} is {shown(columns[name][k])}, not a number")
        return found

    name = text("label_atom_id", "auth_atom_id", "type_symbol")
    if not name or not name.isascii() or " " in name:
        raise ConfigError(f"cannot read {path}: atom {k} is named {shown(name)} in its label_atom_id")
    return Site(
        name=name,
        position=(value("Cartn_x"), value("Cartn_y"), value("Cartn_z")),
        residue=text("label_comp_id", "auth_comp_id"),
        residue_key=tuple(columns[key][k] for key in _RESIDUE_KEY if key in columns),
        alternate=text("label_alt_id"),
        occupancy=value("occupancy") if text("occupancy") else 1.0,
        # A charge may follow the element: Zn2+.
        symbol=text("type_symbol").rstrip("0123456789+-"),
    )


def _cell(block: cif.Block, path: Path) -> np.ndarray | None:
    edges = [_cell_number(block, name, path) for name in _EDGES]
    angles = [_cell_number(block, name, path) for name in _ANGLES]
    given = [value for value in edges + angles if value is not None]
    if not given:
        return None
    if len(given) < 6:
        raise ConfigError(f"cannot read {path}: its _cell has {len(given)} of the six lengths and angles")
    return cell_of(given[:3], given[3:], path)


def _cell_number(block: cif.Block, name: str, path: Path) -> float | None:
    text = block.find_value(f"_cell.{name}")
    if not text or text in "?.":
        return None
    value = number(text.partition("(")[0])
    if value is None:
        raise ConfigError(f"cannot read {path}: _cell.{name} is {shown(text)}, not a number")
    return value
