"""Writing trajectories as H5MD 1.1 (de Buyl, Colberg, Hoefling, Comput. Phys. Commun. 185, 1546 (2014)).

Layout::

    /h5md                              version [1, 1]; author, creator; modules/units where the units have names
    /particles/trajectory/box          dimension 3; boundary periodic or none; edges/value (frames, 3, 3): rows a, b, c
    /particles/trajectory/position     value (frames, atoms, 3), wrapped into the box; step, time (frames,)
    /particles/trajectory/image        value (frames, atoms, 3): the integers n for which position + n H is unwrapped
    /particles/trajectory/velocity, force
    /particles/trajectory/species      (atoms,) enumeration of the types' names; name, mass, charge (atoms,)
    /connectivity/bonds                (bonds, 2)
    /observables/<name>/value          (frames, ...)
    /observables/dt/value              (frames,) time from one frame to the next, where MDAnalysis looks for it
    /diffmd/series/<name>              value, step, time: series with their own samples
    /diffmd                            attribute units: reduced or md

Every `step` and `time` under /particles and /observables is a hard link to the position's. MDAnalysis opens such a file
without a topology; in reduced units, which have no names, with n_atoms=N and convert_units=False; it reads no names,
types or masses from H5MD unless `diffmd.io.mdanalysis` tells it how. It can be read, and the process killed, at any
time: see `diffmd.io.growing`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
from jaxtyping import Float, Int

from diffmd import __version__
from diffmd.io.files import read_errors, replacing_h5
from diffmd.io.growing import GrowingTable, add_growing
from diffmd.io.pending import PendingH5
from diffmd.units import Units

ROOT = "particles/trajectory"
STEP = f"{ROOT}/position/step"
TIME = f"{ROOT}/position/time"
SERIES = "diffmd/series"
SPACING = "dt"
"""The name under /observables of the time from one frame to the next; no observable of the user's has it."""
_FURTHEST = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class Topology:
    """What does not change along a trajectory.

    Attributes:
        types: index into `type_names` of each atom.
        type_names: the types' names.
        masses: of each atom.
        charges: of each atom.
        bonds: pairs of atoms (bonds, 2); may be empty.
        periodic: whether there is a box.
        names: of each atom, as a structure file has them; None: those of their types.
    """

    types: Int[np.ndarray, "atoms"]
    type_names: tuple[str, ...]
    masses: Float[np.ndarray, "atoms"]
    charges: Float[np.ndarray, "atoms"]
    bonds: Int[np.ndarray, "bonds 2"]
    periodic: bool
    names: tuple[str, ...] | None = None

    @property
    def atom_names(self) -> tuple[str, ...]:
        """The name of each atom."""
        return self.names or tuple(self.type_names[index] for index in self.types)


@dataclasses.dataclass(frozen=True)
class Column:
    """One value a sample: its shape and its dimension, such as ``energy`` (``1`` for a pure number)."""

    shape: tuple[int, ...] = ()
    dimension: str = "1"


STANDARD: Mapping[str, Column] = {
    "potential_energy": Column(dimension="energy"),
    "kinetic_energy": Column(dimension="energy"),
    "total_energy": Column(dimension="energy"),
    "temperature": Column(dimension="temperature"),
}
"""What every trajectory records with each frame."""


@dataclasses.dataclass(frozen=True)
class Frames:
    """Some frames, in order.

    Attributes:
        step: number of steps done.
        time: step times dt.
        positions: unwrapped.
        velocities: at the same time.
        forces: at the positions.
        box: the matrix H of each frame, or one for all, rows a, b, c; None where there is no periodicity.
        observables: name -> (frames, ...), every name the writer was made with.
    """

    step: Int[np.ndarray, "frames"]
    time: Float[np.ndarray, "frames"]
    positions: Float[np.ndarray, "frames atoms 3"]
    velocities: Float[np.ndarray, "frames atoms 3"]
    forces: Float[np.ndarray, "frames atoms 3"]
    box: Float[np.ndarray, "*frames 3 3"] | None
    observables: Mapping[str, np.ndarray]


def unit_string(units: Units, dimension: str) -> str | None:
    """A unit as H5MD writes it (``kJ mol-1 nm-2``), or None for pure numbers and units without names."""
    symbol = units.symbol(dimension)
    if symbol is None:
        return None
    words = []
    for sign, part in [("", symbol.split("/")[0]), *(("-", part) for part in symbol.split("/")[1:])]:
        name, _, power = part.strip().partition("^")
        if name != "1":
            exponent = sign + (power or ("1" if sign else ""))
            words.append(name + exponent)
    return " ".join(words)


def wrap(
    positions: Float[np.ndarray, "frames atoms 3"], box: Float[np.ndarray, "frames 3 3"]
) -> tuple[Float[np.ndarray, "frames atoms 3"], Int[np.ndarray, "frames atoms 3"]]:
    """Wrapped positions w with 0 <= s < 1 and integers n, where x = w + n H. Atoms already inside keep every bit."""
    vectors = np.asarray(box, np.float64)
    inverse = np.linalg.inv(vectors)
    exact = np.asarray(positions, np.float64)
    images = np.floor(exact @ inverse)
    wrapped = np.asarray(exact - images @ vectors, positions.dtype)
    # Rounding, to single precision above all, can put an atom on the far face, or just below the near one.
    s = np.asarray(wrapped, np.float64) @ inverse
    outside = (s >= 1) | (s < 0)
    if outside.any():
        images += s >= 1
        near = np.asarray(np.where(outside, 0, s) @ vectors, positions.dtype)
        wrapped = np.where(outside.any(axis=-1, keepdims=True), near, wrapped)
    # Of an exploded run, far beyond any file: the last image there is.
    return wrapped, np.clip(images, -_FURTHEST, _FURTHEST).astype(np.int32)


class TrajectoryWriter:
    """Appends frames to an H5MD file. A context manager; made by `create` or `resume`."""

    def __init__(self, path: Path) -> None:
        """Opens a file that `create` made; prefer `create` and `resume`. Raises OutputError."""
        self.path = path
        self._store = PendingH5(path)
        try:
            with read_errors(path, "a trajectory that diffmd wrote"):
                self._open_tables(self._store.file)
        except BaseException:
            self._store.close()
            raise

    def _open_tables(self, file: h5py.File) -> None:
        group = file[ROOT]
        self._periodic = "edges" in group["box"]
        self._dtype = group["position/value"].dtype
        columns = [TIME, *(f"{ROOT}/{name}/value" for name in ("position", "velocity", "force"))]
        columns += [f"{ROOT}/{name}/value" for name in ("image", "box/edges") if self._periodic]
        columns += [f"observables/{name}/value" for name in file["observables"]]
        self._spacing = file["observables"].attrs.get(SPACING)
        self._frames = GrowingTable(self._store, STEP, tuple(columns))
        self._series = {
            name: GrowingTable(
                self._store, f"{SERIES}/{name}/step", (f"{SERIES}/{name}/time", f"{SERIES}/{name}/value")
            )
            for name in file[SERIES]
        }

    @classmethod
    def create(
        cls,
        path: Path,
        topology: Topology,
        units: Units,
        dtype: np.dtype | str = "f8",
        observables: Mapping[str, Column] = STANDARD,
        series: Mapping[str, Column] | None = None,
        spacing: float | None = None,
    ) -> TrajectoryWriter:
        """A new, empty trajectory in place of whatever `path` was.

        Args:
            path: the file; MDAnalysis wants the extension ``.h5md``.
            topology: what stays the same.
            units: decides the unit attributes; reduced units have none.
            dtype: of positions, velocities, forces and box.
            observables: what is recorded with each frame.
            series: what is recorded with samples of its own (`append_series`).
            spacing: time from one frame to the next; None where it is not the same throughout.

        Raises:
            OutputError: the file cannot be made.
        """
        with replacing_h5(path) as file:
            _write_header(file, units)
            _write_particles(file, topology, units, np.dtype(dtype))
            measured = file.create_group("observables")
            columns = dict(observables)
            if spacing is not None:
                columns[SPACING] = Column(dimension="time")
                measured.attrs[SPACING] = spacing
            for name, column in columns.items():
                group = measured.create_group(name)
                _add_value(group, column, "f8", units)
                _link_times(file, group)
            dense = file.create_group(SERIES)
            for name, column in (series or {}).items():
                group = dense.create_group(name)
                _add_value(group, column, "f8", units)
                _add_times(group, units)
        return cls(path)

    @classmethod
    def resume(cls, path: Path, last_step: int) -> TrajectoryWriter:
        """Opens a trajectory, killed or not, to go on after `last_step`; later frames and samples are cut off.

        Raises:
            OutputError: it is missing, or no diffmd trajectory.
        """
        with cls(path) as writer:
            writer._truncate(last_step)
        return cls(path)

    @property
    def frames(self) -> int:
        """Number of frames written."""
        return len(self._frames)

    @property
    def last_step(self) -> int | None:
        """The step of the last frame, None where there is none."""
        return self._frames.last

    def append(self, frames: Frames) -> None:
        """Writes frames after the last, and hands them to the operating system.

        Raises:
            OutputError: the disk is full, ...; the frames that were there before remain.
            ValueError: shapes or observables are not those the file was made for.
        """
        if (frames.box is not None) != self._periodic:
            raise ValueError("a box is given for a trajectory without periodicity, or none for a periodic one")
        count = len(frames.step)
        positions = np.asarray(frames.positions, self._dtype)
        values: dict[str, np.ndarray] = {
            TIME: np.asarray(frames.time, np.float64),
            f"{ROOT}/velocity/value": np.asarray(frames.velocities, self._dtype),
            f"{ROOT}/force/value": np.asarray(frames.forces, self._dtype),
        }
        if frames.box is not None:
            box = np.broadcast_to(np.asarray(frames.box, self._dtype), (count, 3, 3))
            positions, images = wrap(positions, box)
            values |= {f"{ROOT}/box/edges/value": box, f"{ROOT}/image/value": images}
        values[f"{ROOT}/position/value"] = positions
        values |= {f"observables/{name}/value": np.asarray(v) for name, v in frames.observables.items()}
        if self._spacing is not None:
            values[f"observables/{SPACING}/value"] = np.full(count, self._spacing)
        self._frames.append(np.asarray(frames.step, np.int64), values)

    def append_series(self, name: str, step: np.ndarray, time: np.ndarray, value: np.ndarray) -> None:
        """Adds samples (samples,), (samples,), (samples, ...) to a series. Raises as `append`."""
        at = f"{SERIES}/{name}"
        values = {f"{at}/time": np.asarray(time, np.float64), f"{at}/value": np.asarray(value)}
        self._series[name].append(np.asarray(step, np.int64), values)

    def _truncate(self, last_step: int) -> None:
        for table in (self._frames, *self._series.values()):
            table.truncate(last_step)

    def close(self) -> None:
        """Closes the file; all that was appended is on it already."""
        self._store.close()

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _write_header(file: h5py.File, units: Units) -> None:
    header = file.create_group("h5md")
    header.attrs["version"] = np.array([1, 1])
    header.create_group("author").attrs["name"] = "diffmd"
    creator = header.create_group("creator")
    creator.attrs["name"] = "diffmd"
    creator.attrs["version"] = __version__
    if units.symbol("length") is not None:
        header.create_group("modules/units").attrs["version"] = np.array([1, 0])
    file.create_group("diffmd").attrs["units"] = units.name


def _write_particles(file: h5py.File, topology: Topology, units: Units, dtype: np.dtype) -> None:
    atoms = len(topology.types)
    group = file.create_group(ROOT)
    box = group.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = ["periodic" if topology.periodic else "none"] * 3
    position = group.create_group("position")
    _add_value(position, Column((atoms, 3), "length"), dtype, units)
    _add_times(position, units)
    linked = {"velocity": (Column((atoms, 3), "length/time"), dtype)}
    linked["force"] = (Column((atoms, 3), "energy/length"), dtype)
    if topology.periodic:
        linked["box/edges"] = (Column((3, 3), "length"), dtype)
        linked["image"] = (Column((atoms, 3)), np.dtype("i4"))
    for name, (column, kind) in linked.items():
        element = group.create_group(name)
        _add_value(element, column, kind, units)
        _link_times(file, element)
    names = h5py.enum_dtype({name: index for index, name in enumerate(topology.type_names)}, basetype="i4")
    group.create_dataset("species", data=np.asarray(topology.types, "i4"), dtype=names)
    group.create_dataset("name", data=np.array(topology.atom_names, object), dtype=h5py.string_dtype())
    for name, data in (("mass", topology.masses), ("charge", topology.charges)):
        _set_unit(group.create_dataset(name, data=np.asarray(data, "f8")), units, name)
    if len(topology.bonds):
        bonds = file.create_group("connectivity").create_dataset("bonds", data=np.asarray(topology.bonds, "i4"))
        bonds.attrs["particles_group"] = group.ref


def _add_value(group: h5py.Group, column: Column, dtype: np.dtype | str, units: Units) -> None:
    _set_unit(add_growing(group, "value", column.shape, dtype), units, column.dimension)


def _add_times(group: h5py.Group, units: Units) -> None:
    add_growing(group, "step", (), "i8")
    _set_unit(add_growing(group, "time", (), "f8"), units, "time")


def _link_times(file: h5py.File, group: h5py.Group) -> None:
    group["step"], group["time"] = file[STEP], file[TIME]


def _set_unit(data: h5py.Dataset, units: Units, dimension: str) -> None:
    if (unit := unit_string(units, dimension)) is not None:
        data.attrs["unit"] = unit
