"""Whether the molecules of a sampled fluid have changed places: of one that froze there is a single arrangement."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from diffmd.connectivity import molecules_of
from diffmd.forcefield import ForceField
from diffmd.potentials.base import TermForce, TermPotential

_FEWEST = 8
"""Molecules of a fluid, at least."""
_FRAMES = 8
_MOVED = 0.5
"""Of the mean distance of molecules: who has moved by less has its neighbours still."""
_GOES_ON = 1.4
"""Factor by which the mean square displacement grows in twice the time, where it does: 2 in a fluid, 1 in a solid."""


def molecules(forcefield: ForceField) -> Int[np.ndarray, "atoms"]:
    """Number of the molecule of each atom: what bonded terms hold together."""
    listed = [
        np.asarray(potential.atoms)
        for potential in forcefield.potentials.values()
        if isinstance(potential, TermPotential | TermForce)
    ]
    links = [terms[:, place : place + 2] for terms in listed for place in range(terms.shape[1] - 1)]
    pairs = np.concatenate([np.zeros((0, 2), int), *links])
    return molecules_of(pairs, forcefield.system.size)


def still(frames: Float[np.ndarray, "frames atoms 3"], molecule: Int[np.ndarray, "atoms"], volume: float) -> str | None:
    """A sentence where molecules have not left their places; None where they have, or are too few to be a fluid.

    Looked at is the root of the mean square displacement of the molecules' centres, against their common motion, over
    half of the sampled time, as a part of the mean distance (V / n)^(1/3).
    """
    count = int(molecule.max()) + 1
    if count < _FEWEST or len(frames) < _FRAMES:
        return None
    sums = np.zeros((count, len(frames), 3))
    np.add.at(sums, molecule, frames.swapaxes(0, 1))
    centres = sums.swapaxes(0, 1) / np.bincount(molecule)[:, None]
    centres -= centres.mean(axis=1, keepdims=True)
    half, quarter = (_square(centres, lag) for lag in (len(frames) // 2, len(frames) // 4))
    moved = float(np.sqrt(half) / (volume / count) ** (1 / 3))
    if moved >= _MOVED:
        return None
    what = "atoms" if count == len(molecule) else "molecules"
    sentence = f"in half of the sampled time the {what} move by {moved:.2g} of their mean distance"
    if half < _GOES_ON * quarter:
        return (
            f"{sentence}, and by no more the longer they have: diffusion has stopped (a crystal or a glass), and this "
            "is the average over one arrangement; a fluid needs a higher temperature, or a start that is not frozen"
        )
    return f"{sentence}: too short a run for a fluid to change its arrangement; write more steps"


def _square(centres: Float[np.ndarray, "frames molecules 3"], lag: int) -> float:
    """Mean square displacement in so many frames."""
    return float(np.mean(np.sum((centres[lag:] - centres[:-lag]) ** 2, axis=-1)))
