"""How numbers with a unit are shown to a person."""

from __future__ import annotations

import math

import pytest

from diffmd.commands.run.readable import per, value_text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.3405, "nm", "0.3405 nm"), (math.radians(110), "rad", "110 deg"), (2.5, None, "2.5"), (1e-7, "ps", "1e-07 ps")],
)
def test_values_are_shown_with_their_unit_and_angles_in_degrees(value: float, unit: str | None, text: str):
    assert value_text(value, unit) == text


def test_slopes_say_what_they_are_per():
    assert [per(unit) for unit in (None, "rad", "nm", "kJ/mol")] == ["", " per rad", " per nm", " per (kJ/mol)"]
