"""``--set PATH=VALUE``: changing a config from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmd.config.files import file_of, file_values, moved
from diffmd.config.paths import did_you_mean, item, put
from diffmd.config.yaml_reader import read_value
from diffmd.errors import ConfigError
from diffmd.paths import assigned, join, split, within

NAMED = {"potentials", "systems", "observables"}
"""Mappings whose keys are the user's own names: a wrong one is a mistake, not a key to be made."""


def parse(argument: str) -> tuple[str, Any]:
    """Path and value of ``PATH=VALUE``; the value is read as YAML. Raises ConfigError."""
    parts = assigned(argument)
    if parts is None:
        raise ConfigError(f"--set {argument}: write --set PATH=VALUE, such as --set dynamics.steps=100")
    path, text = parts
    try:
        split(path)
        return path, read_value(text)
    except ConfigError as problem:
        raise ConfigError(f"--set {argument}: {problem.message}") from None


def apply(data: Mapping[str, Any], arguments: Sequence[str], folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """`data` with every override, and the overrides by path.

    Relative file names among the values are resolved against `folder` (the working directory).

    Raises:
        ConfigError: for what is not PATH=VALUE, or a path that names nothing.
    """
    changed, given = dict(data), {}
    for argument in arguments:
        path, value = parse(argument)
        try:
            _check_names(changed, path)
            changed = put(changed, path, value)
        except ConfigError as problem:
            raise ConfigError(f"--set {argument}: {problem.message}") from None
        given[join(split(path))] = argument
    for path, named in list(file_values(changed)):
        if any(within(path, over) for over in given):
            changed = put(changed, path, moved(named, folder / Path(file_of(named)).expanduser()))
    return changed, given


def _check_names(data: Any, path: str) -> None:
    """Refuses a path through a name, of the user's own, that is not in the config."""
    keys = split(path)
    for depth, key in enumerate(keys[:-1]):
        known = list(data) if isinstance(data, Mapping) else []
        try:
            data = item(data, key)
        except KeyError:
            data = None
            if depth and keys[depth - 1] in NAMED:
                raise ConfigError(f"{join(keys[: depth + 1])} is not in the config{did_you_mean(key, known)}") from None
