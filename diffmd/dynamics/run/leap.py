"""How far an atom may go in one step: past that a run has blown up, and is no result.

An integrator follows forces that change little over a step. An atom that goes past the place of its neighbour in one
step has not felt it, and what forces it meets there are those of nobody's dynamics. So a step may not be longer than

    max( l, 10 dt max(fastest start, sqrt(3 k_B T / m), F / (m w)) ),   l = min(spacing, longest cutoff),

where the spacing is the mean over atoms of the distance to the nearest other one at the start (the mean, so that one
pair drawn close together does not set the scale), T the temperature that thermostat or heat bath hold and m the
lightest mass. l is the length over which forces change. The other part says that what start and bath alone explain is
no blow-up: atoms that hardly interact may cross boxes in a step. Of 10^10 speeds of a Maxwell distribution the largest
is about 4 times the root mean square, so 10 is never reached by chance. Potential energy that turns into motion within
l a step is dynamics; a run in which it makes atoms faster than that has a time step too long for it, unless they start
out in soft forces, within their length of each other: a bond pressed to nothing. There F / (m w) is the speed that the
force F on an atom gives, with w^2 = |H F| / |F| (both weighted with masses, H the second derivatives) how stiff the
system is along its forces; it counts where the step resolves that, dt w < 2 pi / 10.

What is measured is the way from position to position, so the rule holds for thermostats that reset velocities, too.
There is a wide gap to set the limit in: in a Lennard-Jones fluid (100 atoms, density 0.6, dt 0.005) drawn with
overlaps, runs that recover stay below 0.1 sigma at every step, those that do not reach 10^8 sigma within 2,000. A
minimiser has its own limit (max_step) and is not asked. All of it scales with the units.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
from jaxtyping import Array

from diffmd.box import Box
from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.spacing import nearest_atoms
from diffmd.forcefield import Neighbors
from diffmd.programs import Program
from diffmd.system import Values

_BY_ITSELF = 10.0
"""Times the fastest start, the bath's root mean square speed, or that of the forces."""
_RESOLVED = 2 * np.pi / 10
"""Of a period, in radians: a tenth."""


@dataclasses.dataclass(frozen=True, eq=False)
class Leap:
    """The limit of one system's run.

    Attributes:
        dynamics: what runs.
        values: what it starts from.
        box: that of the values.
    """

    dynamics: Dynamics
    values: Values
    box: Box

    def over(self, furthest: float) -> bool:
        """Whether an atom that went this far in one step [length] went too far."""
        if self.dynamics.integrator.minimizes or not furthest > self.by_itself:
            return False
        # Forces are looked at last: that takes a compilation.
        return bool(furthest > self.scale and furthest > _BY_ITSELF * self.released)

    @functools.cached_property
    def by_itself(self) -> float:
        """What start and bath explain [length]."""
        return _BY_ITSELF * self.pace

    @functools.cached_property
    def pace(self) -> float:
        """How far the fastest start, or the bath's root mean square speed, goes in one step [length]."""
        speeds = [float(np.sqrt(np.max(np.sum(np.asarray(self.values["system.velocities"]) ** 2, axis=1), initial=0)))]
        bath = self.dynamics.held_temperature(self.values)
        if bath is not None:
            lightest = float(np.min(self.dynamics.system.host_masses(self.values)))
            square = 3 * self.dynamics.system.units.boltzmann * float(bath) / lightest
            speeds.append(float(np.sqrt(max(square, 0.0))))
        return max(speeds) * self.time_step

    @functools.cached_property
    def released(self) -> float:
        """How far the speed that the forces of the start give goes in one step [length]; 0 where it is too long for
        them."""
        field, x = self.dynamics.forcefield.with_mode("reverse"), self.values["system.positions"]
        neighbors = field.listed(self.values, self.box)
        masses = self.dynamics.system.masses(self.values)[:, None]

        @Program
        def pushed(values: Values, neighbors: Neighbors, x: Array) -> tuple[Array, Array]:
            """F / m, and how it changes along itself; H is symmetric, so that the adjoint of the forces gives it."""
            forces, pull = jax.vjp(lambda x: field.forces(values, x, self.box, neighbors), x)
            return forces / masses, pull(forces / masses)[0] / masses

        given, changed = (np.asarray(part, float) for part in pushed(self.values, neighbors, x))
        weights = np.sqrt(np.asarray(masses, float))
        force, stiff = np.linalg.norm(weights * given), np.linalg.norm(weights * changed)
        if not (np.isfinite(stiff) and force > 0):
            return 0.0
        if stiff == 0:
            return np.inf
        frequency = np.sqrt(stiff / force)
        resolved = self.time_step * frequency < _RESOLVED
        return float(np.linalg.norm(given, axis=1).max() / frequency * self.time_step) if resolved else 0.0

    @functools.cached_property
    def time_step(self) -> float:
        """dt."""
        return float(self.dynamics.numbers(self.values, "integrator")["dt"])

    @functools.cached_property
    def scale(self) -> float:
        """l [length]: infinite for an atom alone in space."""
        cutoff = self.dynamics.forcefield.cutoff
        return min(self.spacing, np.inf if cutoff is None else cutoff)

    @functools.cached_property
    def spacing(self) -> float:
        """The mean distance of an atom's nearest other one at the start [length]."""
        x = np.asarray(self.values["system.positions"], float)
        distance, _ = nearest_atoms(x, np.asarray(self.box.vectors), self.box.shape)
        return float(np.mean(distance))
