"""What never changes in a run (`System`) and what evolves (`State`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.units import Units

Values = Mapping[str, Array]
"""Every differentiable number of one system by its path: ``system.positions``, ``system.atoms.0.mass``,
``potentials.lj.sigma.C``, ``dynamics.thermostat.temperature``. The one argument that gradients are taken of."""

OF_STATE = frozenset({"system.positions", "system.velocities", "system.box"})
"""Values that steps do not read: the state has them."""


@dataclasses.dataclass(frozen=True)
class System:
    """Atoms and their constant properties. Arrays are NumPy: they are structure, not data.

    Attributes:
        group: index of each atom's group: those of one share mass and charge.
        types: index into `type_names` of each atom.
        type_names: the types' names, in order of first appearance.
        excluded: pairs (pairs, 2), i < j, that pair potentials leave out.
        units: the unit system.
        mass_paths, charge_paths: where in `Values` the mass and charge of each group are: ``system.atoms.0.mass`` of
            groups that the config lists, ``system.masses.O`` of types that a file brings.
    """

    group: Int[np.ndarray, "atoms"]
    types: Int[np.ndarray, "atoms"]
    type_names: tuple[str, ...]
    excluded: Int[np.ndarray, "pairs 2"]
    units: Units
    mass_paths: tuple[str, ...]
    charge_paths: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of atoms."""
        return len(self.types)

    def masses(self, values: Values) -> Float[Array, "atoms"]:
        """Mass of each atom, from its group's."""
        return self._per_atom(values, self.mass_paths)

    def charges(self, values: Values) -> Float[Array, "atoms"]:
        """Charge of each atom, from its group's."""
        return self._per_atom(values, self.charge_paths)

    def host_masses(self, values: Values) -> Float[np.ndarray, "atoms"]:
        """`masses` of concrete values, on the host: there each operation of JAX would compile a program of its own."""
        return self._per_atom_on_host(values, self.mass_paths)

    def host_charges(self, values: Values) -> Float[np.ndarray, "atoms"]:
        """`charges` of concrete values, on the host."""
        return self._per_atom_on_host(values, self.charge_paths)

    def _per_atom_on_host(self, values: Values, paths: tuple[str, ...]) -> Float[np.ndarray, "atoms"]:
        by_group = [np.reshape(np.asarray(values[path]), (-1,)) for path in paths]
        counts, order = self._grouped
        return np.concatenate([np.broadcast_to(v, (n,)) for v, n in zip(by_group, counts, strict=True)])[order]

    def _per_atom(self, values: Values, paths: tuple[str, ...]) -> Float[Array, "atoms"]:
        by_group = [jnp.reshape(values[path], (-1,)) for path in paths]
        # A group's value is one number, or, read from a file or learnt `per: value`, one per atom of the group.
        if all(v.shape == (1,) for v in by_group):
            stacked = jnp.concatenate(by_group)
            # One group: a broadcast, whose transpose is a plain sum.
            return jnp.broadcast_to(stacked, (self.size,)) if len(paths) == 1 else stacked[self.group]
        counts, order = self._grouped
        filled = [jnp.broadcast_to(v, (n,)) for v, n in zip(by_group, counts, strict=True)]
        return jnp.concatenate(filled)[order]

    @property
    def _grouped(self) -> tuple[Int[np.ndarray, "groups"], Int[np.ndarray, "atoms"]]:
        """How many atoms each group has, and the place of each atom where the groups stand one after another."""
        return np.bincount(self.group), np.argsort(np.argsort(self.group, kind="stable"), kind="stable")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """What a step takes and gives back.

    Attributes:
        positions: unwrapped coordinates, so that a frame's positions are continuous.
        velocities: at the same time as the positions.
        forces: at the positions.
        box: the box at this time.
        step: number of steps done.
    """

    positions: Float[Array, "atoms 3"]
    velocities: Float[Array, "atoms 3"]
    forces: Float[Array, "atoms 3"]
    box: Box
    step: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moving:
    """A state as steps see it, by axis: rows are x, y and z, so that what is done to every atom or pair reads each of
    them from end to end.

    Attributes:
        positions, velocities, forces, box, step: as in `State`.
    """

    positions: Float[Array, "3 atoms"]
    velocities: Float[Array, "3 atoms"]
    forces: Float[Array, "3 atoms"]
    box: Box
    step: Int[Array, ""]

    @staticmethod
    def of(state: State) -> Moving:
        """The state by axis."""
        return Moving(state.positions.T, state.velocities.T, state.forces.T, state.box, state.step)

    @property
    def state(self) -> State:
        """The state by atom."""
        return State(self.positions.T, self.velocities.T, self.forces.T, self.box, self.step)
