"""Which values of a config name files: ``path`` of a file or structure, ``run`` of ``start``, Python functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffmd.paths import join

_PYTHON_FILE = re.compile(r"(?P<file>.+\.py):\w+")


def file_values(data: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(path in the config, value as written) of everything that names a file or a run's folder."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            here = (*above, str(key))
            if isinstance(value, str) and _names_file(data, str(key), value, above):
                yield join(here), value
            else:
                yield from file_values(value, here)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from file_values(value, (*above, str(index)))


def _names_file(section: Mapping[str, Any], key: str, value: str, above: tuple[str, ...]) -> bool:
    if key == "run":
        return above[-1:] == ("start",)
    if key == "function":
        return section.get("kind") == "python" and _PYTHON_FILE.fullmatch(value) is not None
    return key == "path" and section.get("kind") in ("file", "structure")


def file_of(value: str) -> str:
    """The file that a value names: ``./mine.py`` of ``./mine.py:energy``, else the value itself."""
    match = _PYTHON_FILE.fullmatch(value)
    return match["file"] if match else value


def moved(value: str, file: Path | str) -> str:
    """The value that names `file` in place of its own, keeping a function's name."""
    return f"{file}{value.removeprefix(file_of(value))}"


def input_files(data: Mapping[str, Any], folder: Path) -> list[tuple[str, Path]]:
    """(path in the config, file) of every input of a resolved config; relative ones lie in `folder`."""
    return [(path, folder / Path(file_of(value)).expanduser()) for path, value in file_values(data)]
