"""Input files of a run, read and named, before they are copied beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffmd.errors import ConfigError
from diffmd.io.files import reason, sha256


@dataclasses.dataclass(frozen=True)
class Copy:
    """What becomes of an input file.

    Attributes:
        name: of the copy, relative to the run directory.
        content: of the file.
        digest: SHA-256 of the content.
    """

    name: str
    content: bytes
    digest: str


def copies_of(files: Sequence[Path], folder: str) -> dict[Path, Copy]:
    """A copy of each file in `folder`; two files of the same name get different ones.

    Raises ConfigError where one cannot be read.
    """
    taken: set[str] = set()
    copies: dict[Path, Copy] = {}
    for file in files:
        content = _read(file)
        name = next(name for name in _names(file, folder) if name not in taken)
        taken.add(name)
        copies[file] = Copy(name, content, sha256(content))
    return copies


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {reason(error)}") from error


def _names(file: Path, folder: str) -> Iterator[str]:
    yield f"{folder}/{file.name}"
    number = 2
    while True:
        yield f"{folder}/{file.stem}-{number}{file.suffix}"
        number += 1
