"""`diffmd init`: writes a commented config to start from."""

from __future__ import annotations

from pathlib import Path

from diffmd.config.examples import example_text
from diffmd.errors import ConfigError
from diffmd.io.files import write_new

DEFAULT = "lj_fluid"


def init(destination: Path, example: str | None = None, overwrite: bool = False) -> Path:
    """Writes a shipped example to `destination` (a file, or a folder to put it in) and returns the file.

    Raises:
        ConfigError: if there is no such example, or the file is there and `overwrite` is false.
        OutputError: if it cannot be written.
    """
    name = example or DEFAULT
    text = example_text(name)
    file = destination / f"{name}.yaml" if destination.is_dir() else destination
    if not write_new(file, text, overwrite=overwrite):
        raise ConfigError(f"{file} is there already; choose another name, or --overwrite it")
    return file
