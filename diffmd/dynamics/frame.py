"""What a frame of a trajectory shows to observables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jaxtyping import Array, Float

from diffmd.box import Box


@dataclasses.dataclass(frozen=True)
class Frame:
    """What an observable may look at: one instant of a trajectory.

    Attributes:
        positions: unwrapped.
        velocities: at the same time.
        masses: of each atom.
        box: at this time.
        potential_energy: computes the total potential energy when called (it costs a sweep).
        degrees_of_freedom: n_f in T = 2 E_kin / (n_f k_B).
    """

    positions: Float[Array, "atoms 3"]
    velocities: Float[Array, "atoms 3"]
    masses: Float[Array, "atoms"]
    box: Box
    potential_energy: Callable[[], Float[Array, ""]]
    degrees_of_freedom: int
