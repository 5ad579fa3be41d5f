"""Friction that can be undone: v -> c v on integers, the lost bits kept.

Rounded by itself, v -> c v sends several integers to one. Beside v therefore stands an integer r that grows as v
shrinks,

    (v, r) -> (c v, r / c),

whose map has determinant 1 and is a product of four shears. Each of them adds to one number a rounded function of the
other, so that each is undone bit for bit by subtracting it again (lifting: Daubechies and Sweldens, J. Fourier Anal.
Appl. 4, 247 (1998), doi:10.1007/BF02476026):

    r += v      v += [(c - 1) r]      r -= [v / c]      v += [c (1 - c) r]        [.]: rounded

What v gets is c v within 1.5, c being any real number. What r gets is r / c within e = 1 + 1/c: it holds what rounding
took away, log2(1/c) = gamma dt / ln 2 bits a step, as the reservoir of Maclaurin, Duvenaud and Adams (ICML 2015,
arXiv:1502.03492) does, whose factors are ratios of small integers. From r = 0, k steps later |r| <= e (c^-k - 1) /
(1/c - 1). Before that passes 2^52, r is put away as one word and starts again at 0: every `interval` steps, a number
that is known before the run.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_ROOM = 52
"""Bits of r: up to 2^53 it is a float exactly."""

NEVER = 2**31 - 1
"""The interval of a run that keeps no words."""


def rounded(y: Float[Array, "*n"]) -> Int[Array, "*n"]:
    """The nearest integer, as one; of -y its negative."""
    return jnp.round(y).astype(np.int64)


def damp(
    v: Int[Array, "atoms 3"], r: Int[Array, "atoms 3"], c: Float[Array, ""]
) -> tuple[Int[Array, "atoms 3"], Int[Array, "atoms 3"]]:
    """(c v, r / c), rounded."""
    r = r + v
    v = v + rounded((c - 1) * r)
    r = r - rounded((1 / c) * v)
    return v + rounded((c * (1 - c)) * r), r


def undamp(
    v: Int[Array, "atoms 3"], r: Int[Array, "atoms 3"], c: Float[Array, ""]
) -> tuple[Int[Array, "atoms 3"], Int[Array, "atoms 3"]]:
    """What `damp` was given."""
    v = v - rounded((c * (1 - c)) * r)
    r = r + rounded((1 / c) * v)
    v = v - rounded((c - 1) * r)
    return v, r - v


def interval(c: float) -> int:
    """Steps after which r is put away; 0 if not even one step's bits fit into a word.

    Args:
        c: the factor of one step, above 0.
    """
    if not c < 1:
        return NEVER
    if c < 2.0**-_ROOM:
        return 0
    growth = 1 / c - 1
    return min(NEVER, math.floor(math.log1p(growth * 2.0**_ROOM / (1 + 1 / c)) / -math.log(c)))
