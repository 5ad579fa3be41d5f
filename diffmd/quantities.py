"""Numbers with a unit, such as ``3.4 A`` or ``1000 kJ/mol/nm^2``: read, checked against a dimension, converted.

Arithmetic is exact (rationals), so that ``3.4 A`` is the same number as 0.34. Constants: CODATA 2018 (exact since the
SI of 2019, but the atomic mass unit, taken as 1 g/mol) and the thermochemical calorie of 4.184 J.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from fractions import Fraction

from diffmd.units import MD, Units

_NUMBER = r"[-+]?(?:\d{1,99}\.?\d{0,99}|\.\d{1,99})(?:[eE][-+]?\d{1,3})?"
_END = r"(?![\d.,]|[eE][-+]?\d)"
_WRITTEN = re.compile(rf"\s*({_NUMBER}){_END}\s*(\S.*?)\s*")
_FOREIGN = re.compile(r"\s*([-+]?\d*)(?:([.,])(\d+))?(?:([eEdD])([-+]?\d+))?(?![\d.,])")
_TOKEN = re.compile(r"\s*(?:([^\W\d_]+|°|\))(?:(?:\^|\*\*)?([-+]?\d{1,2}(?!\d)))?|([/*·(]|1(?![\d.])))")

TEXT = rf"^\s*{_NUMBER}{_END}\s*\S.*$"
"""The texts that may be numbers with a unit, for the JSON schema."""

_AVOGADRO = Fraction("6.02214076e23")
_BASE = ("length", "time", "mass", "temperature", "charge", "angle", "amount")
_DIMENSIONS: Mapping[str, str] = {"energy": "mass*length^2/time^2"}
_UNITS: Mapping[str, str] = {
    "nm": "length",
    "A": "0.1 nm",
    "pm": "1e-3 nm",
    "um": "1e3 nm",
    "cm": "1e7 nm",
    "m": "1e9 nm",
    "bohr": "0.0529177210903 nm",
    "L": "1e24 nm^3",
    "ps": "time",
    "fs": "1e-3 ps",
    "ns": "1e3 ps",
    "us": "1e6 ps",
    "s": "1e12 ps",
    "THz": "1 1/ps",
    "Da": "mass",
    "u": "1 Da",
    "amu": "1 Da",
    "mol": "amount",
    "g": "1 Da mol",
    "kg": "1e3 g",
    "kB": "8.31446261815324e-3 kJ/(mol K)",
    "J": "1 kg m^2/s^2",
    "kJ": "1e3 J",
    "cal": "4.184 J",
    "kcal": "1e3 cal",
    "eV": f"{Fraction('1.602176634e-19') * _AVOGADRO} J/mol",
    "meV": "1e-3 eV",
    "Pa": "1 J/m^3",
    "kPa": "1e3 Pa",
    "MPa": "1e6 Pa",
    "GPa": "1e9 Pa",
    "bar": "1e5 Pa",
    "atm": "101325 Pa",
    "K": "temperature",
    "e": "charge",
    "rad": "angle",
    "deg": f"{Fraction(math.pi) / 180} rad",
}
"""Unit -> what it is: a base dimension whose md unit it is, or a number of others. Of moles there are so many things:
a gram is a mole of daltons."""
_SPELLINGS: Mapping[str, str] = {
    "Å": "A",
    "Angstrom": "A",
    "angstrom": "A",
    "Bohr": "bohr",
    "μm": "um",
    "l": "L",
    "μs": "us",
    "°": "deg",
    "degree": "deg",
    "degrees": "deg",
    "radian": "rad",
    "radians": "rad",
}
_KINDS: Mapping[str, tuple[str, str]] = {
    "length": ("a length", "A, nm, pm, um, cm, m, bohr"),
    "time": ("a time", "fs, ps, ns, us, s"),
    "mass": ("a mass", "g/mol, Da, u, amu"),
    "energy": ("an energy", "kJ/mol, kcal/mol, J/mol, eV, meV, kB K"),
    "temperature": ("a temperature", "K"),
    "charge": ("a charge", "e"),
    "angle": ("an angle", "deg, rad"),
    "1/length^3": ("a number density", "1/nm^3, 1/A^3, mol/L"),
    "mass/length^3": ("a mass density", "g/cm^3, kg/m^3, g/mol/nm^3"),
    "1/time": ("a rate", "1/ps, 1/fs, 1/ns, THz"),
    "length/time": ("a velocity", "nm/ps, A/ps, A/fs, m/s"),
    "energy/length^3": ("a pressure", "bar, atm, Pa, kPa, MPa, GPa, kJ/mol/nm^3"),
    "energy/length": ("a force", "kJ/mol/nm, kcal/mol/A, eV/A"),
    "energy/length^2": ("a force constant", "kJ/mol/nm^2, kcal/mol/A^2, eV/A^2"),
    "energy/angle^2": ("a force constant of an angle", "kJ/mol/rad^2, kcal/mol/rad^2, kJ/mol/deg^2"),
}
"""Dimension -> what a value of it is called, and the units it may be written in."""


class QuantityError(ValueError):
    """A text that is no number of the dimension wanted; the message says what to write."""


@dataclasses.dataclass(frozen=True)
class _Value:
    """A factor times base dimensions to integer powers, in the order of `_BASE`."""

    factor: Fraction
    powers: tuple[int, ...]

    @property
    def dimension(self) -> tuple[int, ...]:
        """The powers without that of moles, which are a number of things."""
        return self.powers[:-1]

    @property
    def number(self) -> Fraction:
        """The number in md units."""
        return self.factor * _AVOGADRO ** self.powers[-1]

    def __mul__(self, other: _Value) -> _Value:
        return _Value(self.factor * other.factor, tuple(a + b for a, b in zip(self.powers, other.powers, strict=True)))

    def __pow__(self, power: int) -> _Value:
        return _Value(self.factor**power, tuple(a * power for a in self.powers))


_ONE = _Value(Fraction(1), (0,) * len(_BASE))
_NUMBER_DENSITY, _MASS_DENSITY = "1/length^3", "mass/length^3"
_OF_ONE = ("mass", "energy", "energy/length", "energy/length^2", "energy/angle^2")
"""What a single atom or term has: a whole gram or joule is a slip for one of a mole."""
_MOST_OF_ONE = 1e12
"""In md units; ``6.63e-26 kg`` is an atom's mass, and ``39.9 g`` 2e25."""


def read_quantity(text: str, dimension: str, units: Units, mean_mass: float | None = None) -> float | None:
    """The number that `text` is in `units`; None where it is no number with a unit at all, such as ``fast``.

    Args:
        dimension: of the number wanted, such as ``energy/length^2``; ``1`` for a pure number.
        mean_mass: of the atoms that a number density is of, which may then be written as a mass density.

    Raises:
        QuantityError: a decimal comma or a Fortran exponent; a unit where there is none, that is not known, or of
            another dimension; any unit but an angle's where the system of units is reduced.
    """
    if (mended := mended_number(text)) is not None:
        raise QuantityError(mended)
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return None
    if not physical(dimension):
        raise QuantityError(f"is {text!r}, but this number has no unit; write {match[1]}")
    wanted = dimension_of(dimension)
    if units.symbol(dimension) is None:
        raise QuantityError(
            f"is {text!r}, but `units: reduced` knows no units; write the number alone, or set `units: md`"
        )
    value = _value(match[2], dimension)
    number = Fraction(match[1]) * value.number
    if value.dimension == wanted.dimension:
        if value.powers[-1] and dimension in _OF_ONE and abs(number) > _MOST_OF_ONE:
            raise QuantityError(f"is {text!r}, but this is of one atom or of a mole of them; write {text.strip()}/mol")
        return _float(number, text)
    if dimension == _NUMBER_DENSITY and value.dimension == dimension_of(_MASS_DENSITY).dimension:
        if mean_mass is not None:
            return _float(number / Fraction(mean_mass), text)
        raise QuantityError(
            f"is {text!r}, a mass density, and the masses of the atoms are not known here; {_write(dimension)}"
        )
    raise QuantityError(f"is {text!r}, {_called(value)}; {_write(dimension)}")


def read_number(text: str, dimension: str, units: Units) -> float:
    """The number that `text` is, with or without a unit. Raises QuantityError as `read_quantity`, and for no number."""
    try:
        bare = float(text)
    except ValueError:
        value = read_quantity(text, dimension, units)
        if value is None:
            raise QuantityError(f"{text!r} is no number") from None
        return value
    if dimension == "angle":
        check_angle(bare)
    return bare


def mended_number(text: str) -> str | None:
    """What is wrong with a number that has a decimal comma or Fortran's exponent, and how to write it; else None."""
    match = _FOREIGN.match(text)
    if match is None:
        return None
    whole, point, decimals, letter, power = match.groups(default="")
    faults = {"a decimal comma": point == ",", "a Fortran exponent": letter.lower() == "d"}
    if not any(faults.values()) or not (whole.strip("+-") or decimals):
        return None
    number = f"{whole or '0'}.{decimals}" if point else whole
    if letter:
        number = repr(float(f"{number}e{power}")).removesuffix(".0")
    rest = text[match.end() :].rstrip()
    said = f"is {text!r}, {' and '.join(name for name in faults if faults[name])}; write {number}{rest}"
    may_part_thousands = point == "," and len(decimals) == 3 and whole.strip("+-") not in ("", "0")
    return said + (f", or {whole}{decimals}{rest} if it parts thousands" if may_part_thousands else "")


def physical(dimension: str) -> bool:
    """Whether values of a dimension have a unit: they are no pure numbers, nor counts of steps or bytes."""
    words = re.findall(r"[a-z]+", dimension)
    return bool(words) and all(word in _BASE or word in _DIMENSIONS for word in words)


def check_angle(value: float) -> None:
    """Raises QuantityError for a bare number over 2 pi, which can only be degrees."""
    if abs(value) > 2 * math.pi:
        raise QuantityError(f"angles are radians; did you mean {value:g} deg?")


@functools.cache
def dimension_of(dimension: str) -> _Value:
    """The powers of a dimension such as ``energy/length^2``."""
    return _product(dimension, _base)


def _float(number: Fraction, text: str) -> float:
    try:
        return float(number)
    except OverflowError:
        raise QuantityError(f"is {text!r}, which no number of 64 bits can hold") from None


def _base(word: str) -> _Value:
    if word in _DIMENSIONS:
        return dimension_of(_DIMENSIONS[word])
    return _Value(Fraction(1), tuple(int(word == base) for base in _BASE))


@functools.cache
def _unit(word: str) -> _Value:
    """A unit by its name. Raises KeyError."""
    meaning = _UNITS[_SPELLINGS.get(word, word)]
    if meaning in _BASE:
        return dimension_of(meaning)
    number, _, others = meaning.partition(" ")
    return _Value(Fraction(number), _ONE.powers) * (_product(others, _unit) if others else _ONE)


def _value(text: str, dimension: str) -> _Value:
    try:
        # Superscripts, the micro sign and the sign of the angstrom have other letters' meaning.
        return _product(unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-"), _unit)
    except KeyError as unknown:
        word = str(unknown.args[0])
        alike = {name.casefold(): name for name in (*_UNITS, *_SPELLINGS)}.get(word.casefold())
        hint = f"did you mean {alike}?" if alike else _write(dimension)
        raise QuantityError(f"has the unknown unit `{word}`; {hint}") from None
    except ValueError:
        raise QuantityError(f"has `{text}`, which is no unit; {_write(dimension)}") from None


def _write(dimension: str) -> str:
    if dimension in _KINDS:
        called, known = _KINDS[dimension]
        *others, last = known.split(", ")
        return f"write {called} in {', '.join(others)} or {last}" if others else f"write {called} in {last}"
    return f"write a value in {MD.symbol(dimension)}"


def _called(value: _Value) -> str:
    for dimension, (called, _) in _KINDS.items():
        if dimension_of(dimension).dimension == value.dimension:
            return called
    powers = [(base, power) for base, power in zip(_BASE, value.dimension, strict=False) if power]
    return f"of dimension {' '.join(base if power == 1 else f'{base}^{power}' for base, power in powers) or '1'}"


def _product(text: str, meaning: Callable[[str], _Value]) -> _Value:
    """The value of a product of powers, such as ``kJ/(mol nm^2)``. Raises ValueError; KeyError as `meaning` does."""
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(text)
        tokens.append((match[1] or match[3], int(match[2] or 1)))
        at = match.end()
    value = _factors(tokens, meaning)
    if tokens:
        raise ValueError(text)
    return value


def _factors(tokens: list[tuple[str, int]], meaning: Callable[[str], _Value]) -> _Value:
    """The product up to the end or a closing bracket, taken off `tokens`."""
    value, sign, ended, begun = _ONE, 1, False, False
    while tokens and tokens[0][0] != ")":
        word, power = tokens.pop(0)
        if word in ("/", "*", "·"):
            if not ended and (begun or word != "/"):
                raise ValueError(word)
            sign, ended, begun = (-1 if word == "/" else 1), False, True
            continue
        factor = _ONE if word == "1" else _factors(tokens, meaning) if word == "(" else meaning(word)
        if word == "(":
            if not tokens:
                raise ValueError(word)
            power = tokens.pop(0)[1]
        value, sign, ended, begun = value * factor ** (sign * power), 1, True, True
    if not ended:
        raise ValueError("ends where a unit should follow")
    return value
