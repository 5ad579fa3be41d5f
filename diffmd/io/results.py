"""What gradient, scan and gradcheck leave, and what a training learned.

``gradients.h5``: ``/loss``, ``/terms``, ``/parameters/<path>``, ``/gradients/<path>``, ``/standard_error/<path>``,
``/health`` (attributes, and the datasets ``step`` and ``norm``), where ``<path>`` has its keys made groups, and many
entries of one field are one dataset (`diffmd.io.by_path`).
``scan.h5``: ``/value``, ``/loss``, ``/gradient``, attribute ``path``; ``scan.csv`` the same. ``weights.h5``: a dataset
a leaf, such as ``/0/weight``. ``learned.h5``: a training's parameters, ``/best/<path>`` and ``/final/<path>`` (after
the last update, which no epoch of ``training.h5`` has). Every file is replaced in one step.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from diffmd.io.by_path import read_paths, read_units, write_paths
from diffmd.io.files import read_json, reading_h5, replacing_h5, write_json, write_text
from diffmd.io.values import Number

GRADIENTS, SCAN, SCAN_CSV, WEIGHTS, GRADCHECK = "gradients.h5", "scan.h5", "scan.csv", "weights.h5", "gradcheck.json"
LEARNED = "learned.h5"


@dataclasses.dataclass(frozen=True)
class Gradients:
    """A loss and its gradient.

    Attributes:
        loss: the loss.
        terms: the value of each loss term (terms,).
        parameters: path -> physical value.
        gradients: path -> d loss / d value.
        standard_error: path -> standard error of the gradient over replicas or blocks; empty without.
        sign_agreement: path -> fraction of replicas whose gradient has the mean's sign; empty without replicas.
        health: what the method tells of its gradient: numbers and text by name, and the arrays ``step`` and ``norm``;
            None is left out.
    """

    loss: float
    terms: np.ndarray
    parameters: Mapping[str, Number]
    gradients: Mapping[str, Number]
    standard_error: Mapping[str, Number] = dataclasses.field(default_factory=dict)
    sign_agreement: Mapping[str, Number] = dataclasses.field(default_factory=dict)
    health: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_gradients(path: Path, result: Gradients, units: Mapping[str, str] = MappingProxyType({})) -> None:
    """Writes ``gradients.h5``; `units` are those of the parameters by path. Raises OutputError."""
    with replacing_h5(path) as file:
        file["loss"] = np.float64(result.loss)
        file["terms"] = np.asarray(result.terms)
        for group in ("parameters", "gradients", "standard_error", "sign_agreement"):
            write_paths(file, group, getattr(result, group), units if group == "parameters" else {})
        health = file.create_group("health")
        for name, value in result.health.items():
            if value is None:
                continue
            if np.ndim(value) or isinstance(value, np.ndarray):
                health[name] = np.asarray(value)
            else:
                health.attrs[name] = value


def read_gradients(path: Path) -> Gradients:
    """Reads ``gradients.h5``. Raises OutputError."""
    with reading_h5(path, "a file of gradients") as file:
        health: dict[str, Any] = {name: _python(value) for name, value in file["health"].attrs.items()}
        health |= {name: data[()] for name, data in file["health"].items()}
        return Gradients(
            loss=float(file["loss"][()]),
            terms=file["terms"][()],
            parameters=read_paths(file, "parameters"),
            gradients=read_paths(file, "gradients"),
            standard_error=read_paths(file, "standard_error"),
            sign_agreement=read_paths(file, "sign_agreement"),
            health=health,
        )


def write_learned(
    path: Path, best: Mapping[str, Number], final: Mapping[str, Number], units: Mapping[str, str]
) -> None:
    """Writes ``learned.h5``; `units` are those of the parameters by path. Raises OutputError."""
    with replacing_h5(path) as file:
        write_paths(file, "best", best, units)
        write_paths(file, "final", final, units)


def parameter_units(path: Path) -> dict[str, str]:
    """Path -> unit of the parameters in ``gradients.h5`` or ``training.h5`` that have one. Raises OutputError."""
    with reading_h5(path, "a file of parameters") as file:
        return read_units(file, "parameters")


@dataclasses.dataclass(frozen=True)
class Scan:
    """A loss and its gradient along a grid, as far as it was computed.

    Attributes:
        path: what was varied.
        value: (points,), in the units of the engine (radians).
        loss: (points,); nan where the run failed.
        gradient: (points, ...); nan where the run failed.
        unit: of the values; None where they have none.
    """

    path: str
    value: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    unit: str | None = None

    @property
    def heading(self) -> str:
        """The heading of a column of the values, ``value (rad)``."""
        return "value" if self.unit is None else f"value ({self.unit})"


def write_scan(folder: Path, scan: Scan) -> None:
    """Writes ``scan.h5`` and ``scan.csv`` into `folder`. Raises OutputError."""
    with replacing_h5(folder / SCAN) as file:
        file.attrs["path"] = scan.path
        file["value"], file["loss"], file["gradient"] = scan.value, scan.loss, scan.gradient
        if scan.unit is not None:
            file["value"].attrs["unit"] = scan.unit
    inner = scan.gradient.shape[1:]
    labels = [".".join(("gradient", *map(str, index))) for index in itertools.product(*map(range, inner))]
    flat = scan.gradient.reshape(len(scan.value), len(labels))
    rows = [[value, loss, *row] for value, loss, row in zip(scan.value, scan.loss, flat, strict=True)]
    write_csv(folder / SCAN_CSV, [scan.heading, "loss", *labels], rows)


def read_scan(folder: Path) -> Scan:
    """Reads ``scan.h5`` of `folder`. Raises OutputError."""
    with reading_h5(folder / SCAN, "a scan") as file:
        value, loss, gradient = (file[name] for name in ("value", "loss", "gradient"))
        return Scan(_python(file.attrs["path"]), value[()], loss[()], gradient[()], value.attrs.get("unit"))


def write_weights(path: Path, leaves: Mapping[str, Number]) -> None:
    """Writes the leaves of a network (``0/weight`` -> array). Raises OutputError."""
    with replacing_h5(path) as file:
        for name, value in leaves.items():
            file[name] = np.asarray(value)


def read_weights(path: Path, group: str = "/") -> dict[str, np.ndarray]:
    """The leaves under `group`, by their names below it. Raises OutputError."""
    leaves: dict[str, np.ndarray] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            leaves[name] = np.asarray(item[()])

    with reading_h5(path, "a file of network weights") as file:
        file[group].visititems(collect)
    return leaves


def write_gradcheck(folder: Path, answer: Mapping[str, Any]) -> None:
    """Writes the object of ``gradcheck --json`` as ``gradcheck.json``. Raises OutputError."""
    write_json(folder / GRADCHECK, answer)


def read_gradcheck(folder: Path) -> dict[str, Any]:
    """Reads ``gradcheck.json``. Raises OutputError."""
    return read_json(folder / GRADCHECK)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes a comma-separated table; numbers with every digit they need to be read back. Raises OutputError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_python(cell) for cell in row] for row in rows])
    write_text(path, text.getvalue())


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
