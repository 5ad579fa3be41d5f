"""What a run starts from, as a person reads it: a row a number, and a warning where one is odd."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from diffmd.commands.config.setup import Setup
from diffmd.config.effective import EffectiveSystem
from diffmd.config.positions import LatticePositions
from diffmd.units import SYSTEMS

FEWEST_STEPS = 10
"""Of dt, that a vibration needs at least: with ten, Verlet's frequencies are off by 2 %; with pi it is unstable."""
_MOST_STEPS = 10_000
_LEAP = 0.1
"""Of the shortest distance: what the first step's force may move an atom by."""
_FAR = 3.0
"""How many times the bath's temperature the start's may be, or the other way round."""
_DENSEST = 23.0
"""g/cm^3: osmium has 22.6."""
_CLOSE_PACKED = 1.5
"""Somewhat over sqrt(2), of spheres packed as closely as can be."""
_OVERLAP = 0.7
"""Of the distance at which the pair force turns; in a hot liquid atoms come as near as 0.8."""
_LIGHTEST = 0.5
"""g/mol: hydrogen has 1.008."""
_ALONE = 0.5
"""Atoms within the cutoff of an atom, on average, under which atoms hardly meet."""
_FEW = 10


def setup_rows(setup: Setup) -> list[tuple[str, str]]:
    """Names and values, with units where they have names."""
    kinds = ", ".join(f"{name} {count}" for name, count in setup.atoms.items())
    rows = [("atoms", f"{sum(setup.atoms.values())} ({kinds})"), ("box", _box(setup))]
    if setup.number_density is not None and setup.mass_density is not None:
        rows.append(("number density", _told(setup, setup.number_density, "1/length^3")))
        rows.append(("mass density", f"{setup.mass_density:.4g}{' g/cm3' if setup.units == 'md' else ''}"))
    if setup.neighbors is not None and setup.cutoff is not None:
        cutoff = _told(setup, setup.cutoff, "length")
        rows.append(("neighbors", f"{setup.neighbors:.3g} of an atom within the cutoff of {cutoff}, on average"))
    rows.append(("degrees of freedom", str(setup.degrees_of_freedom)))
    if not setup.minimizes:
        bath = "" if setup.bath_temperature is None else f", bath {_told(setup, setup.bath_temperature, 'temperature')}"
        rows.append(("temperature", f"{_told(setup, setup.temperature, 'temperature')} at the start{bath}"))
    if (near := setup.shortest_distance) is not None:
        rows.append(("shortest distance", f"{_told(setup, near.distance, 'length')}, atoms {listed(near.atoms)}"))
    push = setup.largest_force
    without = f", without {listed([f'potentials.{name}' for name in setup.unseen])}" if setup.unseen else ""
    force = "not known" if push is None else f"{_told(setup, push.force, 'energy/length')}, atom {push.atom}"
    rows.append(("largest force", f"{force}{without}"))
    rows.append(("run", f"{setup.steps} steps of {_told(setup, setup.dt, 'time')}, {_told(setup, setup.time, 'time')}"))
    if (mode := setup.stiffest_vibration) is not None and setup.steps_per_period is not None:
        period = f"{_told(setup, mode.period, 'time')}, {setup.steps_per_period:.3g} steps"
        rows.append(("stiffest vibration", f"{period}, potentials.{mode.potential}, atoms {listed(mode.atoms)}"))
    return rows


def setup_warnings(setup: Setup, one: EffectiveSystem) -> list[str]:
    """What is odd, with the place in the config and what to write instead; of what blows a run up, the likeliest."""
    density, masses = list(_of_density(setup, one)), list(_of_masses(setup, one))
    found = [*density, *masses, *_of_charges(one), *_of_temperature(setup, one)]
    if _crowded(setup) or masses:
        # Forces and time step are odd for this reason.
        return found
    steps = list(_of_time_step(setup, one))
    return [*found, *(_of_distance(setup, one) if _overlapping(setup) or not steps else ()), *steps]


def _crowded(setup: Setup) -> bool:
    """Whether atoms that are too large for their room are why forces are huge. Where forces are not, there is nothing
    to explain: bonds, and the charges of water, hold atoms closer than their pair potential alone would.
    """
    near, steps = setup.shortest_distance, setup.steps_per_period
    thrown = near is not None and not setup.minimizes and setup.leap > _LEAP * near.distance
    return setup.crowding is not None and setup.crowding.value > _CLOSE_PACKED and (thrown or _too_few(steps))


def _too_few(steps: float | None) -> bool:
    return steps is not None and steps < FEWEST_STEPS


def _overlapping(setup: Setup) -> bool:
    """Whether two atoms are much nearer than the pair potential lets them: or none says how near."""
    near, crowd = setup.shortest_distance, setup.crowding
    return near is not None and (crowd is None or near.distance < _OVERLAP * crowd.diameter)


def _of_density(setup: Setup, one: EffectiveSystem) -> Iterator[str]:
    box, md, crowd = _place_of_density(one), setup.units == "md", setup.crowding
    if crowd is not None and _crowded(setup):
        unit = "; lengths are nm, 1 A is 0.1 nm" if md else ""
        yield (
            f"{box}: atoms that keep {_told(setup, crowd.diameter, 'length')} apart (potentials.{crowd.potential}) "
            f"have less room than spheres packed as closely as can be: diameter^3 times density is {crowd.value:.3g}, "
            f"where those have 1.41 and liquids 1.2 at most; give them more room, or check their sizes{unit}"
        )
    elif md and setup.mass_density is not None and setup.mass_density > _DENSEST:
        yield (
            f"{box}: {setup.mass_density:.3g} g/cm3 is denser than any matter (osmium has 22.6): lengths are nm (1 A "
            "is 0.1 nm) and masses g/mol; take a larger box, or fewer atoms"
        )
    many = sum(setup.atoms.values()) >= _FEW
    if setup.box is not None and many and setup.neighbors is not None and setup.neighbors < _ALONE:
        hint = "; lengths are nm, and a box written in A is 1000 times too large" if md else ""
        yield (
            f"{box}: an atom has {setup.neighbors:.2g} others within the cutoff of {setup.cutoff:.4g} on average, so "
            f"they hardly meet; if this is not meant to be a thin gas, take a smaller box{hint}"
        )


def _place_of_density(one: EffectiveSystem) -> str:
    """Where the config says how much room there is."""
    by_density = one.system.box == "auto" and isinstance(one.system.positions, LatticePositions)
    return f"{one.system_path}.{'positions.density' if by_density else 'box'}"


def _of_masses(setup: Setup, one: EffectiveSystem) -> Iterator[str]:
    if setup.units == "md" and setup.lightest < _LIGHTEST:
        yield (
            f"{one.system_path}.atoms: a mass of {setup.lightest:.3g} g/mol is lighter than hydrogen's 1.008; masses "
            "are g/mol (argon: 39.948), not kg"
        )


def _of_charges(one: EffectiveSystem) -> Iterator[str]:
    system = one.system
    if np.any([group.charge for group in system.atoms]) or any(np.any(given) for given in system.charges.values()):
        place = "charges" if system.charges else "atoms"
        yield (
            f"{one.system_path}.{place}: no potential acts on charges: diffmd has no Coulomb potential, and they "
            "are only written into the trajectory"
        )


def _of_temperature(setup: Setup, one: EffectiveSystem) -> Iterator[str]:
    start, bath = setup.temperature, setup.bath_temperature
    if bath and start and not setup.minimizes and max(start / bath, bath / start) > _FAR:
        yield (
            f"{one.system_path}.velocities: the start is at {_told(setup, start, 'temperature')}, and the bath at "
            f"{_told(setup, bath, 'temperature')}; draw the velocities at the bath's temperature"
        )


def _of_distance(setup: Setup, one: EffectiveSystem) -> Iterator[str]:
    near, push = setup.shortest_distance, setup.largest_force
    if near is None:
        return
    pair = f"atoms {listed(near.atoms)}"
    if near.distance == 0:
        yield f"{one.system_path}.positions: {pair} are at the same place; move one of them"
    elif push is not None and not setup.minimizes and setup.leap > _LEAP * near.distance:
        force = f"the force of {_told(setup, push.force, 'energy/length')}, mostly of potentials.{push.potential},"
        yield (
            f"{one.system_path}.positions: {force} would move atom {push.atom} by {_told(setup, setup.leap, 'length')} "
            f"in the first step, where the nearest two, {pair}, are {_told(setup, near.distance, 'length')} apart; "
            "start further apart (`min_distance` of random positions), slide to a minimum first (integrator quickmin), "
            f"or shorten {one.dynamics_path}.integrator.dt"
        )


def _of_time_step(setup: Setup, one: EffectiveSystem) -> Iterator[str]:
    mode, steps = setup.stiffest_vibration, setup.steps_per_period
    if mode is None or steps is None or FEWEST_STEPS <= steps <= _MOST_STEPS:
        return
    dt, period = _told(setup, setup.dt, "time"), _told(setup, mode.period, "time")
    which = f"the stiffest vibration (potentials.{mode.potential}, atoms {listed(mode.atoms)}; period {period})"
    place = f"{one.dynamics_path}.integrator.dt"
    if steps < FEWEST_STEPS:
        wrong = "the motion is not stable" if steps < math.pi else "energies and frequencies are off"
        longest = _told(setup, mode.period / FEWEST_STEPS, "time")
        yield f"{place}: {dt} leaves {steps:.2g} steps to {which}, and {wrong}; take at most {longest}"
    else:
        better = _told(setup, mode.period / 20, "time")
        yield f"{place}: {dt} makes {steps:.3g} steps of a period of {which}; {better} would do"


def _box(setup: Setup) -> str:
    if setup.box is None:
        return "none (no periodicity)"
    unit = SYSTEMS[setup.units].symbol("length") or ""
    edges = setup.box if isinstance(setup.box[0], list) else [setup.box]
    return " / ".join(" ".join(f"{x:.5g}" for x in row) for row in edges) + f" {unit}".rstrip()


def _told(setup: Setup, value: float, dimension: str) -> str:
    """A number with its unit, where units have names."""
    unit = SYSTEMS[setup.units].symbol(dimension)
    return f"{value:.4g} {unit}" if unit else f"{value:.4g}"


def listed(words: Sequence[object]) -> str:
    """``3 and 7``, ``1, 2, 3``."""
    return " and ".join(map(str, words)) if len(words) <= 2 else ", ".join(map(str, words))
