"""Text of structure files: lines however they end, numbers however they are written, refusals that name the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from diffmd.errors import ConfigError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")


def open_text(path: Path) -> TextIO:
    """The file as text: without a byte-order mark, CR and CRLF as newlines. Bytes that are no UTF-8 (comments in
    Latin-1) come as surrogates."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape")


def checked(lines: Iterator[str], path: Path) -> Iterator[str]:
    """Lines without their ends. Raises ConfigError where the file is no text."""
    for line in lines:
        if "\0" in line:
            raise ConfigError(f"cannot read {path}: it is not text in UTF-8")
        yield line.rstrip("\n")


def read_lines(path: Path) -> list[str]:
    """All lines of a file, without their ends. Raises ConfigError: it is no text; OSError."""
    with open_text(path) as file:
        return list(checked(iter(file), path))


def refused(path: Path, line: int, what: str) -> ConfigError:
    """The refusal of a line, counted from 0."""
    return ConfigError(f"cannot read {path}, line {line + 1}: {what}")


def number(text: str) -> float | None:
    """A decimal number, its exponent written with e or with Fortran's d; None where it is none (so are nan, inf)."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.lower().replace("d", "e"))
    return value if abs(value) < float("inf") else None


def shown(text: str) -> str:
    """Text of a file in quotes, with what is no UTF-8 escaped, cut short."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
