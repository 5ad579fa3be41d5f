"""What a system is like where it starts, in the numbers that tell whether a run of it can be right.

Pure functions of a problem and its values (`Problem.values`), whatever the potentials: the shortest distance, the
largest force, the stiffest vibration, how crowded the atoms are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.dynamics.spacing import nearest_atoms
from diffmd.forcefield import ForceField, Neighbors
from diffmd.objective import Problem
from diffmd.potentials.base import PairPotential
from diffmd.programs import Program
from diffmd.system import Values

_TOLERANCE = 1e-3
"""Relative, of the largest eigenvalue: half of it in the period."""
_SHARE = 0.5
"""Atoms that move with at least this part of the largest amplitude belong to a vibration."""
_MOST = 3
"""Atoms of a vibration that are named."""
_DISTANCES = 4000
"""At which a pair potential is looked at for its minimum, evenly in the logarithm."""


@dataclasses.dataclass(frozen=True)
class Contact:
    """Two atoms and their distance [length]."""

    distance: float
    atoms: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Push:
    """The largest force on an atom [energy/length], of all potentials together, and the potential that gives most of
    it (None: there are none)."""

    force: float
    atom: int
    potential: str | None


@dataclasses.dataclass(frozen=True)
class Vibration:
    """The stiffest vibration: its period [time], the potential that makes most of its stiffness, and its atoms, the
    one that moves most first; two atoms of the types, where it is that of a pair about its minimum."""

    period: float
    potential: str
    atoms: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Crowding:
    """How much room atoms have under a pair potential: the sum over atoms of d^3, d the distance that two of their type
    prefer, over the volume. Spheres of diameter d that touch and are packed as densely as can be have sqrt(2); liquids
    have about 1.2.

    Attributes:
        value: that sum over the volume.
        diameter: the largest d [length]: where the force turns from repulsion to attraction, or ends.
        density: atoms that the potential acts on, over the volume [1/length^3].
        potential: its name.
    """

    value: float
    diameter: float
    density: float
    potential: str


def shortest_distance(problem: Problem, values: Values) -> Contact | None:
    """The nearest two atoms, bonded or not; None for a lone atom."""
    box = problem.box(values)
    x = np.asarray(values["system.positions"], float)
    distance, other = nearest_atoms(x, np.asarray(box.vectors), box.shape)
    if not np.isfinite(distance).any():
        return None
    first = int(np.argmin(distance))
    return Contact(float(distance[first]), (min(first, int(other[first])), max(first, int(other[first]))))


def largest_force(problem: Problem, values: Values) -> Push:
    """The atom with the largest force; one without a finite force comes first, and its force is infinite."""
    each = forces_by_potential(problem, values, listed(problem, values))
    # Of potentials in the user's own files none is there where a config is only checked.
    size = _sizes(np.sum([np.zeros(np.shape(values["system.positions"])), *each.values()], axis=0))
    atom = int(np.argmax(size))
    by = {name: float(_sizes(forces)[atom]) for name, forces in each.items()}
    strongest = max(by, key=lambda name: by[name], default=None)
    return Push(float(size[atom]), atom, None if strongest is None or by[strongest] == 0 else strongest)


def forces_by_potential(
    problem: Problem, values: Values, neighbors: Neighbors
) -> dict[str, Float[np.ndarray, "atoms 3"]]:
    """The forces of each potential at the values' positions, by its name."""
    parts = _parts(problem)

    def each(values: Values, neighbors: Neighbors) -> dict[str, Array]:
        return {name: _forces_of(problem, field, values, neighbors) for name, field in parts.items()}

    return {name: np.asarray(force, float) for name, force in Program(each)(values, neighbors).items()}


def stiffest_period(problem: Problem, values: Values) -> Vibration | None:
    """The shortest period 2 pi / omega of small vibrations: about the positions, and of pairs about their minimum,
    where they will come to be; None where nothing pulls back, or forces are not finite.

    A time step is stable up to period / pi, and good up to a tenth of the period or less.
    """
    found = [one for one in (_vibration(problem, values), *_of_pairs(problem, values)) if one is not None]
    return min(found, key=lambda one: one.period, default=None)


def _of_pairs(problem: Problem, values: Values) -> Iterator[Vibration]:
    """The stiffest vibration of two atoms by each pair potential: omega^2 = u''(d) / mu, d where u is least and mu the
    reduced mass of the lightest atoms of the two types."""
    system = problem.dynamics.system
    masses = np.asarray(system.host_masses(values), float)
    order = np.argsort(masses, kind="stable")
    light = [order[system.types[order] == kind][:2] for kind in range(len(system.type_names))]
    for name, potential in problem.dynamics.forcefield.potentials.items():
        if not isinstance(potential, PairPotential):
            continue
        pairs = _Pairs.of(problem, values, name, potential)
        atoms = [(light[i][0], light[j][0] if i != j else light[j][-1]) for i, j in zip(*pairs.kinds, strict=True)]
        inverse = np.array([1 / masses[i] + 1 / masses[j] if i != j else 0 for i, j in atoms])
        square = np.where(pairs.preferred > 0, pairs.curvature() * inverse, 0)
        first = int(np.argmax(square))
        if square[first] > 0:
            i, j = atoms[first]
            yield Vibration(float(2 * np.pi / np.sqrt(square[first])), name, (int(i), int(j)))


def _vibration(problem: Problem, values: Values) -> Vibration | None:
    """The stiffest vibration about the positions, omega^2 the largest eigenvalue of the mass-weighted second
    derivatives M^-1/2 H M^-1/2.

    It is found by Lanczos iterations over products of H with vectors, so that any potential will do, in the memory of
    a few forces.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    neighbors, parts = listed(problem, values), _parts(problem)
    if not parts:
        return None
    x = values["system.positions"]
    roots = np.sqrt(np.asarray(problem.dynamics.system.host_masses(values), float))[:, None]

    @Program
    def products(values: Values, neighbors: Neighbors, v: Array) -> dict[str, Array]:
        """H v of each potential; H is symmetric, so that the adjoint of the forces gives it."""

        def pulled(field: ForceField) -> Array:
            def forces(x: Array) -> Array:
                return _forces_of(problem, field, {**values, "system.positions": x}, neighbors)

            return -jax.vjp(forces, values["system.positions"])[1](v)[0]

        return {name: pulled(field) for name, field in parts.items()}

    def weighted(u: Float[np.ndarray, "n3"]) -> dict[str, Float[np.ndarray, "n3"]]:
        found = products(values, neighbors, jnp.asarray(u.reshape(x.shape) / roots, x.dtype))
        return {name: (np.asarray(array, float) / roots).reshape(-1) for name, array in found.items()}

    def whole(u: Float[np.ndarray, "n3"]) -> Float[np.ndarray, "n3"]:
        total: np.ndarray = np.sum(list(weighted(u).values()), axis=0)
        return total

    first = np.random.default_rng(1).standard_normal(x.size)
    if not np.isfinite(whole(first)).all():
        return None
    try:
        operator = LinearOperator((x.size, x.size), matvec=whole, dtype=float)
        (square,), vectors = eigsh(operator, 1, which="LA", v0=first, tol=_TOLERANCE)
    except ArpackError:
        # No tolerance is reached where all is zero.
        return None
    if not square > 0:
        return None
    mode = vectors[:, 0]
    shares = {name: float(mode @ part) for name, part in weighted(mode).items()}
    amplitude = np.linalg.norm(mode.reshape(-1, 3) / roots, axis=1)
    order = np.argsort(-amplitude, kind="stable")[:_MOST]
    atoms = tuple(int(atom) for atom in order if amplitude[atom] >= _SHARE * amplitude[order[0]])
    return Vibration(float(2 * np.pi / np.sqrt(square)), max(shares, key=lambda name: shares[name]), atoms)


def crowding(problem: Problem, values: Values) -> Crowding | None:
    """The most crowding of any pair potential; None without periodicity, or where none repels."""
    box, system = problem.box(values), problem.dynamics.system
    if not box.periodic:
        return None
    volume = abs(float(np.linalg.det(np.asarray(box.vectors, float))))
    counts = np.bincount(system.types, minlength=len(system.type_names))
    found = []
    for name, potential in problem.dynamics.forcefield.potentials.items():
        if isinstance(potential, PairPotential):
            pairs = _Pairs.of(problem, values, name, potential)
            own = pairs.preferred[pairs.kinds[0] == pairs.kinds[1]]
            value, acting = float(np.sum(counts * own**3) / volume), counts[own > 0].sum()
            found.append(Crowding(value, float(own.max()), float(acting / volume), name))
    return max((one for one in found if one.value > 0), key=lambda one: one.value, default=None)


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """A pair potential between the types.

    Attributes:
        kinds: the two types of each pair of types.
        tables: its parameters of each pair of types, as columns.
        preferred: where, from within, the force first stops to repel; 0 if it never repels.
    """

    potential: PairPotential
    kinds: tuple[Int[np.ndarray, "kinds"], Int[np.ndarray, "kinds"]]
    tables: dict[str, Array]
    preferred: Float[np.ndarray, "kinds"]

    @staticmethod
    def of(problem: Problem, values: Values, name: str, potential: PairPotential) -> _Pairs:
        i, j = np.triu_indices(len(problem.dynamics.system.type_names))
        x = np.asarray(values["system.positions"], float)
        far = float(np.ptp(x, axis=0).max(initial=0)) or 1.0
        edge, least = (far * 1e3, 1e-6) if potential.cutoff is None else (potential.cutoff, 1e-3)
        r = edge * np.geomspace(least, 1, _DISTANCES)

        def sloping(numbers: dict[str, Array], r2: Array) -> tuple[dict[str, Array], Array]:
            given = potential.pair_parameters(numbers)
            tables = {key: value if value.ndim == 0 else value[i, j, None] for key, value in given.items()}
            return tables, _slope(potential, tables, r2)

        numbers = dict(problem.dynamics.forcefield.parameters(values, name))
        r2 = np.broadcast_to(r**2, (len(i), _DISTANCES)).astype(values["system.positions"].dtype)
        tables, slopes = Program(sloping)(numbers, r2)
        slope = np.asarray(slopes, float)
        repels = slope < 0
        first = np.argmax(repels, axis=1)
        ends = ~repels & (np.arange(_DISTANCES) > first[:, None])
        after = np.maximum(np.argmax(ends, axis=1), 1)
        rows = np.arange(len(i))
        low, high = slope[rows, after - 1], slope[rows, after]
        crossing = r[after - 1] + (r[after] - r[after - 1]) * low / np.where(low == high, 1, low - high)
        preferred = np.where(ends.any(axis=1), crossing, edge if potential.cutoff is not None else 0)
        return _Pairs(potential, (i, j), tables, np.where(repels.any(axis=1), preferred, 0))

    def curvature(self) -> Float[np.ndarray, "kinds"]:
        """u'' at the preferred distance: with S = du/d(r2), u'' = 2 S + 4 r2 dS/d(r2), where S = 0."""

        def curving(tables: dict[str, Array], r2: Array) -> Array:
            slope = lambda r2: _slope(self.potential, tables, r2)  # noqa: E731
            return 4 * r2 * jax.jvp(slope, (r2,), (jnp.ones_like(r2),))[1]

        r2 = np.where(self.preferred > 0, self.preferred, 1)[:, None] ** 2
        return np.asarray(Program(curving)(self.tables, r2), float)[:, 0]


def _slope(potential: PairPotential, tables: dict[str, Array], r2: Array) -> Array:
    """S = du/d(r2)."""
    return jax.jvp(lambda r2: potential.pair_energy(r2, tables), (r2,), (jnp.ones_like(r2),))[1]


def listed(problem: Problem, values: Values) -> Neighbors:
    """A list of all pairs that interact at the values' positions."""
    return problem.dynamics.forcefield.listed(values, problem.box(values))


def _parts(problem: Problem) -> dict[str, ForceField]:
    field = problem.dynamics.forcefield.with_mode("reverse")
    return {name: field.only(name) for name in field.potentials}


def _forces_of(problem: Problem, field: ForceField, values: Values, neighbors: Neighbors) -> Array:
    return field.forces(values, values["system.positions"], problem.box(values), neighbors)


def _sizes(forces: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "atoms"]:
    size = np.linalg.norm(forces, axis=1)
    return np.where(np.isfinite(size), size, np.inf)
