"""Taking back a run that never began, so that its directory is free for the next try."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmd.io.rundir import CONFIG, INPUTS, LOCK, LOG, RUN


def discard(path: Path, record: Mapping[str, Any]) -> bool:
    """Removes what a run that was refused before its first result has written about itself, and the directory if that
    leaves it empty; with anything else in it, nothing is touched.

    Args:
        path: the run directory.
        record: the content of its run.json, which lists the copies of its inputs.

    Returns:
        whether it was removed.
    """
    copies = [path / name for name in record.get("inputs", {})]
    own = {path / name for name in (CONFIG, RUN, LOG, LOCK)} | set(copies)
    with contextlib.suppress(OSError):
        if any(file not in own for file in path.rglob("*") if not file.is_dir()):
            return False
        for file in own:
            file.unlink(missing_ok=True)
        for folder in (path / INPUTS, path):
            if folder.is_dir():
                folder.rmdir()
        return True
    return False
