"""Rows of the neighbour matrix: whole, or some at a time.

A row of an atom holds what it meets (`AllPairs`: every atom; `NeighborList`: the listed ones). What is made of the
pairs fills arrays of (rows, K): of tens of thousands of atoms they fit no cache, and on a CPU their memory is mapped
afresh at every step. So a CPU goes through a long list in blocks of rows; a GPU, which would have to wait for each
block, takes all rows at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffmd.box import Components
from diffmd.neighbors import AllPairs, NeighborList

ROWS = 1000
"""Rows of a block. Measured on a CPU with 100 places a row: 500 to 2,000 cost the same."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of the neighbour matrix.

    Attributes:
        mask: which places are pairs.
        indices: the atom at each place; None: of all pairs, every atom in its turn.
        start: the first of the rows; None: they are all.
    """

    mask: Bool[Array, "rows K"]
    indices: Int[Array, "rows K"] | None
    start: Int[Array, ""] | None

    def own(self, values: Array) -> Array:
        """Of values by atom those of the rows' atoms, (rows, 1)."""
        own = values if self.start is None else lax.dynamic_slice_in_dim(values, self.start, self.mask.shape[0])
        return own[:, None]

    def others(self, values: Array) -> Array:
        """Of values by atom those of the atoms in the rows, broadcastable to (rows, K)."""
        if self.indices is None:
            return values[None, :]
        # Every place holds an atom, so nothing need be checked.
        return values.at[self.indices].get(mode="promise_in_bounds", wrap_negative_indices=False)

    def differences(self, x: Float[Array, "3 atoms"]) -> Components:
        """x_i - x_j as three (rows, K) arrays."""
        return tuple(self.own(c) - self.others(c) for c in (x[0], x[1], x[2]))  # type: ignore[return-value]


def whole(neighbors: AllPairs | NeighborList) -> Rows:
    """All rows at once."""
    return Rows(neighbors.mask, None if isinstance(neighbors, AllPairs) else neighbors.indices, None)


def over_rows(
    neighbors: AllPairs | NeighborList, compute: Callable[[Rows], list[Float[Array, "rows"]]]
) -> list[Float[Array, "atoms"]]:
    """What `compute` makes of each row, of all atoms. It has no derivative of its own."""

    def at_once() -> list[Array]:
        return compute(whole(neighbors))

    def in_blocks() -> list[Array]:
        assert isinstance(neighbors, NeighborList)
        count = -(-atoms // ROWS)
        size = -(-atoms // count)

        def block(start: Int[Array, ""]) -> list[Array]:
            mask, indices = (lax.dynamic_slice_in_dim(a, start, size) for a in (neighbors.mask, neighbors.indices))
            return compute(Rows(mask, indices, start))

        # The last block ends with the last row, and may begin with some that the one before it has done.
        starts = jnp.minimum(size * jnp.arange(count), atoms - size)
        done = lax.map(block, starts)
        again = count * size - atoms
        return [jnp.concatenate([rows[:-1].reshape(-1), rows[-1, again:]]) for rows in done]

    atoms = neighbors.mask.shape[0]
    if isinstance(neighbors, AllPairs) or atoms < 2 * ROWS:
        return at_once()
    made: list[Array] = lax.platform_dependent(cpu=in_blocks, default=at_once)
    return made
