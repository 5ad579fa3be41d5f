"""Reading back the trajectories that `diffmd.io.h5md` writes, frame by frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from diffmd.io.files import reading_h5
from diffmd.io.h5md import ROOT, SERIES, SPACING, STEP, TIME, Topology
from diffmd.units import SYSTEMS, Units

_WHAT = "a trajectory that diffmd wrote"


@dataclasses.dataclass(frozen=True)
class FrameArray:
    """An array (frames, ...) on file: indexing its first axis reads those frames; ``np.asarray`` reads all.

    Attributes:
        path: the file.
        name: the dataset.
        shape: frames first.
        unwrapped: whether the images are added back to wrapped positions.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    unwrapped: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: Any) -> np.ndarray:
        """The frames of an integer, a slice or a list of integers; further indices apply to what was read.

        Raises:
            IndexError: there are not as many frames.
            OutputError: the file is gone.
        """
        if isinstance(frames, tuple):
            # An integer takes the first axis away.
            kept = (slice(None),) * (np.ndim(frames[0]) or isinstance(frames[0], slice))
            return np.asarray(self[frames[0]][(*kept, *frames[1:])])
        wanted = np.asarray(np.arange(len(self))[frames])
        with reading_h5(self.path, _WHAT) as file:
            values = _rows(file[self.name], wanted)
            if not self.unwrapped:
                return values
            images, box = _rows(file[f"{ROOT}/image/value"], wanted), _rows(file[f"{ROOT}/box/edges/value"], wanted)
            # Atoms that never left the box keep every bit.
            return np.where(images.any(axis=-1, keepdims=True), values + images.astype(box.dtype) @ box, values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def _rows(data: h5py.Dataset, wanted: np.ndarray) -> np.ndarray:
    if wanted.ndim == 0:
        return data[int(wanted)]
    if wanted.size == 0:
        return np.empty((0, *data.shape[1:]), data.dtype)
    first, last = int(wanted.min()), int(wanted.max())
    return data[first : last + 1][wanted - first]


@dataclasses.dataclass(frozen=True)
class Series(Mapping[str, np.ndarray]):
    """Observables by name; each is read when it is asked for."""

    path: Path
    datasets: Mapping[str, str]
    rows: Mapping[str, int]

    def __getitem__(self, name: str) -> np.ndarray:
        at = self.datasets[name]
        with reading_h5(self.path, _WHAT) as file:
            return file[at][: self.rows[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.datasets)

    def __len__(self) -> int:
        return len(self.datasets)


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """A trajectory on file. Large arrays are read frame by frame (`FrameArray`), the others are here.

    Attributes:
        step: number of steps done (frames,).
        time: (frames,).
        topology: types, masses, charges, bonds, periodicity.
        positions: unwrapped (frames, atoms, 3).
        wrapped: the positions inside the box (frames, atoms, 3).
        velocities: (frames, atoms, 3).
        forces: (frames, atoms, 3).
        box: the matrices H (frames, 3, 3), rows a, b, c; None where there is no periodicity.
        observables: name -> (frames, ...), without the spacing of frames.
        series: name -> values with samples of their own; ``<name>.step`` and ``<name>.time`` stand beside them.
        units: the unit system.
    """

    path: Path
    step: Int[np.ndarray, "frames"]
    time: Float[np.ndarray, "frames"]
    topology: Topology
    positions: FrameArray
    wrapped: FrameArray
    velocities: FrameArray
    forces: FrameArray
    box: FrameArray | None
    observables: Mapping[str, np.ndarray]
    series: Mapping[str, np.ndarray]
    units: Units

    def __len__(self) -> int:
        return len(self.step)

    @property
    def species(self) -> list[str]:
        """The type's name of each atom."""
        return [self.topology.type_names[index] for index in self.topology.types]


def read_trajectory(path: Path) -> Trajectory:
    """Opens a trajectory: finished, still being written, or left by a killed run (whole frames only).

    Raises:
        OutputError: it is missing, damaged, or not diffmd's.
    """
    with reading_h5(path, _WHAT) as file:
        group, observables = file[ROOT], file["observables"]
        periodic = "edges" in group["box"]
        lengths = [len(observables[name]["value"]) for name in observables]
        measured = [name for name in observables if name != SPACING]
        lengths += [len(group[name]["value"]) for name in ("position", "velocity", "force")]
        count = min(len(file[STEP]), len(file[TIME]), *lengths)
        dense = file[SERIES]
        rows = {name: min(len(dense[name][part]) for part in ("step", "time", "value")) for name in dense}

        def frames(name: str, unwrapped: bool = False) -> FrameArray:
            at = f"{ROOT}/{name}/value"
            return FrameArray(path, at, (count, *file[at].shape[1:]), unwrapped)

        parts = {(name, part): f"{SERIES}/{name}/{part}" for name in dense for part in ("value", "step", "time")}
        labels = {key: key[0] if key[1] == "value" else ".".join(key) for key in parts}
        return Trajectory(
            path=path,
            step=file[STEP][:count],
            time=file[TIME][:count],
            topology=_topology(file, periodic),
            positions=frames("position", unwrapped=periodic),
            wrapped=frames("position"),
            velocities=frames("velocity"),
            forces=frames("force"),
            box=frames("box/edges") if periodic else None,
            observables=Series(
                path, {name: f"observables/{name}/value" for name in measured}, dict.fromkeys(measured, count)
            ),
            series=Series(
                path, {labels[key]: at for key, at in parts.items()}, {labels[key]: rows[key[0]] for key in parts}
            ),
            units=SYSTEMS[file["diffmd"].attrs["units"]],
        )


def count_frames(path: Path) -> int:
    """Number of whole frames of a trajectory. Raises OutputError."""
    with reading_h5(path, _WHAT) as file:
        return len(file[STEP])


def _topology(file: h5py.File, periodic: bool) -> Topology:
    group = file[ROOT]
    species = group["species"]
    names = h5py.check_enum_dtype(species.dtype)
    bonds = file["connectivity/bonds"][:] if "connectivity/bonds" in file else np.zeros((0, 2), np.int32)
    return Topology(
        types=species[:].astype(np.int32),
        type_names=tuple(sorted(names, key=lambda name: names[name])),
        masses=group["mass"][:],
        charges=group["charge"][:],
        bonds=bonds,
        periodic=periodic,
        names=tuple(group["name"].asstr()[:]) if "name" in group else None,
    )
