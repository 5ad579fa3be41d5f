"""The bounds of a parameter as numbers: those of an angle follow the rules of angles."""

from __future__ import annotations

from collections.abc import Sequence

from diffmd.config.effective import EffectiveSystem
from diffmd.config.sections.parameters import ParameterSpec
from diffmd.config.yaml_reader import describe
from diffmd.errors import ConfigError
from diffmd.parameters import selects
from diffmd.spec import parse_angle


def bounds(entry: ParameterSpec, where: str, systems: Sequence[EffectiveSystem]) -> tuple[float | None, float | None]:
    """`lower` and `upper` of the entry at the config's path `where`; radians, if it names nothing but angles.

    Raises:
        ConfigError: for a text that is no angle, or where none belongs; for a number that can only be degrees.
    """
    is_angle = angular(entry.path, systems)
    return _bound(entry.lower, f"{where}.lower", is_angle), _bound(entry.upper, f"{where}.upper", is_angle)


def _bound(given: float | str | None, path: str, is_angle: bool) -> float | None:
    try:
        number = parse_angle(given) if is_angle else given
    except ValueError as problem:
        raise ConfigError(str(problem), path) from None
    if isinstance(number, str):
        wanted = "radians, or degrees such as 110 deg" if is_angle else "a number"
        raise ConfigError(f"is {describe(given)}; write {wanted}", path)
    return number


def angular(pattern: str, systems: Sequence[EffectiveSystem]) -> bool:
    """Whether all that the path of a parameter names are angles."""
    keys = pattern.partition("[")[0].split(".")
    units = [
        (field.json_schema_extra or {}).get("unit")  # type: ignore[union-attr]
        for one in systems
        for path, spec in one.potentials.items()
        for key, field in type(spec).model_fields.items()
        if selects(".".join(keys[: path.count(".") + 2]), f"{path}.{key}")
    ]
    return bool(units) and all(unit == "angle" for unit in units)
