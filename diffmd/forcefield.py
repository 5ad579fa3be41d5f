"""The force field: every potential of a system, pair potentials in one sweep."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box, transform
from diffmd.neighbors import AllPairs, NeighborList, NeighborPlan, build, plan
from diffmd.paths import below
from diffmd.potentials.base import EnergyPotential, PairPotential, Potential, TermForce, TermPotential
from diffmd.potentials.sweep import Mode, PairSweep, Sweep, Tables
from diffmd.potentials.terms import TermTable, term_energy, term_forces, term_virial
from diffmd.programs import Program
from diffmd.system import System, Values

Neighbors = AllPairs | NeighborList


@dataclasses.dataclass(frozen=True, eq=False)
class ForceField:
    """The sum of named potentials.

    Forces and energies are functions of ``values`` (parameters under ``potentials.<name>.``), positions, box and a
    neighbour list that holds every pair within `cutoff`. `mode` says which derivative the sweeps carry.
    """

    system: System
    potentials: Mapping[str, Potential]
    mode: Mode
    tables: Mapping[str, TermTable]

    @staticmethod
    def create(system: System, potentials: Mapping[str, Potential], mode: Mode) -> ForceField:
        """The force field of `potentials`, with the gather tables of its listed terms."""
        tables = {
            name: TermTable.create(potential.atoms, system.size, mode)
            for name, potential in potentials.items()
            if isinstance(potential, (TermPotential, TermForce))
        }
        return ForceField(system, potentials, mode, tables)

    def with_mode(self, mode: Mode) -> ForceField:
        """The same force field, carrying the derivative of another mode."""
        return self if mode == self.mode else ForceField.create(self.system, self.potentials, mode)

    @functools.cached_property
    def _by_kind(self) -> tuple[list[str], list[str]]:
        """The names of pair potentials, which share one sweep, and those of others."""
        pairs = [name for name, p in self.potentials.items() if isinstance(p, PairPotential)]
        return pairs, [name for name in self.potentials if name not in pairs]

    @property
    def needs_pairs(self) -> bool:
        """Whether any potential looks at neighbours."""
        return any(isinstance(p, (PairPotential, EnergyPotential)) for p in self.potentials.values())

    @property
    def cutoff(self) -> float | None:
        """The longest cutoff, None if a potential has none (then all pairs are needed)."""
        cutoffs = [p.cutoff for p in self.potentials.values() if isinstance(p, (PairPotential, EnergyPotential))]
        known = [c for c in cutoffs if c is not None]
        return None if len(known) < len(cutoffs) or not known else max(known)

    def parameters(self, values: Values, name: str) -> dict[str, Array]:
        """The values of one potential, by path below it."""
        return {own: value for key, value in values.items() if (own := below(key, f"potentials.{name}"))}

    def neighbors(self, plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box) -> Neighbors:
        """The atoms near each atom, but for excluded pairs. It carries no gradient."""
        return build(plan, positions, box, self.system.excluded)

    def listed(self, values: Values, box: Box) -> Neighbors:
        """A list of all pairs that interact at the values' positions."""
        x, cutoff = values["system.positions"], self.cutoff if self.needs_pairs else None
        made = plan("auto", np.asarray(x), box, cutoff, 0.1 * (cutoff or 0.0), self.system.excluded)
        # Compiled as one: operation by operation a list takes a second.
        found: Neighbors = Program(lambda x, box: self.neighbors(made, x, box))(x, box)
        return found

    def forces(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors
    ) -> Float[Array, "atoms 3"]:
        """F = -dU/dx of all potentials."""
        return self.acting(values, neighbors)(positions.T, box).T

    def acting(
        self, values: Values, neighbors: Neighbors
    ) -> Callable[[Float[Array, "3 atoms"], Box], Float[Array, "3 atoms"]]:
        """The forces as a function of the positions by axis, and the box; what hangs on the values alone is computed
        once."""
        pairs, others = self._by_kind
        sweep, q = self._pairs(values, pairs)

        def forces(x: Float[Array, "3 atoms"], box: Box) -> Float[Array, "3 atoms"]:
            total = sweep.forces(x, box, neighbors, q) if pairs else jnp.zeros_like(x)
            for name in others:
                total = total + self._other_forces(values, x.T, box, neighbors, name).T
            return total

        return forces

    def rounded_forces(
        self,
        values: Values,
        positions: Float[Array, "atoms 3"],
        box: Box,
        neighbors: Neighbors,
        scale: Float[Array, ""],
    ) -> tuple[Int[Array, "atoms 3"], Float[Array, ""]]:
        """Forces times `scale` as integers: those of pairs as in `PairSweep.rounded`, others rounded atom by atom.

        Returns:
            The integers, and the largest component that was rounded (nan if one is).
        """
        total, largest = jnp.zeros(positions.shape, np.int64), jnp.zeros((), positions.dtype)
        pairs, others = self._by_kind
        if pairs:
            sweep, q = self._pairs(values, pairs)
            total, largest = sweep.rounded(positions, box, neighbors, q, scale)
        for name in others:
            force = scale * self._other_forces(values, positions, box, neighbors, name)
            total = total + jnp.round(force).astype(np.int64)
            largest = jnp.maximum(largest, jnp.max(jnp.abs(force)))
        return total, largest

    def energy(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors
    ) -> Float[Array, ""]:
        """U of all potentials."""
        total = jnp.zeros((), positions.dtype)
        pairs, others = self._by_kind
        if pairs:
            per_atom = self.sweep(values, positions, box, neighbors, pairs, ("energies",)).energies
            assert per_atom is not None
            total = total + jnp.sum(per_atom)
        for name in others:
            total = total + self._other_energy(values, positions, box, neighbors, name)
        return total

    def energies(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors
    ) -> dict[str, Array]:
        """U of each potential by name (a sweep each; for reports)."""
        return {name: self.only(name).energy(values, positions, box, neighbors) for name in self.potentials}

    def virial(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors
    ) -> Float[Array, "3 3"]:
        """W = -dU/d(strain): positions and box vectors become x + x e, and W_ab = -dU/d(e_ab). For pairs this is the
        sum of d_a f_b, so that the pressure is (2 E_kin + tr W) / (3 V)."""
        total = jnp.zeros((3, 3), positions.dtype)
        pairs, others = self._by_kind
        if pairs:
            swept = self.sweep(values, positions, box, neighbors, pairs, ("virial",)).virial
            assert swept is not None
            total = total + swept
        for name in others:
            potential, p = self.potentials[name], self.parameters(values, name)
            if isinstance(potential, (TermPotential, TermForce)):
                total = total + term_virial(potential, self.tables[name], p, positions, box)
            elif isinstance(potential, EnergyPotential):
                total = total - _strain_derivative(potential, p, positions, box, neighbors)
        return total

    def hessian(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors
    ) -> Float[Array, "n3 n3"]:
        """d2U/dx dx, rows and columns by atom, then axis: the derivative of the forces, made symmetric to rounding.

        It is itself differentiable in every mode, as often as is wanted: it is made of plain sums.
        """
        plain = self.with_mode("plain")

        def forces(x: Float[Array, "n3"]) -> Float[Array, "n3"]:
            return plain.forces(values, x.reshape(positions.shape), box, neighbors).reshape(-1)

        curvature = -jax.jacfwd(forces)(positions.reshape(-1))
        return (curvature + curvature.T) / 2

    def without_potentials(self) -> ForceField:
        """The force field of atoms that do not interact."""
        return ForceField.create(self.system, {}, self.mode)

    def only(self, name: str) -> ForceField:
        """The force field with one potential alone."""
        return ForceField.create(self.system, {name: self.potentials[name]}, self.mode)

    def sweep(
        self,
        values: Values,
        positions: Float[Array, "atoms 3"],
        box: Box,
        neighbors: Neighbors,
        names: list[str],
        want: tuple[str, ...],
    ) -> Sweep:
        """The pair sweep over the potentials `names`; `want` as in `PairSweep`."""
        sweep, q = self._pairs(values, names)
        return sweep(positions, box, neighbors, q, want)

    def _pairs(self, values: Values, names: list[str]) -> tuple[PairSweep, Tables]:
        """The sweep of pair potentials, and their parameters."""
        q: Tables = {}
        members: dict[str, PairPotential] = {}
        for name in names:
            potential = self.potentials[name]
            assert isinstance(potential, PairPotential)
            members[name] = potential
            for key, value in potential.pair_parameters(self.parameters(values, name)).items():
                q[f"{name}/{key}"] = value

        def energy(r2: Array, spread: Mapping[str, Array]) -> Array:
            total = jnp.zeros_like(r2)
            for name, potential in members.items():
                own = {k[len(name) + 1 :]: v for k, v in spread.items() if k.startswith(f"{name}/")}
                total = total + potential.pair_energy(r2, own)
            return total

        return PairSweep(energy, self.system.types, self.mode), q

    def _other_forces(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors, name: str
    ) -> Float[Array, "atoms 3"]:
        potential, p = self.potentials[name], self.parameters(values, name)
        if isinstance(potential, (TermPotential, TermForce)):
            return term_forces(potential, self.tables[name], p, positions, box)
        assert isinstance(potential, EnergyPotential)
        slope: Array = jax.grad(potential.energy, argnums=1)(p, positions, box, neighbors)
        return -slope

    def _other_energy(
        self, values: Values, positions: Float[Array, "atoms 3"], box: Box, neighbors: Neighbors, name: str
    ) -> Array:
        potential, p = self.potentials[name], self.parameters(values, name)
        if isinstance(potential, (TermPotential, TermForce)):
            return term_energy(potential, self.tables[name], p, positions, box)
        assert isinstance(potential, EnergyPotential)
        return potential.energy(p, positions, box, neighbors)


def _strain_derivative(
    potential: EnergyPotential,
    p: Mapping[str, Array],
    positions: Float[Array, "atoms 3"],
    box: Box,
    neighbors: Neighbors,
) -> Float[Array, "3 3"]:
    """dU/d(strain) of an energy, by automatic differentiation."""
    # A right-angled box is sheared, too, and its images move with it.
    sheared = dataclasses.replace(box, shape="triclinic") if box.periodic else box

    def strained(strain: Float[Array, "3 3"]) -> Float[Array, ""]:
        vectors = sheared.vectors + transform(sheared.vectors, strain)
        moved = dataclasses.replace(sheared, vectors=vectors) if box.periodic else box
        return potential.energy(p, positions + transform(positions, strain), moved, neighbors)

    return jax.grad(strained)(jnp.zeros((3, 3), positions.dtype))
