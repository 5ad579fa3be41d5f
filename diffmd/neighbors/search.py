"""The search through cells: which atoms are near each atom, as bits; and the lists of their numbers made of those.

**Cells.** The fractional coordinates are cut into `grid` cells, each at least radius wide, so |s_k| <= radius / w_k of
a listed pair's image puts its atoms into the same or adjacent cells (modulo the grid: atoms may be any number of boxes
away). Without periodicity the same grid is laid over all space and repeats: aliased cells only add candidates. An axis
that has no room for three cells is one cell, so all atoms along it are candidates.

**Images.** Along an axis of three cells or more, each atom's place within its cell and the step from cell to cell give
the displacement, without any rounding to images. Along an axis of one cell, the nearest image in a right-angled box is
the pair itself or the one that is a box length nearer; in a triclinic one, rounding s gives it up to half the smallest
width w (see `diffmd.box`). In a triclinic box with such an axis the 27 images around the rounded one are tried: they
have every image with all |s_k| <= 1, hence every one within w. Beyond that, all pairs are listed. So the filter never
drops a pair that it should keep.

**Passes.** The atoms of a cell share their candidates, so coordinates are fetched once for a cell, not once for an
atom; what is near an atom becomes bits of 32-bit words, and the k-th neighbour is the k-th set bit: no scatter. On a
CPU each pass is a loop over blocks of rows, as only a loop's end keeps XLA from computing one pass again inside the
next one, and blocks stay in the cache; an accelerator takes all rows at once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from diffmd.box import Box, Components, apply_shifts, fractional, image_shifts, transform, widths
from diffmd.compiler import platform
from diffmd.neighbors.planning import NeighborPlan, around

_WORD = 32
_ROWS = 128
"""Rows of a block on a CPU."""
_FEW_ROWS = 1024
"""Up to so many rows are one block."""
_UNROLLED = 4
"""So many words are looked at in one turn of a loop."""


@functools.partial(jax.jit, static_argnums=0)
def search(
    plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box
) -> tuple[Int[Array, "atoms K"], Int[Array, "atoms"], Int[Array, "capacities"]]:
    """The atoms within the radius of each atom, in the order of cells; how many they are; and what the plan needs.

    Where there are fewer than K, the rest is of no account. Compiled as a part of what calls it, but traced once.
    """
    cells = int(np.prod(plan.grid))
    cell, local, slack, finer = _placed(plan, positions, box)
    table, row, count = _sorted(plan, cell) if cells > 1 else _alike(plan)
    # Nobody is at nan, which is not within any distance.
    columns = [_fetch(jnp.append(local[axis], jnp.nan), table) for axis in range(3)]
    adjacent, steps = around(plan.grid)
    words = _near_words(plan, box, columns, adjacent, _offsets(plan, box, steps), slack)
    candidates = table[adjacent].reshape(cells, -1)
    indices, found = _numbers(plan, words, candidates, row, cell)
    needed = jnp.concatenate([jnp.stack([jnp.max(found), jnp.max(count)]), finer])
    return indices, found, needed


def _sorted(
    plan: NeighborPlan, cell: Int[Array, "atoms"]
) -> tuple[Int[Array, "cells room"], Int[Array, "atoms"], Int[Array, "cells"]]:
    """The atoms of each cell (n stands for nobody), each atom's place in all cells, and how many atoms cells have."""
    n, room, cells = plan.atoms, plan.cell_capacity, int(np.prod(plan.grid))
    order = jnp.argsort(cell, stable=True).astype(np.int32)
    edges = jnp.searchsorted(cell[order], jnp.arange(cells + 1, dtype=np.int32)).astype(np.int32)
    count = edges[1:] - edges[:-1]
    k = jnp.arange(room, dtype=np.int32)
    table = jnp.where(k < count[:, None], order[jnp.minimum(edges[:-1, None] + k, n - 1)], n)
    rank = jnp.arange(n, dtype=np.int32) - edges[cell[order]]
    row = jnp.zeros(n, np.int32).at[order].set(cell[order] * room + jnp.minimum(rank, room - 1), unique_indices=True)
    return table, row, count


def _alike(plan: NeighborPlan) -> tuple[Int[Array, "1 room"], Int[Array, "atoms"], Int[Array, "1"]]:
    """The same where all atoms are in one cell, whatever room it was given."""
    atoms = jnp.arange(plan.atoms, dtype=np.int32)
    return atoms[None], atoms, jnp.full(1, min(plan.atoms, plan.cell_capacity), np.int32)


def _placed(
    plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box
) -> tuple[Int[Array, "atoms"], Components, Array, Int[Array, "3"]]:
    """The cell of each atom, its coordinates from the cell's corner (without periodicity: from the origin), a bound of
    their rounding errors, and by how many cells the grid is too fine along each axis."""
    grid, radius = plan.grid, plan.radius
    counts = np.asarray(grid, np.int32)
    size = widths(box) if box.periodic else counts * jnp.full(3, radius * 1.001)
    s = fractional(box, positions) if box.periodic else positions / size
    scaled = (s - jnp.floor(s)) * counts
    # The last cell takes s - floor(s) = 1, to which a tiny negative s rounds; and nan, which the host finds elsewhere.
    inside = jnp.clip(jnp.floor(scaled).astype(np.int32), 0, counts - 1)
    # s is exact to a few units in its last place: cells must be wider than the radius by that much.
    error = 8 * jnp.finfo(s.dtype).eps * (1 + jnp.max(jnp.abs(s), axis=0))
    slack = error * size
    fit = jnp.floor(jnp.clip(size / (radius + slack * counts), 1, counts)).astype(np.int32)
    finer = jnp.where(counts > 1, counts - fit, 0)
    cell = inside @ np.asarray([grid[1] * grid[2], grid[2], 1], np.int32)
    if not box.periodic:
        return cell, (positions[:, 0], positions[:, 1], positions[:, 2]), jnp.zeros((), s.dtype), finer
    within = (scaled - inside) / counts
    h = box.vectors
    local = transform(within, h)
    return cell, (local[:, 0], local[:, 1], local[:, 2]), jnp.sum(error * jnp.linalg.norm(h, axis=1)), finer


def _offsets(plan: NeighborPlan, box: Box, steps: Int[np.ndarray, "around 3"]) -> Float[Array, "around 3"]:
    """From a cell's corner to those of the cells around it."""
    if not box.periodic:
        return jnp.zeros(steps.shape, box.vectors.dtype)
    parts = jnp.asarray(steps / np.asarray(plan.grid), box.vectors.dtype)
    return jnp.sum(parts[:, :, None] * box.vectors, axis=1)


def _near_words(
    plan: NeighborPlan,
    box: Box,
    columns: list[Float[Array, "cells room"]],
    adjacent: Int[np.ndarray, "cells around"],
    offsets: Float[Array, "around 3"],
    slack: Float[Array, ""],
) -> Array:
    """For each place of each cell which of the cell's candidates are near, as words of 32 bits."""
    cells, room = columns[0].shape
    around = adjacent.shape[1]
    candidates = around * room
    # A block is some cells, or a part of one cell's places.
    parts = -(-room // _ROWS) if platform() == "cpu" and cells * room > _FEW_ROWS else 1
    places = -(-room // parts)
    own = [_filled(c, 1, parts * places, jnp.nan).reshape(cells * parts, places) for c in columns]
    itself = (around // 2) * room

    def compared(own: list[Array], other: list[Array], part: Array) -> Array:
        d = tuple(own[axis][:, :, None] - other[axis][:, None, :] for axis in range(3))
        near = _words(_within(plan, box, d, slack))  # type: ignore[arg-type]
        place = itself + part[:, None] * places + jnp.arange(places, dtype=np.int32)
        number, bit = place // _WORD, np.uint32(1) << (place % _WORD).astype(np.uint32)
        own_bit = jnp.where(number[:, :, None] == jnp.arange(near.shape[-1], dtype=np.int32), bit[:, :, None], 0)
        return near & ~own_bit

    beside = jnp.asarray(np.repeat(adjacent, parts, axis=0))
    fetched = [_fetch(columns[axis], beside) + offsets[:, axis, None] for axis in range(3)]
    full = -(-candidates // _WORD) * _WORD
    other = [_filled(c.reshape(-1, candidates), 1, full, jnp.nan) for c in fetched]
    part = jnp.asarray(np.arange(cells * parts, dtype=np.int32) % parts)
    words = _in_blocks(compared, places, own, other, part)
    return words.reshape(cells, parts * places, -1)[:, :room].reshape(cells * room, -1)


def _within(plan: NeighborPlan, box: Box, d: tuple[Array, Array, Array], slack: Array) -> Array:
    """Whether some image of d is within the radius."""
    single = [g < 3 for g in plan.grid]
    if box.shape == "orthorhombic":
        # Both lie within one box length, so that no division has to tell which image is near.
        edges = [box.vectors[axis, axis] for axis in range(3)]
        d = tuple(  # type: ignore[assignment]
            jnp.minimum(jnp.abs(c), jnp.abs(edge - jnp.abs(c))) if alone else c
            for c, edge, alone in zip(d, edges, single, strict=True)
        )
    elif box.periodic and any(single):
        d = apply_shifts(box, d, image_shifts(box, d))
    limit = jnp.square(jnp.asarray(plan.radius, d[0].dtype) + slack)
    r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    if box.shape == "triclinic" and any(single):
        # A scalar addition an image: XLA fuses the 27 of them into one pass over the candidates.
        for shift in itertools.product((-1, 0, 1), repeat=3):
            e = [d[axis] + sum(shift[row] * box.vectors[row, axis] for row in range(3)) for axis in range(3)]
            r2 = jnp.minimum(r2, e[0] * e[0] + e[1] * e[1] + e[2] * e[2])
        limit = jnp.where(plan.radius > jnp.min(widths(box)), jnp.inf, limit)
    return r2 <= limit


def _words(near: Array) -> Array:
    """(..., 32 W) of bool as (..., W) words of 32 bits."""
    lead = near.shape[:-1]
    # Four bytes of 0 or 1 become the four bits of one number by one multiplication.
    four = lax.bitcast_convert_type(near.astype(np.uint8).reshape(*lead, -1, 4), np.uint32)
    bits = ((four * np.uint32(0x01020408)) >> np.uint32(24)).astype(np.uint8)
    # Four such numbers, a byte each, move together.
    wide = lax.bitcast_convert_type(bits.reshape(*lead, -1, 4), np.uint32)
    wide = (wide | (wide >> np.uint32(4))) & np.uint32(0x00FF00FF)
    half = (wide | (wide >> np.uint32(8))).astype(np.uint16)
    return lax.bitcast_convert_type(half.reshape(*lead, -1, 2), np.uint32)


def _numbers(
    plan: NeighborPlan,
    words: Array,
    candidates: Int[Array, "cells candidates"],
    row: Int[Array, "atoms"],
    cell: Int[Array, "atoms"],
) -> tuple[Int[Array, "atoms K"], Int[Array, "atoms"]]:
    """The atoms that the bits of each atom's row stand for, and how many they are."""
    k = jnp.arange(plan.capacity, dtype=np.int32)

    def numbered(own: Array, count: Array, cell: Array) -> Array:
        low, before = _word_of(count, k)
        place = _kth_bit(own, jnp.minimum(low, own.shape[1] - 1), k - before)
        flat = cell[:, None] * np.int32(candidates.shape[1]) + jnp.minimum(place, candidates.shape[1] - 1)
        return _fetch(candidates.reshape(-1), flat)

    own = _fetch(words, row)
    count = lax.population_count(own).astype(np.int32)
    whole = _filled(count, 1, -(-count.shape[1] // _UNROLLED) * _UNROLLED, 0)
    return _in_blocks(numbered, 1, own, whole, cell), jnp.sum(count, axis=1, dtype=np.int32)


def _word_of(count: Int[Array, "rows words"], k: Int[Array, "K"]) -> tuple[Int[Array, "rows K"], Int[Array, "rows K"]]:
    """The first word of each row with which the running count of bits exceeds k, and the count before it; past the last
    word where none does.

    A comparison with every word takes no longer than the few steps of a bisection, each of which fetches numbers from
    somewhere else.
    """
    rows, width = count.shape
    none = jnp.zeros((rows, k.shape[0]), np.int32)

    def passed(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, before, upto = carry
        upto = upto + lax.dynamic_slice_in_dim(count, number, 1, axis=1)
        beyond = upto <= k
        return low + beyond.astype(np.int32), lax.select(beyond, upto, before), upto

    low, before, _ = lax.fori_loop(0, width, passed, (none, none, none), unroll=_UNROLLED)
    return low, before


def _kth_bit(words: Array, low: Int[Array, "rows K"], rank: Int[Array, "rows K"]) -> Int[Array, "rows K"]:
    """Where in each row of words the set bit number `rank` (from 0) of its word number `low` is; anything where there
    are fewer."""
    rows, width = words.shape
    word = _fetch(words.reshape(-1), jnp.arange(rows, dtype=np.int32)[:, None] * np.int32(width) + low)
    place = low * _WORD
    for half in (16, 8, 4, 2, 1):
        lower = word & np.uint32((1 << half) - 1)
        below = lax.population_count(lower).astype(np.int32)
        up = rank >= below
        rank = lax.select(up, rank - below, rank)
        place = lax.select(up, place + half, place)
        word = lax.select(up, word >> np.uint32(half), lower)
    return place


def _in_blocks(function: Callable[..., Any], rows: int, *arrays: Any) -> Any:
    """The function of all entries, which come first in every array, some after others if they have many rows.

    Args:
        rows: of an entry.
    """
    total, each = len(jax.tree.leaves(arrays)[0]), max(1, _ROWS // rows)
    if platform() != "cpu" or total * rows <= _FEW_ROWS:
        return function(*arrays)
    blocks = -(-total // each)
    each = -(-total // blocks)

    def cut(array: Array) -> Array:
        return _filled(array, 0, blocks * each, 0).reshape(blocks, each, *array.shape[1:])

    out = lax.map(lambda part: function(*part), jax.tree.map(cut, arrays))
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[:total], out)


def _filled(array: Array, axis: int, size: int, value: float) -> Array:
    """The array, an axis of it filled up to a size."""
    if array.shape[axis] == size:
        return array
    spare = [(0, size - n if axis == k else 0, 0) for k, n in enumerate(array.shape)]
    return lax.pad(array, jnp.asarray(value, array.dtype), spare)


def _fetch(array: Array, places: Int[Array, "*places"]) -> Array:
    """Entries by places that are known to be there."""
    dimensions = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(places.ndim, places.ndim + array.ndim - 1)),
        collapsed_slice_dims=(0,),
        start_index_map=(0,),
    )
    inside = lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return lax.gather(array, places[..., None], dimensions, (1, *array.shape[1:]), mode=inside)
