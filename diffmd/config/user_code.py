"""Importing a function of the user's own: ``./mine.py:energy`` or ``package.module:function``."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from diffmd.errors import ConfigError


def load_function(reference: str, folder: Path, path: str, allowed: bool) -> Callable[..., Any]:
    """The function that `reference` names; files are looked up from `folder`.

    Args:
        path: where the reference stands in the config, for errors.
        allowed: False refuses to import anything.

    Raises:
        ConfigError: it may not be imported, cannot be, or is no function; and from the function, whatever it raises.
    """
    if not allowed:
        raise ConfigError("runs Python of your own, which --no-python refuses", path)
    place, _, name = reference.rpartition(":")
    try:
        module = (
            _from_file(folder / Path(place).expanduser()) if place.endswith(".py") else importlib.import_module(place)
        )
    except (Exception, SystemExit) as problem:
        # Whatever the user's file raises while it is imported is the user's to read.
        raise ConfigError(f"{place} cannot be imported: {_told(problem)}", path) from problem
    found = vars(module).get(name)
    if not callable(found):
        raise ConfigError(f"{place} has no function {name}", path)
    function: Callable[..., Any] = found

    @functools.wraps(function)
    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (Exception, SystemExit) as problem:
            raise ConfigError(f"{reference} failed{_line_of(problem, module)}: {_told(problem)}", path) from problem

    return called


def _told(problem: BaseException) -> str:
    """The kind of an exception and the first line of what it says."""
    said = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {said[0]}" if said else type(problem).__name__


def _line_of(problem: BaseException, module: ModuleType) -> str:
    """`` in line 3``: the last line of the user's module that the exception passed."""
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == module.__file__]
    return f" in line {lines[-1]}" if lines else ""


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"diffmd_user_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look themselves up there while they are made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
