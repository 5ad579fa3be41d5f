"""Programs that several tests compile are compiled once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@contextlib.contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """JAX's cache of compiled programs, in a folder, for the block."""
    before = [getattr(jax.config, name) for name in SETTINGS]
    for name, value in zip(SETTINGS, (str(folder), 0.2, -1), strict=True):
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in zip(SETTINGS, before, strict=True):
            jax.config.update(name, value)
