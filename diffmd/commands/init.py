"""`diffmd init`: writes a commented config to start from."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

from diffmd.config.paths import did_you_mean
from diffmd.errors import ConfigError, OutputError

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
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"{file.parent} cannot be made: {problem.strerror}") from None
    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise ConfigError(f"{file} is there already; choose another name, or --overwrite it") from None
    except OSError as problem:
        raise OutputError(f"{file} cannot be written: {problem.strerror}") from None
    return file


def example_names() -> tuple[str, ...]:
    """Names of the shipped examples."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))
    )


def example_text(name: str) -> str:
    """The text of a shipped example. Raises ConfigError, naming the nearest, if there is none of this name."""
    names = example_names()
    if name not in names:
        raise ConfigError(f"no example is called {name}{did_you_mean(name, names)} (examples: {', '.join(names)})")
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def _folder() -> Traversable:
    """``diffmd/examples`` in an installed package; ``configs`` beside the package in a checkout."""
    package = importlib.resources.files("diffmd")
    installed = package / "examples"
    if installed.is_dir():
        return installed
    with importlib.resources.as_file(package) as folder:
        return folder.parent / "configs"
