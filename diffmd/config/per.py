"""``per: type`` and ``per: term``: one scalar made into one value a type, or a term, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffmd.config.effective import effective_systems
from diffmd.config.paths import get, leaves, put
from diffmd.config.schema import Config
from diffmd.config.sections.parameters import ParameterSpec
from diffmd.errors import ConfigError
from diffmd.paths import parent, select, split, within

_ARITY = {"bonds": 2, "angles": 3}


def spread(config: Config) -> Config:
    """The config with every scalar that a parameter wants per type or per term written out.

    Raises:
        ConfigError: where there are no types or terms to spread over.
    """
    if all(entry.per == "value" for entry in config.parameters):
        return config
    data = config.model_dump(mode="json", by_alias=True)
    for number, entry in enumerate(config.parameters):
        if entry.per != "value":
            data = _spread_entry(config, data, entry, f"parameters.{number}")
    return Config.model_validate(data)


def _spread_entry(config: Config, data: dict[str, Any], entry: ParameterSpec, where: str) -> dict[str, Any]:
    numbers = {path for path, value in leaves(data) if isinstance(value, float)}
    for pattern in (entry.path, *entry.tie):
        depth = len(split(pattern))
        for path in sorted(select(pattern, (number for number in numbers if len(split(number)) == depth))):
            values = _per_type(config, data, path, where) if entry.per == "type" else _per_term(data, path, where)
            value = get(data, path)
            spread_out = dict.fromkeys(values, value) if isinstance(values, list) else [value] * values
            data = put(data, path, spread_out)
    return data


def _per_type(config: Config, data: dict[str, Any], path: str, where: str) -> list[str]:
    listed = _listed(data, path)
    if listed is not None:
        joined = "-".join("ABC"[: _ARITY[listed]])
        raise ConfigError(
            f"per: type needs one value a type, and {path} is of {listed}; take per: term, or write {path} as a "
            f"mapping by the types of their atoms, {{{joined}: ...}}",
            where,
        )
    names: dict[str, None] = {}
    for one in effective_systems(config):
        if any(within(path, owned) for owned in one.potentials):
            names.update(dict.fromkeys(group.type for group in one.system.atoms))
    if not names:
        raise ConfigError(
            f"per: type needs the types of {path}: list the groups in `atoms`, or write {path} as a mapping", where
        )
    return list(names)


def _per_term(data: dict[str, Any], path: str, where: str) -> int:
    listed = _listed(data, path)
    if listed is None:
        raise ConfigError(f"per: term needs terms, which {path} has not; leave `per` out", where)
    terms = get(data, parent(path))[listed]
    if isinstance(terms, list):
        return len(terms)
    first, last = terms["chain"]
    return int(last) - int(first) + 2 - _ARITY[listed]


def _listed(data: dict[str, Any], path: str) -> str | None:
    """Which terms the potential of a number lists, ``bonds`` or ``angles``; None if it lists none."""
    potential = get(data, parent(path))
    return next((key for key in _ARITY if key in potential), None) if isinstance(potential, Mapping) else None
