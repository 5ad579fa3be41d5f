"""`--parameters DIR[@best|@last|@EPOCH]`: the values that a training run learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.training import TRAINING, Training, read_training


def learned_values(text: str) -> dict[str, np.ndarray]:
    """Path -> physical value of every learned parameter, as ``metrics.jsonl`` has them: before the epoch's update.

    Args:
        text: a run directory; ``@best`` (the default) takes the epoch of the smallest loss, ``@last`` the last,
            ``@7`` the seventh.

    Raises:
        ConfigError: the directory holds no training, or not that epoch.
        OutputError: its record is damaged.
    """
    folder, which = _split(text)
    if not (folder / TRAINING).exists():
        reason = "is no run of `diffmd train`" if folder.is_dir() else "is not there"
        raise ConfigError(f"--parameters {text}: {folder} {reason}; name a directory that holds {TRAINING}")
    training = read_training(folder)
    if not training.epoch.size:
        raise ConfigError(f"--parameters {text}: that run has not finished an epoch yet")
    row = _row(training, which, text)
    return {path: np.asarray(values[row]) for path, values in training.parameters.items()}


def learned_folder(text: str) -> Path:
    """The run directory that ``--parameters`` names. Raises ConfigError as `learned_values`."""
    return _split(text)[0]


def _split(text: str) -> tuple[Path, str]:
    folder, mark, which = text.rpartition("@")
    if mark and (which in ("best", "last") or which.isdecimal()):
        return Path(folder), which
    if mark and not Path(text).exists():
        raise ConfigError(f"--parameters {text}: after @ stands best, last or the number of an epoch, not {which!r}")
    return Path(text), "best"


def _row(training: Training, which: str, text: str) -> int:
    if which == "last":
        return int(training.epoch.size) - 1
    if which == "best":
        if not np.isfinite(training.loss).any():
            raise ConfigError(f"--parameters {text}: no epoch of that run has a finite loss; use @last or @EPOCH")
        return int(np.nanargmin(training.loss))
    found = np.flatnonzero(training.epoch == int(which))
    if not found.size:
        first, last = int(training.epoch[0]), int(training.epoch[-1])
        raise ConfigError(f"--parameters {text}: that run has epochs {first} to {last}")
    return int(found[0])
