"""The shipped examples, as text."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable

from diffmd.config.files import file_of, file_values
from diffmd.config.paths import did_you_mean
from diffmd.config.yaml_reader import read_text
from diffmd.errors import ConfigError


def example_names() -> tuple[str, ...]:
    """Names of the shipped examples."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))
    )


def example_text(name: str) -> str:
    """The text of a shipped example. Raises ConfigError, naming the nearest, if there is none of this name."""
    names = example_names()
    if name not in names:
        raise ConfigError(f"no example is called {name}{did_you_mean(name, names)}")
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def example_inputs(name: str) -> dict[str, str]:
    """The text of each file that an example reads (target curves, ...), by its path as the example names it.

    Raises ConfigError as `example_text`.
    """
    data = read_text(example_text(name), name).data
    named = sorted({file_of(value) for _, value in file_values(data)})
    return {file: _folder().joinpath(*file.split("/")).read_text(encoding="utf-8") for file in named}


def _folder() -> Traversable:
    """``diffmd/examples`` in an installed package; ``configs`` beside the package in a checkout."""
    package = importlib.resources.files("diffmd")
    installed = package / "examples"
    if installed.is_dir():
        return installed
    with importlib.resources.as_file(package) as folder:
        return folder.parent / "configs"
