"""A config whose files are told apart by what is in them, not by what they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmd.config.files import file_of, file_values, moved
from diffmd.config.paths import put


def fingerprinted(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """`data` with every file's content in place of its name, so that a file and its copy compare equal.

    Args:
        data: a resolved config.
        folder: where its relative files lie.
    """
    changed = dict(data)
    for path, value in file_values(data):
        file = folder / Path(file_of(value)).expanduser()
        changed = put(changed, path, moved(value, _fingerprint(file)))
    return changed


def _fingerprint(file: Path) -> str:
    if file.is_dir():
        return str(file.resolve())
    try:
        return f"<a file of sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}>"
    except OSError:
        return "<a file that is gone>"
