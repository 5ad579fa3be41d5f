"""What each frame of an ensemble does to a loss and to its gradient, which tells the noise of both.

If frame f counted 1 + e times, the weighted means S of the moments (see `ensemble`) and the gradient
G = l'(S) dS/dp of the loss l(S) would change by e times their influence,

    y_f = w_f (phi_f - S),
    I_f = w_f [l' dphi_f/dp - l' (phi_f - S) de_f/dp] + l' y_f <de/dp> - w_f G + (l'' y_f) dS/dp,

with e = beta U. An estimate is, to first order, its true value and the sum of the influences of its frames, so that the
standard error of F times the mean of I_f is the gradient's (the infinitesimal jackknife: L. A. Jaeckel, Bell Labs
Memorandum MM 72-1215-11 (1972); B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM (1982),
doi:10.1137/1.9781611970319). Frames that follow each other are correlated, and so are their influences, of which
`diffmd.adjoints.reweight.statistics` makes a standard error.

The slope l'' y_f is taken over the distance by which S scatters, so that a kink of the loss within it (compare:
absolute) counts. It is made of as many numbers as S has: of a curve the few combinations that scatter most are kept.
Terms with the same frames are a group, since the weights are the same for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.adjoints.reweight.ensemble import Places, moment_count, moments, of_moments, weighted, weights
from diffmd.adjoints.reweight.statistics import inefficiency
from diffmd.losses import LossTerm

_COMBINATIONS = 8
"""Of the moments, at most, by which the curvature of a loss acts: more are not worth a pull-back each."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Moved:
    """What each frame does to the means and to the loss.

    Attributes:
        means: S, term after term.
        moved: y_f, zero where a term has no use of a frame.
        counted: w_f of each group.
        pulled: l' y_f of each term.
        energies: w_f (e_f - <e>) of each group.
    """

    means: Float[Array, "moments"]
    moved: Float[Array, "frames moments"]
    counted: Float[Array, "frames groups"]
    pulled: Float[Array, "frames terms"]
    energies: Float[Array, "frames groups"]


Pulls = tuple[Array, list[Array]]
"""By how much a number changes with each frame's energy and with each term's rows."""


class Influence:
    """The influences of frames on one problem's loss: pure functions, but for what is said of NumPy arrays.

    Attributes:
        groups: the numbers of the terms with the same frames.
    """

    def __init__(self, terms: Sequence[LossTerm], choice: Sequence[Places], weight: float) -> None:
        self._terms, self._weight = tuple(terms), weight
        self._choice = [np.asarray(places) for places in choice]
        alike: dict[Places, list[int]] = {}
        for number, places in enumerate(choice):
            alike.setdefault(tuple(places), []).append(number)
        self.groups = list(alike.values())

    @property
    def apart(self) -> int:
        """The most frames from one of a group's to its next."""
        return max(int(np.max(np.diff(self._choice[group[0]]), initial=1)) for group in self.groups)

    def terms(self, means: Float[Array, "moments"], rows: Sequence[Array]) -> Float[Array, "terms"]:
        """Every term, times the weights, of the means of all moments."""
        sizes = [moment_count(term, row.shape[1:]) for term, row in zip(self._terms, rows, strict=True)]
        parts = zip(self._terms, jnp.split(means, np.cumsum(sizes)[:-1].tolist()), rows, strict=True)
        return self._weight * jnp.stack([of_moments(term, part, row.shape[1:]) for term, part, row in parts])

    def means(self, energies: Array, rows: Sequence[Array], reference: Array) -> Float[Array, "moments"]:
        """S of all terms."""
        parts = []
        for term, own, row in zip(self._terms, self._choice, rows, strict=True):
            w = weights(energies[own], reference[own])
            parts.append(weighted(moments(term, row[own], w), w))
        return jnp.concatenate(parts)

    def moved(self, energies: Array, rows: Sequence[Array], reference: Array) -> Moved:
        """What each frame does, of energies and rows as `means` takes them."""
        means = self.means(energies, rows, reference)
        slopes = jax.grad(lambda s: jnp.sum(self.terms(s, rows)))(means)
        frames, at = len(energies), 0
        moved, belongs = [], []
        for term, own, row in zip(self._terms, self._choice, rows, strict=True):
            w = weights(energies[own], reference[own])
            phi = moments(term, row[own], w)
            size = phi.shape[1]
            away = w[:, None] * (phi - means[at : at + size])
            moved.append(jnp.zeros((frames, size), away.dtype).at[own].set(away))
            belongs.append(size)
            at += size
        parts = zip(moved, jnp.split(slopes, np.cumsum(belongs)[:-1].tolist()), strict=True)
        pulled = jnp.stack([jnp.sum(away * slope, axis=1) for away, slope in parts])
        counted, shifted = [], []
        for group in self.groups:
            own = self._choice[group[0]]
            w = weights(energies[own], reference[own])
            zero = jnp.zeros(frames, w.dtype)
            counted.append(zero.at[own].set(w))
            shifted.append(zero.at[own].set(w * (energies[own] - weighted(energies[own], w))))
        away = jnp.concatenate(moved, axis=1)
        return Moved(means, away, jnp.stack(counted).T, pulled.T, jnp.stack(shifted).T)

    def by_group(self, terms: Float[np.ndarray, "points terms"]) -> Float[np.ndarray, "points groups"]:
        """Sums over the terms of each group."""
        return np.stack([terms[:, group].sum(axis=1) for group in self.groups], axis=1)

    def pulls(
        self, energies: Array, rows: Sequence[Array], reference: Array, along: Float[Array, "combinations moments"]
    ) -> tuple[Pulls, Pulls]:
        """What is pulled back to the parameters: the gradient of each group, and then <e> of each group and the means
        along combinations of the moments."""

        def of_group(group: Sequence[int], energies: Array, rows: list[Array]) -> Array:
            return jnp.sum(self.terms(self.means(energies, rows, reference), rows)[np.asarray(group)])

        own = [jax.grad(lambda e, r, g=group: of_group(g, e, r), (0, 1))(energies, list(rows)) for group in self.groups]
        _, back = jax.vjp(lambda e, r: self.means(e, r, reference), energies, list(rows))
        along_them = jax.vmap(back)(along)
        firsts = [self._choice[group[0]] for group in self.groups]
        mean_energies = [
            (
                jnp.zeros_like(energies).at[first].set(weights(energies[first], reference[first])),
                [jnp.zeros_like(row) for row in rows],
            )
            for first in firsts
        ]
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *own), jax.tree.map(lambda *x: jnp.stack(x), *mean_energies)
        return stacked[0], jax.tree.map(lambda a, b: jnp.concatenate([a, b]), stacked[1], along_them)

    def curvature(
        self, means: Array, rows: Sequence[Array], moved: Float[Array, "points moments"], over: Float[Array, ""]
    ) -> Float[Array, "points moments"]:
        """l'' y of each of some influences y: (l'(S + over y) - l'(S)) / over."""
        slope = jax.grad(lambda s: jnp.sum(self.terms(s, rows)))
        here = slope(means)
        found: Array = jax.vmap(lambda y: (slope(means + over * y) - here) / over)(moved)
        return found


def scatter(moved: Float[np.ndarray, "points moments"], counted: Float[np.ndarray, "points groups"]) -> float:
    """How many times the influence of a point the means scatter by: sqrt(n g), and never past the point itself."""
    points = len(moved)
    g = float(np.median(inefficiency(moved)))
    return min(float(np.sqrt(points * g)), 1 / float(counted.max()))


def combinations(
    curved: Float[np.ndarray, "points moments"], moved: Float[np.ndarray, "points moments"]
) -> tuple[Float[np.ndarray, "points combinations"], Float[np.ndarray, "combinations moments"]]:
    """Factors, and the combinations of moments that they belong to: their products add up to `curved` as nearly as so
    few can, each moment measured by how much it scatters."""
    size = moved.std(axis=0)
    size = np.where(size > 0, size, 1.0)
    u, s, v = np.linalg.svd(curved * size, full_matrices=False)
    kept = min(_COMBINATIONS, len(s))
    return u[:, :kept] * s[:kept], v[:kept] / size


def influences(
    own: Float[np.ndarray, "points groups *shape"],
    whole: Float[np.ndarray, "pulled *shape"],
    counted: Float[np.ndarray, "points groups"],
    pulled: Float[np.ndarray, "points groups"],
    factors: Float[np.ndarray, "points combinations"],
) -> Float[np.ndarray, "points *shape"]:
    """I of each point (a frame or some that follow each other) on the gradient by one parameter.

    Args:
        own: what each point adds to the gradient of each group.
        whole: what `Influence.pulls` has pulled back as a whole.
    """
    groups = counted.shape[1]
    gradients = own.sum(axis=0)
    parts = [
        own.sum(axis=1),
        np.tensordot(pulled, whole[:groups], 1),
        -np.tensordot(counted, gradients, 1),
        np.tensordot(factors, whole[groups:], 1),
    ]
    return np.asarray(sum(parts))
