"""The pair sweep: forces, energy and virial of every pair potential at once, and the adjoint of that sweep.

For U = sum over pairs i < j of u(r_ij^2; q_ij), with d = x_i - x_j (minimum image), r2 = d . d and S = du/d(r2):

    F_i = -2 sum_j S d      E = 1/2 sum_ij u      W = -sum_ij S d (x) d   (W = sum over pairs of d (x) f_ij)

Sums run over a full list (each pair stands in both rows), so a row is summed and nothing is ever scattered.

The adjoint needs no scatter either, because the Hessian is symmetric. With cotangents L (of F), e (of E) and w (of W),
each pair carries the scalar

    phi = -2 S a + u e,     a = d . (L_i - L_j) + d^T w d,

and the cotangents are sums over the same rows: dX_i = sum_j dphi/dd, for a parameter sum over pairs of dphi/dq, for the
box -sum over pairs of n (x) dphi/dd (n the image's integers). Derivatives of u are taken elementwise by automatic
differentiation, so any u will do. Each sweep ends in one variadic `lax.reduce`: on CPU, XLA would otherwise recompute
the elementwise part for every sum.

`custom_vjp` forbids forward mode, so a sweep declares its mode: ``reverse`` carries the adjoint above, ``forward`` the
tangent (the same Hessian product, read the other way). Both carry the first derivative alone; ``plain`` has no rule of
its own, so that JAX differentiates it as often as is wanted (vibrations), slowly.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from diffmd.box import Box, Components, apply_shifts, image_shifts
from diffmd.neighbors import AllPairs, NeighborList
from diffmd.potentials.rows import Rows, over_rows, whole

Mode = Literal["reverse", "forward", "plain"]
PairEnergy = Callable[[Array, Mapping[str, Array]], Array]
Tables = dict[str, Array]

_Sums = tuple[Array | None, Array | None, Array | None]
"""A `Sweep`, whose forces are by axis (3, atoms)."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a sweep gives: forces (atoms, 3), energy per atom (atoms,), virial (3, 3); None where not asked for."""

    forces: Float[Array, "atoms 3"] | None
    energies: Float[Array, "atoms"] | None
    virial: Float[Array, "3 3"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class PairSweep:
    """The sum of pair energies over a neighbour list.

    Attributes:
        energy: u(r2, q), elementwise in r2; each entry of q a scalar or of r2's shape.
        types: type index of each atom, for parameters that are (types, types) tables.
        mode: which derivative it carries.
    """

    energy: PairEnergy
    types: Int[np.ndarray, "atoms"]
    mode: Mode

    def __call__(
        self,
        positions: Float[Array, "atoms 3"],
        box: Box,
        neighbors: AllPairs | NeighborList,
        q: Tables,
        want: tuple[str, ...] = ("forces",),
    ) -> Sweep:
        """Sweeps the pairs of `neighbors`; `want` names the fields of `Sweep` to compute.

        Args:
            q: parameters of a pair: () for all pairs alike, or symmetric (types, types) tables.
        """
        forces, energies, virial = _FUNCTIONS[self.mode](self, box.shape, want, positions.T, box.vectors, neighbors, q)
        return Sweep(None if forces is None else forces.T, energies, virial)

    def forces(
        self, positions: Float[Array, "3 atoms"], box: Box, neighbors: AllPairs | NeighborList, q: Tables
    ) -> Float[Array, "3 atoms"]:
        """The forces alone, of positions by axis."""
        found, _, _ = _FUNCTIONS[self.mode](self, box.shape, ("forces",), positions, box.vectors, neighbors, q)
        assert found is not None
        return found

    def rounded(
        self,
        positions: Float[Array, "atoms 3"],
        box: Box,
        neighbors: AllPairs | NeighborList,
        q: Tables,
        scale: Float[Array, ""],
    ) -> tuple[Int[Array, "atoms 3"], Float[Array, ""]]:
        """Forces as integers: each pair's, times `scale`, is rounded, and integers are summed, so that the sum does not
        depend on the order of the list. Double precision only; it has no derivative.

        Returns:
            The sums, of 64 bits, and the largest component of any pair: nan if one is; over `LARGEST_ROUNDED` it was
            not rounded but spoilt.
        """
        pairs = _pairs(self, box, whole(neighbors), positions.T, q)
        s = jnp.where(pairs.mask, _derivative(self.energy, pairs.r2, pairs.q)[1], 0)
        f = [-2 * s * c * scale for c in pairs.d]
        # A float between 2^52 and 2^53 has no places after the point: adding such a number rounds, and the bits then
        # count up in ones. Unlike a conversion, that is vectorized on every CPU.
        integers = [lax.bitcast_convert_type(c + _ROUNDER, np.int64) - _ROUNDER_BITS for c in f]
        largest = jnp.maximum(jnp.maximum(jnp.abs(f[0]), jnp.abs(f[1])), jnp.abs(f[2]))
        zeros = [*(jnp.zeros((), i.dtype) for i in integers), jnp.zeros((), largest.dtype)]

        def combine(a: list[Array], b: list[Array]) -> list[Array]:
            return [*(x + y for x, y in zip(a[:3], b[:3], strict=True)), jnp.maximum(a[3], b[3])]

        *sums, rows = lax.reduce([*integers, largest], zeros, combine, (largest.ndim - 1,))
        return jnp.stack(sums, axis=-1), jnp.max(rows)


_ROUNDER = 1.5 * 2**52
_ROUNDER_BITS = int(np.asarray(_ROUNDER).view(np.int64))
LARGEST_ROUNDED = 2.0**51
"""Up to which `PairSweep.rounded` rounds."""


def _row_sums(arrays: list[Array], mode: Mode = "reverse") -> list[Array]:
    """Sums of every (..., atoms, K) array over K, in one pass; it has no derivative, but in ``plain`` mode."""
    if not arrays or mode == "plain":
        return [jnp.sum(a, axis=-1) for a in arrays]
    zeros = [jnp.zeros((), a.dtype) for a in arrays]
    return list(
        lax.reduce(arrays, zeros, lambda x, y: [i + j for i, j in zip(x, y, strict=True)], (arrays[0].ndim - 1,))
    )


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """The list's pairs with their displacement, and parameters spread over them."""

    d: Components
    shifts: Components
    mask: Array
    r2: Array
    q: Tables


def _pairs(sweep: PairSweep, box: Box, rows: Rows, x: Array, q: Tables) -> _Pairs:
    raw = rows.differences(x)
    shifts = image_shifts(box, raw)
    d = apply_shifts(box, raw, shifts)
    r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    # Mask before u: a padded place must not make an infinity whose derivative is nan.
    return _Pairs(d, shifts, rows.mask, jnp.where(rows.mask, r2, 1), _spread(sweep, rows, q))


def _spread(sweep: PairSweep, rows: Rows, q: Tables) -> Tables:
    """Scalars as they are; tables looked up for each pair."""
    if all(value.ndim == 0 for value in q.values()):
        return q
    types = jnp.asarray(sweep.types)
    own, other = rows.own(types), rows.others(types)
    return {n: v if v.ndim == 0 else v.reshape(-1)[own * v.shape[1] + other] for n, v in q.items()}


def _derivative(energy: PairEnergy, r2: Array, q: Mapping[str, Array]) -> tuple[Array, Array]:
    """u and S = du/d(r2)."""
    return jax.jvp(lambda r: energy(r, q), (r2,), (jnp.ones_like(r2),))


_UPPER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def _symmetric(six: list[Array]) -> Array:
    xx, yy, zz, xy, xz, yz = six
    return jnp.stack([jnp.stack([xx, xy, xz]), jnp.stack([xy, yy, yz]), jnp.stack([xz, yz, zz])])


def _terms(want: tuple[str, ...], u: Array, s: Array, d: Components) -> list[Array]:
    """What is summed over the rows for what is wanted, from masked u and S."""
    terms: list[Array] = []
    if "forces" in want:
        terms += [-2 * s * c for c in d]
    if "energies" in want:
        terms.append(u / 2)
    if "virial" in want:
        terms += [-s * d[i] * d[j] for i, j in _UPPER]
    return terms


def _assemble(want: tuple[str, ...], sums: list[Array]) -> _Sums:
    forces = energies = virial = None
    if "forces" in want:
        forces, sums = jnp.stack(sums[:3]), sums[3:]
    if "energies" in want:
        energies, sums = sums[0], sums[1:]
    if "virial" in want:
        virial = _symmetric([jnp.sum(c) for c in sums])
    return forces, energies, virial


def _primal(
    sweep: PairSweep,
    shape: Any,
    want: tuple[str, ...],
    x: Array,
    h: Array,
    neighbors: AllPairs | NeighborList,
    q: Tables,
) -> _Sums:
    def sums(rows: Rows) -> list[Array]:
        pairs = _pairs(sweep, Box(h, shape), rows, x, q)
        if want == ("energies",):
            u = s = sweep.energy(pairs.r2, pairs.q)
        else:
            u, s = _derivative(sweep.energy, pairs.r2, pairs.q)
        u, s = jnp.where(pairs.mask, u, 0), jnp.where(pairs.mask, s, 0)
        return _row_sums(_terms(want, u, s, pairs.d), sweep.mode)

    # The sums of blocks of rows would store every pair for a derivative.
    return _assemble(want, sums(whole(neighbors)) if sweep.mode == "plain" else over_rows(neighbors, sums))


# ---------------------------------------------------------------------------------------------------- reverse mode
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Residuals:
    x: Array
    h: Array
    neighbors: AllPairs | NeighborList
    q: Tables
    perturbed: tuple[bool, bool, tuple[str, ...]] = dataclasses.field(metadata={"static": True})


_REVERSE = jax.custom_vjp(_primal, nondiff_argnums=(0, 1, 2))


def _reverse_forward(sweep: PairSweep, shape: Any, want: tuple[str, ...], x, h, neighbors, q):  # type: ignore[no-untyped-def]
    flags = (x.perturbed, h.perturbed, tuple(name for name, value in q.items() if value.perturbed))
    x, h, neighbors, q = jax.tree.map(
        lambda leaf: leaf.value, (x, h, neighbors, q), is_leaf=lambda leaf: isinstance(leaf, _CUSTOM_PRIMAL)
    )
    return _primal(sweep, shape, want, x, h, neighbors, q), _Residuals(x, h, neighbors, q, flags)


def _present(cotangent: Any) -> Any:
    return None if cotangent is None or isinstance(cotangent, SymbolicZero) else cotangent


def _reverse_backward(sweep: PairSweep, shape: Any, want: tuple[str, ...], res: _Residuals, ct: _Sums):  # type: ignore[no-untyped-def]
    big_l, e, w = (_present(part) for part in ct)
    x_wanted, h_wanted, names = res.perturbed
    types = jnp.asarray(sweep.types)
    # A table has a column for each type that the other atom may have.
    columns = {name: 1 if res.q[name].ndim == 0 else res.q[name].shape[0] for name in names}

    def row_sums(rows: Rows) -> list[Array]:
        pairs = _pairs(sweep, Box(res.h, shape), rows, res.x, res.q)
        d, mask = pairs.d, pairs.mask
        a = jnp.zeros_like(pairs.r2)
        grad_a: list[Array] = [a, a, a]
        if big_l is not None:
            l = rows.differences(big_l)  # noqa: E741
            a = a + d[0] * l[0] + d[1] * l[1] + d[2] * l[2]
            grad_a = [g + c for g, c in zip(grad_a, l, strict=True)]
        if w is not None:
            wd = [w[k, 0] * d[0] + w[k, 1] * d[1] + w[k, 2] * d[2] for k in range(3)]
            wtd = [w[0, k] * d[0] + w[1, k] * d[1] + w[2, k] * d[2] for k in range(3)]
            a = a + d[0] * wd[0] + d[1] * wd[1] + d[2] * wd[2]
            grad_a = [g + p + q for g, p, q in zip(grad_a, wd, wtd, strict=True)]
        pair_e = None if e is None else (rows.own(e) + rows.others(e)) / 2

        def phi(r2: Array, q: Mapping[str, Array]) -> Array:
            u, s = _derivative(sweep.energy, r2, q)
            return -2 * s * a if pair_e is None else -2 * s * a + u * pair_e

        terms: list[Array] = []
        if x_wanted or h_wanted:
            (_, s), (_, phi_r2) = _derivative(sweep.energy, pairs.r2, pairs.q), _derivative(phi, pairs.r2, pairs.q)
            s, phi_r2 = jnp.where(mask, s, 0), jnp.where(mask, phi_r2, 0)
            g = [2 * phi_r2 * c - 2 * s * k for c, k in zip(d, grad_a, strict=True)]
            terms += g
            if h_wanted:
                terms += [-pairs.shifts[i] * g[j] / 2 for i in range(3) for j in range(3)]
        for name in names:
            value = pairs.q[name]
            tangent = jnp.ones_like(value)
            slope = jax.jvp(lambda v, name=name: phi(pairs.r2, {**pairs.q, name: v}), (value,), (tangent,))[1]
            slope = jnp.where(mask, slope, 0) / 2
            if value.ndim == 0:
                terms.append(slope)
            else:
                other = rows.others(types)
                terms += [jnp.where(other == b, slope, 0) for b in range(columns[name])]
        return _row_sums(terms)

    sums = over_rows(res.neighbors, row_sums)
    dx = dh = None
    if x_wanted or h_wanted:
        dx, sums = jnp.stack(sums[:3]), sums[3:]
        if h_wanted:
            dh, sums = jnp.stack([jnp.sum(c) for c in sums[:9]]).reshape(3, 3), sums[9:]
    dq: dict[str, Any] = dict.fromkeys(res.q)
    for name in names:
        rows, sums = sums[: columns[name]], sums[columns[name] :]
        if res.q[name].ndim == 0:
            dq[name] = jnp.sum(rows[0])
        else:
            of_type = types[None, :] == jnp.arange(columns[name])[:, None]
            dq[name] = jnp.stack([jnp.stack([jnp.sum(jnp.where(t, r, 0)) for r in rows]) for t in of_type])
    return dx if x_wanted else None, dh, None, dq


_CUSTOM_PRIMAL = jax.custom_derivatives.CustomVJPPrimal
_REVERSE.defvjp(_reverse_forward, _reverse_backward, symbolic_zeros=True)


# ---------------------------------------------------------------------------------------------------- forward mode
_FORWARD = jax.custom_jvp(_primal, nondiff_argnums=(0, 1, 2))


@functools.partial(_FORWARD.defjvp, symbolic_zeros=True)
def _forward_rule(sweep: PairSweep, shape: Any, want: tuple[str, ...], primals, tangents):  # type: ignore[no-untyped-def]
    x, h, neighbors, q = primals
    tx, th, _, tq = tangents
    moving = {name: t for name, t in tq.items() if _present(t) is not None}

    def row_sums(rows: Rows) -> list[Array]:
        pairs = _pairs(sweep, Box(h, shape), rows, x, q)
        still = jnp.zeros_like(pairs.r2)
        dd: list[Array] = [still, still, still]
        if _present(tx) is not None:
            dd = list(rows.differences(tx))
        if _present(th) is not None:
            n = pairs.shifts
            dd = [dd[k] - (n[0] * th[0, k] + n[1] * th[1, k] + n[2] * th[2, k]) for k in range(3)]

        def elementwise(d: list[Array], moved: Tables) -> list[Array]:
            r2 = jnp.where(pairs.mask, d[0] * d[0] + d[1] * d[1] + d[2] * d[2], 1)
            u, s = _derivative(sweep.energy, r2, {**pairs.q, **moved})
            u, s = jnp.where(pairs.mask, u, 0), jnp.where(pairs.mask, s, 0)
            return _terms(want, u, s, (d[0], d[1], d[2]))

        held = {name: pairs.q[name] for name in moving}
        values, slopes = jax.jvp(elementwise, (list(pairs.d), held), (dd, _spread(sweep, rows, moving)))
        return _row_sums(values) + _row_sums(slopes)

    found = over_rows(neighbors, row_sums)
    half = len(found) // 2
    return _assemble(want, found[:half]), _assemble(want, found[half:])


_FUNCTIONS: Mapping[Mode, Callable[..., _Sums]] = {"reverse": _REVERSE, "forward": _FORWARD, "plain": _primal}
