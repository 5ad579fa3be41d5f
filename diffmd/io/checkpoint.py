"""Checkpoints: named arrays and a little text, given back bit for bit.

Layout: ``/arrays/<key>`` (the key's slashes make groups; text is stored as text), ``/meta`` (JSON).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from diffmd.errors import OutputError
from diffmd.io.files import reading_h5, replacing_h5
from diffmd.io.values import Number, plain

_ARRAYS = "arrays"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved.

    Attributes:
        arrays: key -> array of the type and shape it was saved with (0-d for a number), or text.
        meta: the JSON object that was saved with them.
    """

    arrays: Mapping[str, np.ndarray | str]
    meta: Mapping[str, Any]


def save(path: Path, arrays: Mapping[str, Number | str], meta: Mapping[str, Any] | None = None) -> None:
    """Replaces the checkpoint at `path` in one step; a kill or a power failure leaves the old one or the new one.

    Args:
        path: the file.
        arrays: key -> array, number (stored 0-d) or text; a key such as ``state/positions`` makes groups.
        meta: numbers, text, lists and dictionaries, stored as JSON (so: not bit for bit for what is not finite).

    Raises:
        OutputError: it could not be written; the previous checkpoint is still there.
        ValueError: one key is a folder of another (``a`` and ``a/b``), or an array holds objects.
    """
    _check_keys(arrays)
    values = {key: value if isinstance(value, str) else np.asarray(value) for key, value in arrays.items()}
    for key, value in values.items():
        if not isinstance(value, str) and value.dtype.kind not in "biufc":
            raise ValueError(f"{key}: a checkpoint holds numbers and text, not {value.dtype}")
    previous = _previous(path)
    # Kept by a second name until the new one is in place: for file systems whose rename is not one step.
    if path.exists():
        with contextlib.suppress(OSError):
            previous.unlink(missing_ok=True)
            os.link(path, previous)
    with replacing_h5(path, durable=True) as file:
        group = file.create_group(_ARRAYS)
        for key, value in values.items():
            text = isinstance(value, str)
            group.create_dataset(key, data=value, dtype=h5py.string_dtype() if text else None).attrs["key"] = key
        file.create_dataset("meta", data=json.dumps(plain(meta or {})), dtype=h5py.string_dtype())
    with contextlib.suppress(OSError):
        previous.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint. Raises OutputError where there is none or it is damaged."""
    previous = _previous(path)
    if not previous.exists():
        return _load(path)
    try:
        return _load(path)
    except OutputError:
        return _load(previous)


def exists(path: Path) -> bool:
    """Whether there is a checkpoint to load."""
    return path.exists() or _previous(path).exists()


def _load(path: Path) -> Checkpoint:
    arrays: dict[str, np.ndarray | str] = {}

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            text = h5py.check_string_dtype(item.dtype) is not None
            arrays[item.attrs["key"]] = item.asstr()[()] if text else np.asarray(item[()], item.dtype)

    with reading_h5(path, "a diffmd checkpoint") as file:
        file[_ARRAYS].visititems(collect)
        meta = json.loads(file["meta"].asstr()[()])
    return Checkpoint(arrays, meta)


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _check_keys(arrays: Mapping[str, Any]) -> None:
    for key in arrays:
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{key!r} is no key: its parts must have names")
        for count in range(1, len(parts)):
            if "/".join(parts[:count]) in arrays:
                raise ValueError(f"{'/'.join(parts[:count])!r} is both an array and the folder of {key!r}")
