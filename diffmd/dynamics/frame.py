"""What a frame of a trajectory shows to observables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from jaxtyping import Array, Float

from diffmd.box import Box
from diffmd.neighbors import AllPairs, NeighborList


@dataclasses.dataclass(frozen=True)
class Frame:
    """What an observable may look at: one instant of a trajectory.

    Attributes:
        positions: unwrapped.
        velocities: at the same time.
        masses: of each atom.
        box: at this time.
        time: step times dt; of a run that goes on from another, on from the time of the frame that it starts from.
        potential_energy: computes the total potential energy when called (it costs a sweep).
        potential_energies: computes each potential's energy by name (a sweep each).
        virial: computes W_ab = -dU/d(strain_ab) when called: for pairs the sum of d_a f_b, with d = x_i - x_j and f
            the force on i.
        hessian: computes d2U/dx dx when called, rows and columns by atom, then axis. It takes memory and time of 3N
            forces.
        degrees_of_freedom: n_f in T = 2 E_kin / (n_f k_B).
        neighbors: all pairs, or a list that is complete up to the longest cutoff of the potentials, with excluded pairs
            left out; None of a structure that is no frame of a run.
        held_temperature: the temperature that the integrator or thermostat holds; None where neither does.
    """

    positions: Float[Array, "atoms 3"]
    velocities: Float[Array, "atoms 3"]
    masses: Float[Array, "atoms"]
    box: Box
    time: Float[Array, ""]
    potential_energy: Callable[[], Float[Array, ""]]
    potential_energies: Callable[[], Mapping[str, Float[Array, ""]]]
    virial: Callable[[], Float[Array, "3 3"]]
    hessian: Callable[[], Float[Array, "n3 n3"]]
    degrees_of_freedom: int
    neighbors: AllPairs | NeighborList | None = None
    held_temperature: Float[Array, ""] | None = None
