"""Why a run went wrong, as far as its numbers tell: sentences for the person who wrote the config."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffmd.diagnosis import crowding, forces_by_potential, largest_force, listed, shortest_distance, stiffest_period
from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.run.leap import Leap
from diffmd.dynamics.spacing import nearest_atoms
from diffmd.objective import Problem
from diffmd.paths import within
from diffmd.potentials.base import TermForce, TermPotential
from diffmd.potentials.terms import links
from diffmd.potentials.values import TermValue
from diffmd.system import System, Values

_LIGHTEST = 0.1
"""g/mol: nothing that moves by Newton's equations is lighter than a tenth of a hydrogen."""
_CROWDED = 2.0
"""Of `Crowding.value`: spheres packed as densely as can be have 1.41, solids under high pressure 1.6."""
_CLOSE = 0.7
"""Of the mean nearest distance: atoms that are closer were put on top of each other."""
_THROWN = 0.05
"""Of the mean nearest distance, in the first step."""
_FAST = 0.2
"""Of the mean nearest distance, in a step at the starting speed or the bath's."""
_COARSE = 0.1
"""Of the stiffest period: a longer time step is bad, past 0.32 (1 / pi) it is unstable."""
_GOOD = 0.05
"""Of the stiffest period: what to write."""
_ABSURD = 10
"""Periods in a time step: that is no time step chosen a little too long."""


def causes(problem: Problem, values: Values, dynamics: Dynamics, *, moved: bool) -> list[str]:
    """The likely causes of a run's end, likeliest first, each with its numbers; if there are none that stick out, the
    numbers themselves.

    Args:
        values: what the run starts from.
        dynamics: what ran.
        moved: whether it made a step; if not, no time step is to blame.
    """
    if not np.isfinite(np.asarray(values["system.positions"])).all():
        return []
    look = _Look(problem, values, dynamics)
    found = [sentence for sentence in (look.mass(), look.crowded() or look.overlap()) if sentence]
    if not moved:
        return found
    if not found:
        found = [sentence for sentence in (look.coarse() or look.fast(),) if sentence]
    return found or [look.numbers()]


class _Look:
    """The numbers of one system, made when first asked for."""

    def __init__(self, problem: Problem, values: Values, dynamics: Dynamics) -> None:
        self._problem, self._values, self._dynamics = problem, values, dynamics
        self._units = problem.dynamics.system.units
        self._leap = Leap(dynamics, values, problem.box(values))
        self._masses = np.asarray(problem.dynamics.system.host_masses(values), float)

    def _in(self, value: float, dimension: str) -> str:
        symbol = self._units.symbol(dimension)
        return f"{value:.3g}" if symbol is None else f"{value:.3g} {symbol}"

    @property
    def _dt(self) -> str:
        named = "dynamics.integrator.dt" if self._dynamics.section == "dynamics" else "the equilibration's dt"
        return f"{named} is {self._in(self._leap.time_step, 'time')}"

    def mass(self) -> str | None:
        """A mass that no atom has."""
        atom = int(np.argmin(self._masses))
        if not self._units.named or self._masses[atom] >= _LIGHTEST:
            return None
        system = self._problem.dynamics.system
        path = system.mass_paths[system.group[atom]]
        return (
            f"{path} is {self._in(self._masses[atom], 'mass')}, where a hydrogen atom has 1.008: masses are in g/mol, "
            "such as 39.95 for argon"
        )

    def crowded(self) -> str | None:
        """Atoms larger than their room."""
        found = crowding(self._problem, self._values)
        if found is None or found.value < _CROWDED:
            return None
        prefix = f"potentials.{found.potential}.sigma"
        sigmas = {k: float(np.max(v)) for k, v in self._values.items() if within(k, prefix)}
        density = self._in(found.density, "1/length^3") if self._units.named else f"{found.density:.3g}"
        if not sigmas:
            return (
                f"potentials.{found.potential}: atoms want to be {self._in(found.diameter, 'length')} apart, and at a "
                f"density of {density} they have no room for it; check its length against the box"
            )
        largest = max(sigmas, key=lambda path: sigmas[path])
        unit = f" (both take {self._units.symbol('length')}: 0.34 for argon's sigma)" if self._units.named else ""
        return (
            f"{largest} is {self._in(sigmas[largest], 'length')} at a density of {density}: sigma^3 times the density "
            f"is {sigmas[largest] ** 3 * found.density:.3g}, where a liquid has about 0.8 and a dense solid 1.1; check "
            f"the units of sigma and of the box{unit}"
        )

    def overlap(self) -> str | None:
        """Atoms that were put on top of each other: the one with the largest force, and its nearest."""
        push, system = largest_force(self._problem, self._values), self._problem.dynamics.system
        box, x = self._problem.box(self._values), np.asarray(self._values["system.positions"], float)
        distance, other = nearest_atoms(x, np.asarray(box.vectors), box.shape)
        near, typical = float(distance[push.atom]), self._leap.spacing
        thrown = push.force * self._leap.time_step**2 / (2 * self._masses[push.atom])
        # Of two atoms alone none is typical.
        if push.potential is None or not thrown > _THROWN * typical or (near > _CLOSE * typical and system.size > 2):
            return None
        i, j = (described(system, atom) for atom in sorted((push.atom, int(other[push.atom]))))
        return (
            f"atoms {i} and {j} start {self._in(near, 'length')} apart, and potentials.{push.potential} pushes them "
            f"with {self._in(push.force, 'energy/length')}; move them apart (a larger min_distance, where positions "
            "are drawn), or minimise first (integrator: {kind: quickmin, ...})"
        )

    def fast(self) -> str | None:
        """Atoms that are too fast for the time step by themselves."""
        if not self._leap.pace > _FAST * self._leap.scale:
            return None
        return (
            f"{self._dt}, in which the fastest atom goes {self._in(self._leap.pace, 'length')} at its starting speed "
            f"or the bath's, and the nearest atom is {self._in(self._leap.spacing, 'length')} away; "
            f"{self._at_most(_GOOD * self._leap.scale * self._leap.time_step / self._leap.pace)}, and check "
            "temperature, velocities and masses"
        )

    def coarse(self) -> str | None:
        """A time step that is too long for the stiffest vibration."""
        found = stiffest_period(self._problem, self._values)
        if found is None or self._leap.time_step <= _COARSE * found.period:
            return None
        atoms = " and ".join(described(self._problem.dynamics.system, atom) for atom in found.atoms)
        far = self._leap.time_step > _ABSURD * found.period
        unit = ", or check the units of masses and force constants" if far else ""
        return (
            f"{self._dt}, and the stiffest vibration (potentials.{found.potential}, atoms {atoms}) has a period of "
            f"{self._in(found.period, 'time')}; {self._at_most(_GOOD * found.period)}{unit}"
        )

    def _at_most(self, dt: float) -> str:
        return f"write at most {self._in(_rounded(dt), 'time')}"

    def numbers(self) -> str:
        """Nothing sticks out."""
        found, contact = stiffest_period(self._problem, self._values), shortest_distance(self._problem, self._values)
        told = [self._dt]
        if found is not None:
            period = self._in(found.period, "time")
            told.append(f"the stiffest vibration at the start (potentials.{found.potential}) takes {period}")
        if contact is not None:
            told.append(f"the shortest distance at the start is {self._in(contact.distance, 'length')}")
        return f"{', '.join(told)}: none is odd by itself; use a smaller dt, and look at the frames before"


def described(system: System, atom: int) -> str:
    """``17 (Ar)``."""
    return f"{atom} ({system.type_names[system.types[atom]]})"


def broken(problem: Problem, values: Values) -> str | None:
    """What of a potential is not finite at the values' positions: its atoms, and the length that they are at; None
    where all is, or the positions are not finite themselves."""
    x = np.asarray(values["system.positions"], float)
    if not np.isfinite(x).all():
        return None
    return next(_broken(problem, values, x), None)


def _broken(problem: Problem, values: Values, x: np.ndarray) -> Iterator[str]:
    field, box, system = problem.dynamics.forcefield, problem.box(values), problem.dynamics.system
    unit = system.units.symbol("length")

    def length(value: float) -> str:
        return f"{value:.4g}" if unit is None else f"{value:.4g} {unit}"

    forces = forces_by_potential(problem, values, listed(problem, values))
    for name, potential in field.potentials.items():
        if isinstance(potential, (TermPotential, TermForce)):
            p = field.parameters(values, name)
            v = links(field.tables[name], values["system.positions"], box)
            energies = np.asarray(potential.term_energies(p, v), float)
            for term in np.flatnonzero(~np.isfinite(energies)):
                atoms = " and ".join(described(system, int(atom)) for atom in potential.atoms[term])
                sizes = np.linalg.norm(np.asarray(v[term], float), axis=-1)
                told = f"potentials.{name}: term {term}, of atoms {atoms},"
                limit = None if potential.limit is None else vars(potential)[potential.limit]
                if isinstance(limit, TermValue):
                    most = float(np.broadcast_to(np.asarray(limit.values(p)), energies.shape)[term])
                    yield f"{told} is {length(float(sizes.max()))} long, and {potential.limit} is {length(most)}"
                yield f"{told} has no finite energy at a length of {' and '.join(length(float(s)) for s in sizes)}"
        stray = np.flatnonzero(~np.isfinite(forces[name]).all(axis=1))
        if len(stray):
            distance, other = nearest_atoms(x, np.asarray(box.vectors), box.shape)
            first = int(stray[np.argmin(distance[stray])])
            yield (
                f"potentials.{name} gives atom {described(system, first)} no finite force: atom "
                f"{described(system, int(other[first]))} is {length(float(distance[first]))} away"
            )


def _rounded(dt: float) -> float:
    """dt down to one digit, as people write it."""
    if not (np.isfinite(dt) and dt > 0):
        return dt
    scale = 10.0 ** np.floor(np.log10(dt))
    return float(np.floor(dt / scale) * scale)
