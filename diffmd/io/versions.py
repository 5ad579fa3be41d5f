"""What a run was made with."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

from diffmd import __version__


def versions() -> dict[str, str]:
    """Versions of diffmd, Python and the packages that decide its numbers."""
    found = {"diffmd": __version__, "python": platform.python_version(), "platform": sys.platform}
    for package in ("jaxlib", "numpy", "optax", "h5py"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found
