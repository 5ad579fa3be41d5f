"""The static structure factor, on the reciprocal lattice of the box."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from diffmd.box import fractional
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.images import BLOCK, over_rows
from diffmd.observables.selection import ATOMS, TYPES, select, take
from diffmd.spec import OBSERVABLES, Spec, quantity

MOST = 50_000
"""Wave vectors (of which q and -q are one) that an observable may have: a minute of work for a thousand frames."""

_ENDLESS = 1e24

NotNegative = Annotated[float, Field(ge=0)]


@dataclasses.dataclass(frozen=True, eq=False)
class StructureFactor(Observable):
    """S(q_k) = mean over the shell's wave vectors of |sum_j exp(-i q . x_j)|^2 / N.

    The wave vectors are those of the box's reciprocal lattice, q = 2 pi H^-1 n with whole numbers n; others see the
    edges of the box instead of the structure. What is fixed are the n and the shell each belongs to: the vectors
    themselves follow the frame's box, so that S is differentiable in it (q . x = 2 pi n . s, s the fractional
    coordinates). q and -q give the same and stand for each other. The mean over an ideal gas is 1; a perfect crystal
    has N at its Bragg peaks. S varies strongly between the vectors of one shell: average over frames.
    Wave vectors are streamed over, and their phases computed again on the way back.

    Attributes:
        selected: the N atoms.
        indices: n of each wave vector, those of a shell in a row.
        shell: which shell each belongs to.
        lengths: |q| of each shell (mean over its vectors) in the starting box [1/length].

    Source: J.-P. Hansen and I. R. McDonald, Theory of Simple Liquids, 4th ed. (2013), section 4.1; M. P. Allen and
    D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.6.
    """

    selected: Int[np.ndarray, "selected"]
    indices: Int[np.ndarray, "vectors 3"]
    shell: Int[np.ndarray, "vectors"]
    lengths: Float[np.ndarray, "shells"]

    @property
    def grid(self) -> Float[Array, "shells"]:
        """|q| of the shells [1/length]."""
        return jnp.asarray(self.lengths)

    def measure(self, frame: Frame) -> Float[Array, "shells"]:
        """S(q_k), a pure number."""
        s = fractional(frame.box, take(frame.positions, self.selected))
        # Whole boxes do not change a phase of whole n; small numbers have sharper sines.
        s = s - jax.lax.stop_gradient(jnp.round(s))

        def intensity(n: Float[Array, "3"]) -> Array:
            turns = n[0] * s[:, 0] + n[1] * s[:, 1] + n[2] * s[:, 2]
            phase = 2 * math.pi * (turns - jax.lax.stop_gradient(jnp.round(turns)))
            return jnp.sum(jnp.cos(phase)) ** 2 + jnp.sum(jnp.sin(phase)) ** 2

        size = len(self.selected)
        intensities = over_rows(intensity, jnp.asarray(self.indices, s.dtype), BLOCK // size)
        counts = np.bincount(self.shell)
        ends = np.cumsum(counts)
        if counts.max() == 1:
            return intensities / size
        return jnp.stack([jnp.mean(intensities[e - c : e]) for c, e in zip(counts, ends, strict=True)]) / size


def lattice(h: Float[np.ndarray, "3 3"], low: float, high: float) -> Int[np.ndarray, "vectors 3"]:
    """Whole numbers n, one of n and -n, whose wave vector has low <= |q| <= high (n = 0 left out)."""
    # n_k = q . a_k / 2 pi, so |n_k| <= |q| |a_k| / 2 pi.
    reach = np.floor(high * np.linalg.norm(h, axis=1) / (2 * np.pi) * (1 + 1e-9)).astype(int)
    axes = [np.arange(-k, k + 1) for k in reach]
    n = np.stack(np.meshgrid(np.arange(reach[0] + 1), *axes[1:], indexing="ij"), axis=-1).reshape(-1, 3)
    x, y, z = n.T
    n = n[(x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))]
    q = wave_numbers(h, n)
    return n[(q >= low * (1 - 1e-9)) & (q <= high * (1 + 1e-9))]


def wave_numbers(h: Float[np.ndarray, "3 3"], n: Int[np.ndarray, "vectors 3"]) -> Float[np.ndarray, "vectors"]:
    """|q| = 2 pi |H^-1 n|."""
    return 2 * np.pi * np.linalg.norm(n @ np.linalg.inv(h).T, axis=1)


@OBSERVABLES.register
class StructureFactorSpec(Spec):
    """S(q) = |sum exp(-i q.x)|^2 / N over the box's reciprocal lattice, averaged over vectors q of nearly one length.

    1 for an ideal gas, N at the Bragg peaks of a crystal. Needs a periodic box. Give `range` or `vectors`.
    """

    kind: Literal["structure_factor"] = "structure_factor"
    range: Annotated[float, Field(gt=0)] | Annotated[list[NotNegative], Field(min_length=2, max_length=2)] | None = (
        quantity(None, doc="[least, largest] |q|, or the largest; q = 0 is left out.", unit="1/length")
    )
    bins: Annotated[int, Field(ge=1, le=10_000)] | None = quantity(
        None,
        doc="Number of equal parts of the range over which S is averaged (those without a wave vector are left out); "
        "null: over the vectors of equal length alone.",
    )
    vectors: list[Annotated[list[int], Field(min_length=3, max_length=3)]] | None = quantity(
        None, doc="Wave vectors as whole multiples of the reciprocal vectors, [[4, 0, 0], [2, 2, 2]]: one value each."
    )
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES

    @model_validator(mode="after")
    def _one_of_two(self) -> StructureFactorSpec:
        if (self.range is None) == (self.vectors is None):
            raise ValueError("give `range` or `vectors`, one of the two")
        if self.vectors is not None and self.bins is not None:
            raise ValueError("`bins` are parts of a `range`; listed vectors have one value each")
        return self

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity, for a range without wave vectors or with too many, for a vector of
                zeros, or for an unknown type or atom.
        """
        selected = select(context, self.atoms, self.types)
        if not context.box.periodic:
            raise ConfigError("a structure factor needs a periodic box, which has a reciprocal lattice", context.name)
        h = np.asarray(context.box.vectors, dtype=float)
        if self.vectors is not None:
            if not self.vectors:
                raise ConfigError("the list is empty", context.path("vectors"))
            for number, one in enumerate(self.vectors):
                if not any(one):
                    raise ConfigError("q = 0 sees no structure: S is N there", context.path(f"vectors.{number}"))
            n = np.asarray(self.vectors, dtype=int)
            return StructureFactor(selected, n, np.arange(len(n)), wave_numbers(h, n))
        assert self.range is not None
        low, high = self.range if isinstance(self.range, list) else (0.0, self.range)
        path = context.path("range")
        if low >= high:
            raise ConfigError(f"the range must run from a smaller |q| to a larger, not {low} to {high}", path)
        expected = abs(np.linalg.det(h)) * (high**3 - low**3) / (12 * np.pi**2)
        if expected > MOST:
            # Where a config is only checked, a box that is not known yet is endless.
            if abs(np.linalg.det(h)) > _ENDLESS:
                return StructureFactor(selected, np.eye(3, dtype=int)[:1], np.zeros(1, int), np.full(1, low))
            message = f"about {expected:.3g} wave vectors lie in the range, more than {MOST}; shorten it"
            raise ConfigError(message, path)
        n = lattice(h, low, high)
        if not len(n):
            least = 2 * np.pi * float(np.min(np.linalg.norm(np.linalg.inv(h), axis=0)))
            message = f"no wave vector of this box lies in the range {low:g} to {high:g}; its shortest is {least:.5g}"
            raise ConfigError(message, path)
        return _in_shells(selected, n, h, self._edges(low, high))

    def _edges(self, low: float, high: float) -> Float[np.ndarray, "edges"] | None:
        return None if self.bins is None else np.linspace(low, high, self.bins + 1)


def _in_shells(
    selected: Int[np.ndarray, "selected"],
    n: Int[np.ndarray, "vectors 3"],
    h: Float[np.ndarray, "3 3"],
    edges: Float[np.ndarray, "edges"] | None,
) -> StructureFactor:
    """Wave vectors sorted by length and put into shells: between `edges`, or of equal length."""
    q = wave_numbers(h, n)
    order = np.argsort(q, kind="stable")
    n, q = n[order], q[order]
    if edges is None:
        label = np.concatenate([[0], np.cumsum(np.diff(q) > 1e-6 * q[1:])])
    else:
        label = np.clip(np.searchsorted(edges, q * (1 + 1e-9), side="right") - 1, 0, len(edges) - 2)
    _, shell = np.unique(label, return_inverse=True)
    lengths = np.bincount(shell, q) / np.bincount(shell)
    return StructureFactor(selected, n, shell, lengths)
