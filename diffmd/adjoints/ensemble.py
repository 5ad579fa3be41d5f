"""A sampled ensemble, and averages over it at other parameters than those it was sampled at.

Frames x_f were sampled with the weight exp(-beta_0 U(x; p_0)). At parameters p each counts

    w_f = exp(-(beta U(x_f; p) - beta_0 U(x_f; p_0))) / (the same, summed over frames),

so that <O>_p = sum_f w_f O(x_f; p). Source: R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954), doi:10.1063/1.1740409.
How many frames still count is the exponential of the weights' entropy,

    n_eff = exp(-sum_f w_f ln w_f),

which is F for equal weights and 1 where one frame has it all: the measure of DiffTRe (S. Thaler and J. Zavadlav, Nat.
Commun. 12, 6884 (2021), doi:10.1038/s41467-021-27241-4). It tells of the weights alone: frames that follow each other
closely in time are no independent samples, which is what the block averages see.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
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


def weights(
    energies: Float[Array, "frames"], reference: Float[Array, "frames"], among: Bool[Array, "frames"] | None = None
) -> Float[Array, "frames"]:
    """w_f, from beta U(x_f; p) and beta_0 U(x_f; p_0); zero but for the frames `among` (None: all)."""
    return jax.nn.softmax(reference - energies, where=among)


def effective_samples(energies: Float[np.ndarray, "frames"], reference: Float[np.ndarray, "frames"]) -> float:
    """n_eff = exp(-sum_f w_f ln w_f), from 1 to the number of frames; 0 where an energy is not finite."""
    shift = np.asarray(reference, float) - np.asarray(energies, float)
    if not np.isfinite(shift).all():
        return 0.0
    w = np.exp(shift - shift.max())
    w /= w.sum()
    counting = w[w > 0]
    return float(np.exp(-np.sum(counting * np.log(counting))))


def averaged(term: LossTerm, rows: Float[Array, "frames *shape"], w: Float[Array, "frames"]) -> Float[Array, ""]:
    """One term of a loss, times its weight, with frames that count w_f in its reductions.

    mean: y = sum_f w_f O_f; variance: y = sum_f w_f (O_f - mean)^2; none: sum_f w_f compare(O_f).
    """

    def mean(x: Array) -> Array:
        # Written out, because a matrix product in single precision may have 10 bits on a GPU.
        return jnp.sum(w.reshape(-1, *[1] * (x.ndim - 1)) * x, axis=0)

    if term.reduce == "none":
        alone = dataclasses.replace(term, reduce="mean")
        return mean(jax.vmap(lambda row: compared(alone, row))(rows))
    y = mean(rows)
    return compared(term, mean((rows - y) ** 2) if term.reduce == "variance" else y)


def averages(
    terms: Sequence[LossTerm],
    choice: Sequence[Places],
    energies: Float[Array, "frames"],
    reference: Float[Array, "frames"],
    rows: Sequence[Array],
    among: Bool[Array, "frames"] | None = None,
) -> Float[Array, "terms"]:
    """Every term, times its weight, over the frames of its own that `choice` has, of those `among` (None: all)."""
    values = []
    for term, places, row in zip(terms, choice, rows, strict=True):
        own = np.asarray(places)
        w = weights(energies[own], reference[own], None if among is None else among[own])
        values.append(averaged(term, row[own], w))
    return jnp.stack(values)


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Frames in chunks, so that many are looked at together and none of the arrays grows with their number.

    A chunk's frames are of one block, the blocks being equal stretches of time. Chunks are filled up with frames of
    theirs that count nothing.

    Attributes:
        order: the frame in each place.
        real: whether the place counts.
        block: of each chunk.
        blocks: how many.
    """

    order: Int[np.ndarray, "chunks size"]
    real: Bool[np.ndarray, "chunks size"]
    block: Int[np.ndarray, "chunks"]
    blocks: int

    @staticmethod
    def create(frames: int, blocks: int, most: int) -> Arrangement:
        """Chunks of at most `most` of `frames` frames in `blocks` blocks."""
        parts = stretches(frames, blocks)
        longest = max(len(part) for part in parts)
        count = -(-longest // most)
        size = -(-longest // count)
        order = np.stack([np.pad(part, (0, count * size - len(part)), mode="edge") for part in parts])
        real = np.arange(count * size) < np.array([[len(part)] for part in parts])
        chunks = (blocks * count, size)
        return Arrangement(order.reshape(chunks), real.reshape(chunks), np.repeat(np.arange(blocks), count), blocks)

    @property
    def places(self) -> Int[np.ndarray, "frames"]:
        """Where each frame is in the flattened chunks."""
        return np.flatnonzero(self.real)


def stretches(frames: int, blocks: int) -> list[Int[np.ndarray, "block"]]:
    """Frames cut into equal stretches of time, as nearly as can be."""
    return np.array_split(np.arange(frames), blocks)


def in_blocks(choice: Sequence[Places], frames: int, blocks: int) -> Bool[np.ndarray, "blocks frames"] | None:
    """Which frames are in each block; None where a term has fewer than two in some block."""
    inside = np.zeros((blocks, frames), bool)
    for block, part in enumerate(stretches(frames, blocks)):
        inside[block, part] = True
    least = min(int(inside[:, np.asarray(places)].sum(axis=1).min()) for places in choice)
    return inside if least >= 2 else None


def block_error(parts: Float[np.ndarray, "blocks *shape"]) -> Float[np.ndarray, "*shape"]:
    """Standard error of a mean from its values in blocks: sqrt(sum_b (g_b - mean)^2 / (B (B - 1)))."""
    return np.asarray(parts.std(axis=0, ddof=1) / np.sqrt(len(parts)))


def neighboring(parts: Float[np.ndarray, "blocks *shape"]) -> float:
    """Correlation of blocks that follow each other, over all their numbers; near -1/B for independent ones."""
    fluctuation = parts - parts.mean(axis=0)
    square = float(np.sum(fluctuation**2))
    return float(np.sum(fluctuation[1:] * fluctuation[:-1])) / square if square > 0 else 0.0
