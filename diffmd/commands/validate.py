"""`diffmd validate`: checks a config and shows it with every default filled in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from diffmd.config.checks import warnings
from diffmd.config.loading import load
from diffmd.config.start_files import start_notes
from diffmd.config.writing import write_text
from diffmd.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class ValidateResult:
    """What `validate` found.

    Attributes:
        text: the resolved config as YAML, runnable as it stands from the config's folder.
        warnings: what was left out or added in reading the structure files, and what is allowed but spoils gradients.
    """

    text: str
    warnings: tuple[str, ...]


def validate(path: Path, overrides: tuple[str, ...] = ()) -> ValidateResult:
    """Checks the config at `path` with ``PATH=VALUE`` overrides; nothing is compiled, no user's code imported.

    Raises:
        ConfigError: with all that is wrong.
    """
    loaded = load(path, overrides)
    spoiling = warnings(loaded.config) if loaded.config.parameters else []
    try:
        notes = start_notes(loaded.config, loaded.folder)
    except ConfigError as problem:
        raise loaded.source.located([problem]) from problem
    return ValidateResult(write_text(loaded.data), (*notes, *spoiling))
