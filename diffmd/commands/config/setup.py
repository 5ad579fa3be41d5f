"""What a run starts from, in the numbers that a chemist checks first."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.box import minimum_image
from diffmd.config.build import BuiltSystem
from diffmd.config.checks.interactions import NotRead
from diffmd.diagnosis import (
    Contact,
    Crowding,
    Push,
    Vibration,
    crowding,
    largest_force,
    listed,
    shortest_distance,
    stiffest_period,
)
from diffmd.dynamics.run.host_loop import NonFiniteError
from diffmd.dynamics.run.schedule import Segment
from diffmd.forcefield import ForceField, Neighbors
from diffmd.neighbors import NeighborList, build, plan
from diffmd.objective import P, Problem, Ready
from diffmd.programs import Program
from diffmd.simulation import explain
from diffmd.system import Values
from diffmd.units import Units

GRAM_PER_CM3 = 1 / 602.214076
"""1 g/mol/nm^3 in g/cm^3: 10^21 nm^3/cm^3 over Avogadro's number (exact since the SI of 2019)."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """One system as its run starts, before any equilibration; in the config's units.

    Attributes:
        name: the system's.
        units: ``reduced`` or ``md``.
        atoms: number of atoms by type.
        box: edge lengths (3,) or box vectors (3, 3); None without periodicity.
        number_density: atoms over volume; None without a box.
        mass_density: mass over volume: g/cm^3 in md units; None without a box.
        crowding: of the pair potential that gives atoms least room (see `Crowding`); None where none repels.
        cutoff: the longest cutoff; None where there is none.
        neighbors: atoms within the cutoff of an atom, on average, those left out by exclusions not counted; None
            without a cutoff.
        degrees_of_freedom: n_f in T = 2 E_kin / (n_f k_B).
        temperature: of the starting velocities.
        bath_temperature: that the integrator or thermostat holds, during equilibration where there is one; None
            without.
        lightest: the smallest mass.
        shortest_distance: of two atoms; None of one atom.
        largest_force: on an atom; None where no force is known.
        leap: how far that force alone would move its atom in the first step, F dt^2 / (2 m); 0 where none is known.
        unseen: potentials whose forces are not in it: they run Python of the user's own.
        steps, dt, time: of the run; time is steps times dt.
        stiffest_vibration: at the start; None where nothing pulls back.
        steps_per_period: of the stiffest vibration.
        minimizes: whether the run slides to a minimum rather than follows the motion.
    """

    name: str
    units: str
    atoms: dict[str, int]
    box: list[Any] | None
    number_density: float | None
    mass_density: float | None
    crowding: Crowding | None
    cutoff: float | None
    neighbors: float | None
    degrees_of_freedom: int
    temperature: float
    bath_temperature: float | None
    lightest: float
    shortest_distance: Contact | None
    largest_force: Push | None
    leap: float
    unseen: list[str]
    steps: int
    dt: float
    time: float
    stiffest_vibration: Vibration | None
    steps_per_period: float | None
    minimizes: bool


def setup_of(one: BuiltSystem, p: P, ready: Ready) -> Setup:
    """The numbers of a system whose run starts from `ready`.

    Raises:
        NumericalError: a force is not finite; it is told as a run would tell it.
    """
    problem, held = one.problem, ready.values[one.name]
    system, values = problem.dynamics.system, problem.values(p, held)
    box, masses = problem.box(values), np.asarray(system.host_masses(values), float)
    unseen = _unseen(problem, values)
    seen = _without(problem, unseen)
    known = bool(seen.dynamics.forcefield.potentials)
    push = largest_force(seen, values) if known else None
    if push is not None and not np.isfinite(push.force):
        failure = NonFiniteError(problem.name, Segment(0, 1, 0, ()))
        raise explain(seen, p, held, ready.key, ready.controls[one.name], failure)
    moves: Any = one.effective.dynamics.integrator
    dt = float(moves.build().parameters["dt"])
    space = abs(float(np.linalg.det(np.asarray(box.vectors, float)))) if box.periodic else None
    vibration = stiffest_period(seen, values) if known else None
    cutoff = seen.dynamics.forcefield.cutoff
    return Setup(
        name=one.name,
        units=system.units.name,
        atoms=dict(Counter(system.type_names[kind] for kind in system.types)),
        box=None if space is None else np.asarray(values["system.box"]).tolist(),
        number_density=None if space is None else system.size / space,
        mass_density=None if space is None else masses.sum() / space * _density_unit(system.units),
        crowding=crowding(seen, values),
        cutoff=cutoff,
        neighbors=None if cutoff is None else _neighbors_within(seen, values, cutoff),
        degrees_of_freedom=problem.dynamics.degrees_of_freedom,
        temperature=_temperature(problem, values),
        bath_temperature=_bath(one, values),
        lightest=float(masses.min()),
        shortest_distance=shortest_distance(problem, values),
        largest_force=push,
        leap=0.0 if push is None else push.force / masses[push.atom] * dt**2 / 2,
        unseen=sorted(unseen),
        steps=problem.steps,
        dt=dt,
        time=problem.steps * dt,
        stiffest_vibration=vibration,
        steps_per_period=None if vibration is None else vibration.period / dt,
        minimizes=problem.dynamics.integrator.minimizes,
    )


def _density_unit(units: Units) -> float:
    """What a unit of mass over volume is in g/cm^3, in md units."""
    return GRAM_PER_CM3 if units.name == "md" else 1.0


def _unseen(problem: Problem, values: Values) -> set[str]:
    """Potentials that run Python of the user's own, which is not imported here: only their shapes are traced."""
    field, box, x = problem.dynamics.forcefield, problem.box(values), values["system.positions"]
    everything = plan("all_pairs", np.asarray(x), box, None, 0.0, field.system.excluded)
    found = set()
    for name in field.potentials:
        alone = field.only(name)

        def energy(x: Array, alone: ForceField = alone) -> Array:
            return alone.energy(values, x, box, build(everything, x, box, field.system.excluded))

        try:
            jax.eval_shape(energy, x)
        except NotRead:
            found.add(name)
    return found


def _without(problem: Problem, unseen: set[str]) -> Problem:
    """The problem without some of its potentials."""
    field = problem.dynamics.forcefield
    kept = {name: potential for name, potential in field.potentials.items() if name not in unseen}
    dynamics = dataclasses.replace(problem.dynamics, forcefield=ForceField.create(field.system, kept, field.mode))
    return dataclasses.replace(problem, dynamics=dynamics)


def _neighbors_within(problem: Problem, values: Values, cutoff: float) -> float:
    """How many atoms that interact with it lie within the cutoff of an atom, on average."""

    def mean(values: Values, near: Neighbors) -> Array:
        x = values["system.positions"]
        others = x[near.indices] if isinstance(near, NeighborList) else x[None]
        d = x[:, None] - others
        d = jnp.stack(minimum_image(problem.box(values), (d[..., 0], d[..., 1], d[..., 2])), axis=-1)
        return jnp.mean(jnp.sum(near.mask & (jnp.sum(d * d, axis=-1) < cutoff**2), axis=1))

    return float(Program(mean)(values, listed(problem, values)))


def _temperature(problem: Problem, values: Values) -> float:
    """Of the velocities in the values."""
    dynamics = problem.dynamics

    def temperature(values: Values) -> Array:
        return dynamics.temperature(dynamics.system.masses(values), values["system.velocities"])

    return float(Program(temperature)(values))


def _bath(one: BuiltSystem, values: Values) -> float | None:
    """The temperature that is held first: by equilibration where there is one."""
    dynamics = one.problem.dynamics if one.equilibration is None else one.equilibration[0].dynamics
    held = dynamics.held_temperature(values)
    return None if held is None else float(held)
