"""`diffmd export`: a run's trajectory as extxyz or PDB, its numbers as CSV, for programs that read no HDF5."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io import results, rundir, training
from diffmd.io.structures import Structure, write_structure
from diffmd.io.trajectory import Trajectory, read_trajectory

Format = Literal["extxyz", "pdb", "csv"]
Table = Literal["observables", "epochs", "scan"]
Columns = dict[str, np.ndarray]

# Frames are read many at a time, for chunks of the file hold many.
_FRAMES_AT_ONCE = 64
_ENDINGS: Mapping[str, Format] = {".extxyz": "extxyz", ".xyz": "extxyz", ".pdb": "pdb", ".csv": "csv"}
_WRITTEN = "extxyz (.extxyz, .xyz), PDB (.pdb) and tables of numbers (.csv)"
_SLICE = re.compile(r"(-?\d+)?(?::(-?\d+)?(?::(-?\d+)?)?)?")


def export(
    run: Path,
    destination: Path,
    format: Format | None = None,
    frames: slice | None = None,
    table: Table | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes what a run left in another format; the run may have been killed, or still run.

    Args:
        run: the run directory.
        destination: the file, or a directory to put it into under a name of its own.
        format: ``extxyz`` and ``pdb`` take the trajectory, its positions inside the box, and are in Angstrom where the
            run is in md units; ``csv`` takes a table of numbers. None: csv with a `table`, else what the
            destination's name ends in, else extxyz.
        frames: which frames of the trajectory, or rows of the table; None for all.
        table: for ``csv``: ``observables`` of the trajectory, ``epochs`` of a training, or ``scan``. None takes what
            the run's command is about.
        overwrite: replace a file that is there.

    Returns:
        the files written.

    Raises:
        ConfigError: the run has no such thing, the file is there already, or format, table and name do not agree.
        OutputError: reading or writing failed.
    """
    if not (run / rundir.RUN).exists():
        raise ConfigError(f"{run} is not the directory of a diffmd run: it has no {rundir.RUN}")
    format = _format(format, destination, table)
    if format != "csv":
        pairs = _pairs(run, rundir.TRAJECTORY, "frames", destination, f"trajectory.{format}", overwrite)
        for source, file in pairs:
            _export_frames(source, file, format, frames)
    else:
        name = table or _natural_table(run)
        source_name, read = _TABLES[name]
        pairs = _pairs(run, source_name, name, destination, f"{name}.csv", overwrite)
        for source, file in pairs:
            _export_table(source, file, read, frames)
    return [file for _, file in pairs]


def _format(format: Format | None, destination: Path, table: Table | None) -> Format:
    """The format asked for by itself, by a table or by the file's name.

    Raises ConfigError where two differ, or the name alone is to tell and ends in something else.
    """
    ending = "" if destination.is_dir() else destination.suffix.lower()
    named = _ENDINGS.get(ending)
    if ending and named is None and format is None and table is None:
        raise ConfigError(
            f"{destination.name} ends in {destination.suffix}, which diffmd does not write: it writes {_WRITTEN}; name "
            "one of them, or say with --format what shall be in the file"
        )
    chosen: Format = format or ("csv" if table else named or "extxyz")
    if table is not None and chosen != "csv":
        raise ConfigError(f"--table {table} is of numbers, which --format {chosen} has no place for; they go into csv")
    if named is not None and named != chosen:
        asked = f"--format {format}" if format else f"--table {table}"
        raise ConfigError(f"{asked} writes {chosen}, and {destination.name} ends as {named} does; change one of them")
    return chosen


def _export_frames(source: Path, file: Path, format: Literal["extxyz", "pdb"], frames: slice | None) -> None:
    trajectory = read_trajectory(source)
    wanted = range(len(trajectory))[frames or slice(None)]
    if not wanted:
        raise ConfigError(f"{source} has {len(trajectory)} frames, and none of those asked for")
    write_structure(file, _structures(trajectory, wanted), format, trajectory.units)


def _export_table(source: Path, file: Path, read: Callable[[Path], Columns], frames: slice | None) -> None:
    columns = {label: values[frames or slice(None)] for label, values in read(source).items()}
    if not len(next(iter(columns.values()))):
        raise ConfigError(f"{source} has no rows to export" + (" among those asked for" if frames else ""))
    results.write_csv(file, list(columns), list(zip(*columns.values(), strict=True)))


def parse_frames(text: str) -> slice:
    """Frames from text: ``5`` (one), ``-1`` (the last), ``10:`` (from the tenth on), ``::5`` (every fifth).

    Raises:
        ConfigError: it is none of these.
    """
    match = _SLICE.fullmatch(text.strip())
    if match is None or not text.strip():
        raise ConfigError(f"--frames takes one frame (-1: the last) or START:STOP:STEP, not {text!r}")
    start, stop, step = (None if part is None else int(part) for part in match.groups())
    if ":" not in text:
        # The last frame is followed by no frame that a negative number could name.
        return slice(start, None if start == -1 else int(text) + 1)
    if step == 0:
        raise ConfigError(f"--frames {text}: the step cannot be 0")
    return slice(start, stop, step)


def _target(destination: Path, name: str, overwrite: bool) -> Path:
    file = destination / name if destination.is_dir() else destination
    if file.exists() and not overwrite:
        raise ConfigError(f"{file} is there already; choose another name, or --overwrite it")
    return file


def _pairs(run: Path, source: str, what: str, destination: Path, name: str, overwrite: bool) -> list[tuple[Path, Path]]:
    """The run's file and where it goes; of a run of several systems one each, with the system's name in both."""
    endings = _systems(run) if source == rundir.TRAJECTORY else []
    if endings:
        folder, name = (destination, name) if destination.is_dir() else (destination.parent, destination.name)
        return [
            (run / _named(source, ending), _target(folder / _named(name, ending), name, overwrite))
            for ending in endings
        ]
    if not (run / source).exists():
        raise ConfigError(f"{run} has no {source}, so there are no {what} to export")
    return [(run / source, _target(destination, name, overwrite))]


def _systems(run: Path) -> list[str]:
    """``_water`` of ``trajectory_water.h5md``, of each system where there are several and the file is there yet."""
    stem = Path(rundir.TRAJECTORY).stem
    files = {str(name) for name in rundir.read_run(run).get("files", ())}
    before = {_named(rundir.TRAJECTORY_FIRST, name.removeprefix(stem).partition(".")[0]) for name in files}
    found = sorted(name for name in files - before if name.startswith(f"{stem}_") and (run / name).exists())
    return [name.removeprefix(stem).partition(".")[0] for name in found]


def _named(file: str, ending: str) -> str:
    """``x_water.csv`` of ``x.csv``."""
    stem, dot, extension = file.partition(".")
    return f"{stem}{ending}{dot}{extension}"


def _natural_table(run: Path) -> Table:
    command = rundir.read_run(run).get("command")
    natural: Mapping[str, Table] = {"train": "epochs", "scan": "scan"}
    return natural.get(str(command), "observables")


def _structures(trajectory: Trajectory, wanted: range) -> Iterator[Structure]:
    species, topology = tuple(trajectory.species), trajectory.topology
    for start in range(0, len(wanted), _FRAMES_AT_ONCE):
        some = list(wanted[start : start + _FRAMES_AT_ONCE])
        positions, velocities = trajectory.wrapped[some], trajectory.velocities[some]
        boxes = [None] * len(some) if trajectory.box is None else list(trajectory.box[some])
        for index, x, v, box in zip(some, positions, velocities, boxes, strict=True):
            step = int(trajectory.step[index])
            yield Structure(x, v, box, species, (None,) * len(species), topology.masses, topology.charges, step)


def _observables(file: Path) -> Columns:
    trajectory = read_trajectory(file)
    columns: Columns = {"step": trajectory.step, "time": trajectory.time}
    for name, values in trajectory.observables.items():
        columns |= _flat(name, values)
    return columns


def _epochs(file: Path) -> Columns:
    found = training.read_training(file.parent)
    columns: Columns = {"epoch": found.epoch, "loss": found.loss, "gradient_norm": found.gradient_norm}
    columns |= _flat("terms", found.terms)
    units = results.parameter_units(file)
    for group, values in (("parameters", found.parameters), ("gradients", found.gradients)):
        for path, value in values.items():
            unit = units.get(path) if group == "parameters" else None
            columns |= _flat(f"{group}.{path}", value, "" if unit is None else f" ({unit})")
    return columns


def _scan(file: Path) -> Columns:
    found = results.read_scan(file.parent)
    return {found.heading: found.value, "loss": found.loss, **_flat("gradient", found.gradient)}


def _flat(name: str, values: np.ndarray, unit: str = "") -> Columns:
    """(rows, ...) as one column a number: ``name``, or ``name.0``, ``name.1``, ..., with the `unit` behind."""
    indices = itertools.product(*map(range, values.shape[1:]))
    labels = [".".join((name, *map(str, index))) + unit for index in indices]
    return dict(zip(labels, values.reshape(len(values), len(labels)).T, strict=True))


_TABLES: Mapping[Table, tuple[str, Callable[[Path], Columns]]] = {
    "observables": (rundir.TRAJECTORY, _observables),
    "epochs": (training.TRAINING, _epochs),
    "scan": (results.SCAN, _scan),
}
