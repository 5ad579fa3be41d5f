"""What can go wrong while a run computes and writes, in sentences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax

from diffmd.errors import NumericalError, OutputError
from diffmd.io.files import reason

_OUT_OF_MEMORY = "ran out of memory: fewer atoms or steps, `gradient.memory` smaller, or `precision: single` need less"
_HDF5_ERRNO = "errno = "


@contextlib.contextmanager
def in_sentences(folder: Path) -> Iterator[None]:
    """Turns what the machine, its disk or its memory raise inside the block into an error with an exit code.

    Raises:
        NumericalError: memory ran out, on the host or on the device.
        OutputError: reading or writing failed; `folder` is the run directory.
    """
    try:
        yield
    except MemoryError as problem:
        raise NumericalError(f"this machine {_OUT_OF_MEMORY}") from problem
    except jax.errors.JaxRuntimeError as problem:
        if "RESOURCE_EXHAUSTED" in str(problem) or "Out of memory" in str(problem):
            raise NumericalError(f"the device {_OUT_OF_MEMORY}") from problem
        raise
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise OutputError(f"{problem.filename or folder}: {reason(problem)}") from problem
    except RuntimeError as problem:
        # h5py raises these where a flush or a close meets a full disk.
        if _HDF5_ERRNO in str(problem):
            raise OutputError(f"{folder}: {reason(problem)}") from problem
        raise
