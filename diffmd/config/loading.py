"""From a YAML file (and ``--set``) to a checked config."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diffmd.config.checks import problems
from diffmd.config.conversion import converted
from diffmd.config.per import spread
from diffmd.config.reading import WrittenConfig, read
from diffmd.config.schema import Config
from diffmd.config.source import Source
from diffmd.config.translate import translate
from diffmd.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class LoadedConfig:
    """A config that was read and checked.

    Attributes:
        config: the validated config.
        data: the same as plain dicts and lists, every default filled in.
        source: where each value came from, for errors found later.
        folder: the config's folder, against which relative files are resolved.
    """

    config: Config
    data: dict[str, Any]
    source: Source
    folder: Path


@contextlib.contextmanager
def located(loaded: LoadedConfig | None) -> Iterator[None]:
    """Gives errors that know a path in the config their file and line."""
    try:
        yield
    except ConfigError as problem:
        if loaded is None or problem.path is None:
            raise
        raise loaded.source.located([problem]) from problem


def load(path: Path | str, overrides: Sequence[str] = (), *, loss: bool = True) -> LoadedConfig:
    """Reads, overrides (``PATH=VALUE``) and checks a config.

    Args:
        loss: whether its loss is going to be measured, and must fit the run.

    Raises:
        ConfigError: with all that is wrong (the first ten), a line each: ``file:line: path: what is wrong; what to
            write instead``.
    """
    return load_written(read(path, overrides), loss=loss)


def load_written(written: WrittenConfig, *, loss: bool = True) -> LoadedConfig:
    """Checks a config that was read already. Raises ConfigError as `load` does."""
    return load_data(written.data, written.source, written.folder, loss=loss)


def load_data(
    data: Any, source: Source | None = None, folder: Path | None = None, *, loss: bool = True
) -> LoadedConfig:
    """Checks a config given as plain data, such as one made in Python. Raises ConfigError as `load` does."""
    source = source or Source("config", {}, {})
    folder = folder or Path.cwd()
    data, misread = converted(data, Config)
    try:
        config = Config.model_validate(data)
    except ValidationError as problem:
        said = {error.path for error in misread}
        others = [error for error in translate(problem, data, Config) if error.path not in said]
        raise source.located([*misread, *others]) from None
    if misread:
        raise source.located(misread)
    found: list[ConfigError] = []
    try:
        config = spread(config)
    except ConfigError as problem:
        found.append(problem)
    found += problems(config, folder, loss=loss)
    if found:
        raise source.located(found)
    return LoadedConfig(config, plain(config), source, folder)


def plain(config: Config) -> dict[str, Any]:
    """A config as plain dicts and lists with every default filled in; `load_data` takes it back."""
    return config.model_dump(mode="json", by_alias=True)
