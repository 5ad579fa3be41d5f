"""Importing a function of the user's own: ``./mine.py:energy`` or ``package.module:function``."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffmd.errors import ConfigError


def load_function(reference: str, folder: Path, path: str, allowed: bool) -> Callable[..., Any]:
    """The function that `reference` names; files are looked up from `folder`.

    Args:
        path: where the reference stands in the config, for errors.
        allowed: False refuses to import anything.

    Raises:
        ConfigError: it may not be imported, cannot be, or is no function.
    """
    if not allowed:
        raise ConfigError("runs Python of your own, which --no-python refuses", path)
    place, _, name = reference.rpartition(":")
    try:
        module = _from_file(folder / Path(place).expanduser()) if place.endswith(".py") else importlib.import_module(place)
    except Exception as problem:
        # Whatever the user's file raises while it is imported is the user's to read.
        raise ConfigError(f"{place} cannot be imported: {type(problem).__name__}: {problem}", path) from problem
    found = vars(module).get(name)
    if not callable(found):
        raise ConfigError(f"{place} has no function {name}", path)
    function: Callable[..., Any] = found
    return function


def _from_file(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"diffmd_user_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
