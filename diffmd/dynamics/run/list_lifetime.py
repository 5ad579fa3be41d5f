"""How many steps a neighbour list may serve, guessed before the run: as few as its fastest atom is likely to allow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_LONGEST = 20
"""Steps between two builds with which a run begins, at most."""

_LISTS = 10
"""So many lists with atoms independently as fast as they come: the fastest of all of them is the one that counts."""


def first_block(skin: float, speed: float, dt: float) -> int:
    """How many steps take an atom of that speed through half the skin."""
    allowed = skin / 2 / (speed * dt) if speed * dt > 0 else _LONGEST
    return max(1, int(min(allowed, _LONGEST)))


def likely_speed(
    velocities: Float[np.ndarray, "*replicas atoms 3"], masses: Float[np.ndarray, "atoms"], kt: float | None
) -> float:
    """The speed of the fastest atom that a run is likely to see.

    That is the fastest atom's now or, where it is more, what the Maxwell-Boltzmann distribution leads one to expect at
    the temperature of these velocities, or at the one that is going to be held: with u = v (m / k_B T)^(1/2),

        P(u) -> (2 / pi)^(1/2) u exp(-u^2 / 2)

    is the chance of an atom to be faster, and that of the fastest of M is about 1 / M.

    Args:
        kt: k_B T of what holds the temperature; None where nothing does.
    """
    v2 = np.sum(np.asarray(velocities, float) ** 2, axis=-1)
    if not v2.size:
        return 0.0
    now = float(np.mean(masses * v2)) / 3
    chances = _LISTS * v2.size
    u = 3.0
    for _ in range(8):
        u = np.sqrt(2 * np.log(chances * np.sqrt(2 / np.pi) * u))
    thermal = u * np.sqrt(max(now, 0.0 if kt is None else kt) / np.min(masses))
    return float(max(np.sqrt(np.max(v2)), thermal))
