"""The pictures of a run, ``DIR/plots/``: which of the files there are diffmd's own.

Their names stand in ``.pictures.json``. Any other file in the folder is the user's and is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from diffmd.errors import ConfigError
from diffmd.io.files import read_json, write_json

PLOTS, MANIFEST = "plots", ".pictures.json"


def own_pictures(folder: Path) -> set[str]:
    """The names of diffmd's own files in a folder of pictures. Raises OutputError where the manifest is damaged."""
    path = folder / MANIFEST
    return set(read_json(path)) if path.exists() else set()


def claim(folder: Path, names: Iterable[str]) -> None:
    """Makes `names` diffmd's own, before they are written.

    Raises:
        ConfigError: a file of that name is there and is not diffmd's.
        OutputError: the folder cannot be written into.
    """
    wanted, own = set(names), own_pictures(folder)
    for name in sorted(wanted - own):
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} is there and was not made by diffmd; move it away, or delete it")
    if not wanted <= own:
        write_json(folder / MANIFEST, sorted(own | wanted))
