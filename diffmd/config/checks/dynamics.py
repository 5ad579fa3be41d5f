"""Integrators with thermostats, equilibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import diffmd.potentials.base as potentials
from diffmd.config.effective import EffectiveSystem
from diffmd.errors import ConfigError


def dynamics_problems(one: EffectiveSystem) -> Iterator[ConfigError]:
    """Time steps that do not go with a thermostat."""
    dynamics, path = one.dynamics, one.dynamics_path
    yield from _coupling(dynamics.integrator, dynamics.thermostat, f"{path}.thermostat")
    equilibration = dynamics.equilibration
    if equilibration is not None:
        integrator = equilibration.integrator or dynamics.integrator
        yield from _coupling(integrator, equilibration.thermostat, f"{path}.equilibration.thermostat")


def _coupling(integrator: Any, thermostat: Any, path: str) -> Iterator[ConfigError]:
    numbers = {} if thermostat is None else thermostat.build().parameters
    moves = integrator.build()
    if moves.minimizes and thermostat is not None:
        yield ConfigError(
            "atoms that slide to a minimum have no temperature to set; leave the thermostat out, or take an "
            "integrator that moves them, such as velocity_verlet",
            path,
        )
        return
    dt = float(moves.parameters["dt"])
    if "tau" in numbers and dt > float(numbers["tau"]):
        yield ConfigError(
            f"{float(numbers['tau']):g} is shorter than the time step {dt:g}; velocities would change sign: "
            "lengthen tau or shorten dt",
            f"{path}.tau",
        )


def list_problems(one: EffectiveSystem, made: Mapping[str, potentials.Potential]) -> Iterator[ConfigError]:
    """A cell list without a cutoff to build it for, or that no step would leave complete."""
    if one.dynamics.neighbors.kind != "cell_list":
        return
    if one.dynamics.neighbors.skin == 0:
        yield ConfigError(
            "is 0: a cell list without a skin is out of date as soon as an atom moves; write a fraction of an atom's "
            "size, or kind: all_pairs",
            f"{one.dynamics_path}.neighbors.skin",
        )
    for path, potential in made.items():
        reaches_all = isinstance(potential, potentials.PairPotential) and potential.cutoff is None
        if reaches_all:
            yield ConfigError(
                f"cell_list needs a cutoff, which {path} has not; give it one, or write kind: all_pairs",
                f"{one.dynamics_path}.neighbors.kind",
            )
