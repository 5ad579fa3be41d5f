"""Numbers with a unit against scipy's constants, and what is said of those that are none."""

from __future__ import annotations

import math
import re

import pytest
from scipy import constants

from diffmd.quantities import QuantityError, mended_number, read_number, read_quantity
from diffmd.units import MD, REDUCED, Units

JOULE = constants.N_A / 1e3
"""In kJ/mol."""


@pytest.mark.parametrize(
    ("text", "dimension", "number"),
    [
        ("3.4 A", "length", 0.34),
        ("3.4Å", "length", 0.34),
        ("0.34 nm", "length", 0.34),
        ("340 pm", "length", 0.34),
        ("1e-10 m", "length", 0.1),
        ("1 bohr", "length", constants.value("Bohr radius") * 1e9),
        ("2 fs", "time", 0.002),
        ("1 µs", "time", 1e6),
        ("85 K", "temperature", 85.0),
        ("39.948 g/mol", "mass", 39.948),
        ("39.948 amu", "mass", 39.948),
        ("1 kg/mol", "mass", 1e3),
        ("6.6335e-26 kg", "mass", 6.6335e-23 * constants.N_A),
        ("1.654e-21 J", "energy", 1.654e-24 * constants.N_A),
        ("500 J/m^2", "energy/length^2", 5e-19 * constants.N_A),
        ("1 kg/m^3", "mass/length^3", constants.N_A * 1e-24),
        ("-1 e", "charge", -1.0),
        ("1 kcal/mol", "energy", constants.calorie),
        ("1 eV", "energy", constants.e * JOULE),
        ("119.8 kB K", "energy", 119.8 * constants.k * JOULE),
        ("110 deg", "angle", math.radians(110)),
        ("110°", "angle", math.radians(110)),
        ("1.9 rad", "angle", 1.9),
        ("1 bar", "energy/length^3", constants.bar * JOULE * 1e-27),
        ("1 atm", "energy/length^3", constants.atm * JOULE * 1e-27),
        ("1000 kJ/mol/nm^2", "energy/length^2", 1000.0),
        ("1000 kJ mol-1 nm-2", "energy/length^2", 1000.0),
        ("1 kcal/(mol A²)", "energy/length^2", 418.4),
        ("1 kcal/mol/A**2", "energy/length^2", 418.4),
        ("1 Da/ps^2", "energy/length^2", 1.0),
        ("1 kJ/mol/deg^2", "energy/angle^2", math.degrees(1) ** 2),
        ("1/ps", "1/time", 1.0),
        ("0.5 1/fs", "1/time", 500.0),
        ("1 THz", "1/time", 1.0),
        ("300 m/s", "length/time", 0.3),
        ("21.1 1/nm^3", "1/length^3", 21.1),
        ("1 mol/L", "1/length^3", constants.N_A * 1e-24),
        ("1.4 g/cm3", "mass/length^3", 1.4 * constants.N_A * 1e-21),
        ("4 A^2", "(length)^2", 0.04),
    ],
)
def test_units(text: str, dimension: str, number: float):
    assert read_quantity(text, dimension, MD) == pytest.approx(number, rel=1e-9)


@pytest.mark.parametrize("tenths", range(1, 100))
def test_what_is_short_in_one_unit_is_in_another(tenths: int):
    """Exactly the number that would be written in nanometres: not 0.33999999999999997."""
    assert read_quantity(f"{tenths / 10} A", "length", MD) == float(f"0.{tenths:02d}")


@pytest.mark.parametrize(
    ("text", "dimension", "units", "said"),
    [
        ("2 nm", "time", MD, "is '2 nm', a length; write a time in fs, ps, ns, us or s"),
        ("1 kJ/mol", "energy/length^2", MD, "is '1 kJ/mol', an energy; write a force constant in kJ/mol/nm^2,"),
        ("3 nm", "angle", REDUCED, "is '3 nm', a length; write an angle in deg or rad"),
        ("39.9 g", "mass", MD, "is '39.9 g', but this is of one atom or of a mole of them; write 39.9 g/mol"),
        ("1 kJ", "energy", MD, "is '1 kJ', but this is of one atom or of a mole of them; write 1 kJ/mol"),
        ("1 nm^5", "length", MD, "is '1 nm^5', of dimension length^5; write a length"),
        ("300 C", "temperature", MD, "has the unknown unit `C`; write a temperature in K"),
        ("300 k", "temperature", MD, "has the unknown unit `k`; did you mean K?"),
        ("3 A", "length", REDUCED, "is '3 A', but `units: reduced` knows no units; write the number alone, or set"),
        ("3 A", "1", MD, "is '3 A', but this number has no unit; write 3"),
        ("1 g/cm3", "1/length^3", MD, "is '1 g/cm3', a mass density, and the masses of the atoms are not known here"),
        ("1 kJ//mol", "energy", MD, "has `kJ//mol`, which is no unit; write an energy"),
        ("1 kJ/(mol", "energy", MD, "has `kJ/(mol`, which is no unit"),
        ("1 kJ/", "energy", MD, "has `kJ/`, which is no unit"),
        ("1e999 nm", "length", MD, "no number of 64 bits can hold"),
        ("0,34 nm", "length", MD, "is '0,34 nm', a decimal comma; write 0.34 nm"),
        ("3.4d-1 nm", "length", MD, "is '3.4d-1 nm', a Fortran exponent; write 0.34 nm"),
        ("1d3 nm", "length", MD, "a Fortran exponent; write 1000 nm"),
    ],
)
def test_what_is_no_such_number(text: str, dimension: str, units: Units, said: str):
    with pytest.raises(
        QuantityError, match=f"^{re.escape(said)}" if said.startswith(("is", "has")) else re.escape(said)
    ):
        read_quantity(text, dimension, units)


@pytest.mark.parametrize("text", ["fast", "", "A", "nm 3", "3", "1e-4", "auto", "1.2.3"])
def test_other_texts_are_no_numbers_with_a_unit(text: str):
    assert read_quantity(text, "length", MD) is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0,0001", "0.0001"),
        ("-0,5", "-0.5"),
        (",5", "0.5"),
        ("1d-4", "0.0001"),
        ("1.0D+00", "1"),
        ("-2.5d3", "-2500"),
        ("1,5e-3", "0.0015"),
        ("1,5D-3", "0.0015"),
        ("1,000", "1.000, or 1000"),
    ],
)
def test_numbers_of_other_languages_are_written_out(text: str, written: str):
    said = mended_number(text)
    assert said is not None
    assert said.endswith((f"; write {written}", f"; write {written} if it parts thousands"))
    assert ("a decimal comma" in said) == ("," in text)
    assert ("a Fortran exponent" in said) == ("d" in text.lower())


@pytest.mark.parametrize("text", ["0.5", "1e-4", "1,000,000", "a,b", "3 deg", "d4", "3,", "2024-01-02"])
def test_other_texts_are_left_alone(text: str):
    assert mended_number(text) is None


def test_numbers_may_stand_alone():
    assert read_number("0.5", "length", REDUCED) == 0.5
    assert read_number("5 A", "length", MD) == 0.5
    for text, said in (("x", "is no number"), ("170", "did you mean 170 deg?")):
        with pytest.raises(QuantityError, match=re.escape(said)):
            read_number(text, "angle", MD)
