"""What the process is set up with before JAX is imported: its messages, its devices, its cache of compiled programs.

These are the process's own settings, which belong to the command line; nothing of this happens when diffmd is used
from Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
import warnings
from pathlib import Path

from diffmd.cli.progress import say_warning

_OFF = ("0", "off", "no", "false")


def prepare(device: str) -> None:
    """Sets up this process for computing on `device` (auto, cpu, gpu); imports JAX."""
    # XLA logs kilobytes of "machine features" as errors for each program it loads from the cache, on the very machine
    # that compiled it (+prefer-no-gather is a choice of the compiler, no feature). Real errors come as exceptions.
    # A level of 1 is what JAX itself leaves in the environment of a Python program that starts diffmd.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if device == "cpu":
        # Otherwise JAX would take most of a GPU's memory although it stays idle.
        os.environ["JAX_PLATFORMS"] = "cpu"
    folder = cache_folder()
    if folder is not None:
        _use_cache(folder / _processor())


def cache_folder() -> Path | None:
    """Where compiled programs are kept: $DIFFMD_CACHE_DIR, else the user's cache directory; None where
    $DIFFMD_CACHE switches the cache off or $JAX_COMPILATION_CACHE_DIR has JAX see to it."""
    if os.environ.get("DIFFMD_CACHE", "").lower() in _OFF or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    if chosen := os.environ.get("DIFFMD_CACHE_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("diffmd", appauthor=False) / "compiled"


def _processor() -> str:
    """A name for this kind of processor: home directories are shared by machines that cannot run each other's code."""
    text = platform.machine() + platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        text += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _use_cache(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        say_warning(
            f"compiled programs are not kept: {folder}: {problem.strerror} "
            "(DIFFMD_CACHE_DIR names another place, DIFFMD_CACHE=off does without)"
        )
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # An entry that a killed process left half written is compiled afresh: a matter of speed, not of the user's.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
