"""Numbers with a unit in a config's data, ``dt: 2 fs``, made plain numbers, before the schema checks them.

The schema tells the dimension of each field. Two have another's: a bound of a parameter has that of the parameter, a
target of a loss that of the observable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from diffmd.config.known import Known, Place, entries
from diffmd.config.paths import item
from diffmd.errors import ConfigError
from diffmd.observables.base import dimension_of
from diffmd.paths import fitting, join, split
from diffmd.quantities import QuantityError, check_angle, mended_number, physical, read_quantity
from diffmd.spec import OBSERVABLES
from diffmd.units import MD, SYSTEMS, Units

Keys = tuple[str, ...]


class _NoDimension(QuantityError):
    """That the dimension of a number is not known, and why."""


_POWERS = {"mean": 1, "none": 1, "max": 1, "variance": 2, "correlation": 2}
"""Reduction over frames -> the power of the observable's dimension that comes out."""


def converted(data: Any, model: type[BaseModel]) -> tuple[Any, list[ConfigError]]:
    """`data` with plain numbers, in its own units, where it has numbers with a unit; and what is wrong with those."""
    conversion = _Conversion(Known(model), _units_of(data))
    data = conversion.pass_over(data)
    # What other numbers have to be known for: masses for a density, a range for the observable of a target.
    conversion.awaited = True
    return conversion.pass_over(data), conversion.errors


def takes_units(unit: str) -> bool:
    """Whether the numbers of a field with this `unit` in the schema may be written with one."""
    return unit in _AWAITED or physical(unit)


def dimensions(data: Any, path: str, known: Known) -> set[str]:
    """The dimensions of all that a path of a parameter names, such as ``potentials.*.sigma``; ``1`` of pure numbers.

    Of what stands in no data yet (one value a type, an item of an array) that of the field around it.
    """
    try:
        keys = split(path)
    except ConfigError:
        return set()
    return set(_dimensions(known.root(data), data, keys, known))


def dimension(data: Any, path: str, known: Known) -> str:
    """The dimension of the parameter at `path`; ``1`` where it has none, or none of its own."""
    found = dimensions(data, path, known)
    return found.pop() if len(found) == 1 else "1"


def _dimensions(place: Place, data: Any, keys: Sequence[str], known: Known) -> Iterator[str]:
    if physical(place.unit) and not keys:
        yield place.unit
        return
    below = entries(data)
    if keys:
        fit = fitting(keys[0], (key for key, _ in below))
        below = [(key, value) for key, value in below if key in fit]
        if not below and known.below(place, keys[0], None).nodes:
            below = [(keys[0], None)]
    if not below and (physical(place.unit) or not keys):
        yield place.unit
    for key, value in below:
        yield from _dimensions(known.below(place, key, value), value, keys[1:], known)


def _units_of(data: Any) -> Units:
    name = data.get("units", "reduced") if isinstance(data, Mapping) else "reduced"
    # Units that are none are refused for themselves.
    return SYSTEMS.get(name, MD) if isinstance(name, str) else MD


@dataclasses.dataclass
class _Conversion:
    """The conversion of one config's data, in two passes.

    Attributes:
        known: the schema.
        units: of the config.
        awaited: whether this is the second pass, over what waited for the first.
        errors: what was wrong.
    """

    known: Known
    units: Units
    awaited: bool = False
    errors: list[ConfigError] = dataclasses.field(default_factory=list)

    def pass_over(self, data: Any) -> Any:
        """The data with what this pass converts."""
        self._whole = data
        return self._changed(data, self.known.root(data), ())

    def _changed(self, data: Any, place: Place, keys: Keys) -> Any:
        if isinstance(data, Mapping):
            return {
                key: self._changed(value, self.known.below(place, key, value), (*keys, key))
                for key, value in data.items()
            }
        if isinstance(data, list):
            # Only kinds of mappings make a difference: of ten thousand positions there is one place.
            alike = self.known.below(place, "0", None)
            return [
                self._changed(
                    value,
                    self.known.below(place, str(number), value) if isinstance(value, Mapping) else alike,
                    (*keys, str(number)),
                )
                for number, value in enumerate(data)
            ]
        if (place.unit in _AWAITED) != self.awaited or not place.numeric:
            return data
        try:
            return self._number(data, place, keys)
        except QuantityError as problem:
            self.errors.append(ConfigError(str(problem), join(keys)))
            return data

    def _number(self, value: Any, place: Place, keys: Keys) -> Any:
        if isinstance(value, str) and not place.admits(value):
            if place.whole:
                return _whole(value)
            try:
                dimension, mean_mass = self._meaning(place, keys)
            except _NoDimension as problem:
                raise QuantityError(f"is {value!r}, but {problem}") from None
            number = read_quantity(value, dimension, self.units, mean_mass)
            return value if number is None else number
        bare = isinstance(value, (int, float)) and not isinstance(value, bool)
        if bare and self._is_angle(place, keys):
            check_angle(value)
        return value

    def _is_angle(self, place: Place, keys: Keys) -> bool:
        try:
            return self._meaning(place, keys)[0] == "angle"
        except _NoDimension:
            return False

    def _meaning(self, place: Place, keys: Keys) -> tuple[str, float | None]:
        """Dimension of the number at a place, and the mean mass of the atoms where it is a density of theirs.

        Raises:
            _NoDimension: it is that of something else, which is not known.
        """
        if place.unit in _AWAITED:
            return _AWAITED[place.unit](self._whole, keys, self.known)
        return place.unit, None


def _whole(text: str) -> Any:
    """The text of a whole number as it stands. Raises QuantityError where it is written as in another language."""
    if (mended := mended_number(text)) is not None:
        raise QuantityError(mended)
    return text


def _of_parameter(data: Any, keys: Keys, known: Known) -> tuple[str, float | None]:
    entry = _at(data, keys[:-1])
    path = entry.get("path") if isinstance(entry, Mapping) else None
    found = dimensions(data, path, known) if isinstance(path, str) else set()
    if len(found) > 1:
        raise _NoDimension(f"{path} names numbers of different units; give each an entry of its own")
    if not found:
        raise _NoDimension("`path` names nothing that has a unit")
    return found.pop(), None


def measured_dimension(section: Any) -> str | None:
    """The dimension of the values of an observable, given its section as plain data; None where that is not valid."""
    kind = section.get("kind") if isinstance(section, Mapping) else None
    family = OBSERVABLES.members.get(kind) if isinstance(kind, str) else None
    if family is None:
        return None
    try:
        return dimension_of(family.model_validate(section))
    except ValidationError:
        # What is wrong is said of the observable itself.
        return None


def _of_observable(data: Any, keys: Keys, known: Known) -> tuple[str, float | None]:
    depth = max(number for number, key in enumerate(keys) if key == "target")
    term = _at(data, keys[:depth])
    measured = measured_dimension(term.get("observable")) if isinstance(term, Mapping) else None
    if measured is None:
        raise _NoDimension("its unit is that of the observable, which cannot be read")
    power = _POWERS.get(str(term.get("reduce", "mean")), 1)
    return measured if power == 1 or measured == "1" else f"({measured})^{power}", None


def _of_atoms(data: Any, keys: Keys, known: Known) -> tuple[str, float | None]:
    around = _at(data, keys[:-2])
    groups = around.get("atoms") if isinstance(around, Mapping) else None
    return "1/length^3", _mean_mass(groups)


def _mean_mass(groups: Any) -> float | None:
    total = count = 0.0
    for _, group in entries(groups):
        numbers = [value for key, value in entries(group) if key in ("count", "mass")]
        if len(numbers) < 2 or not all(isinstance(n, (int, float)) and n > 0 for n in numbers):
            return None
        count, total = count + group["count"], total + group["count"] * group["mass"]
    return total / count if count else None


def _at(data: Any, keys: Keys) -> Any:
    for key in keys:
        data = item(data, key)
    return data


_AWAITED: Mapping[str, Callable[[Any, Keys, Known], tuple[str, float | None]]] = {
    "of the parameter": _of_parameter,
    "of the observable": _of_observable,
    "1/length^3": _of_atoms,
}
"""Dimensions that other numbers of the config have to be known for."""
