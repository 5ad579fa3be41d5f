"""The shipped examples, as text."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable

from diffmd.config.paths import did_you_mean
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
