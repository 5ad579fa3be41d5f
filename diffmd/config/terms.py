"""From the `loss` section of one system to its terms: observables, targets from files, schedules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.box import Box, BoxShape
from diffmd.config.curves import read_curve
from diffmd.config.inputs import per_atom, structure
from diffmd.config.sections.loss import FramesSpec, LossTermSpec, TargetFileSpec, TargetStructureSpec
from diffmd.connectivity import Bonds, made_whole
from diffmd.dynamics.frame import Frame
from diffmd.errors import ConfigError
from diffmd.losses import ALL, END, Frames, LossTerm, frame_steps
from diffmd.observables.base import Observable, ObservableContext, ReadStructure, SeriesObservable
from diffmd.system import System

_ROUNDED = 1e-4
"""Boxes that differ by less are one box, written with the few digits of a PDB file."""


def frames_of(spec: str | FramesSpec) -> Frames:
    """The schedule that ``frames`` describes."""
    if isinstance(spec, FramesSpec):
        return Frames(spec.from_, spec.to, spec.every)
    return ALL if spec == "all" else END


def reader_of(folder: Path, system: System, box: Box, bonds: Bonds) -> Callable[[str, int, str], ReadStructure]:
    """Reads the positions of a frame of a structure file, of as many atoms as the system has, and its box.

    Args:
        box: of the system; for files that have none.
        bonds: of the system, along which the positions are made whole.
    """

    def read(file: str, frame: int, path: str) -> ReadStructure:
        found = structure(folder, file, frame, system.units, path)
        own = None if found.box is None else _box_of(found.box)
        around = own or box
        vectors = np.asarray(around.vectors, float) if around.periodic else None
        positions = per_atom(found.positions, system.size, f"{path}.path")
        return made_whole(positions, bonds, vectors).positions, own

    return read


def loss_term(
    spec: LossTermSpec,
    observable: Observable | SeriesObservable,
    *,
    name: str,
    folder: Path,
    context: ObservableContext,
    masses: Float[np.ndarray, "atoms"],
    steps: int,
    dt: float,
) -> LossTerm:
    """One term of a loss.

    Args:
        name: its path in the config.
        folder: what relative paths are relative to.
        context: what its observable was built from.
        masses: of the atoms.
        steps, dt: of the run.

    Raises:
        ConfigError: for whatever does not fit.
    """
    target: Any = np.asarray(spec.target) if isinstance(spec.target, list) else spec.target
    curve = None
    if isinstance(spec.target, TargetFileSpec):
        points = read_curve(folder / Path(spec.target.path).expanduser())
        target, curve = None, (points[:, 0], points[:, 1])
    if isinstance(spec.target, TargetStructureSpec):
        target = _measured(spec, spec.target, observable, folder, context, masses, f"{name}.target")
    frames = frames_of(spec.frames)
    form = LossTerm(name, observable, frames, spec.reduce, spec.compare, None, spec.weight, spec.lags)
    return LossTerm.create(
        name,
        observable,
        frames=frames,
        reduce=spec.reduce,
        compare=spec.compare,
        target=target,
        curve=curve,
        weight=spec.weight,
        lags=spec.lags,
        times=frame_steps(form, steps) * dt,
    )


def _box_of(vectors: Float[np.ndarray, "3 3"]) -> Box:
    shape: BoxShape = "orthorhombic" if np.array_equal(vectors, np.diag(np.diag(vectors))) else "triclinic"
    return Box(jnp.asarray(vectors, dtype=float), shape)


def _measured(
    term: LossTermSpec,
    spec: TargetStructureSpec,
    observable: Observable | SeriesObservable,
    folder: Path,
    context: ObservableContext,
    masses: Float[np.ndarray, "atoms"],
    path: str,
) -> np.ndarray:
    """The observable's value on a reference structure: in the file's box where it has one and the system has one."""
    if isinstance(observable, SeriesObservable) or not observable.configurational:
        raise ConfigError("only what depends on positions alone can be measured on a structure", path)
    positions, own = context.read_structure(spec.path, spec.frame, path)
    box = Box(jnp.asarray(context.box.vectors, dtype=float), context.box.shape)
    if box.periodic and own is not None:
        if not np.allclose(own.vectors, box.vectors, rtol=0, atol=_ROUNDED * float(jnp.max(own.vectors))):
            try:
                # What fits the system's box, such as the range of an RDF, need not fit the file's.
                term.observable.build(dataclasses.replace(context, box=own))  # type: ignore[attr-defined]
            except ConfigError as problem:
                raise ConfigError(f"in the box of this structure, {problem.message}", f"{path}.path") from problem
        box = own

    def unknown() -> NoReturn:
        raise ConfigError("a structure has positions, but no energies or forces to measure", path)

    x: Array = jnp.asarray(positions, dtype=float)
    size = context.system.size
    frame = Frame(
        positions=x,
        velocities=jnp.zeros_like(x),
        masses=jnp.asarray(masses, dtype=float),
        box=box,
        time=jnp.zeros(()),
        potential_energy=unknown,
        potential_energies=unknown,
        virial=unknown,
        hessian=unknown,
        degrees_of_freedom=max(1, 3 * size),
    )
    return np.asarray(observable.measure(frame))
