"""Elements from the names of a residue's atoms, where a file has no element column.

Sources: gemmi's table of residues (amino acids, nucleotides, water, ions of the PDB), and the names that AMBER, CHARMM
and GROMACS give the same residues.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Literal

from diffmd.io.structures.elements import element_of

_WATER = frozenset(
    ("SOL", "WAT", "TIP", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "TP5", "T3P", "T4P", "SPC", "SPCE", "OPC", "OPC3")
)
_VARIANTS = {
    "HIS": ("HID", "HIE", "HIP", "HIS1", "HISA", "HISB", "HISD", "HISE", "HISH", "HSD", "HSE", "HSP"),
    "CYS": ("CYX", "CYM", "CYS2", "CYSH"),
    "ASP": ("ASH", "ASPH", "ASPP"),
    "GLU": ("GLH", "GLUH", "GLUP"),
    "LYS": ("LYN", "LYSH", "LSN"),
    "cap": ("ACE", "NME", "NMA", "NAC", "NH2", "NHE", "FOR"),
    "nucleotide": ("ADE", "CYT", "GUA", "THY", "URA"),
}
"""What force fields call states of the standard residues and the ends of chains."""
_POLYMER = frozenset(name for names in _VARIANTS.values() for name in names)
_ANY = frozenset(("UNK", "N", "DN"))
"""Residues of any kind: what they are made of is not known."""
_BEADS = frozenset(("W",))
"""Water of the MARTINI models, which is no tungsten."""
_CHARMM_IONS = {
    "SOD": "Na",
    "CLA": "Cl",
    "POT": "K",
    "CAL": "Ca",
    "CES": "Cs",
    "LIT": "Li",
    "RUB": "Rb",
    "BAR": "Ba",
    "CAD": "Cd",
}
"""Residues of one atom of the same name, which CHARMM writes from column 14 on, as if it were sulfur or carbon."""
_LETTERS = frozenset("HDCNOSP")
_ION = re.compile(r"([A-Za-z]{1,2})\d?[+-]\d?")

Family = Literal["water", "polymer"]


def residue_elements(residue: str, names: Sequence[str]) -> tuple[str | None, ...] | None:
    """The element of each atom of one residue; None where names of this residue tell nothing.

    In amino acids, nucleotides and water it is the name's first letter. A residue that has a letter there which is no
    element of such residues is a coarse-grained model of one: its elements are unknown, (None, ...). In water such
    atoms are virtual sites, and unknown. Atoms named as their residue (``MG``, ``CL-``, ``SOD``) are that element, if
    the name has two letters or a charge or is an ion of the PDB or of CHARMM; if it is no element, they are unknown.
    """
    if residue in _BEADS:
        return (None,) * len(names)
    if not residue.isascii():
        return None
    family = _family(residue.upper())
    if family is None:
        if {_bare(name) for name in names} != {_bare(residue)}:
            return None
        element = _ion(residue)
        # A bead that is called as its residue, and that as no element, is none of its first letter.
        return None if element is None and element_of(_bare(residue)) else (element,) * len(names)
    found = tuple(_first_letter(name) for name in names)
    return (None,) * len(names) if family == "polymer" and None in found else found


@functools.lru_cache(maxsize=1024)
def _family(residue: str) -> Family | None:
    from gemmi import find_tabulated_residue

    known = find_tabulated_residue(residue)
    if residue in _WATER or known.is_water():
        return "water"
    # AMBER's ends of chains: NALA, CALA; DA5, RA3, DAN.
    core = residue[1:] if len(residue) == 4 and residue[0] in "NC" else residue
    base = re.sub(r"^[DR]?([ACGTU])[35N]?$", r"D\1", residue)
    standard = any(find_tabulated_residue(name).is_standard() for name in (core, base))
    named = not _POLYMER.isdisjoint((core, residue))
    return "polymer" if (standard or named) and residue not in _ANY else None


def _first_letter(name: str) -> str | None:
    letters = name.lstrip("0123456789'\"* ").upper()
    if letters.startswith("SE"):
        return "Se"
    return letters[0] if letters and letters[0] in _LETTERS else None


def _ion(residue: str) -> str | None:
    from gemmi import ResidueKind, find_tabulated_residue

    element = _CHARMM_IONS.get(residue) or element_of(_bare(residue))
    sure = residue in _CHARMM_IONS or len(_bare(residue)) == 2 or _bare(residue) != residue.upper()
    return element if sure or find_tabulated_residue(residue.upper()).kind == ResidueKind.BUF else None


def _bare(name: str) -> str:
    """A name in capitals without its charge."""
    match = _ION.fullmatch(name)
    return (match[1] if match else name).upper()
