"""Numbers and arrays as JSON and HDF5 name and show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmd.paths import slashed

Number = np.ndarray | np.generic | float | int
"""An array, or one number."""

SUMMARY_LIMIT = 64
REFERENCE_LIMIT = 1000


def plain(value: Any) -> Any:
    """`value` as JSON takes it: arrays as numbers or nested lists, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def summarize(value: Any, limit: int = SUMMARY_LIMIT) -> Any:
    """A number or array for one line of metrics: itself, or, over `limit` numbers, its shape and moments."""
    array = np.asarray(value)
    if array.size <= limit:
        return plain(array)
    # In double precision, so that a long single-precision array does not lose its sum.
    exact = array.astype(np.float64)
    return plain(
        {
            "shape": list(array.shape),
            "mean": exact.mean(),
            "std": exact.std(),
            "min": exact.min(),
            "max": exact.max(),
            "norm": np.linalg.norm(exact),
        }
    )


def refer(value: Any, file: str, dataset: str, limit: int = REFERENCE_LIMIT) -> Any:
    """A number or array for a JSON answer: itself, or, over `limit` numbers, where in which file it is."""
    array = np.asarray(value)
    if array.size <= limit:
        return plain(array)
    return {"file": file, "dataset": dataset, "shape": list(array.shape)}


def dataset_name(group: str, path: str) -> str:
    """The HDF5 name of a parameter: ``potentials.lj.sigma`` in ``gradients`` is ``/gradients/potentials/lj/sigma``."""
    return f"/{group}/{slashed(path)}"
