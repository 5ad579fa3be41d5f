"""Chemical elements: which symbols there are, and their standard atomic masses."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_ISOTOPES = {"D": 2.01410177811}
"""Deuterium has a symbol of its own in PDB and mmCIF; in g/mol (AME 2016)."""


def element_of(symbol: str) -> str | None:
    """The element's symbol as chemists write it, of one in any case (``CL``); None where it is no element."""
    symbol = symbol.strip().capitalize()
    return symbol if symbol in _masses() else None


def element_numbered(number: int) -> str | None:
    """The element of an atomic number; None where there is none."""
    symbols = list(_masses())[: -len(_ISOTOPES)]
    return symbols[number - 1] if 1 <= number <= len(symbols) else None


def element_masses(elements: Sequence[str | None]) -> Float[np.ndarray, "atoms"] | None:
    """Standard atomic masses in g/mol, if every element is known."""
    masses = _masses()
    if None in elements:
        return None
    return np.array([masses[element] for element in elements if element is not None])


@functools.cache
def _masses() -> dict[str, float]:
    from ase.data import atomic_masses, chemical_symbols

    # ASE's number 0, X, is no element.
    return {**dict(zip(chemical_symbols[1:], map(float, atomic_masses[1:]), strict=True)), **_ISOTOPES}
