"""Units against CODATA (as scipy has it)."""

from __future__ import annotations

import pytest
from scipy import constants

from diffmd.units import MD, REDUCED, SYSTEMS


def test_boltzmann():
    assert REDUCED.boltzmann == 1
    assert MD.boltzmann == pytest.approx(constants.k * constants.N_A / 1e3, rel=1e-15)


def test_no_factor_between_force_and_acceleration():
    dalton, picosecond = 1e-3 / constants.N_A, 1e-12
    assert dalton * (constants.nano / picosecond) ** 2 * constants.N_A == pytest.approx(1e3, rel=1e-12)


@pytest.mark.parametrize(
    ("dimension", "symbol"),
    [("length", "nm"), ("energy/length^2", "kJ/mol/nm^2"), ("1/time", "1/ps"), ("length/time", "nm/ps")],
)
def test_symbols(dimension, symbol):
    assert MD.symbol(dimension) == symbol
    assert REDUCED.symbol(dimension) is None


def test_only_angles_have_a_unit_in_every_system():
    assert MD.symbol("1") is None
    assert {units.symbol("angle") for units in SYSTEMS.values()} == {"rad"}
    assert {units.symbol("energy/angle^2") for units in SYSTEMS.values()} == {None, "kJ/mol/rad^2"}


def test_names():
    assert {name: units.name for name, units in SYSTEMS.items()} == {"reduced": "reduced", "md": "md"}
