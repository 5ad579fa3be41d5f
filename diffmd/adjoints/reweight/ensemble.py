"""A sampled ensemble, and averages over it at other parameters than those it was sampled at.

Frames x_f were sampled with the weight exp(-beta_0 U(x; p_0)). At parameters p each counts

    w_f = exp(-(beta U(x_f; p) - beta_0 U(x_f; p_0))) / (the same, summed over frames),

so that <O>_p = sum_f w_f O(x_f; p). Source: R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954), doi:10.1063/1.1740409.
How many frames still count is the exponential of the weights' entropy,

    n_eff = exp(-sum_f w_f ln w_f),

which is F for equal weights and 1 where one frame has it all: the measure of DiffTRe (S. Thaler and J. Zavadlav, Nat.
Commun. 12, 6884 (2021), doi:10.1038/s41467-021-27241-4). It tells of the weights alone: frames that follow each other
closely in time are no independent samples, which is what `diffmd.adjoints.reweight.influence` sees.

Every term of a loss is a function of weighted means, S = sum_f w_f phi(O_f), and nothing else:

========  ==========================  ====================
reduce    phi                         compared
========  ==========================  ====================
mean      O                           S
variance  ((O - c)^2, O - c)          S_1 - S_2^2
none      compare(O)                  (S itself)
========  ==========================  ====================

with any constant c: the mean, so that nothing cancels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffmd.losses import LossTerm, compared

Places = tuple[int, ...]
"""Which frames of the ensemble, in order of time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What a run of the dynamics left.

    Attributes:
        frames: positions at each frame, as held values: with the box of the config, whatever box was sampled.
        positions, velocities: after the last step, where the next sampling goes on; positions as held values.
        step: number of the last step, so that the next sampling draws noise of its own.
    """

    frames: Float[np.ndarray, "frames atoms 3"]
    positions: Float[np.ndarray, "atoms 3"]
    velocities: Float[np.ndarray, "atoms 3"]
    step: int


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """A sample, and beta_0 U(x_f; p_0) of each of its frames."""

    sample: Sample
    energies: Float[np.ndarray, "frames"]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint."""
        sample = self.sample
        return {
            "frames": sample.frames,
            "energies": self.energies,
            "positions": sample.positions,
            "velocities": sample.velocities,
            "step": np.asarray(sample.step),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> Ensemble:
        """The reverse of `to_arrays`."""
        sample = Sample(arrays["frames"], arrays["positions"], arrays["velocities"], int(arrays["step"]))
        return Ensemble(sample, arrays["energies"])


def weights(energies: Float[Array, "frames"], reference: Float[Array, "frames"]) -> Float[Array, "frames"]:
    """w_f, from beta U(x_f; p) and beta_0 U(x_f; p_0)."""
    return jax.nn.softmax(reference - energies)


def effective_samples(energies: Float[np.ndarray, "frames"], reference: Float[np.ndarray, "frames"]) -> float:
    """n_eff = exp(-sum_f w_f ln w_f), from 1 to the number of frames; 0 where an energy is not finite."""
    shift = np.asarray(reference, float) - np.asarray(energies, float)
    if not np.isfinite(shift).all():
        return 0.0
    w = np.exp(shift - shift.max())
    w /= w.sum()
    counting = w[w > 0]
    return float(np.exp(-np.sum(counting * np.log(counting))))


def weighted(x: Float[Array, "frames *shape"], w: Float[Array, "frames"]) -> Float[Array, "*shape"]:
    """sum_f w_f x_f."""
    # Written out, because a matrix product in single precision may have 10 bits on a GPU.
    return jnp.sum(w.reshape(-1, *[1] * (x.ndim - 1)) * x, axis=0)


def moments(
    term: LossTerm, rows: Float[Array, "frames *shape"], w: Float[Array, "frames"]
) -> Float[Array, "frames moments"]:
    """phi of each frame."""
    if term.reduce == "none":
        alone = dataclasses.replace(term, reduce="mean")
        return jax.vmap(lambda row: compared(alone, row))(rows)[:, None]
    flat = rows.reshape(len(rows), -1)
    if term.reduce != "variance":
        return flat
    away = flat - lax.stop_gradient(weighted(flat, w))
    return jnp.concatenate([away**2, away], axis=1)


def moment_count(term: LossTerm, shape: tuple[int, ...]) -> int:
    """How many numbers phi is, of an observable of this shape."""
    return 1 if term.reduce == "none" else math.prod(shape) * (2 if term.reduce == "variance" else 1)


def of_moments(term: LossTerm, means: Float[Array, "moments"], shape: tuple[int, ...]) -> Float[Array, ""]:
    """One term of a loss, times its weight, of the weighted means of its `moments`; `shape` is the observable's."""
    if term.reduce == "none":
        return means[0]
    if term.reduce == "variance":
        square, mean = jnp.split(means, 2)
        means = square - mean**2
    return compared(term, means.reshape(shape))


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Frames in chunks, so that many are looked at together and none of the arrays grows with their number.

    A chunk is made of stretches, each of so many frames that follow each other, of whose gradients one sum is kept. The
    last chunk is filled up with frames that count nothing.

    Attributes:
        order: the frame in each place.
        real: whether the place counts.
    """

    order: Int[np.ndarray, "chunks stretches stretch"]
    real: Bool[np.ndarray, "chunks stretches stretch"]

    @staticmethod
    def create(frames: int, most: int, kept: int) -> Arrangement:
        """Chunks of at most `most` of `frames` frames, in no more stretches than `kept` if that can be."""
        stretch = min(most, -(-frames // kept))
        size = min(most // stretch, -(-frames // stretch)) * stretch
        chunks = -(-frames // size)
        places = np.arange(chunks * size).reshape(chunks, size // stretch, stretch)
        return Arrangement(np.minimum(places, frames - 1), places < frames)

    @property
    def places(self) -> Int[np.ndarray, "frames"]:
        """Where each frame is in the flattened chunks."""
        return np.flatnonzero(self.real)

    @property
    def stretch(self) -> int:
        """Frames of a stretch."""
        return self.order.shape[2]

    @property
    def stretches(self) -> int:
        """How many stretches have frames that count."""
        return -(-len(self.places) // self.stretch)

    def sums(self, x: Float[np.ndarray, "frames *shape"]) -> Float[np.ndarray, "kept *shape"]:
        """Sums over stretches, of an array that has a row for each frame."""
        return np.add.reduceat(x, np.arange(0, len(x), self.stretch), axis=0)
