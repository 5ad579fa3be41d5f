"""What grows while a training runs: ``training.h5`` (every number) and ``metrics.jsonl`` (a line an epoch).

``training.h5``: ``/epoch``, ``/loss``, ``/terms``, ``/gradient_norm``, ``/parameters/<path>``, ``/gradients/<path>``
and, where the method gives it, ``/standard_error/<path>``, an epoch a row; paths as `diffmd.io.by_path` says.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from diffmd.errors import OutputError
from diffmd.io.by_path import columns, describe_column, read_paths, stored_columns
from diffmd.io.files import output_errors, reading_h5, replacing_h5, write_text
from diffmd.io.growing import GrowingTable, add_growing
from diffmd.io.pending import PendingH5
from diffmd.io.values import Number, dataset_name, plain, summarize

TRAINING, METRICS = "training.h5", "metrics.jsonl"
_WHAT = "the record of a training"
_EPOCH = "/epoch"
_GROUPS, _ERROR = ("parameters", "gradients"), "standard_error"


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One epoch; values are those before its update.

    Attributes:
        epoch: counted from 1.
        loss: the loss.
        terms: the value of each loss term (terms,).
        parameters: path -> physical value.
        gradients: path -> d loss / d value.
        gradient_norm: Euclidean norm of the whole gradient.
        wall_s: seconds it took.
        standard_error: path -> that of the gradient, where it is a mean.
        health: what the gradient's method tells of it: numbers and text by name (in ``metrics.jsonl`` alone).
    """

    epoch: int
    loss: float
    terms: np.ndarray
    parameters: Mapping[str, Number]
    gradients: Mapping[str, Number]
    gradient_norm: float
    wall_s: float
    standard_error: Mapping[str, Number] | None = None
    health: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Training:
    """What ``training.h5`` holds, an epoch a row.

    Attributes:
        epoch: (epochs,), from 1.
        loss: (epochs,).
        terms: (epochs, terms).
        gradient_norm: (epochs,).
        parameters: path -> (epochs, ...).
        gradients: path -> (epochs, ...).
        standard_error: path -> that of the gradients (epochs, ...), nan where there was none; empty where the method
            gives none.
    """

    epoch: np.ndarray
    loss: np.ndarray
    terms: np.ndarray
    gradient_norm: np.ndarray
    parameters: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    standard_error: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


class TrainingLog:
    """Writes ``training.h5`` and ``metrics.jsonl`` in a folder. A context manager; made by `create` or `resume`."""

    def __init__(self, folder: Path) -> None:
        """Opens what `create` made; prefer `create` and `resume`. Raises OutputError."""
        self._metrics = folder / METRICS
        self._store = PendingH5(folder / TRAINING)
        try:
            self._columns = {group: stored_columns(self._store.file, group) for group in (*_GROUPS, _ERROR)}
            names = [dataset_name(group, column.path) for group, found in self._columns.items() for column in found]
            self._table = GrowingTable(self._store, _EPOCH, ("/loss", "/terms", "/gradient_norm", *names))
        except KeyError as error:
            self._store.close()
            raise OutputError(f"cannot continue {folder / TRAINING}: it is not {_WHAT}") from error
        except BaseException:
            self._store.close()
            raise

    @classmethod
    def create(
        cls,
        folder: Path,
        terms: int,
        parameters: Mapping[str, Number],
        *,
        errors: bool = False,
        units: Mapping[str, str] = MappingProxyType({}),
    ) -> TrainingLog:
        """An empty record in place of any other.

        Args:
            folder: the run directory.
            terms: number of loss terms.
            parameters: path -> value; gradients have the same paths, shapes and types.
            errors: whether there is room for the gradients' standard errors.
            units: path -> unit of the parameters that have one: angles are radians.

        Raises:
            OutputError: the files cannot be made.
        """
        with replacing_h5(folder / TRAINING) as file:
            add_growing(file, _EPOCH, (), "i8")
            add_growing(file, "/loss", (), "f8")
            add_growing(file, "/terms", (terms,), "f8")
            add_growing(file, "/gradient_norm", (), "f8")
            for group in (*_GROUPS, _ERROR) if errors else _GROUPS:
                file.create_group(group)
                for column in columns(parameters):
                    array = column.packed(parameters)
                    add_growing(file, dataset_name(group, column.path), array.shape, array.dtype)
                    describe_column(file, group, column, units if group == "parameters" else {})
        write_text(folder / METRICS, "")
        return cls(folder)

    @classmethod
    def resume(cls, folder: Path, last_epoch: int) -> TrainingLog:
        """Opens a record, of a killed run or not, to go on after `last_epoch`; later epochs are cut off.

        Raises:
            OutputError: it is missing or damaged.
        """
        with cls(folder) as log:
            log._truncate(last_epoch)
        return cls(folder)

    @property
    def last_epoch(self) -> int | None:
        """The last epoch written, None where there is none."""
        return self._table.last

    def append(self, row: Epoch) -> None:
        """Writes an epoch to both files and hands it to the device. Raises OutputError, ValueError (a shape)."""
        values = {
            "/loss": np.float64(row.loss),
            "/terms": np.asarray(row.terms, np.float64),
            "/gradient_norm": np.float64(row.gradient_norm),
            **self._packed("parameters", row.parameters),
            **self._packed("gradients", row.gradients),
        }
        if self._columns[_ERROR]:
            unknown = {path: np.full(np.shape(value), np.nan) for path, value in row.gradients.items()}
            values |= self._packed(_ERROR, {**unknown, **(row.standard_error or {})})
        self._table.append(np.array([row.epoch]), {name: np.asarray(value)[None] for name, value in values.items()})
        line = json.dumps(metrics_line(row), ensure_ascii=False) + "\n"
        with output_errors(self._metrics), self._metrics.open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def _packed(self, group: str, by_path: Mapping[str, Number]) -> dict[str, np.ndarray]:
        """Dataset -> values of an epoch. Raises ValueError where paths are missing or unknown."""
        known = {path for column in self._columns[group] for path in column.paths}
        if set(by_path) != known:
            raise ValueError(f"{group} of {sorted(by_path)} given, of {sorted(known)} expected")
        return {dataset_name(group, column.path): column.packed(by_path) for column in self._columns[group]}

    def _truncate(self, last_epoch: int) -> None:
        self._table.truncate(last_epoch)
        kept = [line for line in _lines(self._metrics) if json.loads(line)["epoch"] <= last_epoch]
        write_text(self._metrics, "".join(line + "\n" for line in kept))

    def close(self) -> None:
        """Closes the files; all that was appended is on them already."""
        self._store.close()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def metrics_line(row: Epoch) -> dict[str, Any]:
    """An epoch as a line of ``metrics.jsonl`` has it: arrays over 64 numbers summarised, what is not finite null."""
    line: dict[str, Any] = {
        "epoch": int(row.epoch),
        "loss": plain(float(row.loss)),
        "terms": plain(np.asarray(row.terms)),
        "parameters": {path: summarize(value) for path, value in row.parameters.items()},
        "gradients": {path: summarize(value) for path, value in row.gradients.items()},
        "gradient_norm": plain(float(row.gradient_norm)),
        "wall_s": float(row.wall_s),
    }
    if row.standard_error is not None:
        line["standard_error"] = {path: summarize(value) for path, value in row.standard_error.items()}
    if row.health:
        line["health"] = {name: value if isinstance(value, str) else plain(value) for name, value in row.health.items()}
    return line


def read_training(folder: Path) -> Training:
    """Reads ``training.h5`` of a run, finished or not. Raises OutputError."""
    with reading_h5(folder / TRAINING, _WHAT) as file:
        count = len(file[_EPOCH])
        return Training(
            epoch=file[_EPOCH][:count],
            loss=file["loss"][:count],
            terms=file["terms"][:count],
            gradient_norm=file["gradient_norm"][:count],
            parameters=read_paths(file, "parameters", slice(count)),
            gradients=read_paths(file, "gradients", slice(count)),
            standard_error=read_paths(file, _ERROR, slice(count)),
        )


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; a last line that a kill cut short is left out.

    Raises:
        OutputError: the file is missing, or a line before the last is damaged.
    """
    return [json.loads(line) for line in _lines(folder / METRICS)]


def _lines(path: Path) -> list[str]:
    with output_errors(path, "read"):
        *whole, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(whole, start=1):
        try:
            json.loads(line)["epoch"]
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{path}:{number}: this line is damaged; it should be the JSON of one epoch") from error
    return whole
