"""Unit systems and physical constants.

Two systems, chosen by the config's ``units``:

========  ======  ======  ============  ==========  =============  ======  =================================
name      length  time    mass          energy      temperature    charge  k_B
========  ======  ======  ============  ==========  =============  ======  =================================
reduced   sigma   tau     m             epsilon     epsilon / k_B  q       1
md        nm      ps      g/mol (Da)    kJ/mol      K              e       8.31446261815324e-3 kJ/(mol K)
========  ======  ======  ============  ==========  =============  ======  =================================

In both, mass * length^2 / time^2 is the unit of energy (1 Da nm^2/ps^2 = 1 kJ/mol), so no factor stands between a force
and an acceleration. Constants: CODATA 2018 (exact since the SI of 2019).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Units:
    """A system of units.

    Attributes:
        name: ``reduced`` or ``md``.
        boltzmann: k_B in this system's energy per temperature.
        symbols: dimension -> unit, such as ``{"length": "nm"}``; of angles alone where units have no names (reduced).
    """

    name: str
    boltzmann: float
    symbols: Mapping[str, str]

    @property
    def named(self) -> bool:
        """Whether lengths, times, masses and energies have units with names."""
        return "length" in self.symbols

    def symbol(self, dimension: str) -> str | None:
        """The unit of a dimension such as ``length`` or ``energy/length^2``; None where it has none: no name of its own
        in reduced units, and pure numbers."""
        words = re.findall(r"[a-z]+", dimension)
        if not words or not all(word in self.symbols for word in words):
            return None
        return re.sub(r"[a-z]+", lambda word: self.symbols[word.group()], dimension)


REDUCED = Units("reduced", 1.0, {"angle": "rad"})
MD = Units(
    "md",
    8.31446261815324e-3,
    {
        "length": "nm",
        "time": "ps",
        "mass": "g/mol",
        "energy": "kJ/mol",
        "temperature": "K",
        "charge": "e",
        "angle": "rad",
    },
)
SYSTEMS: Mapping[str, Units] = {"reduced": REDUCED, "md": MD}
