"""Numbers with their unit as a person reads them: angles in degrees, slopes per unit."""

from __future__ import annotations

import math


def value_text(value: float, unit: str | None, digits: int = 6) -> str:
    """``0.34 nm``, ``110 deg``: radians are shown in degrees.

    Args:
        unit: of the value; None where it has none.
        digits: how many significant ones.
    """
    if unit == "rad":
        value, unit = math.degrees(value), "deg"
    return f"{value:.{digits}g}" + ("" if unit is None else f" {unit}")


def per(unit: str | None) -> str:
    """What follows a derivative by a value of a unit: `` per rad``, `` per (nm/ps)``; nothing without a unit."""
    if unit is None:
        return ""
    return f" per ({unit})" if "/" in unit else f" per {unit}"
