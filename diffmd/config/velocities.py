"""`system.velocities`: how fast atoms start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from diffmd.config.inputs import per_atom, structure
from diffmd.config.sections.common import Vector
from diffmd.errors import ConfigError
from diffmd.spec import Spec, quantity
from diffmd.units import Units


class MaxwellBoltzmannVelocities(Spec):
    """Random velocities: each component normal, with variance k_B T / m."""

    kind: Literal["maxwell_boltzmann"] = "maxwell_boltzmann"
    temperature: float = quantity(doc="Temperature T they are drawn at.", unit="temperature", ge=0)
    exact: bool = quantity(
        False,
        doc="Scales them so that the instantaneous temperature 2 E_kin / (n_f k_B) is T; else it scatters about T.",
    )
    remove_com: bool = quantity(False, doc="Takes the centre of mass's velocity away (before scaling).")


class ZeroVelocities(Spec):
    """Atoms at rest."""

    kind: Literal["zero"] = "zero"


class InlineVelocities(Spec):
    """Velocities as they stand here."""

    kind: Literal["inline"] = "inline"
    values: list[Vector] = quantity(doc="[vx, vy, vz] of each atom.", unit="length/time")


class FileVelocities(Spec):
    """Velocities of a frame of a structure file."""

    kind: Literal["file"] = "file"
    path: str = quantity(doc="The file, relative to the config's folder.")
    frame: int = quantity(-1, doc="Which frame, from 0; -1 is the last.")
    types: Literal["ignore"] | None = quantity(
        None, doc="The file's types must be those of the atoms, atom by atom, unless it is ignore."
    )


VelocitiesSpec = Annotated[
    MaxwellBoltzmannVelocities | ZeroVelocities | InlineVelocities | FileVelocities, Field(discriminator="kind")
]


def draw_velocities(
    spec: VelocitiesSpec,
    *,
    masses: Float[np.ndarray, "atoms"],
    boltzmann: float,
    seed: int,
    folder: Path,
    degrees_of_freedom: int,
    units: Units,
    path: str = "system.velocities",
) -> Float[np.ndarray, "atoms 3"]:
    """The starting velocities: the same for the same arguments.

    Args:
        masses: of each atom.
        boltzmann: k_B.
        seed: of random velocities.
        folder: what relative paths are relative to.
        degrees_of_freedom: n_f of the instantaneous temperature (3N - 3 where total momentum is conserved).
        path: the config's path of `spec`, for errors.

    Raises:
        ConfigError: another number of atoms, a file without velocities, no motion left to scale, ...
    """
    count = len(masses)
    if isinstance(spec, ZeroVelocities):
        return np.zeros((count, 3))
    if isinstance(spec, InlineVelocities):
        return per_atom(spec.values, count, f"{path}.values")
    if isinstance(spec, FileVelocities):
        found = structure(folder, spec.path, spec.frame, units, path)
        if found.velocities is None:
            raise ConfigError(f"{spec.path} has no velocities; write another kind, such as maxwell_boltzmann", path)
        return per_atom(found.velocities, count, f"{path}.path")
    m = np.asarray(masses, float)[:, None]
    v = np.random.default_rng(seed).normal(size=(count, 3)) * np.sqrt(boltzmann * spec.temperature / m)
    if spec.remove_com:
        v -= np.sum(m * v, axis=0) / np.sum(m)
    if not spec.exact or spec.temperature == 0:
        return v
    twice_kinetic = float(np.sum(m * v * v))
    if degrees_of_freedom <= 0 or (count == 1 and spec.remove_com):
        raise ConfigError(
            "cannot be had: a single atom without its centre of mass's motion is at rest", f"{path}.exact"
        )
    return v * np.sqrt(degrees_of_freedom * boltzmann * spec.temperature / twice_kinetic)
